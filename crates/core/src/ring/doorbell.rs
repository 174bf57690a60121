//! The consumer's side of the doorbell: when to call for a drain, when to look on, when to sleep.
//!
//! Who may call: the consumer's thread, from its event loop. No wake-up is lost: the consumer leaves only
//! after [`Control::transition_to_asleep`] agreed, with its eventfd signalled, or paused on its own wish.

use std::time::{Duration, Instant};

use super::control::Control;
use super::spin::{Adaptive, Latency, Permit};
use super::vicinity::Vicinity;
use crate::sync::{fence, Ordering};
use crate::sys::clock::monotonic_ns;

/// Longest stay in one turn of the event loop while records keep coming; others need their turn, too.
pub const LONGEST_TURN: Duration = Duration::from_millis(2);

/// How often in one call a drain may glance for more before it returns, while traffic is dense: what surrounds the
/// call costs more than a small record. Then the turn's end is looked at here.
const GLANCES: u32 = 64;

/// Looks, some 1 to 3 us, after which a thread that looks on gives way.
const LOOKS_BEFORE_GIVING_WAY: u32 = 64;

/// Who waits for something: what a [`Doorbell`] asks of it.
pub trait Consumer {
    /// Whether there is something to consume.
    fn is_pending(&self) -> bool;
    /// Asks to be rung for what comes from here on.
    fn begin_sleep(&self);
    /// Gives up looking. False when something came in meanwhile: the consumer is awake again.
    fn transition_to_asleep(&self) -> bool {
        self.begin_sleep();
        // SeqCst: pairs with the producer's fence. Whichever of the two comes second sees the other's store, so that
        // either this thread sees what there is or the producer sees that it has to ring.
        fence(Ordering::SeqCst);
        if self.is_pending() {
            self.transition_to_awake();
            return false;
        }
        true
    }
    /// Looks by itself from now on.
    fn transition_to_awake(&self);
    /// When the producer rang last, [`monotonic_ns`].
    fn signalled_at(&self) -> u64;
    /// Whether nothing else waits for the event loop.
    fn may_look_on(&self) -> bool {
        true
    }
    /// Begins to look on.
    fn begin_search(&self) {}
    /// No longer looks on.
    fn end_search(&self) {}
}

impl Consumer for Control {
    fn is_pending(&self) -> bool {
        Control::is_pending(self)
    }

    fn begin_sleep(&self) {
        Control::begin_sleep(self);
    }

    fn transition_to_awake(&self) {
        Control::transition_to_awake(self);
    }

    fn signalled_at(&self) -> u64 {
        self.sleep.0.signalled_at.load(Ordering::Relaxed)
    }
}

/// What the consumer wants after a drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// To be called again when there is something.
    Continue,
    /// Not to be called before it asks: it stopped receiving, or its environment ends.
    Pause,
}

/// Why [`Doorbell::answer`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Asleep: the producer rings when there is something.
    Asleep,
    /// The turn was used up and there is more: the caller rings for itself.
    More,
    /// The drain asked to pause. The producer does not ring.
    Paused,
}

/// State of one consumer between rings.
#[derive(Debug, Default)]
pub struct Doorbell {
    spin: Adaptive,
    vicinity: Vicinity,
    /// When the consumer went to sleep, [`monotonic_ns`]; 0 while awake.
    asleep_since: u64,
}

impl Doorbell {
    /// Drains until there is nothing left, the turn is over, or the drain asks to pause. The drain is told how often
    /// it may glance for more.
    pub fn answer(
        &mut self,
        consumer: &(impl Consumer + ?Sized),
        latency: Latency,
        mut drain: impl FnMut(u32) -> Drained,
    ) -> Outcome {
        self.wake(consumer);
        let turn = Instant::now();
        loop {
            if consumer.is_pending() {
                let may_glance = self.spin.is_dense(latency) && !self.vicinity.is_shared();
                let glances = if may_glance { GLANCES } else { 0 };
                if drain(glances) == Drained::Pause {
                    return Outcome::Paused;
                }
                if turn.elapsed() > LONGEST_TURN {
                    return Outcome::More;
                }
                continue;
            }
            let idle_since = monotonic_ns();
            if self.look_on(consumer, latency, idle_since) {
                continue;
            }
            if consumer.transition_to_asleep() {
                self.asleep_since = idle_since;
                return Outcome::Asleep;
            }
        }
    }

    fn wake(&mut self, consumer: &(impl Consumer + ?Sized)) {
        consumer.transition_to_awake();
        let asleep_since = std::mem::take(&mut self.asleep_since);
        if asleep_since != 0 {
            // Untrusted, and older than the sleep when something else woke us: both only misjudge the gap.
            let signalled_at = consumer.signalled_at();
            if signalled_at > asleep_since {
                self.spin
                    .observe(Duration::from_nanos(signalled_at - asleep_since));
            }
        }
    }

    /// True when a record came in.
    fn look_on(&mut self, consumer: &(impl Consumer + ?Sized), latency: Latency, idle_since: u64) -> bool {
        if !consumer.may_look_on() || !self.spin.should_spin(latency) || self.vicinity.should_sleep() {
            return false;
        }
        let Some(found) = search(consumer, latency.limit(), &self.vicinity) else {
            return false;
        };
        match found {
            true => self
                .spin
                .hit(Duration::from_nanos(monotonic_ns().saturating_sub(idle_since))),
            false => self.spin.miss(),
        }
        found
    }
}

/// Looks on for as long as `latency` allows. True when there is something.
pub fn is_soon_pending(consumer: &(impl Consumer + ?Sized), latency: Latency) -> bool {
    look_on(consumer, latency.limit(), &Vicinity::default())
}

/// As a consumer that looks for work by itself, for a while within a drain. True when there is something.
pub fn linger(consumer: &(impl Consumer + ?Sized), limit: Duration) -> bool {
    consumer.may_look_on() && search(consumer, limit, &Vicinity::default()).unwrap_or(false)
}

/// Looks on as one of those that may at a time, which the consumer is told of. `None` when there are enough of them.
fn search(consumer: &(impl Consumer + ?Sized), limit: Duration, vicinity: &Vicinity) -> Option<bool> {
    let _permit = Permit::acquire()?;
    consumer.begin_search();
    let found = look_on(consumer, limit, vicinity);
    consumer.end_search();
    Some(found)
}

/// Looks on, at most so long. True when there is something. False as well, at once, when it is time to sleep for a
/// change, see [`Vicinity`].
pub fn is_pending_within(consumer: &(impl Consumer + ?Sized), limit: Duration, vicinity: &Vicinity) -> bool {
    !vicinity.should_sleep() && look_on(consumer, limit, vicinity)
}

fn look_on(consumer: &(impl Consumer + ?Sized), limit: Duration, vicinity: &Vicinity) -> bool {
    let start = Instant::now();
    loop {
        let looks = if vicinity.is_shared() {
            1
        } else {
            LOOKS_BEFORE_GIVING_WAY
        };
        for _ in 0..looks {
            if consumer.is_pending() {
                return true;
            }
            std::hint::spin_loop();
        }
        let before = Instant::now();
        if before - start > limit {
            return false;
        }
        // The producer may wait for this very processor: a thread that is woken is often put beside its waker.
        std::thread::yield_now();
        vicinity.gave_way(before.elapsed(), consumer.is_pending());
    }
}

/// Producer, after publishing outside of JavaScript or when JavaScript saw the consumer asleep: notes the time
/// for the consumer's average.
pub fn stamp(control: &Control) {
    control
        .sleep
        .0
        .signalled_at
        .store(monotonic_ns(), Ordering::Relaxed);
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_empty_lane_puts_the_consumer_to_sleep() {
        let control = Control::default();
        let outcome = Doorbell::default().answer(&control, Latency::Balanced, |_| panic!("nothing to drain"));
        assert_eq!(outcome, Outcome::Asleep);
        assert!(control.ring_needed());
        assert!(!control.ring_needed());
    }

    #[test]
    fn it_drains_until_nothing_is_left() {
        let control = Control::default();
        control.publish(3);
        let mut drains = 0;
        let outcome = Doorbell::default().answer(&control, Latency::Balanced, |_| {
            drains += 1;
            control.tail.0.fetch_add(1, Ordering::Relaxed);
            Drained::Continue
        });
        assert_eq!((outcome, drains), (Outcome::Asleep, 3));
    }

    #[test]
    fn a_paused_consumer_is_not_rung() {
        let control = Control::default();
        control.publish(8);
        let outcome = Doorbell::default().answer(&control, Latency::Balanced, |_| Drained::Pause);
        assert_eq!(outcome, Outcome::Paused);
        assert!(!control.ring_needed());
    }

    #[test]
    fn a_drain_without_end_gives_way() {
        let control = Control::default();
        control.publish(8);
        let outcome = Doorbell::default().answer(&control, Latency::Balanced, |_| Drained::Continue);
        assert_eq!(outcome, Outcome::More);
    }

    #[test]
    fn a_drain_may_glance_only_while_traffic_is_dense() {
        let glances_of = |doorbell: &mut Doorbell, latency| {
            let control = Control::default();
            control.publish(8);
            let mut told = None;
            doorbell.answer(&control, latency, |glances| {
                told = Some(glances);
                Drained::Pause
            });
            told
        };
        let mut doorbell = Doorbell::default();
        assert_eq!(glances_of(&mut doorbell, Latency::Balanced), Some(0));
        for _ in 0..30 {
            doorbell.spin.hit(Duration::from_micros(1));
        }
        assert_eq!(glances_of(&mut doorbell, Latency::Balanced), Some(GLANCES));
        assert_eq!(glances_of(&mut doorbell, Latency::Frugal), Some(0));
        doorbell.spin.miss();
        assert_eq!(glances_of(&mut doorbell, Latency::Balanced), Some(0));
    }

    #[test]
    fn the_overflow_counts_as_pending() {
        let control = Control::default();
        control.overflowed.0.store(1, Ordering::Release);
        assert!(control.is_pending());
        control.taken.0.store(1, Ordering::Relaxed);
        assert!(!control.is_pending());
    }
}
