//! One `_func` of the synthetic module, read as the runtime reads it (`runtime/symtab.go`, `funcInfo`, `funcdata`,
//! `pcdatavalue`; `runtime/runtime2.go`, `_func`).

use super::reader::{Class, Reader, Slice, Unreadable};
use super::{FILE_NUMBER, LINE, Tables, expect, pcvalue};
use crate::addr::RunAddr;
use crate::golang::Facts;

/// FUNCDATA_ArgsPointerMaps and FUNCDATA_LocalsPointerMaps are 0 and 1 in every version.
const FUNCDATA: u32 = 2;
/// "Absent", where funcdata are offsets.
const ABSENT: u32 = u32::MAX;

/// What a record says that other rules need.
pub(super) struct Func {
    /// Distance to the return address, as steps over the function's bytes.
    pub(super) pcsp: Vec<(u64, i32)>,
    /// Where its locals map lies.
    pub(super) locals: RunAddr,
}

/// Checks the record at `at` of the function `name` in `[entry, entry+size)`.
pub(super) fn check(
    reader: &mut Reader<'_>,
    facts: &Facts,
    tables: &Tables,
    at: RunAddr,
    name: &str,
    (entry, size): (RunAddr, u64),
) -> Result<Func, Unreadable> {
    let layout = facts.func;
    let record = Slice {
        start: at,
        len: u64::from(layout.size),
    };
    let aligned = if layout.funcdata_is_offset { 4 } else { 8 };
    expect(at, "alignment of a _func", at.get() % aligned, 0)?;

    let found = if layout.entry_is_offset {
        let offset = reader.u32(record.at(0, 4)?, Class::Func)?;
        tables.text.checked_add(u64::from(offset)).map(RunAddr::get)
    } else {
        Some(reader.u64(record.at(0, 8)?, Class::Func)?)
    };
    expect(at, "_func.entry", found, Some(entry.get()))?;
    let word = |reader: &mut Reader<'_>, offset: u32| {
        reader.u32(record.at(u64::from(offset), 4)?, Class::Func)
    };
    let byte = |reader: &mut Reader<'_>, offset: u32| {
        reader.u8(record.at(u64::from(offset), 1)?, Class::Func)
    };

    let name_offset = word(reader, layout.name)?;
    self::name(reader, tables.names, name_offset, name)?;
    expect(at, "_func.args", word(reader, layout.args)?, 0)?;
    if let Some(offset) = layout.deferreturn {
        expect(at, "_func.deferreturn", word(reader, offset)?, 0)?;
    }
    let pcsp = word(reader, layout.pcsp)?;
    for (what, offset, value) in [("file", 4, FILE_NUMBER), ("line", 8, LINE)] {
        let table = word(reader, layout.pcsp + offset)?;
        let steps = pcvalue::read(reader, tables.pctab, table, size)?;
        expect(at, what, steps, vec![(size, value)])?;
    }
    for (what, offset, value) in [
        ("_func.cuOffset", layout.cu_offset, 0),
        ("_func.startLine", layout.start_line, LINE.cast_unsigned()),
    ] {
        if let Some(offset) = offset {
            expect(at, what, word(reader, offset)?, value)?;
        }
    }
    if let Some(offset) = layout.func_id {
        let found = if layout.func_id_is_32_bits {
            word(reader, offset)?
        } else {
            u32::from(byte(reader, offset)?)
        };
        let wrapper = u32::from(facts.func_id_wrapper.unwrap_or_default());
        expect(at, "_func.funcID", found, wrapper)?;
    }
    if let Some(offset) = layout.flag {
        let asm = facts.func_flag_asm.unwrap_or_default();
        expect(at, "_func.flag", byte(reader, offset)?, asm)?;
    }
    let npcdata = word(reader, layout.npcdata)?;
    let nfuncdata = if layout.nfuncdata_is_32_bits {
        word(reader, layout.nfuncdata)?
    } else {
        u32::from(byte(reader, layout.nfuncdata)?)
    };
    let (needed, value) = facts
        .unsafe_point
        .map_or((0, 0), |(i, value)| (i + 1, value));
    expect(at, "_func.npcdata", npcdata, needed)?;
    expect(at, "_func.nfuncdata", nfuncdata, FUNCDATA)?;

    reader.zeros(at, u64::from(layout.size), Class::Func)?;

    let pcsp = pcvalue::read(reader, tables.pctab, pcsp, size)?;
    let after = at.checked_add(u64::from(layout.size));
    let tail = Slice {
        start: after.unwrap_or(at),
        len: u64::from(npcdata) * 4 + 4 + u64::from(FUNCDATA) * 8,
    };
    // every pcdata but the unsafe points has no table; that one holds over the whole function
    for i in 0..npcdata {
        let table = reader.u32(tail.at(u64::from(i) * 4, 4)?, Class::Func)?;
        if i + 1 == npcdata {
            let steps = pcvalue::read(reader, tables.pctab, table, size)?;
            expect(at, "PCDATA of unsafe points", steps, vec![(size, value)])?;
        } else {
            expect(at, "PCDATA without a table", table, 0)?;
        }
    }
    let mut data = tail.at(u64::from(npcdata) * 4, 0)?;
    if !layout.funcdata_is_offset {
        data = data.align_up(8).unwrap_or(data);
    }
    let locals = funcdata(reader, facts, tables, data)?;
    let map = (
        reader.u32(locals, Class::StackMap)?,
        reader.u32(
            Slice {
                start: locals,
                len: 8,
            }
            .at(4, 4)?,
            Class::StackMap,
        )?,
    );
    expect(locals, "the locals map {n, nbit}", map, (1, 0))?;
    whole(facts, tables, at, data)?;
    Ok(Func { pcsp, locals })
}

/// The funcdata at `data`: no map of arguments; where the map of locals lies.
fn funcdata(
    reader: &mut Reader<'_>,
    facts: &Facts,
    tables: &Tables,
    data: RunAddr,
) -> Result<RunAddr, Unreadable> {
    let lost = |at: u64| Unreadable {
        at: data,
        found: format!("a locals map at {at:#x}"),
        expected: "an address in the module".to_owned(),
    };
    if facts.func.funcdata_is_offset {
        let pair = Slice {
            start: data,
            len: 8,
        };
        let args = reader.u32(pair.at(0, 4)?, Class::Func)?;
        expect(data, "FUNCDATA_ArgsPointerMaps", args, ABSENT)?;
        let offset = reader.u32(pair.at(4, 4)?, Class::Func)?;
        let base = tables.gofunc.unwrap_or_default();
        base.checked_add(u64::from(offset))
            .filter(|_| offset != ABSENT)
            .ok_or_else(|| lost(u64::from(offset)))
    } else {
        let pair = Slice {
            start: data,
            len: 16,
        };
        let args = reader.u64(pair.at(0, 8)?, Class::Func)?;
        expect(data, "FUNCDATA_ArgsPointerMaps", args, 0)?;
        Ok(RunAddr::new(reader.u64(pair.at(8, 8)?, Class::Func)?))
    }
}

/// The record lies inside `pclntable`: `runtime.FuncForPC` and `Func.Name` look there.
fn whole(facts: &Facts, tables: &Tables, at: RunAddr, data: RunAddr) -> Result<(), Unreadable> {
    let width = if facts.func.funcdata_is_offset { 4 } else { 8 };
    let end = data.checked_add(u64::from(FUNCDATA) * width);
    let last = tables.pclntable.start.checked_add(tables.pclntable.len);
    let inside = at >= tables.pclntable.start && end.is_some() && end <= last;
    expect(at, "a _func inside pclntable", inside, true)
}

/// A zero-terminated name at `offset` of the names.
pub(super) fn name(
    reader: &mut Reader<'_>,
    names: Slice,
    offset: u32,
    expected: &str,
) -> Result<(), Unreadable> {
    let len = expected.len() as u64 + 1;
    let at = names.at(u64::from(offset), len)?;
    let bytes = reader.claim(at, len, Class::Name)?;
    let right = bytes.split_last() == Some((&0, expected.as_bytes()));
    if right {
        Ok(())
    } else {
        Err(Unreadable {
            at,
            found: format!("{:?}", String::from_utf8_lossy(bytes)),
            expected: format!("{expected:?}"),
        })
    }
}
