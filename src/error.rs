//! The one map from the core's errors to JavaScript's.

use std::io;

use napi::bindgen_prelude::{Error, Status};

/// An error of the system. JavaScript turns `errno` in its message's first word into Node's own form.
pub fn to_js(error: io::Error) -> Error {
    let errno = error.raw_os_error().unwrap_or(0);
    Error::new(Status::GenericFailure, format!("{errno} {error}"))
}
