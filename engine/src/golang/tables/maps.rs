//! Maps. Those that depend on key and value are given for `map[string][]string`, which is `net/http.Header`.

use super::history::{at, gone};
use super::{Structure, field};

/// A map up to 1.23; in `runtime/hashmap.go` before 1.11.
#[rustfmt::skip]
pub(super) static HMAP: Structure = Structure {
    name: "runtime.hmap",
    source: "runtime/map.go",
    complete: true,
    size: &[at(5, 48), gone(24)],
    fields: &[
        field("count", 8, &[at(5, 0), gone(24)]),
        field("flags", 1, &[at(5, 8), gone(24)]),
        field("B", 1, &[at(5, 9), gone(24)]),
        field("noverflow", 2, &[at(8, 10), gone(24)]),
        field("hash0", 4, &[at(5, 12), gone(24)]),
        field("buckets", 8, &[at(5, 16), gone(24)]),
        field("oldbuckets", 8, &[at(5, 24), gone(24)]),
        field("nevacuate", 8, &[at(5, 32), gone(24)]),
        field("extra", 8, &[at(9, 40), gone(24)]),
        field("overflow", 8, &[at(5, 40), gone(9)]),
    ],
};

/// Its buckets (`cmd/compile/internal/reflectdata/reflect.go`, `MapBucketType`).
#[rustfmt::skip]
pub(super) static BUCKET: Structure = Structure {
    name: "bucket<string,[]string>",
    source: "runtime/map.go",
    complete: true,
    size: &[at(5, 336), gone(24)],
    fields: &[
        field("tophash", 8, &[at(5, 0), gone(24)]),
        field("keys", 128, &[at(5, 8), gone(24)]),
        field("values", 192, &[at(5, 136), gone(24)]),
        field("overflow", 8, &[at(5, 328), gone(24)]),
    ],
};

/// A map from 1.24 on.
#[rustfmt::skip]
pub(super) static MAP: Structure = Structure {
    name: "internal/runtime/maps.Map",
    source: "internal/runtime/maps/map.go",
    complete: true,
    size: &[at(24, 48)],
    fields: &[
        field("used", 8, &[at(24, 0)]),
        field("seed", 8, &[at(24, 8)]),
        field("dirPtr", 8, &[at(24, 16)]),
        field("dirLen", 8, &[at(24, 24)]),
        field("globalDepth", 1, &[at(24, 32)]),
        field("globalShift", 1, &[at(24, 33)]),
        field("writing", 1, &[at(24, 34)]),
        field("tombstonePossible", 1, &[at(25, 35)]),
        field("clearSeq", 8, &[at(24, 40)]),
    ],
};

/// A table of a map that is larger than one group.
#[rustfmt::skip]
pub(super) static TABLE: Structure = Structure {
    name: "internal/runtime/maps.table",
    source: "internal/runtime/maps/table.go",
    complete: true,
    size: &[at(24, 32)],
    fields: &[
        field("used", 2, &[at(24, 0)]),
        field("capacity", 2, &[at(24, 2)]),
        field("growthLeft", 2, &[at(24, 4)]),
        field("localDepth", 1, &[at(24, 6)]),
        field("index", 8, &[at(24, 8)]),
        field("groups", 16, &[at(24, 16)]),
    ],
};

/// The groups of a table.
#[rustfmt::skip]
pub(super) static GROUPS_REFERENCE: Structure = Structure {
    name: "internal/runtime/maps.groupsReference",
    source: "internal/runtime/maps/group.go",
    complete: true,
    size: &[at(24, 16)],
    fields: &[
        field("data", 8, &[at(24, 0)]),
        field("lengthMask", 8, &[at(24, 8)]),
    ],
};

/// A group of eight slots; in `map.go` from 1.26.
#[rustfmt::skip]
pub(super) static GROUP: Structure = Structure {
    name: "noalg.map.group[string][]string",
    source: "cmd/compile/internal/reflectdata/map_swiss.go",
    complete: true,
    size: &[at(24, 328)],
    fields: &[
        field("ctrl", 8, &[at(24, 0)]),
        field("slots", 320, &[at(24, 8)]),
    ],
};
