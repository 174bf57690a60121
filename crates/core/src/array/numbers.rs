//! Arrays of numbers: an element is one word, whatever its type, and changes by compare-and-swap. So no
//! process can die halfway through a change, and readers wait for nobody.

use super::spine::{ArrayError, Spine};
use crate::crash;
use crate::shm::owner_lock::Host;
use crate::shm::words::{Corrupt, Words};
use crate::sync::{AtomicU64, Ordering};

/// The type of the numbers in an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberType {
    /// Signed 32-bit integers, sign-extended to the word.
    Int32,
    /// Unsigned 32-bit integers.
    Uint32,
    /// The bits of a double.
    Float64,
    /// Signed 64-bit integers.
    Int64,
    /// Unsigned 64-bit integers.
    Uint64,
}

/// A read-modify-write operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Addition. Integers wrap.
    Add,
    /// Subtraction. Integers wrap.
    Subtract,
    /// Bitwise AND. The bitwise operations leave doubles unchanged.
    And,
    /// Bitwise OR.
    Or,
    /// Bitwise XOR.
    Xor,
    /// Replacement by the operand.
    Exchange,
}

impl NumberType {
    /// Applies an operation to a number.
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

    /// Whether two words represent the same number; for doubles, 0 and -0 are the same, and so are all NaNs.
    fn same(self, one: u64, other: u64) -> bool {
        if self != Self::Float64 {
            return one == other;
        }
        let (one, other) = (f64::from_bits(one), f64::from_bits(other));
        one == other || (one.is_nan() && other.is_nan())
    }
}

/// A view of an array's words.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    spine: Spine<'a>,
    of: NumberType,
}

impl<'a> Numbers<'a> {
    /// Size of an element in words.
    pub const ELEMENT_WORDS: usize = 1;

    /// An array with room for `capacity` numbers.
    ///
    /// # Errors
    /// When there are too few words.
    pub fn new(words: Words<'a>, capacity: usize, of: NumberType) -> Result<Self, Corrupt> {
        let spine = Spine::new(words, capacity, Self::ELEMENT_WORDS)?;
        Ok(Self { spine, of })
    }

    /// Number of elements.
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

    /// The number at `index`, if there is one.
    ///
    /// # Errors
    /// `Corrupt`.
    #[inline]
    pub fn get(self, index: usize) -> Result<Option<u64>, ArrayError> {
        Ok(self.word(index)?.map(|word| word.load(Ordering::SeqCst)))
    }

    /// Changes a number and returns the previous one. If the element is popped concurrently, the change
    /// happens before the pop or has no effect.
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
        // The closure always returns a value.
        Ok(changed.unwrap_or_else(|number| number))
    }

    /// Replaces the number at `index` if it is `expected`. Returns the previous number either way.
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

    /// Appends a number and returns the new length.
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

    /// Removes and returns the last number.
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

    /// Removes all numbers.
    ///
    /// # Errors
    /// `Stuck`, `Corrupt`.
    pub fn clear(self, host: &impl Host) -> Result<(), ArrayError> {
        self.spine.locked(host, || Ok(self.spine.set_length(0)?))
    }
}
