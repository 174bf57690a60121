//! The lanes of requests and replies (`lib/link/call-link.js`), and how the two sides find each other.

use manycore_core::ring::meeting::{End, Party, Point};
use napi::bindgen_prelude::Result;
use napi_derive::napi;

use crate::lane::{closed, io_error, next_link, LaneReceiver, LaneSender};

/// A side's place where the two sides of calls find each other. Its thread's end takes it along.
#[napi]
pub struct CallPoint {
    id: u32,
    /// `None` once closed.
    point: Option<Point>,
}

#[napi]
impl CallPoint {
    /// Without an id: the owner, under an id of its own. With one: the owner or the guest of that id.
    #[napi(constructor)]
    pub fn new(id: Option<u32>, is_guest: Option<bool>) -> Self {
        let id = id.unwrap_or_else(next_link);
        let party = if is_guest == Some(true) {
            Party::Guest
        } else {
            Party::Owner
        };
        Self {
            id,
            point: Some(Point::new(id, party)),
        }
    }

    /// What the other side joins by.
    #[napi(getter)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// This side's end; once. Closed already when the other side is gone. Throws without memory or descriptors.
    #[napi]
    pub fn open(&self, capacity_bytes: u32) -> Result<CallEnd> {
        let point = self.point.as_ref().ok_or_else(closed)?;
        let end = point.open(capacity_bytes as usize).map_err(io_error)?;
        Ok(CallEnd { end: Some(end) })
    }

    /// Gives the place up: what the other side was sent and has not come for is let go.
    #[napi]
    pub fn close(&mut self) {
        self.point = None;
    }
}

/// One side's lanes of requests and replies.
#[napi]
pub struct CallEnd {
    /// `None` once closed.
    end: Option<End>,
}

#[napi]
impl CallEnd {
    /// The sending end.
    #[napi]
    pub fn sender(&self) -> Result<LaneSender> {
        Ok(LaneSender::new(self.open()?.sender().clone()))
    }

    /// The receiving end.
    #[napi]
    pub fn receiver(&self) -> Result<LaneReceiver> {
        Ok(LaneReceiver::new(self.open()?.receiver().clone()))
    }

    /// Tells the other side that nobody is here any more.
    #[napi]
    pub fn close(&mut self) {
        self.end = None;
    }

    fn open(&self) -> Result<&End> {
        self.end.as_ref().ok_or_else(closed)
    }
}
