//! The frames in a pipe: a header of eight words and a body, padded to 8 bytes.

use crate::queue::{Kind, TaskKind};

/// Size of a header in bytes.
pub const HEADER_BYTES: usize = 32;
/// Longest frame, as callers use signed 32-bit lengths.
const MAX_BYTES: u32 = 0x7fff_f000;
/// Longest body.
pub const MAX_BODY_BYTES: usize = MAX_BYTES as usize - HEADER_BYTES;

/// Kinds of frames to a worker that are not a [`TaskKind`].
pub mod down {
    /// A definition that later records refer to.
    pub const DEFINITION: u32 = 100;
    /// The startup message.
    pub const STARTUP: u32 = 101;
}

/// Kinds of frames from a worker that are not a [`Kind`].
pub mod up {
    /// The worker wants to end.
    pub const RETIRING: u32 = 100;
}

/// The header of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Length of the body in bytes; when decoded, including padding.
    pub body: usize,
    /// A [`TaskKind`] or [`Kind`], or a constant from [`down`] or [`up`].
    pub kind: u32,
    /// The caller's number for the task.
    pub slot: u32,
    /// The cell of the task.
    pub cell: u32,
    /// To a worker: handler, number of definitions, whether the task must run alone. From a worker: when the
    /// task was begun and when it ended.
    pub words: [u32; 4],
}

impl Header {
    /// The header of a frame about a task.
    pub fn new(kind: u32, slot: u32, cell: u32) -> Self {
        Self {
            kind,
            slot,
            cell,
            ..Self::default()
        }
    }

    /// Adds times, as returned by [`crate::sys::clock::monotonic_ns`].
    pub fn with_times(mut self, began_ns: u64, ended_ns: u64) -> Self {
        self.words = [
            began_ns as u32,
            (began_ns >> 32) as u32,
            ended_ns as u32,
            (ended_ns >> 32) as u32,
        ];
        self
    }

    /// The times, unvalidated.
    pub fn times(&self) -> (u64, u64) {
        let [began_low, began_high, ended_low, ended_high] = self.words.map(u64::from);
        (began_low | (began_high << 32), ended_low | (ended_high << 32))
    }

    /// The kind of a worker's report, if it is one.
    pub fn report(&self) -> Option<Kind> {
        Kind::from_number(self.kind)
    }

    /// The kind of a task or notice, if it is one.
    pub fn task(&self) -> Option<TaskKind> {
        TaskKind::from_number(self.kind)
    }

    /// The encoded header, and the padding after a body of this length. `None` when the frame would be too
    /// long.
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

    /// Decodes a header from the other side. `None` when its length is invalid.
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
