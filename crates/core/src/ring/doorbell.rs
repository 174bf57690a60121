//! The consumer's side of the doorbell: when to drain, when to spin and when to sleep.
//!
//! Called by the consumer's thread, from its event loop. No wake-up is lost: [`Doorbell::answer`] returns
//! only when [`Control::transition_to_asleep`] has succeeded, when the caller is to signal its own eventfd,
//! or when the drain asked to pause.

use std::time::{Duration, Instant};

use super::control::Control;
use super::spin::{Adaptive, Latency, Permit};
use super::vicinity::Vicinity;
use crate::sync::{fence, Ordering};
use crate::sys::clock::monotonic_ns;

/// Time limit of one event-loop turn while records keep arriving, so that other handles are not starved.
pub const LONGEST_TURN: Duration = Duration::from_millis(2);

/// How many times a single drain may re-check for more records before it returns while traffic is dense:
/// entering and leaving the drain costs more than a small record. The end of the turn is checked here,
/// between drains.
const GLANCES: u32 = 64;

/// Polls, taking about 1 to 3 us, after which a spinning thread yields the processor.
const POLLS_BEFORE_YIELDING: u32 = 64;

/// The waiting side, as a [`Doorbell`] sees it.
pub trait Consumer {
    /// Whether there is something to consume.
    fn is_pending(&self) -> bool;
    /// Sets the sleep flag, so that producers ring from here on.
    fn begin_sleep(&self);
    /// Announces that the consumer goes to sleep. Returns false, with the consumer awake again, when
    /// something has arrived in the meantime.
    fn transition_to_asleep(&self) -> bool {
        self.begin_sleep();
        // SeqCst: pairs with the producer's fence. Of the two sides, the later one sees the other's store:
        // either this thread sees the record, or the producer sees that it has to ring.
        fence(Ordering::SeqCst);
        if self.is_pending() {
            self.transition_to_awake();
            return false;
        }
        true
    }
    /// Clears the sleep flag.
    fn transition_to_awake(&self);
    /// Time of the producer's last ring, as returned by [`monotonic_ns`].
    fn signalled_at(&self) -> u64;
    /// Whether the thread may spin because nothing else waits for its event loop.
    fn may_spin(&self) -> bool {
        true
    }
    /// Called before the consumer starts to spin.
    fn begin_search(&self) {}
    /// Called after the consumer has stopped spinning. Returns whether something arrived at the last moment.
    fn end_search(&self) -> bool {
        false
    }
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

/// The result of a drain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
    /// Drain again when there is something to consume.
    Continue,
    /// Do not drain until the consumer resumes: it has stopped receiving, or its environment is shutting
    /// down.
    Pause,
}

/// Why [`Doorbell::answer`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The consumer sleeps; the producer rings when there is something to consume.
    Asleep,
    /// The turn is used up with records left: the caller must ring its own bell.
    More,
    /// The drain asked to pause. The producer does not ring.
    Paused,
}

/// State that a consumer keeps between rings.
#[derive(Debug, Default)]
pub struct Doorbell {
    spin: Adaptive,
    vicinity: Vicinity,
    /// When the consumer went to sleep, as returned by [`monotonic_ns`]; 0 while awake.
    asleep_since: u64,
}

impl Doorbell {
    /// Drains until nothing is left, the turn is over or `drain` asks to pause. The argument of `drain` is
    /// the number of times it may re-check for more records before it returns.
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
            if self.spin_for_record(consumer, latency, idle_since) {
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
            // Untrusted, and earlier than the sleep when something else woke this thread: either only skews
            // the gap estimate.
            let signalled_at = consumer.signalled_at();
            if signalled_at > asleep_since {
                self.spin
                    .observe(Duration::from_nanos(signalled_at - asleep_since));
            }
        }
    }

    /// Spins if that is worthwhile. Returns whether a record arrived.
    fn spin_for_record(
        &mut self,
        consumer: &(impl Consumer + ?Sized),
        latency: Latency,
        idle_since: u64,
    ) -> bool {
        if !consumer.may_spin() || !self.spin.should_spin(latency) || self.vicinity.should_sleep() {
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

/// Spins for as long as `latency` allows. Returns whether there is something to consume.
pub fn is_soon_pending(consumer: &(impl Consumer + ?Sized), latency: Latency) -> bool {
    is_soon(|| consumer.is_pending(), latency)
}

/// Spins for as long as `latency` allows. Returns whether it has become true.
pub fn is_soon(is_true: impl Fn() -> bool, latency: Latency) -> bool {
    spin_until(is_true, latency.limit(), &Vicinity::default())
}

/// Spins for up to `limit` within a drain, as a registered spinner. Returns whether there is something to
/// consume.
pub fn linger(consumer: &(impl Consumer + ?Sized), limit: Duration) -> bool {
    consumer.may_spin() && search(consumer, limit, &Vicinity::default()).unwrap_or(false)
}

/// Spins under a [`Permit`], with [`Consumer::begin_search`] and [`Consumer::end_search`] called around it.
/// `None` when no permit is available.
fn search(consumer: &(impl Consumer + ?Sized), limit: Duration, vicinity: &Vicinity) -> Option<bool> {
    let _permit = Permit::acquire()?;
    consumer.begin_search();
    let found = spin_until(|| consumer.is_pending(), limit, vicinity);
    Some(consumer.end_search() || found)
}

/// Spins for up to `limit`. Returns whether there is something to consume. Returns false at once when the
/// thread should sleep instead, see [`Vicinity`].
pub fn is_pending_within(consumer: &(impl Consumer + ?Sized), limit: Duration, vicinity: &Vicinity) -> bool {
    !vicinity.should_sleep() && spin_until(|| consumer.is_pending(), limit, vicinity)
}

fn spin_until(is_pending: impl Fn() -> bool, limit: Duration, vicinity: &Vicinity) -> bool {
    // Read when the first polls were in vain: what comes at once costs no reading of the clock.
    let mut start = None;
    loop {
        let polls = if vicinity.is_shared() {
            1
        } else {
            POLLS_BEFORE_YIELDING
        };
        for _ in 0..polls {
            if is_pending() {
                return true;
            }
            std::hint::spin_loop();
        }
        let before = Instant::now();
        if before - *start.get_or_insert(before) > limit || limit.is_zero() {
            return false;
        }
        // The producer may be waiting for this very processor: the scheduler often places a woken thread next
        // to its waker.
        std::thread::yield_now();
        vicinity.gave_way(before.elapsed(), is_pending());
    }
}

/// Producer: records the time of a wake-up for the consumer's gap estimate. Called when native code wakes the
/// consumer, or when JavaScript found it asleep.
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
