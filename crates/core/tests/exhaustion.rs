//! Running out of descriptors. A separate test program, because the limit applies to the whole process.

#![allow(
    clippy::unwrap_used,
    reason = "a test program: its helpers panic as its tests do"
)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use manycore_core::accept::{Delivery, Event, Hub, HubOptions, Inbox, Policy, Room};
use manycore_core::sys::descriptors;
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};

const WATCHDOG: Duration = Duration::from_secs(20);

fn set_limit(limit: u64) {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(limit),
            maximum,
        },
    )
    .unwrap();
}

fn highest_fd() -> u64 {
    let numbers = std::fs::read_dir("/proc/self/fd").unwrap();
    numbers
        .map(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_string_lossy()
                .parse::<u64>()
                .unwrap()
        })
        .max()
        .unwrap()
}

fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(start.elapsed() < WATCHDOG, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Later than anything that was found before is remembered.
const LONG_AFTER_NS: u64 = 3_600_000_000_000;

/// The limit is the whole process's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// With as many free descriptors as before the limit was lowered, that may go unnoticed for 10 ms.
fn let_the_count_expire() {
    let lowered = Instant::now();
    until("the time", || {
        (lowered.elapsed() > Duration::from_millis(10)).then_some(())
    });
}

/// Opens descriptors until there are no more.
fn fill(sample: impl AsFd) -> Vec<OwnedFd> {
    std::iter::from_fn(|| sample.as_fd().try_clone_to_owned().ok()).collect()
}

/// A hub that listens for one worker, given by its token, and the worker's inbox.
struct Scene {
    hub: Hub,
    address: SocketAddr,
    listener: u32,
    worker: u32,
    inbox: Inbox,
}

fn scene(options: HubOptions, policy: Policy) -> Scene {
    let hub = Hub::start(options).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let listener = hub.listen(socket.into(), 511, policy.into()).unwrap();
    let worker = hub.add_worker().unwrap().unwrap();
    hub.attach(listener, worker.token);
    let socket = hub
        .worker_socket(worker.token, |fd| fd.try_clone_to_owned().unwrap())
        .unwrap();
    let inbox = Inbox::new(socket, Arc::clone(hub.scoreboard()), worker.slot);
    Scene {
        hub,
        address,
        listener,
        worker: worker.token,
        inbox,
    }
}

/// Options under which no worker counts as stalled.
fn patient() -> HubOptions {
    HubOptions {
        stall_limit: Duration::from_secs(3_600),
        ..HubOptions::default()
    }
}

/// Takes connections until there are `count` in all.
fn take_until(inbox: &mut Inbox, taken: &mut Vec<OwnedFd>, count: usize) {
    until("all connections", || {
        if let Delivery::Connections { fds, .. } = inbox.take() {
            taken.extend(fds);
        }
        (taken.len() == count).then_some(())
    });
}

#[test]
fn accepting_pauses_without_descriptors_and_goes_on_with_them() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    let Scene {
        hub,
        address,
        listener,
        worker,
        mut inbox,
    } = scene(HubOptions::default(), Policy::IpHash);

    // The clients' ends are opened first; then there is no room for the servers' ends.
    let clients: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    set_limit(highest_fd() + 1);
    let fillers = fill(&clients[0]);
    hub.set_ready(listener, worker);
    let paused = until("a pause", || hub.next_event());
    let errno = rustix::io::Errno::MFILE.raw_os_error();
    assert_eq!(paused, Event::Paused { listener, errno });
    assert_eq!(hub.stats().accepted, 0);

    set_limit(limit);
    drop(fillers);
    until("the end of the pause", || {
        (hub.next_event()? == Event::Resumed { listener }).then_some(())
    });
    take_until(&mut inbox, &mut Vec::new(), clients.len());
}

#[test]
fn a_message_waits_for_room_also_when_the_limit_was_lowered_or_a_low_number_is_free() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    let Scene {
        hub,
        address,
        listener,
        worker,
        mut inbox,
    } = scene(patient(), Policy::IpHash);
    assert!(matches!(inbox.take(), Delivery::Empty));
    hub.set_ready(listener, worker);

    let clients: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    until("the hand-over", || (hub.stats().accepted == 8).then_some(()));
    // A limit of at least this many, so that the numbers seen so far are far below it.
    set_limit(highest_fd() + 2_000);
    let mut fillers = fill(&clients[0]);
    fillers.drain(..4);
    let_the_count_expire();
    assert!(matches!(inbox.take(), Delivery::NoRoom));
    drop(fillers);
    set_limit(limit);
    take_until(&mut inbox, &mut Vec::new(), clients.len());
}

#[test]
fn pings_and_grants_are_taken_without_room_and_grants_declined() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    let Scene {
        hub,
        address,
        listener,
        worker,
        mut inbox,
    } = scene(patient(), Policy::RoundRobin);
    inbox.ready(listener).unwrap();
    let mut taken: Vec<OwnedFd> = Vec::new();
    let mut clients = vec![TcpStream::connect(address).unwrap()];
    take_until(&mut inbox, &mut taken, 1);

    set_limit(highest_fd() + 100);
    clients.push(TcpStream::connect(address).unwrap());
    let fillers = fill(&clients[0]);
    let_the_count_expire();
    let mut deliveries = Vec::new();
    until("a declined grant", || {
        deliveries.push(inbox.take());
        (hub.stats().refused > 0).then_some(())
    });
    // The first call pings the workers.
    let _load = hub.load(worker);
    until("a ping", || {
        deliveries.push(inbox.take());
        matches!(deliveries.last(), Some(Delivery::Ping)).then_some(())
    });
    drop(fillers);
    set_limit(limit);
    let is_expected = |delivery| matches!(delivery, Delivery::Empty | Delivery::Ping);
    assert!(deliveries.into_iter().all(is_expected));
    take_until(&mut inbox, &mut taken, 2);
}

#[test]
fn room_is_found_and_missed_wherever_it_is() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    let sample = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut now_ns = 0;
    let mut room = Room::between(1, 16);
    let mut is_left = || {
        now_ns += LONG_AFTER_NS;
        room.is_left(now_ns)
    };
    assert!(is_left());
    set_limit(highest_fd() + 4_000);
    let mut fillers = fill(&sample);
    assert!(!is_left(), "the limit was lowered");
    assert!(!descriptors::are_left(1));
    drop(fillers.drain(..15));
    assert!(!is_left(), "15 are too few");
    drop(fillers.pop());
    assert!(is_left(), "low numbers and a high one");
    assert!(descriptors::are_left(16));
    assert!(!descriptors::are_left(17));
    let again = sample.as_fd().try_clone_to_owned().unwrap();
    assert!(!is_left());
    drop(again);
    assert!(is_left());
    set_limit(limit);
    assert!(is_left());
}

#[test]
fn a_process_that_may_have_few_descriptors_keeps_few_free() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    set_limit(64);
    let (mut most, mut exact) = (Room::between(1, 16), Room::between(16, 16));
    let free = [most.is_left(1), exact.is_left(1)];
    set_limit(limit);
    assert_eq!(free, [true, true]);
    assert_eq!([most.needed(), exact.needed()], [8, 16]);
}

#[test]
fn the_reserve_follows_its_bounds() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    let sample = TcpListener::bind("127.0.0.1:0").unwrap();
    set_limit(highest_fd() + 200);
    let mut fillers = fill(&sample);
    fillers.truncate(fillers.len() - 20);
    let mut room = Room::between(1, 16);
    let mut found = vec![(room.is_left(1), room.needed())];
    room.set_bounds(21, 30);
    found.push((room.is_left(2), room.needed()));
    room.set_bounds(20, 20);
    found.push((room.is_left(3), room.needed()));
    drop(fillers);
    // Enough for a count.
    set_limit(limit.min(10_000));
    found.push((room.is_left(LONG_AFTER_NS), room.needed()));
    room.set_bounds(10_001, 10_001);
    found.push((room.is_left(LONG_AFTER_NS + 1), room.needed()));
    set_limit(limit);
    assert_eq!(found[0], (true, 16));
    assert!(!found[1].0 && found[1].1 >= 21);
    assert_eq!(found[2..], [(true, 20), (true, 20), (false, 10_001)]);
}

#[test]
fn a_process_that_may_open_nothing_has_no_room() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    let mut room = Room::between(1, 16);
    set_limit(0);
    let is_left = room.is_left(1);
    set_limit(limit);
    assert_eq!((is_left, room.needed()), (false, 1));
    assert!(room.is_left(LONG_AFTER_NS));
}

#[test]
fn open_descriptors_are_counted_where_the_kernel_can() {
    let _alone = ONE_AT_A_TIME.lock().unwrap();
    let Some(before) = descriptors::open_count() else {
        return;
    };
    let sample = TcpListener::bind("127.0.0.1:0").unwrap();
    assert_eq!(descriptors::open_count(), Some(before + 1));
    drop(sample);
    assert_eq!(descriptors::open_count(), Some(before));
}
