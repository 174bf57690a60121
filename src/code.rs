//! Our own JavaScript with V8's code cache, assembled once and shared by all threads of the process. Its
//! format is private to `lib/core/own-code.js`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::bindgen_prelude::{Env, Object, Result};
use napi_derive::napi;

use crate::lane::external_buffer;

/// Keyed by the name of the purpose of the code.
static SHARED: Mutex<BTreeMap<String, Arc<[u8]>>> = Mutex::new(BTreeMap::new());

/// Keeps a copy of `bytes` for the life of the process, unless another thread was first.
#[napi]
pub fn share_code(name: String, bytes: &[u8]) {
    shared().entry(name).or_insert_with(|| Arc::from(bytes));
}

/// The bytes kept under a name, as an ArrayBuffer that must not be written to; null if there are none.
#[napi]
#[allow(
    clippy::needless_pass_by_value,
    reason = "napi converts the argument to a String"
)]
pub fn shared_code(env: &Env, name: String) -> Result<Option<Object<'_>>> {
    let Some(bytes) = shared().get(&name).map(Arc::clone) else {
        return Ok(None);
    };
    let (address, len) = (bytes.as_ptr().cast_mut(), bytes.len());
    external_buffer(env, address, len, Box::new(bytes)).map(Some)
}

fn shared() -> MutexGuard<'static, BTreeMap<String, Arc<[u8]>>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}
