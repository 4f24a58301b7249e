//! The writes of a plan, as writes: places, order, lengths, old contents, and what nothing may overlap.

use crate::addr::{LinkAddr, RunAddr};
use crate::plan::{Plan, PlannedHook, Write, WriteKind};

use super::guards::STACK_INITIAL;
use super::{Findings, Original, RejectionCode as Code};

/// Bytes of a jump with a 32-bit displacement.
const JUMP: usize = 5;
/// The longest window: 5 bytes of jump and the rest of an instruction of 15.
const MAX_WINDOW: usize = JUMP + 14;
/// No trampoline is longer; the longest real one copies its arguments in a loop.
const MAX_TRAMPOLINE: u64 = 1 << 16;
const PAGE: u64 = 4096;
/// No plan is larger; the real ones are some MiB.
const MAX_MAPPING: u64 = 1 << 30;

/// The two fresh mappings as the writes leave them.
pub(super) struct Memory<'p> {
    pub(super) code: Mapping<'p>,
    pub(super) data: Mapping<'p>,
}

/// Bytes at their address.
#[derive(Default)]
pub(super) struct Mapping<'p> {
    pub(super) start: RunAddr,
    pub(super) bytes: &'p [u8],
}

impl<'p> Mapping<'p> {
    /// The bytes of `[from, to)`.
    pub(super) fn range(&self, from: RunAddr, to: RunAddr) -> Option<&'p [u8]> {
        let from = usize::try_from(from.offset_from(self.start)?).ok()?;
        let to = usize::try_from(to.offset_from(self.start)?).ok()?;
        self.bytes.get(from..to)
    }

    pub(super) fn end(&self) -> RunAddr {
        self.start
            .checked_add(self.bytes.len() as u64)
            .unwrap_or(self.start)
    }
}

/// Checks the writes; the answer is what they leave in the fresh mappings.
pub(super) fn check<'p>(
    original: &dyn Original,
    plan: &'p Plan,
    findings: &mut Findings,
) -> Memory<'p> {
    order(plan, findings);
    overlaps(plan, findings);
    let memory = Memory {
        code: fresh(plan, WriteKind::Code, plan.placement.code, findings),
        data: fresh(plan, WriteKind::Module, plan.placement.data, findings),
    };
    mappings(original, plan, &memory, findings);
    hooks(original, plan, &memory, findings);
    entries(original, plan, findings);
    links(original, plan, &memory, findings);
    max_stack_size(original, plan, findings);
    fillers(plan, &memory, findings);
    memory
}

fn order(plan: &Plan, findings: &mut Findings) {
    for write in &plan.writes {
        findings.check(
            !write.new.is_empty() && write.old.len() == write.new.len(),
            Code::Write,
            write.at,
            || {
                (
                    format!("{} bytes over {}", write.new.len(), write.old.len()),
                    "as many, and at least one".to_owned(),
                )
            },
        );
    }
    for pair in plan.writes.windows(2) {
        if let [before, after] = pair {
            findings.check(before.kind <= after.kind, Code::Write, after.at, || {
                (
                    format!("{:?} after {:?}", after.kind, before.kind),
                    "Code, Module, Link, LastModule, Entry".to_owned(),
                )
            });
        }
    }
    let hooked = !plan.hooks.is_empty();
    findings.check(
        hooked == plan.module.is_some() && hooked != plan.writes.is_empty(),
        Code::Write,
        plan.placement.data,
        || {
            (
                format!(
                    "{} hooks, module {:?}, {} writes",
                    plan.hooks.len(),
                    plan.module,
                    plan.writes.len()
                ),
                "hooks, a module and writes, or none of them".to_owned(),
            )
        },
    );
}

fn overlaps(plan: &Plan, findings: &mut Findings) {
    let mut ranges: Vec<(RunAddr, u64)> = plan
        .writes
        .iter()
        .map(|write| (write.at, write.new.len() as u64))
        .collect();
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        if let [(first, len), (second, _)] = *pair {
            let apart = first.checked_add(len).is_some_and(|end| end <= second);
            findings.check(apart, Code::Write, second, || {
                (
                    format!("a write over that of {len} bytes at {first}"),
                    "writes that do not overlap".to_owned(),
                )
            });
        }
    }
    if let Some(&(last, len)) = ranges.last() {
        findings.check(last.checked_add(len).is_some(), Code::Write, last, || {
            (
                format!("{len} bytes"),
                "an end in the address space".to_owned(),
            )
        });
    }
}

/// The one write into a fresh mapping, which starts where the mapping does.
fn fresh<'p>(
    plan: &'p Plan,
    kind: WriteKind,
    start: RunAddr,
    findings: &mut Findings,
) -> Mapping<'p> {
    let mut bytes = [].as_slice();
    let mut writes = plan.writes.iter().filter(|write| write.kind == kind);
    if let Some(write) = writes.next() {
        findings.check(write.at == start, Code::Write, write.at, || {
            (
                format!("{kind:?} written at {}", write.at),
                format!("the start of its mapping, {start}"),
            )
        });
        findings.check(
            write.old.iter().all(|&byte| byte == 0),
            Code::Old,
            write.at,
            || {
                (
                    "other bytes".to_owned(),
                    "zeros: the mapping is fresh".to_owned(),
                )
            },
        );
        bytes = write.new.as_slice();
    } else {
        findings.check(plan.hooks.is_empty(), Code::Write, start, || {
            (format!("no write of kind {kind:?}"), "one".to_owned())
        });
    }
    if let Some(second) = writes.next() {
        findings.add(
            Code::Write,
            second.at,
            format!("a second write of kind {kind:?}"),
            "one",
        );
    }
    Mapping { start, bytes }
}

fn mappings(original: &dyn Original, plan: &Plan, memory: &Memory<'_>, findings: &mut Findings) {
    let placement = &plan.placement;
    let geometry = placement.geometry;
    let shape = geometry.is_valid() && plan.hooks.len() as u64 <= u64::from(geometry.hooks);
    findings.check(shape, Code::Placement, placement.ring, || {
        (
            format!("{geometry:?} for {} hooks", plan.hooks.len()),
            "a valid shape of rings".to_owned(),
        )
    });
    let (low, high) = original.extent();
    let image = (
        placement.slide.run(low),
        high.offset_from(low).unwrap_or_default(),
    );
    let ring = if shape { geometry.size() } else { 0 };
    let mut ranges = [
        image,
        (placement.code, memory.code.bytes.len() as u64),
        (placement.data, memory.data.bytes.len() as u64),
        (placement.ring, ring),
    ];
    for (start, len) in &ranges[1..3] {
        findings.check(*len <= MAX_MAPPING, Code::Placement, *start, || {
            (format!("{len} bytes"), format!("at most {MAX_MAPPING}"))
        });
    }
    for (start, _) in &ranges[1..] {
        findings.check(start.get() % PAGE == 0, Code::Placement, *start, || {
            (start.to_string(), "a page's start".to_owned())
        });
    }
    ranges.sort_unstable();
    for pair in ranges.windows(2) {
        if let [(first, len), (second, _)] = *pair {
            // whole pages: a mapping takes them
            let end = first.checked_add(len).and_then(|end| end.align_up(PAGE));
            findings.check(
                end.is_some_and(|end| end <= second),
                Code::Placement,
                second,
                || {
                    (
                        format!("a mapping within {len} bytes of {first}"),
                        "program, code, data and rings apart".to_owned(),
                    )
                },
            );
        }
    }
    if let Some(&(last, len)) = ranges.last() {
        findings.check(
            last.checked_add(len).is_some(),
            Code::Placement,
            last,
            || {
                (
                    format!("{len} bytes"),
                    "an end in the address space".to_owned(),
                )
            },
        );
    }
}

fn hooks(original: &dyn Original, plan: &Plan, memory: &Memory<'_>, findings: &mut Findings) {
    let mut free = plan.placement.code;
    for (index, hook) in plan.hooks.iter().enumerate() {
        let at = hook.entry;
        findings.check(hook.id as usize == index, Code::Hook, at, || {
            (format!("hook {}", hook.id), format!("its index, {index}"))
        });
        identity(original, plan, hook, findings);
        let span = hook.trampoline;
        let ordered = free <= span.start
            && span.start < span.thunk
            && span.thunk < span.reloc
            && span.reloc < span.end
            && span.end <= memory.code.end()
            && span.end.offset_from(span.start) <= Some(MAX_TRAMPOLINE);
        findings.check(ordered, Code::Hook, at, || {
            (
                format!("{span:?}"),
                format!(
                    "start < thunk < reloc < end in [{free}, {})",
                    memory.code.end()
                ),
            )
        });
        free = span.end.max(free);
    }
}

fn identity(original: &dyn Original, plan: &Plan, hook: &PlannedHook, findings: &mut Findings) {
    let link = plan.placement.slide.link(hook.entry);
    let Some(function) = original.function_at(link) else {
        findings.add(
            Code::Hook,
            hook.entry,
            "no function there",
            "a function's entry",
        );
        return;
    };
    let same = function.entry == link
        && function.size == hook.size
        && function.args == Some(hook.args)
        && function.name == hook.name;
    findings.check(same, Code::Hook, hook.entry, || {
        (
            format!("{} of {} bytes, args {}", hook.name, hook.size, hook.args),
            format!("{function:?}"),
        )
    });
    let len = hook.window.len();
    let fits = (JUMP..=MAX_WINDOW).contains(&len) && len as u64 <= u64::from(function.size);
    findings.check(fits, Code::Hook, hook.entry, || {
        (
            format!("a window of {len} bytes"),
            format!("{JUMP} to {MAX_WINDOW}, inside the function"),
        )
    });
    findings.check(
        original.bytes(link, len) == Some(hook.window.as_slice()),
        Code::Hook,
        hook.entry,
        || {
            (
                format!("window {:02x?}", hook.window),
                format!("{:02x?}", original.bytes(link, len)),
            )
        },
    );
}

fn entries(original: &dyn Original, plan: &Plan, findings: &mut Findings) {
    let writes: Vec<&Write> = plan
        .writes
        .iter()
        .filter(|write| write.kind == WriteKind::Entry)
        .collect();
    findings.check(
        writes.len() == plan.hooks.len(),
        Code::Entry,
        plan.placement.code,
        || {
            (
                format!("{} jumps", writes.len()),
                format!("{}, one per hook", plan.hooks.len()),
            )
        },
    );
    let mut ends: Vec<(RunAddr, u64)> = Vec::with_capacity(plan.hooks.len());
    for (hook, write) in plan.hooks.iter().zip(writes) {
        let link = plan.placement.slide.link(hook.entry);
        let here = write.at == hook.entry && write.new.len() == JUMP;
        findings.check(here, Code::Entry, write.at, || {
            (
                format!("{} bytes", write.new.len()),
                format!(
                    "{JUMP} bytes at {}, the entry of hook {}",
                    hook.entry, hook.id
                ),
            )
        });
        findings.check(
            original.bytes(link, write.old.len()) == Some(write.old.as_slice()),
            Code::Old,
            write.at,
            || {
                (
                    format!("{:02x?}", write.old),
                    format!("{:02x?}", original.bytes(link, write.old.len())),
                )
            },
        );
        findings.check(
            target(write) == Some(hook.trampoline.start),
            Code::Entry,
            write.at,
            || {
                (
                    format!("{:02x?}", write.new),
                    format!("a jump to {}", hook.trampoline.start),
                )
            },
        );
        ends.push((hook.entry, hook.window.len() as u64));
    }
    ends.sort_unstable();
    for pair in ends.windows(2) {
        if let [(first, len), (second, _)] = *pair {
            let apart = first.checked_add(len).is_some_and(|end| end <= second);
            findings.check(apart, Code::Entry, second, || {
                (
                    format!("the window of {first} reaches here"),
                    "windows apart".to_owned(),
                )
            });
        }
    }
}

/// Where the jump of an entry write goes: `e9`, then the distance from its own end (Intel SDM, `JMP rel32`).
fn target(write: &Write) -> Option<RunAddr> {
    match *write.new.as_slice() {
        [0xe9, a, b, c, d] => {
            let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
            let end = write.at.get().wrapping_add(JUMP as u64);
            Some(RunAddr::new(end.wrapping_add_signed(distance)))
        }
        _ => None,
    }
}

/// A pointer of the file as the loader leaves it in this process.
pub(super) fn loaded(original: &dyn Original, plan: &Plan, at: LinkAddr) -> Option<u64> {
    original.pointer(at).map(|value| match value {
        0 => 0,
        value => plan.placement.slide.run(LinkAddr::new(value)).get(),
    })
}

fn links(original: &dyn Original, plan: &Plan, memory: &Memory<'_>, findings: &mut Findings) {
    let Some(module) = plan.module else {
        return;
    };
    let slide = plan.placement.slide;
    let inside = module.moduledata >= memory.data.start
        && module.end == memory.data.end()
        && module
            .moduledata
            .checked_add(u64::from(original.facts().module.size))
            .is_some_and(|end| end <= module.end);
    findings.check(inside, Code::Module, module.moduledata, || {
        (
            format!("{module:?}"),
            format!(
                "a moduledata in the write that ends at {}",
                memory.data.end()
            ),
        )
    });
    let first = original.first_moduledata();
    let next = first.checked_add(u64::from(original.facts().module.next));
    let mut expected = Vec::new();
    if let Some(next) = next {
        expected.push((WriteKind::Link, next));
    }
    if let Some(variable) = original.last_moduledatap()
        && loaded(original, plan, variable) == Some(slide.run(first).get())
    {
        expected.push((WriteKind::LastModule, variable));
    }
    let found: Vec<&Write> = plan
        .writes
        .iter()
        .filter(|write| matches!(write.kind, WriteKind::LastModule | WriteKind::Link))
        .collect();
    let kinds = |list: &[&Write]| list.iter().map(|write| write.kind).collect::<Vec<_>>();
    let wanted: Vec<WriteKind> = expected.iter().map(|(kind, _)| *kind).collect();
    findings.check(
        kinds(&found) == wanted,
        Code::Link,
        module.moduledata,
        || (format!("{:?}", kinds(&found)), format!("{wanted:?}")),
    );
    for (write, (_, link)) in found.iter().zip(expected) {
        let at = slide.run(link);
        findings.check(write.at == at, Code::Link, write.at, || {
            (format!("{:?} at {}", write.kind, write.at), at.to_string())
        });
        let old = loaded(original, plan, link).map(u64::to_le_bytes);
        findings.check(
            old.is_some_and(|old| old == *write.old),
            Code::Old,
            write.at,
            || (format!("{:02x?}", write.old), format!("{old:02x?}")),
        );
        let new = module.moduledata.get().to_le_bytes();
        findings.check(*write.new == new, Code::Link, write.at, || {
            (format!("{:02x?}", write.new), format!("{new:02x?}"))
        });
    }
}

/// The variable that trampolines read is the one that bounds the program's stacks: an aligned word which the file sets to
/// what the runtime starts with.
fn max_stack_size(original: &dyn Original, plan: &Plan, findings: &mut Findings) {
    let known = original.max_stack_size();
    let expected = known.map(|at| plan.placement.slide.run(at));
    let at = plan.max_stack_size.unwrap_or(plan.placement.code);
    findings.check(plan.max_stack_size == expected, Code::Guards, at, || {
        (
            format!("runtime.maxstacksize at {:?}", plan.max_stack_size),
            format!("at {expected:?}"),
        )
    });
    if let Some(known) = known {
        let word = original.pointer(known);
        let sets = word == Some(STACK_INITIAL) && known.get().is_multiple_of(8);
        findings.check(sets, Code::Guards, at, || {
            (
                format!("{word:x?} at {known}"),
                format!("an aligned word that is {STACK_INITIAL:#x} in the file"),
            )
        });
    }
}

/// What lies between and after the trampolines.
fn fillers(plan: &Plan, memory: &Memory<'_>, findings: &mut Findings) {
    let mut free = memory.code.start;
    let ends = plan
        .hooks
        .iter()
        .map(|hook| (hook.trampoline.start, hook.trampoline.end))
        .chain([(memory.code.end(), memory.code.end())]);
    for (start, end) in ends {
        let gap = memory.code.range(free, start).unwrap_or_default();
        if let Some(i) = gap.iter().position(|&byte| byte != 0xcc) {
            findings.add(
                Code::Filler,
                free.checked_add(i as u64).unwrap_or(free),
                format!("{:02x?}", gap.get(i)),
                "cc between trampolines",
            );
        }
        free = end;
    }
}
