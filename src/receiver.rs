//! `Receiver`: a cluster worker's end of the hand-over and its gates, for `lib/cluster/worker`.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::Arc;

use manycore_core::accept::gate::{reserve_bounds, Gate, Neighbours, Step};
use manycore_core::accept::scoreboard::{Scoreboard, COUNTERS_BYTES, CROWDED, POLLING};
use manycore_core::accept::{Delivery, Inbox, Room};
use manycore_core::sys::clock::{monotonic_ns, thread_cpu_ns};
use manycore_core::sys::epoll::Registration;
use napi::bindgen_prelude::{Env, Error, Function, JsValue, Object, Result};
use napi_derive::napi;

use crate::callback::{Callback, MAX_ARGUMENTS};
use crate::error::to_js;
use crate::lane::external_buffer;
use crate::uv::{EventLoop, Handle};

/// Messages taken per turn of the event loop.
const MESSAGES_PER_TURN: usize = 16;

/// How long receiving pauses without descriptors for the next message, in milliseconds.
const NO_ROOM_MS: u64 = 10;

struct GatedSocket {
    registration: Registration,
    gate: Gate,
    stage: Stage,
}

/// The gated sockets by descriptor. Sockets to which nobody connects cost nothing per turn of the loop.
#[derive(Default)]
struct Gates {
    sockets: HashMap<RawFd, GatedSocket>,
    /// Sockets with something to do, each once; some may have been removed.
    lively: Vec<RawFd>,
}

impl Gates {
    fn wake(&mut self, fd: RawFd) {
        if !self.lively.contains(&fd) {
            self.lively.push(fd);
        }
    }

    fn note_accepted(&mut self, fd: RawFd) {
        if let Some(gated) = self.sockets.get_mut(&fd) {
            gated.gate.note_accepted();
            self.wake(fd);
        }
    }
}

/// libuv registers a socket in the first poll phase after `listen`; the registration may be changed only
/// after that.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    BeforePoll,
    Registered,
}

struct Shared {
    inbox: RefCell<Inbox>,
    board: Arc<Scoreboard>,
    slot: u32,
    gates: RefCell<Gates>,
    /// Called once, when this worker's load is first read.
    on_watched: RefCell<Option<Callback>>,
    /// Connections may be waiting of which this loop was not notified: all sockets must be registered anew.
    recheck: Cell<bool>,
    neighbours: RefCell<Neighbours>,
    room: RefCell<Room>,
    /// [`CROWDED`] or 0.
    crowded: Cell<u32>,
    /// Stored here so that callbacks can pause and arm them.
    poll: RefCell<Option<Handle>>,
    no_room: RefCell<Option<Handle>>,
    gate_timer: RefCell<Option<Handle>>,
}

/// Receives connections from the primary and gates shared listening sockets.
#[napi]
pub struct Receiver {
    shared: Rc<Shared>,
    event_loop: EventLoop,
    /// Record on the scoreboard when the loop sleeps and turns, and run the gates.
    _prepare: Handle,
    _check: Handle,
}

#[napi]
impl Receiver {
    /// Takes ownership of the two inherited descriptors. `callback(listener, hops, ...fds)` is called for
    /// each message and must open, refuse or discard the descriptors. `onWatched()` is called once, when the
    /// worker's load is first read.
    #[napi(constructor)]
    pub fn new(
        env: Env,
        control_fd: i32,
        scoreboard_fd: i32,
        slot: u32,
        callback: Function<'_>,
        on_watched: Function<'_>,
    ) -> Result<Self> {
        let closing = || Error::from_reason("the event loop is closing");
        let board = Arc::new(Scoreboard::open(adopt(scoreboard_fd)?).map_err(to_js)?);
        let inbox = Inbox::new(adopt(control_fd)?, Arc::clone(&board), slot);
        let callback = Callback::new(env.raw(), callback.raw(), "MANYCORE").ok_or_else(closing)?;
        let on_watched = Callback::new(env.raw(), on_watched.raw(), "MANYCORE").ok_or_else(closing)?;
        let event_loop = EventLoop::of(env.raw()).ok_or_else(closing)?;
        let control = inbox.as_fd().as_raw_fd();
        let shared = Rc::new(Shared {
            inbox: RefCell::new(inbox),
            slot,
            gates: RefCell::default(),
            recheck: Cell::new(false),
            on_watched: RefCell::new(Some(on_watched)),
            neighbours: RefCell::new(Neighbours::new(Arc::clone(&board), slot)),
            room: RefCell::new({
                let (least, most) = reserve_bounds(0);
                Room::between(least, most)
            }),
            crowded: Cell::new(0),
            poll: RefCell::new(None),
            no_room: RefCell::new(None),
            gate_timer: RefCell::new(None),
            board,
        });
        let handle = |handle: Option<Handle>| handle.ok_or_else(closing);
        let on_poll = {
            let shared = Rc::clone(&shared);
            move || shared.receive(&callback)
        };
        shared
            .poll
            .replace(Some(handle(event_loop.poll(control, on_poll))?));
        let on_room = {
            let shared = Rc::clone(&shared);
            move || shared.resume()
        };
        shared.no_room.replace(Some(handle(event_loop.timer(on_room))?));
        // Its only purpose is to wake the loop, so that the gates are checked.
        shared.gate_timer.replace(Some(handle(event_loop.timer(|| ()))?));
        let on_prepare = {
            let shared = Rc::clone(&shared);
            move || shared.before_poll()
        };
        let on_check = {
            let shared = Rc::clone(&shared);
            move || shared.after_poll()
        };
        let prepare = handle(event_loop.prepare(on_prepare))?;
        let check = handle(event_loop.check(on_check))?;
        Ok(Self {
            shared,
            event_loop,
            _prepare: prepare,
            _check: check,
        })
    }

    /// The worker's counters on the scoreboard as an `ArrayBuffer`: connections, requests, accepted, accepted
    /// from.
    #[napi(ts_return_type = "ArrayBuffer")]
    pub fn counters<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        let board = Arc::clone(&self.shared.board);
        let address = board.counters(self.shared.slot);
        external_buffer(env, address, COUNTERS_BYTES, Box::new(board))
    }

    /// Requests the connections of a listener. Returns 0 or a negative error number.
    #[napi]
    pub fn ready(&self, listener: u32) -> i32 {
        errno(self.shared.inbox.borrow_mut().ready(listener))
    }

    /// Requests no more connections of a listener. Returns 0 or a negative error number.
    #[napi]
    pub fn stop(&self, listener: u32) -> i32 {
        errno(self.shared.inbox.borrow_mut().stop(listener))
    }

    /// Returns a connection to the primary; it is closed if that fails. Returns 0 or a negative error number.
    #[napi]
    pub fn refuse(&self, listener: u32, hops: u32, fd: i32) -> Result<i32> {
        let connection = adopt(fd)?;
        Ok(errno(
            self.shared.inbox.borrow().refuse(listener, hops, connection),
        ))
    }

    /// Closes an unwanted connection.
    #[napi]
    pub fn discard(&self, fd: i32) -> Result<()> {
        drop(adopt(fd)?);
        Ok(())
    }

    /// Gates a listening socket from which libuv accepts on this loop. `row` is its id from the primary.
    #[napi]
    pub fn gate(&self, row: u32, fd: i32) {
        let registration = Registration::new(self.event_loop.backend_fd(), fd);
        let gated = GatedSocket {
            registration,
            gate: Gate::new(row),
            stage: Stage::New,
        };
        let mut gates = self.shared.gates.borrow_mut();
        gates.sockets.insert(fd, gated);
        gates.wake(fd);
    }

    /// Sets whether the server of a socket has reached its `maxConnections`.
    #[napi]
    pub fn set_full(&self, fd: i32, full: bool) {
        let mut gates = self.shared.gates.borrow_mut();
        if let Some(gated) = gates.sockets.get_mut(&fd) {
            gated.gate.set_full(full);
            gates.wake(fd);
        }
    }

    /// Removes the gate of a socket. To be called before the socket is closed, as its descriptor number may
    /// be reused right after.
    #[napi]
    pub fn ungate(&self, fd: i32) {
        self.shared.gates.borrow_mut().sockets.remove(&fd);
    }
}

impl Shared {
    fn receive(&self, callback: &Callback) {
        self.turned();
        for _ in 0..MESSAGES_PER_TURN {
            let delivery = self.inbox.borrow_mut().take();
            match delivery {
                Delivery::Connections { listener, hops, fds } => {
                    let mut arguments = Vec::with_capacity(MAX_ARGUMENTS);
                    arguments.extend([f64::from(listener), f64::from(hops)]);
                    arguments.extend(fds.into_iter().map(|fd| f64::from(fd.into_raw_fd())));
                    callback.call(&arguments);
                }
                Delivery::Ping => self.recheck.set(true),
                Delivery::Empty => return,
                Delivery::NoRoom => {
                    self.with(&self.poll, Handle::pause);
                    self.with(&self.no_room, |timer| timer.arm(NO_ROOM_MS, 0));
                    return;
                }
                Delivery::Closed => {
                    self.with(&self.poll, Handle::pause);
                    return;
                }
            }
        }
    }

    fn resume(&self) {
        self.with(&self.poll, |poll| {
            // Fails only for a closing handle, and then there is nothing more to receive.
            let _watching = poll.resume();
        });
    }

    fn with(&self, handle: &RefCell<Option<Handle>>, use_it: impl FnOnce(&Handle)) {
        if let Some(handle) = handle.borrow().as_ref() {
            use_it(handle);
        }
    }

    fn before_poll(&self) {
        let mut gates = self.gates.borrow_mut();
        if !gates.sockets.is_empty() {
            self.run_gates(&mut gates);
        }
        let worker = self.board.worker(self.slot);
        if self.board.is_watched() {
            worker.cpu_ns.store(thread_cpu_ns(), Relaxed);
        }
        // Release: a thread that sees the loop wait also sees the time above.
        worker.state.store(POLLING | self.crowded.get(), Release);
    }

    fn run_gates(&self, gates: &mut Gates) {
        // Written on this thread only.
        let word = &self.board.worker(self.slot).accepted_from;
        let accepted_from = word.load(Relaxed);
        if accepted_from != 0 {
            word.store(0, Relaxed);
            gates.note_accepted(accepted_from as i32 - 1);
        }
        let recheck = self.recheck.take();
        let now_ns = monotonic_ns();
        let mut neighbours = self.neighbours.borrow_mut();
        let mut room = self.room.borrow_mut();
        let sockets = u32::try_from(gates.sockets.len()).unwrap_or(u32::MAX);
        let (least, most) = reserve_bounds(sockets);
        room.set_bounds(least, most);
        let is_crowded = !room.is_left(now_ns);
        self.crowded.set(if is_crowded { CROWDED } else { 0 });
        if neighbours.set_crowded(is_crowded) || recheck {
            gates.lively = gates.sockets.keys().copied().collect();
        }
        if gates.lively.is_empty() {
            return;
        }
        neighbours.turn(now_ns);
        let mut look_again_ms: Option<u64> = None;
        let Gates { sockets, lively } = gates;
        lively.retain(|fd| {
            let Some(gated) = sockets.get_mut(fd) else {
                return false;
            };
            match gated.stage {
                Stage::New => gated.stage = Stage::BeforePoll,
                Stage::BeforePoll => {}
                Stage::Registered => {
                    let GatedSocket {
                        registration, gate, ..
                    } = gated;
                    let mut step = neighbours.step(gate, || registration.has_waiting());
                    if recheck && step == Step::Keep && gate.is_armed() {
                        step = Step::Rotate;
                    }
                    gated.apply(step);
                }
            }
            if let Some(ms) = neighbours.look_again_ms(&gated.gate) {
                look_again_ms = Some(look_again_ms.map_or(ms, |least| least.min(ms)));
            }
            gated.stage != Stage::Registered || !gated.gate.is_quiet()
        });
        self.with(&self.gate_timer, |timer| match look_again_ms {
            Some(ms) => timer.arm(ms, 0),
            None => timer.disarm(),
        });
    }

    /// Records that the loop is no longer waiting. libuv has a hook for this only after it has run the
    /// callbacks of the poll phase.
    fn turned(&self) {
        let worker = self.board.worker(self.slot);
        worker.beat_ns.store(monotonic_ns(), Relaxed);
        // Release: a thread that sees the loop busy also sees since when.
        worker.state.store(self.crowded.get(), Release);
    }

    fn after_poll(&self) {
        self.turned();
        let mut gates = self.gates.borrow_mut();
        let Gates { sockets, lively } = &mut *gates;
        for fd in lively.iter() {
            if let Some(gated) = sockets
                .get_mut(fd)
                .filter(|gated| gated.stage == Stage::BeforePoll)
            {
                gated.apply(Step::Rotate);
                gated.stage = Stage::Registered;
            }
        }
        drop(gates);
        if self.board.is_watched() {
            if let Some(callback) = self.on_watched.take() {
                callback.call(&[]);
            }
        }
    }
}

impl GatedSocket {
    fn apply(&self, step: Step) {
        match step {
            Step::Keep => {}
            Step::Arm => self.registration.arm(),
            Step::Disarm => self.registration.disarm(),
            Step::Rotate => {
                self.registration.disarm();
                self.registration.arm();
            }
        }
    }
}

/// Takes ownership of a descriptor that JavaScript passes by number.
fn adopt(fd: RawFd) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Error::from_reason("a negative descriptor"));
    }
    // SAFETY: `lib/cluster/worker` passes descriptors that it owns and no longer uses: inherited ones, and
    // those it got from `receive`.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn errno(result: std::io::Result<()>) -> i32 {
    result.err().map_or(0, |error| -error.raw_os_error().unwrap_or(1))
}
