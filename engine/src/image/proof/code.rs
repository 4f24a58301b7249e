//! Instructions of the runtime -> the offsets of the fields that they use, against the tables.
//!
//! | field | function | instructions |
//! |---|---|---|
//! | `g.stack` | `runtime.stackcheck` (`asm_amd64.s`) | `cmp [g+hi],rsp`, `cmp rsp,[g+lo]` |
//! | `g.m`, `m.gsignal`, `m.g0` | `runtime.systemstack` (`asm_amd64.s`) | `mov m,[g+m]; cmp g,[m+gsignal]; … mov x,[m+g0]` |
//! | `m.procid` | `runtime.minit` (`os_linux.go`) | after `call gettid`: `mov m,[r14+m]; … mov [m+procid],x` |
//! | `m.id` | `runtime.mcommoninit` (`proc.go`) | after `call mReserveID`: `mov [m+id],rax` |
//! | `g.goid` | `runtime.newproc1` (`proc.go`) | `mov x,[p+c]; mov [g+goid],x; … inc [p+c]` |

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

use super::{Claim, Described, unproven};
use crate::addr::LinkAddr;
use crate::image::error::ImageError;
use crate::image::{Function, Image, limits};

/// Functions of the runtime are shorter than this.
const MAX_FUNCTION: usize = 1 << 14;

/// The instructions of a function, at most `count` of them.
pub(super) fn decode(image: &Image<'_>, function: &Function<'_>, count: usize) -> Vec<Instruction> {
    let len = (function.size as usize).min(MAX_FUNCTION);
    let code = image.elf.bytes(function.entry, len).unwrap_or_default();
    Decoder::with_ip(64, code, function.entry.get(), DecoderOptions::NONE)
        .into_iter()
        .take(count)
        .collect()
}

/// One field or several: where they show, how, and from which minor version on the code is like that.
struct Proof<'e> {
    name: &'static str,
    what: &'static str,
    since: u16,
    read: fn(&Code<'_, '_>) -> Option<Vec<u32>>,
    /// The offsets that the tables have.
    expected: &'e [u32],
    described: bool,
}

/// The fields of g and m that hooks use: those without a descriptor, and all where the version is not known.
pub(super) fn fields(
    image: &Image<'_>,
    claim: &Claim,
    described: Described,
) -> Result<(), ImageError> {
    let known = image.facts.runtime;
    let both = described.g && described.m;
    let proof = |name, what, since, read, expected, described| Proof {
        name,
        what,
        since,
        read,
        expected,
        described,
    };
    let stack = [known.g_stack_hi, known.g_stack_lo];
    let system = [known.g_m, known.m_gsignal, known.m_g0];
    let procid = [known.g_m, known.m_procid];
    let (id, goid) = ([known.m_id], [known.g_goid]);
    let proofs = [
        proof(
            "runtime.stackcheck",
            "g.stack",
            5,
            stackcheck as fn(&Code<'_, '_>) -> _,
            &stack[..],
            described.g,
        ),
        proof(
            "runtime.systemstack",
            "g.m, m.gsignal, m.g0",
            12,
            systemstack,
            &system,
            both,
        ),
        proof("runtime.minit", "g.m, m.procid", 17, minit, &procid, both),
        proof(
            "runtime.mcommoninit",
            "m.id",
            17,
            mcommoninit,
            &id,
            described.m,
        ),
        proof(
            "runtime.newproc1",
            "g.goid",
            17,
            newproc1,
            &goid,
            described.g,
        ),
    ];
    for proof in proofs {
        let needed = claim.assumed || !proof.described;
        if !needed || claim.release.minor < proof.since {
            continue;
        }
        // Of the functions of this name one is the body, another may be its ABI wrapper.
        let offsets: Vec<_> = image
            .functions_named(proof.name)
            .take(limits::NAMESAKES)
            .filter_map(|function| {
                let code = decode(image, function, usize::MAX);
                (proof.read)(&Code { image, code: &code })
            })
            .collect();
        let error = || {
            let at = image
                .functions_named(proof.name)
                .next()
                .map(|one| one.entry);
            let found = format!(
                "{} at {offsets:?} by {}, {:?} by {}",
                proof.what,
                proof.name,
                proof.expected,
                claim.tables()
            );
            unproven(
                at.unwrap_or(image.module.minpc),
                found,
                "the offsets of the known version",
            )
        };
        match offsets.as_slice() {
            [] => claim.missing(error)?,
            [one] if one == proof.expected => {}
            _ => return Err(error()),
        }
    }
    Ok(())
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
pub(super) fn load(one: &Instruction) -> Option<(Register, Register, u32)> {
    let is_load = one.mnemonic() == Mnemonic::Mov && one.op1_kind() == OpKind::Memory;
    let (base, offset) = memory(one)?;
    is_load.then_some((one.op0_register(), base, offset))
}

/// `mov [base+offset],register`
pub(super) fn store(one: &Instruction) -> Option<(Register, u32, Register)> {
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
