//! A lock table in a segment: the only place in this module that accesses raw memory.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use memmap2::MmapRaw;

use super::layout::{self, Header, Kind, Name, Run, Slot, Storage, DONE_RUNS, MAX_SLOTS};
use super::table::Table;
use crate::shm::header;
use crate::shm::object::{ObjectSegment, Plan};
use crate::shm::OpenError;
use crate::sync::Ordering;

const SEGMENT: header::Kind = header::Kind {
    name: "lock",
    layout: layout::VERSION,
};

/// The parameters of a new table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Design {
    /// The kind of lock.
    pub kind: Kind,
    /// Maximum number of simultaneous requests, at most [`MAX_SLOTS`].
    pub slots: usize,
    /// Permits of a semaphore, or parties of a barrier.
    pub limit: u32,
}

/// A segment with a lock table.
#[derive(Debug)]
pub struct LockMemory {
    segment: Arc<ObjectSegment>,
    kind: Kind,
    slots: usize,
}

impl LockMemory {
    /// The table in the segment that `open` opens or creates from the given plan.
    ///
    /// # Errors
    /// Those of `open`; `OtherKind` when the table is of another kind.
    pub fn open(
        design: Design,
        open: impl FnOnce(&Plan) -> Result<Arc<ObjectSegment>, OpenError>,
    ) -> Result<Self, OpenError> {
        Self::over(design.planned(open)?, design.kind)
    }

    /// The handle by which another process can open the table while this one has it open.
    pub fn handle(&self) -> String {
        self.segment.handle()
    }

    /// See [`ObjectSegment::travel_handle`].
    pub fn travel_handle(&self) -> String {
        self.segment.travel_handle()
    }

    /// Maps the header once more, for another user of it.
    ///
    /// # Errors
    /// `Io`.
    pub fn map_header(&self) -> Result<MmapRaw, OpenError> {
        self.segment.map_body(size_of::<Header>())
    }

    fn over(segment: Arc<ObjectSegment>, kind: Kind) -> Result<Self, OpenError> {
        let available = segment.body().len() * 8;
        if available < size_of::<Header>() {
            return Err(OpenError::Corrupt("it is too short for a lock"));
        }
        let found = Self {
            segment,
            kind,
            slots: 0,
        };
        let header = found.header();
        let made_as = Kind::from_word(header.kind.load(Ordering::Relaxed));
        let slots = header.slots.load(Ordering::Relaxed) as usize;
        match made_as {
            Some(made_as) if made_as == kind => {}
            Some(made_as) => return Err(OpenError::OtherKind(format!("{made_as:?}"))),
            None => return Err(OpenError::Corrupt("it is no lock that is known")),
        }
        if slots > MAX_SLOTS || layout::bytes(kind, slots) > available {
            return Err(OpenError::Corrupt("it is too short for its slots"));
        }
        let memory = Self { slots, ..found };
        match memory.table() {
            Some(_) => Ok(memory),
            None => Err(OpenError::Corrupt("it does not begin as a lock")),
        }
    }

    /// The table. `None` when its header has been overwritten.
    pub fn table(&self) -> Option<Table<'_>> {
        let table = Table::new(self.storage()).ok()?;
        (table.kind() == self.kind).then_some(table)
    }

    fn header(&self) -> &Header {
        // SAFETY: the body is longer than a header (checked in `over`), page-aligned and lives as long as
        // `self`; it is only accessed as atomics, for which any bit pattern is valid.
        unsafe { &*self.segment.body_ptr().cast::<Header>() }
    }

    fn storage(&self) -> Storage<'_> {
        let slots_at = size_of::<Header>();
        let names_at = slots_at + self.slots * size_of::<Slot>();
        let named = if self.kind == Kind::Names { self.slots } else { 0 };
        let runs_at = names_at + named * size_of::<Name>();
        let runs = if self.kind == Kind::Names { DONE_RUNS } else { 0 };
        let at = |offset: usize| self.segment.body_ptr().wrapping_add(offset);
        Storage {
            header: self.header(),
            // SAFETY: `over` has checked that all of it lies within the body; the offsets are multiples of
            // the types' alignment; lifetime and validity as in `header`.
            slots: unsafe { std::slice::from_raw_parts(at(slots_at).cast::<Slot>(), self.slots) },
            // SAFETY: as above.
            names: unsafe { std::slice::from_raw_parts(at(names_at).cast::<Name>(), named) },
            // SAFETY: as above.
            runs: unsafe { std::slice::from_raw_parts(at(runs_at).cast::<Run>(), runs) },
        }
    }
}

impl Design {
    fn planned<T>(&self, make: impl FnOnce(&Plan) -> Result<T, OpenError>) -> Result<T, OpenError> {
        let slots = self.slots.clamp(1, MAX_SLOTS);
        let initialise = |segment: &ObjectSegment| {
            let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
            let micros = since_1970.map_or(1, |since| u64::try_from(since.as_micros()).unwrap_or(1));
            // SAFETY: a new segment of at least a header's size, page-aligned and alive during the call.
            let header = unsafe { &*segment.body_ptr().cast::<Header>() };
            header.initialise(self.kind, slots, self.limit, micros);
        };
        make(&Plan {
            kind: SEGMENT,
            body_bytes: layout::bytes(self.kind, slots),
            initialise: &initialise,
        })
    }
}
