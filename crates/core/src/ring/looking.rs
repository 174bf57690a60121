//! Whether an event loop that has nothing to do should look again at once, rather than sleep, for messages that the
//! platform delivers: those of Node's ports, whose queues cannot be looked at.
//!
//! Who may call: the loop's thread. It tells of each message that comes, and asks in each turn of the loop before
//! it would sleep, from the first one after a message on until the answer is [`Turn::Sleep`].

use std::mem;
use std::time::Duration;

use super::spin::{Adaptive, Latency, Permit};

/// A gap that was looked through says more than those with a wake-up in them, which would outvote it.
const WEIGHT_OF_HIT: u32 = 4;

/// What the loop is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// To look for events and come back.
    LookOn,
    /// To wait for events. A message begins it anew.
    Sleep,
}

/// What a loop knows of its messages.
#[derive(Debug, Default)]
pub struct Looking {
    spin: Adaptive,
    /// While it looks on.
    permit: Option<Permit>,
    /// When it ran out of messages, in nanoseconds of a clock that does not go back; `None` before.
    idle_since: Option<u64>,
}

impl Looking {
    /// A message has come. Most come upon another, and then the time is not asked for.
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

    /// The loop would sleep now, if no event is there.
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
                let looked = Duration::from_nanos(now_ns.saturating_sub(since));
                if looked > latency.limit() && self.permit.take().is_some() {
                    self.spin.miss();
                }
            }
        }
        match self.permit {
            Some(_) => Turn::LookOn,
            None => Turn::Sleep,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1000;
    const WAKE_UP: u64 = 70 * US;

    /// A loop that gets messages, each so long after it went idle: how often of so many it fell asleep.
    fn sleeps(looking: &mut Looking, now: &mut u64, latency: Latency, gap: u64, count: u32) -> u32 {
        let mut sleeps = 0;
        for _ in 0..count {
            let came = *now + gap;
            let mut is_asleep = false;
            while !is_asleep && *now < came {
                is_asleep = looking.turn(*now, latency) == Turn::Sleep;
                *now += US;
            }
            sleeps += u32::from(is_asleep);
            *now = came + if is_asleep { WAKE_UP } else { 0 };
            looking.arrived(|| *now);
        }
        sleeps
    }

    #[test]
    fn it_finds_out_that_messages_are_dense_although_wake_ups_hide_it() {
        // Where other tests take all permits, it cannot look on.
        let is_found = (0..1000).any(|_| {
            let (mut looking, mut now) = (Looking::default(), 1);
            sleeps(&mut looking, &mut now, Latency::Balanced, 5 * US, 100);
            sleeps(&mut looking, &mut now, Latency::Balanced, 5 * US, 1000) < 100
        });
        assert!(is_found || std::thread::available_parallelism().is_ok_and(|count| count.get() == 1));
    }

    #[test]
    fn it_sleeps_between_messages_that_are_far_apart() {
        let (mut looking, mut now) = (Looking::default(), 1);
        let dense = sleeps(&mut looking, &mut now, Latency::Balanced, 1000 * US, 1000);
        assert_eq!(dense, 1000);
        let looked = (0..1000).filter(|_| {
            let turn = looking.turn(now, Latency::Balanced);
            now += 1000 * US;
            looking.turn(now, Latency::Balanced);
            looking.arrived(|| now);
            turn == Turn::LookOn
        });
        assert!(looked.count() < 100);
    }

    #[test]
    fn frugal_never_looks_and_what_looks_ends_it_in_time() {
        let (mut looking, mut now) = (Looking::default(), 1);
        assert_eq!(sleeps(&mut looking, &mut now, Latency::Frugal, US, 100), 100);
        let mut turns = 0;
        while looking.turn(now, Latency::Low) == Turn::LookOn {
            now += 10 * US;
            turns += 1;
            assert!(turns <= 51, "looks on for ever");
        }
        assert!(looking.permit.is_none());
    }
}
