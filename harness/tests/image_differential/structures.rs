//! The layouts that the engine reads by, against DWARF as Go's own library reads it.

use gondwana_engine::golang::Facts;
use gondwana_engine::image::Image;

use crate::bench::Oracle;

/// A field's name and offset; the name of the size is empty.
type Field<'f> = (&'f str, Option<u32>);

/// The layouts of [`Facts`] are those of DWARF.
pub(crate) fn compare(image: &Image<'_>, oracle: &Oracle) {
    let facts: &Facts = image.facts();
    let (module, func, runtime) = (facts.module, facts.func, facts.runtime);
    let fields: [(&str, &[Field<'_>]); 5] = [
        (
            "runtime.g",
            &[
                ("stack", Some(runtime.g_stack_lo)),
                ("_panic", Some(runtime.g_panic)),
                ("m", Some(runtime.g_m)),
                ("goid", Some(runtime.g_goid)),
                ("preempt", Some(runtime.g_preempt)),
            ],
        ),
        (
            "runtime.m",
            &[
                ("g0", Some(runtime.m_g0)),
                ("gsignal", Some(runtime.m_gsignal)),
                ("procid", Some(runtime.m_procid)),
                ("id", Some(runtime.m_id)),
            ],
        ),
        ("runtime._panic", &[("argp", facts.panic_argp)]),
        (
            "runtime.moduledata",
            &[
                ("", Some(module.size)),
                ("pcHeader", module.pc_header),
                ("funcnametab", module.funcnametab),
                ("cutab", module.cutab),
                ("filetab", Some(module.filetab)),
                ("pctab", module.pctab),
                ("pclntable", Some(module.pclntable)),
                ("ftab", Some(module.ftab)),
                ("findfunctab", Some(module.findfunctab)),
                ("minpc", Some(module.minpc)),
                ("maxpc", Some(module.maxpc)),
                ("text", Some(module.text)),
                ("etext", Some(module.etext)),
                ("noptrdata", Some(module.noptrdata)),
                ("data", Some(module.data)),
                ("bss", Some(module.bss)),
                ("noptrbss", Some(module.noptrbss)),
                ("end", Some(module.end)),
                ("rodata", module.rodata),
                ("gofunc", module.gofunc),
                ("epclntab", module.epclntab),
                ("textsectmap", module.textsectmap),
                ("modulename", Some(module.modulename)),
                ("hasmain", module.hasmain),
                ("bad", module.bad),
                ("gcdatamask", Some(module.gcdatamask)),
                ("gcbssmask", Some(module.gcbssmask)),
                ("next", Some(module.next)),
            ],
        ),
        (
            "runtime._func",
            &[
                // nameOff in some versions.
                ("nameoff", Some(func.name)),
                ("args", Some(func.args)),
                ("deferreturn", func.deferreturn),
                ("pcsp", Some(func.pcsp)),
                ("npcdata", Some(func.npcdata)),
                ("cuOffset", func.cu_offset),
                ("startLine", func.start_line),
                ("funcID", func.func_id),
                ("flag", func.flag),
                ("nfuncdata", Some(func.nfuncdata)),
            ],
        ),
    ];
    for (name, expected) in fields {
        let found = oracle
            .structs
            .get(name)
            .unwrap_or_else(|| panic!("{}: no {name}", image.version()));
        for (field, offset) in expected {
            let same = |other: &&String| other.eq_ignore_ascii_case(field);
            let at = found
                .keys()
                .find(same)
                .and_then(|key| found.get(key))
                .copied();
            assert_eq!(
                at,
                offset.map(i64::from),
                "{}: {name}.{field}",
                image.version()
            );
        }
    }
}

/// The type descriptors of these are what DWARF says of them.
pub(crate) fn descriptors(image: &Image<'_>, oracle: &Oracle) {
    const NAMES: [&str; 5] = [
        "runtime.g",
        "runtime.m",
        "runtime.p",
        "runtime._panic",
        "runtime.moduledata",
    ];
    let version = image.version();
    for (name, found) in NAMES.iter().zip(image.types().structs(NAMES)) {
        let found = found.unwrap_or_else(|| panic!("{version}: no descriptor of {name}"));
        let dwarf = &oracle.structs[*name];
        assert_eq!(
            dwarf.get("").copied(),
            i64::try_from(found.size).ok(),
            "{version}: {name}"
        );
        let mut compared = 0;
        for field in &found.fields {
            // Embedded fields have no name up to 1.8, and several fields may be called `_`.
            if field.name.is_empty() || field.name == "_" {
                continue;
            }
            let expected = i64::try_from(field.offset).ok();
            let same = dwarf.get(field.name).copied() == expected;
            // DWARF names embedded fields after the whole path of their type.
            let embedded = dwarf.iter().any(|(other, &offset)| {
                other.ends_with(&format!(".{}", field.name)) && Some(offset) == expected
            });
            assert!(
                same || embedded,
                "{version}: {name}.{} at {expected:?}",
                field.name
            );
            compared += 1;
        }
        // The size is an entry, too.
        assert!(
            compared + 3 >= dwarf.len(),
            "{version}: {name}: {compared} of {}",
            dwarf.len()
        );
    }
}
