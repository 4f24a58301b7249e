//! Function -> [`Site`], the place where a hook can be put, or [`Refusal`], why not.
//!
//! Decides; never writes. A refusal is an ordinary value with a stable code.

use iced_x86::Instruction;
use serde::{Deserialize, Serialize};

use crate::addr::LinkAddr;
use crate::golang::Abi;
use crate::image::{Function, Image};

/// Where and how one function can be hooked.
#[derive(Clone, Debug)]
pub struct Site<'d> {
    /// The function.
    pub function: Function<'d>,
    /// How it takes its arguments.
    pub abi: Abi,
    /// Bytes of stack arguments and spill area that the frame must carry: exactly `f.args`.
    pub args: u32,
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
    /// No check, but calls: anything up to the nosplit limit.
    Nosplit,
}

/// Why a function is not hooked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{code} at {at}: {detail}")]
pub struct Refusal {
    /// Stable code.
    pub code: RefusalCode,
    /// Address of the byte or instruction that decided.
    pub at: LinkAddr,
    /// What was found, for people.
    pub detail: String,
}

/// Stable reason codes; never renamed, only added. `Display` and serde give the kebab-case form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalCode {
    /// More codes are added by this room.
    TooShort,
    /// s
    TlsUnknown,
    /// s
    StackSwitch,
}

impl std::fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// Decides about one function.
pub fn find<'d>(image: &Image<'d>, function: &Function<'d>) -> Result<Site<'d>, Refusal> {
    let _ = image;
    Err(Refusal {
        code: RefusalCode::TooShort,
        at: function.entry,
        detail: String::new(),
    })
}
