//! Listening sockets that workers share and accept from by themselves; the hub only monitors them.
//!
//! A connection wakes one of the waiting workers. If that one gets stuck or dies before it accepts, the
//! others sleep on although a connection waits, until the next one arrives. So the hub checks periodically:
//! when connections have been waiting from one check to the next, it pings the workers. Their loops then
//! register the socket anew, which reports the waiting connections to those that are not stuck.
//!
//! After some checks without a new connection, the hub lets epoll report the next one and sleeps until then.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::Relaxed;

use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::event::{poll, PollFd, PollFlags, Timespec};

use super::state::State;
use super::thread::shared_token;
use super::worker::Worker;
use crate::sys::clock::monotonic_ns;

/// Interval between checks in nanoseconds.
const CHECK_NS: u64 = 25_000_000;

/// Number of checks without a new connection after which the hub sleeps. Sleeping costs two system calls per
/// socket.
const QUIET_CHECKS: u32 = 8;

/// A shared socket and the workers that serve it.
#[derive(Debug)]
struct SharedSocket {
    socket: OwnedFd,
    members: Vec<u32>,
    had_waiting: bool,
    /// Whether epoll reports the next connection. It must be removed from epoll before `socket` is closed, since
    /// others hold copies of it.
    is_registered: bool,
}

/// All shared sockets, and when to check them.
#[derive(Debug, Default)]
pub(super) struct SharedSockets {
    sockets: BTreeMap<u32, SharedSocket>,
    /// Time of the last check.
    checked_ns: u64,
    /// Number of checks since a connection arrived.
    quiet_checks: u32,
    /// Number of connections that the workers had accepted at the last check; wraps.
    accepted: u32,
    /// Whether no checks are due until epoll reports a connection.
    asleep: bool,
}

impl SharedSockets {
    pub fn insert(&mut self, id: u32, socket: OwnedFd) {
        let shared = SharedSocket {
            socket,
            members: Vec::new(),
            had_waiting: false,
            is_registered: false,
        };
        self.sockets.insert(id, shared);
    }

    fn have_members(&self) -> bool {
        self.sockets.values().any(|shared| !shared.members.is_empty())
    }

    /// Whether the hub sleeps until a connection arrives.
    #[cfg(test)]
    pub fn is_asleep(&self) -> bool {
        self.asleep
    }
}

impl State {
    /// Adds a worker to a shared socket. Does nothing if there is no such socket.
    pub fn add_sharer(&mut self, id: u32, token: u32) {
        let Some(shared) = self.shared.sockets.get_mut(&id) else {
            return;
        };
        if !shared.members.contains(&token) {
            shared.members.push(token);
            self.resume_checks(None);
        }
    }

    /// Removes a worker from a shared socket, or from all. Returns the sockets it was a member of.
    pub fn remove_sharer(&mut self, id: Option<u32>, token: u32) -> Vec<u32> {
        let mut left = Vec::new();
        for (&each, shared) in &mut self.shared.sockets {
            if id.is_none_or(|id| id == each) && shared.members.contains(&token) {
                shared.members.retain(|&member| member != token);
                left.push(each);
            }
        }
        if !left.is_empty() {
            self.resume_checks(None);
        }
        left
    }

    pub fn remove_shared(&mut self, id: u32) {
        if let Some(mut shared) = self.shared.sockets.remove(&id) {
            unregister(&self.epoll, &mut shared);
        }
    }

    /// Resumes the checks after a change, or because a connection has arrived at the socket `ready`.
    pub fn resume_checks(&mut self, ready: Option<u32>) {
        for (&id, shared) in &mut self.shared.sockets {
            unregister(&self.epoll, shared);
            // epoll has checked it.
            shared.had_waiting |= ready == Some(id);
        }
        self.shared.asleep = false;
        self.shared.quiet_checks = 0;
        self.shared.checked_ns = monotonic_ns();
    }

    /// Lets epoll report the next connection. If that fails for lack of memory, the checks go on.
    fn sleep_until_one_comes(&mut self) {
        let mut all = true;
        for (&id, shared) in &mut self.shared.sockets {
            if shared.members.is_empty() {
                continue;
            }
            let data = EventData::new_u64(shared_token(id));
            // Reports at once a connection that has arrived in the meantime.
            let flags = EventFlags::IN | EventFlags::ONESHOT;
            shared.is_registered = epoll::add(&*self.epoll, &shared.socket, data, flags).is_ok();
            all &= shared.is_registered;
        }
        if all {
            self.shared.asleep = true;
        } else {
            self.resume_checks(None);
        }
    }

    /// Checks the shared sockets when that is due. Returns the time until the next check, if one is due.
    pub fn tend_shared(&mut self, now_ns: u64) -> Option<u64> {
        if self.shared.asleep || !self.shared.have_members() {
            return None;
        }
        let elapsed_ns = now_ns.saturating_sub(self.shared.checked_ns);
        if elapsed_ns < CHECK_NS {
            return Some(CHECK_NS - elapsed_ns);
        }
        self.shared.checked_ns = now_ns;
        let (some_wait, mut woken) = self.shared.check();
        woken.sort_unstable();
        woken.dedup();
        for token in woken {
            // One ping is enough, as anything queued wakes the worker.
            let is_free = |worker: &Worker| worker.outstanding(&self.board) == 0;
            if self.workers.get(&token).is_some_and(is_free) {
                self.ping(token, now_ns);
            }
        }
        let counts = self.workers.values().map(|worker| {
            let slot = self.board.worker(worker.slot);
            slot.accepted.load(Relaxed)
        });
        let accepted = counts.fold(0, u32::wrapping_add);
        if some_wait || accepted != self.shared.accepted {
            self.shared.accepted = accepted;
            self.shared.quiet_checks = 0;
        } else {
            self.shared.quiet_checks += 1;
        }
        if self.shared.quiet_checks >= QUIET_CHECKS {
            self.sleep_until_one_comes();
        }
        (!self.shared.asleep).then_some(CHECK_NS)
    }
}

impl SharedSockets {
    /// Returns whether connections are waiting in any of them, and the members of those in which some were
    /// waiting at the last check as well.
    fn check(&mut self) -> (bool, Vec<u32>) {
        let mut polled: Vec<PollFd<'_>> = self
            .sockets
            .values()
            .map(|shared| PollFd::new(&shared.socket, PollFlags::IN))
            .collect();
        // Fails only for lack of memory; the next check will find out.
        let _ready = poll(
            &mut polled,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        );
        let waiting: Vec<bool> = polled
            .iter()
            .map(|socket| socket.revents().contains(PollFlags::IN))
            .collect();
        let mut woken: Vec<u32> = Vec::new();
        for (shared, &has_waiting) in self.sockets.values_mut().zip(&waiting) {
            if has_waiting && shared.had_waiting {
                woken.extend(&shared.members);
            }
            shared.had_waiting = has_waiting;
        }
        (waiting.contains(&true), woken)
    }
}

fn unregister(epoll: &OwnedFd, shared: &mut SharedSocket) {
    if std::mem::take(&mut shared.is_registered) {
        // Fails only if it is not registered.
        let _gone = epoll::delete(epoll, &shared.socket);
    }
}
