//! What the bindings of shared objects have in common: an object that can be closed, and how methods report
//! failures.

use std::cell::{Ref, RefCell};

use napi::bindgen_prelude::{Error, Result, Status};

use super::raw::{Call, Value};
use super::segment::{Failure, Number, Scratch};

/// An object that can be closed. Used by a single thread.
pub struct Closable<T>(RefCell<Option<T>>);

impl<T> Closable<T> {
    /// Wraps an open object.
    pub fn new(object: T) -> Self {
        Self(RefCell::new(Some(object)))
    }

    /// Calls `action` with the object, for a method of a class.
    pub fn with<R>(&self, action: impl FnOnce(&T) -> Result<R>) -> Result<R> {
        let closed = || Error::new(Status::Closing, "CLOSED 0 closed");
        let object = self.0.try_borrow().map_err(|_| closed())?;
        action(object.as_ref().ok_or_else(closed)?)
    }

    /// Calls `action` with the object, for a raw method.
    #[inline]
    pub fn try_with<R>(
        &self,
        action: impl FnOnce(&T) -> std::result::Result<R, Failure>,
    ) -> std::result::Result<R, Failure> {
        match self.0.try_borrow() {
            Ok(object) => object.as_ref().ok_or(Failure::Closed).and_then(action),
            Err(_) => Err(Failure::Closed),
        }
    }

    /// The object, unless it is closed.
    #[inline]
    pub fn open(&self) -> Option<Ref<'_, T>> {
        Ref::filter_map(self.0.try_borrow().ok()?, Option::as_ref).ok()
    }

    /// Drops the object.
    pub fn close(&self) {
        if let Ok(mut object) = self.0.try_borrow_mut() {
            *object = None;
        }
    }
}

impl Scratch {
    /// The result of a method: the value, or null with the failure noted.
    #[inline]
    pub fn answer(&self, call: &Call, outcome: std::result::Result<Value, Failure>) -> Value {
        outcome.unwrap_or_else(|failure| self.fail(call, failure))
    }

    /// Notes a failure and returns null.
    #[cold]
    pub fn fail(&self, call: &Call, failure: Failure) -> Value {
        self.note(Number::Failure, f64::from(failure as u8));
        call.null()
    }
}

/// Creates an object with raw methods of `owner`.
macro_rules! methods {
    ($env:expr, $owner:expr, $($method:ty),+ $(,)?) => {{
        let object = Object::new($env)?;
        $($crate::shared::raw::define::<$method>($env.raw(), object.raw(), $owner)?;)+
        Ok(object)
    }};
}
pub(super) use methods;
