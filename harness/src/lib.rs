//! Gondwana's proving half.

pub mod build;
pub mod cache;
pub mod calibrate;
pub mod cells;
pub mod cmd;
pub mod disturb;
pub mod events;
pub mod executor;
pub mod generate;
pub mod gostd;
pub mod layouts;
pub mod machine;
pub mod matrix;
pub mod oracle;
pub mod outcome;
pub mod policy;
pub mod qualify;
pub mod release;
pub mod report;
pub mod testbins;
pub mod toolchain;
pub mod verdict;
