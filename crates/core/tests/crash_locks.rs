//! Processes killed by SIGKILL at each crash point inside the locks while others use them: the others
//! continue, mutual exclusion holds, and nothing of the dead process is left.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    reason = "a test program: its helpers panic as its tests do"
)]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use manycore_core::crash;
use manycore_core::liveness::OwnerId;
use manycore_core::lock::host::Host;
use manycore_core::lock::layout::hash;
use manycore_core::lock::memory::{Design, LockMemory};
use manycore_core::lock::{Ask, Kind, Mode, Refusal, RequestId, Standing, Waiting};
use manycore_core::shm::object::{ObjectSegment, Plan};

const WATCHDOG: Duration = Duration::from_secs(60);
const SLICE: Duration = Duration::from_millis(5);
/// Long enough for all waiters to leave, so that the lock becomes free.
const REST: Duration = Duration::from_micros(200);
/// Tells the test program that it is to die: kind and handle.
const VARIABLE: &str = "MANYCORE_TEST_LOCK";

/// All crash points of the locks.
const POINTS: [&str; 15] = [
    "lock-guard-entered",
    "lock-request-filled",
    "lock-request-pending",
    "lock-granted-one",
    "lock-admitted",
    "lock-guard-left",
    "lock-release-freed",
    "lock-notified-one",
    "lock-orphaned-one",
    "lock-stolen-one",
    "lock-run-noted",
    "lock-shortcut-taken",
    "lock-shortcut-left",
    "lock-shortcut-copied",
    "lock-shortcut-moved",
];

const DESIGN: Design = Design {
    kind: Kind::Lock,
    slots: 16,
    limit: 2,
};

fn ask(mode: Mode, waiting: Waiting) -> Ask<'static> {
    Ask {
        me: OwnerId::current(),
        pid: std::process::id(),
        mode,
        permits: 1,
        name: b"name",
        waiting,
        steal: false,
        parent: 0,
    }
}

fn granted(memory: &LockMemory, ask: &Ask<'_>) -> RequestId {
    let (table, host) = (memory.table().unwrap(), Host::default());
    let request = table.request(ask, &host).unwrap();
    let start = Instant::now();
    let mut standing = table.standing(request.id, ask.me);
    while standing == Standing::Pending {
        assert!(start.elapsed() < WATCHDOG, "never granted");
        standing = table.wait(request.id, ask.me, SLICE, &host).unwrap();
    }
    assert!(matches!(standing, Standing::Held(_)), "{standing:?}");
    request.id
}

fn release(memory: &LockMemory, id: RequestId) -> bool {
    let table = memory.table().unwrap();
    table.release(id, OwnerId::current(), &Host::default()).unwrap()
}

/// What a process does until it dies: operations that pass all crash points.
fn use_until_death(memory: &LockMemory, kind: Kind) {
    let (me, host) = (OwnerId::current(), Host::default());
    for round in 0.. {
        let mode = if round % 3 == 0 {
            Mode::Shared
        } else {
            Mode::Exclusive
        };
        match kind {
            Kind::Condition => {
                let table = memory.table().unwrap();
                let waiting = table.request(&ask(mode, Waiting::Blocking), &host).unwrap();
                table.notify(2, me, &host).unwrap();
                release(memory, waiting.id);
            }
            _ => {
                let id = granted(memory, &ask(mode, Waiting::Blocking));
                release(memory, id);
            }
        }
        if kind == Kind::Lock {
            let table = memory.table().unwrap();
            // The shortcut can be taken only while nobody waits.
            for _ in 0..8 {
                if table.take(me).is_some() {
                    // Long enough for others to arrive.
                    thread::yield_now();
                    assert!(table.leave(me, &host).unwrap());
                } else {
                    thread::sleep(REST);
                }
            }
        }
        if kind == Kind::Names {
            let table = memory.table().unwrap();
            table.note_run(hash(&[round as u8]), me, &host).unwrap();
            let robbed = granted(memory, &ask(Mode::Shared, Waiting::Blocking));
            let stolen = Ask {
                steal: true,
                ..ask(Mode::Exclusive, Waiting::Bell)
            };
            let thief = table.request(&stolen, &host).unwrap();
            release(memory, robbed);
            release(memory, thief.id);
        }
        if round % 4 == 0 {
            // Ends while it holds a request.
            thread::scope(|scope| {
                scope.spawn(|| {
                    memory
                        .table()
                        .unwrap()
                        .request(&ask(mode, Waiting::Bell), &Host::default())
                });
            });
            let _found = memory.table().unwrap().reap_now(me, &Host::default()).unwrap();
        }
    }
}

/// Not a test: the child processes of the test below run this. Without the variable it does nothing.
#[test]
fn dies_when_told_to() {
    let Ok(told) = std::env::var(VARIABLE) else { return };
    let (kind, handle) = told.split_once(' ').unwrap();
    let kind = Kind::from_word(kind.parse().unwrap()).unwrap();
    let by_handle = |plan: &Plan<'_>| ObjectSegment::from_handle(handle, plan.kind);
    let memory = LockMemory::open(Design { kind, ..DESIGN }, by_handle).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| use_until_death(&memory, kind));
        }
    });
}

fn kill_at(point: &str, kind: Kind, passes: u32, memory: &LockMemory) {
    let program = std::env::current_exe().unwrap();
    let mut child = Command::new(program)
        .args(["--exact", "dies_when_told_to"])
        .env(crash::VARIABLE, format!("{point}:{}", passes + 1))
        .env(VARIABLE, format!("{} {}", kind as u32, memory.handle()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > WATCHDOG {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{point} of {kind:?} was never reached");
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(status.signal(), Some(9), "{point} of {kind:?}: {status}");
}

/// A survivor repeatedly makes a request, checks that nobody else is inside and releases; the last time after
/// the death.
fn survive(memory: &LockMemory, kind: Kind, rests: bool, inside: &AtomicU32, is_over: &AtomicBool) {
    loop {
        let is_last = is_over.load(Ordering::Relaxed);
        if kind == Kind::Condition {
            let waiting = ask(Mode::Exclusive, Waiting::Blocking);
            let request = memory
                .table()
                .unwrap()
                .request(&waiting, &Host::default())
                .unwrap();
            memory
                .table()
                .unwrap()
                .notify(u32::MAX, OwnerId::current(), &Host::default())
                .unwrap();
            release(memory, request.id);
        } else {
            let table = memory.table().unwrap();
            let id = match table.take(OwnerId::current()) {
                Some(_) => None,
                None => Some(granted(memory, &ask(Mode::Exclusive, Waiting::Blocking))),
            };
            let others = inside.fetch_add(1, Ordering::Relaxed);
            assert!(others < if kind == Kind::Semaphore { 2 } else { 1 });
            inside.fetch_sub(1, Ordering::Relaxed);
            match id {
                Some(id) => assert!(release(memory, id)),
                None => assert!(table.leave(OwnerId::current(), &Host::default()).unwrap()),
            }
        }
        if is_last {
            return;
        }
        if rests {
            thread::sleep(REST);
        }
    }
}

/// Ends the survivors even if the process fails to die, because a scope waits for its threads.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn survives(point: &str, kind: Kind) {
    let rests = point.starts_with("lock-shortcut");
    let memory = LockMemory::open(Design { kind, ..DESIGN }, ObjectSegment::anonymous).unwrap();
    for passes in [0, 1, 7, 30] {
        let (inside, is_over) = (AtomicU32::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            let survivors: Vec<_> = (0..2)
                // Stolen names do not guarantee mutual exclusion.
                .filter(|_| kind != Kind::Names)
                .map(|_| scope.spawn(|| survive(&memory, kind, rests, &inside, &is_over)))
                .collect();
            let over = Over(&is_over);
            kill_at(point, kind, passes, &memory);
            drop(over);
            for survivor in survivors {
                survivor.join().unwrap();
            }
        });
        let (table, me, host) = (memory.table().unwrap(), OwnerId::current(), Host::default());
        table.reap_now(me, &host).unwrap();
        assert_eq!(table.query(me, &host), Ok(Vec::new()), "{point} of {kind:?}");
        let first = table.request(&ask(Mode::Exclusive, Waiting::Never), &host);
        match kind {
            Kind::Condition => assert_eq!(first, Err(Refusal::Unavailable)),
            _ => assert!(release(&memory, first.unwrap().id)),
        }
    }
}

#[test]
fn others_go_on_wherever_a_process_dies() {
    for point in POINTS {
        let kinds: &[Kind] = match point {
            "lock-notified-one" => &[Kind::Condition],
            _ if point.starts_with("lock-shortcut") => &[Kind::Lock],
            "lock-stolen-one" | "lock-run-noted" => &[Kind::Names],
            "lock-granted-one" | "lock-admitted" => &[Kind::Lock, Kind::Semaphore, Kind::Names],
            _ => &[Kind::Lock, Kind::Semaphore, Kind::Names, Kind::Condition],
        };
        for kind in kinds {
            survives(point, *kind);
        }
    }
}
