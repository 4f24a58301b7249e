//! Every function's record and tables decode to values that mean something, and the functions that the linker marks carry
//! the marks of the tables. Source: `runtime/symtab.go`, `internal/abi/symtab.go`, `cmd/internal/objabi/funcid.go`.

use super::{constant, release, unproven};
use crate::golang::tables::CONSTANTS;
use crate::image::error::ImageError;
use crate::image::functions::Names;
use crate::image::pcvalue::PcValues;
use crate::image::read::u32_at;
use crate::image::{Function, Image, inline};

/// Of this many marked functions at least, names and ids must agree: each program has more.
const MARKED: usize = 8;

/// Records and pc-value tables of all functions.
pub(super) fn tables(image: &Image<'_>) -> Result<(), ImageError> {
    let of = |name| constant(image, name).and_then(|value| u32::try_from(value).ok());
    let highest = |prefix: &str| {
        let release = release(image);
        let values = CONSTANTS.iter().filter(|one| one.name.starts_with(prefix));
        values
            .filter_map(|one| one.value_in(release))
            .max()
            .unwrap_or(0)
    };
    let wrapper = image.facts.func_id_wrapper.unwrap_or_default();
    let flags = highest("FuncFlag").saturating_mul(2).saturating_sub(1);
    let (pcdata, funcdata) = (highest("PCDATA_"), highest("FUNCDATA_"));
    let (unsafe_point, stack_map) = (of("PCDATA_UnsafePoint"), of("PCDATA_StackMapIndex"));
    let lowest = constant(image, "UnsafePointRestartAtEntry").unwrap_or(-1);
    for function in &image.functions {
        let record = image.record(function);
        let fail = |what: String| {
            let found = format!("{} with {what}", function.name);
            Err(unproven(
                function.record,
                found,
                "a record like those of the known version",
            ))
        };
        let counts = record.and_then(|record| Some((record.npcdata()?, record.nfuncdata()?)));
        let Some((record, (npcdata, nfuncdata))) = record.zip(counts) else {
            return fail("no whole record".to_owned());
        };
        if function.func_id > wrapper {
            return fail(format!("funcID {}", function.func_id));
        }
        if i64::from(function.flags) > flags {
            return fail(format!("flags {:#x}", function.flags));
        }
        if i64::from(npcdata) > pcdata + 1 || i64::from(nfuncdata) > funcdata + 1 {
            return fail(format!("{npcdata} pcdata and {nfuncdata} funcdata"));
        }
        if function.deferreturn >= function.size.max(1) {
            return fail(format!(
                "deferreturn at {} of {}",
                function.deferreturn, function.size
            ));
        }
        let compiled = is_compiled(image, function);
        if let Some(offset) = record.pcsp().filter(|&offset| offset != 0) {
            let bad = values(image, function, offset)
                .find(|&depth| compiled && (depth < 0 || depth % 8 != 0));
            if let Some(depth) = bad {
                return fail(format!("an SP delta of {depth}"));
            }
        } else if compiled {
            return fail("no SP deltas".to_owned());
        }
        let table = |index: Option<u32>| {
            let offset = index.and_then(|index| record.pcdata(index));
            offset
                .filter(|&offset| offset != 0)
                .map(|offset| values(image, function, offset))
        };
        if let Some(bad) = table(unsafe_point)
            .and_then(|mut all| all.find(|&value| !(lowest..=-1).contains(&i64::from(value))))
        {
            return fail(format!("PCDATA_UnsafePoint {bad}"));
        }
        let maps = record
            .funcdata(&image.elf, image.gofunc, 1)
            .and_then(|at| u32_at(image.elf.bytes_from(at)?, 0))
            .unwrap_or(0);
        if let Some(bad) = table(stack_map).and_then(|mut all| {
            all.find(|&value| value < -1 || i64::from(value) >= i64::from(maps.max(1)))
        }) {
            return fail(format!("PCDATA_StackMapIndex {bad} of {maps} maps"));
        }
    }
    Ok(())
}

/// The values of one pc-value table of a function.
fn values<'d>(
    image: &Image<'d>,
    function: &Function<'_>,
    offset: u32,
) -> impl Iterator<Item = i32> + use<'d> {
    let table = image.module.pcvalues.get(offset as usize..);
    PcValues::new(table.unwrap_or_default(), function.entry, function.size).map(|(_, value)| value)
}

/// Compiled by the Go compiler: it has maps of its locals, and the assembler did not mark it.
pub(super) fn is_compiled(image: &Image<'_>, function: &Function<'_>) -> bool {
    function.has_locals_map && function.flags & image.facts.func_flag_asm.unwrap_or(0) == 0
}

/// The runtime's own functions carry the ids and flags that the tables name.
pub(super) fn ids(image: &Image<'_>) -> Result<(), ImageError> {
    let release = release(image);
    let wrapper = image.facts.func_id_wrapper;
    let mut agree = 0;
    for one in CONSTANTS
        .iter()
        .filter(|one| one.name.starts_with("FuncID_"))
    {
        let Some(id) = one.value_in(release).and_then(|id| u8::try_from(id).ok()) else {
            continue;
        };
        let short = one.name.trim_start_matches("FuncID_");
        let name = match short {
            "runtime_main" => "runtime.main".to_owned(),
            short => format!("runtime.{short}"),
        };
        // Beside a function in assembly there may be its ABI wrapper, of the same name.
        let mut found = false;
        for function in image.functions_named(&name) {
            found |= function.func_id == id;
            if function.func_id != id && Some(function.func_id) != wrapper {
                let found = format!("{name} with funcID {}", function.func_id);
                return Err(unproven(
                    function.record,
                    found,
                    "the funcID of the known version",
                ));
            }
        }
        agree += usize::from(found);
    }
    let at = image.module.at;
    if agree < MARKED {
        let found = format!("{agree} functions with a funcID of their own");
        return Err(unproven(at, found, "at least eight"));
    }
    let marks = |name: &str| {
        image
            .functions_named(name)
            .map(|one| (one.func_id, one.flags))
            .next()
    };
    // The linker hides this one like a wrapper; both flags are on the outermost frame, which is assembly.
    if marks("runtime.deferreturn").map(|one| Some(one.0)) != Some(wrapper) {
        let found = format!(
            "runtime.deferreturn with {:?}",
            marks("runtime.deferreturn")
        );
        return Err(unproven(at, found, "the funcID of wrappers"));
    }
    let outermost = constant(image, "FuncFlagTopFrame")
        .zip(constant(image, "FuncFlagAsm"))
        .map(|(top, assembly)| top | assembly);
    if marks("runtime.goexit").map(|one| Some(i64::from(one.1))) != Some(outermost) {
        let found = format!("runtime.goexit with {:?}", marks("runtime.goexit"));
        return Err(unproven(
            at,
            found,
            "the flags of an outermost frame in assembly",
        ));
    }
    Ok(())
}

/// The names in all inline trees are names.
pub(super) fn inline_trees(image: &Image<'_>) -> Result<(), ImageError> {
    let Some(layout) = image.facts.inline else {
        return Ok(());
    };
    let mut names = Names::new(&image.module, image.elf.file.held());
    // Trees do not overlap, so this many elements at most are in the file.
    let mut left = image.elf.file.held() / layout.size as usize;
    let mut seen = 0usize;
    for function in &image.functions {
        let tree = inline::tree(
            &image.elf,
            &image.module,
            &image.facts,
            layout,
            image.gofunc,
            function,
        );
        for offset in tree.take(left) {
            left = left.saturating_sub(1);
            seen += 1;
            let name = offset.and_then(|offset| names.text(offset));
            if !name.is_some_and(|name| name.contains('.')) {
                let found = format!("{name:?} inlined into {}", function.name);
                return Err(unproven(function.record, found, "the name of a function"));
            }
        }
    }
    if seen == 0 && image.functions.len() > 1000 {
        return Err(unproven(
            image.module.at,
            "no inlined calls",
            "inline trees",
        ));
    }
    Ok(())
}
