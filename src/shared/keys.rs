//! Strings, numbers and bytes from JavaScript, as the core keeps them.
//!
//! A string whose characters all have one byte is kept as such; others keep their code units, lone surrogates and
//! all. A string, a number and bytes are never the same key, whatever they look like.

use manycore_core::table::entry::MAX_KEY_BYTES;

use super::raw::{Call, Value};
use super::segment::{bytes_of, Failure, Number, Scratch};

/// What a key or value is: `lib/shared/map.js` has the same numbers.
pub mod kind {
    /// A record of the codec.
    pub const RECORD: u8 = 0;
    /// One byte a character.
    pub const LATIN1: u8 = 1;
    /// Two bytes a code unit.
    pub const UTF16: u8 = 2;
    /// A double.
    pub const NUMBER: u8 = 3;
    /// Bytes.
    pub const BYTES: u8 = 4;
}

/// Strings have at most this many code units as keys.
const MAX_KEY_UNITS: usize = MAX_KEY_BYTES / 2;

/// A place for the key of the running call.
pub struct KeyBuffer {
    units: Box<[u16; MAX_KEY_UNITS + 2]>,
    words: Box<[u64; MAX_KEY_BYTES / 8]>,
}

/// A key in a [`KeyBuffer`].
#[derive(Clone, Copy)]
pub struct ReadKey<'a> {
    /// See [`kind`].
    pub kind: u8,
    /// How many.
    pub bytes: usize,
    /// The bytes, filled up with zeros.
    pub words: &'a [u64],
}

impl KeyBuffer {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            units: Box::new([0; MAX_KEY_UNITS + 2]),
            words: Box::new([0; MAX_KEY_BYTES / 8]),
        }
    }

    /// Reads an argument.
    #[inline]
    pub fn read(&mut self, call: &Call, index: usize) -> Result<ReadKey<'_>, Failure> {
        if let Some(length) = call.utf16(index, &mut self.units[..]) {
            if length > MAX_KEY_UNITS {
                return Err(Failure::KeyLength);
            }
            return Ok(self.string(length));
        }
        if let Some(number) = call.number(index) {
            // One zero, and one that is not a number, as in a Map.
            let number = if number.is_nan() { f64::NAN } else { number + 0.0 };
            self.words[0] = number.to_bits();
            return Ok(self.key(kind::NUMBER, 8));
        }
        let words = &mut self.words;
        let length = call.bytes(index, |bytes| {
            if bytes.len() <= MAX_KEY_BYTES {
                pack(bytes, words.as_mut_slice());
            }
            bytes.len()
        });
        match length {
            Some(length) if length <= MAX_KEY_BYTES => Ok(self.key(kind::BYTES, length)),
            Some(_) => Err(Failure::KeyLength),
            None => Err(Failure::KeyType),
        }
    }

    fn string(&mut self, length: usize) -> ReadKey<'_> {
        let units = &self.units[..length];
        if is_latin1(units) {
            for (word, units) in self.words.iter_mut().zip(units.chunks(8)) {
                let mut bytes = [0; 8];
                for (byte, unit) in bytes.iter_mut().zip(units) {
                    *byte = *unit as u8;
                }
                *word = u64::from_le_bytes(bytes);
            }
            return self.key(kind::LATIN1, length);
        }
        for (word, units) in self.words.iter_mut().zip(units.chunks(4)) {
            let unit = |index: usize| u64::from(units.get(index).copied().unwrap_or(0));
            *word = unit(0) | unit(1) << 16 | unit(2) << 32 | unit(3) << 48;
        }
        self.key(kind::UTF16, length * 2)
    }

    fn key(&self, kind: u8, bytes: usize) -> ReadKey<'_> {
        ReadKey {
            kind,
            bytes,
            words: &self.words[..bytes.div_ceil(8)],
        }
    }
}

fn pack(bytes: &[u8], words: &mut [u64]) {
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut padded = [0; 8];
        padded[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(padded);
    }
}

/// Without a branch per unit, so that it goes several at a time.
#[inline]
fn is_latin1(units: &[u16]) -> bool {
    units.iter().fold(0, |all, unit| all | unit) < 256
}

/// A place for the text of the running call's value.
#[derive(Default)]
pub struct TextBuffer {
    units: Vec<u16>,
    bytes: Vec<u8>,
}

impl TextBuffer {
    /// Larger ones are let go after use.
    const KEPT: usize = 1 << 20;

    /// Runs `action` on a string argument's kind and bytes. `None` if it is no string.
    #[inline]
    pub fn with<T>(&mut self, call: &Call, index: usize, action: impl FnOnce(u8, &[u8]) -> T) -> Option<T> {
        if self.units.is_empty() {
            self.units = vec![0; 1024];
        }
        let mut length = call.utf16(index, &mut self.units)?;
        if length + 1 >= self.units.len() {
            self.units = vec![0; call.utf16_length(index)? + 2];
            length = call.utf16(index, &mut self.units)?;
        }
        let units = &self.units[..length];
        self.bytes.clear();
        let kind = if is_latin1(units) {
            self.bytes.extend(units.iter().map(|unit| *unit as u8));
            kind::LATIN1
        } else {
            self.bytes
                .extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            kind::UTF16
        };
        let outcome = action(kind, &self.bytes);
        if self.units.len() > Self::KEPT {
            *self = Self::default();
        }
        Some(outcome)
    }
}

/// A value in words as JavaScript gets it: strings and numbers as such, true for a record and false for bytes, which
/// are in the scratch memory, or an ArrayBuffer of what did not fit there, with its kind noted. So is the length.
#[inline]
pub fn js_value(call: &Call, scratch: &Scratch, kind: u8, bytes: usize, words: &[u64], fits: bool) -> Value {
    match kind {
        kind::LATIN1 => call.latin1(bytes_of(words).get(..bytes).unwrap_or(&[])),
        kind::UTF16 => {
            let text = bytes_of(words).get(..bytes).unwrap_or(&[]);
            let pairs = text.as_chunks::<2>().0.iter();
            let units: Vec<u16> = pairs.map(|pair| u16::from_le_bytes(*pair)).collect();
            call.string(&units)
        }
        kind::NUMBER => call.double(f64::from_bits(words.first().copied().unwrap_or(0))),
        _ => {
            scratch.note(Number::Length, bytes as f64);
            if fits {
                return call.boolean(kind == kind::RECORD);
            }
            scratch.note(Number::Kind, f64::from(kind));
            call.array_buffer(bytes_of(words).get(..bytes).unwrap_or(&[]))
        }
    }
}
