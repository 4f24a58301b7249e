//! Why a function is not hooked, as a value with a stable code.

use serde::{Deserialize, Serialize};

use crate::addr::LinkAddr;
use crate::codes::codes;
use crate::golang::policy::Ground;

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

impl Refusal {
    pub(crate) fn new(code: RefusalCode, at: LinkAddr, detail: impl Into<String>) -> Self {
        Self {
            code,
            at,
            detail: detail.into(),
        }
    }
}

codes! {
    /// Stable codes; never renamed, only added. `Display` and serde give the same kebab-case form.
    pub enum RefusalCode {
        TooShort = "too-short": "The function has fewer than five bytes, padding included, for the jump.",
        TooLarge = "too-large": "The function has more bytes than are searched for branches into its entry.",
        Unreadable = "unreadable": "The function's bytes are not in the file.",
        NotCode = "not-code": "The name stands for data in the text segment, not for a function.",
        Undecodable = "undecodable": "The function holds bytes that are no instruction.",
        Breakpoint = "breakpoint": "A breakpoint stands at the entry in the file.",
        AlreadyPatched = "already-patched": "Another tool stands at the entry: its breakpoint, its uprobe, or its jump out of the program's own code.",
        Fips = "fips": "The program hashes this code when FIPS mode is on, and ends if a byte of it has changed.",
        UnknownRuntime = "unknown-runtime": "A function of the runtime that no known Go version has.",
        BranchIntoWindow = "branch-into-window": "A branch of the function, or of assembly, goes into the bytes that the jump would replace.",
        WindowLoops = "window-loops": "An instruction to be displaced branches back to the entry.",
        IndirectJump = "indirect-jump": "An indirect jump could go into the bytes that the jump would replace.",
        DisplacedCall = "displaced-call": "A call would be displaced, and its return address with it.",
        MayFault = "may-fault": "An instruction to be displaced can fault, and the function would vanish from the trace.",
        SpecialInstruction = "special-instruction": "An instruction to be displaced is privileged, traps, or repeats.",
        NotRelocatable = "not-relocatable": "An instruction to be displaced has no form that works elsewhere.",
        OutOfReach = "out-of-reach": "A displaced instruction would be too far from what it refers to.",
        UnknownArgs = "unknown-args": "The size of the argument area is not recorded.",
        LargeArgs = "large-args": "The argument area is too large to be copied below a frame.",
        ArgsMismatch = "args-mismatch": "Assembly that touches stack arguments beyond those it declares.",
        PrivateAbi = "private-abi": "Assembly whose use of registers is not declared.",
        ReturnAddress = "return-address": "Assembly that reads or writes its own return address.",
        CallerFrame = "caller-frame": "The function records or compares its caller's PC, SP or frame pointer.",
        StackSwitch = "stack-switch": "The function switches stacks or goroutines, or is a stack's outermost frame.",
        ForkChild = "fork-child": "The function runs between fork and exec.",
        EntryOnly = "entry-only": "Only the entry of this function can be observed.",
        Signal = "signal": "The function runs on the signal stack, or is injected by a signal.",
        TlsUnknown = "tls-unknown": "Where g lies in thread-local storage could not be read from the program's code.",
        SpecialFrame = "special-frame": "The line table marks the function as a stack's outermost frame, or as writing SP.",
    }
}

impl From<Ground> for RefusalCode {
    fn from(ground: Ground) -> Self {
        match ground {
            Ground::CallerFrame => Self::CallerFrame,
            Ground::StackSwitch => Self::StackSwitch,
            Ground::Registers => Self::PrivateAbi,
            Ground::ForkChild => Self::ForkChild,
            Ground::EntryOnly => Self::EntryOnly,
            Ground::Signal => Self::Signal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn display_and_serde_agree_and_are_kebab_case() {
        let mut seen = HashSet::new();
        for &code in RefusalCode::ALL {
            let text = code.to_string();
            assert_eq!(serde_json::to_value(code).unwrap(), serde_json::json!(text));
            assert!(
                text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{text}"
            );
            assert!(
                code.explain().ends_with('.') && !code.explain().contains('\n'),
                "{text}"
            );
            assert!(seen.insert(text), "twice");
        }
    }
}
