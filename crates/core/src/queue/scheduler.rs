//! The common interface of pools of threads and pools of processes, for the binding.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use super::completions::Kind;
use super::pool::{Called, Cancelled, Load, Queue};
use super::stock::{Payload, Stock};
use super::task::{Priority, Target, Task};
use super::worker::Worker;
use crate::histogram::local::Histogram;
use crate::ring::doorbell::Consumer;
use crate::sys::clock::monotonic_ns;
use crate::sys::eventfd::EventFd;

/// The caller's side; see [`Queue`] for the methods.
#[allow(missing_docs)]
pub trait Scheduler: Consumer {
    fn push(&self, task: Task, target: Target, priority: Priority) -> bool;
    fn take(&self, target: &mut [u8], payloads: &mut Vec<Payload>) -> Result<usize, usize>;
    /// Like [`Queue::call`], where there are direct calls.
    fn call(&self, _task: &Task, _target: &mut [u8]) -> Called {
        Called::Refused
    }
    fn cancel(&self, slot: u32) -> Cancelled;
    fn is_queued(&self, slot: u32) -> bool;
    fn abort(&self, slot: u32) -> Option<u32>;
    fn notify(&self, worker: u32, notice: Task) -> bool;
    fn add_worker(&self) -> io::Result<u32>;
    fn retire(&self, worker: u32, force: bool) -> bool;
    fn abandon(&self, worker: u32) -> Vec<u32>;
    fn retry(&self, slot: u32) -> bool;
    fn forget(&self, slot: u32);
    fn begun(&self, worker: u32) -> Vec<u32>;
    fn running_for(&self, slot: u32) -> Option<Duration>;
    fn define(&self, definition: &[u8]) -> u32;
    fn waiting(&self) -> u32;
    fn loads(&self) -> Vec<Load>;
    fn look_at_times(&self, look: &mut dyn FnMut(&mut Histogram, &mut Histogram));
    fn bell(&self) -> &EventFd;
    /// Called when the bell has rung.
    fn on_bell(&self) {}
    fn wait(&self, timeout: Duration) -> bool;
    fn rest(&self);
    /// Estimated time, in microseconds, for which each worker has work, where it is known.
    fn backlog_us(&self) -> f64 {
        0.0
    }
    /// The memory for payloads that are too large for records, if records support it.
    fn stock(&self) -> Option<&Stock> {
        None
    }
    /// Sets how many tasks a worker takes at once while many are queued, where the caller decides that.
    fn set_batch(&self, _tasks: u32) {}
}

impl Scheduler for Arc<Queue> {
    fn push(&self, task: Task, target: Target, priority: Priority) -> bool {
        Queue::push(self, task, target, priority)
    }

    fn take(&self, target: &mut [u8], payloads: &mut Vec<Payload>) -> Result<usize, usize> {
        Queue::take(self, target, payloads)
    }

    fn call(&self, task: &Task, target: &mut [u8]) -> Called {
        Queue::call(self, task, target)
    }

    fn cancel(&self, slot: u32) -> Cancelled {
        Queue::cancel(self, slot)
    }

    fn is_queued(&self, slot: u32) -> bool {
        Queue::is_queued(self, slot)
    }

    fn abort(&self, slot: u32) -> Option<u32> {
        Queue::abort(self, slot)
    }

    fn notify(&self, worker: u32, notice: Task) -> bool {
        Queue::notify(self, worker, notice)
    }

    fn add_worker(&self) -> io::Result<u32> {
        Queue::add_worker(self)
    }

    fn retire(&self, worker: u32, force: bool) -> bool {
        Queue::retire(self, worker, force)
    }

    fn abandon(&self, worker: u32) -> Vec<u32> {
        Queue::abandon(self, worker)
    }

    fn retry(&self, slot: u32) -> bool {
        Queue::retry(self, slot)
    }

    fn forget(&self, slot: u32) {
        Queue::forget(self, slot);
    }

    fn begun(&self, worker: u32) -> Vec<u32> {
        Queue::begun(self, worker)
    }

    fn running_for(&self, slot: u32) -> Option<Duration> {
        Queue::running_for(self, slot)
    }

    fn define(&self, definition: &[u8]) -> u32 {
        Queue::define(self, definition)
    }

    fn waiting(&self) -> u32 {
        Queue::waiting(self)
    }

    fn loads(&self) -> Vec<Load> {
        Queue::loads(self)
    }

    fn look_at_times(&self, look: &mut dyn FnMut(&mut Histogram, &mut Histogram)) {
        self.with_times(|wait, run| look(wait, run));
    }

    fn bell(&self) -> &EventFd {
        Queue::bell(self)
    }

    fn wait(&self, timeout: Duration) -> bool {
        Queue::wait(self, timeout)
    }

    fn rest(&self) {
        Queue::rest(self);
    }

    fn backlog_us(&self) -> f64 {
        Queue::backlog_us(self)
    }

    fn stock(&self) -> Option<&Stock> {
        Some(Queue::stock(self))
    }

    fn set_batch(&self, tasks: u32) {
        Queue::set_batch(self, tasks);
    }
}

impl Consumer for Arc<Queue> {
    fn is_pending(&self) -> bool {
        Queue::is_pending(self)
    }

    fn begin_sleep(&self) {
        Queue::begin_sleep(self);
    }

    fn transition_to_awake(&self) {
        Queue::transition_to_awake(self);
    }

    fn signalled_at(&self) -> u64 {
        Queue::signalled_at(self)
    }
}

/// The worker's side; see [`Worker`] for the methods.
#[allow(missing_docs)]
pub trait Taker: Consumer {
    fn pull(&self) -> Option<Task>;
    /// Whether the task pulled last is a direct call, whose caller is likely to make another.
    fn is_called(&self) -> bool {
        false
    }
    /// The time, [`monotonic_ns`], or when the last task was over if nothing has begun since.
    fn now_ns(&self) -> u64 {
        monotonic_ns()
    }
    fn complete(&self, kind: Kind, slot: u32, record: &[u8], payloads: Vec<Payload>) -> bool;
    fn tell(&self, kind: Kind, slot: u32, record: &[u8], payloads: Vec<Payload>) -> bool;
    /// See [`Scheduler::stock`].
    fn stock(&self) -> Option<&Stock> {
        None
    }
    fn retire(&self);
    fn is_aborted(&self, slot: u32) -> bool;
    fn definition(&self, number: u32) -> Option<Arc<[u8]>>;
    fn bell_fd(&self) -> i32;
    /// Resets the bell.
    fn clear_bell(&self);
    /// Rings the worker's own bell.
    fn ring_bell(&self);
}

impl Taker for Worker {
    fn pull(&self) -> Option<Task> {
        Worker::pull(self)
    }

    fn is_called(&self) -> bool {
        Worker::is_called(self)
    }

    fn now_ns(&self) -> u64 {
        Worker::now_ns(self)
    }

    fn complete(&self, kind: Kind, slot: u32, record: &[u8], payloads: Vec<Payload>) -> bool {
        Worker::complete(self, kind, slot, record, payloads)
    }

    fn tell(&self, kind: Kind, slot: u32, record: &[u8], payloads: Vec<Payload>) -> bool {
        Worker::tell(self, kind, slot, record, payloads);
        true
    }

    fn stock(&self) -> Option<&Stock> {
        Some(Queue::stock(self.queue()))
    }

    fn retire(&self) {
        Worker::retire(self);
    }

    fn is_aborted(&self, slot: u32) -> bool {
        Worker::is_aborted(self, slot)
    }

    fn definition(&self, number: u32) -> Option<Arc<[u8]>> {
        self.queue().definition(number)
    }

    fn bell_fd(&self) -> i32 {
        self.bell().as_raw_fd()
    }

    fn clear_bell(&self) {
        self.bell().clear();
    }

    fn ring_bell(&self) {
        self.bell().signal();
    }
}
