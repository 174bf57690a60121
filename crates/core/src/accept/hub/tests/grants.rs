//! Connections accepted by the workers themselves, as granted by the hub.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::*;
use crate::accept::message::Message;
use crate::sys::scm::{self, Received};

/// Receives grants of `count` connections for a worker without accepting any, like one that gets stuck then.
fn swallow(worker: &TestWorker, count: u32) {
    let watchdog = Watchdog::start();
    let mut left = count;
    while left > 0 {
        watchdog.check("the grants");
        match scm::receive(&worker.inbox, &mut Vec::new()).unwrap() {
            Received::Message(bytes) => left -= Message::decode(bytes).unwrap().count,
            _ => std::thread::yield_now(),
        }
    }
}

/// Two workers that have accepted one connection each.
fn started(rig: &Rig) -> (TestWorker, TestWorker) {
    let (mut first, mut second) = (rig.ready_worker(), rig.ready_worker());
    let _clients = rig.connect(2);
    for worker in [&mut first, &mut second] {
        worker.take(1);
        worker.taken.clear();
    }
    (first, second)
}

#[test]
fn the_primary_accepts_nothing() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let mut worker = rig.ready_worker();
    let _clients = rig.connect(3);
    worker.take(3);
    let stats = rig.until(|stats| stats.handed_over == 3);
    assert_eq!(stats.accepted, 0);
}

#[test]
fn every_connection_is_accepted_once_and_all_get_as_many() {
    const WORKERS: usize = 4;
    const CONNECTIONS: usize = 800;
    let rig = Rig::strict(Duration::from_secs(3600));
    let done = AtomicBool::new(false);
    let workers: Vec<TestWorker> = (0..WORKERS).map(|_| rig.ready_worker()).collect();
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .into_iter()
            .map(|mut worker| {
                let done = &done;
                scope.spawn(move || {
                    let watchdog = Watchdog::start();
                    let mut count = 0;
                    while !done.load(Acquire) {
                        watchdog.check("the clients");
                        worker.take_waiting();
                        count += worker.taken.drain(..).count();
                        std::thread::yield_now();
                    }
                    count
                })
            })
            .collect();
        // Each is closed by the worker first, so a client that sees the end of its connection was accepted.
        for _ in 0..CONNECTIONS / 50 {
            for mut client in rig.connect(50) {
                client.set_read_timeout(Some(WATCHDOG)).unwrap();
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            }
        }
        done.store(true, Release);
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(counts, [CONNECTIONS / WORKERS; WORKERS]);
}

#[test]
fn nobody_waits_for_a_worker_that_is_behind_and_it_makes_up_for_its_turns() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let (mut behind, mut other) = started(&rig);
    let mut clients = Vec::new();
    let (mut theirs, mut others) = (0, 0);
    let watchdog = Watchdog::start();
    // Until its queue is full and the other worker has had 20 more connections.
    while others < clients.len() - others + 20 {
        watchdog.check(format_args!("more than {others} of {}", clients.len()));
        let handed_over = rig.hub.stats().handed_over;
        clients.extend(rig.connect(1));
        rig.until(|stats| stats.handed_over > handed_over);
        other.take_waiting();
        others += other.taken.drain(..).count();
    }
    // It continues: a turn for each of the other worker's and one that it is owed, until both have had
    // equally many.
    loop {
        watchdog.check(format_args!("as many, not {theirs} and {others}"));
        behind.take_waiting();
        theirs += behind.taken.drain(..).count();
        other.take_waiting();
        others += other.taken.drain(..).count();
        if theirs + others < clients.len() {
            continue;
        }
        if theirs.abs_diff(others) <= 1 {
            break;
        }
        assert!(theirs < others);
        clients.extend(rig.connect(1));
    }
    for turn in 0..20 {
        clients.extend(rig.connect(1));
        while theirs + others < clients.len() {
            watchdog.check("the last connection");
            behind.take_waiting();
            other.take_waiting();
            theirs += behind.taken.drain(..).count();
            others += other.taken.drain(..).count();
        }
        // The last turn that it is owed follows one of the other worker's.
        assert!(turn < 6 || theirs.abs_diff(others) <= 1, "{theirs} and {others}");
    }
}

#[test]
fn what_a_worker_was_granted_and_has_not_accepted_when_it_gets_stuck_goes_to_the_others() {
    let rig = Rig::strict(Duration::from_millis(20));
    let (mut stuck, mut other) = started(&rig);
    let _clients = rig.connect(4);
    // The grants are out of the queue already, so they cannot be read back.
    swallow(&stuck, 2);
    other.take(4);
    assert_eq!(rig.hub.stats().moved_from_stalled, 2);
    // When it recovers, it finds nothing left and gets new connections.
    stuck.inbox.note_taken(2);
    let watchdog = Watchdog::start();
    while stuck.taken.is_empty() {
        watchdog.check("the worker that was stuck");
        let _client = rig.connect(1);
        stuck.take_waiting();
        other.take_waiting();
        other.taken.clear();
    }
}

#[test]
fn what_a_worker_was_granted_and_has_not_accepted_when_it_dies_goes_to_the_others() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let (doomed, mut other) = started(&rig);
    let _clients = rig.connect(4);
    swallow(&doomed, 2);
    rig.hub.remove_worker(doomed.token);
    other.take(4);
    assert_eq!(rig.hub.stats().moved_from_dead, 2);
}

#[test]
fn a_worker_that_stops_declines_what_it_was_granted() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let mut stopping = rig.ready_worker();
    let mut other = rig.ready_worker();
    let _clients = rig.connect(4);
    rig.until(|stats| stats.handed_over == 4);
    stopping.inbox.stop(rig.listener).unwrap();
    stopping.take_waiting();
    assert_eq!(stopping.taken.len(), 0);
    other.take(4);
    assert_eq!(rig.hub.stats().refused, 2);
}

#[test]
fn a_worker_that_stops_lets_go_of_the_socket_even_if_it_comes_later() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let mut early = rig.ready_worker();
    let mut late = rig.ready_worker();
    let clients = rig.connect(2);
    // By then the socket has been sent to both.
    rig.until(|stats| stats.handed_over == 2);
    early.take(1);
    early.inbox.stop(rig.listener).unwrap();
    late.inbox.stop(rig.listener).unwrap();
    late.take_waiting();
    rig.hub.close_listener(rig.listener);
    let watchdog = Watchdog::start();
    while TcpStream::connect(rig.address).is_ok() {
        watchdog.check("all to stop listening");
    }
    drop(clients);
}

#[test]
fn counters_that_make_no_sense_hold_nobody_up() {
    let rig = Rig::strict(Duration::from_millis(20));
    let liar = rig.ready_worker();
    let mut other = rig.ready_worker();
    let slot = rig.hub.shared.lock().workers[&liar.token].slot;
    for (begun, taken) in [(0, u64::MAX), (u64::MAX, 0), (7, 3)] {
        let worker = rig.hub.scoreboard().worker(slot);
        worker.begun.store(begun, Release);
        worker.taken.store(taken, Release);
        let clients = rig.connect(4);
        // What it could have accepted affects only itself; all others are served.
        let watchdog = Watchdog::start();
        while other.taken.len() < clients.len() / 2 {
            watchdog.check("the connections of the other");
            other.take_waiting();
        }
        other.taken.clear();
    }
}
