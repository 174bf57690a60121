//! The frequent calls of a lock: plain functions that return a status and leave further results in numbers
//! that JavaScript can read.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use manycore_core::lock::host::Host;
use manycore_core::lock::memory::LockMemory;
use manycore_core::lock::{Ask, Granted, Mode, Refusal, Request, RequestId, Standing, Table, Waiting};

use crate::lock_thread::LockThread;
use crate::shared::raw::{Call, Method, Value};

/// The statuses returned. `lib/locks/native.js` has the same numbers.
pub mod status {
    pub const HELD: u32 = 0;
    pub const PENDING: u32 = 1;
    pub const LOST: u32 = 2;
    pub const GONE: u32 = 3;
    pub const UNAVAILABLE: u32 = 4;
    pub const FULL: u32 = 5;
    pub const DEADLOCK: u32 = 6;
    pub const STUCK: u32 = 7;
    pub const CORRUPT: u32 = 8;
}

/// Bits of a request's flags.
mod asked {
    pub const SHARED: u32 = 1;
    pub const BLOCKING: u32 = 2;
    pub const BELL: u32 = 4;
    pub const STEAL: u32 = 8;
}

const OWNER_DIED: u32 = 1;
const LAST: u32 = 2;

/// The results of a call besides its status: slot, serial, fencing token, flags, ticket.
pub type Results = [Cell<f64>; 5];

/// The state behind a lock's calls.
pub struct Owner {
    pub memory: Arc<LockMemory>,
    pub thread: Rc<LockThread>,
    pub results: Results,
}

impl Owner {
    /// Calls `act` with the table and returns its status.
    #[inline]
    fn run(&self, call: &Call, act: impl FnOnce(&Table<'_>, &Host) -> u32) -> Value {
        let status = self
            .memory
            .table()
            .map_or(status::CORRUPT, |table| act(&table, &Host::default()));
        call.double(status.into())
    }

    /// Makes a request and stores the results.
    pub fn request(&self, table: &Table<'_>, ask: &Ask<'_>, host: &Host) -> u32 {
        match table.request(ask, host) {
            Ok(Request { id, ticket, granted }) => {
                self.results[0].set(id.index.into());
                self.results[1].set(id.serial.into());
                self.results[4].set(ticket as f64);
                granted.map_or(status::PENDING, |granted| self.held(granted))
            }
            Err(Refusal::Unavailable) => status::UNAVAILABLE,
            Err(Refusal::Full) => status::FULL,
            Err(Refusal::Deadlock) => status::DEADLOCK,
            Err(_) => status::STUCK,
        }
    }

    /// Decodes the flags of a request.
    pub fn ask<'a>(&self, flags: u32, permits: u32, name: &'a [u8], parent: f64) -> Ask<'a> {
        Ask {
            me: self.thread.me,
            pid: self.thread.pid,
            mode: match flags & asked::SHARED {
                0 => Mode::Exclusive,
                _ => Mode::Shared,
            },
            permits,
            name,
            waiting: match flags & (asked::BLOCKING | asked::BELL) {
                0 => Waiting::Never,
                asked::BLOCKING => Waiting::Blocking,
                _ => Waiting::Bell,
            },
            steal: flags & asked::STEAL != 0,
            parent: parent as u64,
        }
    }

    fn held(&self, granted: Granted) -> u32 {
        self.results[2].set(granted.fence as f64);
        let died = if granted.owner_died { OWNER_DIED } else { 0 };
        let last = if granted.is_last { LAST } else { 0 };
        self.results[3].set((died | last).into());
        status::HELD
    }

    fn standing(&self, standing: Standing) -> u32 {
        match standing {
            Standing::Pending => status::PENDING,
            Standing::Held(granted) => self.held(granted),
            Standing::Lost => status::LOST,
            Standing::Gone => status::GONE,
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.thread.let_go(&self.memory);
    }
}

/// An integer argument; 0 if it is not a number.
fn whole(call: &Call, index: usize) -> u32 {
    call.number(index).unwrap_or(0.0) as u32
}

fn id(call: &Call) -> RequestId {
    RequestId {
        index: whole(call, 0),
        serial: whole(call, 1),
    }
}

macro_rules! methods {
    ($($(#[$doc:meta])* $method:ident $name:literal |$owner:ident, $call:ident| $body:expr;)*) => {$(
        $(#[$doc])*
        pub struct $method;

        impl Method for $method {
            type Owner = Owner;
            const NAME: &'static str = $name;

            #[inline]
            fn call($owner: &Owner, $call: &Call) -> Value {
                $body
            }
        }
    )*};
}

methods! {
    /// Makes a request: flags, permits.
    Enqueue "request" |owner, call| owner.run(call, |table, host| {
        let ask = owner.ask(whole(call, 0), whole(call, 1), b"", 0.0);
        owner.request(table, &ask, host)
    });
    /// Requests a mutex without waiting.
    TryExclusive "tryExclusive" |owner, call| owner.run(call, |table, host| {
        owner.request(table, &owner.ask(0, 1, b"", 0.0), host)
    });
    /// Releases a request: slot, serial.
    Release "release" |owner, call| owner.run(call, |table, host| {
        match table.release(id(call), owner.thread.me, host) {
            Ok(true) => status::HELD,
            Ok(false) => status::GONE,
            Err(_) => status::STUCK,
        }
    });
    /// Releases a lock acquired through the shortcut.
    Leave "leave" |owner, call| owner.run(call, |table, host| {
        match table.leave(owner.thread.me, host) {
            Ok(true) => status::HELD,
            Ok(false) => status::GONE,
            Err(_) => status::STUCK,
        }
    });
    /// The state of a request: slot, serial.
    Look "standing" |owner, call| owner.run(call, |table, _| {
        owner.standing(table.standing(id(call), owner.thread.me))
    });
    /// Blocks while a request is pending: slot, serial, maximum time in milliseconds.
    Wait "wait" |owner, call| owner.run(call, |table, host| {
        let slice = Duration::from_millis(whole(call, 2).into());
        table
            .wait(id(call), owner.thread.me, slice, host)
            .map_or(status::STUCK, |standing| owner.standing(standing))
    });
    /// Cancels a pending request: slot, serial.
    Cancel "cancel" |owner, call| owner.run(call, |table, host| {
        table
            .cancel(id(call), owner.thread.me, host)
            .map_or(status::STUCK, |standing| owner.standing(standing))
    });
    /// An empty call, to measure its overhead.
    Nothing "nothing" |_owner, call| call.double(status::HELD.into());
}
