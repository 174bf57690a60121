//! A listening socket and the workers that serve it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{accept_with, acceptfrom_with, SocketAddrAny, SocketFlags};

use super::super::policy::{Cursor, Policy};
use super::grants::Grants;
use crate::sys::backlog;

/// A connection not owned by any worker.
#[derive(Debug)]
pub(super) struct Connection {
    pub fd: OwnedFd,
    /// The client's address, if the policy needs it.
    pub client: Option<SocketAddr>,
    /// Number of workers that have refused it.
    pub hops: u32,
    /// The worker that refused it last, or 0.
    pub refused_by: u32,
}

impl Connection {
    /// Looks up the client's address if it is unknown, as for a connection taken back.
    pub fn find_client(&mut self) {
        if self.client.is_none() {
            self.client = rustix::net::getpeername(&self.fd)
                .ok()
                .flatten()
                .and_then(address_of);
        }
    }
}

#[derive(Debug)]
pub(super) struct Member {
    pub token: u32,
    /// Whether it has asked for connections.
    pub ready: bool,
    /// Whether it has been sent the listening socket.
    pub has_socket: bool,
    /// After it declined connections, it gets none until this time.
    pub rests_until_ns: u64,
}

impl Member {
    pub fn new(token: u32) -> Self {
        Self {
            token,
            ready: false,
            has_socket: false,
            rests_until_ns: 0,
        }
    }

    /// Whether it wants connections now, as far as it has told the hub.
    pub fn takes(&self, now_ns: u64) -> bool {
        self.ready && self.rests_until_ns <= now_ns
    }
}

/// How a listener's connections are assigned to workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerOptions {
    /// The scheduling policy.
    pub policy: Policy,
    /// Ask the primary's JavaScript first; the policy applies when it does not answer in time.
    pub asks: bool,
    /// Take the client's address from the PROXY protocol header at the start of the connection.
    pub reads_proxy_header: bool,
}

impl ListenerOptions {
    /// Whether the choice of a worker is independent of the connection.
    fn lets_workers_accept(self) -> bool {
        self.policy != Policy::IpHash && !self.asks && !self.reads_proxy_header
    }
}

impl From<Policy> for ListenerOptions {
    fn from(policy: Policy) -> Self {
        Self {
            policy,
            asks: false,
            reads_proxy_header: false,
        }
    }
}

#[derive(Debug)]
pub(super) struct Listener {
    pub socket: OwnedFd,
    pub options: ListenerOptions,
    pub cursor: Cursor,
    pub members: Vec<Member>,
    /// Accepted connections that no worker could take.
    pub parked: VecDeque<Connection>,
    /// The state of grants if workers accept; `None` if the hub accepts.
    pub grants: Option<Grants>,
    /// Whether epoll watches the socket.
    pub armed: bool,
    /// Accepting is paused until this time, for lack of descriptors or memory.
    pub paused_until_ns: Option<u64>,
}

/// The outcome of accepting a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    /// The backlog is empty.
    Drained,
    /// There may be more.
    More,
    /// The process or the system lacks resources at present.
    OutOf(Errno),
}

impl Listener {
    pub fn new(socket: OwnedFd, options: ListenerOptions, seed: u64) -> Self {
        let grants = options.lets_workers_accept() && backlog::waiting(&socket).is_ok();
        Self {
            socket,
            grants: grants.then(Grants::default),
            options,
            cursor: Cursor::new(seed),
            members: Vec::new(),
            parked: VecDeque::new(),
            armed: false,
            paused_until_ns: None,
        }
    }

    /// Accepts up to `limit` connections into `batch`.
    pub fn accept(&self, limit: usize, batch: &mut Vec<Connection>) -> Accepted {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let ListenerOptions {
            policy,
            asks,
            reads_proxy_header,
        } = self.options;
        let wants_client = (policy == Policy::IpHash || asks) && !reads_proxy_header;
        for _ in 0..limit {
            let accepted = if wants_client {
                acceptfrom_with(&self.socket, flags).map(|(fd, address)| (fd, address.and_then(address_of)))
            } else {
                accept_with(&self.socket, flags).map(|fd| (fd, None))
            };
            match accepted {
                Ok((fd, client)) => batch.push(Connection {
                    fd,
                    client,
                    hops: 0,
                    refused_by: 0,
                }),
                Err(Errno::AGAIN) => return Accepted::Drained,
                Err(error) if is_shortage(error) => return Accepted::OutOf(error),
                // The connection failed before it was accepted (ECONNABORTED etc.): go on with the next.
                Err(_) => {}
            }
        }
        Accepted::More
    }

    pub fn index_of(&self, token: u32) -> Option<usize> {
        self.members.iter().position(|member| member.token == token)
    }

    pub fn member(&mut self, token: u32) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| member.token == token)
    }

    /// Whether clients are bound to workers, so that a connection waits for its worker rather than go to
    /// another.
    pub fn is_sticky(&self) -> bool {
        self.options.policy == Policy::IpHash
    }

    /// Removes a worker. Returns whether it was a member.
    pub fn remove(&mut self, token: u32) -> bool {
        let Some(index) = self.index_of(token) else {
            return false;
        };
        self.members.remove(index);
        self.cursor.removed(index);
        true
    }

    pub fn has_ready(&self) -> bool {
        self.members.iter().any(|member| member.ready)
    }
}

fn address_of(address: SocketAddrAny) -> Option<SocketAddr> {
    SocketAddr::try_from(address).ok()
}

/// Whether the error is a shortage of resources, so that accepting should pause.
fn is_shortage(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM)
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn no_room_pauses_and_a_failed_connection_does_not() {
        let no_room = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
        assert!(no_room.into_iter().all(is_shortage));
        let failed = [
            Errno::CONNABORTED,
            Errno::PROTO,
            Errno::PERM,
            Errno::NETDOWN,
            Errno::HOSTUNREACH,
        ];
        assert!(!failed.into_iter().any(is_shortage));
    }
}
