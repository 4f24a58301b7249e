//! One function of a Go program -> an input of the goldens, on standard output: see `goldens/input.rs`.
//!
//!     cargo run --example golden_input BIN FUNCTION [COMMENT]
//!
//! BIN is the program, FUNCTION a name or a pattern as `--hook` takes it (the first function that it matches), or an
//! address in it. COMMENT goes behind the Go version in the input's first line.

use std::collections::BTreeMap;

use gondwana_engine::addr::LinkAddr;
use gondwana_engine::image::{Function, Image};
use gondwana_engine::spec::HookSpec;
use iced_x86::{Decoder, DecoderOptions, FlowControl};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [bin, pattern, comment @ ..] = arguments.as_slice() else {
        eprintln!("usage: golden_input BIN FUNCTION [COMMENT]");
        std::process::exit(2);
    };
    match input(bin, pattern, comment.join(" ").as_str()) {
        Ok(text) => print!("{text}"),
        Err(error) => {
            eprintln!("golden_input: {bin}: {error}");
            std::process::exit(2);
        }
    }
}

fn input(bin: &str, pattern: &str, comment: &str) -> Result<String, Box<dyn std::error::Error>> {
    let data = std::fs::read(bin)?;
    let image = Image::parse(&data)?;
    let function = match pattern.strip_prefix("0x") {
        Some(hex) => image.function_at(LinkAddr::new(u64::from_str_radix(hex, 16)?)),
        None => {
            let selected = HookSpec::parse([pattern])?.select(&image)?.functions;
            selected
                .first()
                .and_then(|&index| image.functions().get(index))
        }
    };
    let function = function.ok_or("no such function")?;
    let code = image.bytes(function.entry, function.size as usize);
    let code = code.ok_or("its code is not in the file")?;
    let go = image.version();
    let Function { name, entry, .. } = function;
    let mut lines = vec![
        format!(
            "# {name}, {}, linux/amd64, {comment}.",
            go.to_string().replacen("go", "Go ", 1)
        ),
        format!("version {go}"),
        format!("name {name}"),
        format!("entry {entry}"),
    ];
    lines.extend(function.args.map(|args| format!("args {args}")));
    lines.push(format!("flags {}", function.flags));
    let maps = [
        (function.has_args_map, "args"),
        (function.has_locals_map, "locals"),
    ];
    let maps: Vec<_> = maps
        .iter()
        .filter(|(has, _)| *has)
        .map(|(_, map)| *map)
        .collect();
    if !maps.is_empty() {
        lines.push(format!("maps {}", maps.join(" ")));
    }
    let end = LinkAddr::new(entry.get().saturating_add(u64::from(function.size)));
    let touches = |&(start, stop): &(LinkAddr, LinkAddr)| *entry < stop && end > start;
    if image.hashed_text().iter().any(touches) {
        lines.push("hashed".to_owned());
    }
    lines.extend(
        image
            .pcsp(function)
            .map(|(end, depth)| format!("pcsp {end} {depth}")),
    );
    for (entry, callee) in callees(&image, function, code) {
        let Function { size, name, .. } = callee;
        lines.push(format!("callee {entry} {size} {name}"));
    }
    for row in code.chunks(32) {
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push(format!("code {}", hex.concat()));
    }
    Ok(lines.join("\n") + "\n")
}

/// The functions to which `code` calls or jumps.
fn callees<'i>(
    image: &'i Image<'_>,
    function: &Function<'_>,
    code: &[u8],
) -> BTreeMap<LinkAddr, &'i Function<'i>> {
    let mut callees = BTreeMap::new();
    for instruction in &mut Decoder::with_ip(64, code, function.entry.get(), DecoderOptions::NONE) {
        let branches = matches!(
            instruction.flow_control(),
            FlowControl::Call | FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch
        );
        let target = LinkAddr::new(instruction.near_branch_target());
        if branches
            && let Some(callee) = image.function_at(target)
            && callee.entry != function.entry
        {
            callees.insert(callee.entry, callee);
        }
    }
    callees
}
