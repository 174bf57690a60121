//! Connections that are accepted but cannot be handed over yet: either the client's address has yet to be
//! read from a PROXY protocol header, or the primary's JavaScript has yet to choose a worker. Both wait for
//! the stall limit at most; after that, the socket's own address or the policy is used.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::AsFd;

use ppp::{v1, v2, HeaderResult, PartialResult};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::RecvFlags;

use super::listener::{Connection, ListenerOptions};
use super::state::State;
use super::thread::header_token;
use super::Event;
use crate::sys::clock::monotonic_ns;

/// Bytes read of a header: all of version 1, and of version 2 its fixed part and the longest addresses, of a
/// Unix socket. The fields after the addresses, up to 64 KiB, do not matter here.
const HEADER_BYTES: usize = V2_FIXED_BYTES + 216;

/// Fixed part of version 2, which ends with the number of bytes that follow.
const V2_FIXED_BYTES: usize = 16;

/// Longest header of version 1.
const V1_BYTES: usize = 107;
const V1_START: &[u8] = b"PROXY ";

#[derive(Debug)]
struct Held {
    listener: u32,
    connection: Connection,
    since_ns: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// The header has not arrived completely.
    Header,
    /// JavaScript has not been told.
    Untold,
    /// JavaScript has been told and has to choose.
    Told,
}

/// A connection for which JavaScript chooses a worker.
#[derive(Clone, Copy, Debug)]
pub struct Undecided {
    /// Identifies it in the answer.
    pub id: u32,
    /// The client's address; `None` for a Unix socket.
    pub client: Option<SocketAddr>,
}

/// The connections held, oldest first.
#[derive(Debug, Default)]
pub(super) struct Pending {
    next_id: u32,
    held: BTreeMap<u32, Held>,
}

impl State {
    /// Hands over accepted connections, or holds them if the listener's options require it.
    pub fn admit(&mut self, id: u32, batch: Vec<Connection>) {
        let Some(options) = self.listener_options(id) else {
            return self.hand_over(id, batch);
        };
        if options.reads_proxy_header {
            for connection in batch {
                self.hold_for_header(id, connection);
            }
        } else if options.asks {
            self.hold_for_choice(id, batch);
        } else {
            self.hand_over(id, batch);
        }
    }

    /// Looks up the address by which a connection is assigned, if it is unknown, as for one taken back: that
    /// in its PROXY protocol header, if the listener reads them and it is still there, or its own.
    pub fn find_client(options: ListenerOptions, connection: &mut Connection) {
        if connection.client.is_none() && options.reads_proxy_header {
            if let Header::Client(client) = read_header(connection) {
                connection.client = Some(client);
            }
        }
        connection.find_client();
    }

    fn hold(&mut self, listener: u32, connection: Connection, stage: Stage) -> u32 {
        let id = self.pending.next_id;
        self.pending.next_id = id.wrapping_add(1);
        let since_ns = monotonic_ns();
        self.pending.held.insert(
            id,
            Held {
                listener,
                connection,
                since_ns,
                stage,
            },
        );
        id
    }

    fn hold_for_header(&mut self, listener: u32, connection: Connection) {
        let id = self.hold(listener, connection, Stage::Header);
        let Some(held) = self.pending.held.get(&id) else {
            return;
        };
        let data = EventData::new_u64(header_token(id));
        if epoll::add(
            &*self.epoll,
            &held.connection.fd,
            data,
            EventFlags::IN | EventFlags::ET,
        )
        .is_err()
        {
            self.release_header(id);
        }
    }

    /// Handles input on a connection whose header is awaited.
    pub fn header_arrives(&mut self, id: u32) {
        let Some(held) = self.pending.held.get_mut(&id) else {
            return;
        };
        match read_header(&held.connection) {
            Header::Partial => {}
            Header::Client(client) => {
                held.connection.client = Some(client);
                self.release_header(id);
            }
            Header::None => self.release_header(id),
        }
    }

    fn release_header(&mut self, id: u32) {
        let Some(held) = self.pending.held.remove(&id) else {
            return;
        };
        // Fails if it was never registered; otherwise, the registration must not outlive the hand-over to a
        // worker.
        let _unregistered = epoll::delete(&*self.epoll, &held.connection.fd);
        let asks = self
            .listener_options(held.listener)
            .is_some_and(|options| options.asks);
        if asks {
            self.hold_for_choice(held.listener, vec![held.connection]);
        } else {
            self.hand_over(held.listener, vec![held.connection]);
        }
    }

    fn hold_for_choice(&mut self, listener: u32, batch: Vec<Connection>) {
        let is_told = |held: &Held| held.listener == listener && held.stage == Stage::Untold;
        let was_empty = !self.pending.held.values().any(is_told);
        let is_any = !batch.is_empty();
        for connection in batch {
            self.hold(listener, connection, Stage::Untold);
        }
        if was_empty && is_any {
            self.tell(Event::Undecided { listener });
        }
    }

    /// The connections for which JavaScript has to choose, each returned once.
    pub fn take_undecided(&mut self, listener: u32) -> Vec<Undecided> {
        let Some(options) = self.listener_options(listener) else {
            return Vec::new();
        };
        let untold = |held: &&mut Held| held.listener == listener && held.stage == Stage::Untold;
        let mut taken = Vec::new();
        for (&id, held) in &mut self.pending.held {
            if untold(&held) {
                held.stage = Stage::Told;
                Self::find_client(options, &mut held.connection);
                taken.push(Undecided {
                    id,
                    client: held.connection.client,
                });
            }
        }
        taken
    }

    /// Applies JavaScript's choice for a connection: a worker's token, or 0 to leave it to the policy. Has no
    /// effect for a connection whose time limit has passed.
    pub fn decide(&mut self, id: u32, token: u32) {
        let Some(held) = self.pending.held.remove(&id) else {
            return;
        };
        let Held {
            listener, connection, ..
        } = held;
        let now_ns = monotonic_ns();
        let back = if self.takes(listener, token) {
            self.send(token, listener, now_ns, vec![connection])
        } else {
            vec![connection]
        };
        if back.is_empty() {
            self.stats.handed_over += 1;
        }
        self.hand_over(listener, back);
    }

    /// Hands over connections that have waited too long. Returns for how much longer the oldest one may wait,
    /// if there is one.
    pub fn tend_pending(&mut self, now_ns: u64, limit_ns: u64) -> Option<u64> {
        loop {
            let (&id, held) = self.pending.held.first_key_value()?;
            let waited_ns = now_ns.saturating_sub(held.since_ns);
            if waited_ns < limit_ns {
                return Some(limit_ns - waited_ns);
            }
            match held.stage {
                Stage::Header => self.release_header(id),
                Stage::Untold | Stage::Told => self.decide(id, 0),
            }
        }
    }

    /// Closes the connections held for a closed listener. Returns their number.
    pub fn drop_pending(&mut self, listener: u32) -> usize {
        let before = self.pending.held.len();
        self.pending.held.retain(|_, held| held.listener != listener);
        before - self.pending.held.len()
    }
}

enum Header {
    /// The client's address in the header.
    Client(SocketAddr),
    /// The header is incomplete.
    Partial,
    /// There is no header, or it has no address.
    None,
}

/// Peeks at the first bytes of a connection, which stay readable for the application.
fn read_header(connection: &Connection) -> Header {
    let mut bytes = [0u8; HEADER_BYTES];
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    match rustix::net::recv(connection.fd.as_fd(), &mut bytes, flags) {
        Ok((length, _)) if length > 0 => parse_header(&bytes[..length.min(HEADER_BYTES)]),
        Err(rustix::io::Errno::AGAIN) => Header::Partial,
        _ => Header::None,
    }
}

fn parse_header(bytes: &[u8]) -> Header {
    let mut without_fields = [0; HEADER_BYTES];
    let result = HeaderResult::parse(leave_out_fields(bytes, &mut without_fields));
    // The parser takes some beginnings of version 1 for wrong, and some wrong lines for beginnings.
    let is_partial = if bytes.starts_with(V1_START) {
        bytes.len() < V1_BYTES && !bytes.windows(2).any(|pair| pair == b"\r\n")
    } else {
        result.is_incomplete() && bytes.len() < HEADER_BYTES
    };
    if is_partial {
        return Header::Partial;
    }
    let client = match result {
        HeaderResult::V1(Ok(header)) => match header.addresses {
            v1::Addresses::Tcp4(four) => Some(SocketAddr::from((four.source_address, four.source_port))),
            v1::Addresses::Tcp6(six) => Some(SocketAddr::from((six.source_address, six.source_port))),
            v1::Addresses::Unknown => None,
        },
        // The proxy's own connection, for example to check the server's health.
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => None,
        HeaderResult::V2(Ok(header)) => match header.addresses {
            v2::Addresses::IPv4(four) => Some(SocketAddr::from((four.source_address, four.source_port))),
            v2::Addresses::IPv6(six) => Some(SocketAddr::from((six.source_address, six.source_port))),
            _ => None,
        },
        _ => None,
    };
    client.map_or(Header::None, Header::Client)
}

/// Returns a header of version 2 as if it ended with the addresses, in `buffer`, and anything else unchanged.
fn leave_out_fields<'a>(bytes: &'a [u8], buffer: &'a mut [u8; HEADER_BYTES]) -> &'a [u8] {
    if !bytes.starts_with(v2::PROTOCOL_PREFIX) || bytes.len() < V2_FIXED_BYTES || bytes.len() > HEADER_BYTES {
        return bytes;
    }
    let of_addresses: u16 = match bytes[13] >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    };
    let declared = u16::from_be_bytes([bytes[14], bytes[15]]);
    let copy = &mut buffer[..bytes.len()];
    copy.copy_from_slice(bytes);
    copy[14..16].copy_from_slice(&declared.min(of_addresses).to_be_bytes());
    copy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(bytes: &[u8]) -> Option<String> {
        match parse_header(bytes) {
            Header::Client(address) => Some(address.to_string()),
            Header::Partial => Some("partial".into()),
            Header::None => None,
        }
    }

    #[test]
    fn understands_both_versions_and_waits_for_the_rest() {
        let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 4000 80\r\nGET / HTTP/1.1\r\n";
        assert_eq!(client(v1).unwrap(), "192.0.2.1:4000");
        assert_eq!(client(&v1[..20]).unwrap(), "partial");
        assert_eq!(client(b"PROXY UNKNOWN\r\n"), None);
        let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
        v2.extend([192, 0, 2, 9, 192, 0, 2, 2, 0x0f, 0xa0, 0, 80]);
        assert_eq!(client(&v2).unwrap(), "192.0.2.9:4000");
        assert_eq!(client(&v2[..14]).unwrap(), "partial");
        for (header, length) in [(&v1[..], 40), (&v2[..], v2.len())] {
            for end in 1..length {
                assert_eq!(
                    client(&header[..end]).as_deref(),
                    Some("partial"),
                    "of {end} bytes"
                );
            }
        }
        // Command LOCAL: the addresses, if there are any, are to be ignored.
        v2[12] = 0x20;
        assert_eq!(client(&v2), None);
    }

    #[test]
    fn fields_after_the_addresses_are_not_waited_for() {
        let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec();
        header.extend([192, 0, 2, 9, 192, 0, 2, 2, 0x0f, 0xa0, 0, 80]);
        let addresses = header.len();
        header.resize(HEADER_BYTES, 4);
        for end in 1..=HEADER_BYTES {
            let expected = if end < addresses {
                "partial"
            } else {
                "192.0.2.9:4000"
            };
            assert_eq!(
                client(&header[..end]).as_deref(),
                Some(expected),
                "of {end} bytes"
            );
        }
        // A Unix socket's addresses are of no use, but have to be there.
        header[13] = 0x31;
        assert_eq!(client(&header[..HEADER_BYTES - 1]).as_deref(), Some("partial"));
        assert_eq!(client(&header), None);
        // Fewer bytes than the addresses take.
        header[13..16].copy_from_slice(&[0x11, 0, 11]);
        assert_eq!(client(&header), None);
    }

    #[test]
    fn what_is_no_header_is_none() {
        assert_eq!(client(b"GET / HTTP/1.1\r\n"), None);
        assert_eq!(client(&[0xff; HEADER_BYTES]), None);
        assert_eq!(client(b"PROXY nonsense all the way\r\n"), None);
        assert_eq!(client(b"PROXY TCP4 192.0.2.1\r\n"), None);
    }
}
