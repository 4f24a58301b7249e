//! Instructions of the runtime -> the offsets of the fields that they use, against the tables.
//!
//! | field | function | instructions |
//! |---|---|---|
//! | `g.stackguard0` | every second compiled function | `cmp rsp,[r14+10]` at its entry |
//! | `g.stack` | `runtime.stackcheck` (`asm_amd64.s`) | `cmp [g+hi],rsp`, `cmp rsp,[g+lo]` |
//! | `g.m`, `m.gsignal`, `m.g0` | `runtime.systemstack` (`asm_amd64.s`) | `mov m,[g+m]; cmp g,[m+gsignal]; … mov x,[m+g0]` |
//! | `m.procid` | `runtime.minit` (`os_linux.go`) | after `call gettid`: `mov m,[r14+m]; … mov [m+procid],x` |
//! | `m.id` | `runtime.mcommoninit` (`proc.go`) | after `call mReserveID`: `mov [m+id],rax` |
//! | `g.goid` | `runtime.newproc1` (`proc.go`) | `mov x,[p+c]; mov [g+goid],x; … inc [p+c]` |
//! | the nosplit limit | `runtime.malg` (`proc.go`) | `lea x,[lo+StackGuard]; mov [g+10],x` |

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::functions::is_compiled;
use super::{constant, release, unproven};
use crate::addr::LinkAddr;
use crate::golang::tables::G;
use crate::image::error::ImageError;
use crate::image::{Function, Image};

/// Instructions at the entry among which the stack check stands.
const HEAD: usize = 4;
/// Functions of the runtime are shorter than this.
const MAX_FUNCTION: usize = 1 << 14;

/// The instructions of a function, at most `count` of them.
fn decode(image: &Image<'_>, function: &Function<'_>, count: usize) -> Vec<Instruction> {
    let len = (function.size as usize).min(MAX_FUNCTION);
    let code = image.elf.bytes(function.entry, len).unwrap_or_default();
    Decoder::with_ip(64, code, function.entry.get(), DecoderOptions::NONE)
        .into_iter()
        .take(count)
        .collect()
}

/// At least every second compiled function compares its stack pointer with g's guard.
pub(super) fn stack_checks(image: &Image<'_>) -> Result<(), ImageError> {
    let release = release(image);
    let guards =
        ["stackguard0", "stackguard1"].map(|field| G.offset(field, release).map(u64::from));
    let (mut compiled, mut checked) = (0usize, 0usize);
    for function in image.functions.iter().filter(|one| is_compiled(image, one)) {
        compiled += 1;
        checked += usize::from(decode(image, function, HEAD).iter().any(|one| {
            one.mnemonic() == Mnemonic::Cmp
                && one.op1_kind() == OpKind::Memory
                && one.memory_base() == Register::R14
                && guards.contains(&Some(one.memory_displacement64()))
        }));
    }
    if checked * 2 <= compiled || compiled == 0 {
        let found =
            format!("{checked} of {compiled} compiled functions with the known stack check");
        return Err(unproven(
            image.module.minpc,
            found,
            "more than half of them",
        ));
    }
    match image.tls_g {
        Some(_) => Ok(()),
        None => Err(unproven(
            image.module.minpc,
            "no load of g",
            "loads that agree",
        )),
    }
}

/// The fields of g and m that hooks use.
pub(super) fn fields(image: &Image<'_>) -> Result<(), ImageError> {
    let known = image.facts.runtime;
    let proofs: [Proof; 6] = [
        (
            "runtime.stackcheck",
            "g.stack",
            stackcheck,
            &[known.g_stack_hi, known.g_stack_lo],
        ),
        (
            "runtime.systemstack",
            "g.m, m.gsignal, m.g0",
            systemstack,
            &[known.g_m, known.m_gsignal, known.m_g0],
        ),
        (
            "runtime.minit",
            "g.m, m.procid",
            minit,
            &[known.g_m, known.m_procid],
        ),
        ("runtime.mcommoninit", "m.id", mcommoninit, &[known.m_id]),
        ("runtime.newproc1", "g.goid", newproc1, &[known.g_goid]),
        (
            "runtime.malg",
            "the stack guard",
            malg,
            &[stack_guard(image)],
        ),
    ];
    for (name, what, read, expected) in proofs {
        // Of the functions of this name one is the body, another may be its ABI wrapper.
        let offsets: Vec<_> = image
            .functions_named(name)
            .filter_map(|function| {
                let code = decode(image, function, usize::MAX);
                read(&Code { image, code: &code })
            })
            .collect();
        if !(offsets.len() == 1 && offsets.iter().all(|found| found == expected)) {
            let at = image.functions_named(name).next().map(|one| one.entry);
            let found = format!("{what} at {offsets:?} by {name}, {expected:?} by the tables");
            return Err(unproven(
                at.unwrap_or(image.module.minpc),
                found,
                "the offsets of the known version",
            ));
        }
    }
    Ok(())
}

/// Function, what it shows, how, and the offsets that the tables have.
type Proof<'e> = (
    &'static str,
    &'static str,
    fn(&Code<'_, '_>) -> Option<Vec<u32>>,
    &'e [u32],
);

fn stack_guard(image: &Image<'_>) -> u32 {
    let guard = if image.race {
        let race = |constant: &&crate::golang::tables::Constant| {
            constant.race && constant.name == "stackGuard"
        };
        let found = crate::golang::tables::CONSTANTS.iter().find(race);
        found.and_then(|constant| constant.value_in(release(image)))
    } else {
        constant(image, "stackGuard")
    };
    guard
        .and_then(|guard| u32::try_from(guard).ok())
        .unwrap_or(0)
}

/// A decoded function.
struct Code<'c, 'd> {
    image: &'c Image<'d>,
    code: &'c [Instruction],
}

/// An instruction's memory operand: base register and displacement.
fn memory(one: &Instruction) -> Option<(Register, u32)> {
    let plain = one.memory_index() == Register::None && one.segment_prefix() == Register::None;
    let offset = u32::try_from(one.memory_displacement64()).ok()?;
    (plain && one.memory_base() != Register::None).then_some((one.memory_base(), offset))
}

/// `mov register,[base+offset]`
fn load(one: &Instruction) -> Option<(Register, Register, u32)> {
    let is_load = one.mnemonic() == Mnemonic::Mov && one.op1_kind() == OpKind::Memory;
    let (base, offset) = memory(one)?;
    is_load.then_some((one.op0_register(), base, offset))
}

/// `mov [base+offset],register`
fn store(one: &Instruction) -> Option<(Register, u32, Register)> {
    let is_store = one.mnemonic() == Mnemonic::Mov
        && one.op0_kind() == OpKind::Memory
        && one.op1_kind() == OpKind::Register;
    let (base, offset) = memory(one)?;
    is_store.then_some((base, offset, one.op1_register()))
}

/// `cmp` of a register with memory, either way round.
fn compare(one: &Instruction, register: Register) -> Option<(Register, u32)> {
    let other = match (one.op0_kind(), one.op1_kind()) {
        (OpKind::Register, OpKind::Memory) => one.op0_register(),
        (OpKind::Memory, OpKind::Register) => one.op1_register(),
        _ => return None,
    };
    (one.mnemonic() == Mnemonic::Cmp && other == register).then(|| memory(one))?
}

impl Code<'_, '_> {
    /// What follows the first call of the function `name`.
    fn after_call_of(&self, name: &str) -> Option<&[Instruction]> {
        let calls = |one: &Instruction| {
            one.is_call_near()
                && self
                    .image
                    .function_at(LinkAddr::new(one.near_branch_target()))
                    .is_some_and(|function| function.name == name)
        };
        let at = self.code.iter().position(calls)?;
        self.code.get(at + 1..)
    }
}

/// hi, lo
fn stackcheck(code: &Code<'_, '_>) -> Option<Vec<u32>> {
    let of_rsp = code
        .code
        .iter()
        .filter_map(|one| compare(one, Register::RSP));
    let offsets: Vec<u32> = of_rsp.map(|(_, offset)| offset).collect();
    (offsets.len() == 2).then_some(offsets)
}

/// g.m, m.gsignal, m.g0
fn systemstack(code: &Code<'_, '_>) -> Option<Vec<u32>> {
    let mut rest = code.code.iter();
    let (m, g, g_m) = rest.find_map(|one| {
        let (to, base, offset) = load(one)?;
        (base != Register::RSP && base != Register::RBP).then_some((to, base, offset))
    })?;
    let (base, gsignal) = rest.find_map(|one| compare(one, g))?;
    let (from, g0) = rest.find_map(|one| load(one).map(|(_, base, offset)| (base, offset)))?;
    (base == m && from == m).then(|| vec![g_m, gsignal, g0])
}

/// g.m, m.procid
fn minit(code: &Code<'_, '_>) -> Option<Vec<u32>> {
    let mut rest = code.after_call_of("runtime.gettid")?.iter();
    let (m, g_m) = rest.find_map(|one| {
        let (to, base, offset) = load(one)?;
        (base == Register::R14).then_some((to, offset))
    })?;
    let procid = rest.find_map(|one| {
        let (base, offset, _) = store(one)?;
        (base == m).then_some(offset)
    })?;
    Some(vec![g_m, procid])
}

/// m.id
fn mcommoninit(code: &Code<'_, '_>) -> Option<Vec<u32>> {
    let mut rest = code.after_call_of("runtime.mReserveID")?.iter();
    let id = rest.find_map(|one| {
        let (base, offset, value) = store(one)?;
        (base != Register::RSP && value == Register::RAX).then_some(offset)
    })?;
    Some(vec![id])
}

/// g.goid: `newg.goid = pp.goidcache; pp.goidcache++`
fn newproc1(code: &Code<'_, '_>) -> Option<Vec<u32>> {
    let increments = code
        .code
        .iter()
        .filter(|one| one.mnemonic() == Mnemonic::Inc);
    let counters: Vec<u32> = increments
        .filter_map(|one| memory(one).map(|(_, offset)| offset))
        .collect();
    let mut found = code.code.windows(2).filter_map(|pair| match pair {
        [first, second] => {
            let (to, _, counter) = load(first)?;
            let (_, goid, value) = store(second)?;
            (value == to && counters.contains(&counter)).then_some(goid)
        }
        _ => None,
    });
    let goid = found.next()?;
    found.next().is_none().then(|| vec![goid])
}

/// StackGuard: `newg.stackguard0 = newg.stack.lo + stackGuard`
fn malg(code: &Code<'_, '_>) -> Option<Vec<u32>> {
    let release = release(code.image);
    let guard0 = G.offset("stackguard0", release)?;
    code.code.windows(2).find_map(|pair| match pair {
        [first, second] => {
            let (_, offset, value) = store(second)?;
            let (_, added) = memory(first)?;
            let adds = first.mnemonic() == Mnemonic::Lea && first.op0_register() == value;
            (adds && offset == guard0).then(|| vec![added])
        }
        _ => None,
    })
}
