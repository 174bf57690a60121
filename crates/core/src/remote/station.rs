//! What the caller knows and holds of one worker's process.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{poll, PollFd, PollFlags};
use rustix::process::{pidfd_open, Pid, PidfdFlags};
use rustix::time::Timespec;

use super::cells::{Cell, CELLS};
use super::frame::{down, Header};
use super::link::{self, Cells};
use super::lots::Item;
use super::pipe::{Inlet, Outlet};
use crate::queue::Task;
use crate::ring::process::Passed;
use crate::sys::eventfd::EventFd;

/// A worker is given so much work ahead, in microseconds, that it need not wait for the caller ...
const AHEAD_US: f64 = 1000.0;
/// ... but not more tasks than this.
const MOST_AHEAD: f64 = 256.0;
/// Cells that are kept for tasks ahead.
const MOST_AT_ONCE: usize = CELLS - MOST_AHEAD as usize * 2;

/// A task that a worker has, begun or not.
pub struct Held {
    /// The task, for others if this worker does not come to it.
    pub item: Item,
    /// When it was given to the worker; a worker's word on when it was begun is not taken for an earlier time.
    pub offered_ns: u64,
}

/// See the module's documentation.
pub struct Station {
    /// To the worker.
    pub outlet: Outlet,
    /// From it.
    pub inlet: Inlet,
    cells: Cells,
    /// What its process adopts, until it has been spawned.
    passed: Option<Passed>,
    /// Tells when it has ended.
    pidfd: Option<OwnedFd>,
    /// Whether its end has been told.
    pub is_over: bool,
    /// By cell.
    held: Vec<Option<Held>>,
    /// Cells in the order in which tasks were put there.
    line: VecDeque<u32>,
    free: Vec<u32>,
    /// Cells whose task was taken back, until the worker has passed it.
    revoked: Vec<u32>,
    /// For this worker alone, not given to it yet.
    pub pinned: VecDeque<Item>,
    /// Whether it takes tasks.
    pub has_started: bool,
    /// Takes no more tasks.
    pub is_retired: bool,
    /// Wrote what cannot be.
    pub is_corrupt: bool,
    /// Has a task that wants no company.
    pub is_alone: bool,
    known_definitions: usize,
    /// Tasks given to it and not taken back.
    pub taken: u32,
    /// Tasks completed.
    pub completed: u64,
    /// Microseconds that those ran.
    pub busy_us: f64,
    average_us: Option<f64>,
}

impl Station {
    /// A worker that has yet to be spawned. `bell` is the caller's.
    pub fn new(bell: &EventFd) -> io::Result<Self> {
        let (ends, passed) = link::create(bell)?;
        let outlet = Outlet::new(ends.sender);
        Ok(Self {
            cells: Cells::new(outlet.memory()),
            outlet,
            inlet: Inlet::new(ends.receiver),
            passed: Some(passed),
            pidfd: None,
            is_over: false,
            held: Vec::new(),
            line: VecDeque::new(),
            free: Vec::new(),
            revoked: Vec::new(),
            pinned: VecDeque::new(),
            has_started: false,
            is_retired: false,
            is_corrupt: false,
            is_alone: false,
            known_definitions: 0,
            taken: 0,
            completed: 0,
            busy_us: 0.0,
            average_us: None,
        })
    }

    /// The descriptors for its process.
    pub fn passed(&self) -> Option<&Passed> {
        self.passed.as_ref()
    }

    /// The descriptors themselves, where both sides are in one process.
    #[cfg(test)]
    pub fn take_passed(&mut self) -> Option<Passed> {
        self.passed.take()
    }

    /// It has been spawned, under this number.
    pub fn begin(&mut self, pid: u32) -> io::Result<()> {
        self.passed = None;
        let pid = Pid::from_raw(pid as i32).ok_or(io::ErrorKind::InvalidInput)?;
        self.pidfd = Some(pidfd_open(pid, PidfdFlags::empty())?);
        Ok(())
    }

    /// Whether its process is known to have ended.
    pub fn has_ended(&self) -> bool {
        let Some(pidfd) = &self.pidfd else {
            return false;
        };
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(
            poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&now)),
            Ok(1..)
        )
    }

    /// Tasks that it has, begun or not.
    pub fn outstanding(&self) -> usize {
        self.line.len()
    }

    /// How many more tasks it may be given, with `concurrency` under way and, if wanted, some ahead.
    pub fn has_room(&self, concurrency: u32, limit: u32, with_ahead: bool) -> bool {
        let is_spent = limit != 0 && self.taken >= limit;
        if !self.has_started || self.is_retired || self.is_corrupt || self.is_alone || is_spent {
            return false;
        }
        if self.line.len() + self.revoked.len() >= CELLS {
            return false;
        }
        let most = (concurrency as usize).min(MOST_AT_ONCE);
        self.line.len() < most + if with_ahead { self.ahead() } else { 0 }
    }

    fn ahead(&self) -> usize {
        let average_us = self.average_us.unwrap_or(AHEAD_US).max(0.1);
        (AHEAD_US / average_us).clamp(1.0, MOST_AHEAD) as usize
    }

    /// Gives it a task. `None` when that worked, else the task, which no worker can be given.
    pub fn offer(
        &mut self,
        item: Item,
        now_ns: u64,
        definitions: &[std::sync::Arc<[u8]>],
    ) -> Result<u32, Item> {
        let Some(number) = self.free_cell() else {
            return Err(item);
        };
        let Some(cell) = self.cells.get(number) else {
            return Err(item);
        };
        cell.transition_to_offered();
        for definition in definitions.get(self.known_definitions..).unwrap_or_default() {
            self.outlet.write(Header::new(down::DEFINITION, 0, 0), definition);
        }
        self.known_definitions = definitions.len();
        let Task {
            slot,
            handler,
            definitions,
            kind,
            alone,
            ..
        } = item.task;
        let header = Header {
            words: [handler, definitions, u32::from(alone), 0],
            ..Header::new(kind as u32, slot, number)
        };
        if !self.outlet.write(header, item.task.record()) {
            cell.transition_to_free();
            self.free.push(number);
            return Err(item);
        }
        self.is_alone = alone;
        self.taken += 1;
        self.line.push_back(number);
        self.held[number as usize] = Some(Held {
            item,
            offered_ns: now_ns,
        });
        Ok(number)
    }

    fn free_cell(&mut self) -> Option<u32> {
        if let Some(number) = self.free.pop() {
            return Some(number);
        }
        let number = self.held.len();
        (number < CELLS).then(|| {
            self.held.push(None);
            number as u32
        })
    }

    /// Finds out which cells of tasks that were taken back the worker has passed.
    pub fn recover(&mut self) {
        let Self {
            cells, revoked, free, ..
        } = self;
        if revoked.len() * 4 < CELLS {
            return;
        }
        revoked.retain(|number| {
            let is_free = cells.get(*number).is_some_and(Cell::is_free);
            if is_free {
                free.push(*number);
            }
            !is_free
        });
    }

    /// The task in a cell.
    pub fn held(&self, number: u32) -> Option<&Held> {
        self.held.get(number as usize)?.as_ref()
    }

    /// Since when the task in a cell has been running.
    pub fn running_since(&self, number: u32) -> Option<u64> {
        let held = self.held(number)?;
        let since = self.cells.get(number)?.running_since()?;
        Some(since.max(held.offered_ns))
    }

    /// Asks for the task in a cell to be aborted. False when it does not run.
    pub fn abort(&self, number: u32) -> bool {
        self.held(number).is_some() && self.cells.get(number).is_some_and(Cell::transition_to_aborted)
    }

    /// Takes a task back that the worker has not begun.
    pub fn revoke(&mut self, number: u32) -> Option<Item> {
        self.held(number)?;
        if !self.cells.get(number)?.transition_to_revoked() {
            return None;
        }
        self.revoked.push(number);
        self.taken -= 1;
        let item = self.leave(number)?.item;
        self.is_alone &= !item.task.alone;
        Some(item)
    }

    /// The task in a cell is over: it was reported on.
    pub fn finish(&mut self, number: u32) -> Option<Held> {
        let held = self.leave(number)?;
        if let Some(cell) = self.cells.get(number) {
            cell.transition_to_free();
        }
        self.free.push(number);
        self.is_alone &= !held.item.task.alone;
        Some(held)
    }

    fn leave(&mut self, number: u32) -> Option<Held> {
        let held = self.held.get_mut(number as usize)?.take()?;
        if let Some(at) = self.line.iter().position(|each| *each == number) {
            self.line.remove(at);
        }
        Some(held)
    }

    /// A task ran for so long.
    pub fn observe(&mut self, run_us: f64) {
        self.completed += 1;
        self.busy_us += run_us;
        let average = self.average_us.unwrap_or(run_us);
        self.average_us = Some((average * 3.0 + run_us) / 4.0);
    }

    /// Cells with tasks that it may not have begun, the last one given first.
    pub fn latest(&self) -> Vec<u32> {
        let may_wait = |number: &u32| self.running_since(*number).is_none();
        self.line.iter().rev().copied().filter(may_wait).collect()
    }

    /// Cells with tasks that it runs.
    pub fn running(&self) -> impl Iterator<Item = (u32, &Held)> {
        let is_running = |number: &u32| self.running_since(*number).is_some();
        self.line
            .iter()
            .copied()
            .filter(is_running)
            .filter_map(|number| Some((number, self.held(number)?)))
    }
}
