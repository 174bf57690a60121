//! What goes through a pipe: frames of a header of eight words and a body, padded to 8 bytes.

use crate::queue::{Kind, TaskKind};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 32;
/// Longest frame: callers count in 32 bits, with a sign.
const MAX_BYTES: u32 = 0x7fff_f000;
/// Longest body.
pub const MAX_BODY_BYTES: usize = MAX_BYTES as usize - HEADER_BYTES;

/// Kinds of frames to a worker that are no [`TaskKind`].
pub mod down {
    /// Something that later records build on.
    pub const DEFINITION: u32 = 100;
    /// What the worker is told first.
    pub const STARTUP: u32 = 101;
}

/// Kinds of frames from a worker that are no [`Kind`].
pub mod up {
    /// The worker wants to end.
    pub const RETIRING: u32 = 100;
}

/// A frame's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Bytes of the body, without padding taken out.
    pub body: usize,
    /// One of [`TaskKind`], [`Kind`], [`down`], [`up`].
    pub kind: u32,
    /// The caller's number for the task.
    pub slot: u32,
    /// Where it lies.
    pub cell: u32,
    /// To a worker: handler, definitions, whether it is to be alone. From one: when the task was begun and ended.
    pub words: [u32; 4],
}

impl Header {
    /// Of a frame about a task.
    pub fn new(kind: u32, slot: u32, cell: u32) -> Self {
        Self {
            kind,
            slot,
            cell,
            ..Self::default()
        }
    }

    /// With times, [`crate::sys::clock::monotonic_ns`].
    pub fn with_times(mut self, began_ns: u64, ended_ns: u64) -> Self {
        self.words = [
            began_ns as u32,
            (began_ns >> 32) as u32,
            ended_ns as u32,
            (ended_ns >> 32) as u32,
        ];
        self
    }

    /// The times, which may be anything.
    pub fn times(&self) -> (u64, u64) {
        let [began_low, began_high, ended_low, ended_high] = self.words.map(u64::from);
        (began_low | (began_high << 32), ended_low | (ended_high << 32))
    }

    /// What a worker reports, if it is that.
    pub fn report(&self) -> Option<Kind> {
        Kind::from_number(self.kind)
    }

    /// What a worker is to do, if it is that.
    pub fn task(&self) -> Option<TaskKind> {
        TaskKind::from_number(self.kind)
    }

    /// Its bytes, and those of padding after a body of this length. `None` for one that is too long.
    pub fn encode(&self, body: usize) -> Option<([u8; HEADER_BYTES], usize)> {
        let padding = body.wrapping_neg() & 7;
        let len = u32::try_from(HEADER_BYTES + body + padding)
            .ok()
            .filter(|len| *len <= MAX_BYTES)?;
        let [a, b, c, d] = self.words;
        let mut bytes = [0; HEADER_BYTES];
        for (target, word) in bytes
            .chunks_exact_mut(4)
            .zip([len, self.kind, self.slot, self.cell, a, b, c, d])
        {
            target.copy_from_slice(&word.to_le_bytes());
        }
        Some((bytes, padding))
    }

    /// From bytes of the other side. `None` when no frame has such a length.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        let [len, kind, slot, cell, words @ ..] = words;
        let is_sound = len as usize >= HEADER_BYTES && len % 8 == 0 && len <= MAX_BYTES;
        is_sound.then(|| Self {
            body: len as usize - HEADER_BYTES,
            kind,
            slot,
            cell,
            words,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_and_bodies_are_padded() {
        let header = Header::new(1, 2, 3).with_times(u64::MAX - 5, 77);
        let (bytes, padding) = header.encode(13).unwrap();
        assert_eq!(padding, 3);
        assert_eq!(Header::decode(&bytes), Some(Header { body: 16, ..header }));
        assert_eq!(header.times(), (u64::MAX - 5, 77));
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        for len in [0, 8, 31, 33, u32::MAX] {
            let mut bytes = [0; HEADER_BYTES];
            bytes[..4].copy_from_slice(&len.to_le_bytes());
            assert_eq!(Header::decode(&bytes), None);
        }
        assert!(Header::default().encode(u32::MAX as usize).is_none());
    }
}
