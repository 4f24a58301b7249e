//! Disturbance: a hooked call, interrupted before every one of its instructions in every way that could harm it.
//!
//! Turns a program and hook patterns into a [`matrix::Matrix`]. Never runs the program natively. The program runs in the
//! [machine](crate::machine); a cell of the matrix is a copy of it that is disturbed before one instruction and runs to its
//! end, which must be that of the undisturbed program without hooks: output, exit status, what the program checks itself
//! (heap and stack), registers at the return, and a stream that fits.
//!
//! | file | job |
//! |---|---|
//! | `kind` | the disturbances, and what proves each |
//! | `board`, `goroutine` | the two places where the program is taken hold of |
//! | `call` | reaching the call, stepping through it |
//! | `cell`, `outcome` | one disturbance, and the answer to it |
//! | `session`, `matrix` | all of them, as a table |
//! | `sample` | what a profile says of the call |
//! | `case` | a diverging cell, kept and replayed |
//! | `full` | the test program's shapes in all versions |

pub mod board;
pub mod call;
pub mod case;
pub mod cell;
pub mod full;
pub mod goroutine;
pub mod kind;
pub mod matrix;
mod outcome;
pub mod sample;
pub mod session;

pub use outcome::Expected;
