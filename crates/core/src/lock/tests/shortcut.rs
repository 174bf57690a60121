//! Locks acquired through the shortcut, together with requests in slots.

use super::*;

fn take(memory: &LockMemory) -> Option<u64> {
    memory.table().unwrap().take(OwnerId::current())
}

fn leave(memory: &LockMemory) -> bool {
    let table = memory.table().unwrap();
    table.leave(OwnerId::current(), &Host::default()).unwrap()
}

#[test]
fn it_is_had_while_nobody_else_asks() {
    let memory = memory(Kind::Lock, 8, 0);
    let fence = take(&memory).unwrap();
    assert_eq!(take(&memory), None);
    assert!(leave(&memory));
    assert!(!leave(&memory));
    assert_eq!(take(&memory), Some(fence + 1));
    assert!(leave(&memory));
    let id = held(&memory, &ask(Waiting::Never));
    assert_eq!(take(&memory), None);
    assert!(!leave(&memory), "what has a slot is not left by the shortcut");
    assert!(release(&memory, id));
    assert_eq!(take(&memory), Some(fence + 3));
}

#[test]
fn only_locks_have_it() {
    for kind in [Kind::Semaphore, Kind::Condition, Kind::Barrier, Kind::Names] {
        assert_eq!(take(&memory(kind, 8, 1)), None);
    }
}

#[test]
fn who_comes_meanwhile_waits_and_is_granted() {
    let memory = memory(Kind::Lock, 8, 0);
    take(&memory).unwrap();
    assert_eq!(
        request(&memory, &ask(Waiting::Blocking)),
        Err(Refusal::Deadlock),
        "a thread does not wait for itself"
    );
    let waiting = request(&memory, &ask(Waiting::Bell)).unwrap().id;
    assert_eq!(standing(&memory, waiting), Standing::Pending);
    assert_eq!(take(&memory), None, "nobody overtakes");
    assert!(leave(&memory));
    assert!(matches!(standing(&memory, waiting), Standing::Held(granted) if !granted.owner_died));
    assert!(!leave(&memory));
    assert!(release(&memory, waiting));
    assert!(take(&memory).is_some());
}

#[test]
fn it_is_seen_as_any_holder() {
    let memory = memory(Kind::Lock, 8, 0);
    take(&memory).unwrap();
    let table = memory.table().unwrap();
    assert!(table.has_owner(OwnerId::current()));
    let all = table.query(OwnerId::current(), &Host::default()).unwrap();
    assert_eq!(all.len(), 1);
    assert!(all[0].is_held && all[0].owner == OwnerId::current().word());
    assert!(leave(&memory));
    assert!(!table.has_owner(OwnerId::current()));
    assert!(take(&memory).is_some());
}

#[test]
fn the_next_is_told_of_one_that_died() {
    let memory = memory(Kind::Lock, 8, 0);
    let fence = in_a_thread(|| take(&memory)).unwrap();
    assert!(!leave(&memory));
    let (id, granted) = lock(&memory, &ask(Waiting::Never));
    assert!(granted.owner_died && granted.fence > fence);
    assert!(release(&memory, id));
    assert!(take(&memory).is_some());
    assert!(leave(&memory));
    assert!(in_a_thread(|| take(&memory)).is_some());
    assert!(reap(&memory), "also when nobody asks");
    assert_eq!(take(&memory), None, "nobody was told yet");
    let (id, granted) = lock(&memory, &ask(Waiting::Blocking));
    assert!(granted.owner_died);
    assert!(release(&memory, id));
}

#[test]
fn what_a_thread_abandons_goes_on() {
    let memory = memory(Kind::Lock, 8, 0);
    take(&memory).unwrap();
    let table = memory.table().unwrap();
    table.abandon(OwnerId::current(), &Host::default()).unwrap();
    assert!(lock(&memory, &ask(Waiting::Never)).1.owner_died);
}

#[test]
fn threads_exclude_each_other_whichever_way_they_come() {
    let memory = memory(Kind::Lock, 8, 0);
    let (inside, total) = (AtomicU32::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..2000 {
                    let id = match take(&memory) {
                        Some(_) if round % 8 != 0 => None,
                        Some(_) => {
                            assert!(leave(&memory));
                            continue;
                        }
                        None => Some(lock(&memory, &ask(Waiting::Blocking)).0),
                    };
                    assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                    total.store(total.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
                    assert!(id.map_or_else(|| leave(&memory), |id| release(&memory, id)));
                }
            });
        }
    });
    assert!(total.into_inner() > 0);
    assert!(take(&memory).is_some());
}

#[test]
fn whatever_dies_inside_the_guard_leaves_one_holder() {
    use crate::crash::run_until;
    use std::thread::spawn;

    let memory = std::sync::Arc::new(memory(Kind::Lock, 8, 0));
    for points in 0.. {
        take(&memory).unwrap();
        let there = std::sync::Arc::clone(&memory);
        let died = spawn(move || run_until(points, || request(&there, &ask(Waiting::Bell))).is_err());
        let died = died.join().unwrap();
        assert_eq!(take(&memory), None);
        assert_eq!(request(&memory, &ask(Waiting::Never)), Err(Refusal::Unavailable));
        let table = memory.table().unwrap();
        let holds = |request: &Snapshot| request.is_held;
        let all = table.query(OwnerId::current(), &Host::default()).unwrap();
        assert_eq!(all.iter().filter(|request| holds(request)).count(), 1, "{all:?}");
        assert!(leave(&memory), "died after {points} points");
        reap(&memory);
        let id = held(&memory, &ask(Waiting::Never));
        assert!(release(&memory, id));
        if !died {
            assert!(points > 3);
            return;
        }
    }
}
