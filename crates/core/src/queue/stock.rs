//! Memory for what is too large for the records of tasks and reports.

use std::sync::Arc;

use crate::ring::loans::{Filled, Lender, Loans};
use crate::ring::slab::{Held, Slab};

/// To whom payloads go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Towards {
    /// With a report.
    Caller,
    /// With a task, whichever worker takes it.
    Workers,
}

/// What a queue has of it: memory that its receivers lend, and blocks that serve again and again.
#[derive(Debug, Default)]
pub struct Stock {
    slab: Arc<Slab>,
    to_caller: Arc<Loans>,
    to_workers: Arc<Loans>,
}

/// A payload that belongs to whoever has it.
#[derive(Debug)]
pub enum Payload {
    /// In a block.
    Held(Held),
    /// In memory that one of those lent to whom it goes.
    Lent(Filled),
}

impl Stock {
    /// Any thread: copies a payload. `None` when there is too much waiting, or no memory.
    pub fn hold(&self, payload: &[u8], towards: Towards) -> Option<Payload> {
        if let Some(filled) = self.loans(towards).fill(payload) {
            return Some(Payload::Lent(filled));
        }
        self.slab.hold(payload).map(Payload::Held)
    }

    /// A receiver's side, which lends memory.
    pub fn lender(&self, receiver: Towards) -> Lender {
        Lender::new(Arc::clone(self.loans(receiver)))
    }

    fn loans(&self, towards: Towards) -> &Arc<Loans> {
        match towards {
            Towards::Caller => &self.to_caller,
            Towards::Workers => &self.to_workers,
        }
    }

    /// Bytes in blocks that wait to be taken.
    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.slab.bytes()
    }
}

impl Payload {
    /// Its bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Held(held) => held.bytes().len(),
            Self::Lent(filled) => filled.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies it. False when it has another length, or who lent its memory has that already.
    pub fn copy_to(&self, target: &mut [u8]) -> bool {
        match self {
            Self::Held(held) => {
                let fits = held.bytes().len() == target.len();
                if fits {
                    target.copy_from_slice(held.bytes());
                }
                fits
            }
            Self::Lent(filled) => filled.copy_to(target),
        }
    }

    /// In whose memory it is, if that is lent.
    pub fn lent(&self) -> Option<&Filled> {
        match self {
            Self::Held(_) => None,
            Self::Lent(filled) => Some(filled),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn lent_memory_goes_first_and_only_towards_who_lent_it() {
        let mut memory = vec![0u8; 300];
        let stock = Stock::default();
        let mut lender = stock.lender(Towards::Workers);
        let number = lender.lend_vec(&mut memory);
        let other_way = stock.hold(&[1; 300], Towards::Caller).unwrap();
        let lent = stock.hold(&[2; 300], Towards::Workers).unwrap();
        let held = stock.hold(&[3; 300], Towards::Workers).unwrap();
        assert!(other_way.lent().is_none() && held.lent().is_none());
        let mut copy = [0; 300];
        for (payload, byte) in [(&other_way, 1), (&lent, 2), (&held, 3)] {
            assert_eq!((payload.len(), payload.is_empty()), (300, false));
            assert!(!payload.copy_to(&mut [0; 299]));
            assert!(payload.copy_to(&mut copy));
            assert_eq!(copy, [byte; 300]);
        }
        assert_eq!(lent.lent().and_then(|filled| lender.redeem(filled)), Some(number));
        assert_eq!(memory, [2; 300]);
        assert_eq!(stock.waiting_bytes(), 600);
        drop((other_way, held));
        assert_eq!(stock.waiting_bytes(), 0);
    }
}
