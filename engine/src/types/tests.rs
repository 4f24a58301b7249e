//! [`Types`] on the descriptors of synthetic programs of every version, and on what is no such descriptor.

use super::check::check;
use crate::addr::LinkAddr;
use crate::golang::{GoVersion, NEWEST, OLDEST};
use crate::image::Image;
use crate::image::testing::Synthetic;

const RUNTIME: [&str; 5] = [
    "runtime.moduledata",
    "runtime.g",
    "runtime.m",
    "runtime._panic",
    "runtime.p",
];

fn every_version() -> impl Iterator<Item = Synthetic> {
    (OLDEST..=NEWEST).flat_map(|minor| {
        let fixed = Synthetic {
            types: true,
            ..Synthetic::new(GoVersion::new(minor, 3))
        };
        [fixed.clone(), Synthetic { pie: true, ..fixed }]
    })
}

fn parse(file: &[u8]) -> Image<'_> {
    Image::parse(file).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_runtime_describes_itself_in_every_version_and_both_forms() {
    for program in every_version() {
        let file = program.build();
        let image = parse(&file);
        let what = format!("{} pie {}", program.version, program.pie);
        assert_eq!(check(&image.types(), RUNTIME), RUNTIME.len(), "{what}");
        let [module, Some(g), Some(m), ..] = image.types().structs(RUNTIME) else {
            panic!("{what}");
        };
        assert_eq!(
            module.map(|one| one.size),
            Some(u64::from(image.facts().module.size)),
            "{what}"
        );
        let known = image.facts().runtime;
        assert_eq!(
            image.types().place(&g, "stack.hi"),
            Some((u64::from(known.g_stack_hi), 8)),
            "{what}"
        );
        let width = if known.m_id_is_32_bits { 4 } else { 8 };
        assert_eq!(
            image.types().place(&m, "id"),
            Some((u64::from(known.m_id), width)),
            "{what}"
        );
        assert_eq!(image.types().place(&m, "id.x"), None, "{what}");
        assert_eq!(image.types().place(&m, "nothing"), None, "{what}");
    }
}

#[test]
fn the_package_s_whole_path_counts() {
    for program in every_version() {
        let file = program.build();
        let image = parse(&file);
        let found = image
            .types()
            .structs(["example.org/runtime.g", "runtime.other", "g"]);
        assert_eq!(found, [None, None, None], "{}", program.version);
    }
}

/// Fields of `runtime.g` that overlap, are too many, end behind the structure: no structure.
#[test]
fn what_does_not_fit_together_is_no_structure() {
    for program in every_version() {
        let mut file = program.build();
        let image = parse(&file);
        let layout = image.facts().types;
        let [Some(g)] = image.types().structs(["runtime.g"]) else {
            panic!("{}", program.version);
        };
        let base = file.as_ptr() as usize;
        let offset = |at: LinkAddr| {
            image
                .bytes(at, 8)
                .map(|bytes| bytes.as_ptr() as usize - base)
        };
        let count = g.at.checked_add(u64::from(layout.struct_fields) + 8);
        let places = [offset(g.at), count.and_then(offset)].map(Option::unwrap);
        for at in places {
            let good = file[at];
            file[at] = 7;
            let found = Image::parse(&file).map(|image| image.types().structs(["runtime.g"]));
            // Without it the program is still one of a known version.
            assert_eq!(found.ok(), Some([None]), "{} {at:#x}", program.version);
            file[at] = good;
        }
    }
}
