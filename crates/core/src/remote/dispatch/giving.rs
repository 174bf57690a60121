//! Assigning tasks to workers, and revoking them.

use super::{Place, State};
use crate::queue::{Kind, Limits, Priority};
use crate::remote::cells::CELLS;
use crate::remote::lots::Item;
use crate::remote::station::Station;

impl State {
    /// Revokes tasks pushed ahead that have a lower priority than a new one, unless a worker has room for it.
    pub(super) fn recall_below(&mut self, priority: Priority) {
        let Limits { concurrency, tasks } = self.limits;
        let mut stations = self.stations.iter().flatten();
        if stations.any(|station| station.has_room(concurrency, tasks, false)) {
            return;
        }
        let mut least = Priority::INFINITY;
        let mut recalled = Vec::new();
        for station in self.stations.iter_mut().flatten() {
            for cell in station.latest() {
                let item = station.held(cell).map(|held| &held.item);
                let Some(item) = item.filter(|item| !item.pinned) else {
                    continue;
                };
                if item.priority < priority {
                    recalled.extend(station.revoke(cell));
                } else {
                    least = least.min(item.priority);
                }
            }
        }
        self.least_ahead = least;
        recalled.into_iter().for_each(|item| self.give_back(item));
    }

    /// Assigns tasks to workers as long as there are both.
    pub(super) fn pump(&mut self) {
        for worker in 0..self.stations.len() as u32 {
            self.station(worker).into_iter().for_each(Station::recover);
            self.give_pinned(worker);
        }
        while let Some((worker, is_alone)) = self.next_taker() {
            let lot = if is_alone { &mut self.alone } else { &mut self.any };
            let Some(item) = lot.pop() else {
                break;
            };
            self.give(worker, item);
        }
        self.even_out();
        for station in self.stations.iter_mut().flatten() {
            station.outlet.publish();
        }
    }

    fn give_pinned(&mut self, worker: u32) {
        let Limits { concurrency, tasks } = self.limits;
        while let Some(station) = self.station(worker) {
            let next = station.pinned.front();
            let must_wait = next.is_some_and(|item| item.task.alone) && station.outstanding() > 0;
            if must_wait || !station.has_room(concurrency, tasks, true) {
                return;
            }
            let Some(item) = station.pinned.pop_front() else {
                return;
            };
            self.give(worker, item);
        }
    }

    /// Gives a task to a worker with room for it.
    fn give(&mut self, worker: u32, item: Item) {
        let slot = item.task.slot;
        if self.place(slot) != Place::Queued {
            return self.drop_cancelled(slot);
        }
        let priority = item.priority;
        let Self {
            stations,
            definitions,
            clock_ns,
            ..
        } = self;
        let Some(station) = stations.get_mut(worker as usize).and_then(Option::as_mut) else {
            return self.give_back(item);
        };
        match station.offer(item, *clock_ns, definitions) {
            Ok(cell) => {
                self.least_ahead = self.least_ahead.min(priority);
                self.set_place(slot, Place::Held { worker, cell });
            }
            Err(item) => {
                // Impossible, as room was checked; the worker is cut off so that this is not retried forever.
                station.is_corrupt = true;
                self.report(Kind::Corrupt, 0, worker);
                self.give_back(item);
            }
        }
    }

    /// Whether a task that must run alone is queued, not counting cancelled ones.
    fn has_alone(&mut self) -> bool {
        while let Some(slot) = self.alone.peek().map(|item| item.task.slot) {
            if self.place(slot) == Place::Queued {
                return true;
            }
            self.alone.pop();
            self.drop_cancelled(slot);
        }
        false
    }

    /// The worker that gets the next task, and whether that task must run alone.
    fn next_taker(&mut self) -> Option<(u32, bool)> {
        let has_alone = self.has_alone();
        let has_any = self.any.len() > 0;
        if !has_alone && !has_any {
            return None;
        }
        // Both kinds start in the order of arrival.
        let is_alone = has_alone && !self.any.comes_before(&self.alone);
        let Limits { concurrency, tasks } = self.limits;
        let may_take = |station: &Station| {
            station.has_room(concurrency, tasks, !is_alone) && (!is_alone || station.outstanding() == 0)
        };
        let least = self.stations.iter().enumerate();
        let (worker, _) = least
            .filter_map(|(worker, station)| Some((worker, station.as_ref().filter(|each| may_take(each))?)))
            .min_by_key(|(_, station)| station.outstanding())?;
        Some((worker as u32, is_alone))
    }

    /// Reassigns tasks that busy workers have not begun to idle ones.
    fn even_out(&mut self) {
        let Limits { concurrency, tasks } = self.limits;
        loop {
            let is_idle = |station: &Station| station.has_room(concurrency, tasks, false);
            let idle = self
                .stations
                .iter()
                .position(|station| station.as_ref().is_some_and(is_idle));
            let Some(idle) = idle else {
                return;
            };
            let Some(item) = self.take_back_from_busiest(idle) else {
                return;
            };
            self.set_place(item.task.slot, Place::Queued);
            self.give(idle as u32, item);
        }
    }

    /// Revokes the last task of the worker with the most tasks it has not begun.
    fn take_back_from_busiest(&mut self, idle: usize) -> Option<Item> {
        let most_first = {
            let mut loads: Vec<(usize, usize)> = self
                .stations
                .iter()
                .enumerate()
                .filter(|(worker, _)| *worker != idle)
                .filter_map(|(worker, station)| Some((station.as_ref()?.outstanding(), worker)))
                .filter(|(outstanding, _)| *outstanding > self.limits.concurrency.min(CELLS as u32) as usize)
                .collect();
            loads.sort_unstable_by(|a, b| b.cmp(a));
            loads
        };
        most_first
            .into_iter()
            .find_map(|(_, worker)| self.stations.get_mut(worker)?.as_mut()?.revoke_last())
    }
}
