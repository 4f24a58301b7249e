//! Machine code -> lines for people: address, bytes, instruction in Intel syntax.
//!
//! Used by `gondwana plan`, refusals and goldens, so that tests render what users see.

use std::fmt::Write as _;

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};

use crate::addr::RunAddr;

/// One line per instruction of `code`, which lies at `at`. `label` may name an address (a function, a part of a
/// trampoline): such a name precedes the instruction there, on a line of its own.
pub fn listing(code: &[u8], at: RunAddr, label: impl Fn(RunAddr) -> Option<String>) -> String {
    let mut out = String::new();
    let mut decoder = Decoder::with_ip(64, code, at.get(), DecoderOptions::NONE);
    let mut formatter = formatter();
    let mut instruction = Instruction::default();
    let mut text = String::new();
    while decoder.can_decode() {
        let start = decoder.position();
        decoder.decode_out(&mut instruction);
        let bytes = code.get(start..decoder.position()).unwrap_or_default();
        let address = RunAddr::new(instruction.ip());
        if let Some(name) = label(address) {
            let _ = writeln!(out, "{name}:");
        }
        text.clear();
        formatter.format(&instruction, &mut text);
        let hex = bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let _ = writeln!(out, "  {:>12x}  {hex:<22}  {text}", address.get());
    }
    out
}

/// One instruction, without address and bytes.
pub(crate) fn text(instruction: &Instruction) -> String {
    let mut text = String::new();
    formatter().format(instruction, &mut text);
    text
}

/// The Intel syntax that every listing uses.
pub(crate) fn formatter() -> IntelFormatter {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_branch_leading_zeros(false);
    options.set_rip_relative_addresses(true);
    options.set_space_after_operand_separator(false);
    options.set_show_branch_size(false);
    formatter
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_address_bytes_and_instruction() {
        let code = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x02];
        let text = listing(&code, RunAddr::new(0x40_1000), |at| {
            (at.get() == 0x40_1000).then(|| "f".to_owned())
        });
        assert_eq!(
            text,
            "f:\n        401000  493b6610                cmp rsp,[r14+0x10]\n        401004  7602                    jbe 0x401008\n"
        );
    }
}
