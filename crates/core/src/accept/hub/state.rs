//! The state of the hub: workers, listeners and which workers serve which listener. Operations on it are here
//! and in `hand_over`, `deadlines`, `pending` and `shared`. None of them blocks.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::process::{pidfd_open, Pid, PidfdFlags};

use super::super::message::{Kind, Message};

use super::super::scoreboard::{Scoreboard, MAX_WORKERS, POLLING};
use super::linger::busy_for;
use super::listener::{Accepted, Connection, Listener, ListenerOptions, Member};
use super::pending::Pending;
use super::shared::SharedSockets;
use super::thread::{control_token, listener_token, pidfd_token};
use super::worker::{Health, TakenBack, Worker};
use super::{Event, HubOptions, NewWorker};
use crate::sys::backlog;
use crate::sys::clock::monotonic_ns;

/// Connections accepted per batch before they are handed over.
const BATCH: usize = 64;
/// Batches per listener before others get their turn.
const BATCHES_PER_TURN: usize = 4;
/// How long accepting pauses without free descriptors.
const PAUSE_NS: u64 = 20_000_000;
/// Limit on unread events; the oldest are dropped.
const MAX_EVENTS: usize = 1024;

/// Counters since the hub started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections put into a worker's queue, counted again if they came back.
    pub handed_over: u64,
    /// Connections returned by workers.
    pub refused: u64,
    /// Connections taken back from stalled workers.
    pub moved_from_stalled: u64,
    /// Connections taken back from dead workers.
    pub moved_from_dead: u64,
    /// Connections closed with their listener, without a worker.
    pub closed_unserved: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub workers: HashMap<u32, Worker>,
    pub events: VecDeque<Event>,
    pub stats: Stats,
    pub ending: bool,
    pub pending: Pending,
    pub epoll: Arc<OwnedFd>,
    pub board: Arc<Scoreboard>,
    pub shared: SharedSockets,
    pub options: HubOptions,
    pub listeners: BTreeMap<u32, Listener>,
    /// Workers whose queue or health has a deadline, each once.
    pub watched: Vec<u32>,
    /// Listeners with a deadline.
    pub restless: BTreeSet<u32>,
    /// Listeners whose epoll registration may have to change.
    pub unarmed: BTreeSet<u32>,
    next_token: u32,
    next_listener: u32,
    free_slots: Vec<u32>,
}

impl State {
    pub fn new(options: HubOptions, board: Arc<Scoreboard>, epoll: Arc<OwnedFd>) -> Self {
        Self {
            workers: HashMap::new(),
            events: VecDeque::new(),
            stats: Stats::default(),
            ending: false,
            pending: Pending::default(),
            epoll,
            board,
            shared: SharedSockets::default(),
            options,
            listeners: BTreeMap::new(),
            watched: Vec::new(),
            restless: BTreeSet::new(),
            unarmed: BTreeSet::new(),
            next_token: 1,
            next_listener: 0,
            // Popped from the end: lowest free slot first.
            free_slots: (0..MAX_WORKERS as u32).rev().collect(),
        }
    }

    // ---- workers

    pub fn add_worker(&mut self) -> io::Result<Option<NewWorker>> {
        let Some(slot) = self.free_slots.pop() else {
            return Ok(None);
        };
        self.board.clear(slot);
        let token = self.next_token;
        let added = Worker::new(slot).and_then(|worker| {
            epoll::add(
                &*self.epoll,
                worker.control(),
                EventData::new_u64(control_token(token)),
                EventFlags::IN,
            )?;
            Ok(worker)
        });
        match added {
            Ok(worker) => {
                self.workers.insert(token, worker);
                self.next_token += 1;
                Ok(Some(NewWorker { token, slot }))
            }
            Err(error) => {
                self.free_slot(slot);
                Err(error.into())
            }
        }
    }

    pub fn watch(&mut self, token: u32, pid: u32) -> io::Result<()> {
        let Some(worker) = self.workers.get_mut(&token) else {
            return Ok(());
        };
        let pid = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        epoll::add(
            &*self.epoll,
            &pidfd,
            EventData::new_u64(pidfd_token(token)),
            EventFlags::IN,
        )?;
        worker.pidfd = Some(pidfd);
        let raw = pid.as_raw_nonzero().get().unsigned_abs();
        self.board
            .worker(worker.slot)
            .pid
            .store(raw, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    /// Removes a worker that is gone. Its queue goes to others.
    pub fn remove_worker(&mut self, token: u32) {
        let (withdrawn, granting) = self.withdraw(token);
        let Some(mut worker) = self.workers.remove(&token) else {
            return;
        };
        for (&id, listener) in &mut self.listeners {
            if listener.remove(token) {
                self.board.set_serving(id, worker.slot, false);
                self.unarmed.insert(id);
            }
        }
        for id in self.remove_sharer(None, token) {
            self.board.set_serving(id, worker.slot, false);
        }
        // If this process runs out of descriptors, the rest of the queue is closed with the socket.
        let TakenBack { connections, .. } = worker.take_back();
        self.stats.moved_from_dead += connections.len() as u64 + withdrawn;
        let slot = worker.slot;
        // Closes both ends and the pidfd, which also removes them from epoll.
        drop(worker);
        self.board.clear(slot);
        self.free_slot(slot);
        self.redistribute(connections);
        for id in granting {
            self.grant(id);
        }
    }

    /// Schedules a check of a worker's queue.
    pub fn watch_queue(&mut self, token: u32) {
        if let Some(worker) = self.workers.get_mut(&token).filter(|worker| !worker.is_watched) {
            worker.is_watched = true;
            self.watched.push(token);
        }
    }

    fn free_slot(&mut self, slot: u32) {
        let at = self.free_slots.partition_point(|&free| free > slot);
        self.free_slots.insert(at, slot);
    }

    /// Makes every worker's loop turn once.
    pub fn ping_all(&mut self, now_ns: u64) {
        let tokens: Vec<u32> = self.workers.keys().copied().collect();
        for token in tokens {
            self.ping(token, now_ns);
        }
    }

    pub fn ping(&mut self, token: u32, now_ns: u64) {
        if let Some(worker) = self.workers.get_mut(&token) {
            worker.ping(&self.board, now_ns);
            self.watch_queue(token);
        }
    }

    /// Handles a worker's messages.
    pub fn worker_speaks(&mut self, token: u32) {
        let mut fds = Vec::new();
        loop {
            let Some(worker) = self.workers.get(&token) else {
                return;
            };
            let Some(message) = worker.receive(&mut fds) else {
                return;
            };
            let Message {
                kind,
                listener,
                hops,
                count,
            } = message;
            match kind {
                Kind::Ready => self.set_ready(listener, token, true),
                Kind::Stop => self.set_ready(listener, token, false),
                Kind::Refused => {
                    self.stats.refused += fds.len() as u64;
                    let hops = hops.saturating_add(1);
                    let refused = |fd| Connection {
                        fd,
                        client: None,
                        hops,
                        refused_by: token,
                    };
                    let refused = fds.drain(..).map(refused).collect();
                    self.hand_over(listener, refused);
                }
                Kind::Declined => self.decline(listener, token, count),
                Kind::Connections | Kind::Ping | Kind::Socket | Kind::Grant => {}
            }
            fds.clear();
        }
    }

    pub fn set_ready(&mut self, id: u32, token: u32, ready: bool) {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return;
        };
        if let Some(member) = listener.member(token) {
            member.ready = ready;
            // The worker drops the socket when it stops.
            member.has_socket &= ready;
        }
        self.unarmed.insert(id);
        if ready {
            self.unpark(id);
            self.grant(id);
        }
    }

    // ---- listeners

    fn next_listener_id(&mut self) -> u32 {
        let id = self.next_listener;
        self.next_listener += 1;
        id
    }

    pub fn add_shared(&mut self, socket: OwnedFd) -> u32 {
        let id = self.next_listener_id();
        self.shared.insert(id, socket);
        id
    }

    pub fn add_listener(&mut self, socket: OwnedFd, options: ListenerOptions) -> u32 {
        let id = self.next_listener_id();
        self.listeners
            .insert(id, Listener::new(socket, options, monotonic_ns()));
        id
    }

    pub fn attach(&mut self, id: u32, token: u32) {
        let Some(worker) = self.workers.get(&token) else {
            return;
        };
        self.board.set_serving(id, worker.slot, true);
        self.add_sharer(id, token);
        let Some(listener) = self.listeners.get_mut(&id) else {
            return;
        };
        if listener.index_of(token).is_none() {
            listener.members.push(Member::new(token));
        }
    }

    pub fn detach(&mut self, id: u32, token: u32) {
        let Some(slot) = self.workers.get(&token).map(|worker| worker.slot) else {
            return;
        };
        self.board.set_serving(id, slot, false);
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.remove(token);
            self.unarmed.insert(id);
        }
        self.remove_sharer(Some(id), token);
    }

    pub fn close_listener(&mut self, id: u32) {
        self.remove_shared(id);
        if let Some(listener) = self.listeners.remove(&id) {
            let pending = self.drop_pending(id);
            let in_backlog = match listener.grants {
                Some(_) => backlog::waiting(&listener.socket).unwrap_or(0),
                None => 0,
            };
            self.stats.closed_unserved += (listener.parked.len() + pending) as u64 + u64::from(in_backlog);
        }
    }

    pub fn listener_options(&self, id: u32) -> Option<ListenerOptions> {
        self.listeners.get(&id).map(|listener| listener.options)
    }

    /// Updates the epoll registrations so that exactly the listeners that may accept now are watched.
    pub fn arm(&mut self) {
        for id in std::mem::take(&mut self.unarmed) {
            let Some(listener) = self.listeners.get_mut(&id) else {
                continue;
            };
            let wanted = listener.has_ready() && listener.paused_until_ns.is_none();
            if wanted == listener.armed {
                continue;
            }
            let changed = if wanted {
                let data = EventData::new_u64(listener_token(id));
                let only_new = match listener.grants {
                    Some(_) => EventFlags::ET,
                    None => EventFlags::empty(),
                };
                epoll::add(&*self.epoll, &listener.socket, data, EventFlags::IN | only_new)
            } else {
                epoll::delete(&*self.epoll, &listener.socket)
            };
            if changed.is_ok() {
                listener.armed = wanted;
            } else if wanted {
                // The kernel is out of memory: retry after a pause.
                self.pause(id);
            }
        }
    }

    fn pause(&mut self, id: u32) {
        if let Some(listener) = self.listeners.get_mut(&id) {
            listener.paused_until_ns = Some(monotonic_ns() + PAUSE_NS);
            self.restless.insert(id);
            self.unarmed.insert(id);
        }
    }

    /// Accepts from a listener's backlog, within this turn's limit, and hands over.
    pub fn accept(&mut self, id: u32) {
        if self
            .listeners
            .get(&id)
            .is_some_and(|listener| listener.grants.is_some())
        {
            self.grant_new(id);
            return;
        }
        let mut batch = Vec::with_capacity(BATCH);
        for _ in 0..BATCHES_PER_TURN {
            let Some(listener) = self.listeners.get_mut(&id) else {
                return;
            };
            if !listener.armed || !listener.has_ready() {
                return;
            }
            let outcome = listener.accept(BATCH, &mut batch);
            self.stats.accepted += batch.len() as u64;
            if let Accepted::OutOf(error) = outcome {
                self.pause(id);
                self.tell(Event::Paused {
                    listener: id,
                    errno: error.raw_os_error(),
                });
            }
            self.admit(id, std::mem::take(&mut batch));
            if outcome != Accepted::More {
                return;
            }
        }
    }

    pub fn tell(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    /// How long to let connections gather before the next check: all processors will be busy until then.
    ///
    /// A loop that runs I/O callbacks seems to be waiting (`scoreboard`), so the number of connections sent
    /// and not yet taken is the better indicator.
    pub fn linger(&self) -> Duration {
        let takers = self
            .workers
            .values()
            .filter(|worker| worker.health != Health::Stalled);
        let work = takers.map(|worker| {
            let state = self.board.worker(worker.slot).state.load(Relaxed);
            worker
                .outstanding(&self.board)
                .max(u64::from(state & POLLING == 0))
        });
        self.options.linger * busy_for(work, self.options.processors)
    }
}
