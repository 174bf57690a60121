//! Decides whether an idle event loop should poll again at once rather than block, for messages delivered by
//! the platform: those of Node's message ports, whose queues cannot be inspected.
//!
//! Called by the loop's thread, which reports every message and asks before each turn in which the loop would
//! block, from the first one after a message until the answer is [`Turn::Sleep`].

use std::mem;
use std::time::Duration;

use super::spin::{Adaptive, Latency, Permit};

/// Weight of a gap observed while polling. Gaps that include a wake-up overestimate the true gap and would
/// otherwise outvote it.
const WEIGHT_OF_HIT: u32 = 4;

/// What the loop should do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Poll for events without blocking, and ask again.
    Poll,
    /// Block until an event arrives. The next message starts over.
    Sleep,
}

/// The message statistics of one event loop.
#[derive(Debug, Default)]
pub struct Polling {
    spin: Adaptive,
    /// Held while polling.
    permit: Option<Permit>,
    /// When the loop ran out of messages, in ns of a monotonic clock; `None` before.
    idle_since: Option<u64>,
}

impl Polling {
    /// Reports a message. `now_ns` is called only for the first message after an idle phase.
    pub fn arrived(&mut self, now_ns: impl FnOnce() -> u64) {
        let Some(idle_since) = mem::take(&mut self.idle_since) else {
            return;
        };
        let gap = Duration::from_nanos(now_ns().saturating_sub(idle_since));
        if self.permit.is_none() {
            return self.spin.observe(gap);
        }
        for _ in 0..WEIGHT_OF_HIT {
            self.spin.hit(gap);
        }
    }

    /// Asks whether the loop, which would block now, should do so.
    pub fn turn(&mut self, now_ns: u64, latency: Latency) -> Turn {
        match self.idle_since {
            None => {
                self.idle_since = Some(now_ns);
                let permit = self.permit.take();
                if self.spin.should_spin(latency) {
                    self.permit = permit.or_else(Permit::acquire);
                }
            }
            Some(since) => {
                let polled = Duration::from_nanos(now_ns.saturating_sub(since));
                if polled > latency.limit() && self.permit.take().is_some() {
                    self.spin.miss();
                }
            }
        }
        match self.permit {
            Some(_) => Turn::Poll,
            None => Turn::Sleep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1000;
    const WAKE_UP: u64 = 70 * US;

    /// Simulates a loop that receives `count` messages, each `gap` after it went idle. Returns how often it
    /// fell asleep.
    fn sleeps(polling: &mut Polling, now: &mut u64, latency: Latency, gap: u64, count: u32) -> u32 {
        let mut sleeps = 0;
        for _ in 0..count {
            let came = *now + gap;
            let mut is_asleep = false;
            while !is_asleep && *now < came {
                is_asleep = polling.turn(*now, latency) == Turn::Sleep;
                *now += US;
            }
            sleeps += u32::from(is_asleep);
            *now = came + if is_asleep { WAKE_UP } else { 0 };
            polling.arrived(|| *now);
        }
        sleeps
    }

    #[test]
    fn it_finds_out_that_messages_are_dense_although_wake_ups_hide_it() {
        // Cannot poll while other tests hold all permits.
        let is_found = (0..1000).any(|_| {
            let (mut polling, mut now) = (Polling::default(), 1);
            sleeps(&mut polling, &mut now, Latency::Balanced, 5 * US, 100);
            sleeps(&mut polling, &mut now, Latency::Balanced, 5 * US, 1000) < 100
        });
        assert!(is_found || std::thread::available_parallelism().is_ok_and(|count| count.get() == 1));
    }

    #[test]
    fn it_sleeps_between_messages_that_are_far_apart() {
        let (mut polling, mut now) = (Polling::default(), 1);
        let dense = sleeps(&mut polling, &mut now, Latency::Balanced, 1000 * US, 1000);
        assert_eq!(dense, 1000);
        let polled = (0..1000).filter(|_| {
            let turn = polling.turn(now, Latency::Balanced);
            now += 1000 * US;
            polling.turn(now, Latency::Balanced);
            polling.arrived(|| now);
            turn == Turn::Poll
        });
        assert!(polled.count() < 100);
    }

    #[test]
    fn frugal_never_polls_and_what_polls_stops_in_time() {
        let (mut polling, mut now) = (Polling::default(), 1);
        assert_eq!(sleeps(&mut polling, &mut now, Latency::Frugal, US, 100), 100);
        let mut turns = 0;
        while polling.turn(now, Latency::Low) == Turn::Poll {
            now += 10 * US;
            turns += 1;
            assert!(turns <= 51, "polls for ever");
        }
        assert!(polling.permit.is_none());
    }
}
