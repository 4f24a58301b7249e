//! Caps of this room.

/// Bytes of a jump with a 32-bit displacement: what is written at an entry.
pub const JUMP: usize = 5;

/// Longest window: four bytes of an instruction, then one of the greatest length.
pub const MAX_WINDOW: usize = JUMP - 1 + 15;

/// Largest function whose code is searched for branches back. Generated initialisers and tables of composite literals
/// reach some hundred KiB; what is larger is not worth the time.
pub const MAX_FUNCTION: u32 = 8 << 20;

/// Largest argument area that a frame carries. Every call would copy it twice, and every goroutine that runs the
/// function would need as much more stack: past a page the hook is no longer small beside the function.
pub const MAX_ARGS: u32 = 4096;

/// How many instructions a morestack tail may have before its call: it spills at most 9 + 15 argument registers.
pub const MAX_TAIL: usize = 40;
