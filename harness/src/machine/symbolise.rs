//! Addresses -> Go functions, and threads -> backtraces, by the program's own tables.
//!
//! Unwinds by `pcsp`, as the runtime does (`runtime/traceback.go`), through signal frames and through hooks. Works on
//! stripped programs; on a program that is no Go program it knows nothing.

use gondwana_engine::addr::{LinkAddr, RunAddr, Slide};
use gondwana_engine::image::Image;
use gondwana_engine::module;
use gondwana_engine::plan::{Plan, PlannedHook};
use iced_x86::{Decoder, DecoderOptions, Mnemonic, OpKind, Register};

use super::deliver::{UCONTEXT_RIP, UCONTEXT_RSP};
use super::process::Machine;
use super::registers::Registers;
use super::threads::Tid;

/// Frames that are shown of one thread.
const MAX_FRAMES: usize = 100;

/// One frame of a backtrace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// The function and the offset in it, as `main.f+0x12`.
    pub name: String,
    /// The instruction that runs, or, in callers, the one that the call returns to.
    pub pc: RunAddr,
    /// The stack pointer there.
    pub sp: RunAddr,
}

/// What is known of the program's code.
pub(super) struct Symbols<'p> {
    image: Option<Image<'p>>,
    slide: Slide,
    hooks: Vec<PlannedHook>,
}

impl<'p> Symbols<'p> {
    /// For a program that was loaded with this entry point.
    pub(super) fn new(file: &'p [u8], entry: RunAddr) -> Self {
        let image = Image::parse(file).ok();
        let slide = image
            .as_ref()
            .map_or(Slide::ZERO, |image| image.slide_from_entry(entry));
        Self {
            image,
            slide,
            hooks: Vec::new(),
        }
    }

    pub(super) const fn image(&self) -> Option<&Image<'p>> {
        self.image.as_ref()
    }

    pub(super) const fn slide(&self) -> Slide {
        self.slide
    }

    /// From now on the trampolines of these hooks are known too.
    pub(super) fn add_hooks(&mut self, plan: &Plan) {
        self.hooks.clone_from(&plan.hooks);
    }

    fn link(&self, pc: RunAddr) -> LinkAddr {
        self.slide.link(pc)
    }

    fn hook_at(&self, pc: RunAddr) -> Option<&PlannedHook> {
        let inside = |hook: &&PlannedHook| {
            let span = hook.trampoline;
            span.start <= pc && pc < span.end
        };
        self.hooks.iter().find(inside)
    }

    /// `main.f+0x12`, or the address if there is no function.
    pub(super) fn name(&self, pc: RunAddr) -> String {
        if let Some(hook) = self.hook_at(pc) {
            let offset = pc.offset_from(hook.trampoline.start).unwrap_or(0);
            return format!("{}+{offset:#x}", module::function_name(&hook.name));
        }
        let link = self.link(pc);
        let function = self.image.as_ref().and_then(|i| i.function_at(link));
        match function {
            Some(function) => {
                let offset = link.offset_from(function.entry).unwrap_or(0);
                format!("{}+{offset:#x}", function.name)
            }
            None => pc.to_string(),
        }
    }

    /// Bytes between the stack pointer at `pc` and the return address, in a Go function; `top` if nothing called it.
    fn depth(&self, pc: RunAddr) -> Option<Depth> {
        let image = self.image.as_ref()?;
        let link = self.link(pc);
        let function = image.function_at(link)?;
        // As `topofstack` in runtime/traceback.go.
        let top = [
            "runtime.goexit",
            "runtime.mstart",
            "runtime.rt0_go",
            "runtime.mcall",
            "runtime.morestack",
            "runtime.systemstack_switch",
            "runtime.clone",
        ];
        if top.contains(&function.name) || function.name.starts_with("_rt0_") {
            return Some(Depth::Top);
        }
        if function.name.starts_with("runtime.sigreturn") {
            return Some(Depth::SignalFrame);
        }
        let step = image.pcsp(function).find(|&(end, _)| link < end)?;
        u64::try_from(step.1).ok().map(Depth::Bytes)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Depth {
    Bytes(u64),
    SignalFrame,
    Top,
}

impl Machine<'_> {
    /// The calls that a thread is in, the innermost first.
    #[must_use]
    pub fn backtrace(&self, tid: Tid) -> Vec<Frame> {
        self.registers(tid)
            .map_or_else(|_| Vec::new(), |regs| self.unwind(&regs))
    }

    /// `main.f+0x12`, or the address if no function is known there.
    #[must_use]
    pub fn name_of(&self, pc: RunAddr) -> String {
        self.symbols.name(pc)
    }

    fn unwind(&self, regs: &Registers) -> Vec<Frame> {
        let (mut pc, mut sp) = (RunAddr::new(regs.rip), RunAddr::new(regs.rsp));
        let mut frames: Vec<Frame> = Vec::new();
        // A return address is looked up by the call before it; an interrupted instruction by itself.
        let mut called = false;
        while frames.len() < MAX_FRAMES {
            frames.push(Frame {
                name: self.symbols.name(pc),
                pc,
                sp,
            });
            let look = if called {
                RunAddr::new(pc.get().wrapping_sub(1))
            } else {
                pc
            };
            let depth = match self.symbols.hook_at(look) {
                Some(hook) => self.hook_depth(hook, look),
                None => self.symbols.depth(look),
            };
            let next = match depth {
                Some(Depth::Bytes(bytes)) => {
                    called = true;
                    let at = sp.checked_add(bytes);
                    at.and_then(|at| Some((self.word(at)?, at.get().checked_add(8)?)))
                }
                Some(Depth::SignalFrame) => {
                    called = false;
                    // The stack pointer is at the `ucontext`.
                    let saved = |offset| self.word(sp.checked_add(offset)?);
                    saved(UCONTEXT_RIP).zip(saved(UCONTEXT_RSP))
                }
                Some(Depth::Top) | None => None,
            };
            match next {
                Some((to, stack)) if to != 0 => (pc, sp) = (RunAddr::new(to), RunAddr::new(stack)),
                _ => break,
            }
        }
        frames
    }

    /// The depth in a trampoline: what its instructions before `pc` have pushed and subtracted. (It is one straight line,
    /// frame and all, up to its end; the relocated prologue behind it starts at 0 again.)
    fn hook_depth(&self, hook: &PlannedHook, pc: RunAddr) -> Option<Depth> {
        let span = hook.trampoline;
        let code = self.read(span.start, span.end.offset_from(span.start)? as usize)?;
        let decoder = Decoder::with_ip(64, &code, span.start.get(), DecoderOptions::NONE);
        let mut depth = 0u64;
        for instruction in decoder {
            if instruction.ip() >= pc.get() {
                break;
            }
            let on_rsp = instruction.op0_register() == Register::RSP
                && instruction.op1_kind() != OpKind::Register;
            match instruction.mnemonic() {
                Mnemonic::Push => depth += 8,
                Mnemonic::Sub if on_rsp => depth = depth.wrapping_add(instruction.immediate(1)),
                Mnemonic::Pop => depth = depth.wrapping_sub(8),
                Mnemonic::Add if on_rsp => depth = depth.wrapping_sub(instruction.immediate(1)),
                _ => {}
            }
        }
        Some(Depth::Bytes(depth))
    }
}
