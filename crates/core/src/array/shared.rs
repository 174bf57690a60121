//! An array in a segment.

use std::sync::Arc;

use super::numbers::{NumberType, Numbers};
use super::spine::{ArrayError, CONTROL_WORDS};
use super::values::Values;
use crate::shm::header::Kind;
use crate::shm::object::{ObjectSegment, Plan};
use crate::shm::words::Words;
use crate::shm::OpenError;
use crate::sync::Ordering;

/// The segment type of arrays.
pub const KIND: Kind = Kind {
    name: "array",
    layout: 1,
};

/// The type of an array's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// Values of at most this many bytes.
    Value(usize),
    /// Numbers.
    Number(NumberType),
}

impl ElementType {
    fn parameters(self) -> [u64; 2] {
        match self {
            Self::Value(bytes) => [0, bytes as u64],
            Self::Number(NumberType::Int32) => [1, 0],
            Self::Number(NumberType::Uint32) => [2, 0],
            Self::Number(NumberType::Float64) => [3, 0],
            Self::Number(NumberType::Int64) => [4, 0],
            Self::Number(NumberType::Uint64) => [5, 0],
        }
    }

    fn from_parameters([code, bytes]: [u64; 2]) -> Option<Self> {
        Some(match code {
            0 => Self::Value(usize::try_from(bytes).ok()?),
            1 => Self::Number(NumberType::Int32),
            2 => Self::Number(NumberType::Uint32),
            3 => Self::Number(NumberType::Float64),
            4 => Self::Number(NumberType::Int64),
            5 => Self::Number(NumberType::Uint64),
            _ => return None,
        })
    }

    fn words(self) -> usize {
        match self {
            Self::Value(bytes) => Values::element_words(bytes),
            Self::Number(_) => Numbers::ELEMENT_WORDS,
        }
    }
}

/// An open array. May be used from any thread.
#[derive(Clone, Debug)]
pub struct Array {
    segment: Arc<ObjectSegment>,
    capacity: usize,
    of: ElementType,
}

/// The elements, by type.
#[derive(Clone, Copy, Debug)]
pub enum Elements<'a> {
    /// Values.
    Values(Values<'a>),
    /// Numbers and their type.
    Numbers(Numbers<'a>, NumberType),
}

impl Array {
    /// Opens or creates an array with room for `capacity` elements, initially `length` of them, using `open`.
    /// An existing array keeps its own parameters.
    ///
    /// # Errors
    /// Those of `open`; `Corrupt`.
    pub fn open(
        of: ElementType,
        capacity: usize,
        length: usize,
        open: impl FnOnce(&Plan) -> Result<Arc<ObjectSegment>, OpenError>,
    ) -> Result<Self, OpenError> {
        let words = of.words().saturating_mul(capacity).saturating_add(CONTROL_WORDS);
        let segment = open(&Plan {
            kind: KIND,
            body_bytes: words.saturating_mul(8),
            initialise: &|segment| {
                let [code, bytes] = of.parameters();
                segment.set_parameters([code, bytes, capacity as u64]);
                if let Some(word) = segment.body().get(super::spine::LENGTH) {
                    word.store(length.min(capacity) as u64, Ordering::Relaxed);
                }
            },
        })?;
        let corrupt = || OpenError::Corrupt("its parameters cannot be");
        let parameter = |index| segment.parameter(index);
        let of = ElementType::from_parameters([parameter(0), parameter(1)]).ok_or_else(corrupt)?;
        let capacity = usize::try_from(parameter(2)).map_err(|_| corrupt())?;
        let array = Self {
            segment,
            capacity,
            of,
        };
        match array.elements() {
            Ok(_) => Ok(array),
            Err(_) => Err(corrupt()),
        }
    }

    /// The elements.
    ///
    /// # Errors
    /// Never in practice, as `open` has validated the size.
    #[inline]
    pub fn elements(&self) -> Result<Elements<'_>, ArrayError> {
        let words = Words::new(self.segment.body());
        Ok(match self.of {
            ElementType::Value(bytes) => Elements::Values(Values::new(words, self.capacity, bytes)?),
            ElementType::Number(of) => Elements::Numbers(Numbers::new(words, self.capacity, of)?, of),
        })
    }

    /// Number of elements.
    ///
    /// # Errors
    /// `Corrupt`.
    pub fn length(&self) -> Result<usize, ArrayError> {
        match self.elements()? {
            Elements::Values(values) => values.length(),
            Elements::Numbers(numbers, _) => numbers.length(),
        }
    }

    /// Maximum number of elements.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The type of the elements.
    pub fn element_type(&self) -> ElementType {
        self.of
    }

    /// The underlying segment.
    pub fn segment(&self) -> &Arc<ObjectSegment> {
        &self.segment
    }
}
