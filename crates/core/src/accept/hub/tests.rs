//! Behaviour of the hub, with workers simulated by this process.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustix::event::{poll, PollFd, PollFlags};

use super::*;
use crate::accept::scoreboard::POLLING;
use crate::accept::{Delivery, Inbox, Policy};
use crate::testing::{Watchdog, WATCHDOG};

mod grants;

struct Rig {
    hub: Hub,
    listener: u32,
    address: SocketAddr,
}

struct TestWorker {
    token: u32,
    inbox: Inbox,
    taken: Vec<OwnedFd>,
}

impl Rig {
    fn new(hub_options: HubOptions, options: impl Into<ListenerOptions>) -> Self {
        let options = options.into();
        let hub = Hub::start(hub_options).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let listener = hub.listen(socket.into(), 511, options).unwrap();
        Self {
            hub,
            listener,
            address,
        }
    }

    fn strict(stall_limit: Duration) -> Self {
        Self::new(
            HubOptions {
                stall_limit,
                ..HubOptions::default()
            },
            Policy::RoundRobin,
        )
    }

    /// A worker that is attached but not ready.
    fn worker(&self) -> TestWorker {
        let added = self.hub.add_worker().unwrap().unwrap();
        self.hub.attach(self.listener, added.token);
        let socket = self
            .hub
            .worker_socket(added.token, |fd| fd.try_clone_to_owned().unwrap())
            .unwrap();
        let inbox = Inbox::new(socket, Arc::clone(self.hub.scoreboard()), added.slot);
        TestWorker {
            token: added.token,
            inbox,
            taken: Vec::new(),
        }
    }

    fn ready_worker(&self) -> TestWorker {
        let mut worker = self.worker();
        worker.inbox.ready(self.listener).unwrap();
        self.hub.set_ready(self.listener, worker.token);
        worker
    }

    fn connect(&self, count: usize) -> Vec<TcpStream> {
        (0..count)
            .map(|_| TcpStream::connect(self.address).unwrap())
            .collect()
    }

    /// Waits until the statistics satisfy `what`.
    fn until(&self, what: impl Fn(&Stats) -> bool) -> Stats {
        let watchdog = Watchdog::start();
        loop {
            let stats = self.hub.stats();
            if what(&stats) {
                return stats;
            }
            watchdog.check(format_args!("other figures than {stats:?}"));
            std::thread::yield_now();
        }
    }
}

impl TestWorker {
    /// Takes connections until it has `count`.
    fn take(&mut self, count: usize) {
        while self.taken.len() < count {
            let timeout = rustix::event::Timespec {
                tv_sec: WATCHDOG.as_secs() as i64,
                tv_nsec: 0,
            };
            let mut waiting = [PollFd::new(&self.inbox, PollFlags::IN)];
            assert_ne!(poll(&mut waiting, Some(&timeout)).unwrap(), 0, "nothing to take");

            self.take_waiting();
        }
        assert_eq!(self.taken.len(), count);
    }

    fn take_waiting(&mut self) {
        while let Delivery::Connections { fds, .. } = self.inbox.take() {
            self.taken.extend(fds);
        }
    }
}

fn child() -> Child {
    Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn connections_gather_while_all_processors_have_some_waiting() {
    let options = HubOptions {
        stall_limit: Duration::from_secs(3600),
        processors: 2,
        ..HubOptions::default()
    };
    let rig = Rig::new(options, Policy::RoundRobin);
    let linger = || rig.hub.shared.lock().linger();
    let each = HubOptions::default().linger;
    let mut workers = [rig.ready_worker(), rig.ready_worker()];
    let _first = rig.connect(2);
    for worker in &mut workers {
        worker.take(1);
        let slot = rig.hub.shared.lock().workers[&worker.token].slot;
        let state = &rig.hub.scoreboard().worker(slot).state;
        state.store(POLLING, Ordering::Relaxed);
    }
    assert_eq!(linger(), Duration::ZERO);
    let _second = rig.connect(1);
    rig.until(|stats| stats.handed_over == 3);
    assert_eq!(linger(), Duration::ZERO, "the other one waits");
    let _third = rig.connect(4);
    rig.until(|stats| stats.handed_over == 7);
    assert_eq!(linger(), each * 2);
    let slot = rig.hub.shared.lock().workers[&workers[0].token].slot;
    workers[0].take(4);
    assert_eq!(linger(), Duration::ZERO);
    rig.hub
        .scoreboard()
        .worker(slot)
        .state
        .store(0, Ordering::Relaxed);
    assert_eq!(linger(), each, "it runs callbacks");
}

#[test]
fn round_robin_is_exact() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let mut workers: Vec<TestWorker> = (0..4).map(|_| rig.ready_worker()).collect();
    for round in 1..=20 {
        let _clients = rig.connect(20);
        rig.until(|stats| stats.handed_over == round * 20);
        for worker in &mut workers {
            worker.take(5);
            worker.taken.clear();
        }
    }
}

#[test]
fn connections_wait_in_the_backlog_until_a_worker_is_ready() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let mut worker = rig.worker();
    let _clients = rig.connect(3);
    assert_eq!(rig.hub.stats().accepted, 0);
    worker.inbox.ready(rig.listener).unwrap();
    worker.take(3);
}

#[test]
fn what_a_stalled_worker_leaves_goes_to_the_others() {
    let rig = Rig::strict(Duration::from_millis(20));
    let stuck = rig.ready_worker();
    let mut other = rig.ready_worker();
    let _clients = rig.connect(10);
    other.take(10);
    let events: Vec<Event> = std::iter::from_fn(|| rig.hub.next_event()).collect();
    assert_eq!(
        events,
        [Event::Stalled {
            worker: stuck.token,
            moved: 5
        }]
    );
    assert_eq!(rig.hub.stats().moved_from_stalled, 5);
}

#[test]
fn a_stalled_worker_is_back_once_it_takes_again() {
    let rig = Rig::strict(Duration::from_millis(20));
    let mut stuck = rig.ready_worker();
    let mut other = rig.ready_worker();
    let mut clients = rig.connect(2);
    other.take(2);
    stuck.take_waiting();
    assert_eq!(stuck.taken.len(), 0, "only a ping is left in its queue");
    let watchdog = Watchdog::start();
    while stuck.taken.is_empty() {
        watchdog.check("the worker that was stuck");
        clients.extend(rig.connect(1));
        stuck.take_waiting();
        other.take_waiting();
    }
    let watchdog = Watchdog::start();
    while stuck.taken.len() + other.taken.len() < clients.len() {
        watchdog.check("the last connection");
        stuck.take_waiting();
        other.take_waiting();
    }
}

#[test]
fn a_lone_worker_keeps_its_queue_however_slow() {
    let rig = Rig::strict(Duration::from_millis(1));
    let mut slow = rig.ready_worker();
    let _clients = rig.connect(4);
    rig.until(|stats| stats.handed_over == 4);
    std::thread::sleep(Duration::from_millis(20));
    slow.take(4);
    assert_eq!(rig.hub.stats().moved_from_stalled, 0);
}

#[test]
fn the_load_counts_connections_that_are_not_taken_and_no_other_messages() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let mut worker = rig.ready_worker();
    let token = worker.token;
    let unclaimed = || rig.hub.load(token).unclaimed;
    // The first call pings the worker.
    assert_eq!(unclaimed(), 0);
    let _clients = rig.connect(4);
    rig.until(|stats| stats.handed_over == 4);
    assert_eq!(unclaimed(), 4);
    worker.take(4);
    assert_eq!(unclaimed(), 0);
}

#[test]
fn what_a_killed_process_had_not_taken_goes_to_the_others() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let mut process = child();
    let doomed = rig.ready_worker();
    rig.hub.watch(doomed.token, process.id()).unwrap();
    let mut other = rig.ready_worker();
    let _clients = rig.connect(10);
    rig.until(|stats| stats.handed_over == 10);
    process.kill().unwrap();
    process.wait().unwrap();
    other.take(10);
    assert_eq!(rig.hub.stats().moved_from_dead, 5);
    assert!(rig.hub.worker_socket(doomed.token, |_| ()).is_none());
}

#[test]
fn refused_connections_go_to_another_worker_and_wait_when_all_refuse() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let mut picky = rig.ready_worker();
    let mut other = rig.ready_worker();
    let _clients = rig.connect(4);
    // Otherwise a refused connection would take the turn of a later one.
    rig.until(|stats| stats.handed_over == 4);
    picky.take(2);
    for fd in picky.taken.drain(..) {
        picky.inbox.refuse(rig.listener, 0, fd).unwrap();
    }
    other.take(4);
    assert_eq!(rig.hub.stats().refused, 2);
    other.inbox.stop(rig.listener).unwrap();
    for fd in other.taken.drain(..) {
        other.inbox.refuse(rig.listener, 1, fd).unwrap();
    }
    picky.take(4);
}

#[test]
fn a_slot_is_reused_and_tokens_are_not() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let (a, b) = (
        rig.hub.add_worker().unwrap().unwrap(),
        rig.hub.add_worker().unwrap().unwrap(),
    );
    rig.hub.remove_worker(a.token);
    rig.hub.remove_worker(a.token);
    let c = rig.hub.add_worker().unwrap().unwrap();
    assert_eq!((a.slot, b.slot, c.slot), (0, 1, 0));
    assert!(c.token > b.token);
}

#[test]
fn closing_a_listener_closes_what_nobody_took() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let only = rig.ready_worker();
    let mut clients = rig.connect(1);
    rig.until(|stats| stats.handed_over == 1);
    rig.hub.close_listener(rig.listener);
    rig.hub.remove_worker(only.token);
    clients[0].set_read_timeout(Some(WATCHDOG)).unwrap();
    let end = clients[0].read(&mut [0]);
    assert!(!matches!(end, Ok(1..)), "the connection is closed: {end:?}");
    assert!(TcpStream::connect(rig.address).is_err());
    assert_eq!(rig.hub.stats().closed_unserved, 1);
}

#[test]
fn the_same_client_gets_the_same_worker() {
    let rig = Rig::new(HubOptions::default(), Policy::IpHash);
    let mut workers: Vec<TestWorker> = (0..4).map(|_| rig.ready_worker()).collect();
    let _clients = rig.connect(20);
    rig.until(|stats| stats.handed_over == 20);
    workers.iter_mut().for_each(TestWorker::take_waiting);
    let spread: BTreeMap<usize, usize> = workers.iter().fold(BTreeMap::new(), |mut spread, worker| {
        *spread.entry(worker.taken.len()).or_default() += 1;
        spread
    });
    assert_eq!(spread, BTreeMap::from([(0, 3), (20, 1)]));
}

#[test]
fn nonsense_from_a_worker_is_ignored() {
    let rig = Rig::strict(Duration::from_secs(3600));
    let mut worker = rig.worker();
    worker.inbox.ready(12345).unwrap();
    let (a, _b) = crate::sys::scm::packet_pair().unwrap();
    worker.inbox.refuse(999, 3, a).unwrap();
    rustix::net::send(worker.inbox.as_fd(), &[1, 2, 3], rustix::net::SendFlags::empty()).unwrap();
    worker.inbox.ready(rig.listener).unwrap();
    let _client = rig.connect(1);
    worker.take(1);
}

fn write_to(clients: &mut [TcpStream], text: impl Fn(usize) -> String) {
    for (n, client) in clients.iter_mut().enumerate() {
        std::io::Write::write_all(client, text(n).as_bytes()).unwrap();
    }
}

const BY_PROXY_HEADER: ListenerOptions = ListenerOptions {
    policy: Policy::IpHash,
    asks: false,
    reads_proxy_header: true,
};

/// The header of the n-th client of 32.
fn proxy_header(n: usize) -> String {
    format!("PROXY TCP4 192.0.2.{} 192.0.2.1 1 2\r\n", n % 32)
}

/// Has the workers take what waits for them. Returns the worker of each client, of which there have to be 32, by header.
fn workers_of_clients(workers: &mut [TestWorker]) -> BTreeMap<String, usize> {
    workers.iter_mut().for_each(TestWorker::take_waiting);
    let mut worker_of: BTreeMap<String, usize> = BTreeMap::new();
    for (index, worker) in workers.iter_mut().enumerate() {
        for fd in worker.taken.drain(..) {
            let mut bytes = [0; 64];
            let length = TcpStream::from(fd).read(&mut bytes).unwrap();
            let header = String::from_utf8_lossy(&bytes[..length]).into_owned();
            assert!(header.starts_with("PROXY TCP4 192.0.2."));
            assert_eq!(
                *worker_of.entry(header).or_insert(index),
                index,
                "one client, two workers"
            );
        }
    }
    assert_eq!(worker_of.len(), 32);
    worker_of
}

#[test]
fn the_address_in_a_proxy_header_counts_and_stays_readable() {
    let rig = Rig::new(HubOptions::default(), BY_PROXY_HEADER);
    let mut workers: Vec<TestWorker> = (0..4).map(|_| rig.ready_worker()).collect();
    let mut clients = rig.connect(64);
    write_to(&mut clients, proxy_header);
    rig.until(|stats| stats.handed_over == 64);
    let worker_of = workers_of_clients(&mut workers);
    let used: std::collections::BTreeSet<usize> = worker_of.into_values().collect();
    assert!(used.len() > 1, "several clients, one worker");
}

#[test]
fn the_address_in_a_proxy_header_counts_when_a_worker_has_died() {
    let patient = HubOptions {
        stall_limit: Duration::from_secs(3600),
        ..HubOptions::default()
    };
    let rig = Rig::new(patient, BY_PROXY_HEADER);
    let mut workers: Vec<TestWorker> = (0..4).map(|_| rig.ready_worker()).collect();
    let mut before = rig.connect(32);
    write_to(&mut before, proxy_header);
    rig.until(|stats| stats.handed_over == 32);
    // What this one has not taken goes to the others, and later connections of the same clients as well.
    let dead = workers.remove(0);
    rig.hub.remove_worker(dead.token);
    let moved = rig.hub.stats().moved_from_dead;
    assert!(moved > 1, "it had connections");
    let mut after = rig.connect(32);
    write_to(&mut after, proxy_header);
    rig.until(|stats| stats.handed_over == 64 + moved);
    workers_of_clients(&mut workers);
}

#[test]
fn a_client_that_sends_no_header_is_served_after_the_limit() {
    let limit = HubOptions {
        stall_limit: Duration::from_millis(10),
        ..HubOptions::default()
    };
    let rig = Rig::new(limit, BY_PROXY_HEADER);
    let mut worker = rig.ready_worker();
    let _silent = rig.connect(2);
    worker.take(2);
}

#[test]
fn whoever_is_asked_decides() {
    let options = ListenerOptions {
        policy: Policy::RoundRobin,
        asks: true,
        reads_proxy_header: false,
    };
    let limit = HubOptions {
        stall_limit: Duration::from_secs(3600),
        ..HubOptions::default()
    };
    let rig = Rig::new(limit, options);
    let mut workers: Vec<TestWorker> = (0..3).map(|_| rig.ready_worker()).collect();
    let clients = rig.connect(6);
    let mut undecided = Vec::new();
    let watchdog = Watchdog::start();
    while undecided.len() < 6 {
        watchdog.check("the undecided");
        undecided.extend(rig.hub.take_undecided(rig.listener));
    }
    let theirs: Vec<_> = clients.iter().map(|client| client.local_addr().ok()).collect();
    let ours: Vec<_> = undecided.iter().map(|undecided| undecided.client).collect();
    assert_eq!(ours, theirs);
    let second = workers[1].token;
    rig.hub
        .decide(undecided.iter().take(4).map(|undecided| (undecided.id, second)));
    workers[1].take(4);
    // No choice, and a worker that does not exist: both fall back to round-robin.
    rig.hub
        .decide([(undecided[4].id, 0), (undecided[5].id, 999)].into_iter());
    workers[0].take(1);
    workers[1].take(5);
}

#[test]
fn without_an_answer_it_goes_in_turn() {
    let options = ListenerOptions {
        policy: Policy::RoundRobin,
        asks: true,
        reads_proxy_header: false,
    };
    let limit = HubOptions {
        stall_limit: Duration::from_millis(10),
        ..HubOptions::default()
    };
    let rig = Rig::new(limit, options);
    let mut workers: Vec<TestWorker> = (0..2).map(|_| rig.ready_worker()).collect();
    let _clients = rig.connect(4);
    for worker in &mut workers {
        worker.take(2);
    }
    assert_eq!(
        rig.hub.next_event(),
        Some(Event::Undecided {
            listener: rig.listener
        })
    );
}

#[test]
fn workers_that_share_a_socket_are_pinged_when_connections_wait() {
    let hub = Hub::start(HubOptions::default()).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared = hub.share(socket.as_fd().try_clone_to_owned().unwrap());
    let worker = hub.add_worker().unwrap().unwrap();
    hub.attach(shared, worker.token);
    let theirs = hub
        .worker_socket(worker.token, |fd| fd.try_clone_to_owned().unwrap())
        .unwrap();
    let mut inbox = Inbox::new(theirs, Arc::clone(hub.scoreboard()), worker.slot);
    assert_eq!(
        crate::accept::scoreboard::slots(hub.scoreboard().serving(shared)).collect::<Vec<_>>(),
        [0]
    );
    let _client = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    let watchdog = Watchdog::start();
    while !matches!(inbox.take(), Delivery::Ping) {
        watchdog.check("the ping");
        std::thread::yield_now();
    }
    hub.remove_worker(worker.token);
    assert_eq!(
        crate::accept::scoreboard::slots(hub.scoreboard().serving(shared)).count(),
        0
    );
}

#[test]
fn shared_sockets_that_nobody_connects_to_are_left_alone_until_somebody_does() {
    let hub = Hub::start(HubOptions::default()).unwrap();
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let share = |socket: &TcpListener| hub.share(socket.as_fd().try_clone_to_owned().unwrap());
    let [first, second] = [share(&sockets[0]), share(&sockets[1])];
    let worker = hub.add_worker().unwrap().unwrap();
    let theirs = hub
        .worker_socket(worker.token, |fd| fd.try_clone_to_owned().unwrap())
        .unwrap();
    let mut inbox = Inbox::new(theirs, Arc::clone(hub.scoreboard()), worker.slot);
    let until_asleep = || {
        let watchdog = Watchdog::start();
        while !hub.shared.lock().shared.is_asleep() {
            watchdog.check("the hub to sleep");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    hub.attach(first, worker.token);
    until_asleep();
    // One more socket to check.
    hub.attach(second, worker.token);
    until_asleep();
    // A connection that is accepted, and nothing after it.
    let _client = TcpStream::connect(sockets[1].local_addr().unwrap()).unwrap();
    let watchdog = Watchdog::start();
    while hub.shared.lock().shared.is_asleep() {
        watchdog.check("the hub to wake");
        std::thread::yield_now();
    }
    let _accepted = sockets[1].accept().unwrap();
    until_asleep();
    while matches!(inbox.take(), Delivery::Ping) {}
    // A closed socket is no longer monitored, although this test still has it open.
    hub.close_listener(first);
    let _lost = TcpStream::connect(sockets[0].local_addr().unwrap()).unwrap();
    assert!(hub.shared.lock().shared.is_asleep());
    // A connection that no worker takes.
    let _client = TcpStream::connect(sockets[1].local_addr().unwrap()).unwrap();
    let watchdog = Watchdog::start();
    while !matches!(inbox.take(), Delivery::Ping) {
        watchdog.check("the ping");
        std::thread::yield_now();
    }
    hub.remove_worker(worker.token);
    assert!(!hub.shared.lock().shared.is_asleep());
}

#[test]
fn clients_that_belong_to_a_stalled_worker_wait_for_it() {
    let limit = HubOptions {
        stall_limit: Duration::from_millis(5),
        ..HubOptions::default()
    };
    let rig = Rig::new(limit, Policy::IpHash);
    let mut workers: Vec<TestWorker> = (0..3).map(|_| rig.ready_worker()).collect();
    let _first = rig.connect(3);
    let watchdog = Watchdog::start();
    let Event::Stalled { worker, moved: 0 } = (loop {
        if let Some(event) = rig.hub.next_event() {
            break event;
        }
        watchdog.check("the stall");
    }) else {
        panic!("another event");
    };
    let _second = rig.connect(2);
    rig.until(|stats| stats.accepted == 5);
    let theirs = workers.iter_mut().find(|each| each.token == worker).unwrap();
    theirs.take(5);
    // A dead worker cannot be waited for.
    rig.hub.remove_worker(worker);
    let _third = rig.connect(2);
    rig.until(|stats| stats.accepted == 7);
    let watchdog = Watchdog::start();
    let others = |workers: &mut Vec<TestWorker>| {
        workers
            .iter_mut()
            .filter(|each| each.token != worker)
            .for_each(TestWorker::take_waiting);
        workers
            .iter()
            .filter(|each| each.token != worker)
            .map(|each| each.taken.len())
            .sum::<usize>()
    };
    while others(&mut workers) < 2 {
        watchdog.check("the new connections");
    }
}
