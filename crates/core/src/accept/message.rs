//! The messages between the hub and its workers: 16 bytes in native byte order, plus descriptors.

use crate::sys::scm::PAYLOAD_BYTES;

/// The type of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Hub to worker: connections of a listener.
    Connections = 1,
    /// Hub to worker: a ping, answered by taking it.
    Ping = 2,
    /// Worker to hub: ready for the connections of a listener.
    Ready = 3,
    /// Worker to hub: no more connections of a listener.
    Stop = 4,
    /// Worker to hub: connections it does not want.
    Refused = 5,
    /// Hub to worker: a listening socket, from which to accept what is granted.
    Socket = 6,
    /// Hub to worker: accept `count` of the connections waiting on a listener.
    Grant = 7,
    /// Worker to hub: `count` granted connections were not accepted.
    Declined = 8,
}

/// A message without its descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub kind: Kind,
    /// The listener concerned; 0 in a ping.
    pub listener: u32,
    /// Number of workers that have refused these connections so far.
    pub hops: u32,
    /// Number of connections concerned.
    pub count: u32,
}

impl Message {
    /// The bytes to send.
    pub fn encode(self) -> [u8; PAYLOAD_BYTES] {
        let mut bytes = [0; PAYLOAD_BYTES];
        let words = [self.kind as u32, self.listener, self.hops, self.count];
        for (word, value) in bytes.chunks_exact_mut(4).zip(words) {
            word.copy_from_slice(&value.to_ne_bytes());
        }
        bytes
    }

    /// Decodes a message; `None` when it is malformed.
    pub fn decode(bytes: [u8; PAYLOAD_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let kind = match word(0) {
            1 => Kind::Connections,
            2 => Kind::Ping,
            3 => Kind::Ready,
            4 => Kind::Stop,
            5 => Kind::Refused,
            6 => Kind::Socket,
            7 => Kind::Grant,
            8 => Kind::Declined,
            _ => return None,
        };
        Some(Self {
            kind,
            listener: word(4),
            hops: word(8),
            count: word(12),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_what_it_encodes_and_nothing_else() {
        for kind in [
            Kind::Connections,
            Kind::Ping,
            Kind::Ready,
            Kind::Stop,
            Kind::Refused,
            Kind::Socket,
            Kind::Grant,
            Kind::Declined,
        ] {
            let message = Message {
                kind,
                listener: 7,
                hops: u32::MAX,
                count: 3,
            };
            assert_eq!(Message::decode(message.encode()), Some(message));
        }
        assert_eq!(Message::decode([0; PAYLOAD_BYTES]), None);
        assert_eq!(Message::decode([255; PAYLOAD_BYTES]), None);
    }
}
