//! The caller's side.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

mod giving;
mod reports;
mod scheduler;

use super::cells::CELLS;
use super::frame::{down, Header, MAX_BODY_BYTES};
use super::link::PASSED;
use super::lots::{Item, Lot};
use super::station::Station;
use crate::queue::{Cancelled, Entry, Histogram, Kind, Limits, Priority, Target, Task, TaskKind};
use crate::sys::clock::monotonic_ns;
use crate::sys::eventfd::EventFd;

/// Maximum number of tasks in flight.
const MOST_TASKS: u32 = 1 << 26;

/// Where a task is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Nowhere,
    /// Queued on the caller's side, for any worker or a specific one.
    Queued,
    /// Like `Queued`, but cancelled.
    Cancelled,
    /// At a worker, begun or not.
    Held {
        worker: u32,
        cell: u32,
    },
}

/// The caller's side of a pool of processes, see [`super`]. Owned by one thread.
pub struct Dispatch {
    state: RefCell<State>,
    bell: EventFd,
}

struct State {
    limits: Limits,
    places: Vec<Place>,
    /// Tasks for any worker.
    any: Lot,
    /// Tasks that must run alone on a worker.
    alone: Lot,
    arrivals: u64,
    /// The time, [`monotonic_ns`], when last looked up: a task pushed now is given now.
    clock_ns: u64,
    stations: Vec<Option<Station>>,
    /// A lower bound of the priorities of tasks pushed ahead.
    least_ahead: Priority,
    definitions: Vec<Arc<[u8]>>,
    /// Tasks kept for a retry after their worker ended.
    lost: HashMap<u32, Item>,
    /// Reports created by the caller's side, delivered after those of workers.
    reports: VecDeque<Entry>,
    waits: Histogram,
    runs: Histogram,
}

impl Dispatch {
    /// Creates a queue without workers.
    ///
    /// # Errors
    /// EMFILE or ENFILE without free descriptors.
    pub fn new(limits: Limits) -> io::Result<Self> {
        Ok(Self {
            bell: EventFd::new()?,
            state: RefCell::new(State {
                limits,
                places: Vec::new(),
                any: Lot::default(),
                alone: Lot::default(),
                arrivals: 0,
                clock_ns: 0,
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

    /// The descriptors that a worker's process must inherit, after queueing its startup message. They remain
    /// owned by this process.
    pub fn passed(&self, worker: u32, startup: &[u8]) -> Option<[i32; PASSED]> {
        let mut state = self.state.borrow_mut();
        let station = state.station(worker)?;
        station.outlet.write(Header::new(down::STARTUP, 0, 0), startup);
        station.outlet.publish();
        Some(station.passed()?.numbers())
    }

    /// Records that a worker's process has been spawned.
    ///
    /// # Errors
    /// EMFILE or ENFILE without free descriptors.
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
        self.clock_ns = monotonic_ns();
        task.created_ns = self.clock_ns;
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

    /// Requeues a task at its former position, for any worker.
    fn give_back(&mut self, mut item: Item) {
        item.pinned = false;
        self.set_place(item.task.slot, Place::Queued);
        match item.task.alone {
            true => self.alone.give_back(item),
            false => self.any.give_back(item),
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
                // It has just been claimed, or its report is on the way.
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

    /// Gives a worker no more tasks and reassigns those it has not begun.
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
