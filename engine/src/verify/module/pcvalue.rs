//! pc-value tables (`runtime/symtab.go`, `step` and `readvarint`): pairs of variable-length numbers, value delta in
//! zigzag form and pc delta, from value -1 at the function's entry, until a value delta of zero that is not the first.

use super::reader::{Class, Reader, Slice, Unreadable};
use crate::addr::RunAddr;

/// More steps than any trampoline has.
const MAX_STEPS: usize = 1 << 16;

/// The steps of the table at `offset` of `pctab`: `value` holds below `end`, counted from the function's entry. The table
/// must end exactly at `size`, be written the shortest way and name no value twice in a row: one table, one spelling.
pub(super) fn read(
    reader: &mut Reader<'_>,
    pctab: Slice,
    offset: u32,
    size: u64,
) -> Result<Vec<(u64, i32)>, Unreadable> {
    let start = pctab.at(u64::from(offset), 1)?;
    let wrong = |found: String, expected: &str| Unreadable {
        at: start,
        found,
        expected: expected.to_owned(),
    };
    if offset == 0 {
        return Err(wrong("no table (offset 0)".to_owned(), "a table"));
    }
    let mut cursor = u64::from(offset);
    let (mut value, mut pc) = (-1i32, 0u64);
    let mut steps: Vec<(u64, i32)> = Vec::new();
    while steps.len() < MAX_STEPS {
        let delta = varint(reader, pctab, &mut cursor)?;
        if delta == 0 && !steps.is_empty() {
            return if pc == size {
                Ok(steps)
            } else {
                Err(wrong(
                    format!("a table of {pc:#x} bytes"),
                    &format!("one of {size:#x}"),
                ))
            };
        }
        let magnitude = (delta >> 1).cast_signed();
        value = value.wrapping_add(if delta & 1 == 1 {
            !magnitude
        } else {
            magnitude
        });
        let length = varint(reader, pctab, &mut cursor)?;
        if length == 0 {
            return Err(wrong("a step of no bytes".to_owned(), "steps forward"));
        }
        pc = pc.saturating_add(u64::from(length));
        steps.push((pc, value));
    }
    Err(wrong("no end".to_owned(), "a table that ends"))
}

/// A number in groups of seven bits, the low ones first.
fn varint(reader: &mut Reader<'_>, pctab: Slice, cursor: &mut u64) -> Result<u32, Unreadable> {
    let mut value = 0u64;
    for group in 0..5u32 {
        let at = pctab.at(*cursor, 1)?;
        let byte = reader.u8(at, Class::PcValue)?;
        *cursor = cursor.saturating_add(1);
        value |= u64::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || group == 0;
            return match u32::try_from(value) {
                Ok(value) if shortest => Ok(value),
                _ => Err(badly(at, format!("{byte:02x} at the end of a number"))),
            };
        }
    }
    Err(badly(
        pctab.at(*cursor, 0)?,
        "a number of more than five groups".to_owned(),
    ))
}

fn badly(at: RunAddr, found: String) -> Unreadable {
    Unreadable {
        at,
        found,
        expected: "a 32-bit number in its shortest form".to_owned(),
    }
}
