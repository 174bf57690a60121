//! Running out of descriptors. A separate test program, because the limit applies to the whole process.

#![allow(
    clippy::unwrap_used,
    reason = "a test program: its helpers panic as its tests do"
)]

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use manycore_core::accept::{Delivery, Event, Hub, HubOptions, Inbox, Policy};
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

#[test]
fn accepting_pauses_without_descriptors_and_goes_on_with_them() {
    let limit = getrlimit(Resource::Nofile).current.unwrap();
    let hub = Hub::start(HubOptions::default()).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let listener = hub.listen(socket.into(), 511, Policy::IpHash.into()).unwrap();
    let worker = hub.add_worker().unwrap().unwrap();
    hub.attach(listener, worker.token);
    let socket = hub
        .worker_socket(worker.token, |fd| fd.try_clone_to_owned().unwrap())
        .unwrap();
    let mut inbox = Inbox::new(socket, Arc::clone(hub.scoreboard()), worker.slot);

    // The clients' ends are opened first; then there is no room for the servers' ends.
    let clients: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(address).unwrap()).collect();
    set_limit(highest_fd() + 1);
    let fillers: Vec<OwnedFd> = std::iter::from_fn(|| clients[0].as_fd().try_clone_to_owned().ok()).collect();
    hub.set_ready(listener, worker.token);
    let paused = until("a pause", || hub.next_event());
    let errno = rustix::io::Errno::MFILE.raw_os_error();
    assert_eq!(paused, Event::Paused { listener, errno });
    assert_eq!(hub.stats().accepted, 0);

    set_limit(limit);
    drop(fillers);
    until("the end of the pause", || {
        (hub.next_event()? == Event::Resumed { listener }).then_some(())
    });
    let mut taken: Vec<OwnedFd> = Vec::new();
    until("all connections", || {
        if let Delivery::Connections { fds, .. } = inbox.take() {
            taken.extend(fds);
        }
        (taken.len() == clients.len()).then_some(())
    });
}
