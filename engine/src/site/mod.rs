//! Function -> [`Site`], the place where a hook can be put, or [`Refusal`], why not.
//!
//! Decides; never writes, and never looks at anything but the program's own tables and bytes. A refusal is an ordinary
//! value with a stable code.
//!
//! | part | one job |
//! |---|---|
//! | `window` | which instructions make room for the jump, and whether they may run elsewhere |
//! | `prologue` | the stack check at the entry |
//! | `may_more_stack` | the call before it, in builds with `-d=maymorestack` |
//! | `abi` | how a function takes its arguments |
//! | `flow` | one walk over the whole function: branches back into the window, calls, ways out |
//! | `program` | whether any function of a program may be hooked |
//! | `refusal` | the codes |
//! | `table` | what `gondwana funcs` prints |

mod abi;
mod flow;
pub mod limits;
mod may_more_stack;
mod program;
mod prologue;
mod refusal;
pub mod table;
mod window;

use std::collections::BTreeMap;
use std::ops::Range;

use iced_x86::Instruction;
use serde::{Deserialize, Serialize};

use crate::addr::LinkAddr;
use crate::golang::{Abi, GoVersion, NEWEST, policy};
use crate::image::{Function, Image};

pub use program::admit;
pub use refusal::{Refusal, RefusalCode};

/// Where and how one function can be hooked.
#[derive(Clone, Debug)]
pub struct Site<'d> {
    /// The function.
    pub function: Function<'d>,
    /// How it takes its arguments.
    pub abi: Abi,
    /// Bytes of stack arguments and spill area that the frame must carry: exactly `f.args`.
    pub args: u32,
    /// The first [`Site::window_len`] bytes of the function, as the file has them.
    pub window: &'d [u8],
    /// The instructions that stand in the first [`Site::window_len`] bytes, decoded at their link-time addresses. The
    /// last one may be a `ret` or `jmp` that ends the function before the fifth byte; padding after it is not listed.
    pub displaced: Vec<Instruction>,
    /// Bytes taken from the entry: at least 5, at most 5 + 14; a sum of whole instructions (and padding).
    pub window_len: u8,
    /// The stack check at the entry, if there is one.
    pub stack_check: Option<StackCheck>,
    /// How much stack the function may need below its entry before it asks for more.
    pub callee_stack: CalleeStack,
}

/// The comparison with `g.stackguard0` at a function's entry (`cmd/internal/obj/x86/obj6.go`, `stacksplit`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StackCheck {
    /// One past the last byte of the check (its conditional branch).
    pub end: LinkAddr,
    /// Where the branch goes: the code that calls `runtime.morestack*`.
    pub morestack: LinkAddr,
}

/// What a function needs below its entry without asking.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CalleeStack {
    /// It checks, and grows the stack itself.
    Checked,
    /// No check, no calls: exactly this many bytes (its largest frame).
    Leaf(u32),
    /// No check, but calls: anything up to the nosplit limit. Also functions of the system stack, whose check
    /// (`morestackc`) ends the program instead of growing the stack.
    Nosplit,
}

/// What the decision about one function is made from; a program's tables behind two questions, so that a handful of
/// bytes is enough to ask.
pub struct Body<'d, 'q> {
    /// The function, as the line table has it.
    pub function: Function<'d>,
    /// Its bytes: [`Function::size`] of them.
    pub code: &'d [u8],
    /// The program's Go version.
    pub version: GoVersion,
    /// The convention of compiled functions in this program.
    pub compiled_abi: Abi,
    /// Name and entry of the function that holds an address.
    pub function_at: &'q dyn Fn(LinkAddr) -> Option<(&'d str, LinkAddr)>,
    /// A branch of assembly, from outside of that, to an address in this range.
    pub assembly_branch: &'q dyn Fn(Range<LinkAddr>) -> Option<Branch>,
    /// Whether the program hashes any byte of this function ([`Image::hashed_text`]).
    pub hashed: bool,
    /// Whether it is a function of the runtime or its neighbours in a program of a version that is not known, which the
    /// newest known one does not have ([`policy::is_new`]).
    pub new: bool,
    /// The function's `pcsp` table, as [`Image::pcsp`] gives it.
    pub pcsp: &'q dyn Fn() -> Vec<(LinkAddr, i32)>,
}

/// A branch from one function into another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Branch {
    /// The branch.
    pub from: LinkAddr,
    /// Where it goes.
    pub to: LinkAddr,
}

impl Body<'_, '_> {
    /// A branch of assembly to one of these bytes of the function.
    fn assembly_branch(&self, bytes: Range<u64>) -> Option<Branch> {
        let at = |offset| self.function.entry.checked_add(offset);
        (self.assembly_branch)(at(bytes.start)?..at(bytes.end)?)
    }

    fn is_assembly(&self) -> bool {
        policy::is_assembly(
            self.version,
            self.function.flags,
            self.function.has_locals_map,
        )
    }
}

/// Decides about functions of one program; keeps what holds for all of them.
pub struct Finder<'i, 'd> {
    image: &'i Image<'d>,
    compiled_abi: Abi,
    /// Where assembly branches to, and from where.
    assembly_branches: BTreeMap<LinkAddr, LinkAddr>,
    hashed_text: Vec<(LinkAddr, LinkAddr)>,
}

impl<'i, 'd> Finder<'i, 'd> {
    /// Looks once at what holds for the whole program.
    #[must_use]
    pub fn new(image: &'i Image<'d>) -> Self {
        // 1.17 could be built without the register ABI (GOEXPERIMENT=noregabi): then compiled functions with a stack
        // check load g from TLS, and those without one give no sign. `runtime.main` has a check in every version.
        let sample = image.functions_named("runtime.main").next();
        let code = sample.and_then(|f| {
            image
                .bytes(f.entry, limits::MAX_WINDOW.min(f.size as usize))
                .map(|code| (f, code))
        });
        let compiled_abi = match code {
            Some((f, code)) if prologue::begins_with_load_of_g(code, f.entry) => Abi::Abi0,
            _ => image.facts().compiled_abi,
        };
        let assembly_branches = flow::branches_of_assembly(image);
        Self {
            image,
            compiled_abi,
            assembly_branches,
            hashed_text: image.hashed_text(),
        }
    }

    /// Whether the program hashes any byte of the function.
    fn is_hashed(&self, function: &Function<'_>) -> bool {
        let end = function.entry.checked_add(u64::from(function.size));
        let touches = |&(start, stop): &(LinkAddr, LinkAddr)| {
            function.entry < stop && end.is_none_or(|end| end > start)
        };
        self.hashed_text.iter().any(touches)
    }

    /// Whether nothing is known of a function of the runtime. Wrappers of methods do nothing of their own.
    fn is_new(&self, function: &Function<'_>) -> bool {
        let facts = self.image.facts();
        let like = self.image.assumed_like();
        like.is_some_and(|like| like.minor == NEWEST)
            && facts.func_id_wrapper != Some(function.func_id)
            && policy::is_new(function.name)
    }

    /// Decides about one function of the program.
    pub fn find(&self, function: &Function<'d>) -> Result<Site<'d>, Refusal> {
        let code = self
            .image
            .bytes(function.entry, function.size as usize)
            .ok_or_else(|| {
                Refusal::new(
                    RefusalCode::Unreadable,
                    function.entry,
                    format!("{} bytes of code", function.size),
                )
            })?;
        let body = Body {
            function: *function,
            code,
            version: self.image.version(),
            compiled_abi: self.compiled_abi,
            assembly_branch: &|range| {
                let (&to, &from) = self.assembly_branches.range(range).next()?;
                Some(Branch { from, to })
            },
            hashed: self.is_hashed(function),
            new: self.is_new(function),
            function_at: &|at| self.image.function_at(at).map(|f| (f.name, f.entry)),
            pcsp: &|| self.image.pcsp(function).collect(),
        };
        let site = decide(&body)?;
        if site.abi == Abi::Abi0 && self.image.tls_g().is_none() {
            let detail = "no load of g, or several that disagree";
            return Err(Refusal::new(
                RefusalCode::TlsUnknown,
                function.entry,
                detail,
            ));
        }
        Ok(site)
    }
}

/// Decides about one function. For many functions of one program make a [`Finder`].
pub fn find<'d>(image: &Image<'d>, function: &Function<'d>) -> Result<Site<'d>, Refusal> {
    Finder::new(image).find(function)
}

/// The decision: cheap reasons first, the walk over the whole function last.
pub fn decide<'d>(body: &Body<'d, '_>) -> Result<Site<'d>, Refusal> {
    let function = body.function;
    let entry = function.entry;
    let refuse = |code, detail: String| Err(Refusal::new(code, entry, detail));

    if policy::is_pseudo(function.name) {
        return refuse(RefusalCode::NotCode, function.name.to_owned());
    }
    if body.hashed {
        return refuse(
            RefusalCode::Fips,
            "between go:textfipsstart and go:textfipsend".to_owned(),
        );
    }
    if body.new {
        return refuse(
            RefusalCode::UnknownRuntime,
            format!("go1.{NEWEST} has no such function"),
        );
    }
    if let Some(rule) = policy::forbidden(body.version, function.name) {
        return refuse(rule.ground.into(), rule.source.to_owned());
    }
    if let Some(flag) = policy::forbidding_flag(body.version, function.flags) {
        return refuse(RefusalCode::SpecialFrame, flag.to_owned());
    }
    if function.size > limits::MAX_FUNCTION {
        return refuse(
            RefusalCode::TooLarge,
            format!("{} bytes, at most {}", function.size, limits::MAX_FUNCTION),
        );
    }

    let window = window::take(body)?;
    let check = prologue::recognise(body);
    let Some(args) = function.args else {
        return refuse(RefusalCode::UnknownArgs, "args = 0x80000000".to_owned());
    };
    if args > limits::MAX_ARGS {
        return refuse(
            RefusalCode::LargeArgs,
            format!("{args} bytes, at most {}", limits::MAX_ARGS),
        );
    }
    let hook = check.as_ref().and_then(|found| found.hook);
    let abi = abi::of(body, None)?;
    if let Some(hook) = hook
        && abi::of(body, Some(hook.end))? != abi
    {
        let detail = "g is loaded behind the call that -d=maymorestack makes";
        return refuse(RefusalCode::PrivateAbi, detail.to_owned());
    }
    window::may_move(&window, abi, body.is_assembly(), hook.map(|hook| hook.call))?;

    // With a call before it the check is no proof that no case of a switch begins in the window.
    let plain = check.as_ref().filter(|found| found.hook.is_none());
    let flow = flow::walk(body, &window, plain.map(|found| found.check.end))?;

    let callee_stack = match (&check, flow.leaf) {
        (Some(found), _) if found.grows => CalleeStack::Checked,
        (None, true) => largest_frame(body).map_or(CalleeStack::Nosplit, CalleeStack::Leaf),
        _ => CalleeStack::Nosplit,
    };
    Ok(Site {
        function,
        abi,
        args,
        window: window.bytes,
        window_len: u8::try_from(window.bytes.len()).unwrap_or(u8::MAX),
        displaced: window.displaced,
        stack_check: check.map(|found| found.check),
        callee_stack,
    })
}

/// The largest SP delta of the function's table; `None` if it has no table, or one with a hole.
fn largest_frame(body: &Body<'_, '_>) -> Option<u32> {
    let steps = (body.pcsp)();
    let largest = steps
        .iter()
        .map(|&(_, delta)| u32::try_from(delta))
        .try_fold(0, |max, delta| delta.map(|delta| delta.max(max)));
    largest.ok().filter(|_| !steps.is_empty())
}

#[cfg(test)]
mod tests;
