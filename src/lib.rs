//! The N-API binding of manycore: each function converts its arguments, calls the core once and converts the
//! result.

mod acceptor;
mod call;
mod callback;
pub mod code;
mod error;
mod fast;
pub mod lane;
mod lent_buffers;
pub mod lock;
mod lock_calls;
mod lock_thread;
pub mod loop_watch;
mod pool;
mod pool_caller;
mod pool_payloads;
pub mod pool_worker;
pub mod process_link;
mod receiver;
pub mod shared;
mod uv;

/// The version of the addon, which must equal that of the JavaScript package.
#[napi_derive::napi]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
