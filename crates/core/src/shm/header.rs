//! The first page of a segment that holds a shared object: its type, and whether it is ready for use.
//!
//! ```text
//! word  0  magic
//!       1  version       header layout << 32 | object layout; stored last, 0 until then
//!       2  kind          up to eight ASCII letters
//!       3  bytes         size of the whole segment
//!    4, 5  identity      random; detects a reused descriptor number
//!       6  namespace     PID namespace, see `liveness::pid_namespace`
//!       7  created       Unix time in milliseconds
//!    16..  parameters of the object, constant once the version is stored
//! ```
//!
//! The creator initialises everything and stores the version last; an opener loads the version first. Any
//! process that can map the segment can write it, so all values are untrusted.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use super::OpenError;
use crate::liveness::pid_namespace;
use crate::sync::{AtomicU64, Ordering};

/// Size of the header in bytes. With 4 KiB pages, what follows is page-aligned.
pub const HEADER_BYTES: usize = 4096;
/// Word index of the object's parameters.
const PARAMETERS_AT: usize = 16;
/// Number of parameter words.
const PARAMETERS: usize = 64;

const MAGIC: u64 = u64::from_le_bytes(*b"manycore");
/// Incremented when the meaning of the words before `PARAMETERS_AT` changes.
const HEADER_LAYOUT: u32 = 1;

/// The type of a shared object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Up to eight ASCII letters.
    pub name: &'static str,
    /// Layout number, incremented when the meaning of the object's words changes.
    pub layout: u32,
}

impl Kind {
    fn word(self) -> u64 {
        let mut letters = [0; 8];
        for (place, letter) in letters.iter_mut().zip(self.name.bytes()) {
            *place = letter;
        }
        u64::from_le_bytes(letters)
    }

    fn version(self) -> u64 {
        (u64::from(HEADER_LAYOUT) << 32) | u64::from(self.layout)
    }
}

/// A random number.
pub fn random() -> u64 {
    // Its keys are seeded from the system's randomness and differ for each instance.
    RandomState::new().build_hasher().finish()
}

/// The header of a mapped segment.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a>(&'a [AtomicU64]);

impl<'a> Header<'a> {
    /// The header at the start of a segment's words; `None` when there are too few.
    pub fn of(words: &'a [AtomicU64]) -> Option<Self> {
        words.get(..HEADER_BYTES / 8).map(Self)
    }

    /// The object's parameters.
    pub fn parameters(self) -> &'a [AtomicU64] {
        &self.0[PARAMETERS_AT..PARAMETERS_AT + PARAMETERS]
    }

    /// Creator: writes everything but the version. The segment must be zeroed.
    pub fn describe(self, kind: Kind, bytes: u64) {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        let created = since_1970.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        let fields = [
            MAGIC,
            0,
            kind.word(),
            bytes,
            random(),
            random(),
            pid_namespace(),
            created,
        ];
        for (word, value) in self.0.iter().zip(fields) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Creator: marks the object as ready for use.
    pub fn publish(self, kind: Kind) {
        // Release: pairs with the load in `check`.
        self.0[1].store(kind.version(), Ordering::Release);
    }

    /// Opener: checks that this is an initialised object of the given kind and layout, of `bytes` bytes.
    ///
    /// # Errors
    /// Any [`OpenError`] that does not concern the file system.
    pub fn check(self, kind: Kind, bytes: u64) -> Result<(), OpenError> {
        let word = |index: usize| self.0[index].load(Ordering::Relaxed);
        // Acquire: pairs with the store in `publish`; everything else is visible then.
        let version = self.0[1].load(Ordering::Acquire);
        // The creator may store it meanwhile.
        let magic = word(0);
        if magic != MAGIC {
            // A zeroed segment is one whose creator has not begun.
            return Err(match (magic, version) {
                (0, 0) => OpenError::NotInitialised,
                _ => OpenError::Corrupt("it does not begin with the mark of a segment"),
            });
        }
        if version == 0 {
            return Err(OpenError::NotInitialised);
        }
        if version >> 32 != u64::from(HEADER_LAYOUT) {
            return Err(OpenError::OtherVersion(version));
        }
        if word(2) != kind.word() {
            return Err(OpenError::OtherKind(self.kind()));
        }
        if version != kind.version() {
            return Err(OpenError::OtherVersion(version));
        }
        if word(6) != pid_namespace() {
            return Err(OpenError::OtherNamespace);
        }
        if word(3) != bytes {
            return Err(OpenError::Corrupt("its size is not what it says"));
        }
        Ok(())
    }

    /// The kind's name as stored, unvalidated.
    pub fn kind(self) -> String {
        let letters = self.0[2].load(Ordering::Relaxed).to_le_bytes();
        let end = letters.iter().position(|letter| *letter == 0).unwrap_or(8);
        String::from_utf8_lossy(&letters[..end]).into_owned()
    }

    /// The segment's random identity.
    pub fn identity(self) -> u128 {
        let half = |index: usize| u128::from(self.0[index].load(Ordering::Relaxed));
        (half(4) << 64) | half(5)
    }

    /// Unix time of creation in milliseconds.
    pub fn created_ms(self) -> u64 {
        self.0[7].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::testing::assert_documented;

    const KIND: Kind = Kind {
        name: "test",
        layout: 3,
    };

    fn zeroed() -> Vec<AtomicU64> {
        (0..HEADER_BYTES / 8).map(|_| AtomicU64::new(0)).collect()
    }

    fn check(words: &[AtomicU64]) -> Result<(), OpenError> {
        Header::of(words).unwrap().check(KIND, 8192)
    }

    #[test]
    fn what_was_published_may_be_used() {
        let words = zeroed();
        let header = Header::of(&words).unwrap();
        assert!(matches!(check(&words), Err(OpenError::NotInitialised)));
        header.describe(KIND, 8192);
        assert!(matches!(check(&words), Err(OpenError::NotInitialised)));
        header.publish(KIND);
        assert!(check(&words).is_ok());
        assert_eq!(header.kind(), "test");
        assert_ne!(header.identity(), 0);
        assert!(header.created_ms() > 0);
    }

    #[test]
    fn what_is_something_else_is_told_apart() {
        let words = zeroed();
        let header = Header::of(&words).unwrap();
        header.describe(KIND, 8192);
        header.publish(KIND);
        let refused = |index: usize, value: u64| {
            let before = words[index].swap(value, Ordering::Relaxed);
            let error = check(&words).unwrap_err();
            words[index].store(before, Ordering::Relaxed);
            error
        };
        assert!(matches!(refused(0, 1), OpenError::Corrupt(_)));
        assert!(matches!(refused(1, (2 << 32) | 3), OpenError::OtherVersion(_)));
        assert!(matches!(refused(1, (1 << 32) | 4), OpenError::OtherVersion(_)));
        assert!(matches!(refused(2, 7), OpenError::OtherKind(_)));
        assert!(matches!(refused(3, 8193), OpenError::Corrupt(_)));
        assert!(matches!(refused(6, 1), OpenError::OtherNamespace));
        assert!(check(&words).is_ok());
    }

    #[test]
    fn too_little_memory_has_no_header() {
        assert!(Header::of(&zeroed()[1..]).is_none());
    }

    #[test]
    fn the_layout_is_as_documented() {
        let words = zeroed();
        let header = Header::of(&words).unwrap();
        header.describe(KIND, 8192);
        header.publish(KIND);
        header.parameters()[0].store(77, Ordering::Relaxed);
        let place = |value: u64| {
            words
                .iter()
                .position(|word| word.load(Ordering::Relaxed) == value)
                .unwrap()
        };
        let [first, second] = [header.identity() >> 64, header.identity() & u128::from(u64::MAX)];
        assert_eq!(place(first as u64) + 1, place(second as u64));
        assert_documented(
            include_str!("header.rs"),
            &[
                ("magic", place(MAGIC)),
                ("version", place(KIND.version())),
                ("kind", place(KIND.word())),
                ("bytes", place(8192)),
                ("identity", place(second as u64)),
                ("namespace", place(pid_namespace())),
                ("created", place(header.created_ms())),
                ("parameters of the object", place(77)),
            ],
        );
    }
}
