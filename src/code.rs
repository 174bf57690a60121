//! Our own JavaScript with V8's code cache, put together by the first worker that needs it and kept for the others
//! of the process. What is in it is for `lib/threads/own-code.js` alone.

use std::sync::{Arc, OnceLock};

use napi::bindgen_prelude::{Env, Object, Result};
use napi_derive::napi;

use crate::lane::external_buffer;

static SHARED: OnceLock<Arc<[u8]>> = OnceLock::new();

/// Keeps a copy of `bytes` for good, unless another thread was first.
#[napi]
pub fn share_code(bytes: &[u8]) {
    let _kept = SHARED.set(Arc::from(bytes));
}

/// What was kept, as an ArrayBuffer that must not be written to; null if nothing.
#[napi]
pub fn shared_code(env: &Env) -> Result<Option<Object<'_>>> {
    let Some(bytes) = SHARED.get() else {
        return Ok(None);
    };
    let bytes = Arc::clone(bytes);
    let (address, len) = (bytes.as_ptr().cast_mut(), bytes.len());
    external_buffer(env, address, len, Box::new(bytes)).map(Some)
}
