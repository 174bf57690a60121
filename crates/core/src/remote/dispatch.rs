//! The caller's side.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;

mod reports;

use super::cells::CELLS;
use super::frame::{down, Header, MAX_BODY_BYTES};
use super::link::PASSED;
use super::lots::{Item, Lot};
use super::station::Station;
use crate::queue::{
    Cancelled, Entry, Histogram, Kind, Limits, Load, Priority, Scheduler, Target, Task, TaskKind,
};
use crate::ring::doorbell::{is_soon_pending, Consumer};
use crate::ring::slab::Payload;
use crate::ring::spin::Latency;
use crate::sync::{fence, Ordering};
use crate::sys::clock::monotonic_ns;
use crate::sys::eventfd::EventFd;

/// Tasks that can be under way at once.
const MOST_TASKS: u32 = 1 << 26;

/// Where a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Nowhere,
    /// It waits here, in a lot or for its worker.
    Queued,
    /// As `Queued`, cancelled.
    Cancelled,
    /// A worker has it.
    Held {
        worker: u32,
        cell: u32,
    },
}

/// See [`super`]. Belongs to one thread.
pub struct Dispatch {
    state: RefCell<State>,
    bell: EventFd,
}

struct State {
    limits: Limits,
    places: Vec<Place>,
    /// For any worker.
    any: Lot,
    /// For a worker that has nothing else.
    alone: Lot,
    arrivals: u64,
    stations: Vec<Option<Station>>,
    /// The lowest priority among tasks pushed ahead, or lower.
    least_ahead: Priority,
    definitions: Vec<Arc<[u8]>>,
    /// Tasks whose worker ended, kept for another try.
    lost: HashMap<u32, Item>,
    /// Reports of our own, for behind those of workers.
    reports: VecDeque<Entry>,
    waits: Histogram,
    runs: Histogram,
}

impl Dispatch {
    /// A queue without workers.
    ///
    /// # Errors
    /// EMFILE and ENFILE without descriptors left.
    pub fn new(limits: Limits) -> io::Result<Self> {
        Ok(Self {
            bell: EventFd::new()?,
            state: RefCell::new(State {
                limits,
                places: Vec::new(),
                any: Lot::default(),
                alone: Lot::default(),
                arrivals: 0,
                stations: Vec::new(),
                least_ahead: Priority::INFINITY,
                definitions: Vec::new(),
                lost: HashMap::new(),
                reports: VecDeque::new(),
                waits: Histogram::default(),
                runs: Histogram::default(),
            }),
        })
    }

    /// The descriptors that a worker's process is to inherit, and what it is told first. They stay this
    /// process's own.
    pub fn passed(&self, worker: u32, startup: &[u8]) -> Option<[i32; PASSED]> {
        let mut state = self.state.borrow_mut();
        let station = state.station(worker)?;
        station.outlet.write(Header::new(down::STARTUP, 0, 0), startup);
        station.outlet.publish();
        Some(station.passed()?.numbers())
    }

    /// A worker's process has been spawned.
    ///
    /// # Errors
    /// EMFILE and ENFILE without descriptors left.
    pub fn spawned(&self, worker: u32, pid: u32) -> io::Result<()> {
        match self.state.borrow_mut().station(worker) {
            Some(station) => station.begin(pid),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
impl Dispatch {
    /// As a worker's process would.
    pub fn inherit(&self, worker: u32, startup: &[u8]) -> [std::os::fd::OwnedFd; PASSED] {
        self.passed(worker, startup).unwrap();
        let mut state = self.state.borrow_mut();
        state.station(worker).unwrap().take_passed().unwrap().into_fds()
    }
}

impl State {
    fn station(&mut self, worker: u32) -> Option<&mut Station> {
        self.stations.get_mut(worker as usize)?.as_mut()
    }

    fn place(&self, slot: u32) -> Place {
        self.places.get(slot as usize).copied().unwrap_or(Place::Nowhere)
    }

    fn set_place(&mut self, slot: u32, place: Place) {
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, Place::Nowhere);
        }
        self.places[slot as usize] = place;
    }

    fn push(&mut self, mut task: Task, target: Target, priority: Priority) -> bool {
        if task.slot >= MOST_TASKS || task.record().len() > MAX_BODY_BYTES {
            return false;
        }
        task.created_ns = monotonic_ns();
        task.alone = target == Target::Alone && self.limits.concurrency > 1;
        self.arrivals += 1;
        let slot = task.slot;
        let item = Item {
            task,
            priority: if priority.is_nan() { 0.0 } else { priority },
            arrival: self.arrivals,
            pinned: matches!(target, Target::Worker(_)),
        };
        let priority = item.priority;
        match target {
            Target::Worker(worker) => match self.station(worker) {
                Some(station) => station.pinned.push_back(item),
                None => return false,
            },
            Target::Alone if item.task.alone => self.alone.push(item),
            Target::Any | Target::Alone => self.any.push(item),
        }
        self.set_place(slot, Place::Queued);
        if priority > self.least_ahead {
            self.recall_below(priority);
        }
        self.pump();
        true
    }

    /// Back where it was, for any worker.
    fn give_back(&mut self, mut item: Item) {
        item.pinned = false;
        self.set_place(item.task.slot, Place::Queued);
        match item.task.alone {
            true => self.alone.give_back(item),
            false => self.any.give_back(item),
        }
    }

    /// Takes back what was pushed ahead of a task that comes first, unless some worker is free for it.
    fn recall_below(&mut self, priority: Priority) {
        let Limits { concurrency, tasks } = self.limits;
        let mut stations = self.stations.iter().flatten();
        if stations.any(|station| station.has_room(concurrency, tasks, false)) {
            return;
        }
        let mut least = Priority::INFINITY;
        let mut recalled = Vec::new();
        for station in self.stations.iter_mut().flatten() {
            for cell in station.latest() {
                let item = station.held(cell).map(|held| &held.item);
                let Some(item) = item.filter(|item| !item.pinned) else {
                    continue;
                };
                if item.priority < priority {
                    recalled.extend(station.revoke(cell));
                } else {
                    least = least.min(item.priority);
                }
            }
        }
        self.least_ahead = least;
        recalled.into_iter().for_each(|item| self.give_back(item));
    }

    /// Gives tasks to workers, as long as there are both.
    fn pump(&mut self) {
        for worker in 0..self.stations.len() as u32 {
            self.station(worker).into_iter().for_each(Station::recover);
            self.give_pinned(worker);
        }
        while let Some((worker, is_alone)) = self.next_taker() {
            let lot = if is_alone { &mut self.alone } else { &mut self.any };
            let Some(item) = lot.pop() else {
                break;
            };
            self.give(worker, item);
        }
        self.even_out();
        for station in self.stations.iter_mut().flatten() {
            station.outlet.publish();
        }
    }

    fn give_pinned(&mut self, worker: u32) {
        let Limits { concurrency, tasks } = self.limits;
        while let Some(station) = self.station(worker) {
            let next = station.pinned.front();
            let must_wait = next.is_some_and(|item| item.task.alone) && station.outstanding() > 0;
            if must_wait || !station.has_room(concurrency, tasks, true) {
                return;
            }
            let Some(item) = station.pinned.pop_front() else {
                return;
            };
            self.give(worker, item);
        }
    }

    /// Gives a task to a worker with room for it.
    fn give(&mut self, worker: u32, item: Item) {
        let slot = item.task.slot;
        if self.place(slot) != Place::Queued {
            return self.drop_cancelled(slot);
        }
        let priority = item.priority;
        let Self {
            stations,
            definitions,
            ..
        } = self;
        let Some(station) = stations.get_mut(worker as usize).and_then(Option::as_mut) else {
            return self.give_back(item);
        };
        match station.offer(item, monotonic_ns(), definitions) {
            Ok(cell) => {
                self.least_ahead = self.least_ahead.min(priority);
                self.set_place(slot, Place::Held { worker, cell });
            }
            Err(item) => {
                // It had room, as was asked, so this cannot be; not to be tried for ever.
                station.is_corrupt = true;
                self.report(Kind::Corrupt, 0, worker);
                self.give_back(item);
            }
        }
    }

    fn drop_cancelled(&mut self, slot: u32) {
        self.set_place(slot, Place::Nowhere);
        self.report(Kind::Dropped, slot, 0);
    }

    fn report(&mut self, kind: Kind, slot: u32, worker: u32) {
        self.reports.push_back(Entry {
            kind,
            slot,
            worker,
            wait_us: 0.0,
            run_us: 0.0,
        });
    }

    /// Whether a task that must be alone waits. Those that were cancelled do not count.
    fn has_alone(&mut self) -> bool {
        while let Some(slot) = self.alone.peek().map(|item| item.task.slot) {
            if self.place(slot) == Place::Queued {
                return true;
            }
            self.alone.pop();
            self.drop_cancelled(slot);
        }
        false
    }

    /// The worker that gets the next task, and whether it gets one that must be alone.
    fn next_taker(&mut self) -> Option<(u32, bool)> {
        let has_alone = self.has_alone();
        let has_any = self.any.len() > 0;
        if !has_alone && !has_any {
            return None;
        }
        // All start in the order in which they came.
        let is_alone = has_alone && !self.any.comes_before(&self.alone);
        let Limits { concurrency, tasks } = self.limits;
        let may_take = |station: &Station| {
            station.has_room(concurrency, tasks, !is_alone) && (!is_alone || station.outstanding() == 0)
        };
        let least = self.stations.iter().enumerate();
        let (worker, _) = least
            .filter_map(|(worker, station)| Some((worker, station.as_ref().filter(|each| may_take(each))?)))
            .min_by_key(|(_, station)| station.outstanding())?;
        Some((worker as u32, is_alone))
    }

    /// Workers with nothing to begin get what others have not begun.
    fn even_out(&mut self) {
        let Limits { concurrency, tasks } = self.limits;
        loop {
            let is_idle = |station: &Station| station.has_room(concurrency, tasks, false);
            let idle = self
                .stations
                .iter()
                .position(|station| station.as_ref().is_some_and(is_idle));
            let Some(idle) = idle else {
                return;
            };
            let Some(item) = self.take_back_from_busiest(idle) else {
                return;
            };
            self.set_place(item.task.slot, Place::Queued);
            self.give(idle as u32, item);
        }
    }

    /// The last task of the worker that has the most it has not begun.
    fn take_back_from_busiest(&mut self, idle: usize) -> Option<Item> {
        let most_first = {
            let mut loads: Vec<(usize, usize)> = self
                .stations
                .iter()
                .enumerate()
                .filter(|(worker, _)| *worker != idle)
                .filter_map(|(worker, station)| Some((station.as_ref()?.outstanding(), worker)))
                .filter(|(outstanding, _)| *outstanding > self.limits.concurrency.min(CELLS as u32) as usize)
                .collect();
            loads.sort_unstable_by(|a, b| b.cmp(a));
            loads
        };
        most_first.into_iter().find_map(|(_, worker)| {
            let station = self.stations.get_mut(worker)?.as_mut()?;
            let may_go = |station: &Station, cell: u32| {
                station
                    .held(cell)
                    .is_some_and(|held| !held.item.pinned && !held.item.task.alone)
            };
            station
                .latest()
                .into_iter()
                .filter(|cell| may_go(station, *cell))
                .collect::<Vec<_>>()
                .into_iter()
                .find_map(|cell| station.revoke(cell))
        })
    }

    fn cancel(&mut self, slot: u32) -> Cancelled {
        match self.place(slot) {
            Place::Queued => {
                self.set_place(slot, Place::Cancelled);
                Cancelled::Queued
            }
            Place::Held { worker, cell } => {
                let Some(station) = self.station(worker) else {
                    return Cancelled::Over;
                };
                if station.running_since(cell).is_some() {
                    return Cancelled::Running(worker);
                }
                if station.revoke(cell).is_some() {
                    self.drop_cancelled(slot);
                    self.on_room(worker);
                    self.pump();
                    return Cancelled::Queued;
                }
                // It was claimed this moment, or its report is on the way.
                match station.running_since(cell) {
                    Some(_) => Cancelled::Running(worker),
                    None => Cancelled::Over,
                }
            }
            Place::Nowhere | Place::Cancelled => Cancelled::Over,
        }
    }

    fn abort(&mut self, slot: u32) -> Option<u32> {
        let Place::Held { worker, cell } = self.place(slot) else {
            return None;
        };
        let station = self.station(worker)?;
        if !station.abort(cell) {
            return None;
        }
        self.notify(worker, TaskKind::Abort, slot);
        Some(worker)
    }

    fn notify(&mut self, worker: u32, kind: TaskKind, slot: u32) -> bool {
        let Some(station) = self.station(worker) else {
            return false;
        };
        station.outlet.write(Header::new(kind as u32, slot, 0), &[]);
        station.outlet.publish();
        true
    }

    fn retire(&mut self, worker: u32, force: bool) -> bool {
        let Some(station) = self.station(worker) else {
            return true;
        };
        let is_idle = station.outstanding() == 0 && station.pinned.is_empty();
        if !is_idle && !force {
            return false;
        }
        self.let_go(worker);
        true
    }

    /// A worker gets no more tasks; what it has not begun goes to others.
    fn let_go(&mut self, worker: u32) {
        let Some(station) = self.station(worker) else {
            return;
        };
        station.is_retired = true;
        let cells = station.latest();
        let items: Vec<Item> = cells
            .into_iter()
            .filter_map(|cell| station.revoke(cell))
            .collect();
        items.into_iter().for_each(|item| self.give_back(item));
        self.pump();
    }

    fn abandon(&mut self, worker: u32) -> Vec<u32> {
        let Some(mut station) = self.stations.get_mut(worker as usize).and_then(Option::take) else {
            return Vec::new();
        };
        for cell in station.latest() {
            if let Some(item) = station.revoke(cell) {
                self.give_back(item);
            }
        }
        let mut begun = Vec::new();
        for cell in 0..CELLS as u32 {
            let Some(held) = station.finish(cell) else {
                continue;
            };
            let slot = held.item.task.slot;
            self.set_place(slot, Place::Nowhere);
            if held.item.task.keep {
                self.lost.insert(slot, held.item);
            }
            begun.push(slot);
        }
        for item in std::mem::take(&mut station.pinned) {
            let slot = item.task.slot;
            match self.place(slot) {
                Place::Queued => self.give_back(item),
                _ => self.drop_cancelled(slot),
            }
        }
        drop(station);
        self.pump();
        begun
    }

    fn retry(&mut self, slot: u32) -> bool {
        let Some(item) = self.lost.remove(&slot) else {
            return false;
        };
        self.give_back(item);
        self.pump();
        true
    }
}

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
        // A ring too many does no harm, one too few would.
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
    /// Reports of our own that came about outside of `take` are taken on a turn of the event loop.
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

    fn transition_to_asleep(&self) -> bool {
        for station in self.state.borrow().stations.iter().flatten() {
            station.inlet.begin_sleep();
        }
        // SeqCst: pairs with the fence in `Control::ring_needed`.
        fence(Ordering::SeqCst);
        if self.is_pending() {
            self.transition_to_awake();
            return false;
        }
        true
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
