//! Listening sockets that workers share and accept from by themselves; the hub only monitors them.
//!
//! A connection wakes one of the waiting workers. If that one gets stuck or dies before it accepts, the
//! others sleep on although a connection waits, until the next one arrives. So the hub checks periodically:
//! when connections have been waiting from one check to the next, it pings the workers. Their loops then
//! register the socket anew, which reports the waiting connections to those that are not stuck.

use std::os::fd::OwnedFd;

use rustix::event::{poll, PollFd, PollFlags, Timespec};

use super::state::State;
use super::worker::Worker;

/// Interval between checks in nanoseconds.
const LOOK_NS: u64 = 25_000_000;

/// A shared socket and the workers that serve it.
#[derive(Debug)]
pub(super) struct SharedSocket {
    socket: OwnedFd,
    members: Vec<u32>,
    had_waiting: bool,
}

impl SharedSocket {
    pub fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            members: Vec::new(),
            had_waiting: false,
        }
    }

    pub fn add(&mut self, token: u32) {
        if !self.members.contains(&token) {
            self.members.push(token);
        }
    }

    /// Removes a worker. Returns whether it was a member.
    pub fn remove(&mut self, token: u32) -> bool {
        let before = self.members.len();
        self.members.retain(|&member| member != token);
        self.members.len() < before
    }
}

impl State {
    /// Checks the shared sockets when that is due. Returns the time until the next check, if there are any
    /// sockets in use.
    pub fn tend_shared(&mut self, now_ns: u64) -> Option<u64> {
        if self.shared.values().all(|shared| shared.members.is_empty()) {
            return None;
        }
        let elapsed_ns = now_ns.saturating_sub(self.looked_ns);
        if elapsed_ns < LOOK_NS {
            return Some(LOOK_NS - elapsed_ns);
        }
        self.looked_ns = now_ns;
        let mut polled: Vec<PollFd<'_>> = self
            .shared
            .values()
            .map(|shared| PollFd::new(&shared.socket, PollFlags::IN))
            .collect();
        // Fails only for lack of memory; the next check will catch up.
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
        for (shared, has_waiting) in self.shared.values_mut().zip(waiting) {
            if has_waiting && shared.had_waiting {
                woken.extend(&shared.members);
            }
            shared.had_waiting = has_waiting;
        }
        woken.sort_unstable();
        woken.dedup();
        for token in woken {
            // One ping is enough, as anything queued wakes the worker.
            let is_free = |worker: &Worker| worker.outstanding(&self.board) == 0;
            if self.workers.get(&token).is_some_and(is_free) {
                self.ping(token, now_ns);
            }
        }
        Some(LOOK_NS)
    }
}
