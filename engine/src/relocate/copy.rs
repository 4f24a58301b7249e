//! Instructions that mean the same everywhere.

use super::Source;

pub(super) fn emit(source: &Source<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(source.bytes);
}
