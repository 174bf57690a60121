//! The caller's side of the queue.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use super::completions::{times, Entry, Kind, ENTRY_BYTES};
use super::line::{Call, Decision};
use super::order::Ranked;
use super::sleepers::Sleepers;
use super::slots::{Place, Slots};
use super::station::{settle, InHand, Limits, Lot, Station};
use super::stock::{Payload, Stock};
use super::task::{Priority, Target, Task, TaskKind};
use crate::histogram::local::Histogram;
use crate::ring::doorbell::{is_soon, is_soon_pending, Consumer};
use crate::ring::spin::Latency;
use crate::sync::{fence, AtomicU32, AtomicU64, Ordering};
use crate::sys::clock::monotonic_ns;
use crate::sys::eventfd::EventFd;

/// Looks at a line between two looks at anything else: while it does not change, a look costs next to nothing.
pub(super) const POLLS_OF_LINE: u32 = 16;

/// The task queue of a pool of threads; see [`super`].
pub struct Queue {
    limits: Limits,
    /// Maximum number of tasks that a worker takes at once.
    pub(super) batch: AtomicU32,
    pub(super) slots: Slots,
    pub(super) traffic: Traffic,
    pub(super) returned: Lot,
    pub(super) urgent: Ranked,
    pub(super) injector: crossbeam::deque::Injector<Task>,
    pub(super) relaxed: Ranked,
    /// Tasks that must run alone on a worker, where workers may run several at once; and their number.
    pub(super) alone: Ranked,
    pub(super) waiting_alone: AtomicU32,
    /// Number of other tasks pushed and taken so far, counted only where tasks may have to run alone: both
    /// kinds start in the order of arrival.
    shared_pushed: AtomicU64,
    shared_taken: AtomicU64,
    stations: RwLock<Vec<Option<Arc<Station>>>>,
    /// Length of `stations`, readable without its lock, which every thread would have to write to.
    pub(super) workers: AtomicU32,
    /// What workers must know to decode records, in order of definition.
    definitions: Mutex<Vec<Arc<[u8]>>>,
    caller: Caller,
    /// The worker that was called directly last, the first to be tried again.
    called: AtomicU32,
    /// Tasks kept for a retry after their worker ended.
    lost: Mutex<HashMap<u32, Task>>,
    times: Mutex<Times>,
    /// The wait and the run time of the last direct call, in nanoseconds, until they are added to `times`; else
    /// [`TOLD`]. Used by the caller only, which adds them while it waits for the next call.
    untold: AtomicU64,
    /// Memory for payloads that are too large for records, in both directions.
    stock: Stock,
}

/// No times of a direct call have yet to be added.
const TOLD: u64 = u64::MAX;

/// What the caller and workers write for every task, apart from fields that are only read.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Traffic {
    /// Number of tasks that any worker may take: those in the queue's four lots and in the workers' deques.
    pub(super) waiting: AtomicU32,
    pub(super) sleepers: Sleepers,
}

/// Durations of tasks in microseconds.
#[derive(Default)]
struct Times {
    wait: Histogram,
    run: Histogram,
    /// Moving average of recent run times.
    recent_run_us: f64,
}

impl Times {
    fn add(&mut self, (wait_us, run_us): (f64, f64)) {
        self.wait.record(wait_us as u64);
        self.run.record(run_us as u64);
        self.recent_run_us += (run_us - self.recent_run_us) / 8.0;
    }
}

/// How the caller is notified of reports.
#[repr(align(128))]
struct Caller {
    bell: EventFd,
    asleep: AtomicU32,
    /// Number of stations with reports.
    reports: AtomicU32,
    signalled_at: AtomicU64,
}

/// The result of a cancellation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// The task will not run.
    Queued,
    /// This worker has the task in hand.
    Running(u32),
    /// The task's completion is on its way, or there is no such task.
    Over,
}

/// What became of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Called {
    /// The task has returned: length in bytes of the report, as `take` would have copied it.
    Answered(usize),
    /// A worker has the task in hand.
    Begun,
    /// No worker spins with nothing in hand, or there are reports to take first.
    Refused,
}

/// The load of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Load {
    /// Its number.
    pub worker: u32,
    /// Number of tasks it has begun.
    pub in_hand: u32,
    /// Number of tasks queued for it in particular.
    pub pinned: u32,
    /// Number of tasks it has completed.
    pub completed: u64,
    /// Total run time of those in microseconds.
    pub busy_us: u64,
}

impl Queue {
    /// Creates a queue without workers.
    ///
    /// # Errors
    /// EMFILE or ENFILE without free descriptors.
    pub fn new(limits: Limits) -> io::Result<Self> {
        Ok(Self {
            limits,
            batch: AtomicU32::new(1),
            slots: Slots::default(),
            traffic: Traffic::default(),
            returned: Lot::default(),
            urgent: Ranked::default(),
            injector: crossbeam::deque::Injector::new(),
            relaxed: Ranked::default(),
            alone: Ranked::default(),
            waiting_alone: AtomicU32::new(0),
            shared_pushed: AtomicU64::new(0),
            shared_taken: AtomicU64::new(0),
            stations: RwLock::default(),
            workers: AtomicU32::new(0),
            definitions: Mutex::default(),
            caller: Caller {
                bell: EventFd::new()?,
                asleep: AtomicU32::new(0),
                reports: AtomicU32::new(0),
                signalled_at: AtomicU64::new(0),
            },
            called: AtomicU32::new(0),
            lost: Mutex::default(),
            times: Mutex::default(),
            untold: AtomicU64::new(TOLD),
            stock: Stock::default(),
        })
    }

    /// Queues a task. Returns false when its number is out of range or its target worker is gone.
    pub fn push(&self, mut task: Task, target: Target, priority: Priority) -> bool {
        if !self.slots.transition_to_queued(task.slot) {
            return false;
        }
        task.created_ns = monotonic_ns();
        match target {
            Target::Worker(worker) => return self.push_to(worker, task, |station| &station.pinned),
            Target::Alone if self.limits.concurrency > 1 => {
                task.alone = true;
                self.push_alone(task, priority);
            }
            Target::Any | Target::Alone => {
                if self.limits.concurrency > 1 {
                    self.shared_pushed.fetch_add(1, Ordering::SeqCst);
                }
                self.traffic.waiting.fetch_add(1, Ordering::SeqCst);
                if priority > 0.0 {
                    self.urgent.push(task, priority);
                } else if priority < 0.0 {
                    self.relaxed.push(task, priority);
                } else {
                    self.injector.push(task);
                }
                self.wake_one(false);
            }
        }
        true
    }

    fn push_alone(&self, task: Task, priority: Priority) {
        self.waiting_alone.fetch_add(1, Ordering::SeqCst);
        let after = match priority > 0.0 {
            true => 0,
            false => self.shared_pushed.load(Ordering::SeqCst),
        };
        self.alone.push_after(task, priority, after);
        self.wake_one(true);
    }

    /// Whether all tasks that arrived before the first alone-task have been taken.
    pub(super) fn is_alone_next(&self) -> bool {
        let after = self.alone.first_after().unwrap_or(0);
        after <= self.shared_taken.load(Ordering::SeqCst)
    }

    /// Counts a task that need not run alone as taken.
    pub(super) fn count_taken(&self) {
        if self.limits.concurrency > 1 {
            self.shared_taken.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Sends a worker a notice about a task it has in hand. Returns false when the worker is gone.
    pub fn notify(&self, worker: u32, notice: Task) -> bool {
        self.push_to(worker, notice, |station| &station.notices)
    }

    fn push_to(&self, worker: u32, task: Task, lot: impl FnOnce(&Station) -> &Lot) -> bool {
        let Some(station) = self.station(worker) else {
            return false;
        };
        lot(&station).push(task);
        // SeqCst: pairs with the fence in `Worker::transition_to_asleep`.
        fence(Ordering::SeqCst);
        Self::ring(&station);
        true
    }

    /// Any thread: ensures that a worker will find the task that was just made visible.
    pub(super) fn wake_one(&self, alone: bool) {
        if let Some(station) = self
            .traffic
            .sleepers
            .to_wake(alone)
            .and_then(|number| self.station(number))
        {
            Self::ring(&station);
        }
    }

    /// Any thread, after a worker took a task or stopped taking tasks: wakes others for the tasks still
    /// waiting.
    pub(super) fn pass_on(&self) {
        if self.traffic.waiting.load(Ordering::SeqCst) > 0 {
            self.wake_one(false);
        }
        if self.waiting_alone.load(Ordering::SeqCst) > 0 {
            self.wake_one(true);
        }
    }

    fn ring(station: &Station) {
        if station.asleep.load(Ordering::Relaxed) == 1 && station.asleep.swap(0, Ordering::SeqCst) == 1 {
            station.signalled_at.store(monotonic_ns(), Ordering::Relaxed);
            station.bell.signal();
        }
    }

    /// Cancels a task that no worker has in hand. Its number is free once [`Kind::Dropped`] reports it.
    pub fn cancel(&self, slot: u32) -> Cancelled {
        if self.slots.cancel(slot) {
            return Cancelled::Queued;
        }
        match self.slots.place(slot) {
            Place::Taken { worker, .. } => Cancelled::Running(worker),
            _ => Cancelled::Over,
        }
    }

    /// Whether a task is queued and not in hand at a worker.
    pub fn is_queued(&self, slot: u32) -> bool {
        self.slots.place(slot) == Place::Queued
    }

    /// Asks the worker that has a task in hand to abort it. Returns the worker, or `None` when none has it.
    pub fn abort(&self, slot: u32) -> Option<u32> {
        let worker = self.slots.abort(slot)?;
        let notice = Task::new(TaskKind::Abort, slot, &[]);
        self.notify(worker, notice).then_some(worker)
    }

    /// Allocates a station for a new worker and returns its number.
    ///
    /// # Errors
    /// EMFILE or ENFILE without free descriptors.
    pub fn add_worker(&self) -> io::Result<u32> {
        let bell = EventFd::new()?;
        let mut stations = self.write_stations();
        let number = stations
            .iter()
            .position(Option::is_none)
            .unwrap_or(stations.len());
        let station = Some(Arc::new(Station::new(number as u32, self.limits, bell)));
        match stations.get_mut(number) {
            Some(free) => *free = station,
            None => stations.push(station),
        }
        self.workers.store(stations.len() as u32, Ordering::Relaxed);
        Ok(number as u32)
    }

    /// Stops a worker from taking further tasks. Returns false, without effect, when it has tasks in hand or
    /// pinned, unless `force` is set.
    pub fn retire(&self, worker: u32, force: bool) -> bool {
        let Some(station) = self.station(worker) else {
            return true;
        };
        let is_retired = {
            let mut hands = station.hands();
            let is_idle = hands.tasks.is_empty() && station.pinned.is_empty();
            if is_idle || force {
                hands.retired = true;
                station.line.close();
            }
            is_idle || force
        };
        if is_retired {
            self.traffic.sleepers.transition_to_awake(worker);
            self.pass_on();
        }
        is_retired
    }

    /// Removes a worker that has ended, after its last report was taken. Tasks it had not begun go to others;
    /// the numbers of those it had begun are returned.
    pub fn abandon(&self, worker: u32) -> Vec<u32> {
        let station = {
            let mut stations = self.write_stations();
            stations.get_mut(worker as usize).and_then(Option::take)
        };
        let Some(station) = station else {
            return Vec::new();
        };
        self.traffic.sleepers.transition_to_awake(worker);
        if station.outbox.reported.swap(0, Ordering::SeqCst) == 1 {
            self.caller.reports.fetch_sub(1, Ordering::SeqCst);
        }
        if let Some(stealer) = station.stealer.get() {
            while let Some(task) = settle(|| stealer.steal()) {
                // Already counted in `waiting`.
                self.returned.push(task);
                self.wake_one(false);
            }
        }
        while let Some(task) = station.pinned.pop() {
            self.unpin(&station, task);
        }
        self.pass_on();
        let begun = std::mem::take(&mut station.hands().tasks);
        let mut lost = self.lost();
        begun
            .into_iter()
            .map(|task| {
                self.slots.transition_to_free(task.slot);
                if let Some(kept) = task.kept {
                    lost.insert(task.slot, kept);
                }
                task.slot
            })
            .collect()
    }

    /// Makes a task that was pinned to an ended worker available to others.
    fn unpin(&self, station: &Station, task: Task) {
        if task.kind != TaskKind::Parcel {
            return self.give_back(task);
        }
        // Its argument is lost with the worker's port, so the task counts as begun, unless it was cancelled;
        // then nobody is left to report that its number is free.
        let taken = self.slots.transition_to_taken(task.slot, station.number);
        station.hands().tasks.push(InHand {
            slot: task.slot,
            created_ns: task.created_ns,
            started_ns: task.created_ns,
            kept: None,
        });
        debug_assert!(taken || self.slots.place(task.slot) == Place::Nowhere);
    }

    /// Requeues a task for any worker, ahead of tasks that were never assigned.
    fn give_back(&self, task: Task) {
        if task.alone {
            return self.push_alone(task, Priority::MAX);
        }
        self.traffic.waiting.fetch_add(1, Ordering::SeqCst);
        self.returned.push(task);
        self.wake_one(false);
    }

    /// Requeues a task whose worker ended while it ran. Returns false when it was not kept.
    pub fn retry(&self, slot: u32) -> bool {
        let kept = self.lost().remove(&slot);
        let Some(task) = kept else {
            return false;
        };
        if !self.slots.transition_to_queued(slot) {
            return false;
        }
        self.give_back(task);
        true
    }

    /// Discards a task kept for a retry.
    pub fn forget(&self, slot: u32) {
        self.lost().remove(&slot);
    }

    fn lost(&self) -> MutexGuard<'_, HashMap<u32, Task>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets how many tasks a worker may take at once while a large number of very short ones is queued.
    /// Default: 1.
    pub fn set_batch(&self, tasks: u32) {
        self.batch.store(tasks.max(1), Ordering::Relaxed);
    }

    /// Adds a definition that workers need to decode later records. Returns the number of definitions.
    pub fn define(&self, definition: &[u8]) -> u32 {
        let mut definitions = self.definitions();
        definitions.push(definition.into());
        definitions.len() as u32
    }

    /// Any thread: the definition with this number, counting from 0.
    pub fn definition(&self, number: u32) -> Option<Arc<[u8]>> {
        self.definitions().get(number as usize).cloned()
    }

    fn definitions(&self) -> MutexGuard<'_, Vec<Arc<[u8]>>> {
        self.definitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Any thread: the memory for payloads that are too large for records.
    pub fn stock(&self) -> &Stock {
        &self.stock
    }

    /// Number of tasks queued for any worker.
    pub fn waiting(&self) -> u32 {
        self.traffic.waiting.load(Ordering::SeqCst) + self.waiting_alone.load(Ordering::SeqCst)
    }

    /// The load of each worker.
    pub fn loads(&self) -> Vec<Load> {
        let load = |station: &Arc<Station>| Load {
            worker: station.number,
            in_hand: station.in_hand.load(Ordering::SeqCst),
            pinned: station.pinned.len(),
            completed: station.completed.load(Ordering::Relaxed),
            busy_us: station.busy_us.load(Ordering::Relaxed),
        };
        self.stations().iter().flatten().map(load).collect()
    }

    /// The numbers of the tasks that a worker has begun.
    pub fn begun(&self, worker: u32) -> Vec<u32> {
        let slots = |station: Arc<Station>| station.hands().tasks.iter().map(|task| task.slot).collect();
        self.station(worker).map(slots).unwrap_or_default()
    }

    /// How long a task has been running; `None` when no worker has it in hand.
    pub fn running_for(&self, slot: u32) -> Option<Duration> {
        let Place::Taken { worker, .. } = self.slots.place(slot) else {
            return None;
        };
        let station = self.station(worker)?;
        let hands = station.hands();
        let task = hands.tasks.iter().find(|task| task.slot == slot)?;
        Some(Duration::from_nanos(
            monotonic_ns().saturating_sub(task.started_ns),
        ))
    }

    /// Copies reports into `target`, as many whole entries as fit, and appends their payloads to `payloads`
    /// in order. Returns the number of bytes copied, 0 for none.
    ///
    /// # Errors
    /// The size of the first entry when it does not fit.
    pub fn take(&self, target: &mut [u8], payloads: &mut Vec<Payload>) -> Result<usize, usize> {
        let mut filled = 0;
        let mut spent = self.times();
        for station in self.stations().iter().flatten() {
            if station.outbox.reported.swap(0, Ordering::SeqCst) == 0 {
                continue;
            }
            self.caller.reports.fetch_sub(1, Ordering::SeqCst);
            loop {
                let taken = station
                    .outbox
                    .take(&mut target[filled..], payloads, |kind, entry| {
                        if Kind::from_number(kind).is_some_and(Kind::is_final) {
                            spent.add(times(entry));
                        }
                    });
                match taken {
                    Ok(0) => break,
                    Ok(bytes) => filled += bytes,
                    Err(size) => {
                        self.announce(station);
                        return if filled > 0 { Ok(filled) } else { Err(size) };
                    }
                }
            }
        }
        Ok(filled)
    }

    /// Hands a task to a worker that spins with nothing in hand, and spins until it has returned or the worker has
    /// it in hand. The task must not ask for a priority, a retry or a worker, nor have payloads.
    pub fn call(&self, task: &Task, target: &mut [u8]) -> Called {
        if Consumer::is_pending(self) {
            // A series of calls must not keep the caller from the reports of other workers.
            return Called::Refused;
        }
        let created_ns = monotonic_ns();
        let call = Call {
            slot: task.slot,
            handler: task.handler,
            definitions: task.definitions,
            created_ns,
        };
        let stations = self.stations();
        let first = self.called.load(Ordering::Relaxed) as usize;
        let found = (0..stations.len())
            .filter_map(|i| stations[(first + i) % stations.len()].as_ref())
            .find(|station| station.line.offer(call, task.record()));
        let Some(station) = found else {
            return Called::Refused;
        };
        self.called.store(station.number, Ordering::Relaxed);
        if self.untold.load(Ordering::Relaxed) != TOLD {
            drop(self.times());
        }
        let line = &station.line;
        let is_decided = || (0..POLLS_OF_LINE).any(|_| line.decision().is_some());
        if !is_soon(is_decided, Latency::of_process()) {
            station.demote(&self.slots, task.slot, created_ns, created_ns);
        }
        let Some(Decision::Answered { wait_ns, run_ns, .. }) = line.decision() else {
            // A worker that demotes puts the task into its hands with the lock held.
            drop(station.hands());
            return Called::Begun;
        };
        let (header, record) = target.split_at_mut(ENTRY_BYTES);
        let len = line.read(record).next_multiple_of(8);
        let us = |ns: u32| f64::from(ns) / 1000.0;
        let entry = Entry {
            kind: Kind::Result,
            slot: task.slot,
            worker: station.number,
            wait_us: us(wait_ns),
            run_us: us(run_ns),
        };
        let untold = u64::from(wait_ns) << 32 | u64::from(run_ns);
        self.untold.store(untold.min(TOLD - 1), Ordering::Relaxed);
        header.copy_from_slice(&entry.header((ENTRY_BYTES + len) as u32, 0));
        Called::Answered(ENTRY_BYTES + len)
    }

    /// Gives access to the histograms of wait and run times, in microseconds.
    pub fn with_times<T>(&self, read: impl FnOnce(&mut Histogram, &mut Histogram) -> T) -> T {
        let mut spent = self.times();
        let Times { wait, run, .. } = &mut *spent;
        read(wait, run)
    }

    /// Estimated time, in microseconds, for which each worker has work, based on recent run times.
    pub fn backlog_us(&self) -> f64 {
        let workers = self.stations().iter().flatten().count().max(1);
        f64::from(self.waiting()) * self.times().recent_run_us / workers as f64
    }

    fn times(&self) -> MutexGuard<'_, Times> {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let untold = self.untold.load(Ordering::Relaxed);
        if untold != TOLD {
            self.untold.store(TOLD, Ordering::Relaxed);
            let us = |ns: u64| ns as f64 / 1000.0;
            times.add((us(untold >> 32), us(untold & u64::from(u32::MAX))));
        }
        times
    }

    /// Worker's thread: appends a report, and wakes the caller if it sleeps.
    pub(super) fn report(&self, station: &Station, entry: Entry, record: &[u8], payloads: Vec<Payload>) {
        station.outbox.push(entry, record, payloads);
        if !self.announce(station) {
            // The caller does not sleep while a marked outbox has not been taken.
            return;
        }
        // SeqCst: pairs with the fence in `transition_to_asleep`.
        fence(Ordering::SeqCst);
        let caller = &self.caller;
        if caller.asleep.load(Ordering::Relaxed) == 1 && caller.asleep.swap(0, Ordering::SeqCst) == 1 {
            caller.signalled_at.store(monotonic_ns(), Ordering::Relaxed);
            caller.bell.signal();
        }
    }

    /// Marks the outbox as having reports, after a push. False if it was marked: the caller clears the mark before it
    /// locks the outbox, so either the pushing thread sees it cleared, or the caller has yet to lock and finds the
    /// report.
    fn announce(&self, station: &Station) -> bool {
        if station.outbox.reported.load(Ordering::Relaxed) == 1
            || station.outbox.reported.swap(1, Ordering::SeqCst) == 1
        {
            return false;
        }
        self.caller.reports.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// The bell watched by the caller's event loop.
    pub fn bell(&self) -> &EventFd {
        &self.caller.bell
    }

    /// Blocks until there are reports, for at most `timeout`. Returns whether there are any.
    pub fn wait(&self, timeout: Duration) -> bool {
        // Nobody needs to ring while this thread spins. The flag is usually clear already, left by the
        // previous wait.
        if self.caller.asleep.load(Ordering::SeqCst) != 0 {
            self.transition_to_awake();
        }
        if is_soon_pending(self, Latency::of_process()) || !self.transition_to_asleep() {
            return true;
        }
        self.caller.bell.wait(timeout);
        self.caller.bell.clear();
        self.transition_to_awake();
        self.is_pending()
    }

    /// Resumes waiting in the event loop after [`Queue::wait`].
    pub fn rest(&self) {
        if !self.transition_to_asleep() {
            self.caller.bell.signal();
        }
    }

    pub(super) fn station(&self, worker: u32) -> Option<Arc<Station>> {
        self.stations().get(worker as usize).cloned().flatten()
    }

    pub(super) fn stations(&self) -> RwLockReadGuard<'_, Vec<Option<Arc<Station>>>> {
        self.stations.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_stations(&self) -> RwLockWriteGuard<'_, Vec<Option<Arc<Station>>>> {
        self.stations.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The caller's event loop, waiting for reports.
impl Consumer for Queue {
    fn is_pending(&self) -> bool {
        self.caller.reports.load(Ordering::SeqCst) != 0
    }

    fn begin_sleep(&self) {
        self.caller.asleep.swap(1, Ordering::SeqCst);
    }

    fn transition_to_awake(&self) {
        self.caller.asleep.swap(0, Ordering::SeqCst);
    }

    fn signalled_at(&self) -> u64 {
        self.caller.signalled_at.load(Ordering::Relaxed)
    }
}
