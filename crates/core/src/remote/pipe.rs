//! A stream of frames through a lane's ring. Data that finds the ring full is buffered in the writer's
//! process, and frames longer than the ring pass through it in pieces.
//!
//! Called on the writer's thread and the reader's thread respectively. The reader validates everything the
//! writer's process wrote.

use std::ptr;

use super::frame::{Header, HEADER_BYTES};
use crate::ring::lane::{Memory, Receiver, Sender};
use crate::sync::Ordering;

/// Limit on retries when the reader's position keeps changing without making room.
const MOST_VAIN: usize = 16;

/// The other side wrote invalid positions or lengths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt;

/// The writing end.
pub struct Outlet {
    sender: Sender,
    head: u32,
    published: u32,
    /// The reader's position when last loaded.
    seen_tail: u32,
    /// Bytes waiting for room; those before `spilled` have been moved to the ring.
    spill: Vec<u8>,
    spilled: usize,
}

impl Outlet {
    /// The writing end of an unused lane.
    pub fn new(sender: Sender) -> Self {
        Self {
            sender,
            head: 0,
            published: 0,
            seen_tail: 0,
            spill: Vec::new(),
            spilled: 0,
        }
    }

    /// The lane's memory.
    pub fn memory(&self) -> &std::sync::Arc<Memory> {
        self.sender.memory()
    }

    /// Appends a frame, which the reader sees after [`Outlet::publish`]. Returns false when it is too long.
    pub fn write(&mut self, header: Header, body: &[u8]) -> bool {
        let Some((header, padding)) = header.encode(body.len()) else {
            return false;
        };
        for part in [&header[..], body, &[0; 7][..padding]] {
            self.put(part);
        }
        true
    }

    fn put(&mut self, bytes: &[u8]) {
        let fits = if self.is_spilling() { 0 } else { self.copy(bytes) };
        self.spill.extend_from_slice(&bytes[fits..]);
    }

    /// Copies as many bytes into the ring as fit. Returns their number.
    fn copy(&mut self, bytes: &[u8]) -> usize {
        if self.room() < bytes.len() {
            self.seen_tail = self.tail();
        }
        let len = self.room().min(bytes.len());
        let memory = self.sender.memory();
        let at = memory.ring_offset() + (self.head as usize & (memory.capacity() - 1));
        let target = memory.as_ptr().wrapping_add(at);
        // SAFETY: `at + len` lies within the header, the ring and its mirror, all of which stay mapped as
        // long as `memory` lives; nothing here borrows them, and `bytes` is elsewhere.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), target, len) };
        self.head = self.head.wrapping_add(len as u32);
        len
    }

    fn room(&self) -> usize {
        let used = self.head.wrapping_sub(self.seen_tail) as usize;
        // An impossible reader position counts as no room.
        self.memory().capacity().saturating_sub(used)
    }

    fn tail(&self) -> u32 {
        self.memory().control().tail.0.load(Ordering::Acquire)
    }

    /// Makes the written frames visible to the reader, and wakes it if it sleeps.
    pub fn publish(&mut self) {
        if self.is_spilling() {
            return self.flush();
        }
        self.tell();
    }

    fn tell(&mut self) {
        if self.head == self.published {
            return;
        }
        self.published = self.head;
        let control = self.sender.memory().control();
        control.publish(self.head);
        if control.ring_needed() {
            self.sender.ring();
        }
    }

    /// Moves buffered bytes into the ring as far as there is room. The reader notifies this side when there
    /// is more.
    pub fn flush(&mut self) {
        let mut vain = 0;
        while self.is_spilling() {
            let seen = self.tail();
            let spill = std::mem::take(&mut self.spill);
            let moved = self.copy(&spill[self.spilled..]);
            self.spill = spill;
            self.spilled += moved;
            vain += usize::from(moved == 0);
            self.tell();
            if self.spilled == self.spill.len() {
                self.spilled = 0;
                self.spill = Vec::new();
            } else if self.sender.wait_for_room(seen) || vain > MOST_VAIN {
                return;
            }
        }
        self.tell();
    }

    /// Whether bytes are waiting for room.
    pub fn is_spilling(&self) -> bool {
        !self.spill.is_empty()
    }
}

/// The reading end.
pub struct Inlet {
    receiver: Receiver,
    tail: u32,
    released: u32,
    /// The header of the next frame, once the frame is complete.
    next: Option<Header>,
    /// A frame that is not, or was not, completely in the ring.
    assembly: Vec<u8>,
}

impl Inlet {
    /// The reading end of an unused lane.
    pub fn new(receiver: Receiver) -> Self {
        Self {
            receiver,
            tail: 0,
            released: 0,
            next: None,
            assembly: Vec::new(),
        }
    }

    /// The lane's receiver.
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// Whether there may be something to read.
    pub fn is_pending(&self) -> bool {
        self.next.is_some() || self.head() != self.tail
    }

    fn head(&self) -> u32 {
        // Acquire: pairs with the store in `Control::publish`.
        self.receiver.memory().control().head.0.load(Ordering::Acquire)
    }

    fn available(&self) -> Result<usize, Corrupt> {
        let available = self.head().wrapping_sub(self.tail) as usize;
        (available <= self.receiver.memory().capacity())
            .then_some(available)
            .ok_or(Corrupt)
    }

    /// The header of the next frame, if the frame is complete. Its body is returned by [`Inlet::take`].
    ///
    /// # Errors
    /// When the other side wrote invalid data; nothing more can be read then.
    pub fn next(&mut self) -> Result<Option<Header>, Corrupt> {
        if self.next.is_some() {
            return Ok(self.next);
        }
        if self.assembly.is_empty() {
            let available = self.available()?;
            if available >= HEADER_BYTES {
                let mut bytes = [0; HEADER_BYTES];
                self.peek(0, &mut bytes);
                let header = Header::decode(&bytes).ok_or(Corrupt)?;
                if HEADER_BYTES + header.body <= available {
                    self.advance(HEADER_BYTES);
                    self.next = Some(header);
                    return Ok(self.next);
                }
            }
        }
        self.assemble()
    }

    fn assemble(&mut self) -> Result<Option<Header>, Corrupt> {
        self.append(HEADER_BYTES)?;
        let Some((bytes, _)) = self.assembly.split_first_chunk() else {
            return Ok(None);
        };
        let header = Header::decode(bytes).ok_or(Corrupt)?;
        self.append(HEADER_BYTES + header.body)?;
        if self.assembly.len() == HEADER_BYTES + header.body {
            self.next = Some(header);
        }
        Ok(self.next)
    }

    /// Moves bytes from the ring to `assembly` until that has `up_to` bytes.
    fn append(&mut self, up_to: usize) -> Result<(), Corrupt> {
        let from = self.assembly.len();
        let len = self.available()?.min(up_to.saturating_sub(from));
        if len == 0 {
            return Ok(());
        }
        let mut assembly = std::mem::take(&mut self.assembly);
        assembly.resize(from + len, 0);
        self.peek(0, &mut assembly[from..]);
        self.assembly = assembly;
        self.advance(len);
        // The writer is waiting for this room.
        self.release();
        Ok(())
    }

    /// Copies as much of the current frame's body as fits into `target`, and moves on to the next frame.
    pub fn take(&mut self, target: &mut [u8]) {
        let Some(header) = self.next.take() else {
            return;
        };
        let len = header.body.min(target.len());
        if self.assembly.is_empty() {
            self.peek(0, &mut target[..len]);
            self.advance(header.body);
        } else {
            target[..len].copy_from_slice(&self.assembly[HEADER_BYTES..HEADER_BYTES + len]);
            self.assembly = Vec::new();
        }
    }

    /// Copies bytes that are known to be available, without consuming them.
    fn peek(&self, from: usize, target: &mut [u8]) {
        let memory = self.receiver.memory();
        debug_assert!(from + target.len() <= memory.capacity());
        let at = memory.ring_offset() + ((self.tail as usize + from) & (memory.capacity() - 1));
        let source = memory.as_ptr().wrapping_add(at).cast_const();
        // SAFETY: starts within the ring and is at most as long as the ring, so it lies within the ring and
        // its mirror, which stay mapped as long as `memory` lives; nothing borrows them, and `target` is
        // elsewhere.
        unsafe { ptr::copy_nonoverlapping(source, target.as_mut_ptr(), target.len()) };
    }

    fn advance(&mut self, len: usize) {
        self.tail = self.tail.wrapping_add(len as u32);
        // A store per frame would cost more than it is worth.
        if self.tail.wrapping_sub(self.released) as usize > self.receiver.memory().capacity() / 4 {
            self.release();
        }
    }

    /// Tells the writer what has been read.
    pub fn release(&mut self) {
        if self.released == self.tail {
            return;
        }
        self.released = self.tail;
        let control = self.receiver.memory().control();
        control.tail.0.store(self.tail, Ordering::Release);
        self.receiver.give_room();
    }

    /// Requests wake-ups from the writer. The caller must then issue a sequentially consistent fence and
    /// check for data that has arrived in the meantime.
    pub fn begin_sleep(&self) {
        self.receiver
            .memory()
            .control()
            .sleep
            .0
            .flag
            .swap(crate::ring::control::ASLEEP, Ordering::SeqCst);
    }

    /// Stops requesting wake-ups.
    pub fn transition_to_awake(&self) {
        self.receiver.memory().control().transition_to_awake();
    }

    /// Time of the writer's last wake-up, unvalidated.
    pub fn signalled_at(&self) -> u64 {
        self.receiver
            .memory()
            .control()
            .sleep
            .0
            .signalled_at
            .load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::process::{create_with, Ends};
    use crate::shm::segment::page_size;
    use crate::sys::eventfd::EventFd;

    fn pipe() -> (Outlet, Inlet, Ends, Ends) {
        let page = page_size();
        let (mine, passed) = create_with(page, page, EventFd::new().unwrap()).unwrap();
        let theirs = crate::ring::process::adopt_with(passed.into_fds(), page, page).unwrap();
        let ends = (
            Outlet::new(mine.sender.clone()),
            Inlet::new(theirs.receiver.clone()),
        );
        (ends.0, ends.1, mine, theirs)
    }

    fn body(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i * 7) as u8).collect()
    }

    #[test]
    fn frames_of_all_lengths_come_out_in_order() {
        let (mut outlet, mut inlet, _mine, _theirs) = pipe();
        let lengths: Vec<usize> = (0..400).map(|i| (i * i * 37) % 20_000).collect();
        for (slot, len) in lengths.iter().enumerate() {
            assert!(outlet.write(Header::new(1, slot as u32, 9), &body(*len)));
            outlet.publish();
        }
        for (slot, len) in lengths.iter().enumerate() {
            let header = loop {
                if let Some(header) = inlet.next().unwrap() {
                    break header;
                }
                inlet.release();
                outlet.flush();
            };
            assert_eq!((header.slot, header.body), (slot as u32, len.next_multiple_of(8)));
            let mut target = vec![0; header.body];
            inlet.take(&mut target);
            assert_eq!(target[..*len], body(*len));
        }
        assert_eq!(inlet.next(), Ok(None));
        assert!(!outlet.is_spilling() && !inlet.is_pending());
    }

    #[test]
    fn nothing_is_seen_before_it_is_published() {
        let (mut outlet, mut inlet, ..) = pipe();
        outlet.write(Header::new(1, 0, 0), &[1]);
        assert_eq!(inlet.next(), Ok(None));
        inlet.begin_sleep();
        outlet.publish();
        assert!(inlet.receiver().clear_bell());
        assert!(inlet.next().unwrap().is_some());
        inlet.take(&mut []);
        assert_eq!(inlet.next(), Ok(None));
    }

    #[test]
    fn a_writer_is_told_of_room() {
        let (mut outlet, mut inlet, mine, _theirs) = pipe();
        outlet.write(Header::new(1, 0, 0), &body(page_size()));
        outlet.publish();
        assert!(outlet.is_spilling());
        assert_eq!(inlet.next(), Ok(None));
        assert!(mine.receiver.clear_bell());
        outlet.flush();
        assert!(inlet.next().unwrap().is_some());
    }

    #[test]
    fn positions_and_lengths_that_cannot_be_are_found_out() {
        let (outlet, mut inlet, ..) = pipe();
        outlet
            .memory()
            .control()
            .head
            .0
            .store(u32::MAX, Ordering::Release);
        assert_eq!(inlet.next(), Err(Corrupt));
        let (mut outlet, mut inlet, ..) = pipe();
        outlet.put(&[0xff; HEADER_BYTES]);
        outlet.publish();
        assert_eq!(inlet.next(), Err(Corrupt));
        // A reader that claims to be ahead gets nothing and harms only itself.
        let (mut outlet, _inlet, ..) = pipe();
        outlet.memory().control().tail.0.store(50, Ordering::Release);
        outlet.write(Header::new(1, 0, 0), &body(page_size()));
        outlet.publish();
        outlet.flush();
        assert!(outlet.is_spilling());
    }
}
