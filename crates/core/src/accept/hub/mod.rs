//! The acceptor thread: accepts for all listeners, chooses a worker for each connection, hands it over.
//!
//! The thread sleeps in epoll over the listeners, one control socket per worker and one pidfd per worker.
//! All state is behind one mutex; the thread holds it while it works through a batch of events, other threads
//! while they change the set of workers or listeners. No one waits for JavaScript.
//!
//! **Nothing is lost.** A connection is always owned by exactly one of: the listener's backlog, this state
//! (parked), the kernel's queue to a worker, the worker. The primary keeps a copy of each worker's receiving
//! end: when a worker stalls ([`HubOptions::stall_limit`] without taking anything although something waits)
//! or dies (pidfd), the queue is read back from that copy, atomically per message, and given to the others.
//! Back after a stall is told by a ping without connections, which the worker takes when its loop turns.
//!
//! Who dies: a worker, see above; the primary, then the workers see their socket closed; this thread never
//! panics on input from a worker, whose messages and counters are checked before use.

mod deadlines;
mod grants;
mod hand_over;
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

/// How a hub behaves.
#[derive(Clone, Copy, Debug)]
pub struct HubOptions {
    /// A worker that has connections waiting and takes none for this long is left out until it takes again,
    /// and what waits for it goes to others.
    pub stall_limit: Duration,
    /// How long the thread lets connections gather for each one that every worker has waiting: less than any
    /// server needs for one. Saves wake-ups and messages.
    pub linger: Duration,
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            stall_limit: Duration::from_millis(50),
            linger: Duration::from_micros(30),
        }
    }
}

/// Something the primary's JavaScript may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker takes no connections; `moved` of them went to others.
    Stalled {
        /// The worker's token.
        worker: u32,
        /// Connections taken back from it.
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
    /// Connections wait for [`Hub::take_undecided`].
    Undecided {
        /// The listener.
        listener: u32,
    },
    /// Accepting goes on after a pause.
    Resumed {
        /// The listener.
        listener: u32,
    },
}

/// A worker's load at an instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkerLoad {
    /// Open connections of its servers.
    pub connections: u32,
    /// HTTP requests in flight.
    pub requests: u32,
    /// For how long its loop has been busy without a turn, or has left its queue alone, in nanoseconds.
    pub loop_lag_ns: u64,
    /// Connections and pings handed to it that it has not taken.
    pub unclaimed: u64,
}

/// What the primary needs to start a worker.
#[derive(Debug)]
pub struct NewWorker {
    /// Names the worker in further calls. Never used again.
    pub token: u32,
    /// Its place on the scoreboard.
    pub slot: u32,
}

/// The hub of a primary. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct Hub {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    epoll: Arc<OwnedFd>,
    /// Wakes the thread: to end, or to look at its deadlines again.
    wake: OwnedFd,
    /// Readable while [`State::events`] has something.
    events_ready: OwnedFd,
    board: Arc<Scoreboard>,
    state: Mutex<State>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the state was held is a bug; what it left is still consistent enough to go on.
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
    /// `EMFILE`, `ENFILE`, `ENOMEM`, or what starting a thread fails with.
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

    /// The scoreboard, for its workers to map.
    pub fn scoreboard(&self) -> &Arc<Scoreboard> {
        &self.shared.board
    }

    /// Readable while [`Hub::next_event`] has something.
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        self.shared.events_ready.as_fd()
    }

    /// The oldest event not yet taken.
    pub fn next_event(&self) -> Option<Event> {
        let mut state = self.shared.lock();
        let event = state.events.pop_front();
        if event.is_none() {
            let mut count = [0; 8];
            // Resets the signal; fails when there is none.
            let _reset = rustix::io::read(&self.shared.events_ready, &mut count);
        }
        event
    }

    /// Makes room for a worker. `None` when [`super::scoreboard::MAX_WORKERS`] are alive. The descriptor from
    /// [`Hub::worker_socket`] is to be inherited by its process.
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE`, `ENOMEM`.
    pub fn add_worker(&self) -> io::Result<Option<NewWorker>> {
        self.shared.lock().add_worker()
    }

    /// Runs `with` on the socket that the worker's process inherits.
    pub fn worker_socket<T>(&self, token: u32, with: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let state = self.shared.lock();
        state
            .workers
            .get(&token)
            .map(|worker| with(worker.receiving_end()))
    }

    /// Watches the worker's process, so that its death is seen without JavaScript.
    ///
    /// # Errors
    /// `ESRCH` when the process is gone already, `EMFILE`, `ENFILE`.
    pub fn watch(&self, token: u32, pid: u32) -> io::Result<()> {
        self.shared.lock().watch(token, pid)
    }

    /// Forgets a worker: what waits for it goes to others. Does nothing when it is forgotten already.
    pub fn remove_worker(&self, token: u32) {
        self.shared.lock().remove_worker(token);
        self.changed();
    }

    /// Accepts on a bound socket from when the first worker is ready for it.
    ///
    /// # Errors
    /// Those of `listen(2)`.
    pub fn listen(&self, socket: OwnedFd, backlog: i32, options: ListenerOptions) -> io::Result<u32> {
        rustix::net::listen(&socket, backlog)?;
        Ok(self.shared.lock().add_listener(socket, options))
    }

    /// Keeps an eye on a bound socket that workers share and accept from by themselves. The id names it in
    /// [`Hub::attach`], [`Hub::detach`] and [`Hub::close_listener`], and is its row on the scoreboard.
    pub fn share(&self, socket: OwnedFd) -> u32 {
        self.shared.lock().add_shared(socket)
    }

    /// Lets a worker ask for the connections of a listener, or notes that it shares the socket.
    pub fn attach(&self, listener: u32, token: u32) {
        self.shared.lock().attach(listener, token);
        self.changed();
    }

    /// Gives a worker connections of a listener it is attached to, as if it had asked for them.
    pub fn set_ready(&self, listener: u32, token: u32) {
        self.shared.lock().set_ready(listener, token, true);
        self.changed();
    }

    /// Takes a worker off a listener.
    pub fn detach(&self, listener: u32, token: u32) {
        self.shared.lock().detach(listener, token);
        self.changed();
    }

    /// Stops accepting and closes the listening socket. Connections that no worker had are closed.
    pub fn close_listener(&self, listener: u32) {
        self.shared.lock().close_listener(listener);
    }

    /// Connections of a listener that asks, to be answered by [`Hub::decide`].
    pub fn take_undecided(&self, listener: u32) -> Vec<Undecided> {
        self.shared.lock().take_undecided(listener)
    }

    /// Chooses workers, by their tokens, for undecided connections, by their ids. A token of 0, or one whose
    /// worker cannot take the connection, leaves the choice to the listener's policy.
    pub fn decide(&self, choices: impl Iterator<Item = (u32, u32)>) {
        let mut state = self.shared.lock();
        for (id, token) in choices {
            state.decide(id, token);
        }
        drop(state);
        self.changed();
    }

    /// What has happened since the start.
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats
    }

    /// A worker's load now, as the scoreboard and its queue tell. From the first call on, workers publish what
    /// costs them something; until they have turned their loops once, that is missing.
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
        let (slot, unclaimed) = (worker.slot, worker.outstanding(board));
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
            // The thread's panic, if any, was already printed; there is nothing left to do about it.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
