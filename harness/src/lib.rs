//! Gondwana's proving half.

pub mod build;
pub mod cache;
pub mod cmd;
pub mod testbins;
pub mod toolchain;
