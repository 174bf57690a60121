//! The side of a worker's process.

use std::cell::{Cell as StdCell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::frame::{down, up, Header, MAX_BODY_BYTES};
use super::link::{self, Cells, PASSED};
use super::pipe::{Corrupt, Inlet, Outlet};
use crate::queue::Payload;
use crate::queue::{Kind, Taker, Task, TaskKind};
use crate::ring::doorbell::Consumer;
use crate::sync::{fence, Ordering};
use crate::sys::clock::monotonic_ns;

/// Longest sleep at a time while waiting for the startup message.
const SLICE: Duration = Duration::from_millis(50);

/// Memory for bodies that is kept between frames.
const KEPT_BYTES: usize = 64 * 1024;

/// A task that was pushed ahead.
struct Offered {
    cell: u32,
    task: Task,
}

/// A task in hand.
struct Hand {
    slot: u32,
    cell: u32,
    began_ns: u64,
}

/// A worker, owned by one thread of the worker's process.
pub struct RemoteWorker {
    state: RefCell<State>,
    concurrency: StdCell<usize>,
}

struct State {
    inlet: Inlet,
    outlet: Outlet,
    cells: Cells,
    startup: Option<Vec<u8>>,
    definitions: Vec<Arc<[u8]>>,
    notices: VecDeque<Task>,
    offered: VecDeque<Offered>,
    hands: Vec<Hand>,
    is_alone: bool,
    is_retired: bool,
    /// The caller wrote invalid data and is ignored from then on.
    is_cut: bool,
    /// The body of the frame that was read last.
    body: Vec<u8>,
    /// When the last task was over, [`monotonic_ns`]; 0 once another has been begun.
    over_ns: u64,
}

impl RemoteWorker {
    /// Takes ownership of the descriptors that this process inherited.
    ///
    /// # Errors
    /// `InvalidData` when they are not those of a pool's worker.
    pub fn adopt(inherited: [OwnedFd; PASSED]) -> io::Result<Self> {
        let ends = link::adopt(inherited)?;
        Ok(Self {
            concurrency: StdCell::new(1),
            state: RefCell::new(State {
                cells: Cells::new(ends.receiver.memory()),
                inlet: Inlet::new(ends.receiver),
                outlet: Outlet::new(ends.sender),
                startup: None,
                definitions: Vec::new(),
                notices: VecDeque::new(),
                offered: VecDeque::new(),
                hands: Vec::new(),
                is_alone: false,
                is_retired: false,
                is_cut: false,
                body: Vec::new(),
                over_ns: 0,
            }),
        })
    }

    /// Waits for the startup message. `None` when it does not arrive within `limit`.
    pub fn startup(&self, limit: Duration) -> Option<Vec<u8>> {
        let until = Instant::now() + limit;
        loop {
            let mut state = self.state.borrow_mut();
            state.absorb();
            if let Some(startup) = state.startup.take() {
                return Some(startup);
            }
            if Instant::now() > until {
                return None;
            }
            state.inlet.begin_sleep();
            // SeqCst: as in `transition_to_asleep`.
            fence(Ordering::SeqCst);
            if !state.inlet.is_pending() {
                state.inlet.receiver().wait_for_bell(SLICE);
            }
            state.inlet.receiver().clear_bell();
            state.inlet.transition_to_awake();
        }
    }

    /// Sets how many tasks may be in hand at once.
    pub fn set_concurrency(&self, tasks: u32) {
        self.concurrency.set(tasks.max(1) as usize);
    }

    /// The bell watched by the event loop.
    pub fn bell_fd(&self) -> i32 {
        self.state.borrow().inlet.receiver().bell_fd()
    }

    /// Resets the bell and sends buffered frames.
    pub fn clear_bell(&self) {
        let mut state = self.state.borrow_mut();
        state.inlet.receiver().clear_bell();
        state.outlet.flush();
    }

    /// Rings the worker's own bell.
    pub fn ring_bell(&self) {
        self.state.borrow().inlet.receiver().ring();
    }

    /// See [`Worker::now_ns`](crate::queue::Worker::now_ns).
    pub fn now_ns(&self) -> u64 {
        match self.state.borrow().over_ns {
            0 => monotonic_ns(),
            over_ns => over_ns,
        }
    }

    /// The next notice or task. A task is in hand from here on.
    pub fn pull(&self) -> Option<Task> {
        let mut state = self.state.borrow_mut();
        state.absorb();
        state
            .notices
            .pop_front()
            .or_else(|| state.claim(self.concurrency.get()))
    }

    /// Reports the completion of a task. Returns false when it is not in hand or the record is too long.
    pub fn complete(&self, kind: Kind, slot: u32, record: &[u8]) -> bool {
        if record.len() > MAX_BODY_BYTES {
            return false;
        }
        let mut state = self.state.borrow_mut();
        let Some(at) = state.hands.iter().position(|hand| hand.slot == slot) else {
            return false;
        };
        let Hand { cell, began_ns, .. } = state.hands.swap_remove(at);
        state.is_alone = false;
        if let Some(cell) = state.cells.get(cell) {
            cell.transition_to_done();
        }
        state.over_ns = monotonic_ns();
        let header = Header::new(kind as u32, slot, cell).with_times(began_ns, state.over_ns);
        state.send(header, record)
    }

    /// Sends a report that does not complete a task. Returns false when it is too long.
    pub fn tell(&self, kind: Kind, slot: u32, record: &[u8]) -> bool {
        let mut state = self.state.borrow_mut();
        let hand = state.hands.iter().find(|hand| hand.slot == slot);
        let cell = hand.map_or(0, |hand| hand.cell);
        state.send(Header::new(kind as u32, slot, cell), record)
    }

    /// Takes no more tasks; the caller revokes those pushed ahead.
    pub fn retire(&self) {
        let mut state = self.state.borrow_mut();
        state.is_retired = true;
        state.send(Header::new(up::RETIRING, 0, 0), &[]);
    }

    /// Whether a task in hand is to be aborted.
    pub fn is_aborted(&self, slot: u32) -> bool {
        let state = self.state.borrow();
        let hand = state.hands.iter().find(|hand| hand.slot == slot);
        hand.and_then(|hand| state.cells.get(hand.cell))
            .is_some_and(|cell| cell.is_aborted())
    }

    /// The definition with this number, counting from 0.
    pub fn definition(&self, number: u32) -> Option<Arc<[u8]>> {
        self.state.borrow().definitions.get(number as usize).cloned()
    }
}

#[cfg(test)]
impl RemoteWorker {
    /// Writes invalid data.
    pub fn scribble(&self) {
        let state = self.state.borrow();
        state.outlet.memory().control().publish(u32::MAX);
    }
}

impl State {
    fn send(&mut self, header: Header, record: &[u8]) -> bool {
        let written = self.outlet.write(header, record);
        self.outlet.publish();
        written
    }

    /// Reads everything available.
    fn absorb(&mut self) {
        if self.is_cut {
            return;
        }
        let mut body = std::mem::take(&mut self.body);
        while let Some(header) = self.next() {
            body.resize(header.body, 0);
            self.inlet.take(&mut body);
            match (header.kind, header.task()) {
                (down::DEFINITION, _) => self.definitions.push(body.as_slice().into()),
                (down::STARTUP, _) => self.startup = Some(std::mem::take(&mut body)),
                (_, Some(kind @ (TaskKind::Call | TaskKind::Parcel))) => {
                    let mut task = Task::new(kind, header.slot, &body);
                    [task.handler, task.definitions, ..] = header.words;
                    task.alone = header.words[2] != 0;
                    self.offered.push_back(Offered {
                        cell: header.cell,
                        task,
                    });
                }
                (_, Some(kind)) => self.notices.push_back(Task::new(kind, header.slot, &[])),
                (_, None) => {}
            }
        }
        body.clear();
        body.shrink_to(KEPT_BYTES);
        self.body = body;
        self.inlet.release();
    }

    fn next(&mut self) -> Option<Header> {
        self.inlet.next().unwrap_or_else(|Corrupt| {
            self.is_cut = true;
            self.notices.push_back(Task::new(TaskKind::Retire, 0, &[]));
            None
        })
    }

    fn is_pending(&self, concurrency: usize) -> bool {
        (!self.is_cut && self.inlet.is_pending()) || !self.notices.is_empty() || self.may_claim(concurrency)
    }

    /// Claims the first task that has not been revoked, if there is room for one.
    fn claim(&mut self, concurrency: usize) -> Option<Task> {
        while self.may_claim(concurrency) {
            let Offered { cell, task } = self.offered.pop_front()?;
            let now_ns = monotonic_ns();
            self.over_ns = 0;
            if !self
                .cells
                .get(cell)
                .is_some_and(|cell| cell.transition_to_claimed(now_ns))
            {
                continue;
            }
            self.is_alone = task.alone;
            self.hands.push(Hand {
                slot: task.slot,
                cell,
                began_ns: now_ns,
            });
            return Some(task);
        }
        None
    }

    fn may_claim(&self, concurrency: usize) -> bool {
        let Some(next) = self.offered.front() else {
            return false;
        };
        let is_idle = self.hands.is_empty();
        // Pending reports must have left before another task blocks this thread.
        let has_room = self.hands.len() < concurrency && !self.is_alone && !self.outlet.is_spilling();
        !self.is_retired && has_room && (is_idle || !next.task.alone)
    }
}

/// The worker's event loop, waiting for tasks.
impl Consumer for RemoteWorker {
    fn is_pending(&self) -> bool {
        self.state.borrow().is_pending(self.concurrency.get())
    }

    fn begin_sleep(&self) {
        self.state.borrow().inlet.begin_sleep();
    }

    fn transition_to_awake(&self) {
        self.state.borrow().inlet.transition_to_awake();
    }

    fn signalled_at(&self) -> u64 {
        self.state.borrow().inlet.signalled_at()
    }

    /// The event loop must not be blocked while tasks are in hand.
    fn may_spin(&self) -> bool {
        self.state.borrow().hands.is_empty()
    }
}

impl Taker for RemoteWorker {
    fn pull(&self) -> Option<Task> {
        RemoteWorker::pull(self)
    }

    fn now_ns(&self) -> u64 {
        RemoteWorker::now_ns(self)
    }

    fn complete(&self, kind: Kind, slot: u32, record: &[u8], _payloads: Vec<Payload>) -> bool {
        RemoteWorker::complete(self, kind, slot, record)
    }

    fn tell(&self, kind: Kind, slot: u32, record: &[u8], _payloads: Vec<Payload>) -> bool {
        RemoteWorker::tell(self, kind, slot, record)
    }

    fn retire(&self) {
        RemoteWorker::retire(self);
    }

    fn is_aborted(&self, slot: u32) -> bool {
        RemoteWorker::is_aborted(self, slot)
    }

    fn definition(&self, number: u32) -> Option<Arc<[u8]>> {
        RemoteWorker::definition(self, number)
    }

    fn bell_fd(&self) -> i32 {
        RemoteWorker::bell_fd(self)
    }

    fn clear_bell(&self) {
        RemoteWorker::clear_bell(self);
    }

    fn ring_bell(&self) {
        RemoteWorker::ring_bell(self);
    }
}
