//! The acceptor thread: accepts for all listeners, chooses a worker for each connection and hands it over.
//!
//! The thread blocks in epoll on the listeners, and on one control socket and one pidfd per worker. All state
//! is behind one mutex, which the thread holds while it processes a batch of events, and other threads hold
//! while they change the set of workers or listeners. Nothing waits for JavaScript.
//!
//! **No connection is lost.** At any time a connection is owned by exactly one of: the listener's backlog,
//! this state (parked), the kernel's queue to a worker, the worker. The primary keeps a duplicate of each
//! worker's receiving end. When a worker stalls (it takes nothing for [`HubOptions::stall_limit`] although
//! something is queued) or dies (pidfd), its queue is read back through that duplicate, atomically per
//! message, and given to the others. Recovery from a stall is detected with a ping, which the worker takes
//! when its loop turns.
//!
//! Failures: a worker's death, see above; when the primary dies, the workers see their sockets closed. This
//! thread never panics on input from a worker, whose messages and counters are validated before use.

mod deadlines;
mod grants;
mod hand_over;
mod linger;
mod listener;
mod pending;
mod shared;
mod state;
mod thread;
mod worker;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{eventfd, EventfdFlags};

use super::scoreboard::Scoreboard;
use crate::sys::clock::monotonic_ns;
pub use listener::ListenerOptions;
pub use pending::Undecided;
use state::State;
pub use state::Stats;

/// The parameters of a hub.
#[derive(Clone, Copy, Debug)]
pub struct HubOptions {
    /// A worker that takes nothing for this long although connections are queued is excluded until it takes
    /// some again; its queue goes to others. Default: 50 ms.
    pub stall_limit: Duration,
    /// For each connection that every processor has queued, the thread lets new connections gather for this
    /// long, which is about what a small server needs per connection. Saves wake-ups and messages. Default: 60 us.
    pub linger: Duration,
    /// Number of processors that workers run on. Default: those available to this process.
    pub processors: usize,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            stall_limit: Duration::from_millis(50),
            linger: Duration::from_micros(60),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// An event of interest to the primary's JavaScript.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker takes no connections; `moved` of them went to others.
    Stalled {
        /// The worker's token.
        worker: u32,
        /// Number of connections taken back from it.
        moved: u32,
    },
    /// A stalled worker takes connections again.
    Recovered {
        /// The worker's token.
        worker: u32,
    },
    /// Accepting is paused: the process or the system is out of descriptors or memory.
    Paused {
        /// The listener.
        listener: u32,
        /// The system's error number.
        errno: i32,
    },
    /// Connections are available from [`Hub::take_undecided`].
    Undecided {
        /// The listener.
        listener: u32,
    },
    /// Accepting has resumed after a pause.
    Resumed {
        /// The listener.
        listener: u32,
    },
}

/// A worker's load at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Open connections of its servers.
    pub connections: u32,
    /// HTTP requests in flight.
    pub requests: u32,
    /// How long its loop has been busy without a turn or has not emptied its queue, in nanoseconds.
    pub loop_lag_ns: u64,
    /// Connections sent or granted to it and not taken yet.
    pub unclaimed: u64,
}

/// What the primary needs to start a worker.
#[derive(Debug)]
pub struct NewWorker {
    /// Identifies the worker in further calls. Never reused.
    pub token: u32,
    /// Its slot on the scoreboard.
    pub slot: u32,
}

/// The hub of a primary. Dropping it ends its thread.
#[derive(Debug)]
pub struct Hub {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    epoll: Arc<OwnedFd>,
    /// Wakes the thread to end or to check its deadlines.
    wake: OwnedFd,
    /// Readable while [`State::events`] is not empty.
    events_ready: OwnedFd,
    board: Arc<Scoreboard>,
    state: Mutex<State>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held is a bug, but leaves a state consistent enough to go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn signal(fd: &OwnedFd) {
        // Fails only when the counter is full, and then the reader is signalled already.
        let _signalled = rustix::io::write(fd, &1u64.to_ne_bytes());
    }
}

impl Hub {
    /// Starts the thread.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`, or a failure to start a thread.
    pub fn start(options: HubOptions) -> io::Result<Self> {
        use rustix::event::epoll;
        let board = Arc::new(Scoreboard::create()?);
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let shared = Arc::new(Shared {
            wake: eventfd(0, flags)?,
            events_ready: eventfd(0, flags)?,
            state: Mutex::new(State::new(options, Arc::clone(&board), Arc::clone(&epoll))),
            epoll,
            board,
        });
        epoll::add(
            &*shared.epoll,
            &shared.wake,
            epoll::EventData::new_u64(thread::WAKE),
            epoll::EventFlags::IN,
        )?;
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("manycore-hub".into())
            .spawn(move || thread::run(&theirs))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// The scoreboard, for the workers to map.
    pub fn scoreboard(&self) -> &Arc<Scoreboard> {
        &self.shared.board
    }

    /// Readable while [`Hub::next_event`] has events.
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.shared.events_ready.as_fd()
    }

    /// Takes the oldest event.
    pub fn next_event(&self) -> Option<Event> {
        let mut state = self.shared.lock();
        let event = state.events.pop_front();
        if event.is_none() {
            let mut count = [0; 8];
            // Resets the signal; fails when it is not set.
            let _reset = rustix::io::read(&self.shared.events_ready, &mut count);
        }
        event
    }

    /// Registers a new worker. `None` when [`super::scoreboard::MAX_WORKERS`] are alive. Its process must
    /// inherit the descriptor from [`Hub::worker_socket`].
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn add_worker(&self) -> io::Result<Option<NewWorker>> {
        self.shared.lock().add_worker()
    }

    /// Calls `with` with the socket that the worker's process inherits.
    pub fn worker_socket<T>(&self, token: u32, with: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let state = self.shared.lock();
        state
            .workers
            .get(&token)
            .map(|worker| with(worker.receiving_end()))
    }

    /// Watches the worker's process, so that its death is noticed without JavaScript.
    ///
    /// # Errors
    /// `ESRCH` when the process is already gone, `EMFILE`, `ENFILE`.
    pub fn watch(&self, token: u32, pid: u32) -> io::Result<()> {
        self.shared.lock().watch(token, pid)
    }

    /// Removes a worker; its queue goes to others. Has no effect when it was removed already.
    pub fn remove_worker(&self, token: u32) {
        self.shared.lock().remove_worker(token);
        self.changed();
    }

    /// Listens on a bound socket and accepts as soon as a worker is ready.
    ///
    /// # Errors
    /// Those of `listen(2)`.
    pub fn listen(&self, socket: OwnedFd, backlog: i32, options: ListenerOptions) -> io::Result<u32> {
        rustix::net::listen(&socket, backlog)?;
        Ok(self.shared.lock().add_listener(socket, options))
    }

    /// Monitors a bound socket that workers share and accept from by themselves. The returned id identifies
    /// it in [`Hub::attach`], [`Hub::detach`] and [`Hub::close_listener`], and is its row on the scoreboard.
    pub fn share(&self, socket: OwnedFd) -> u32 {
        self.shared.lock().add_shared(socket)
    }

    /// Allows a worker to request the connections of a listener, or records that it shares the socket.
    pub fn attach(&self, listener: u32, token: u32) {
        self.shared.lock().attach(listener, token);
        self.changed();
    }

    /// Marks an attached worker as ready, as if it had requested the listener's connections.
    pub fn set_ready(&self, listener: u32, token: u32) {
        self.shared.lock().set_ready(listener, token, true);
        self.changed();
    }

    /// Detaches a worker from a listener.
    pub fn detach(&self, listener: u32, token: u32) {
        self.shared.lock().detach(listener, token);
        self.changed();
    }

    /// Stops accepting and closes the listening socket. Connections not owned by a worker are closed.
    pub fn close_listener(&self, listener: u32) {
        self.shared.lock().close_listener(listener);
    }

    /// The connections that JavaScript is to assign, to be answered with [`Hub::decide`].
    pub fn take_undecided(&self, listener: u32) -> Vec<Undecided> {
        self.shared.lock().take_undecided(listener)
    }

    /// Assigns undecided connections, by id, to workers, by token. A token of 0, or one whose worker cannot
    /// take the connection, leaves the choice to the listener's policy.
    pub fn decide(&self, choices: impl Iterator<Item = (u32, u32)>) {
        let mut state = self.shared.lock();
        for (id, token) in choices {
            state.decide(id, token);
        }
        drop(state);
        self.changed();
    }

    /// Counters since the start.
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats
    }

    /// A worker's current load, from the scoreboard and its queue. The first call makes the workers publish
    /// the values that are costly to maintain; these are missing until their loops have turned once.
    pub fn load(&self, token: u32) -> WorkerLoad {
        let board = &self.shared.board;
        let now_ns = monotonic_ns();
        let mut state = self.shared.lock();
        if !board.watch() {
            state.ping_all(now_ns);
        }
        let Some(worker) = state.workers.get_mut(&token) else {
            return WorkerLoad::default();
        };
        let (slot, unclaimed) = (worker.slot, worker.unclaimed(board));
        let waiting_ns = worker.waiting_ns(board, now_ns);
        drop(state);
        let load = board.load(slot, now_ns);
        WorkerLoad {
            connections: load.connections,
            requests: load.requests,
            loop_lag_ns: board.loop_lag_ns(slot, now_ns).max(waiting_ns),
            unclaimed,
        }
    }

    fn changed(&self) {
        Shared::signal(&self.shared.wake);
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.shared.lock().ending = true;
        self.changed();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already been printed, and there is nothing else to do about it.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
