//! Breaks the synthetic module of a plan: the line table's entries for its trampolines, as the runtime reads them
//! (`runtime/symtab.go`, `pcvalue`, `funcdata`).

use anyhow::{Context, Result, ensure};
use gondwana_engine::golang::{Facts, PclntabGeneration};
use gondwana_engine::plan::{Plan, PlannedHook, WriteKind};

/// `(end, value)`: the value holds below this offset of the function.
pub(crate) type Steps = Vec<(u32, i32)>;

/// The bytes that a plan writes for its module.
struct Module<'p> {
    facts: &'p Facts,
    start: u64,
    moduledata: usize,
    bytes: Vec<u8>,
}

/// Gives each function other stack depths.
pub(crate) fn change_depths(
    plan: &mut Plan,
    facts: &Facts,
    change: impl Fn(&PlannedHook, Steps) -> Steps,
) -> Result<()> {
    let hooks = plan.hooks.clone();
    edit(plan, facts, |module| {
        for (index, hook) in hooks.iter().enumerate() {
            let field = module.record(index)? + facts.func.pcsp as usize;
            let (at, slice) = module.pc_value(module.u32(field)?)?;
            let (steps, length) = module.steps(at)?;
            let table = encode(&change(hook, steps));
            if table.len() <= length {
                module.put(at, &table)?;
            } else {
                // At the end, which the slice of tables must reach then.
                let base = module.offset(module.u64(slice)?)?;
                let offset = (module.bytes.len() - base) as u32;
                module.bytes.extend(table);
                let length = (module.bytes.len() - base) as u64;
                module.put(field, &offset.to_le_bytes())?;
                module.put(slice + 8, &length.to_le_bytes())?;
                module.put(slice + 16, &length.to_le_bytes())?;
            }
        }
        Ok(())
    })
}

/// Takes the marks away that forbid to preempt a trampoline at any instruction: the flag `ASM` and the table of unsafe points.
pub(crate) fn allow_preemption(plan: &mut Plan, facts: &Facts) -> Result<()> {
    let hooks = plan.hooks.len();
    edit(plan, facts, |module| {
        for index in 0..hooks {
            let record = module.record(index)?;
            if let (Some(flag), Some(asm)) = (facts.func.flag, facts.func_flag_asm) {
                let at = record + flag as usize;
                let found = module.bytes.get(at).copied().context("no flag")?;
                module.put(at, &[found & !asm])?;
            }
            if let Some((pcdata, _)) = facts.unsafe_point {
                let at = record + (facts.func.size + 4 * pcdata) as usize;
                module.put(at, &[0; 4])?;
            }
        }
        Ok(())
    })
}

/// Lets `change` work on the module's bytes, and puts what comes of it into the plan.
fn edit(
    plan: &mut Plan,
    facts: &Facts,
    change: impl FnOnce(&mut Module<'_>) -> Result<()>,
) -> Result<()> {
    let span = plan.module.context("the plan has no module")?;
    let write = plan
        .writes
        .iter_mut()
        .find(|write| write.kind == WriteKind::Module)
        .context("the plan writes no module")?;
    let start = write.at.get();
    let mut module = Module {
        facts,
        start,
        moduledata: (span.moduledata.get() - start) as usize,
        bytes: std::mem::take(&mut write.new),
    };
    let result = change(&mut module);
    write.new = module.bytes;
    write.old.resize(write.new.len(), 0);
    result
}

impl Module<'_> {
    fn put(&mut self, at: usize, bytes: &[u8]) -> Result<()> {
        let place = self.bytes.get_mut(at..at + bytes.len());
        place.context("outside the module")?.copy_from_slice(bytes);
        Ok(())
    }

    fn u32(&self, at: usize) -> Result<u32> {
        let bytes = self.bytes.get(at..at + 4).context("outside the module")?;
        Ok(u32::from_le_bytes(bytes.try_into()?))
    }

    fn u64(&self, at: usize) -> Result<u64> {
        let bytes = self.bytes.get(at..at + 8).context("outside the module")?;
        Ok(u64::from_le_bytes(bytes.try_into()?))
    }

    /// Where an address lies in the bytes.
    fn offset(&self, address: u64) -> Result<usize> {
        let offset = address
            .checked_sub(self.start)
            .map(|offset| offset as usize);
        offset
            .filter(|&offset| offset < self.bytes.len())
            .context("an address outside the module")
    }

    /// A field of the `moduledata`.
    const fn field(&self, field: u32) -> usize {
        self.moduledata + field as usize
    }

    /// The record of a function.
    fn record(&self, index: usize) -> Result<usize> {
        let layout = self.facts.module;
        let table = self.offset(self.u64(self.field(layout.ftab))?)?;
        let records = self.offset(self.u64(self.field(layout.pclntable))?)?;
        let offset = if self.facts.func.entry_is_offset {
            self.u32(table + 8 * index + 4)? as usize
        } else {
            self.u64(table + 16 * index + 8)? as usize
        };
        Ok(records + offset)
    }

    /// Where a table of a function lies, and the slice that holds it: a field of the `moduledata`.
    fn pc_value(&self, offset: u32) -> Result<(usize, usize)> {
        let layout = self.facts.module;
        let field = match self.facts.pclntab {
            PclntabGeneration::Go1_2 => layout.pclntable,
            _ => layout.pctab.context("no pctab")?,
        };
        let slice = self.field(field);
        let base = self.offset(self.u64(slice)?)?;
        Ok((base + offset as usize, slice))
    }

    /// A table's steps, and its length in bytes.
    fn steps(&self, at: usize) -> Result<(Steps, usize)> {
        let mut rest = self.bytes.get(at..).context("outside the module")?;
        let (mut value, mut end) = (-1i32, 0);
        let mut steps = Steps::new();
        loop {
            let delta = number(&mut rest)?;
            if delta == 0 && !steps.is_empty() {
                return Ok((steps, self.bytes.len() - at - rest.len()));
            }
            let magnitude = (delta >> 1).cast_signed();
            value += if delta & 1 == 1 {
                !magnitude
            } else {
                magnitude
            };
            end += number(&mut rest)?;
            steps.push((end, value));
        }
    }
}

/// A number in groups of seven bits, the low ones first.
fn number(rest: &mut &[u8]) -> Result<u32> {
    let mut value = 0;
    for group in 0..5 {
        let (&byte, after) = rest.split_first().context("half a number")?;
        *rest = after;
        value |= u32::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    ensure!(false, "a number without an end");
    Ok(value)
}

fn encode(steps: &[(u32, i32)]) -> Vec<u8> {
    let mut table = Vec::new();
    let mut put = |mut value: u32| {
        while value >= 0x80 {
            table.push(value as u8 | 0x80);
            value >>= 7;
        }
        table.push(value as u8);
    };
    let (mut value, mut from) = (-1i32, 0);
    for &(end, next) in steps {
        let delta = next - value;
        put(((delta << 1) ^ (delta >> 31)).cast_unsigned());
        put(end - from);
        (value, from) = (next, end);
    }
    table.push(0);
    table
}

/// The steps up to `end`, and nothing behind.
pub(crate) fn up_to(mut steps: Steps, end: u32) -> Steps {
    if let Some(last) = steps.iter().position(|step| step.0 >= end) {
        steps.truncate(last + 1);
        steps[last].0 = end;
    }
    steps
}

/// The steps, eight bytes deeper in `from..to`.
pub(crate) fn deepened(steps: &[(u32, i32)], from: u32, to: u32) -> Steps {
    let mut start = 0;
    let mut result: Steps = Vec::new();
    for &(end, depth) in steps {
        for (upto, more) in [(from, 0), (to, 8), (end, 0)] {
            let upto = upto.min(end);
            if upto <= start {
                continue;
            }
            match result.last_mut() {
                // A table names no value twice in a row: it would end there.
                Some(last) if last.1 == depth + more => last.0 = upto,
                _ => result.push((upto, depth + more)),
            }
            start = upto;
        }
    }
    result
}
