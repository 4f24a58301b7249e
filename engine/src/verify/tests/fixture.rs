//! A made-up program, for every Go version and ABI, and the plan that hooks its first function.

use iced_x86::{Decoder, DecoderOptions};

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
const MAX_STACK: u64 = 0x60_1040;
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
    pub(super) name: &'static str,
    /// Bytes displaced: whole instructions without branches. `None`: the beginning of a check of the stack.
    pub(super) window: Option<&'static [u8]>,
    /// Whether `runtime.maxstacksize` is found.
    pub(super) max_stack: bool,
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
            name: "main.f",
            window: None,
            max_stack: true,
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

/// A program.
pub(super) struct Fake {
    pub(super) version: GoVersion,
    pub(super) facts: Facts,
    pub(super) race: bool,
    pub(super) text: Vec<u8>,
    /// One after the other, from [`TEXT`] on.
    pub(super) functions: Vec<OriginalFunction<'static>>,
    pub(super) next: u64,
    pub(super) max_stack: Option<u64>,
    /// What the file has there.
    pub(super) initial_max_stack: u64,
    pub(super) hashed: Vec<(LinkAddr, LinkAddr)>,
    pub(super) assumed_like: Option<GoVersion>,
}

impl Fake {
    /// Adds a function, in 64 bytes.
    pub(super) fn push(
        &mut self,
        name: &'static str,
        code: &[u8],
    ) -> &mut OriginalFunction<'static> {
        let entry = LinkAddr::new(TEXT + self.text.len() as u64);
        self.text.extend_from_slice(code);
        self.text
            .resize(self.text.len().next_multiple_of(SIZE as usize), 0xcc);
        self.functions.push(OriginalFunction {
            name,
            entry,
            size: SIZE,
            ..self.functions[0]
        });
        self.functions.last_mut().unwrap()
    }

    /// Makes the hooked function assembly, declared in Go.
    pub(super) fn make_assembly(&mut self) {
        let hooked = &mut self.functions[0];
        hooked.has_locals_map = false;
        hooked.flags = self.facts.func_flag_asm.unwrap_or_default();
    }
}

impl Original for Fake {
    fn version(&self) -> GoVersion {
        self.version
    }
    fn assumed_like(&self) -> Option<GoVersion> {
        self.assumed_like
    }
    fn facts(&self) -> &Facts {
        &self.facts
    }
    fn hashed_text(&self) -> Vec<(LinkAddr, LinkAddr)> {
        self.hashed.clone()
    }
    fn is_race(&self) -> bool {
        self.race
    }
    fn tls_g(&self) -> Option<i32> {
        Some(-8)
    }
    fn max_stack_size(&self) -> Option<LinkAddr> {
        self.max_stack.map(LinkAddr::new)
    }
    fn bytes(&self, at: LinkAddr, len: usize) -> Option<&[u8]> {
        let from = usize::try_from(at.get().checked_sub(TEXT)?).ok()?;
        self.text.get(from..from.checked_add(len)?)
    }
    fn pointer(&self, at: LinkAddr) -> Option<u64> {
        match at.get() {
            LAST => Some(FIRST),
            MAX_STACK => Some(self.initial_max_stack),
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
    fn functions(&self) -> Box<dyn Iterator<Item = OriginalFunction<'_>> + '_> {
        Box::new(self.functions.iter().copied())
    }
    fn function_at(&self, pc: LinkAddr) -> Option<OriginalFunction<'_>> {
        self.functions().find(|f| {
            pc.offset_from(f.entry)
                .is_some_and(|at| at < u64::from(f.size))
        })
    }
    fn stack_delta(&self, _: LinkAddr) -> Option<i32> {
        Some(0)
    }
    fn stack_steps(&self, pc: LinkAddr) -> Vec<(LinkAddr, i32)> {
        let end = self
            .function_at(pc)
            .map(|f| f.entry.checked_add(u64::from(f.size)));
        end.flatten().map(|end| (end, 0)).into_iter().collect()
    }
}

/// A window, its relocated form, and where each instruction lies in both.
struct Window {
    old: Vec<u8>,
    new: Vec<u8>,
    from: Vec<usize>,
    to: Vec<usize>,
}

/// That of a compiled function (`cmp rsp,[r14+16]; jbe`, or the load of g), or one that was asked for.
fn window(case: Case, entry: u64, reloc: u64) -> Window {
    let jump = |code: &mut Vec<u8>, opcode: &[u8], target: u64| {
        code.extend_from_slice(opcode);
        let end = reloc + code.len() as u64 + 4;
        let distance = i32::try_from(target.wrapping_sub(end).cast_signed()).unwrap();
        code.extend_from_slice(&distance.to_le_bytes());
    };
    let straight = |old: &[u8]| {
        let mut new = old.to_vec();
        jump(&mut new, &[0xe9], entry + old.len() as u64);
        let decoder = Decoder::with_ip(64, old, 0, DecoderOptions::NONE);
        let places: Vec<usize> = decoder.into_iter().map(|i| i.ip() as usize).collect();
        Window {
            old: old.to_vec(),
            new,
            from: places.clone(),
            to: places,
        }
    };
    match (case.window, case.abi) {
        (Some(window), _) => straight(window),
        (None, Abi::Abi0) => straight(load_of_g(case.minor)),
        (None, Abi::AbiInternal) => {
            let old = vec![0x49, 0x3b, 0x66, 0x10, 0x76, 0x20];
            let mut new = old[..4].to_vec();
            jump(&mut new, &[0x0f, 0x86], entry + 6 + 0x20);
            jump(&mut new, &[0xe9], entry + 6);
            Window {
                old,
                new,
                from: vec![0, 4],
                to: vec![0, 4],
            }
        }
    }
}

/// `mov rcx,fs:[-8]`; into R14 from 1.17 on.
fn load_of_g(minor: u16) -> &'static [u8] {
    if minor < 17 {
        &[0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff]
    } else {
        &[0x64, 0x4c, 0x8b, 0x34, 0x25, 0xf8, 0xff, 0xff, 0xff]
    }
}

/// The program and its plan.
pub(super) fn plan(case: Case) -> (Fake, Plan) {
    let version = GoVersion::new(case.minor, 3);
    let facts = Facts::for_version(version).unwrap();
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
    let max_stack = case.max_stack.then_some(MAX_STACK);
    let max_stack_size = max_stack.map(|at| RunAddr::new(base + at));
    let request = emit::Request {
        facts: &facts,
        race: false,
        tls_g: Some(-8),
        geometry,
        ring: placement.ring,
        max_stack: max_stack_size,
        hook: 0,
        abi: case.abi,
        args: case.args,
        callee_stack: case.callee_stack,
        raw: case.raw,
    };
    let trampoline = emit::trampoline(&request, placement.code).unwrap();
    let start = placement.code.get();
    let reloc = start + u64::from(trampoline.reloc);
    let Window { old, new, from, to } = window(case, entry, reloc);
    let mut code = trampoline.code.clone();
    code.extend_from_slice(&new);
    let end = start + code.len() as u64;
    while !code.len().is_multiple_of(16) {
        code.push(0xcc);
    }
    let mut text = old.clone();
    if case.abi == Abi::Abi0 && case.window.is_none() {
        // cmp rsp,[rcx+16] (or r14); jbe
        let base: &[u8] = if case.minor < 17 {
            &[0x48, 0x3b, 0x61]
        } else {
            &[0x49, 0x3b, 0x66]
        };
        text.extend_from_slice(&[base, &[0x10, 0x76, 0x20]].concat());
    }
    text.resize(SIZE as usize, 0x90);
    let mut depth = trampoline.depth.clone();
    depth.push((code.len() as u32, 0));
    let module = module::build(
        &facts,
        &[ModuleFunction {
            name: format!("gondwana.hook:{}", case.name),
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
        max_stack_size,
        hooks: vec![PlannedHook {
            id: 0,
            name: case.name.to_owned(),
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
        version,
        facts,
        race: false,
        text,
        functions: vec![OriginalFunction {
            name: case.name,
            entry: LinkAddr::new(TEXT),
            size: SIZE,
            args: Some(case.args),
            flags: 0,
            func_id: 0,
            has_args_map: true,
            has_locals_map: true,
        }],
        next: 0,
        max_stack,
        initial_max_stack: 1 << 20,
        hashed: Vec::new(),
        assumed_like: None,
    };
    (fake, plan)
}
