//! Time-driven work of the hub: stalled and recovered workers, paused listeners, parked connections.

use super::grants::Grants;
use super::listener::Listener;
use super::state::State;
use super::worker::{Health, TakenBack, Worker};
use super::Event;
use crate::sys::clock::monotonic_ns;

/// Interval at which parked connections and full or stalled workers are checked.
const RETRY_NS: u64 = 5_000_000;

impl State {
    /// Handles all deadlines that may have passed. Returns how long the thread may sleep, in nanoseconds.
    pub fn tend(&mut self) -> Option<u64> {
        let now_ns = monotonic_ns();
        let mut sleep_ns: Option<u64> = None;
        let mut within = |ns| lower(&mut sleep_ns, ns);
        let stall_ns = u64::try_from(self.options.stall_limit.as_nanos()).unwrap_or(u64::MAX);
        let mut has_recovered = false;
        for token in std::mem::take(&mut self.watched) {
            self.settle_worker(token);
            let Some(worker) = self.workers.get_mut(&token) else {
                continue;
            };
            worker.is_watched = false;
            let seen = worker.observe(now_ns);
            match worker.health {
                Health::Good if !seen.is_waiting => continue,
                Health::Good if seen.waiting_ns < stall_ns => within(stall_ns - seen.waiting_ns),
                Health::Good => {
                    self.stall(token, now_ns);
                    within(RETRY_NS);
                }
                // Nothing is queued: the kernel refused the send because of a limit on all sockets together.
                Health::Full | Health::Stalled if seen.moved || !seen.is_waiting => {
                    if worker.health == Health::Stalled {
                        self.tell(Event::Recovered { worker: token });
                    }
                    if let Some(worker) = self.workers.get_mut(&token) {
                        worker.health = Health::Good;
                    }
                    has_recovered = true;
                }
                Health::Full if seen.waiting_ns >= stall_ns => {
                    self.stall(token, now_ns);
                    within(RETRY_NS);
                }
                Health::Full | Health::Stalled => within(RETRY_NS),
            }
            self.watch_queue(token);
        }
        if let Some(ns) = self.tend_listeners(now_ns, has_recovered) {
            within(ns);
        }
        if let Some(ns) = self.tend_shared(now_ns) {
            within(ns);
        }
        if let Some(ns) = self.tend_pending(now_ns, stall_ns) {
            within(ns);
        }
        sleep_ns
    }

    /// Returns when a listener next needs attention, in nanoseconds from now.
    fn tend_listeners(&mut self, now_ns: u64, has_recovered: bool) -> Option<u64> {
        let mut sleep_ns: Option<u64> = None;
        let mut within = |ns| lower(&mut sleep_ns, ns);
        for id in std::mem::take(&mut self.restless) {
            let Some(listener) = self.listeners.get_mut(&id) else {
                continue;
            };
            if listener
                .paused_until_ns
                .is_some_and(|until_ns| until_ns <= now_ns)
            {
                listener.paused_until_ns = None;
                self.unarmed.insert(id);
                self.tell(Event::Resumed { listener: id });
            }
            self.unpark(id);
            if let Some(ns) = self.tend_grants(id, now_ns, has_recovered) {
                within(ns);
            }
            let Some(listener) = self.listeners.get(&id) else {
                continue;
            };
            if !listener.parked.is_empty() || listener.paused_until_ns.is_some() {
                within(RETRY_NS);
                self.restless.insert(id);
            } else if listener.grants.as_ref().is_some_and(Grants::is_open) {
                self.restless.insert(id);
            }
        }
        sleep_ns
    }

    /// Takes back the queue of a stalled worker and excludes it, provided that another worker is in good
    /// health.
    fn stall(&mut self, token: u32, now_ns: u64) {
        let others = self
            .workers
            .iter()
            .any(|(&id, other)| id != token && other.health == Health::Good);
        let can_move = |worker: &Worker| worker.has_room_to_take_back();
        if !others || !self.workers.get(&token).is_some_and(can_move) {
            return;
        }
        let (withdrawn, granting) = self.withdraw(token);
        let Some(worker) = self.workers.get_mut(&token) else {
            return;
        };
        let TakenBack { connections, sockets } = worker.take_back();
        worker.health = Health::Stalled;
        for id in sockets {
            if let Some(member) = self
                .listeners
                .get_mut(&id)
                .and_then(|listener| listener.member(token))
            {
                member.has_socket = false;
            }
        }
        for listener in self.listeners.values_mut() {
            if let Some(index) = listener.index_of(token) {
                // It is excluded from here on, so it is owed nothing.
                listener.cursor.forgive(index);
            }
        }
        self.ping(token, now_ns);
        // Connections of clients that are bound to this worker wait for it.
        let is_sticky = |id: &u32| self.listeners.get(id).is_some_and(Listener::is_sticky);
        let (stay, go): (Vec<_>, Vec<_>) = connections.into_iter().partition(|(id, _)| is_sticky(id));
        for (id, connection) in stay {
            let back = self.send(token, id, now_ns, vec![connection]);
            self.park(id, back);
        }
        let moved = (go.len() as u64 + withdrawn) as u32;
        self.stats.moved_from_stalled += u64::from(moved);
        self.tell(Event::Stalled { worker: token, moved });
        self.redistribute(go);
        for id in granting {
            self.grant(id);
        }
    }
}

/// Lowers an optional minimum.
pub(super) fn lower(least: &mut Option<u64>, ns: u64) {
    *least = Some(least.map_or(ns, |least| least.min(ns)));
}
