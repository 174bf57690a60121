//! The interface for the binding, and how the caller's event loop waits.

use std::io;
use std::time::Duration;

use super::{Dispatch, Place, State};
use crate::queue::Payload;
use crate::queue::{Cancelled, Histogram, Load, Priority, Scheduler, Target, Task};
use crate::remote::station::Station;
use crate::ring::doorbell::{is_soon_pending, Consumer};
use crate::ring::spin::Latency;
use crate::sys::clock::monotonic_ns;
use crate::sys::eventfd::EventFd;

impl Scheduler for Dispatch {
    fn push(&self, task: Task, target: Target, priority: Priority) -> bool {
        let pushed = self.state.borrow_mut().push(task, target, priority);
        self.tell_of_own();
        pushed
    }

    fn take(&self, target: &mut [u8], _payloads: &mut Vec<Payload>) -> Result<usize, usize> {
        self.state.borrow_mut().take(target)
    }

    fn cancel(&self, slot: u32) -> Cancelled {
        let cancelled = self.state.borrow_mut().cancel(slot);
        self.tell_of_own();
        cancelled
    }

    fn is_queued(&self, slot: u32) -> bool {
        let mut state = self.state.borrow_mut();
        match state.place(slot) {
            Place::Queued => true,
            Place::Held { worker, cell } => state
                .station(worker)
                .is_some_and(|station| station.running_since(cell).is_none()),
            Place::Nowhere | Place::Cancelled => false,
        }
    }

    fn abort(&self, slot: u32) -> Option<u32> {
        self.state.borrow_mut().abort(slot)
    }

    fn notify(&self, worker: u32, notice: Task) -> bool {
        self.state.borrow_mut().notify(worker, notice.kind, notice.slot)
    }

    fn add_worker(&self) -> io::Result<u32> {
        let station = Station::new(&self.bell)?;
        // A superfluous ring is harmless, a missing one is not.
        station.inlet.begin_sleep();
        let mut state = self.state.borrow_mut();
        let free = state.stations.iter().position(Option::is_none);
        let number = free.unwrap_or(state.stations.len());
        match state.stations.get_mut(number) {
            Some(free) => *free = Some(station),
            None => state.stations.push(Some(station)),
        }
        Ok(number as u32)
    }

    fn retire(&self, worker: u32, force: bool) -> bool {
        let retired = self.state.borrow_mut().retire(worker, force);
        self.tell_of_own();
        retired
    }

    fn abandon(&self, worker: u32) -> Vec<u32> {
        let begun = self.state.borrow_mut().abandon(worker);
        self.tell_of_own();
        begun
    }

    fn retry(&self, slot: u32) -> bool {
        let retried = self.state.borrow_mut().retry(slot);
        self.tell_of_own();
        retried
    }

    fn forget(&self, slot: u32) {
        self.state.borrow_mut().lost.remove(&slot);
    }

    fn begun(&self, worker: u32) -> Vec<u32> {
        let mut state = self.state.borrow_mut();
        let Some(station) = state.station(worker) else {
            return Vec::new();
        };
        station.running().map(|(_, held)| held.item.task.slot).collect()
    }

    fn running_for(&self, slot: u32) -> Option<Duration> {
        let mut state = self.state.borrow_mut();
        let Place::Held { worker, cell } = state.place(slot) else {
            return None;
        };
        let since = state.station(worker)?.running_since(cell)?;
        Some(Duration::from_nanos(monotonic_ns().saturating_sub(since)))
    }

    fn define(&self, definition: &[u8]) -> u32 {
        let mut state = self.state.borrow_mut();
        state.definitions.push(definition.into());
        state.definitions.len() as u32
    }

    fn waiting(&self) -> u32 {
        let state = self.state.borrow();
        (state.any.len() + state.alone.len()) as u32
    }

    fn loads(&self) -> Vec<Load> {
        let state = self.state.borrow();
        let stations = state.stations.iter().enumerate();
        stations
            .filter_map(|(worker, station)| Some((worker as u32, station.as_ref()?)))
            .map(|(worker, station)| Load {
                worker,
                in_hand: station.running().count() as u32,
                pinned: station.pinned.len() as u32,
                completed: station.completed,
                busy_us: station.busy_us as u64,
            })
            .collect()
    }

    fn look_at_times(&self, look: &mut dyn FnMut(&mut Histogram, &mut Histogram)) {
        let mut state = self.state.borrow_mut();
        let State { waits, runs, .. } = &mut *state;
        look(waits, runs);
    }

    fn bell(&self) -> &EventFd {
        &self.bell
    }

    fn on_bell(&self) {
        for station in self.state.borrow_mut().stations.iter_mut().flatten() {
            station.outlet.flush();
        }
    }

    fn wait(&self, timeout: Duration) -> bool {
        self.on_bell();
        self.transition_to_awake();
        if is_soon_pending(self, Latency::of_process()) || !self.transition_to_asleep() {
            return true;
        }
        self.bell.wait(timeout);
        self.bell.clear();
        self.transition_to_awake();
        self.on_bell();
        if !self.is_pending() {
            self.state.borrow_mut().look_for_ended();
        }
        self.is_pending()
    }

    fn rest(&self) {
        if !self.transition_to_asleep() {
            self.bell.signal();
        }
    }
}

impl Dispatch {
    /// Reports created outside `take` are delivered in a turn of the event loop.
    fn tell_of_own(&self) {
        if !self.state.borrow().reports.is_empty() {
            self.bell.signal();
        }
    }
}

/// The caller's event loop, waiting for reports.
impl Consumer for Dispatch {
    fn is_pending(&self) -> bool {
        self.state.borrow().is_pending()
    }

    fn begin_sleep(&self) {
        for station in self.state.borrow().stations.iter().flatten() {
            station.inlet.begin_sleep();
        }
    }

    fn transition_to_awake(&self) {
        for station in self.state.borrow().stations.iter().flatten() {
            station.inlet.transition_to_awake();
        }
    }

    fn signalled_at(&self) -> u64 {
        let state = self.state.borrow();
        let stations = state.stations.iter().flatten();
        stations
            .map(|station| station.inlet.signalled_at())
            .max()
            .unwrap_or(0)
    }
}
