//! Terms, conditions and effects as text, for messages.

use super::state::{Condition, Event};
use super::term::{Atom, Phase, Terms, Val};

/// How deep a message follows terms into terms.
const SHOWN_DEPTH: u32 = 5;

impl Terms {
    /// For messages.
    pub(in crate::verify) fn show(&self, value: Val) -> String {
        self.show_value(value, SHOWN_DEPTH)
    }

    fn show_value(&self, value: Val, depth: u32) -> String {
        let Some(depth) = depth.checked_sub(1) else {
            return "…".to_owned();
        };
        let linear = self.linear(value);
        let mut parts: Vec<String> = linear
            .terms
            .iter()
            .map(|&(atom, k)| {
                let text = self.show_atom(self.atom_of(atom), depth);
                match k {
                    1 => text,
                    u64::MAX => format!("-{text}"),
                    _ => format!("{k:#x}*{text}"),
                }
            })
            .collect();
        let constant = linear.constant.cast_signed();
        if constant != 0 || parts.is_empty() {
            parts.push(if constant < 0 {
                format!("-{:#x}", constant.unsigned_abs())
            } else {
                format!("{constant:#x}")
            });
        }
        parts.join("+")
    }

    fn show_atom(&self, atom: &Atom, depth: u32) -> String {
        let show = |value: &Val| self.show_value(*value, depth);
        const NAMES: [&str; 16] = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11",
            "r12", "r13", "r14", "r15",
        ];
        match atom {
            Atom::Register(phase, n) => {
                let name = NAMES.get(usize::from(*n)).unwrap_or(&"?");
                match phase {
                    Phase::Entry => format!("{name}0"),
                    Phase::Exit => format!("{name}1"),
                }
            }
            Atom::Tls(_, disp) => format!("fs:[{disp:#x}]"),
            Atom::Load {
                address,
                width,
                nonce,
                ..
            } => {
                let tag = if *nonce == 0 {
                    String::new()
                } else {
                    format!("#{nonce}")
                };
                format!("[{}]{width}{tag}", show(address))
            }
            Atom::Tsc { n, high, .. } => format!("tsc{n}{}", if *high { "hi" } else { "lo" }),
            Atom::Bytes(bytes) => format!("{bytes:?}"),
            Atom::Zext(value, width) => format!("zext{}({})", width * 8, show(value)),
            Atom::Sext32(value) => format!("sext32({})", show(value)),
            Atom::And(a, b) => format!("({} & {})", show(a), show(b)),
            Atom::Or(a, b) => format!("({} | {})", show(a), show(b)),
            Atom::Xor(a, b) => format!("({} ^ {})", show(a), show(b)),
            Atom::Shr(a, by) => format!("({} >> {by})", show(a)),
            Atom::Any(n) => format!("any{n}"),
        }
    }
}

pub(in crate::verify) fn show_path(terms: &Terms, path: &[(Condition, bool)]) -> String {
    let shown: Vec<String> = path
        .iter()
        .map(|(condition, truth)| {
            let text = match condition {
                Condition::Zero(value) => format!("{} == 0", terms.show(*value)),
                Condition::Below(a, b) => format!("{} < {}", terms.show(*a), terms.show(*b)),
            };
            if *truth { text } else { format!("not {text}") }
        })
        .collect();
    format!("[{}]", shown.join("; "))
}

pub(in crate::verify) fn show_events(terms: &Terms, events: &[Event]) -> String {
    let shown: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::Store {
                address,
                width,
                value,
            } => format!("[{}]{width} = {}", terms.show(*address), terms.show(*value)),
            Event::Add {
                address,
                width,
                by,
                locked,
            } => format!(
                "{}[{}]{width} += {}",
                if *locked { "lock " } else { "" },
                terms.show(*address),
                terms.show(*by)
            ),
            Event::Exchange {
                address,
                width,
                expected,
                value,
            } => format!(
                "lock [{}]{width}: {} -> {}",
                terms.show(*address),
                terms.show(*expected),
                terms.show(*value)
            ),
        })
        .collect();
    format!("[{}]", shown.join("; "))
}
