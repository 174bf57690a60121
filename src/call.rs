//! The lanes for requests and replies (`lib/link/call-link.js`), and how their two sides find each other.

use manycore_core::ring::meeting::{End, Party, Point};
use napi::bindgen_prelude::Result;
use napi_derive::napi;

use crate::lane::{closed, io_error, lane_sizes, next_link, LaneReceiver, LaneSender};

/// One side's place in a meeting. It is given up when its thread ends.
#[napi]
pub struct CallPoint {
    id: u32,
    /// `None` once closed.
    point: Option<Point>,
}

#[napi]
impl CallPoint {
    /// Without an id, creates the owner's place under a new id. With one, takes the owner's or the guest's
    /// place under that id.
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

    /// The id by which the other side joins.
    #[napi(getter)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Takes this side's end, once. It is already closed if the other side is gone. The side that opens first
    /// decides on the sizes: of the rings, and of the stores, none by default. Throws when memory or descriptors
    /// run out.
    #[napi]
    pub fn open(&self, capacity_bytes: u32, store_bytes: Option<u32>) -> Result<CallEnd> {
        let point = self.point.as_ref().ok_or_else(closed)?;
        let end = point
            .open(lane_sizes(capacity_bytes, store_bytes))
            .map_err(io_error)?;
        Ok(CallEnd { end: Some(end) })
    }

    /// Gives up the place; what was sent to the other side and not picked up is dropped.
    #[napi]
    pub fn close(&mut self) {
        self.point = None;
    }
}

/// One side's lanes for requests and replies.
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

    /// Closes this end and tells the other side.
    #[napi]
    pub fn close(&mut self) {
        self.end = None;
    }

    fn open(&self) -> Result<&End> {
        self.end.as_ref().ok_or_else(closed)
    }
}
