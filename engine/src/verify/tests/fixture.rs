//! A made-up program of one function, for every Go version and ABI, and the plan that hooks it.

use crate::addr::{LinkAddr, RunAddr, Slide};
use crate::emit;
use crate::golang::{Abi, Facts, GoVersion};
use crate::module::{self, ModuleFunction};
use crate::plan::{
    HookOptions, ModuleSpan, Placement, Plan, PlannedHook, TrampolineSpan, Write, WriteKind,
};
use crate::ring::RingGeometry;
use crate::site::CalleeStack;
use crate::verify::{Original, OriginalFunction};

pub(super) const TEXT: u64 = 0x40_1000;
const FIRST: u64 = 0x60_0000;
const LAST: u64 = 0x60_1000;
const SIZE: u32 = 64;

/// What is asked of the fixture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) minor: u16,
    pub(super) abi: Abi,
    pub(super) args: u32,
    pub(super) callee_stack: CalleeStack,
    pub(super) raw: bool,
    pub(super) slide: u64,
    #[cfg(feature = "sabotage")]
    pub(super) sabotage: Option<crate::plan::Sabotage>,
}

impl Case {
    pub(super) fn new(minor: u16, abi: Abi) -> Self {
        Self {
            minor,
            abi,
            args: 24,
            callee_stack: CalleeStack::Checked,
            raw: false,
            slide: 0,
            #[cfg(feature = "sabotage")]
            sabotage: None,
        }
    }

    /// Both ABIs of every version that has them.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (5..=27).flat_map(|minor| {
            let old = Self::new(minor, Abi::Abi0);
            let new = (minor >= 17).then(|| Self::new(minor, Abi::AbiInternal));
            [Some(old), new].into_iter().flatten()
        })
    }
}

/// A program with one function.
pub(super) struct Fake {
    pub(super) facts: Facts,
    pub(super) race: bool,
    pub(super) text: Vec<u8>,
    pub(super) args: u32,
    pub(super) next: u64,
}

impl Original for Fake {
    fn facts(&self) -> &Facts {
        &self.facts
    }
    fn is_race(&self) -> bool {
        self.race
    }
    fn tls_g(&self) -> Option<i32> {
        Some(-8)
    }
    fn bytes(&self, at: LinkAddr, len: usize) -> Option<&[u8]> {
        let from = usize::try_from(at.get().checked_sub(TEXT)?).ok()?;
        self.text.get(from..from.checked_add(len)?)
    }
    fn pointer(&self, at: LinkAddr) -> Option<u64> {
        match at.get() {
            LAST => Some(FIRST),
            x if x == FIRST + u64::from(self.facts.module.next) => Some(self.next),
            _ => None,
        }
    }
    fn first_moduledata(&self) -> LinkAddr {
        LinkAddr::new(FIRST)
    }
    fn last_moduledatap(&self) -> Option<LinkAddr> {
        Some(LinkAddr::new(LAST))
    }
    fn extent(&self) -> (LinkAddr, LinkAddr) {
        (LinkAddr::new(0x40_0000), LinkAddr::new(0x70_0000))
    }
    fn function_at(&self, pc: LinkAddr) -> Option<OriginalFunction<'_>> {
        (TEXT..TEXT + u64::from(SIZE))
            .contains(&pc.get())
            .then_some(OriginalFunction {
                name: "main.f",
                entry: LinkAddr::new(TEXT),
                size: SIZE,
                args: Some(self.args),
            })
    }
    fn stack_delta(&self, _: LinkAddr) -> Option<i32> {
        Some(0)
    }
    fn deepest_stack(&self, _: LinkAddr) -> Option<i32> {
        Some(0)
    }
}

/// The window of a compiled function (`cmp rsp,[r14+16]; jbe`, or the load of g) and its relocated form.
fn window(abi: Abi, entry: u64, reloc: u64) -> (Vec<u8>, Vec<u8>, Vec<usize>, Vec<usize>) {
    let jump = |code: &mut Vec<u8>, opcode: &[u8], target: u64| {
        code.extend_from_slice(opcode);
        let end = reloc + code.len() as u64 + 4;
        let distance = i32::try_from(target.wrapping_sub(end).cast_signed()).unwrap();
        code.extend_from_slice(&distance.to_le_bytes());
    };
    match abi {
        Abi::Abi0 => {
            let old = vec![0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff];
            let mut new = old.clone();
            jump(&mut new, &[0xe9], entry + 9);
            (old, new, vec![0], vec![0])
        }
        Abi::AbiInternal => {
            let old = vec![0x49, 0x3b, 0x66, 0x10, 0x76, 0x20];
            let mut new = old[..4].to_vec();
            jump(&mut new, &[0x0f, 0x86], entry + 6 + 0x20);
            jump(&mut new, &[0xe9], entry + 6);
            (old, new, vec![0, 4], vec![0, 4])
        }
    }
}

/// The program and its plan.
pub(super) fn plan(case: Case) -> (Fake, Plan) {
    let facts = Facts::for_version(GoVersion::new(case.minor, 3)).unwrap();
    let slide = Slide::between(LinkAddr::new(0), RunAddr::new(case.slide));
    let geometry = RingGeometry {
        rings: 256,
        slots: 1 << 14,
        hooks: 3,
    };
    let base = case.slide;
    let placement = Placement {
        slide,
        code: RunAddr::new(base + 0x100_0000),
        data: RunAddr::new(base + 0x200_0000),
        ring: RunAddr::new(0x7f00_0000_0000),
        geometry,
    };
    let entry = base + TEXT;
    let request = emit::Request {
        facts: &facts,
        race: false,
        tls_g: Some(-8),
        geometry,
        ring: placement.ring,
        hook: 0,
        abi: case.abi,
        args: case.args,
        callee_stack: case.callee_stack,
        raw: case.raw,
        #[cfg(feature = "sabotage")]
        sabotage: case.sabotage,
    };
    let trampoline = emit::trampoline(&request, placement.code).unwrap();
    let start = placement.code.get();
    let reloc = start + u64::from(trampoline.reloc);
    let (old, new, from, to) = window(case.abi, entry, reloc);
    let mut code = trampoline.code.clone();
    code.extend_from_slice(&new);
    let end = start + code.len() as u64;
    while !code.len().is_multiple_of(16) {
        code.push(0xcc);
    }
    let mut text = old.clone();
    if case.abi == Abi::Abi0 {
        // cmp rsp,[rcx+16]; jbe
        text.extend_from_slice(&[0x48, 0x3b, 0x61, 0x10, 0x76, 0x20]);
    }
    text.resize(SIZE as usize, 0x90);
    let mut depth = trampoline.depth.clone();
    depth.push((code.len() as u32, 0));
    let module = module::build(
        &facts,
        &[ModuleFunction {
            name: "gondwana.hook:main.f".to_owned(),
            start: placement.code,
            end: RunAddr::new(start + code.len() as u64),
            depth,
        }],
        placement.data,
        0,
    )
    .unwrap();
    let moduledata = RunAddr::new(placement.data.get() + u64::from(module.moduledata));
    let pointer = moduledata.get().to_le_bytes().to_vec();
    let write = |kind, at: u64, old: Vec<u8>, new: Vec<u8>| Write {
        kind,
        at: RunAddr::new(at),
        old,
        new,
    };
    let first = base + FIRST;
    let distance = i32::try_from((start - (entry + 5)).cast_signed()).unwrap();
    let mut jump = vec![0xe9];
    jump.extend_from_slice(&distance.to_le_bytes());
    let writes = vec![
        write(WriteKind::Code, start, vec![0; code.len()], code.clone()),
        write(
            WriteKind::Module,
            placement.data.get(),
            vec![0; module.bytes.len()],
            module.bytes.clone(),
        ),
        write(
            WriteKind::Link,
            first + u64::from(facts.module.next),
            vec![0; 8],
            pointer.clone(),
        ),
        write(
            WriteKind::LastModule,
            base + LAST,
            first.to_le_bytes().to_vec(),
            pointer,
        ),
        write(WriteKind::Entry, entry, old[..5].to_vec(), jump),
    ];
    let plan = Plan {
        placement,
        hooks: vec![PlannedHook {
            id: 0,
            name: "main.f".to_owned(),
            entry: RunAddr::new(entry),
            size: SIZE,
            window: old,
            abi: case.abi,
            args: case.args,
            callee_stack: case.callee_stack,
            options: HookOptions { raw: case.raw },
            inlined_copies: 0,
            trampoline: TrampolineSpan {
                start: placement.code,
                thunk: RunAddr::new(start + u64::from(trampoline.thunk)),
                reloc: RunAddr::new(reloc),
                end: RunAddr::new(end),
            },
            moved: from
                .iter()
                .zip(&to)
                .map(|(&a, &b)| {
                    (
                        RunAddr::new(entry + a as u64),
                        RunAddr::new(reloc + b as u64),
                    )
                })
                .collect(),
        }],
        refused: Vec::new(),
        module: Some(ModuleSpan {
            moduledata,
            end: RunAddr::new(placement.data.get() + module.bytes.len() as u64),
        }),
        writes,
    };
    let fake = Fake {
        facts,
        race: false,
        text,
        args: case.args,
        next: 0,
    };
    (fake, plan)
}
