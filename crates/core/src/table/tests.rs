//! A shard against a model, with a crash after every store, and over arbitrary bytes.

use std::cell::Cell;
use std::collections::HashMap;

use proptest::prelude::*;

use super::entry::{hash, Key, NewValue};
use super::read::{Read, Scan};
use super::shard::{self, Change, Condition, Expiry, Geometry, Shard};
use super::TableError;
use crate::crash;
use crate::shm::owner_lock::survivor::Survivor;
use crate::shm::words::Words;
use crate::sync::AtomicU64;
use crate::testing::assert_documented;

const WORDS: usize = 1200;
const NUMBER: u8 = 7;
const SEEDS: [u64; 2] = [11, 13];

struct Memory {
    words: Vec<AtomicU64>,
    geometry: Geometry,
    now: Cell<u64>,
}

impl Memory {
    fn new(evicts: bool) -> Self {
        let geometry = Geometry::new(WORDS, 16, evicts).unwrap();
        let words: Vec<_> = (0..WORDS).map(|_| AtomicU64::new(0)).collect();
        let memory = Self {
            words,
            geometry,
            now: Cell::new(1),
        };
        memory.shard().initialise().unwrap();
        memory
    }

    fn shard(&self) -> Shard<'_> {
        Shard::new(Words::new(&self.words), &self.geometry).unwrap()
    }

    fn set(&self, host: Survivor, name: u64, value: &[u8], expiry: Expiry) -> Result<Change, TableError> {
        let value = NewValue {
            kind: 1,
            bytes: value,
        };
        let words = [name];
        self.shard()
            .set(&host, &key(&words), &value, expiry, Condition::Always, || {
                self.now.get()
            })
    }

    fn get(&self, host: Survivor, name: u64) -> Option<Vec<u8>> {
        self.get_versioned(host, name).map(|(value, _)| value)
    }

    fn get_versioned(&self, host: Survivor, name: u64) -> Option<(Vec<u8>, u64)> {
        let mut target = [0; 64];
        match self
            .shard()
            .get(&host, &key(&[name]), &mut target, || self.now.get())
            .unwrap()
        {
            Read::Missing => None,
            Read::Found(value) => {
                let bytes = target.map(u64::to_le_bytes).concat()[..value.bytes].to_vec();
                Some((bytes, value.version))
            }
        }
    }

    fn delete(&self, host: Survivor, name: u64) -> Result<Change, TableError> {
        self.shard()
            .delete(&host, &key(&[name]), Condition::Always, || self.now.get())
    }

    fn add(&self, host: Survivor, name: u64, by: f64) -> Result<(f64, u64), TableError> {
        self.shard()
            .add(&host, &key(&[name]), NUMBER, by, Expiry::Kept(None), || {
                self.now.get()
            })
    }

    /// All entries, by scanning.
    fn all(&self, host: Survivor) -> HashMap<u64, Vec<u8>> {
        let mut found = HashMap::new();
        for bucket in 0..self.geometry.buckets {
            let mut target = [0; 600];
            let scan = self
                .shard()
                .scan(&host, bucket, &mut target, || self.now.get())
                .unwrap();
            let Scan::Copied { entries, words } = scan else {
                panic!("{scan:?}");
            };
            let mut at = 0;
            for _ in 0..entries {
                let (_, key_bytes, _, value_bytes) = super::read::parts_of_meta(target[at + 1]);
                assert_eq!(key_bytes, 8);
                let value = target[at + 3..].iter().flat_map(|word| word.to_le_bytes());
                let known = found.insert(target[at + 2], value.take(value_bytes).collect());
                assert!(known.is_none(), "twice in one scan");
                at += 3 + value_bytes.div_ceil(8);
            }
            assert_eq!(at, words);
        }
        found
    }

    /// Checks that the counters and the arena match the entries: all entries can be deleted, and then all the
    /// room is available.
    fn assert_in_order(&self, host: Survivor) {
        let shard = self.shard();
        shard.settle(&host).unwrap();
        self.now.set(0);
        let all = self.all(host);
        let stats = shard.stats().unwrap();
        assert_eq!(stats.entries, all.len() as u64);
        let payload: usize = all.values().map(|value| value.len() + 8).sum();
        assert_eq!(stats.payload_bytes, payload as u64);
        for name in all.keys() {
            assert!(matches!(self.delete(host, *name), Ok(Change::Made(1..))));
        }
        let stats = shard.stats().unwrap();
        assert_eq!((stats.entries, stats.block_bytes, stats.payload_bytes), (0, 0, 0));
        let room = shard.arena().capacity();
        let whole = shard.arena().allocate(room).unwrap();
        assert!(whole.is_some(), "some of the arena is lost");
    }
}

fn key(words: &[u64]) -> Key<'_> {
    Key {
        kind: 0,
        bytes: 8,
        words,
        hash: hash(SEEDS, 0, 8, words),
    }
}

fn value_of(seed: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| (seed as usize + index) as u8).collect()
}

const ONE: Survivor = Survivor(1);
const TWO: Survivor = Survivor(2);

#[test]
fn the_layout_is_as_documented() {
    assert_documented(
        include_str!("shard.rs"),
        &[
            ("lock", shard::LOCK),
            ("version", shard::VERSION),
            ("reclaims", shard::RECLAIMS),
            ("redo", shard::REDO),
            ("redo record", shard::RECORD),
            ("words", shard::RECORD_WORDS),
            ("number of entries", shard::ENTRIES),
            ("words in their blocks", shard::BLOCK_WORDS),
            ("bytes of keys and values", shard::PAYLOAD),
            ("entries that can expire", shard::EXPIRING),
            ("most recently freed block", shard::LAST_FREE),
            ("next bucket to sweep", shard::HAND),
            ("entries evicted so far", shard::EVICTED),
            ("entries expired so far", shard::EXPIRED),
            ("lists of the arena", shard::LISTS),
        ],
    );
}

#[test]
fn what_is_set_is_found_until_it_is_deleted() {
    let memory = Memory::new(false);
    assert_eq!(memory.get(ONE, 1), None);
    let Ok(Change::Made(first)) = memory.set(ONE, 1, b"one", Expiry::Never) else {
        panic!();
    };
    let Ok(Change::Made(second)) = memory.set(ONE, 1, b"another", Expiry::Never) else {
        panic!();
    };
    assert!(second > first);
    assert_eq!(memory.get(TWO, 1).unwrap(), b"another");
    assert_eq!(memory.delete(TWO, 1), Ok(Change::Made(second)));
    assert_eq!(memory.delete(TWO, 1), Ok(Change::Made(0)));
    assert_eq!(memory.get(ONE, 1), None);
    memory.assert_in_order(ONE);
}

#[test]
fn conditions_compare_versions() {
    let memory = Memory::new(false);
    let words = [5];
    let set = |condition| {
        let value = NewValue { kind: 1, bytes: b"x" };
        memory
            .shard()
            .set(&ONE, &key(&words), &value, Expiry::Never, condition, || 0)
            .unwrap()
    };
    assert_eq!(set(Condition::Version(9)), Change::Refused(0));
    let Change::Made(version) = set(Condition::Version(0)) else {
        panic!()
    };
    assert_eq!(set(Condition::Version(0)), Change::Refused(version));
    let Change::Made(next) = set(Condition::Version(version)) else {
        panic!()
    };
    let delete = |version| {
        memory
            .shard()
            .delete(&ONE, &key(&words), Condition::Version(version), || 0)
    };
    assert_eq!(delete(version), Ok(Change::Refused(next)));
    assert_eq!(delete(next), Ok(Change::Made(next)));
    // A version is never reused, not even for another entry with the same key.
    let Change::Made(again) = set(Condition::Version(0)) else {
        panic!()
    };
    assert!(again > next);
}

#[test]
fn numbers_add_up_and_nothing_else_does() {
    let memory = Memory::new(false);
    assert_eq!(memory.add(ONE, 1, 2.5).unwrap().0, 2.5);
    assert_eq!(memory.add(ONE, 1, -1.0).unwrap().0, 1.5);
    memory.set(ONE, 2, b"text", Expiry::Never).unwrap();
    assert_eq!(memory.add(ONE, 2, 1.0), Err(TableError::NotANumber));
}

#[test]
fn what_has_expired_is_gone_and_makes_room() {
    let memory = Memory::new(false);
    memory.set(ONE, 1, &[1; 100], Expiry::At(10)).unwrap();
    assert!(memory.get(ONE, 1).is_some());
    memory.set(ONE, 1, &[2; 100], Expiry::Kept(Some(20))).unwrap();
    memory.set(ONE, 2, &[2; 100], Expiry::Kept(Some(20))).unwrap();
    memory.now.set(10);
    assert_eq!(memory.get(ONE, 1), None);
    assert!(memory.get(ONE, 2).is_some());
    memory.now.set(20);
    assert_eq!(memory.get(ONE, 2), None);
    assert_eq!(memory.delete(ONE, 1), Ok(Change::Made(0)));
    memory.now.set(1);
    let mut name = 100;
    while memory.set(ONE, name, &[3; 100], Expiry::At(50)).is_ok() {
        name += 1;
    }
    assert!(name > 105);
    memory.now.set(50);
    assert!(memory.set(ONE, 1, &[4; 500], Expiry::Never).is_ok());
    assert!(memory.shard().stats().unwrap().expired > 0);
    memory.assert_in_order(ONE);
}

#[test]
fn without_room_it_is_full_or_the_least_recently_used_go() {
    let memory = Memory::new(false);
    let mut name = 0;
    let error = loop {
        match memory.set(ONE, name, &[0; 200], Expiry::Never) {
            Ok(_) => name += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, TableError::Full);
    assert!(memory.get(ONE, 0).is_some());
    assert!(memory.set(ONE, 0, &[0; 100_000], Expiry::Never).is_err());

    let memory = Memory::new(true);
    for turn in 0..100 {
        memory.set(ONE, turn, &[0; 100], Expiry::Never).unwrap();
        // It is used all the time, so it stays.
        assert!(memory.get(ONE, 0).is_some(), "turn {turn}");
    }
    assert!(memory.get(ONE, 99).is_some());
    assert!(memory.get(ONE, 1).is_none());
    // As large as the shard allows: everything else is evicted.
    let most = memory.shard().arena().capacity() * 8 - 80;
    memory.set(ONE, 0, &vec![7; most], Expiry::Never).unwrap();
    assert_eq!(memory.shard().stats().unwrap().entries, 1);
    memory.delete(ONE, 0).unwrap();
    memory.assert_in_order(ONE);
}

/// Every kind of change, with a crash at every point. The survivors find either the old or the new value, all
/// other entries unchanged, and all the room.
#[test]
fn a_writer_may_die_between_any_two_stores() {
    type Action = fn(&Memory, Survivor) -> Result<(), TableError>;
    let actions: [(&str, Action); 11] = [
        ("insert", |memory, host| {
            memory.set(host, 50, b"new", Expiry::Never).map(drop)
        }),
        ("replace", |memory, host| {
            memory.set(host, 3, &[9; 40], Expiry::At(1000)).map(drop)
        }),
        ("replace the first", |memory, host| {
            memory.set(host, 7, b"", Expiry::Never).map(drop)
        }),
        ("overwrite", |memory, host| {
            memory.set(host, 3, &[9; 30], Expiry::Never).map(drop)
        }),
        ("overwrite a number", |memory, host| {
            memory.delete(host, 20)?;
            memory.add(host, 40, 1.0).map(drop)
        }),
        ("delete", |memory, host| memory.delete(host, 3).map(drop)),
        ("delete the last", |memory, host| memory.delete(host, 7).map(drop)),
        ("add", |memory, host| memory.add(host, 60, 1.0).map(drop)),
        ("add again", |memory, host| memory.add(host, 40, 1.0).map(drop)),
        ("expire", |memory, host| {
            memory.now.set(600);
            memory.set(host, 51, b"new", Expiry::Never).map(drop)
        }),
        ("clear", |memory, host| memory.shard().clear(&host)),
    ];
    for evicts in [false, true] {
        for (name, action) in actions {
            let mut deaths = 0;
            loop {
                let memory = Memory::new(evicts);
                for name in 0..8 {
                    memory.set(ONE, name, &value_of(name, 30), Expiry::Never).unwrap();
                }
                if name != "overwrite" {
                    memory.set(ONE, 20, &[1; 9], Expiry::At(500)).unwrap();
                }
                memory.add(ONE, 40, 1.0).unwrap();
                memory.delete(ONE, 4).unwrap();
                let before = memory.all(ONE);
                let done = crash::run_until(deaths, || action(&memory, ONE));
                // Without the lock, and before any repair.
                let seen = memory.all(TWO);
                let model = Memory::new(evicts);
                let after = {
                    for (name, value) in &before {
                        let value = NewValue {
                            kind: if *name == 40 { NUMBER } else { 1 },
                            bytes: value,
                        };
                        let words = [*name];
                        let shard = model.shard();
                        shard
                            .set(&ONE, &key(&words), &value, Expiry::Never, Condition::Always, || 1)
                            .unwrap();
                    }
                    action(&model, ONE).unwrap();
                    model.all(ONE)
                };
                for (key, value) in &seen {
                    let allowed = [before.get(key), after.get(key)];
                    assert!(
                        allowed.contains(&Some(value)),
                        "{name} at {deaths}: {key} is {value:?}"
                    );
                }
                for key in before.keys().filter(|key| after.contains_key(key)) {
                    let expired = *key == 20 && name == "expire";
                    assert!(
                        expired || seen.contains_key(key),
                        "{name} at {deaths}: {key} is lost"
                    );
                }
                // The next writer repairs the shard and continues. What has been seen does not change back.
                memory.set(TWO, 70, b"next", Expiry::Never).unwrap();
                assert_eq!(memory.get(TWO, 70).unwrap(), b"next");
                let mut repaired = memory.all(TWO);
                repaired.remove(&70);
                assert_eq!(repaired, seen, "{name} at {deaths}");
                memory.assert_in_order(TWO);
                if done.is_ok() {
                    break;
                }
                deaths += 1;
            }
            assert!(deaths > 5, "{name} has too few places to die at: {deaths}");
        }
    }
}

#[test]
fn who_puts_it_in_order_may_die_too() {
    let mut deaths = 0;
    loop {
        let memory = Memory::new(false);
        for name in 0..8 {
            memory.set(ONE, name, &value_of(name, 30), Expiry::Never).unwrap();
        }
        assert!(crash::run_until(20, || memory.set(ONE, 3, b"x", Expiry::Never)).is_err());
        let done = crash::run_until(deaths, || memory.set(TWO, 9, b"y", Expiry::Never));
        let three = Survivor(3);
        for name in [0, 1, 2, 4, 5, 6, 7] {
            assert_eq!(memory.get(three, name).unwrap(), value_of(name, 30));
        }
        memory.assert_in_order(three);
        if done.is_ok() {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 150);
}

/// The one that dies while it overwrites, and the one that dies while it completes that, leave the old value or the
/// new one, and whoever has seen the new one never sees the old one again.
#[test]
fn what_has_been_overwritten_stays_so_whoever_dies() {
    let (mut first, mut most) = (0, 0);
    loop {
        let mut second = 0;
        let overwritten = loop {
            let memory = Memory::new(false);
            for name in 0..3 {
                memory.set(ONE, name, &[1; 60], Expiry::Never).unwrap();
            }
            let first = crash::run_until(first, || memory.set(ONE, 1, &[2; 60], Expiry::Never));
            let seen = memory.get_versioned(TWO, 1).unwrap();
            let old_or_new = [(vec![1; 60], 2), (vec![2; 60], 4)];
            assert!(old_or_new.contains(&seen), "torn at {first:?}");
            let done = crash::run_until(second, || memory.set(TWO, 0, &[3; 60], Expiry::Never));
            let three = Survivor(3);
            let found = memory.get_versioned(three, 1);
            assert_eq!(found, Some(seen.clone()), "{first:?}, {second}");
            memory.set(three, 2, &[4; 60], Expiry::Never).unwrap();
            let found = memory.get_versioned(three, 1);
            assert_eq!(found, Some(seen.clone()), "{first:?}, {second}");
            let versions = [0, 1, 2].map(|name| memory.get_versioned(three, name).unwrap().1);
            assert!(versions[2] > versions[0].max(versions[1]), "{versions:?}");
            assert!([Some(vec![1; 60]), Some(vec![3; 60])].contains(&memory.get(three, 0)));
            memory.assert_in_order(three);
            if done.is_ok() {
                break first.is_ok();
            }
            second += 1;
        };
        most = most.max(second);
        if overwritten {
            break;
        }
        first += 1;
    }
    assert!(first > 24 && most > 100, "{first}, {most}");
}

#[test]
fn a_value_of_the_same_kind_and_length_stays_where_it_is() {
    for evicts in [false, true] {
        let memory = Memory::new(evicts);
        let made = |bytes: &[u8]| match memory.set(ONE, 1, bytes, Expiry::Never) {
            Ok(Change::Made(version)) => version,
            other => panic!("{other:?}"),
        };
        let head = |name| {
            let words = [name];
            let found = memory.shard().find(&key(&words)).unwrap();
            found.map_or(0, |found| found.entry.block)
        };
        // The last length is more than the record takes.
        for (bytes, stays) in [(0, true), (8, true), (61, true), (120, true), (121, false)] {
            memory.shard().clear(&ONE).unwrap();
            let mut version = made(&vec![1; bytes]);
            let block = head(1);
            for value in 2..5 {
                let next = made(&vec![value; bytes]);
                assert!(next > version);
                version = next;
                assert_eq!(memory.get(ONE, 1), Some(vec![value; bytes]));
                assert_eq!(head(1) == block || value > 2, stays || value > 2, "{bytes}");
            }
            memory.assert_in_order(ONE);
        }
        // Another kind of the same length, a time to live, and one that ends.
        memory.shard().clear(&ONE).unwrap();
        memory.add(ONE, 1, 7.0).unwrap();
        memory.set(ONE, 1, &[5; 8], Expiry::Never).unwrap();
        assert_eq!(memory.get(ONE, 1), Some(vec![5; 8]));
        memory.set(ONE, 1, &[6; 8], Expiry::At(10)).unwrap();
        memory.now.set(10);
        assert_eq!(memory.get(ONE, 1), None);
        memory.set(ONE, 1, &[7; 8], Expiry::Never).unwrap();
        assert_eq!(memory.get(ONE, 1), Some(vec![7; 8]));
        memory.assert_in_order(ONE);
    }
}

#[derive(Clone, Debug)]
enum Action {
    Set(u64, usize, Option<u64>),
    Delete(u64),
    Add(u64),
    Pass(u64),
    Clear,
    Die(u32),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let name = 0u64..24;
    let action = prop_oneof![
        8 => (name.clone(), 0usize..150, prop::option::of(1u64..20)).prop_map(|(n, l, t)| Action::Set(n, l, t)),
        3 => name.clone().prop_map(Action::Delete),
        2 => name.prop_map(|name| Action::Add(name + 100)),
        2 => (1u64..6).prop_map(Action::Pass),
        1 => Just(Action::Clear),
        2 => (0u32..60).prop_map(Action::Die),
    ];
    prop::collection::vec(action, 1..120)
}

#[test]
fn entries_of_one_size_exchange_their_blocks() {
    for evicts in [false, true] {
        let memory = Memory::new(evicts);
        let host = Survivor(1);
        for name in 0..4 {
            memory.set(host, name, &[1; 17], Expiry::Never).unwrap();
        }
        // The first change takes another block, and frees the one that the next change takes.
        memory.set(host, 0, &[2; 18], Expiry::Never).unwrap();
        let before = memory.shard().stats().unwrap();
        for round in 3..20 {
            for name in 0..4 {
                // Of another length each time, so that it is not overwritten.
                let value = vec![round; 17 + usize::from(round) % 8];
                let Change::Made(version) = memory.set(host, name, &value, Expiry::Never).unwrap() else {
                    panic!("a change without a condition is made");
                };
                assert_eq!(memory.get(host, name), Some(value));
                assert_eq!(version, memory.shard().words.load(super::shard::VERSION).unwrap());
            }
        }
        let after = memory.shard().stats().unwrap();
        assert_eq!(after.block_bytes, before.block_bytes);
        assert_eq!(after.entries, 4);
        memory.assert_in_order(host);
    }
}

#[test]
fn a_block_given_back_that_is_none_is_corrupt() {
    for block in [1, 7, WORDS as u64 - 2, u64::MAX] {
        let memory = Memory::new(false);
        let host = Survivor(1);
        memory.set(host, 1, &[1; 17], Expiry::Never).unwrap();
        memory.set(host, 1, &[2; 18], Expiry::Never).unwrap();
        memory
            .shard()
            .words
            .store(super::shard::LAST_FREE, block)
            .unwrap();
        assert_eq!(
            memory.set(host, 1, &[3; 17], Expiry::Never),
            Err(TableError::Corrupt)
        );
        assert_eq!(memory.get(host, 1), Some(vec![2; 18]));
        memory.set(host, 1, &[4; 17], Expiry::Never).unwrap();
        memory.assert_in_order(host);
    }
}

proptest! {
    #[test]
    fn it_is_what_a_map_is(actions in actions()) {
        let memory = Memory::new(false);
        let mut model: HashMap<u64, (Vec<u8>, Option<u64>)> = HashMap::new();
        let mut host = Survivor(1);
        let mut die_after = None;
        for (turn, action) in actions.iter().enumerate() {
            let now = memory.now.get();
            model.retain(|_, (_, expires)| expires.is_none_or(|expires| expires > now));
            let before = model.clone();
            let limit = die_after.take().unwrap_or(u32::MAX);
            let outcome = crash::run_until(limit, || match action {
                Action::Set(name, bytes, ttl) => {
                    let value = value_of(turn as u64, *bytes);
                    let expiry = ttl.map_or(Expiry::Never, |ttl| Expiry::At(now + ttl));
                    let outcome = memory.set(host, *name, &value, expiry);
                    (outcome.is_ok(), Some((*name, Some((value, ttl.map(|ttl| now + ttl))))))
                }
                Action::Delete(name) => (memory.delete(host, *name).is_ok(), Some((*name, None))),
                Action::Add(name) => match memory.add(host, *name, 1.0) {
                    Ok((sum, _)) => (true, Some((*name, Some((sum.to_le_bytes().to_vec(), None))))),
                    Err(_) => (false, None),
                },
                Action::Pass(time) => {
                    memory.now.set(now + time);
                    (true, None)
                }
                Action::Clear => (memory.shard().clear(&host).is_ok(), None),
                Action::Die(_) => (true, None),
            });
            if let Action::Die(points) = action {
                die_after = Some(*points);
            }
            match outcome {
                Ok((true, Some((name, Some(entry))))) => {
                    model.insert(name, entry);
                }
                Ok((true, Some((name, None)))) => {
                    model.remove(&name);
                }
                Ok((true, None)) if matches!(action, Action::Clear) => model.clear(),
                Ok(_) => {}
                Err(_) => {
                    // A crash: for each key, the change was made or not. Another owner continues with the
                    // result.
                    host = Survivor(host.0 + 1);
                    let seen = memory.all(host);
                    for (name, value) in &seen {
                        let known = before.get(name).map(|(value, _)| value);
                        let touched = match action {
                            Action::Set(touched, ..) | Action::Add(touched) => touched == name,
                            _ => false,
                        };
                        prop_assert!(touched || known == Some(value));
                    }
                    let expires = |name: &u64| match action {
                        Action::Set(touched, bytes, ttl)
                            if touched == name && seen[name] == value_of(turn as u64, *bytes) =>
                        {
                            ttl.map(|ttl| now + ttl)
                        }
                        _ => before.get(name).and_then(|(_, expires)| *expires),
                    };
                    model = seen.iter().map(|(name, value)| (*name, (value.clone(), expires(name)))).collect();
                }
            }
            let now = memory.now.get();
            let alive = model.iter().filter(|(_, (_, expires))| expires.is_none_or(|expires| expires > now));
            let expected: HashMap<u64, Vec<u8>> =
                alive.map(|(name, (value, _))| (*name, value.clone())).collect();
            prop_assert_eq!(memory.all(host), expected);
        }
        memory.assert_in_order(host);
    }

    #[test]
    fn any_bytes_are_an_error_at_most(
        damage in prop::collection::vec((0usize..WORDS, any::<u64>(), any::<bool>()), 1..40),
        names in prop::collection::vec(0u64..30, 30),
        (evicts, expire) in any::<(bool, bool)>(),
    ) {
        let memory = Memory::new(evicts);
        let expiry = if expire { Expiry::At(100) } else { Expiry::Never };
        for name in 0..12 {
            memory.set(ONE, name, &value_of(name, 50), expiry).unwrap();
        }
        for (index, value, small) in damage {
            let value = if small { value & 0x0000_07ff_0000_07ff } else { value };
            memory.words[index].store(value, std::sync::atomic::Ordering::Relaxed);
        }
        for name in names {
            let mut target = [0; 64];
            let _read = memory.shard().get(&TWO, &key(&[name]), &mut target, || 1);
            let _set = memory.set(TWO, name, &value_of(name, 50), Expiry::Never);
            let _overwritten = memory.set(TWO, name, &value_of(name + 1, 50), Expiry::Never);
            let _sum = memory.add(TWO, name + 40, 1.0);
            let _deleted = memory.delete(TWO, name + 1);
            let _scan = memory.shard().scan(&TWO, name as usize % 16, &mut target, || 1);
            let _stats = memory.shard().stats();
        }
    }
}
