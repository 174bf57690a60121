//! Places for keys, under contention and with crashes between any two stores.

use std::thread;

use super::slots::{Meaning, SlotError, Slots, PLACES, SET_WORDS};
use crate::crash;
use crate::shm::owner_lock::{Host, Patience, System};
use crate::shm::words::Words;
use crate::sync::{AtomicU64, Ordering};

/// States are counts; even ones are idle.
struct Even;

impl Meaning for Even {
    fn is_idle(&self, state: u64) -> bool {
        state.is_multiple_of(2)
    }
    fn fresh(&self, before: u64) -> u64 {
        if before == 0 {
            2
        } else {
            0
        }
    }
}

/// No key is ever idle.
struct Counts;

impl Meaning for Counts {
    fn is_idle(&self, _state: u64) -> bool {
        false
    }
    fn fresh(&self, _before: u64) -> u64 {
        0
    }
}

#[derive(Clone, Copy)]
struct Survivor(u64);

impl Host for Survivor {
    fn me(&self) -> u64 {
        self.0
    }
    fn is_alive(&self, owner: u64) -> bool {
        owner == self.0
    }
    fn pause(&self, _attempt: u32) -> Patience {
        Patience::Doubt
    }
}

fn memory(sets: usize) -> Vec<AtomicU64> {
    (0..sets * SET_WORDS).map(|_| AtomicU64::new(0)).collect()
}

fn slots(memory: &[AtomicU64]) -> Slots<'_> {
    Slots::new(Words::new(memory)).unwrap()
}

/// An odd hash that spreads keys over the sets.
fn hash_of(key: u64) -> u64 {
    (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
}

fn add(slots: Slots<'_>, host: &impl Host, key: u64, by: u64) -> Result<u64, SlotError> {
    slots.change(host, hash_of(key), &Counts, |state| {
        (Some(state + by), state + by)
    })
}

#[test]
fn threads_that_meet_at_a_key_count_exactly() {
    let memory = memory(4);
    let slots = slots(&memory);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for turn in 0..20_000u64 {
                    add(slots, &System, turn % 20, 1).unwrap();
                }
            });
        }
    });
    for key in 0..20 {
        assert_eq!(slots.peek(hash_of(key)), Ok(Some(4000)));
    }
}

#[test]
fn without_an_idle_key_there_is_no_place() {
    let memory = memory(1);
    let slots = slots(&memory);
    for key in 0..PLACES as u64 {
        slots
            .change(&System, hash_of(key), &Even, |_| (Some(1), ()))
            .unwrap();
    }
    let put = |key: u64| slots.change(&System, hash_of(key), &Even, |state| (None, state));
    assert_eq!(put(100), Err(SlotError::Full));
    slots
        .change(&System, hash_of(3), &Even, |_| (Some(4), ()))
        .unwrap();
    assert_eq!(put(100), Ok(0));
    assert_eq!(slots.peek(hash_of(3)), Ok(None));
    // Its place is idle as well and is reassigned to the next key.
    assert_eq!(put(101), Ok(2));
}

#[test]
fn whoever_puts_a_key_in_may_die_between_any_two_stores() {
    let mut deaths = 0;
    loop {
        let memory = memory(1);
        let slots = slots(&memory);
        for key in 0..PLACES as u64 {
            slots
                .change(&Survivor(1), hash_of(key), &Even, |_| {
                    (Some(1 + u64::from(key == 5)), ())
                })
                .unwrap();
        }
        let done = crash::run_until(deaths, || {
            slots
                .change(&Survivor(1), hash_of(50), &Even, |_| (Some(7), ()))
                .unwrap();
        });
        for key in (0..PLACES as u64).filter(|key| *key != 5) {
            let state = slots.change(&Survivor(2), hash_of(key), &Even, |state| {
                (Some(state + 2), state)
            });
            assert_eq!(state, Ok(1));
        }
        let state = slots
            .change(&Survivor(2), hash_of(50), &Even, |state| (Some(9), state))
            .unwrap();
        assert!(
            state == 7 || (done.is_err() && state.is_multiple_of(2)),
            "{state} at {deaths}"
        );
        assert_eq!(slots.peek(hash_of(50)), Ok(Some(9)));
        if done.is_ok() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 3);
}

#[test]
fn any_bytes_are_an_error_at_most() {
    for seed in 0..200u64 {
        let memory = memory(2);
        for (index, word) in memory.iter().enumerate() {
            let noise = hash_of(seed * 1000 + index as u64);
            word.store(
                if noise.is_multiple_of(3) {
                    u64::MAX
                } else {
                    noise % 5
                },
                Ordering::Relaxed,
            );
        }
        for key in 0..40 {
            let _outcome =
                slots(&memory).change(&Survivor(2), hash_of(key), &Even, |state| (Some(state ^ 1), ()));
        }
    }
    assert!(Slots::new(Words::new(&memory(3))).is_err());
}
