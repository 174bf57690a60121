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
/// Code units in a word, the first in its lowest bits.
const UNITS: usize = 4;
const _: () = assert!(cfg!(target_endian = "little"));

/// A place for the key of the running call.
pub struct KeyBuffer {
    units: Box<[u64; (MAX_KEY_UNITS + 4) / UNITS]>,
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
            units: Box::new([0; (MAX_KEY_UNITS + 4) / UNITS]),
            words: Box::new([0; MAX_KEY_BYTES / 8]),
        }
    }

    /// Reads an argument.
    #[inline]
    pub fn read(&mut self, call: &Call, index: usize) -> Result<ReadKey<'_>, Failure> {
        if let Some(length) = call.utf16(index, units_of(&mut self.units[..])) {
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

/// Writes code units as one byte each, the last word filled up with zeros. False if some need two, for which `words` may
/// have no room either. Without a branch per unit, so that the compiler has several go at a time; and nothing is written
/// to `units`, of which the processor may still be storing the end.
#[inline]
fn narrow(units: &[u64], length: usize, words: &mut [u64]) -> bool {
    let mut seen = 0;
    let (pairs, _) = units.as_chunks::<2>();
    let whole = length / (2 * UNITS);
    for (word, [one, other]) in words.iter_mut().zip(pairs).take(whole) {
        seen |= one | other;
        *word = four_bytes(*one) | four_bytes(*other) << 32;
    }
    let rest = length % (2 * UNITS);
    if let (Some(word), Some([one, other])) = (words.get_mut(whole), pairs.get(whole)) {
        let one = one & lowest(rest * 16);
        let other = other & lowest((rest * 16).saturating_sub(64));
        seen |= one | other;
        *word = four_bytes(one) | four_bytes(other) << 32;
    }
    seen & 0xff00_ff00_ff00_ff00 == 0
}

/// The lower halves of four code units, in as many bytes.
#[inline]
fn four_bytes(units: u64) -> u64 {
    let units = units & 0x00ff_00ff_00ff_00ff;
    let pairs = (units | units >> 8) & 0x0000_ffff_0000_ffff;
    (pairs | pairs >> 16) & 0xffff_ffff
}

/// So many ones.
#[inline]
fn lowest(bits: usize) -> u64 {
    if bits < 64 {
        (1 << bits) - 1
    } else {
        u64::MAX
    }
}

/// Of so many bytes in words, fills the last word up with zeros.
fn clear_behind(words: &mut [u64], bytes: usize) {
    if let Some(last) = words.get_mut(bytes / 8) {
        *last &= lowest(bytes % 8 * 8);
    }
}

/// Words as the code units in them.
#[inline]
fn units_of(words: &mut [u64]) -> &mut [u16] {
    let units = words.len() * UNITS;
    // SAFETY: the same memory, of a lesser alignment; any bits are units, and any units are words.
    unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), units) }
}

/// A place for the text of the running call's value.
#[derive(Default)]
pub struct TextBuffer {
    units: Vec<u64>,
    words: Vec<u64>,
}

impl TextBuffer {
    /// Code units that there is room for at first.
    const USUAL: usize = 1024;
    /// Words of larger ones are let go after use.
    const KEPT: usize = (1 << 20) / UNITS;

    /// Room for this many units, a zero, and one more which tells that there were no more.
    fn make_room(&mut self, units: usize) {
        let words = (units + 2).div_ceil(2 * UNITS) * 2;
        self.units = vec![0; words];
        self.words = vec![0; words / 2];
    }

    /// Runs `action` on a string argument's kind and bytes. `None` if it is no string.
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
