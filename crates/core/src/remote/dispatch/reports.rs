//! Reports of workers and their effects.

use super::{Place, State};
use crate::queue::{Entry, Kind, ENTRY_BYTES};
use crate::remote::frame::{up, Header};
use crate::remote::station::Station;
use crate::sys::clock::monotonic_ns;

/// Limit on invalid frames read from a worker at a time, so that one that keeps writing them does not hold up
/// others.
const MOST_MEANINGLESS: u32 = 1024;

impl State {
    /// Copies reports: those of workers first, then the caller's own, which may announce the end of a worker.
    pub(super) fn take(&mut self, target: &mut [u8]) -> Result<usize, usize> {
        let mut filled = 0;
        let mut needed = 0;
        for worker in 0..self.stations.len() as u32 {
            needed = self.take_from(worker, target, &mut filled);
            if needed > 0 {
                break;
            }
        }
        self.pump();
        if needed == 0 {
            while let Some(room) = target.get_mut(filled..filled + ENTRY_BYTES) {
                let Some(entry) = self.reports.pop_front() else {
                    break;
                };
                room.copy_from_slice(&entry.header(ENTRY_BYTES as u32, 0));
                filled += ENTRY_BYTES;
            }
        }
        match (filled, needed) {
            (0, 1..) => Err(needed),
            (filled, _) => Ok(filled),
        }
    }

    /// Copies a worker's reports. Returns the size of one that does not fit, otherwise 0.
    fn take_from(&mut self, worker: u32, target: &mut [u8], filled: &mut usize) -> usize {
        let mut meaningless = 0;
        loop {
            let Some(station) = self.station(worker).filter(|station| !station.is_corrupt) else {
                return 0;
            };
            if meaningless == MOST_MEANINGLESS {
                station.inlet.release();
                return 0;
            }
            let Ok(next) = station.inlet.next() else {
                station.is_corrupt = true;
                self.report(Kind::Corrupt, 0, worker);
                return 0;
            };
            let Some(header) = next else {
                station.inlet.release();
                return 0;
            };
            let len = ENTRY_BYTES + header.body;
            let Some(room) = target.get_mut(*filled..*filled + len) else {
                return len;
            };
            let (entry, body) = room.split_at_mut(ENTRY_BYTES);
            station.inlet.take(body);
            if let Some(report) = self.on_frame(worker, &header) {
                entry.copy_from_slice(&report.header(len as u32, 0));
                *filled += len;
            } else {
                meaningless += 1;
            }
        }
    }

    /// The report for the caller in a worker's frame, if any. Frames about tasks that the worker does not
    /// have are ignored.
    fn on_frame(&mut self, worker: u32, header: &Header) -> Option<Entry> {
        if header.kind == up::RETIRING {
            self.let_go(worker);
            self.on_room(worker);
            return None;
        }
        let kind = header.report()?;
        let mut entry = Entry {
            kind,
            slot: header.slot,
            worker,
            wait_us: 0.0,
            run_us: 0.0,
        };
        match kind {
            Kind::Ready => self.station(worker)?.has_started = true,
            Kind::Fault => {}
            Kind::Event | Kind::ParcelEvent => {
                let place = self.place(header.slot);
                matches!(place, Place::Held { worker: holder, .. } if holder == worker).then_some(())?;
            }
            kind if kind.is_final() => (entry.wait_us, entry.run_us) = self.on_completed(worker, header)?,
            _ => return None,
        }
        Some(entry)
    }

    fn on_completed(&mut self, worker: u32, header: &Header) -> Option<(f64, f64)> {
        let (began_ns, ended_ns) = header.times();
        let now_ns = self.not_before(ended_ns);
        let station = self.station(worker)?;
        if station.held(header.cell)?.item.task.slot != header.slot {
            return None;
        }
        let held = station.finish(header.cell)?;
        let us = |from: u64, to: u64| to.saturating_sub(from) as f64 / 1000.0;
        // Clamped: no time before the task was assigned and none in the future is accepted from the worker.
        let began_ns = began_ns.clamp(held.offered_ns.min(now_ns), now_ns);
        let wait_us = us(held.item.task.created_ns, began_ns);
        let run_us = us(began_ns, ended_ns.min(now_ns));
        station.observe(run_us);
        self.set_place(header.slot, Place::Nowhere);
        self.waits.record(wait_us as u64);
        self.runs.record(run_us as u64);
        self.on_room(worker);
        Some((wait_us, run_us))
    }

    /// The time of the last look at the clock, which is looked at again if a worker claims a later one.
    fn not_before(&mut self, told_ns: u64) -> u64 {
        if told_ns > self.clock_ns {
            self.clock_ns = monotonic_ns();
        }
        self.clock_ns
    }

    /// Called when a worker has one task fewer; reports its retirement if that was the last one.
    pub(super) fn on_room(&mut self, worker: u32) {
        let limit = self.limits.tasks;
        let is_over = self.station(worker).is_some_and(|station| {
            let is_spent = limit != 0 && station.taken >= limit;
            station.outstanding() == 0 && (station.is_retired || is_spent)
        });
        if is_over {
            self.report(Kind::Retired, 0, worker);
        }
    }

    /// Checks for processes that have ended, in case nobody reports it.
    pub(super) fn look_for_ended(&mut self) {
        for worker in 0..self.stations.len() as u32 {
            let Some(station) = self.station(worker) else {
                continue;
            };
            if !station.is_over && station.has_ended() {
                station.is_over = true;
                self.report(Kind::Ended, 0, worker);
            }
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        let has_come = |station: &Station| !station.is_corrupt && station.inlet.is_pending();
        !self.reports.is_empty() || self.stations.iter().flatten().any(has_come)
    }
}
