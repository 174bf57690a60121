//! Arrays of numbers: an element is one word, whatever its type, and changes by compare-and-swap. Nobody can die
//! within a change, and readers wait for nobody.

use super::spine::{ArrayError, Spine};
use crate::crash;
use crate::shm::owner_lock::Host;
use crate::shm::words::{Corrupt, Words};
use crate::sync::{AtomicU64, Ordering};

/// What the words of an array of numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberType {
    /// 32 bits with a sign, which fill the word.
    Int32,
    /// 32 bits without one.
    Uint32,
    /// A double's bits.
    Float64,
    /// 64 bits with a sign.
    Int64,
    /// 64 bits without one.
    Uint64,
}

/// How a number changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To the sum. Integers wrap.
    Add,
    /// To the difference. Integers wrap.
    Subtract,
    /// To the bits that both have; of a double's, none are changed.
    And,
    /// To the bits that either has.
    Or,
    /// To the bits that one of them has.
    Xor,
    /// To the operand.
    Exchange,
}

impl NumberType {
    /// What the operation makes of a number.
    #[inline]
    pub fn apply(self, operation: Operation, number: u64, operand: u64) -> u64 {
        if operation == Operation::Exchange {
            return operand;
        }
        if self == Self::Float64 {
            let (one, other) = (f64::from_bits(number), f64::from_bits(operand));
            return match operation {
                Operation::Add => (one + other).to_bits(),
                Operation::Subtract => (one - other).to_bits(),
                _ => number,
            };
        }
        let result = match operation {
            Operation::Add => number.wrapping_add(operand),
            Operation::Subtract => number.wrapping_sub(operand),
            Operation::And => number & operand,
            Operation::Or => number | operand,
            Operation::Xor => number ^ operand,
            Operation::Exchange => operand,
        };
        match self {
            Self::Int32 => i64::from(result as i32) as u64,
            Self::Uint32 => u64::from(result as u32),
            _ => result,
        }
    }

    /// Whether two words are the same number: there is one zero, and one that is not a number.
    fn same(self, one: u64, other: u64) -> bool {
        if self != Self::Float64 {
            return one == other;
        }
        let (one, other) = (f64::from_bits(one), f64::from_bits(other));
        one == other || (one.is_nan() && other.is_nan())
    }
}

/// An array over its words.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    spine: Spine<'a>,
    of: NumberType,
}

impl<'a> Numbers<'a> {
    /// Words that an element takes.
    pub const ELEMENT_WORDS: usize = 1;

    /// With room for `capacity` numbers.
    ///
    /// # Errors
    /// When there are too few words.
    pub fn new(words: Words<'a>, capacity: usize, of: NumberType) -> Result<Self, Corrupt> {
        let spine = Spine::new(words, capacity, Self::ELEMENT_WORDS)?;
        Ok(Self { spine, of })
    }

    /// How many there are.
    ///
    /// # Errors
    /// `Corrupt`.
    #[inline]
    pub fn length(self) -> Result<usize, ArrayError> {
        Ok(self.spine.length()?)
    }

    fn word(self, index: usize) -> Result<Option<&'a AtomicU64>, Corrupt> {
        match self.spine.element(index)? {
            Some(at) => self.spine.words.at(at).map(Some),
            None => Ok(None),
        }
    }

    /// The number at an index, if there is one.
    ///
    /// # Errors
    /// `Corrupt`.
    #[inline]
    pub fn get(self, index: usize) -> Result<Option<u64>, ArrayError> {
        Ok(self.word(index)?.map(|word| word.load(Ordering::SeqCst)))
    }

    /// Changes a number, and returns what it was. One that is popped meanwhile is changed before or not at all.
    ///
    /// # Errors
    /// `NoElement`, `Corrupt`.
    #[inline]
    pub fn change(self, index: usize, operation: Operation, operand: u64) -> Result<u64, ArrayError> {
        let word = self.word(index)?.ok_or(ArrayError::NoElement)?;
        crash::point("array.changing");
        let changed = word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |number| {
            Some(self.of.apply(operation, number, operand))
        });
        // It never declines.
        Ok(changed.unwrap_or_else(|number| number))
    }

    /// Puts a number in the place of the one expected, and returns what was there.
    ///
    /// # Errors
    /// `NoElement`, `Corrupt`.
    pub fn compare_exchange(self, index: usize, expected: u64, number: u64) -> Result<u64, ArrayError> {
        let word = self.word(index)?.ok_or(ArrayError::NoElement)?;
        crash::point("array.changing");
        let changed = word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |found| {
            self.of.same(found, expected).then_some(number)
        });
        Ok(changed.unwrap_or_else(|found| found))
    }

    /// Puts a number behind the others, and returns how many there are then.
    ///
    /// # Errors
    /// `Full`, `Stuck`, `Corrupt`.
    pub fn push(self, host: &impl Host, number: u64) -> Result<usize, ArrayError> {
        self.spine.locked(host, || {
            let length = self.spine.length()?;
            if length >= self.spine.capacity {
                return Err(ArrayError::Full);
            }
            self.spine.words.store(self.spine.place(length), number)?;
            self.spine.set_length(length + 1)?;
            Ok(length + 1)
        })
    }

    /// Takes the last one away.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn pop(self, host: &impl Host) -> Result<Option<u64>, ArrayError> {
        self.spine.locked(host, || {
            let Some(last) = self.spine.length()?.checked_sub(1) else {
                return Ok(None);
            };
            let number = self
                .spine
                .words
                .at(self.spine.place(last))?
                .load(Ordering::SeqCst);
            self.spine.set_length(last)?;
            Ok(Some(number))
        })
    }

    /// Takes all of them away.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn clear(self, host: &impl Host) -> Result<(), ArrayError> {
        self.spine.locked(host, || Ok(self.spine.set_length(0)?))
    }
}
