//! Histograms of high dynamic range: counts per bucket, the width of which grows with the value so that each value keeps a
//! number of significant digits. The buckets are those of HdrHistogram.

pub mod local;
pub mod scale;
#[cfg(not(loom))]
pub mod shared;
