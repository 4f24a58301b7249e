//! The program's subcommands, one file each. Each turns its arguments into an exit status or an error of one line.

pub mod calibrate;
pub mod disturb;
pub mod emulate;
pub mod gostd;
pub mod layouts;
pub mod matrix;
pub mod policy;
pub mod qualify;
pub mod release_check;
pub mod replay;
pub mod run;
pub mod testbin;
pub mod toolchain;
