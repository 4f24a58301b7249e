//! Every function's record and tables decode to values that mean something, and the functions that the linker marks carry
//! the marks of the tables. Source: `runtime/symtab.go`, `internal/abi/symtab.go`, `cmd/internal/objabi/funcid.go`.

use super::{Claim, unproven};
use crate::golang::tables::{CONSTANTS, INVALID_STACK_MAP, UNMARKED, UNMARKED_IN};
use crate::image::error::ImageError;
use crate::image::functions::Names;
use crate::image::pcvalue::PcValues;
use crate::image::read::u32_at;
use crate::image::{Function, Image, inline, limits};

/// Of this many marked functions at least, names and ids must agree: each program has more.
const MARKED: usize = 8;

/// Records and pc-value tables of all functions.
pub(super) fn tables(image: &Image<'_>, claim: &Claim) -> Result<(), ImageError> {
    let of = |name| {
        claim
            .constant(name, false)
            .and_then(|value| u32::try_from(value).ok())
    };
    let highest = |prefix: &str| {
        let values = CONSTANTS.iter().filter(|one| one.name.starts_with(prefix));
        values
            .filter_map(|one| one.value_in(claim.release))
            .max()
            .unwrap_or(0)
    };
    let highest_id = highest("FuncID");
    let flags = highest("FuncFlag")
        .saturating_mul(2)
        .saturating_sub(1)
        .max(0);
    let (pcdata, funcdata) = (highest("PCDATA_"), highest("FUNCDATA_"));
    let (unsafe_point, stack_map) = (of("PCDATA_UnsafePoint"), of("PCDATA_StackMapIndex"));
    let lowest = claim
        .constant("UnsafePointRestartAtEntry", false)
        .unwrap_or(-1);
    let no_map = if INVALID_STACK_MAP.contains(&claim.release) {
        -2
    } else {
        -1
    };
    let mut steps = Steps {
        left: image
            .elf
            .file
            .held()
            .saturating_mul(limits::STEPS_PER_INPUT_BYTE),
    };
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
        if i64::from(function.func_id) > highest_id {
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
            let bad = steps.find(image, function, offset, |depth| {
                compiled && (depth < 0 || depth % 8 != 0)
            });
            if let Some(depth) = bad {
                return fail(format!("an SP delta of {depth}"));
            }
        } else if compiled {
            return fail("no SP deltas".to_owned());
        }
        let mut of_table = |index: Option<u32>, bad: &dyn Fn(i32) -> bool| {
            let offset = index.and_then(|index| record.pcdata(index));
            let offset = offset.filter(|&offset| offset != 0)?;
            steps.find(image, function, offset, bad)
        };
        let no_point = |value| !(lowest..=-1).contains(&i64::from(value));
        if let Some(bad) = of_table(unsafe_point, &no_point) {
            return fail(format!("PCDATA_UnsafePoint {bad}"));
        }
        let maps = record
            .funcdata(&image.elf, image.gofunc, 1)
            .and_then(|at| u32_at(image.elf.bytes_from(at)?, 0))
            .unwrap_or(0);
        let no_such_map = |value| value < no_map || i64::from(value) >= i64::from(maps.max(1));
        if let Some(bad) = of_table(stack_map, &no_such_map) {
            return fail(format!("PCDATA_StackMapIndex {bad} of {maps} maps"));
        }
        if steps.left == 0 {
            return fail("more steps in its tables than a program has".to_owned());
        }
    }
    Ok(())
}

/// Walks pc-value tables. Functions may share them, so that all their steps together are bounded.
struct Steps {
    left: usize,
}

impl Steps {
    /// The first value of a function's table that is `bad`.
    fn find(
        &mut self,
        image: &Image<'_>,
        function: &Function<'_>,
        offset: u32,
        bad: impl Fn(i32) -> bool,
    ) -> Option<i32> {
        let table = image.module.pcvalues.get(offset as usize..);
        for (_, value) in
            PcValues::new(table.unwrap_or_default(), function.entry, function.size).take(self.left)
        {
            self.left -= 1;
            if bad(value) {
                return Some(value);
            }
        }
        None
    }
}

/// Compiled by the Go compiler: it has maps of its locals, and the assembler did not mark it.
pub(super) fn is_compiled(image: &Image<'_>, function: &Function<'_>) -> bool {
    function.has_locals_map && function.flags & image.facts.func_flag_asm.unwrap_or(0) == 0
}

/// The runtime's own functions carry the ids and flags that the tables name.
pub(super) fn ids(image: &Image<'_>, claim: &Claim) -> Result<(), ImageError> {
    if image.facts.func.func_id.is_none() {
        return Ok(());
    }
    let wrapper = image.facts.func_id_wrapper;
    let marks = Marks::of(claim);
    let mut agree = 0;
    for function in &image.functions {
        let Some(short) = function.name.strip_prefix("runtime.") else {
            continue;
        };
        let Some(id) = marks.id(short) else { continue };
        agree += usize::from(function.func_id == id);
        // Beside a function in assembly there may be its ABI wrapper, of the same name.
        if function.func_id != id && Some(function.func_id) != wrapper {
            let found = format!("{} with funcID {}", function.name, function.func_id);
            return Err(unproven(
                function.record,
                found,
                "the funcID of the version",
            ));
        }
    }
    let at = image.module.at;
    if agree < MARKED {
        claim.missing(|| {
            let found = format!("{agree} functions with a funcID of their own");
            unproven(at, found, "at least eight")
        })?;
    }
    let first = |name: &'static str| image.functions_named(name).next();
    // The linker hides these like wrappers.
    for (name, since) in [("runtime.call32", 12), ("runtime.deferreturn", 14)] {
        if wrapper.is_none() || claim.release.minor < since {
            continue;
        }
        let found = first(name).map(|one| Some(one.func_id));
        let error = || {
            let found = format!("{name} with funcID {found:?}");
            unproven(at, found, "the funcID of wrappers")
        };
        match found {
            None => claim.missing(error)?,
            Some(id) if id == wrapper => {}
            Some(_) => return Err(error()),
        }
    }
    // The outermost frame, which is assembly.
    let bit = |name| claim.constant(name, false).unwrap_or(0);
    let outermost = bit("FuncFlagTopFrame") | bit("FuncFlagAsm");
    let found = first("runtime.goexit").map(|one| i64::from(one.flags));
    let error = || {
        let found = format!("runtime.goexit with flags {found:?}");
        unproven(at, found, "the flags of an outermost frame in assembly")
    };
    match found {
        None => claim.missing(error),
        Some(flags) if flags == outermost => Ok(()),
        Some(_) => Err(error()),
    }
}

/// Which functions of the runtime have a funcID of their own.
struct Marks(Vec<(&'static str, u8)>);

impl Marks {
    fn of(claim: &Claim) -> Self {
        let own = CONSTANTS.iter().filter_map(|one| {
            let name = one.name.strip_prefix("FuncID_")?;
            let id = u8::try_from(one.value_in(claim.release)?).ok()?;
            let name = if name == "runtime_main" { "main" } else { name };
            let forgotten = UNMARKED.contains(&name) && UNMARKED_IN.contains(&claim.release);
            (!forgotten).then_some((name, id))
        });
        Self(own.collect())
    }

    /// The id of the function of this name, without `runtime.`
    fn id(&self, name: &str) -> Option<u8> {
        self.0
            .iter()
            .find(|(other, _)| *other == name)
            .map(|&(_, id)| id)
    }
}

/// The names in all inline trees are names.
pub(super) fn inline_trees(image: &Image<'_>, claim: &Claim) -> Result<(), ImageError> {
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
        let error = || unproven(image.module.at, "no inlined calls", "inline trees");
        return claim.missing(error);
    }
    Ok(())
}
