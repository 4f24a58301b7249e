//! The runtime's descriptors of its own structures, against the tables.
//!
//! Where descriptors are found is itself a claim: names count from `moduledata.types`. It proves itself, since the
//! descriptor of the module data found by it must say that the field is there.

use super::{Claim, Described, types, unproven};
use crate::addr::LinkAddr;
use crate::golang::Facts;
use crate::golang::tables::MODULEDATA;
use crate::image::elf::Elf;
use crate::image::error::ImageError;
use crate::image::moduledata::Module;
use crate::types::Struct;

const WANTED: [&str; 4] = [
    "runtime.moduledata",
    "runtime.g",
    "runtime.m",
    "runtime._panic",
];

/// A field by the path to it, and its offset and size by the tables; `None`: there must be none.
type Expected = (&'static str, Option<(u32, u32)>);

/// Compares them.
pub(super) fn prove(
    elf: &Elf<'_>,
    module: &Module<'_>,
    claim: &Claim,
) -> Result<Described, ImageError> {
    let types = types(elf, module, &claim.facts);
    let found = types.structs(WANTED);
    if found.iter().all(Option::is_none) {
        written_otherwise(elf, module, claim)?;
    }
    let runtime = &claim.facts.runtime;
    let [moduledata, g, m, panic] = &found;
    let word = |offset| Some((offset, 8));
    let of_module: Vec<Expected> = MODULEDATA
        .fields
        .iter()
        .map(|field| (field.path, MODULEDATA.find(field.path, claim.release)))
        .filter(|(_, place)| place.is_some())
        .collect();
    let checks: [(&'static str, &Option<Struct<'_>>, &[Expected]); 4] = [
        (WANTED[0], moduledata, &of_module),
        (
            WANTED[1],
            g,
            &[
                ("stack.lo", word(runtime.g_stack_lo)),
                ("stack.hi", word(runtime.g_stack_hi)),
                ("_panic", word(runtime.g_panic)),
                ("m", word(runtime.g_m)),
                ("goid", word(runtime.g_goid)),
                ("preempt", Some((runtime.g_preempt, 1))),
            ],
        ),
        (
            WANTED[2],
            m,
            &[
                ("g0", word(runtime.m_g0)),
                ("gsignal", word(runtime.m_gsignal)),
                ("procid", word(runtime.m_procid)),
                (
                    "id",
                    Some((runtime.m_id, if runtime.m_id_is_32_bits { 4 } else { 8 })),
                ),
            ],
        ),
        (
            WANTED[3],
            panic,
            &[("argp", claim.facts.panic_argp.map(|offset| (offset, 8)))],
        ),
    ];
    for (name, described, expected) in checks {
        let Some(described) = described else {
            claim.missing(|| {
                unproven(
                    module.at,
                    format!("no type descriptor of {name}"),
                    "one in every program",
                )
            })?;
            continue;
        };
        let size = (name == WANTED[0]).then_some(claim.facts.module.size);
        if let Some(size) = size.filter(|&size| u64::from(size) != described.size) {
            let found = format!(
                "{name} of {} bytes by its type descriptor, {size} by {}",
                described.size,
                claim.tables()
            );
            return Err(unproven(described.at, found, LAYOUT));
        }
        for &(path, expected) in expected {
            let place = types.place(described, path);
            if place != expected.map(|(offset, size)| (u64::from(offset), u64::from(size))) {
                return Err(differs(
                    described.at,
                    &format!("{name}.{path}"),
                    place,
                    expected,
                    claim,
                ));
            }
        }
    }
    Ok(Described {
        g: g.is_some(),
        m: m.is_some(),
    })
}

const LAYOUT: &str = "the layout of the version that the program names";

fn differs(
    at: LinkAddr,
    what: &str,
    found: Option<(u64, u64)>,
    expected: Option<(u32, u32)>,
    claim: &Claim,
) -> ImageError {
    fn show<T: std::fmt::Display>(place: Option<(T, T)>) -> String {
        place.map_or_else(
            || "absent".to_owned(),
            |(offset, size)| format!("{size} bytes at {offset}"),
        )
    }
    let found = format!(
        "{what}: {} by its type descriptor, {} by {}",
        show(found),
        show(expected),
        claim.tables()
    );
    unproven(at, found, LAYOUT)
}

/// Where nothing was found: whether descriptors are there in the form of another version with this line table.
fn written_otherwise(elf: &Elf<'_>, module: &Module<'_>, claim: &Claim) -> Result<(), ImageError> {
    let form = |facts: &Facts| (facts.types, facts.module.types);
    let mut tried = vec![form(&claim.facts)];
    for (since, facts) in Facts::of_generation(module.generation) {
        if tried.contains(&form(&facts)) {
            continue;
        }
        tried.push(form(&facts));
        if let [Some(moduledata)] = types(elf, module, &facts).structs([WANTED[0]]) {
            let found = format!(
                "type descriptors as go1.{} writes them, in a program of {}",
                since.minor, claim.version
            );
            return Err(unproven(moduledata.at, found, "the form of that version"));
        }
    }
    Ok(())
}
