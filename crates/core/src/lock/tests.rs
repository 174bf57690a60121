//! Lock tables, with threads of this process as owners.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::guard::Stuck;
use super::host::Host;
use super::layout::hash;
use super::memory::{Design, LockMemory};
use super::*;
use crate::shm::object::ObjectSegment;
use crate::testing::Watchdog;

mod shortcut;

const SLICE: Duration = Duration::from_millis(5);

fn memory(kind: Kind, slots: usize, limit: u32) -> LockMemory {
    LockMemory::open(Design { kind, slots, limit }, ObjectSegment::anonymous).unwrap()
}

fn ask(waiting: Waiting) -> Ask<'static> {
    Ask {
        me: OwnerId::current(),
        pid: std::process::id(),
        mode: Mode::Exclusive,
        permits: 1,
        name: b"",
        waiting,
        steal: false,
        parent: 0,
    }
}

fn request(memory: &LockMemory, ask: &Ask<'_>) -> Result<Request, Refusal> {
    memory.table().unwrap().request(ask, &Host::default())
}

fn held(memory: &LockMemory, ask: &Ask<'_>) -> RequestId {
    let request = request(memory, ask).unwrap();
    assert!(request.granted.is_some());
    request.id
}

fn wait(memory: &LockMemory, id: RequestId) -> Standing {
    let watchdog = Watchdog::start();
    loop {
        let standing = memory
            .table()
            .unwrap()
            .wait(id, OwnerId::current(), SLICE, &Host::default())
            .unwrap();
        if standing != Standing::Pending {
            return standing;
        }
        watchdog.check("the lock");
    }
}

fn lock(memory: &LockMemory, ask: &Ask<'_>) -> (RequestId, Granted) {
    let request = request(memory, ask).unwrap();
    match request.granted {
        Some(granted) => (request.id, granted),
        None => match wait(memory, request.id) {
            Standing::Held(granted) => (request.id, granted),
            other => panic!("{other:?}"),
        },
    }
}

fn release(memory: &LockMemory, id: RequestId) -> bool {
    let table = memory.table().unwrap();
    table.release(id, OwnerId::current(), &Host::default()).unwrap()
}

/// Runs in a new thread, and returns once the kernel reports that it is gone.
fn in_a_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    let (owner, result) = thread::scope(|scope| scope.spawn(|| (OwnerId::current(), run())).join().unwrap());
    let watchdog = Watchdog::start();
    while owner.is_alive() {
        watchdog.check("the thread's death");
        thread::yield_now();
    }
    result
}

fn standing(memory: &LockMemory, id: RequestId) -> Standing {
    memory.table().unwrap().standing(id, OwnerId::current())
}

fn reap(memory: &LockMemory) -> bool {
    let table = memory.table().unwrap();
    table.reap_now(OwnerId::current(), &Host::default()).unwrap()
}

#[test]
fn one_holds_at_a_time() {
    let memory = memory(Kind::Lock, 8, 0);
    let id = held(&memory, &ask(Waiting::Never));
    assert_eq!(request(&memory, &ask(Waiting::Never)), Err(Refusal::Unavailable));
    assert!(release(&memory, id));
    assert!(!release(&memory, id));
    let again = held(&memory, &ask(Waiting::Never));
    assert!(!release(&memory, id), "an id is good for one use of a slot");
    assert!(release(&memory, again));
}

#[test]
fn threads_exclude_each_other() {
    let memory = memory(Kind::Lock, 8, 0);
    let (inside, total) = (AtomicU32::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let (id, _) = lock(&memory, &ask(Waiting::Blocking));
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                    total.store(total.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
                    assert!(release(&memory, id));
                }
            });
        }
    });
    assert_eq!(total.into_inner(), 2000);
}

#[test]
fn fencing_tokens_grow() {
    let one = memory(Kind::Lock, 8, 0);
    let mut last = 0;
    for _ in 0..10 {
        let (id, granted) = lock(&one, &ask(Waiting::Never));
        assert!(granted.fence > last);
        last = granted.fence;
        release(&one, id);
    }
    // Tokens also increase from one table to a later one with the same name.
    thread::sleep(Duration::from_millis(1));
    let (_, granted) = lock(&memory(Kind::Lock, 8, 0), &ask(Waiting::Never));
    assert!(granted.fence > last);
}

#[test]
fn a_dead_holder_passes_the_lock_on_and_the_next_one_is_told_once() {
    let memory = memory(Kind::Lock, 8, 0);
    in_a_thread(|| {
        held(&memory, &ask(Waiting::Never));
    });
    let (id, granted) = lock(&memory, &ask(Waiting::Blocking));
    assert!(granted.owner_died);
    release(&memory, id);
    let (id, granted) = lock(&memory, &ask(Waiting::Never));
    assert!(!granted.owner_died);
    release(&memory, id);
}

#[test]
fn whoever_waits_is_told_of_a_death() {
    let memory = memory(Kind::Lock, 8, 0);
    let (hold, holds) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let memory = &memory;
        scope.spawn(move || {
            held(memory, &ask(Waiting::Never));
            hold.send(()).unwrap();
            // Ends when the sender is dropped.
            assert!(ended.recv().is_err());
        });
        holds.recv().unwrap();
        let pending = request(memory, &ask(Waiting::Blocking)).unwrap();
        assert_eq!(pending.granted, None);
        drop(end);
        assert!(matches!(wait(memory, pending.id), Standing::Held(granted) if granted.owner_died));
    });
}

#[test]
fn the_last_slot_tells_of_a_death_too() {
    let memory = memory(Kind::Lock, 1, 0);
    in_a_thread(|| held(&memory, &ask(Waiting::Never)));
    reap(&memory);
    assert!(lock(&memory, &ask(Waiting::Never)).1.owner_died);
}

#[test]
fn a_dead_reader_just_leaves() {
    let memory = memory(Kind::Lock, 8, 0);
    let shared = || Ask {
        mode: Mode::Shared,
        ..ask(Waiting::Never)
    };
    in_a_thread(|| {
        held(&memory, &shared());
        held(&memory, &shared());
    });
    let (id, granted) = lock(&memory, &ask(Waiting::Blocking));
    assert!(!granted.owner_died);
    release(&memory, id);
}

#[test]
fn a_dead_waiter_swallows_nothing() {
    let memory = memory(Kind::Lock, 8, 0);
    let first = held(&memory, &ask(Waiting::Never));
    in_a_thread(|| {
        assert_eq!(request(&memory, &ask(Waiting::Bell)).unwrap().granted, None);
    });
    let second = request(&memory, &ask(Waiting::Bell)).unwrap();
    // The dead waiter is first in the queue.
    release(&memory, first);
    assert_eq!(standing(&memory, second.id), Standing::Pending);
    // To everybody else it held the lock, although it never learned of it.
    assert!(matches!(wait(&memory, second.id), Standing::Held(_)));
}

#[test]
fn permits_of_the_dead_come_back() {
    let memory = memory(Kind::Semaphore, 8, 3);
    let permits = |permits, waiting| Ask {
        permits,
        ..ask(waiting)
    };
    in_a_thread(|| {
        held(&memory, &permits(2, Waiting::Never));
    });
    let one = held(&memory, &permits(1, Waiting::Never));
    let (two, granted) = lock(&memory, &permits(2, Waiting::Blocking));
    assert!(granted.owner_died);
    assert_eq!(
        request(&memory, &permits(1, Waiting::Never)),
        Err(Refusal::Unavailable)
    );
    assert_eq!(
        request(&memory, &permits(1, Waiting::Blocking)),
        Err(Refusal::Deadlock)
    );
    assert!(release(&memory, one) && release(&memory, two));
}

#[test]
fn a_notification_reaches_one_that_lives() {
    let memory = memory(Kind::Condition, 8, 0);
    in_a_thread(|| {
        assert_eq!(request(&memory, &ask(Waiting::Blocking)).unwrap().granted, None);
    });
    let alive = request(&memory, &ask(Waiting::Blocking)).unwrap();
    let table = memory.table().unwrap();
    let notify = |count| table.notify(count, OwnerId::current(), &Host::default()).unwrap();
    // Goes to the dead waiter, whose death has not been noticed yet.
    assert_eq!(notify(1), 1);
    assert!(matches!(wait(&memory, alive.id), Standing::Held(_)));
    release(&memory, alive.id);
    assert_eq!(notify(7), 0);
}

#[test]
fn a_barrier_does_not_count_the_dead() {
    let memory = memory(Kind::Barrier, 8, 2);
    in_a_thread(|| {
        assert_eq!(request(&memory, &ask(Waiting::Blocking)).unwrap().granted, None);
    });
    let first = request(&memory, &ask(Waiting::Blocking)).unwrap();
    assert_eq!(first.granted, None);
    let last = request(&memory, &ask(Waiting::Blocking)).unwrap();
    assert!(last.granted.unwrap().is_last);
    assert!(matches!(standing(&memory, first.id), Standing::Held(granted) if !granted.is_last));
}

#[test]
fn names_are_locks_of_their_own() {
    let memory = memory(Kind::Names, 8, 0);
    let named = |name: &'static [u8]| Ask {
        name,
        ..ask(Waiting::Never)
    };
    let first = held(&memory, &named(b"a"));
    held(&memory, &named(b"b"));
    assert_eq!(request(&memory, &named(b"a")), Err(Refusal::Unavailable));
    let stolen = Ask {
        steal: true,
        ..named(b"a")
    };
    let thief = held(&memory, &stolen);
    assert_eq!(standing(&memory, first), Standing::Lost);
    assert!(!release(&memory, first));
    assert_eq!(standing(&memory, first), Standing::Gone);
    assert!(release(&memory, thief));

    in_a_thread(|| held(&memory, &named(b"a")));
    reap(&memory);
    let granted = |name| request(&memory, &named(name)).unwrap().granted.unwrap();
    assert!(!granted(b"c").owner_died, "somebody else's holder died");
    assert!(granted(b"a").owner_died);
}

#[test]
fn runs_are_remembered() {
    let memory = memory(Kind::Names, 8, 0);
    let (me, host) = (OwnerId::current(), Host::default());
    let table = memory.table().unwrap();
    let is_done = |run: &[u8]| table.is_run_done(hash(run), me, &host).unwrap();
    assert!(!is_done(b"monday"));
    table.note_run(hash(b"monday"), me, &host).unwrap();
    assert!(is_done(b"monday") && !is_done(b"tuesday"));
}

#[test]
fn all_slots_taken_is_an_error_and_dead_ones_make_room() {
    let memory = memory(Kind::Semaphore, 4, 100);
    in_a_thread(|| {
        for _ in 0..4 {
            held(&memory, &ask(Waiting::Never));
        }
    });
    for _ in 0..4 {
        held(&memory, &ask(Waiting::Never));
    }
    assert_eq!(request(&memory, &ask(Waiting::Bell)), Err(Refusal::Full));
}

#[test]
fn a_thread_that_blocks_on_itself_is_told() {
    let memory = memory(Kind::Lock, 8, 0);
    let shared = |waiting| Ask {
        mode: Mode::Shared,
        ..ask(waiting)
    };
    let id = held(&memory, &shared(Waiting::Never));
    held(&memory, &shared(Waiting::Blocking));
    assert_eq!(request(&memory, &ask(Waiting::Blocking)), Err(Refusal::Deadlock));
    let writer = request(&memory, &ask(Waiting::Bell)).unwrap();
    assert_eq!(
        request(&memory, &shared(Waiting::Blocking)),
        Err(Refusal::Deadlock)
    );
    let table = memory.table().unwrap();
    let cancelled = table.cancel(writer.id, OwnerId::current(), &Host::default());
    assert_eq!(cancelled, Ok(Standing::Pending));
    assert!(release(&memory, id));
}

#[test]
fn a_cancelled_writer_lets_readers_in() {
    let memory = memory(Kind::Lock, 8, 0);
    let shared = |waiting| Ask {
        mode: Mode::Shared,
        ..ask(waiting)
    };
    held(&memory, &shared(Waiting::Never));
    let writer = request(&memory, &ask(Waiting::Bell)).unwrap();
    let reader = request(&memory, &shared(Waiting::Bell)).unwrap();
    assert_eq!(standing(&memory, reader.id), Standing::Pending);
    let table = memory.table().unwrap();
    table
        .cancel(writer.id, OwnerId::current(), &Host::default())
        .unwrap();
    assert!(matches!(standing(&memory, reader.id), Standing::Held(_)));
    assert_eq!(standing(&memory, writer.id), Standing::Gone);
}

#[test]
fn a_guard_that_a_dead_thread_left_closed_is_opened() {
    let memory = memory(Kind::Lock, 8, 0);
    let dead = in_a_thread(OwnerId::current);
    let header = memory.table().unwrap().storage.header;
    header.guard.store(dead.word(), Ordering::Relaxed);
    header.top.store(7, Ordering::Relaxed);
    let id = held(&memory, &ask(Waiting::Never));
    assert_eq!(header.top.load(Ordering::Relaxed), 1);
    assert!(release(&memory, id));
}

#[test]
fn a_guard_that_a_living_thread_keeps_is_an_error() {
    let memory = memory(Kind::Lock, 8, 0);
    let (tell, told) = mpsc::channel();
    let (end, ended) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            tell.send(OwnerId::current()).unwrap();
            assert!(ended.recv().is_err());
        });
        let table = memory.table().unwrap();
        table
            .storage
            .header
            .guard
            .store(told.recv().unwrap().word(), Ordering::Relaxed);
        assert_eq!(table.query(OwnerId::current(), &Host::default()), Err(Stuck));
        drop(end);
    });
}

#[test]
fn any_bytes_are_survived() {
    use proptest::prelude::*;
    let words = proptest::collection::vec(any::<u64>(), 1..64);
    let kinds = proptest::sample::select(vec![
        Kind::Lock,
        Kind::Semaphore,
        Kind::Condition,
        Kind::Barrier,
        Kind::Names,
    ]);
    proptest!(ProptestConfig::with_cases(200), |(words in words, kind in kinds)| {
        let memory = memory(kind, 8, 2);
        let storage = memory.table().unwrap().storage;
        let at = |index: usize| &storage.slots[index % storage.slots.len()];
        for (index, word) in words.iter().enumerate() {
            let (low, high) = (*word as u32, (*word >> 32) as u32);
            at(index).state.store(low, Ordering::Relaxed);
            at(index).flags.store(high, Ordering::Relaxed);
            at(index).owner.store(word.rotate_left(9), Ordering::Relaxed);
            at(index).ticket.store(word.rotate_left(23), Ordering::Relaxed);
            at(index).permits.store(low, Ordering::Relaxed);
        }
        storage.header.top.store(words[0] as u32, Ordering::Relaxed);
        storage.header.ticket.store(u64::MAX, Ordering::Relaxed);
        storage.header.fence.store(u64::MAX, Ordering::Relaxed);
        storage.header.shortcut.store(words[0].rotate_left(40), Ordering::Relaxed);
        storage.header.guard.store(words[0] | 1 << 63, Ordering::Relaxed);
        let made = request(&memory, &ask(Waiting::Never));
        if let Ok(made) = made {
            release(&memory, made.id);
        }
        reap(&memory);
        let table = memory.table().unwrap();
        table.notify(3, OwnerId::current(), &Host::default()).unwrap();
        table.query(OwnerId::current(), &Host::default()).unwrap();
        storage.header.slots.store(words[0] as u32, Ordering::Relaxed);
        prop_assert!(memory.table().is_none() || words[0] as u32 == 8);
    });
}
