//! The single conversion of the core's errors to JavaScript errors.

use std::io;

use napi::bindgen_prelude::{Error, Status};

/// Converts a system error. JavaScript takes `errno` from the first word of the message and creates an error
/// in Node's format.
pub fn to_js(error: io::Error) -> Error {
    let errno = error.raw_os_error().unwrap_or(0);
    Error::new(Status::GenericFailure, format!("{errno} {error}"))
}
