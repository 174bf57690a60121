//! Arrays against a model, with a crash after every store, and over arbitrary bytes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use proptest::prelude::*;

use super::numbers::{NumberType, Numbers, Operation};
use super::spine::{LENGTH, LOCK};
use super::values::{NewValue, Values};
use super::{ArrayError, CONTROL_WORDS};
use crate::crash;
use crate::shm::owner_lock::survivor::Survivor;
use crate::shm::owner_lock::System;
use crate::shm::words::Words;
use crate::sync::AtomicU64;
use crate::testing::{assert_documented, Watchdog};

const ONE: Survivor = Survivor(1);
const TWO: Survivor = Survivor(2);
const CAPACITY: usize = 6;
const BYTES: usize = 40;

fn memory() -> Vec<AtomicU64> {
    let words = CONTROL_WORDS + CAPACITY * Values::element_words(BYTES);
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

fn values(memory: &[AtomicU64]) -> Values<'_> {
    Values::new(Words::new(memory), CAPACITY, BYTES).unwrap()
}

fn numbers(memory: &[AtomicU64], of: NumberType) -> Numbers<'_> {
    Numbers::new(Words::new(memory), CAPACITY, of).unwrap()
}

fn bytes_of(seed: usize) -> Vec<u8> {
    (0..seed % (BYTES + 1))
        .map(|index| (seed * 7 + index) as u8)
        .collect()
}

fn value(bytes: &[u8]) -> NewValue<'_> {
    NewValue { kind: 3, bytes }
}

fn copied(words: &[u64], bytes: usize) -> Vec<u8> {
    let all: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    all[..bytes].to_vec()
}

fn get(values: Values<'_>, host: Survivor, index: usize) -> Option<Vec<u8>> {
    let mut target = [0; BYTES / 8];
    let found = values.get(&host, index, &mut target).unwrap();
    found.map(|found| copied(&target, found.bytes))
}

fn pop(values: Values<'_>, host: Survivor) -> Option<Vec<u8>> {
    let mut target = [0; BYTES / 8];
    let found = values.pop(&host, &mut target).unwrap();
    found.map(|found| copied(&target, found.bytes))
}

fn contents(values: Values<'_>, host: Survivor) -> Vec<Vec<u8>> {
    (0..values.length().unwrap())
        .map(|index| get(values, host, index).unwrap())
        .collect()
}

#[test]
fn the_layout_is_as_documented() {
    let places = [
        ("lock", LOCK),
        ("length", LENGTH),
        ("the elements", CONTROL_WORDS),
    ];
    assert_documented(include_str!("mod.rs"), &places);
}

#[test]
fn values_come_and_go_at_the_end() {
    let memory = memory();
    let array = values(&memory);
    assert_eq!(array.push(&ONE, &value(b"one")), Ok(1));
    assert_eq!(array.push(&ONE, &value(b"")), Ok(2));
    assert_eq!(array.set(&TWO, 0, &value(b"other"), None), Ok(2));
    assert_eq!(get(array, TWO, 0).unwrap(), b"other");
    assert_eq!(array.set(&TWO, 0, &value(b"third"), Some(1)), Ok(0));
    assert_eq!(array.set(&TWO, 0, &value(b"third"), Some(2)), Ok(3));
    assert_eq!(array.set(&ONE, 2, &value(b"x"), None), Err(ArrayError::NoElement));
    assert_eq!(array.push(&ONE, &value(&[0; 41])), Err(ArrayError::TooLarge));
    assert_eq!(pop(array, ONE).unwrap(), b"");
    assert_eq!(get(array, ONE, 1), None);
    array.clear(&ONE).unwrap();
    assert_eq!(pop(array, ONE), None);
}

#[test]
fn numbers_are_what_their_type_says() {
    let memory = memory();
    let change = |of: NumberType, operation, number: u64, operand: u64| {
        let array = numbers(&memory, of);
        array.clear(&ONE).unwrap();
        array.push(&ONE, number).unwrap();
        assert_eq!(array.change(0, operation, operand), Ok(number));
        array.get(0).unwrap().unwrap()
    };
    use NumberType::{Float64, Int32, Int64, Uint32, Uint64};
    use Operation::{Add, And, Exchange, Or, Subtract, Xor};
    let signed = |number: i64| number as u64;
    assert_eq!(
        change(Int32, Add, i32::MAX as u64, 1),
        signed(i64::from(i32::MIN))
    );
    assert_eq!(change(Int32, Subtract, 0, 1), signed(-1));
    assert_eq!(change(Uint32, Subtract, 0, 1), u64::from(u32::MAX));
    assert_eq!(change(Uint32, Xor, 6, 3), 5);
    assert_eq!(change(Int64, Add, signed(-5), 3), signed(-2));
    assert_eq!(change(Int64, And, signed(-1), 12), 12);
    assert_eq!(change(Uint64, Or, 1 << 63, 1), (1 << 63) | 1);
    assert_eq!(change(Uint64, Exchange, 7, 8), 8);
    let sum = change(Float64, Add, 0.5f64.to_bits(), 0.25f64.to_bits());
    assert_eq!(f64::from_bits(sum), 0.75);
    let array = numbers(&memory, Float64);
    array.change(0, Exchange, (-0.0f64).to_bits()).unwrap();
    array
        .compare_exchange(0, 0.0f64.to_bits(), 1.0f64.to_bits())
        .unwrap();
    assert_eq!(array.get(0), Ok(Some(1.0f64.to_bits())));
    assert_eq!(array.compare_exchange(1, 0, 0), Err(ArrayError::NoElement));
}

#[test]
fn whoever_changes_it_may_die_between_any_two_stores() {
    type Action = fn(Values<'_>, Survivor);
    let before: Vec<_> = [5, 17, 40].map(bytes_of).to_vec();
    let new = bytes_of(33);
    let actions: [(&str, Action, Vec<Vec<u8>>); 3] = [
        (
            "push",
            |array, host| {
                array.push(&host, &value(&bytes_of(33))).unwrap();
            },
            [before.clone(), vec![new.clone()]].concat(),
        ),
        ("pop", |array, host| drop(pop(array, host)), before[..2].to_vec()),
        (
            "set",
            |array, host| {
                array.set(&host, 1, &value(&bytes_of(33)), None).unwrap();
            },
            vec![before[0].clone(), new.clone(), before[2].clone()],
        ),
    ];
    for (name, action, after) in actions {
        let mut deaths = 0;
        loop {
            let memory = memory();
            let array = values(&memory);
            for bytes in &before {
                array.push(&ONE, &value(bytes)).unwrap();
            }
            let done = crash::run_until(deaths, || action(array, ONE));
            // Readers wait for nobody and find the old or the new state.
            let found = contents(array, TWO);
            match done {
                Ok(()) => assert_eq!(found, after, "{name}"),
                Err(_) => assert!(found == before || found == after, "{name} at {deaths}: {found:?}"),
            }
            // Writers continue.
            for (index, _) in found.iter().enumerate() {
                array.set(&TWO, index, &value(b"next"), None).unwrap();
            }
            assert_eq!(array.push(&TWO, &value(b"last")), Ok(found.len() + 1));
            assert_eq!(pop(array, TWO).unwrap(), b"last");
            assert!(contents(array, TWO).iter().all(|bytes| bytes == b"next"));
            if done.is_ok() {
                break;
            }
            deaths += 1;
        }
        assert!(deaths >= 2, "{name} has too few places to die at: {deaths}");
    }
}

#[test]
fn a_dead_owner_of_numbers_stops_nobody() {
    for deaths in 0..3 {
        let memory = memory();
        let array = numbers(&memory, NumberType::Uint64);
        array.push(&ONE, 7).unwrap();
        let done = crash::run_until(deaths, || array.push(&ONE, 8));
        assert!(done.is_err(), "{deaths}");
        let length = array.length().unwrap();
        assert!((1..=2).contains(&length));
        assert_eq!(array.push(&TWO, 9), Ok(length + 1));
        assert_eq!(array.get(0), Ok(Some(7)));
        assert_eq!(array.pop(&TWO), Ok(Some(9)));
    }
}

#[test]
fn a_reader_that_is_overtaken_reads_nothing_torn() {
    let memory = memory();
    let array = values(&memory);
    array.push(&ONE, &value(&[])).unwrap();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0..20_000u64 {
                let bytes = number.to_le_bytes().repeat(number as usize % 6);
                array.set(&System, 0, &value(&bytes), None).unwrap();
            }
            ended.store(true, Ordering::Release);
        });
        let mut target = [0; BYTES / 8];
        let mut newest = 0;
        let watchdog = Watchdog::start();
        while !ended.load(Ordering::Acquire) {
            watchdog.check("the writer");
            let found = array.get(&System, 0, &mut target).unwrap().unwrap();
            assert!(found.version >= newest);
            newest = found.version;
            let words = &target[..found.bytes / 8];
            assert!(words
                .iter()
                .all(|word| *word == words[0] && words.len() as u64 == word % 6));
        }
    });
}

#[test]
fn many_who_push_and_pop_lose_and_repeat_nothing() {
    let memory = memory();
    let array = numbers(&memory, NumberType::Uint64);
    let sum: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (1..=4u64)
            .map(|thread| {
                scope.spawn(move || {
                    let mut balance = 0u64;
                    for number in 0..3000 {
                        let number = thread * 10_000 + number;
                        if array.push(&System, number).is_ok() {
                            balance = balance.wrapping_add(number);
                        }
                        let popped = array.pop(&System).unwrap();
                        balance = balance.wrapping_sub(popped.unwrap_or(0));
                    }
                    balance
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .fold(0, u64::wrapping_add)
    });
    let left = (0..array.length().unwrap()).map(|index| array.get(index).unwrap().unwrap());
    assert_eq!(left.sum::<u64>(), sum);
}

proptest! {
    #[test]
    fn it_is_what_an_array_is(actions in prop::collection::vec((0usize..4, 0usize..8, 0usize..90), 1..200)) {
        let memory = memory();
        let array = values(&memory);
        let mut model: Vec<Vec<u8>> = Vec::new();
        for (action, index, seed) in actions {
            let bytes = bytes_of(seed);
            match action {
                0 => match array.push(&ONE, &value(&bytes)) {
                    Ok(length) => {
                        model.push(bytes);
                        prop_assert_eq!(length, model.len());
                    }
                    Err(error) => {
                        prop_assert_eq!(error, ArrayError::Full);
                        prop_assert_eq!(model.len(), CAPACITY);
                    }
                },
                1 => prop_assert_eq!(pop(array, ONE), model.pop()),
                2 => match array.set(&ONE, index, &value(&bytes), None) {
                    Ok(_) => model[index] = bytes,
                    Err(error) => {
                        prop_assert_eq!(error, ArrayError::NoElement);
                        prop_assert!(index >= model.len());
                    }
                },
                _ => prop_assert_eq!(get(array, ONE, index), model.get(index).cloned()),
            }
        }
        prop_assert_eq!(contents(array, ONE), model);
    }

    #[test]
    fn any_bytes_are_an_error_at_most(
        damage in prop::collection::vec((0usize..CONTROL_WORDS + 60, any::<u64>(), any::<bool>()), 1..20),
    ) {
        let memory = memory();
        let array = values(&memory);
        for seed in 0..4 {
            array.push(&ONE, &value(&bytes_of(seed))).unwrap();
        }
        for (index, value, small) in damage {
            memory[index].store(if small { value & 0xfff } else { value }, Ordering::Relaxed);
        }
        let mut target = [0; BYTES / 8];
        for index in 0..7 {
            let _read = array.get(&TWO, index, &mut target);
            let _set = array.set(&TWO, index, &value(b"x"), None);
            let _pushed = array.push(&TWO, &value(b"y"));
            let _popped = array.pop(&TWO, &mut target);
            let _number = numbers(&memory, NumberType::Float64).change(index, Operation::Add, 1);
        }
    }
}
