//! `Acceptor`: the primary's hub, for `lib/cluster/primary`.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;

use manycore_core::accept::hub::Undecided;
use manycore_core::accept::{Event, Hub, HubOptions, ListenerOptions, Policy};
use napi::bindgen_prelude::{Env, Error, Function, JsValue, Result};
use napi_derive::napi;

use crate::callback::Callback;
use crate::error::to_js;
use crate::uv::{EventLoop, Handle};

/// A worker registered with the hub.
#[napi(object)]
pub struct AcceptorWorker {
    /// Identifies the worker in further calls.
    pub token: u32,
    /// Its slot on the scoreboard.
    pub slot: u32,
    /// The descriptor that its process inherits. It stays open here until the worker is removed.
    pub fd: i32,
}

/// The result of `listen`.
#[napi(object)]
pub struct ListenResult {
    /// 0, or a negative error number as in libuv.
    pub errno: i32,
    /// The listener's id if `errno` is 0.
    pub listener: u32,
}

/// How a listener's connections are assigned to workers.
#[napi(object)]
pub struct AcceptorListenOptions {
    /// `rr`, `least-connections`, `p2c` or `ip-hash`.
    pub policy: String,
    /// Whether JavaScript is asked first, see `takeUndecided`.
    pub asks: bool,
    /// Whether the client's address is in a PROXY protocol header.
    pub reads_proxy_header: bool,
}

/// A connection for which JavaScript chooses a worker.
#[napi(object)]
pub struct UndecidedConnection {
    /// Identifies it in the answer.
    pub id: u32,
    /// The client's address; empty for a Unix socket.
    pub address: String,
    /// The client's port.
    pub port: u32,
    /// 4 or 6; 0 for a Unix socket.
    pub family: u32,
}

/// A worker's load, read from the scoreboard.
#[napi(object)]
pub struct WorkerLoad {
    /// Open connections of its servers.
    pub connections: u32,
    /// HTTP requests in flight.
    pub requests: u32,
    /// How long its event loop has been busy without a turn, in milliseconds.
    pub loop_lag_ms: f64,
    /// Connections handed to it that it has not taken yet.
    pub unclaimed: f64,
}

/// Accepts connections on a thread of the primary and hands them to workers.
#[napi]
pub struct Acceptor {
    hub: Rc<Hub>,
    events: Option<Handle>,
}

#[napi]
impl Acceptor {
    /// Starts the thread. Both limits are in milliseconds.
    #[napi(constructor)]
    pub fn new(stall_limit_ms: f64, linger_ms: f64) -> Result<Self> {
        let options = HubOptions {
            stall_limit: duration(stall_limit_ms)?,
            linger: duration(linger_ms)?,
            ..HubOptions::default()
        };
        Ok(Self {
            hub: Rc::new(Hub::start(options).map_err(to_js)?),
            events: None,
        })
    }

    /// Calls `callback(kind, a, b)` for each event: 1 stalled (token, moved), 2 recovered (token), 3 paused
    /// (listener, errno), 4 resumed (listener), 5 undecided (listener).
    #[napi]
    pub fn on_event(&mut self, env: Env, callback: Function<'_>) -> Result<()> {
        let refused = || Error::from_reason("the event loop is closing");
        let callback = Callback::new(env.raw(), callback.raw(), "MANYCORE").ok_or_else(refused)?;
        let event_loop = EventLoop::of(env.raw()).ok_or_else(refused)?;
        let hub = Rc::clone(&self.hub);
        let fd = hub.events_fd().as_raw_fd();
        let drain = move || {
            while let Some(event) = hub.next_event() {
                let [kind, a, b] = match event {
                    Event::Stalled { worker, moved } => [1.0, worker.into(), moved.into()],
                    Event::Recovered { worker } => [2.0, worker.into(), 0.0],
                    Event::Paused { listener, errno } => [3.0, listener.into(), errno.into()],
                    Event::Resumed { listener } => [4.0, listener.into(), 0.0],
                    Event::Undecided { listener } => [5.0, listener.into(), 0.0],
                };
                callback.call(&[kind, a, b]);
            }
        };
        self.events = Some(event_loop.poll(fd, drain).ok_or_else(refused)?);
        Ok(())
    }

    /// The descriptor of the scoreboard, which workers inherit.
    #[napi]
    pub fn scoreboard_fd(&self) -> i32 {
        self.hub.scoreboard().as_fd().as_raw_fd()
    }

    /// Registers a new worker; null when there are too many.
    #[napi]
    pub fn add_worker(&self) -> Result<Option<AcceptorWorker>> {
        let Some(worker) = self.hub.add_worker().map_err(to_js)? else {
            return Ok(None);
        };
        let fd = self
            .hub
            .worker_socket(worker.token, |fd| fd.as_raw_fd())
            .unwrap_or(-1);
        Ok(Some(AcceptorWorker {
            token: worker.token,
            slot: worker.slot,
            fd,
        }))
    }

    /// Watches for the death of a worker's process.
    #[napi]
    pub fn watch(&self, token: u32, pid: u32) -> Result<()> {
        self.hub.watch(token, pid).map_err(to_js)
    }

    /// Removes a worker; its queue goes to others.
    #[napi]
    pub fn remove_worker(&self, token: u32) {
        self.hub.remove_worker(token);
    }

    /// Accepts on a bound socket, whose descriptor is duplicated.
    #[napi]
    pub fn listen(&self, fd: i32, backlog: i32, options: AcceptorListenOptions) -> Result<ListenResult> {
        let socket = duplicate(fd)?;
        let AcceptorListenOptions {
            policy,
            asks,
            reads_proxy_header,
        } = options;
        let options = ListenerOptions {
            policy: policy_of(&policy)?,
            asks,
            reads_proxy_header,
        };
        Ok(match self.hub.listen(socket, backlog, options) {
            Ok(listener) => ListenResult { errno: 0, listener },
            Err(error) => ListenResult {
                errno: -error.raw_os_error().unwrap_or(1),
                listener: 0,
            },
        })
    }

    /// Monitors a bound socket that workers share. Returns its id.
    #[napi]
    pub fn share(&self, fd: i32) -> Result<u32> {
        Ok(self.hub.share(duplicate(fd)?))
    }

    /// Allows a worker to request the connections of a listener.
    #[napi]
    pub fn attach(&self, listener: u32, token: u32) {
        self.hub.attach(listener, token);
    }

    /// Marks a worker as ready for the connections of a listener.
    #[napi]
    pub fn set_ready(&self, listener: u32, token: u32) {
        self.hub.set_ready(listener, token);
    }

    /// Detaches a worker from a listener.
    #[napi]
    pub fn detach(&self, listener: u32, token: u32) {
        self.hub.detach(listener, token);
    }

    /// Stops accepting and closes the hub's descriptor.
    #[napi]
    pub fn close_listener(&self, listener: u32) {
        self.hub.close_listener(listener);
    }

    /// The connections for which JavaScript has to choose, each returned once.
    #[napi]
    pub fn take_undecided(&self, listener: u32) -> Vec<UndecidedConnection> {
        let describe = |undecided: Undecided| {
            let Undecided { id, client } = undecided;
            let family = client.map_or(0, |client| if client.is_ipv4() { 4 } else { 6 });
            let address = client.map_or_else(String::new, |client| client.ip().to_string());
            UndecidedConnection {
                id,
                address,
                port: client.map_or(0, |client| client.port().into()),
                family,
            }
        };
        self.hub
            .take_undecided(listener)
            .into_iter()
            .map(describe)
            .collect()
    }

    /// Assigns connections, by id, to workers, by token; 0 applies the listener's policy.
    #[napi]
    pub fn decide(&self, ids: Vec<u32>, tokens: Vec<u32>) {
        self.hub.decide(ids.into_iter().zip(tokens));
    }

    /// A worker's current load.
    #[napi]
    pub fn load(&self, token: u32) -> WorkerLoad {
        let load = self.hub.load(token);
        WorkerLoad {
            connections: load.connections,
            requests: load.requests,
            loop_lag_ms: load.loop_lag_ns as f64 / 1e6,
            unclaimed: load.unclaimed as f64,
        }
    }
}

fn policy_of(name: &str) -> Result<Policy> {
    match name {
        "rr" => Ok(Policy::RoundRobin),
        "least-connections" => Ok(Policy::LeastConnections),
        "p2c" => Ok(Policy::PowerOfTwoChoices),
        "ip-hash" => Ok(Policy::IpHash),
        _ => Err(Error::from_reason("no such policy")),
    }
}

fn duration(ms: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(ms / 1e3).map_err(|error| Error::from_reason(error.to_string()))
}

/// Duplicates a descriptor that JavaScript passes by number.
pub(crate) fn duplicate(fd: RawFd) -> Result<OwnedFd> {
    if fd < 0 {
        return Err(Error::from_reason("a negative descriptor"));
    }
    // SAFETY: not negative, so not the invalid -1. If it is not open, the duplication fails.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    borrowed.try_clone_to_owned().map_err(to_js)
}
