//! Conversion of strings, numbers and bytes from JavaScript to the core's representation.
//!
//! A string of one-byte characters (Latin-1) is stored as such; any other string is stored as UTF-16 code
//! units, including lone surrogates. A string, a number and bytes are always different keys, whatever their
//! contents.

use manycore_core::table::entry::MAX_KEY_BYTES;

use super::raw::{Call, Value};
use super::segment::{bytes_of, bytes_of_mut, Failure, Number, Scratch};

/// Kinds of keys and values; `lib/shared/map.js` has the same numbers.
pub mod kind {
    /// A record of the codec.
    pub const RECORD: u8 = 0;
    /// A string with one byte per character.
    pub const LATIN1: u8 = 1;
    /// A string with two bytes per code unit.
    pub const UTF16: u8 = 2;
    /// A double.
    pub const NUMBER: u8 = 3;
    /// Bytes.
    pub const BYTES: u8 = 4;
}

/// Maximum number of code units in a key.
const MAX_KEY_UNITS: usize = MAX_KEY_BYTES / 2;
/// Code units per word, the first in the lowest bits.
const UNITS: usize = 4;
const _: () = assert!(cfg!(target_endian = "little"));

/// A buffer for the key of the current call.
pub struct KeyBuffer {
    units: Box<[u64; (MAX_KEY_UNITS + 4) / UNITS]>,
    words: Box<[u64; MAX_KEY_BYTES / 8]>,
}

/// A key in a [`KeyBuffer`].
#[derive(Clone, Copy)]
pub struct ReadKey<'a> {
    /// See [`kind`].
    pub kind: u8,
    /// Length in bytes.
    pub bytes: usize,
    /// The bytes, zero-padded to whole words.
    pub words: &'a [u64],
}

impl KeyBuffer {
    /// Creates an empty buffer.
    pub fn new() -> Self {
        Self {
            units: Box::new([0; (MAX_KEY_UNITS + 4) / UNITS]),
            words: Box::new([0; MAX_KEY_BYTES / 8]),
        }
    }

    /// Reads the key from an argument.
    #[inline]
    pub fn read(&mut self, call: &Call, index: usize) -> Result<ReadKey<'_>, Failure> {
        if let Some(length) = call.utf16(index, units_of(&mut self.units[..])) {
            if length > MAX_KEY_UNITS {
                return Err(Failure::KeyLength);
            }
            return Ok(self.string(length));
        }
        if let Some(number) = call.number(index) {
            // Normalises -0 to 0 and NaN to one value, as keys of a Map.
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

    /// Reads a short key from the scratch memory.
    #[inline]
    pub fn read_short(&mut self, scratch: &Scratch) -> ReadKey<'_> {
        let (words, length) = scratch.short_key();
        self.words[..words.len()].copy_from_slice(&words);
        clear_behind(&mut self.words[..words.len()], length);
        self.key(kind::LATIN1, length)
    }

    #[inline]
    fn string(&mut self, length: usize) -> ReadKey<'_> {
        if narrow(&self.units[..], length, &mut self.words[..]) {
            return self.key(kind::LATIN1, length);
        }
        let words = &mut self.words[..(length * 2).div_ceil(8)];
        words.copy_from_slice(&self.units[..words.len()]);
        clear_behind(words, length * 2);
        self.key(kind::UTF16, length * 2)
    }

    #[inline]
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

/// Narrows code units to one byte each, zero-padding the last word. Returns false if some unit needs two
/// bytes; `words` may then be too short as well. Branch-free per unit, so that the compiler can vectorise it;
/// and `units` is not written, as the processor may still have stores to its end in flight.
#[inline]
fn narrow(units: &[u64], length: usize, words: &mut [u64]) -> bool {
    let whole = length / (2 * UNITS);
    let eights = as_units(units).get(..whole * 2 * UNITS).unwrap_or(&[]);
    let mut seen = u64::from(narrow_eights(eights, bytes_of_mut(words)));
    let (pairs, _) = units.as_chunks::<2>();
    let rest = length % (2 * UNITS);
    if let (Some(word), Some([one, other])) = (words.get_mut(whole), pairs.get(whole)) {
        let one = one & lowest(rest * 16);
        let other = other & lowest((rest * 16).saturating_sub(64));
        seen |= one | other;
        *word = four_bytes(one) | four_bytes(other) << 32;
    }
    seen & 0xff00_ff00_ff00_ff00 == 0
}

/// Narrows code units to their low bytes, eight at a time, as far as there are both. Returns all units ORed.
/// Not inlined, and in this form: the compiler uses vector registers here, and not when it is part of others.
#[inline(never)]
fn narrow_eights(units: &[u16], bytes: &mut [u8]) -> u16 {
    let mut seen = [0; 8];
    let (units, _) = units.as_chunks::<8>();
    let (bytes, _) = bytes.as_chunks_mut::<8>();
    for (bytes, units) in bytes.iter_mut().zip(units) {
        for index in 0..8 {
            seen[index] |= units[index];
        }
        for index in 0..8 {
            bytes[index] = units[index] as u8;
        }
    }
    seen.into_iter().fold(0, |seen, unit| seen | unit)
}

/// The low bytes of four code units.
#[inline]
fn four_bytes(units: u64) -> u64 {
    let units = units & 0x00ff_00ff_00ff_00ff;
    let pairs = (units | units >> 8) & 0x0000_ffff_0000_ffff;
    (pairs | pairs >> 16) & 0xffff_ffff
}

/// A word with the lowest `bits` bits set.
#[inline]
fn lowest(bits: usize) -> u64 {
    if bits < 64 {
        (1 << bits) - 1
    } else {
        u64::MAX
    }
}

/// Zeroes the rest of the last word after `bytes` bytes.
fn clear_behind(words: &mut [u64], bytes: usize) {
    if let Some(last) = words.get_mut(bytes / 8) {
        *last &= lowest(bytes % 8 * 8);
    }
}

/// The code units in a slice of words.
#[inline]
fn units_of(words: &mut [u64]) -> &mut [u16] {
    let units = words.len() * UNITS;
    // SAFETY: the same memory with a smaller alignment; any bits are valid units and any units are valid
    // words.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), units) }
}

/// Like [`units_of`], for reading.
#[inline]
fn as_units(words: &[u64]) -> &[u16] {
    let units = words.len() * UNITS;
    // SAFETY: as in `units_of`.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), units) }
}

/// A buffer for the text of the current call's value.
#[derive(Default)]
pub struct TextBuffer {
    units: Vec<u64>,
    words: Vec<u64>,
}

impl TextBuffer {
    /// Initial capacity in code units.
    const USUAL: usize = 1024;
    /// Buffers with more words are released after use.
    const KEPT: usize = (1 << 20) / UNITS;

    /// Allocates room for `units` code units, the terminating zero, and one more that shows that the string
    /// was not truncated.
    fn make_room(&mut self, units: usize) {
        let words = (units + 2).div_ceil(2 * UNITS) * 2;
        self.units = vec![0; words];
        self.words = vec![0; words / 2];
    }

    /// Calls `action` with kind and bytes of a string argument. `None` if it is not a string.
    #[inline]
    pub fn with<T>(&mut self, call: &Call, index: usize, action: impl FnOnce(u8, &[u8]) -> T) -> Option<T> {
        if self.units.is_empty() {
            self.make_room(Self::USUAL);
        }
        let mut length = call.utf16(index, units_of(&mut self.units))?;
        if length + 1 >= self.units.len() * UNITS {
            self.make_room(call.utf16_length(index)?);
            length = call.utf16(index, units_of(&mut self.units))?;
        }
        let (kind, bytes, words) = if narrow(&self.units, length, &mut self.words) {
            (kind::LATIN1, length, &self.words)
        } else {
            (kind::UTF16, length * 2, &self.units)
        };
        let outcome = action(kind, bytes_of(words).get(..bytes).unwrap_or(&[]));
        if self.units.len() > Self::KEPT {
            *self = Self::default();
        }
        Some(outcome)
    }
}

/// Converts a value for JavaScript. Strings and numbers are returned as such; for a record or bytes in the
/// scratch memory, the result is true or false respectively; if they did not fit there, an ArrayBuffer, with
/// the kind noted. The length is noted as well.
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
