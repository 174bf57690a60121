//! `ProcessLink`: two lanes between a process and a child of it, for `lib/cluster/`.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use manycore_core::ring::process::{self, Ends, Passed, PASSED};
use manycore_core::sys::peer::{is_hung_up, Process};
use napi::bindgen_prelude::{Error, Result, Status};
use napi_derive::napi;

use crate::lane::{closed, io_error, LaneReceiver, LaneSender};

/// Two lanes between this process and a child, or its parent.
#[napi]
pub struct ProcessLink {
    ends: Option<Ends>,
    /// In the parent, until the child has been spawned.
    passed: Option<Passed>,
}

#[napi]
impl ProcessLink {
    /// Makes both lanes, for a child that is about to be spawned. Throws without memory or file descriptors.
    #[napi(constructor)]
    pub fn new(capacity_bytes: u32) -> Result<Self> {
        let (ends, passed) = process::create(capacity_bytes as usize).map_err(io_error)?;
        Ok(Self {
            ends: Some(ends),
            passed: Some(passed),
        })
    }

    /// In the child: takes over the inherited descriptors, which start at `first`. Throws when they are not those
    /// of such a link; they are closed then.
    #[napi(factory)]
    pub fn adopt(capacity_bytes: u32, first: i32) -> Result<Self> {
        let last = first.checked_add(PASSED as i32 - 1).filter(|_| first > 2);
        if last.is_none() {
            return Err(Error::new(Status::InvalidArg, "not descriptors of a link"));
        }
        // SAFETY: `lib/cluster/preload` names descriptors that the process inherited for this, and uses them once.
        let inherited = std::array::from_fn(|at| unsafe { OwnedFd::from_raw_fd(first + at as i32) });
        let ends = process::adopt(inherited, capacity_bytes as usize).map_err(io_error)?;
        Ok(Self {
            ends: Some(ends),
            passed: None,
        })
    }

    /// The descriptors to pass to the child, one after the other.
    #[napi(getter)]
    pub fn fds(&self) -> Vec<i32> {
        self.passed
            .as_ref()
            .map_or_else(Vec::new, |passed| passed.numbers().to_vec())
    }

    /// How many descriptors a child inherits for one link.
    #[napi(getter)]
    pub fn passed_count(&self) -> u32 {
        PASSED as u32
    }

    /// The child has been spawned, or will not be: its descriptors are closed here.
    #[napi]
    pub fn passed(&mut self) {
        self.passed = None;
    }

    /// The sending end; once.
    #[napi]
    pub fn take_sender(&self) -> Result<LaneSender> {
        let ends = self.ends.as_ref().ok_or_else(closed)?;
        Ok(LaneSender::new(ends.sender.clone()))
    }

    /// The receiving end; once.
    #[napi]
    pub fn take_receiver(&self) -> Result<LaneReceiver> {
        let ends = self.ends.as_ref().ok_or_else(closed)?;
        Ok(LaneReceiver::new(ends.receiver.clone()))
    }

    /// Lets go of what has not been taken.
    #[napi]
    pub fn close(&mut self) {
        self.ends = None;
        self.passed = None;
    }
}

/// Tells a thread that blocks, and so hears nothing from its event loop, whether the other process is still there.
#[napi]
pub struct PeerWatch {
    process: Option<Process>,
}

#[napi]
impl PeerWatch {
    /// Watches a process by its number as well, if there is one and the system can tell.
    #[napi(constructor)]
    pub fn new(pid: Option<i32>) -> Self {
        Self {
            process: pid.and_then(|pid| Process::open(pid).ok()),
        }
    }

    /// Watches the process no more, and closes what that took.
    #[napi]
    pub fn close(&mut self) {
        self.process = None;
    }

    /// Whether the process has ended, or the other end of the socket `channel` is closed.
    #[napi]
    pub fn is_gone(&self, channel: i32) -> bool {
        if self.process.as_ref().is_some_and(Process::has_ended) {
            return true;
        }
        // SAFETY: `lib/cluster/` passes the descriptor of Node's channel, which is open during this call.
        channel >= 0 && is_hung_up(unsafe { BorrowedFd::borrow_raw(channel) })
    }
}
