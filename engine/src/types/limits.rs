//! Caps on what hostile descriptors may cost; far above what real ones need.

/// Fields of a structure: `runtime.m` has some eighty.
pub(super) const FIELDS: u64 = 1024;
/// Descriptors of one full name that are tried. Real programs have one of each package-level type; types that are local to
/// functions share names.
pub(super) const SAME_NAME: u32 = 16;
