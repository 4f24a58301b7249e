//! What the compiler writes about types (`cmd/compile/internal/reflectdata/reflect.go`, `cmd/internal/gc/reflect.go` before)
//! and `reflect` reads. `internal/abi` took the structures over from `runtime` in 1.21.

use super::history::{Release, at, gone};
use super::{Structure, field};

/// What every descriptor starts with. Up to 1.6 its texts are behind pointers.
#[rustfmt::skip]
pub(in crate::golang) static RUNTIME_TYPE: Structure = Structure {
    name: "runtime._type",
    source: "runtime/type.go",
    complete: false,
    size: &[at(5, 72), at(6, 64), at(7, 48), gone(21)],
    fields: &[
        field("size", 8, &[at(5, 0), gone(21)]),
        field("hash", 4, &[at(5, 16), gone(21)]),
        field("tflag", 1, &[at(7, 20), gone(21)]),
        field("align", 1, &[at(5, 21), gone(21)]),
        field("fieldalign", 1, &[at(5, 22), gone(14)]),
        field("fieldAlign", 1, &[at(14, 22), gone(21)]),
        field("kind", 1, &[at(5, 23), gone(21)]),
        field("_string", 8, &[at(5, 40), gone(7)]),
        field("x", 8, &[at(5, 48), gone(7)]),
        field("str", 4, &[at(7, 40), gone(21)]),
    ],
};

/// [`RUNTIME_TYPE`] from 1.21 on.
#[rustfmt::skip]
pub(in crate::golang) static ABI_TYPE: Structure = Structure {
    name: "internal/abi.Type",
    source: "internal/abi/type.go",
    complete: false,
    size: &[at(21, 48)],
    fields: &[
        field("Size_", 8, &[at(21, 0)]),
        field("Hash", 4, &[at(21, 16)]),
        field("TFlag", 1, &[at(21, 20)]),
        field("Align_", 1, &[at(21, 21)]),
        field("FieldAlign_", 1, &[at(21, 22)]),
        field("Kind_", 1, &[at(21, 23)]),
        field("Str", 4, &[at(21, 40)]),
    ],
};

/// The descriptor of a structure. `runtime.structtype` is the same, but 1.5 has none.
#[rustfmt::skip]
pub(in crate::golang) static REFLECT_STRUCT_TYPE: Structure = Structure {
    name: "reflect.structType",
    source: "reflect/type.go",
    complete: false,
    size: &[at(5, 96), at(6, 88), at(7, 80)],
    fields: &[
        field("fields", 24, &[at(5, 72), at(6, 64), at(7, 56), gone(21)]),
    ],
};

/// [`REFLECT_STRUCT_TYPE`] from 1.21 on.
#[rustfmt::skip]
pub(in crate::golang) static ABI_STRUCT_TYPE: Structure = Structure {
    name: "internal/abi.StructType",
    source: "internal/abi/type.go",
    complete: false,
    size: &[at(21, 80)],
    fields: &[
        field("Fields", 24, &[at(21, 56)]),
    ],
};

/// A field in it.
#[rustfmt::skip]
pub(in crate::golang) static REFLECT_STRUCT_FIELD: Structure = Structure {
    name: "reflect.structField",
    source: "reflect/type.go",
    complete: false,
    size: &[at(5, 40), at(7, 24), gone(21)],
    fields: &[
        field("name", 8, &[at(5, 0), gone(21)]),
        field("typ", 8, &[at(5, 16), at(7, 8), gone(21)]),
        field("offset", 8, &[at(5, 32), at(7, 16), gone(9), at(19, 16), gone(21)]),
        field("offsetAnon", 8, &[at(9, 16), gone(11)]),
        field("offsetEmbed", 8, &[at(11, 16), gone(19)]),
    ],
};

/// [`REFLECT_STRUCT_FIELD`] from 1.21 on.
#[rustfmt::skip]
pub(in crate::golang) static ABI_STRUCT_FIELD: Structure = Structure {
    name: "internal/abi.StructField",
    source: "internal/abi/type.go",
    complete: false,
    size: &[at(21, 24)],
    fields: &[
        field("Name", 8, &[at(21, 0)]),
        field("Typ", 8, &[at(21, 8)]),
        field("Offset", 8, &[at(21, 16)]),
    ],
};

/// What named types have besides: up to 1.6 an object of its own, then behind the descriptor.
#[rustfmt::skip]
pub(in crate::golang) static RUNTIME_UNCOMMON_TYPE: Structure = Structure {
    name: "runtime.uncommontype",
    source: "runtime/type.go",
    complete: false,
    size: &[at(5, 40), at(7, 16), gone(21)],
    fields: &[
        field("pkgpath", 8, &[at(5, 8), gone(7)]),
        field("pkgpath", 4, &[at(7, 0), gone(21)]),
    ],
};

/// [`RUNTIME_UNCOMMON_TYPE`] from 1.21 on.
#[rustfmt::skip]
pub(in crate::golang) static ABI_UNCOMMON_TYPE: Structure = Structure {
    name: "internal/abi.UncommonType",
    source: "internal/abi/type.go",
    complete: false,
    size: &[at(21, 16)],
    fields: &[
        field("PkgPath", 4, &[at(21, 0)]),
    ],
};

/// The first release whose names have their length as a varint; from 1.7 it is two bytes, the high one first
/// (`reflect/type.go`, `name.nameLen`; `readVarint` in `name`).
pub(in crate::golang) const NAME_VARINT: Release = Release::new(17, 0);
