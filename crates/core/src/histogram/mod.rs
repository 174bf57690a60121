//! High dynamic range histograms: counts per bucket, where the width of buckets grows with the value so that
//! each value keeps a fixed number of significant digits. The bucket boundaries are those of HdrHistogram.

pub mod local;
pub mod scale;
#[cfg(not(loom))]
pub mod shared;
