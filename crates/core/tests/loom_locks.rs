//! A loom model of lock tables under every interleaving and every reordering that the memory model allows:
//! mutual exclusion holds, nobody sleeps on a granted lock, and a thread that died inside the guard has
//! exactly one successor.
#![cfg(loom)]
// Loom's own cell, as this test runs under loom only.
#![allow(clippy::disallowed_types)]

use std::collections::HashMap;
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use manycore_core::liveness::OwnerId;
use manycore_core::lock::layout::{Header, Slot, Storage};
use manycore_core::lock::{Ask, Environment, Granted, Kind, Mode, RequestId, Standing, Table, Waiting};
use manycore_core::sync::{AtomicU32, Ordering};

mod models;
use models::explore;

/// The owner that is dead from the start.
const DEAD: u64 = 99;

/// A table's memory, a simulated futex, and data protected by the lock.
struct World {
    header: Header,
    slots: Vec<Slot>,
    futex: Mutex<HashMap<usize, u32>>,
    woken: Condvar,
    /// Advances with every read. Not loom's atomic, as no decision between threads depends on it.
    clock: std::sync::atomic::AtomicU64,
    protected: UnsafeCell<u32>,
}

impl Environment for World {
    fn is_alive(&self, owner: OwnerId) -> bool {
        owner.word() != DEAD
    }

    fn now_ns(&self) -> u64 {
        let tick = Duration::from_millis(1).as_nanos() as u64;
        self.clock.fetch_add(tick, std::sync::atomic::Ordering::Relaxed) + tick
    }

    fn relax(&self, _looks: u32) {
        thread::yield_now();
    }

    /// Without a timeout, so that loom reports a lost wake-up as a deadlock.
    fn sleep(&self, word: &AtomicU32, expected: u32, _limit: Duration) {
        let mut futex = self.futex.lock().unwrap();
        let address = std::ptr::from_ref(word) as usize;
        let woken = futex.get(&address).copied().unwrap_or(0);
        while word.load(Ordering::Relaxed) == expected && futex.get(&address).copied().unwrap_or(0) == woken {
            futex = self.woken.wait(futex).unwrap();
        }
    }

    fn wake(&self, word: &AtomicU32) {
        let mut futex = self.futex.lock().unwrap();
        *futex.entry(std::ptr::from_ref(word) as usize).or_default() += 1;
        self.woken.notify_all();
    }

    fn ring(&self, _owner: OwnerId) {}
}

impl World {
    fn new(kind: Kind, limit: u32) -> Arc<Self> {
        let world = Self {
            header: Header::default(),
            slots: (0..3).map(|_| Slot::default()).collect(),
            futex: Mutex::default(),
            woken: Condvar::new(),
            clock: std::sync::atomic::AtomicU64::new(0),
            protected: UnsafeCell::new(0),
        };
        world.header.initialise(kind, world.slots.len(), limit, 0);
        Arc::new(world)
    }

    fn table(&self) -> Table<'_> {
        Table::new(Storage {
            header: &self.header,
            slots: &self.slots,
            names: &[],
            runs: &[],
        })
        .unwrap()
    }

    fn lock(&self, me: OwnerId, mode: Mode) -> (RequestId, Granted) {
        let request = self
            .table()
            .request(&ask(me, mode, Waiting::Blocking), self)
            .unwrap();
        match request.granted {
            Some(granted) => (request.id, granted),
            None => (request.id, self.granted(me, request.id)),
        }
    }

    fn granted(&self, me: OwnerId, id: RequestId) -> Granted {
        loop {
            match self.table().wait(id, me, Duration::ZERO, self).unwrap() {
                Standing::Pending => {}
                Standing::Held(granted) => return granted,
                other => panic!("{other:?}"),
            }
        }
    }

    fn release(&self, me: OwnerId, id: RequestId) {
        assert!(self.table().release(id, me, self).unwrap());
    }

    fn write(&self, me: OwnerId) {
        let (id, _) = self.lock(me, Mode::Exclusive);
        // SAFETY: loom checks that nobody else reads or writes meanwhile.
        self.protected.with_mut(|value| unsafe { *value += 1 });
        self.release(me, id);
    }

    /// Uses the shortcut if it is free.
    fn write_shortly(&self, me: OwnerId) {
        if self.table().take(me).is_none() {
            return self.write(me);
        }
        // SAFETY: as in `write`.
        self.protected.with_mut(|value| unsafe { *value += 1 });
        assert!(self.table().leave(me, self).unwrap());
    }

    fn read(&self, me: OwnerId) -> u32 {
        let (id, _) = self.lock(me, Mode::Shared);
        // SAFETY: loom checks that nobody writes meanwhile.
        let value = self.protected.with(|value| unsafe { *value });
        self.release(me, id);
        value
    }
}

fn owner(number: u64) -> OwnerId {
    OwnerId::from_word(number).unwrap()
}

fn ask(me: OwnerId, mode: Mode, waiting: Waiting) -> Ask<'static> {
    Ask {
        me,
        pid: 1,
        mode,
        permits: 1,
        name: b"",
        waiting,
        steal: false,
        parent: 0,
    }
}

/// Explores executions with at most two preemptions; more would take hours.
fn model(check: impl Fn() + Sync + Send + 'static) {
    explore(Some(2), check);
}

/// Runs `one` and `other` concurrently.
fn both(world: &Arc<World>, one: fn(&World, OwnerId), other: fn(&World, OwnerId)) {
    let there = Arc::clone(world);
    let thread = thread::spawn(move || one(&there, owner(1)));
    other(world, owner(2));
    thread.join().unwrap();
}

/// Two threads search for dead owners at once. The next holder of the lock is told of the death.
fn let_two_bury(world: &Arc<World>) {
    fn reap(world: &World, me: OwnerId) {
        world.table().reap_now(me, world).unwrap();
    }
    both(world, reap, reap);
    let (id, granted) = world.lock(owner(2), Mode::Exclusive);
    assert!(granted.owner_died);
    world.release(owner(2), id);
}

#[test]
fn writers_exclude_each_other_and_none_sleeps_on() {
    model(|| {
        let world = World::new(Kind::Lock, 0);
        both(&world, |world, me| world.write(me), |world, me| world.write(me));
        assert_eq!(world.read(owner(3)), 2);
    });
}

#[test]
fn the_shortcut_excludes_itself() {
    model(|| {
        let world = World::new(Kind::Lock, 0);
        both(
            &world,
            |world, me| world.write_shortly(me),
            |world, me| world.write_shortly(me),
        );
        assert_eq!(world.read(owner(3)), 2);
        assert!(world.table().take(owner(3)).is_some(), "it is free again");
    });
}

#[test]
fn the_shortcut_excludes_writers_and_readers_with_slots() {
    model(|| {
        let world = World::new(Kind::Lock, 0);
        both(
            &world,
            |world, me| world.write_shortly(me),
            |world, me| {
                world.write(me);
                assert!(world.read(me) > 0);
            },
        );
        assert_eq!(world.read(owner(3)), 2);
    });
}

#[test]
fn fencing_tokens_grow_whichever_way_they_are_given() {
    fn fence(world: &World, me: OwnerId) -> u64 {
        match world.table().take(me) {
            Some(fence) => {
                assert!(world.table().leave(me, world).unwrap());
                fence
            }
            None => {
                let (id, granted) = world.lock(me, Mode::Exclusive);
                world.release(me, id);
                granted.fence
            }
        }
    }
    model(|| {
        let world = World::new(Kind::Lock, 0);
        let there = Arc::clone(&world);
        let thread = thread::spawn(move || fence(&there, owner(1)));
        let here = fence(&world, owner(2));
        let mut both = [thread.join().unwrap(), here];
        both.sort_unstable();
        assert_eq!(both, [1, 2]);
    });
}

#[test]
fn one_that_died_with_the_shortcut_is_buried_once() {
    model(|| {
        let world = World::new(Kind::Lock, 0);
        world.table().take(owner(DEAD)).unwrap();
        let_two_bury(&world);
        assert!(world.table().take(owner(2)).is_some());
    });
}

#[test]
fn a_writer_excludes_readers() {
    model(|| {
        let world = World::new(Kind::Lock, 0);
        both(
            &world,
            |world, me| world.write(me),
            |world, me| assert!(world.read(me) < 2),
        );
    });
}

#[test]
fn permits_go_round() {
    model(|| {
        let world = World::new(Kind::Semaphore, 1);
        both(&world, |world, me| world.write(me), |world, me| world.write(me));
    });
}

#[test]
fn a_notification_after_enqueueing_is_not_missed() {
    model(|| {
        let world = World::new(Kind::Condition, 0);
        let waiter = world
            .table()
            .request(&ask(owner(1), Mode::Exclusive, Waiting::Blocking), &*world)
            .unwrap();
        let there = Arc::clone(&world);
        let thread = thread::spawn(move || {
            assert_eq!(there.table().notify(1, owner(2), &*there), Ok(1));
        });
        world.granted(owner(1), waiter.id);
        world.release(owner(1), waiter.id);
        thread.join().unwrap();
    });
}

#[test]
fn a_barrier_lets_both_pass_and_one_is_last() {
    model(|| {
        let world = World::new(Kind::Barrier, 2);
        let there = Arc::clone(&world);
        let thread = thread::spawn(move || there.lock(owner(1), Mode::Exclusive).1.is_last);
        let here = world.lock(owner(2), Mode::Exclusive).1.is_last;
        assert_ne!(thread.join().unwrap(), here);
    });
}

#[test]
fn a_once_is_done_once() {
    fn run(world: &World, me: OwnerId) {
        if world.table().is_done() {
            // SAFETY: loom checks that the writes are visible.
            assert_eq!(world.protected.with(|value| unsafe { *value }), 1);
            return;
        }
        let (id, _) = world.lock(me, Mode::Exclusive);
        if !world.table().is_done() {
            // SAFETY: loom checks that nobody else is here.
            world.protected.with_mut(|value| unsafe { *value += 1 });
            world.table().set_done();
        }
        world.release(me, id);
    }
    model(|| {
        let world = World::new(Kind::Lock, 0);
        both(&world, run, run);
        assert_eq!(world.read(owner(3)), 1);
    });
}

#[test]
fn a_request_taken_back_swallows_no_grant() {
    model(|| {
        let world = World::new(Kind::Lock, 0);
        let (held, _) = world.lock(owner(1), Mode::Exclusive);
        let waiting = world
            .table()
            .request(&ask(owner(2), Mode::Exclusive, Waiting::Bell), &*world)
            .unwrap();
        let there = Arc::clone(&world);
        let thread = thread::spawn(move || there.release(owner(1), held));
        match world.table().cancel(waiting.id, owner(2), &*world).unwrap() {
            Standing::Pending => assert_eq!(world.table().standing(waiting.id, owner(2)), Standing::Gone),
            Standing::Held(_) => world.release(owner(2), waiting.id),
            other => panic!("{other:?}"),
        }
        thread.join().unwrap();
        world.write(owner(3));
    });
}

#[test]
fn one_succeeds_a_guard_whose_owner_died_inside() {
    model(|| {
        let world = World::new(Kind::Lock, 0);
        world.header.guard.store(DEAD, Ordering::Relaxed);
        both(&world, |world, me| world.write(me), |world, me| world.write(me));
        assert_eq!(world.read(owner(3)), 2);
    });
}

#[test]
fn a_dead_holder_is_buried_once() {
    model(|| {
        let world = World::new(Kind::Lock, 0);
        let dead = ask(owner(DEAD), Mode::Exclusive, Waiting::Never);
        world.table().request(&dead, &*world).unwrap();
        let_two_bury(&world);
        assert!(!world.lock(owner(2), Mode::Exclusive).1.owner_died);
    });
}
