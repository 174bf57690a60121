//! What the hub does because time has passed: workers that stall and recover, listeners that were paused,
//! connections that were parked.

use super::listener::Listener;
use super::state::State;
use super::worker::Health;
use super::Event;
use crate::sys::clock::monotonic_ns;

/// How often parked connections, full and stalled workers are looked at.
const RETRY_NS: u64 = 5_000_000;

impl State {
    /// Looks at every deadline that may have passed; returns how long the thread may sleep, in nanoseconds.
    pub fn tend(&mut self) -> Option<u64> {
        let now_ns = monotonic_ns();
        let mut sleep_ns: Option<u64> = None;
        let mut within = |ns: u64| sleep_ns = Some(sleep_ns.map_or(ns, |least| least.min(ns)));
        let stall_ns = u64::try_from(self.options.stall_limit.as_nanos()).unwrap_or(u64::MAX);
        let tokens: Vec<u32> = self.workers.keys().copied().collect();
        for token in tokens {
            let Some(worker) = self.workers.get_mut(&token) else {
                continue;
            };
            let seen = worker.observe(&self.board, now_ns);
            match worker.health {
                Health::Good if seen.waiting_ns == 0 => {}
                Health::Good if seen.waiting_ns < stall_ns => within(stall_ns - seen.waiting_ns),
                Health::Good => {
                    self.stall(token, now_ns);
                    within(RETRY_NS);
                }
                // Nothing waiting: it was the kernel that refused, for all its sockets together.
                Health::Full | Health::Stalled if seen.moved || seen.waiting_ns == 0 => {
                    if worker.health == Health::Stalled {
                        self.tell(Event::Recovered { worker: token });
                    }
                    if let Some(worker) = self.workers.get_mut(&token) {
                        worker.health = Health::Good;
                    }
                    within(0);
                }
                Health::Full if seen.waiting_ns >= stall_ns => {
                    self.stall(token, now_ns);
                    within(RETRY_NS);
                }
                Health::Full | Health::Stalled => within(RETRY_NS),
            }
        }
        if self.tend_listeners(now_ns) {
            within(RETRY_NS);
        }
        if let Some(ns) = self.tend_shared(now_ns) {
            within(ns);
        }
        if let Some(ns) = self.tend_pending(now_ns, stall_ns) {
            within(ns);
        }
        sleep_ns
    }

    /// Returns whether some listener needs another look soon.
    fn tend_listeners(&mut self, now_ns: u64) -> bool {
        let mut again = false;
        let ids: Vec<u32> = self.listeners.keys().copied().collect();
        for id in ids {
            let Some(listener) = self.listeners.get_mut(&id) else {
                continue;
            };
            let resumed = listener
                .paused_until_ns
                .is_some_and(|until_ns| until_ns <= now_ns);
            if resumed {
                listener.paused_until_ns = None;
            }
            let has_parked = !listener.parked.is_empty();
            if resumed {
                self.tell(Event::Resumed { listener: id });
            }
            if has_parked {
                self.unpark(id);
            }
            again |= self
                .listeners
                .get(&id)
                .is_some_and(|listener| !listener.parked.is_empty() || listener.paused_until_ns.is_some());
        }
        again
    }

    /// Takes a stalled worker's queue back and leaves it out, as long as someone else is there.
    fn stall(&mut self, token: u32, now_ns: u64) {
        let others = self
            .workers
            .iter()
            .any(|(&id, other)| id != token && other.health == Health::Good);
        let Some(worker) = self.workers.get_mut(&token) else {
            return;
        };
        if !others {
            return;
        }
        let Some(connections) = worker.take_back() else {
            return;
        };
        worker.health = Health::Stalled;
        worker.ping(&self.board, now_ns);
        // Clients that belong to this worker wait for it.
        let is_sticky = |id: &u32| self.listeners.get(id).is_some_and(Listener::is_sticky);
        let (stay, go): (Vec<_>, Vec<_>) = connections.into_iter().partition(|(id, _)| is_sticky(id));
        for (id, connection) in stay {
            let back = self.send(token, id, now_ns, vec![connection]);
            self.park(id, back);
        }
        let moved = go.len() as u32;
        self.stats.moved_from_stalled += u64::from(moved);
        self.tell(Event::Stalled { worker: token, moved });
        self.redistribute(go);
    }
}
