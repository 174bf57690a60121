//! The hub's thread: blocks in epoll; handles listeners, workers and deadlines.

use std::time::Duration;

use rustix::event::epoll::{self, Event};
use rustix::event::Timespec;
use rustix::io::Errno;

use super::Shared;

/// The type of an epoll event, in the upper half of its data; the lower half is the id.
const LISTENER: u64 = 1 << 32;
const CONTROL: u64 = 2 << 32;
const PIDFD: u64 = 3 << 32;
const HEADER: u64 = 4 << 32;
const SHARED: u64 = 5 << 32;

/// The data of the wake-up descriptor.
pub(super) const WAKE: u64 = 0;

pub(super) fn listener_token(id: u32) -> u64 {
    LISTENER | u64::from(id)
}

pub(super) fn control_token(token: u32) -> u64 {
    CONTROL | u64::from(token)
}

pub(super) fn pidfd_token(token: u32) -> u64 {
    PIDFD | u64::from(token)
}

pub(super) fn header_token(id: u32) -> u64 {
    HEADER | u64::from(id)
}

pub(super) fn shared_token(id: u32) -> u64 {
    SHARED | u64::from(id)
}

const EVENTS: usize = 64;

/// Runs until the hub is dropped.
pub(super) fn run(shared: &Shared) {
    let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
    let mut timeout: Option<Timespec> = None;
    loop {
        events.clear();
        match epoll::wait(
            &*shared.epoll,
            rustix::buffer::spare_capacity(&mut events),
            timeout.as_ref(),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            // EBADF and EINVAL are impossible for a descriptor owned here; going on would spin.
            Err(_) => return,
        }
        let mut state = shared.lock();
        if state.ending {
            return;
        }
        // Workers first, so that one that has just become ready gets its share of what is accepted below.
        let mut accepting = false;
        for event in &events {
            let data = event.data.u64();
            let id = data as u32;
            match data & !u64::from(u32::MAX) {
                CONTROL => state.worker_speaks(id),
                PIDFD => state.remove_worker(id),
                LISTENER => accepting = true,
                HEADER => state.header_arrives(id),
                SHARED => state.resume_checks(Some(id)),
                _ => {
                    let mut count = [0; 8];
                    // Resets the wake-up; fails when an earlier turn has done so.
                    let _reset = rustix::io::read(&shared.wake, &mut count);
                }
            }
        }
        if accepting {
            for event in &events {
                let data = event.data.u64();
                if data & !u64::from(u32::MAX) == LISTENER {
                    state.accept(data as u32);
                }
            }
        }
        let sleep_ns = state.tend();
        state.arm();
        if !state.events.is_empty() {
            Shared::signal(&shared.events_ready);
        }
        timeout = sleep_ns.map(timespec);
        let linger = if accepting { state.linger() } else { Duration::ZERO };
        drop(state);
        if !linger.is_zero() {
            std::thread::sleep(linger);
        }
    }
}

fn timespec(ns: u64) -> Timespec {
    let duration = Duration::from_nanos(ns);
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
