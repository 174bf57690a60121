//! Buffers that a receiver lends for incoming payloads. The sender copies a payload straight into a lent
//! buffer, so it is copied once rather than twice.
//!
//! A [`Lender`] belongs to the thread that owns the buffers; everything else may be used from any thread. A
//! buffer is in one of three states: free, holding a payload (with the sender that fills it or the receiver
//! of the payload), or returned to its lender. When a lender is dropped, it takes all its buffers back;
//! payloads in them, complete or still being written, are moved to the heap.

use std::collections::HashMap;
use std::mem;
use std::ptr::{self, NonNull};
use std::sync::{Arc, PoisonError};

use super::cold_copy;
use crate::sync::{Mutex, MutexGuard};

/// The free buffers of all lenders in one direction.
#[derive(Debug, Default)]
pub struct Loans(Mutex<Vec<Arc<Loan>>>);

/// A lent buffer. All access to its memory happens under its lock.
#[derive(Debug)]
pub struct Loan {
    /// Identifies the buffer among those of its lender.
    number: u32,
    len: usize,
    place: Mutex<Place>,
}

/// Where the bytes of a loan are.
#[derive(Debug)]
enum Place {
    /// In the lender's memory; `is_filled` says whether they form a payload.
    Lent { memory: Memory, is_filled: bool },
    /// On the heap, because the lender has been dropped.
    Moved(Vec<u8>),
    /// The buffer is back with its lender.
    Returned,
}

#[derive(Debug)]
struct Memory(NonNull<u8>);

// SAFETY: the memory is plain bytes; its lender does not touch it while it is lent, and all others access it
// under the loan's lock only.
unsafe impl Send for Memory {}

/// A payload in a lent buffer. Dropping it makes the buffer free again.
#[derive(Debug)]
pub struct Filled {
    loan: Arc<Loan>,
    loans: Arc<Loans>,
}

/// The lending side, owned by one thread.
#[derive(Debug)]
pub struct Lender {
    loans: Arc<Loans>,
    /// The buffers currently lent, by number.
    lent: HashMap<u32, Arc<Loan>>,
    last_number: u32,
}

impl Loans {
    /// Copies `payload` into a free buffer of exactly its length. `None` when there is none.
    pub fn fill(self: &Arc<Self>, payload: &[u8]) -> Option<Filled> {
        let loan = {
            let mut free = self.lock();
            // The most recently lent buffer is the most likely to be in cache.
            let at = free.iter().rposition(|loan| loan.len == payload.len())?;
            free.remove(at)
        };
        loan.fill(payload).then(|| Filled {
            loan,
            loans: Arc::clone(self),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Loan>>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loan {
    /// Copies `payload` into the buffer. Returns false when it is back with its lender.
    fn fill(&self, payload: &[u8]) -> bool {
        match &mut *self.lock() {
            Place::Lent { memory, is_filled } => {
                // SAFETY: the buffer has `self.len` bytes, as has the payload, and remains lent while the lock is held.
                // JavaScript holds no reference to it, so the payload cannot overlap it.
                // The buffer comes from the garbage collector, so it is in no cache.
                unsafe { cold_copy::copy(NonNull::from(payload).cast(), memory.0, self.len) };
                *is_filled = true;
            }
            Place::Moved(bytes) => bytes.copy_from_slice(payload),
            Place::Returned => return false,
        }
        true
    }

    /// Copies the payload to `target`. Returns false when the lengths differ, there is no payload, or the
    /// buffer is back with its lender.
    fn copy_to(&self, target: &mut [u8]) -> bool {
        if target.len() != self.len {
            return false;
        }
        match &*self.lock() {
            Place::Lent { memory, is_filled } => {
                if *is_filled {
                    // SAFETY: source and target have `self.len` bytes, the source is initialised and remains
                    // lent while the lock is held, and the target is exclusively borrowed.
                    unsafe { ptr::copy_nonoverlapping(memory.0.as_ptr(), target.as_mut_ptr(), self.len) };
                }
                *is_filled
            }
            Place::Moved(bytes) => {
                target.copy_from_slice(bytes);
                true
            }
            Place::Returned => false,
        }
    }

    /// Moves the bytes to the heap, as the lender is being dropped. If the allocation fails, the payload is
    /// lost.
    fn move_out(&self) {
        let mut place = self.lock();
        let Place::Lent { memory, is_filled } = &*place else {
            return;
        };
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(self.len).is_err() {
            *place = Place::Returned;
            return;
        }
        if *is_filled {
            // SAFETY: the buffer has `self.len` initialised bytes and remains lent while the lock is held.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(memory.0.as_ptr(), self.len) });
        } else {
            bytes.resize(self.len, 0);
        }
        *place = Place::Moved(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Place> {
        // Nothing panics while the lock is held.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filled {
    /// Length of the payload in bytes.
    pub fn len(&self) -> usize {
        self.loan.len
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.loan.len == 0
    }

    /// Copies the payload to `target`. Returns false when the lengths differ or its lender has redeemed it.
    pub fn copy_to(&self, target: &mut [u8]) -> bool {
        self.loan.copy_to(target)
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        let mut free = self.loans.lock();
        if let Place::Lent { is_filled, .. } = &mut *self.loan.lock() {
            *is_filled = false;
            free.push(Arc::clone(&self.loan));
        }
    }
}

impl Lender {
    /// Creates a lender whose buffers are filled through `loans`.
    pub fn new(loans: Arc<Loans>) -> Self {
        Self {
            loans,
            lent: HashMap::new(),
            last_number: 0,
        }
    }

    /// Lends a buffer and returns its number.
    ///
    /// # Safety
    /// `memory` must be valid for reads and writes of `len` bytes, and nobody else may access it until
    /// [`Lender::redeem`] or [`Lender::take_back`] returns its number, or the lender has been dropped.
    pub unsafe fn lend(&mut self, memory: NonNull<u8>, len: usize) -> u32 {
        self.last_number = self.last_number.wrapping_add(1);
        let place = Place::Lent {
            memory: Memory(memory),
            is_filled: false,
        };
        let loan = Arc::new(Loan {
            number: self.last_number,
            len,
            place: Mutex::new(place),
        });
        self.lent.insert(self.last_number, Arc::clone(&loan));
        self.loans.lock().push(loan);
        self.last_number
    }

    /// Takes back the buffer that holds `payload`, with the payload in it, and returns its number. `None`
    /// when it is not this lender's.
    pub fn redeem(&mut self, payload: &Filled) -> Option<u32> {
        let number = self.number_of(&payload.loan)?;
        let loan = self.lent.remove(&number)?;
        *loan.lock() = Place::Returned;
        Some(number)
    }

    /// Takes back all free buffers and returns their numbers.
    pub fn take_back(&mut self) -> Vec<u32> {
        let mut numbers = Vec::new();
        self.loans.lock().retain(|loan| match self.number_of(loan) {
            Some(number) => {
                numbers.push(number);
                false
            }
            None => true,
        });
        for number in &numbers {
            if let Some(loan) = self.lent.remove(number) {
                *loan.lock() = Place::Returned;
            }
        }
        numbers
    }

    fn number_of(&self, loan: &Arc<Loan>) -> Option<u32> {
        let own = self.lent.get(&loan.number)?;
        Arc::ptr_eq(own, loan).then_some(loan.number)
    }
}

#[cfg(all(test, not(loom)))]
impl Lender {
    /// Lends memory owned by a test. The test must declare it before the lender and may read it only once its
    /// number has been returned or the lender has been dropped.
    pub(crate) fn lend_vec(&mut self, memory: &mut Vec<u8>) -> u32 {
        let start = NonNull::new(memory.as_mut_ptr()).unwrap_or(NonNull::dangling());
        // SAFETY: guaranteed by the test, see above.
        unsafe { self.lend(start, memory.len()) }
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        self.take_back();
        let lent = mem::take(&mut self.lent);
        for loan in lent.values() {
            loan.move_out();
        }
        // Buffers that have become free since are removed as well.
        let mut free = self.loans.lock();
        free.retain(|loan| !lent.values().any(|own| Arc::ptr_eq(own, loan)));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::testing::Watchdog;

    fn copy_of(payload: &Filled) -> Option<Vec<u8>> {
        let mut copy = vec![0; payload.len()];
        payload.copy_to(&mut copy).then_some(copy)
    }

    #[test]
    fn a_payload_is_in_the_lenders_memory_once_redeemed() {
        let (mut memory, loans) = (vec![0; 1000], Arc::new(Loans::default()));
        let mut lender = Lender::new(Arc::clone(&loans));
        let number = lender.lend_vec(&mut memory);
        assert!(loans.fill(&[1; 999]).is_none());
        let payload = loans.fill(&[7; 1000]).unwrap();
        assert!(loans.fill(&[8; 1000]).is_none());
        assert_eq!(lender.redeem(&payload), Some(number));
        assert_eq!(lender.redeem(&payload), None);
        assert_eq!(copy_of(&payload), None);
        drop(payload);
        assert!(loans.fill(&[9; 1000]).is_none());
        assert_eq!(memory, [7; 1000]);
    }

    #[test]
    fn others_copy_it_and_then_it_is_free_again() {
        let (mut memory, loans) = (vec![0; 100], Arc::new(Loans::default()));
        let mut lender = Lender::new(Arc::clone(&loans));
        let mut other = Lender::new(Arc::clone(&loans));
        let number = lender.lend_vec(&mut memory);
        for round in 1..4 {
            let payload = loans.fill(&[round; 100]).unwrap();
            assert_eq!(other.redeem(&payload), None);
            assert_eq!(copy_of(&payload), Some(vec![round; 100]));
            assert!(!payload.copy_to(&mut [0; 99]));
        }
        assert!(other.take_back().is_empty());
        assert_eq!(lender.take_back(), [number]);
        assert!(loans.fill(&[9; 100]).is_none());
    }

    #[test]
    fn a_payload_outlives_its_lender() {
        let (mut memory, loans) = (vec![0; 100], Arc::new(Loans::default()));
        let mut lender = Lender::new(Arc::clone(&loans));
        lender.lend_vec(&mut memory);
        let payload = loans.fill(&[5; 100]).unwrap();
        drop(lender);
        drop(memory);
        assert_eq!(copy_of(&payload), Some(vec![5; 100]));
        drop(payload);
        assert!(loans.fill(&[6; 100]).is_none());
    }

    #[test]
    fn a_lender_that_goes_while_others_fill_and_copy_leaves_whole_payloads() {
        let loans = Arc::new(Loans::default());
        let sender = {
            let loans = Arc::clone(&loans);
            std::thread::spawn(move || {
                let watchdog = Watchdog::start();
                let mut seen = 0;
                while seen < 200 {
                    let Some(payload) = loans.fill(&[seen as u8; 4096]) else {
                        watchdog.check("a loan");
                        std::thread::yield_now();
                        continue;
                    };
                    assert_eq!(copy_of(&payload), Some(vec![seen as u8; 4096]));
                    seen += 1;
                }
            })
        };
        while !sender.is_finished() {
            let mut memory = vec![0; 4096];
            let mut lender = Lender::new(Arc::clone(&loans));
            lender.lend_vec(&mut memory);
            std::thread::yield_now();
            drop(lender);
            // Freed here, so that Miri and the sanitizers would notice a later access.
            drop(memory);
        }
        sender.join().unwrap();
    }
}
