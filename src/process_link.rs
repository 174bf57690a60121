//! `ProcessLink`: two lanes between a process and a child, for `lib/cluster/`.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use manycore_core::ring::process::{self, Ends, Passed, PASSED};
use manycore_core::sys::peer::{is_hung_up, Process};
use napi::bindgen_prelude::{Error, Result, Status};
use napi_derive::napi;

use crate::lane::{closed, io_error, lane_sizes, LaneReceiver, LaneSender};

/// Two lanes between this process and a child or its parent.
#[napi]
pub struct ProcessLink {
    ends: Option<Ends>,
    /// In the parent, until the child has been spawned.
    passed: Option<Passed>,
}

#[napi]
impl ProcessLink {
    /// Creates both lanes, without stores by default, for a child about to be spawned. Throws when memory or file descriptors run out.
    #[napi(constructor)]
    pub fn new(capacity_bytes: u32, store_bytes: Option<u32>) -> Result<Self> {
        let sizes = lane_sizes(capacity_bytes, store_bytes);
        let (ends, passed) = process::create(sizes).map_err(io_error)?;
        Ok(Self {
            ends: Some(ends),
            passed: Some(passed),
        })
    }

    /// In the child: takes ownership of the inherited descriptors, which start at `first`. Throws, having
    /// closed them, when they are not those of such a link.
    #[napi(factory)]
    pub fn adopt(capacity_bytes: u32, first: i32, store_bytes: Option<u32>) -> Result<Self> {
        let last = first.checked_add(PASSED as i32 - 1).filter(|_| first > 2);
        if last.is_none() {
            return Err(Error::new(Status::InvalidArg, "not descriptors of a link"));
        }
        // SAFETY: `lib/cluster/preload` passes descriptors that the process inherited for this purpose, and
        // uses them once.
        let inherited = std::array::from_fn(|at| unsafe { OwnedFd::from_raw_fd(first + at as i32) });
        let ends = process::adopt(inherited, lane_sizes(capacity_bytes, store_bytes)).map_err(io_error)?;
        Ok(Self {
            ends: Some(ends),
            passed: None,
        })
    }

    /// The descriptors to pass to the child, in order.
    #[napi(getter)]
    pub fn fds(&self) -> Vec<i32> {
        self.passed
            .as_ref()
            .map_or_else(Vec::new, |passed| passed.numbers().to_vec())
    }

    /// Number of descriptors that a child inherits per link.
    #[napi(getter)]
    pub fn passed_count(&self) -> u32 {
        PASSED as u32
    }

    /// Closes this process's copies of the child's descriptors, once the child has been spawned or has failed
    /// to spawn.
    #[napi]
    pub fn passed(&mut self) {
        self.passed = None;
    }

    /// The sending end. To be taken once.
    #[napi]
    pub fn take_sender(&self) -> Result<LaneSender> {
        let ends = self.ends.as_ref().ok_or_else(closed)?;
        Ok(LaneSender::new(ends.sender.clone()))
    }

    /// The receiving end. To be taken once.
    #[napi]
    pub fn take_receiver(&self) -> Result<LaneReceiver> {
        let ends = self.ends.as_ref().ok_or_else(closed)?;
        Ok(LaneReceiver::new(ends.receiver.clone()))
    }

    /// Drops the ends that have not been taken.
    #[napi]
    pub fn close(&mut self) {
        self.ends = None;
        self.passed = None;
    }
}

/// Tells a blocked thread, which gets no events from its event loop, whether the other process is still
/// there.
#[napi]
pub struct PeerWatch {
    process: Option<Process>,
}

#[napi]
impl PeerWatch {
    /// With a process id, also watches that process, if it exists and the system supports it.
    #[napi(constructor)]
    pub fn new(pid: Option<i32>) -> Self {
        Self {
            process: pid.and_then(|pid| Process::open(pid).ok()),
        }
    }

    /// Stops watching the process and closes its descriptor.
    #[napi]
    pub fn close(&mut self) {
        self.process = None;
    }

    /// Whether the process has ended or the other end of the socket `channel` is closed.
    #[napi]
    pub fn is_gone(&self, channel: i32) -> bool {
        if self.process.as_ref().is_some_and(Process::has_ended) {
            return true;
        }
        // SAFETY: `lib/cluster/` passes the descriptor of Node's channel, which is open during this call.
        channel >= 0 && is_hung_up(unsafe { BorrowedFd::borrow_raw(channel) })
    }
}
