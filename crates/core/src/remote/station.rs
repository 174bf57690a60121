//! The caller's state for one worker process.

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

/// A worker is given enough work ahead, in microseconds, not to wait for the caller ...
const AHEAD_US: f64 = 1000.0;
/// ... but at most this many tasks.
const MOST_AHEAD: f64 = 1024.0;
/// Limit on the tasks in hand; the other cells are reserved for tasks pushed ahead.
const MOST_AT_ONCE: usize = CELLS - MOST_AHEAD as usize * 2;

/// A task at a worker, begun or not.
pub struct Held {
    /// The task, to be reassigned if this worker does not begin it.
    pub item: Item,
    /// When it was assigned; the lower bound for the worker's claim of when it was begun.
    pub offered_ns: u64,
}

/// A worker process as seen by the caller.
pub struct Station {
    /// To the worker.
    pub outlet: Outlet,
    /// From the worker.
    pub inlet: Inlet,
    cells: Cells,
    /// The descriptors for its process, until it has been spawned.
    passed: Option<Passed>,
    /// Signals the end of its process.
    pidfd: Option<OwnedFd>,
    /// Whether its end has been reported.
    pub is_over: bool,
    /// Indexed by cell.
    held: Vec<Option<Held>>,
    /// Cells in order of assignment.
    line: VecDeque<u32>,
    free: Vec<u32>,
    /// Cells of revoked tasks, until the worker has skipped them.
    revoked: Vec<u32>,
    /// Tasks for this worker only, not assigned yet.
    pub pinned: VecDeque<Item>,
    /// Whether it takes tasks.
    pub has_started: bool,
    /// Whether it takes no more tasks.
    pub is_retired: bool,
    /// Whether it wrote invalid data.
    pub is_corrupt: bool,
    /// Whether it has a task that must run alone.
    pub is_alone: bool,
    known_definitions: usize,
    /// Tasks assigned and not revoked.
    pub taken: u32,
    /// Tasks completed.
    pub completed: u64,
    /// Total run time of those in microseconds.
    pub busy_us: f64,
    average_us: Option<f64>,
}

impl Station {
    /// The station of a worker that has not been spawned yet. `bell` is the caller's.
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

    /// The descriptors themselves, for tests with both sides in one process.
    #[cfg(test)]
    pub fn take_passed(&mut self) -> Option<Passed> {
        self.passed.take()
    }

    /// Records that its process was spawned.
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

    /// Number of tasks it has, begun or not.
    pub fn outstanding(&self) -> usize {
        self.line.len()
    }

    /// Whether it may be given another task: up to `concurrency` in hand plus, if `with_ahead` is set, some
    /// ahead.
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

    /// Gives it a task and returns the cell. Returns the task if that is impossible.
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

    /// Collects the cells of revoked tasks that the worker has skipped.
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

    /// When the task in a cell was begun, if it is running.
    pub fn running_since(&self, number: u32) -> Option<u64> {
        let held = self.held(number)?;
        let since = self.cells.get(number)?.running_since()?;
        Some(since.max(held.offered_ns))
    }

    /// Requests that the task in a cell be aborted. Returns false when it is not running.
    pub fn abort(&self, number: u32) -> bool {
        self.held(number).is_some() && self.cells.get(number).is_some_and(Cell::transition_to_aborted)
    }

    /// Revokes a task that the worker has not begun.
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

    /// Takes back the last assigned task that it has not begun and that another worker may run.
    pub fn revoke_last(&mut self) -> Option<Item> {
        (0..self.line.len()).rev().find_map(|at| {
            let number = *self.line.get(at)?;
            let item = &self.held(number)?.item;
            if item.pinned || item.task.alone {
                return None;
            }
            self.revoke(number)
        })
    }

    /// Removes a task that was reported on.
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
        // Those that are taken back are the last ones, those that are over the first.
        if self.line.back() == Some(&number) {
            self.line.pop_back();
        } else if let Some(at) = self.line.iter().position(|each| *each == number) {
            self.line.remove(at);
        }
        Some(held)
    }

    /// Records the run time of a completed task.
    pub fn observe(&mut self, run_us: f64) {
        self.completed += 1;
        self.busy_us += run_us;
        let average = self.average_us.unwrap_or(run_us);
        self.average_us = Some((average * 3.0 + run_us) / 4.0);
    }

    /// Cells with tasks that it may not have begun, most recently assigned first.
    pub fn latest(&self) -> Vec<u32> {
        let may_wait = |number: &u32| self.running_since(*number).is_none();
        self.line.iter().rev().copied().filter(may_wait).collect()
    }

    /// Cells with tasks that it is running.
    pub fn running(&self) -> impl Iterator<Item = (u32, &Held)> {
        let is_running = |number: &u32| self.running_since(*number).is_some();
        self.line
            .iter()
            .copied()
            .filter(is_running)
            .filter_map(|number| Some((number, self.held(number)?)))
    }
}
