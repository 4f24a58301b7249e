//! Caps on what hostile input may cost. All are far above what a real program needs, and every loop whose length the
//! input controls ends at one of them or at the end of a table that lies in the file.

/// Line tables (by magic number) that are tried. Real programs have one; a tool that carries Go programs inside itself
/// has some more.
pub(super) const LINE_TABLES: usize = 1024;
/// Words that point at a line table and are tried as the start of a `moduledata`.
pub(super) const MODULES: usize = 64;
/// Strings that look like a Go version and are tried as `runtime.buildVersion`.
pub(super) const VERSIONS: usize = 256;
/// Bytes of a version string.
pub(super) const VERSION_LEN: u64 = 128;
/// How many bytes of names may be read, as a multiple of the file's length. Names may share bytes, but not often.
pub(super) const NAME_BYTES_PER_INPUT_BYTE: usize = 4;
/// Places whose code is decoded for the offset of the thread-local g.
pub(super) const TLS_SITES: usize = 1024;
/// Bytes of each function that are searched for a load of g.
pub(super) const TLS_WINDOW: usize = 96;
/// How many bytes all loadable segments may take from the file together, as a multiple of its length. Real segments
/// share no bytes, or a page at their borders.
pub(super) const SEGMENT_BYTES_PER_INPUT_BYTE: u64 = 2;
/// Libraries that a program says it needs. Real programs need some dozens at most.
pub(super) const LIBRARIES: usize = 256;
/// Bytes of a name in one of the ELF file's own tables.
pub(super) const NAME_LEN: usize = 4096;
/// Strings set by the linker's `-X` that are listed.
pub(super) const LINKER_STRINGS: usize = 1024;
/// Structures in each segment that begin as `go:fipsinfo` does and are looked at. Programs have one.
pub(super) const FIPS_INFOS: usize = 64;
/// How many steps of pc-value tables a proof walks, as a multiple of the file's length. Functions may share tables, but
/// not that often.
pub(super) const STEPS_PER_INPUT_BYTE: usize = 2;
/// Functions of one name whose code is decoded. Real programs have two or three: a body and ABI wrappers.
pub(super) const NAMESAKES: usize = 8;
/// Functions whose frames are compared with their stack checks.
pub(super) const FRAMES: usize = 64;
/// Bytes of one of the runtime's functions that are decoded. The longest that are read have 5,000.
pub(super) const RUNTIME_FUNCTION: usize = 1 << 14;
