//! The oracle of [`super::Types`]: on any bytes, what it answers fits together. Used by ordinary tests, the fuzz target and
//! whoever replays one of its inputs; a panic is the finding.

use super::{Memory, Struct, Types};

/// Finds these structures and asks everything about them. How many were found.
///
/// # Panics
/// If two answers contradict each other.
pub fn check<'d, M: Memory<'d>, const N: usize>(types: &Types<'_, M>, wanted: [&str; N]) -> usize {
    let found = types.structs(wanted);
    for (name, structure) in wanted.iter().zip(&found) {
        let Some(structure) = structure else { continue };
        assert_eq!(
            types.struct_at(structure.at).as_ref(),
            Some(structure),
            "{name}"
        );
        assert_eq!(types.structs([name]), [Some(structure.clone())], "{name}");
        check_fields(types, structure);
    }
    found.iter().flatten().count()
}

fn check_fields<'d, M: Memory<'d>>(types: &Types<'_, M>, structure: &Struct<'d>) {
    let mut end = 0;
    for field in &structure.fields {
        assert!(field.offset >= end, "{field:?}");
        end = field.offset + field.size;
        let of_that_name = structure
            .field(field.name)
            .map(|one| (one.offset, one.size));
        if !field.name.contains('.') {
            assert_eq!(
                types.place(structure, field.name),
                of_that_name,
                "{field:?}"
            );
        }
    }
    assert!(end <= structure.size, "{structure:?}");
}
