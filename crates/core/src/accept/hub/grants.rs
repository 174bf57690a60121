//! Listeners from which workers accept by themselves. If the policy does not depend on the client, the hub
//! only tells the workers how many of the waiting connections are theirs (it *grants* them), and they accept
//! them. A connection then costs the primary no more than its share of a wake-up and a message.
//!
//! The kernel reports the number of connections in the backlog. Those granted but not accepted yet are among
//! them; the hub grants the rest. A worker increases `begun` before it accepts and `taken` after it. The hub
//! reads `taken` before the backlog and `begun` after it, and so detects accepts in between; then it checks
//! again later, having granted too few rather than too many. It also checks again once all grants have been
//! used. Connections granted to a worker that dies, stalls or declines are still in the backlog and are
//! granted to others.
//!
//! epoll reports new connections only (`EPOLLET`), not those that wait for the worker they were granted to.

use std::os::fd::AsFd;
use std::sync::atomic::{fence, Ordering::SeqCst};

use rustix::event::epoll;

use super::super::policy::{self, Candidate, Policy, Standing};
use super::deadlines::lower;
use super::hand_over::candidates;
use super::listener::Listener;
use super::state::State;
use super::worker::Health;
use crate::sys::backlog;
use crate::sys::clock::monotonic_ns;
use crate::sys::peer;
use crate::sys::scm::MAX_FDS;

/// How often the hub retries immediately when connections were accepted while it checked.
const LOOKS: u32 = 3;

/// Delay of the next check after that.
const LOOK_AGAIN_NS: u64 = 200_000;

/// How long a worker that declined connections gets no grants.
const REST_NS: u64 = 5_000_000;

/// Delay before connections that no worker can take are granted again.
const RETRY_NS: u64 = 5_000_000;

/// The grants of a listener.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// Connections granted and, as far as is known, not accepted yet.
    pub outstanding: u64,
    /// The workers they were granted to.
    owing: Vec<u32>,
    /// When to check again without an event.
    look_again_ns: Option<u64>,
}

impl Grants {
    /// Whether a check is due at some later time.
    pub fn is_open(&self) -> bool {
        self.outstanding > 0 || self.look_again_ns.is_some()
    }
}

impl State {
    /// Grants the connections in a listener's backlog that have not been granted yet.
    pub fn grant(&mut self, id: u32) {
        for _ in 0..LOOKS {
            self.settle(id);
            let Some(listener) = self.listeners.get_mut(&id) else {
                return;
            };
            let Some(grants) = listener.grants.as_mut() else {
                return;
            };
            grants.look_again_ns = None;
            // Supported by the kernel, as was checked when the listener was added.
            let waiting = u64::from(backlog::waiting(&listener.socket).unwrap_or(0));
            fence(SeqCst);
            let is_exact = grants.owing.iter().all(|token| {
                let worker = self.workers.get(token);
                worker.is_none_or(|worker| worker.is_settled(&self.board))
            });
            let count = waiting.saturating_sub(grants.outstanding);
            let now_ns = monotonic_ns();
            let left = if count == 0 {
                0
            } else {
                self.give(id, count, now_ns)
            };
            if is_exact && left == 0 {
                return;
            }
            let after_ns = if left == 0 { LOOK_AGAIN_NS } else { RETRY_NS };
            self.look_again(id, now_ns + after_ns);
            if left > 0 {
                return;
            }
        }
    }

    /// Handles new connections on a listener that grants.
    pub fn grant_new(&mut self, id: u32) {
        self.grant(id);
        let is_silent = |listener: &Listener| {
            let is_empty = || backlog::waiting(&listener.socket).is_ok_and(|waiting| waiting == 0);
            let grants = listener.grants.as_ref();
            grants.is_some_and(|grants| grants.outstanding == 0)
                && is_empty()
                && peer::is_readable(listener.socket.as_fd())
                && is_empty()
        };
        // This kernel does not report their number after all, so the hub has to accept.
        if let Some(listener) = self.listeners.get_mut(&id).filter(|listener| is_silent(listener)) {
            listener.grants = None;
            if listener.armed && epoll::delete(&*self.epoll, &listener.socket).is_ok() {
                listener.armed = false;
            }
            self.unarmed.insert(id);
        }
    }

    /// Updates how many of the grants have been used.
    fn settle(&mut self, id: u32) {
        let Some(grants) = self.grants_of(id) else {
            return;
        };
        let mut owing = std::mem::take(&mut grants.owing);
        owing.retain(|&token| {
            self.settle_worker(token);
            self.workers
                .get(&token)
                .is_some_and(|worker| worker.is_granted(id))
        });
        if let Some(grants) = self.grants_of(id) {
            grants.owing = owing;
        }
    }

    fn grants_of(&mut self, id: u32) -> Option<&mut Grants> {
        self.listeners.get_mut(&id)?.grants.as_mut()
    }

    fn look_again(&mut self, id: u32, at_ns: u64) {
        if let Some(grants) = self.grants_of(id) {
            lower(&mut grants.look_again_ns, at_ns);
            self.restless.insert(id);
        }
    }

    /// Distributes `count` connections among the workers by the listener's policy. Returns how many no worker
    /// can take.
    fn give(&mut self, id: u32, mut count: u64, now_ns: u64) -> u64 {
        // Terminates: each round that leaves some has found another worker full.
        while count > 0 {
            let Some(shares) = self.share_out(id, count, now_ns) else {
                return count;
            };
            for (token, share) in shares {
                count -= self.grant_to(id, token, share, now_ns);
            }
        }
        0
    }

    /// Each worker's share. `None` when no worker can take any.
    fn share_out(&mut self, id: u32, count: u64, now_ns: u64) -> Option<Vec<(u32, u64)>> {
        let listener = self.listeners.get_mut(&id)?;
        let mut shares: Vec<(u32, u64)> = Vec::new();
        let mut add = |token: u32| match shares.iter_mut().find(|(known, _)| *known == token) {
            Some((_, share)) => *share += 1,
            None => shares.push((token, 1)),
        };
        if listener.options.policy == Policy::RoundRobin {
            let Listener { members, cursor, .. } = listener;
            for _ in 0..count {
                let chosen = [Health::Good, Health::Stalled].into_iter().find_map(|health| {
                    policy::next_in_turn(cursor, members.len(), |index| {
                        let member = &members[index];
                        match self.workers.get(&member.token) {
                            Some(worker) if member.takes(now_ns) => worker.standing(health),
                            _ => Standing::Out,
                        }
                    })
                });
                add(members[chosen?].token);
            }
            return Some(shares);
        }
        let mut list: Vec<Candidate> = candidates(listener, &self.workers, &self.board, now_ns);
        for _ in 0..count {
            let chosen = policy::choose(listener.options.policy, &mut listener.cursor, &list, None)?;
            list[chosen].connections += 1;
            add(listener.members[chosen].token);
        }
        Some(shares)
    }

    /// Grants a worker its share. Returns how much of it fits into its queue.
    fn grant_to(&mut self, id: u32, token: u32, share: u64, now_ns: u64) -> u64 {
        let (Some(listener), Some(worker)) = (self.listeners.get_mut(&id), self.workers.get_mut(&token))
        else {
            return 0;
        };
        let Listener {
            members,
            socket,
            grants,
            cursor,
            ..
        } = listener;
        let index = members.iter().position(|member| member.token == token);
        let (Some(index), Some(grants)) = (index, grants.as_mut()) else {
            return 0;
        };
        let member = &mut members[index];
        let mut given = 0;
        if !member.has_socket {
            member.has_socket = worker.send_socket(&self.board, now_ns, id, socket.as_fd());
        }
        while member.has_socket && given < share {
            let count = (share - given).min(MAX_FDS as u64);
            if !worker.grant(&self.board, now_ns, id, count as u32) {
                break;
            }
            given += count;
        }
        if given > 0 && !grants.owing.contains(&token) {
            grants.owing.push(token);
        }
        // Others get the rest.
        cursor.owe(index, share - given);
        grants.outstanding += given;
        self.stats.handed_over += given;
        self.restless.insert(id);
        self.watch_queue(token);
        given
    }

    /// Handles a worker's message that it has not accepted some of its grants.
    pub fn decline(&mut self, id: u32, token: u32, count: u32) {
        self.stats.refused += u64::from(count);
        let Some(listener) = self.listeners.get_mut(&id) else {
            return;
        };
        if let Some(member) = listener.member(token) {
            member.rests_until_ns = monotonic_ns() + REST_NS;
        }
        self.grant(id);
    }

    /// Updates what a worker has taken.
    pub fn settle_worker(&mut self, token: u32) {
        if let Some(worker) = self.workers.get_mut(&token) {
            worker.settle(&self.board, |listener, count| {
                deduct(self.listeners.get_mut(&listener), count);
            });
        }
    }

    /// Withdraws all grants of a worker. Returns their number and listeners.
    pub fn withdraw(&mut self, token: u32) -> (u64, Vec<u32>) {
        self.settle_worker(token);
        let Some(worker) = self.workers.get_mut(&token) else {
            return (0, Vec::new());
        };
        let mut total = 0;
        let mut listeners = Vec::new();
        for (id, count) in worker.withdraw() {
            deduct(self.listeners.get_mut(&id), count);
            total += u64::from(count);
            listeners.push(id);
        }
        listeners.sort_unstable();
        listeners.dedup();
        (total, listeners)
    }

    /// Checks a listener again when that is due, or when a worker has recovered that may take what no other
    /// could. Returns when the next check is due, in nanoseconds from now.
    pub fn tend_grants(&mut self, id: u32, now_ns: u64, has_recovered: bool) -> Option<u64> {
        self.settle(id);
        let grants = self.listeners.get(&id)?.grants.as_ref()?;
        let is_due = grants
            .look_again_ns
            .is_some_and(|at_ns| has_recovered || at_ns <= now_ns);
        // All grants have been used; connections that still wait were missed.
        if is_due || grants.outstanding == 0 {
            self.grant(id);
        }
        let look_again_ns = self.listeners.get(&id)?.grants.as_ref()?.look_again_ns;
        look_again_ns.map(|at_ns| at_ns.saturating_sub(now_ns))
    }
}

fn deduct(listener: Option<&mut Listener>, count: u32) {
    if let Some(grants) = listener.and_then(|listener| listener.grants.as_mut()) {
        grants.outstanding = grants.outstanding.saturating_sub(u64::from(count));
    }
}
