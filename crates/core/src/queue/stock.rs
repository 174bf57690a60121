//! Memory for payloads that are too large for the records of tasks and reports.

use std::sync::Arc;

use crate::ring::loans::{Filled, Lender, Loans};
use crate::ring::slab::{Held, Slab};

/// The direction of payloads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Towards {
    /// With a report, to the caller.
    Caller,
    /// With a task, to whichever worker takes it.
    Workers,
}

/// The payload memory of a queue: buffers lent by the receivers, and reusable blocks.
#[derive(Debug, Default)]
pub struct Stock {
    slab: Arc<Slab>,
    to_caller: Arc<Loans>,
    to_workers: Arc<Loans>,
}

/// A payload owned by its holder.
#[derive(Debug)]
pub enum Payload {
    /// In a block.
    Held(Held),
    /// In a buffer lent by one of the possible receivers.
    Lent(Filled),
}

impl Stock {
    /// Any thread: copies a payload. `None` when too many bytes are queued or the allocation fails.
    pub fn hold(&self, payload: &[u8], towards: Towards) -> Option<Payload> {
        if let Some(filled) = self.loans(towards).fill(payload) {
            return Some(Payload::Lent(filled));
        }
        self.slab.hold(payload).map(Payload::Held)
    }

    /// Creates a lender of buffers for a receiver.
    pub fn lender(&self, receiver: Towards) -> Lender {
        Lender::new(Arc::clone(self.loans(receiver)))
    }

    fn loans(&self, towards: Towards) -> &Arc<Loans> {
        match towards {
            Towards::Caller => &self.to_caller,
            Towards::Workers => &self.to_workers,
        }
    }

    /// Bytes queued in blocks.
    #[cfg(test)]
    pub(super) fn waiting_bytes(&self) -> usize {
        self.slab.bytes()
    }
}

impl Payload {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Held(held) => held.bytes().len(),
            Self::Lent(filled) => filled.len(),
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies the payload to `target`. Returns false when the lengths differ or its lender has redeemed it.
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

    /// The payload in its lent buffer, if it is in one.
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
