//! `golden_input BIN FUNCTION`: one function of a Go program in the form of the files in `goldens/inputs`.

use gondwana_engine::image::{Function, Image};
use iced_x86::{Decoder, DecoderOptions, OpKind};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, bin, name] = arguments.as_slice() else {
        return Err("usage: golden_input BIN FUNCTION[@ENTRY]".into());
    };
    let (name, at) = name
        .split_once('@')
        .map_or((name.as_str(), None), |(name, at)| (name, Some(at)));
    let data = std::fs::read(bin)?;
    let image = Image::parse(&data)?;
    let named =
        |f: &&Function<'_>| f.name == name && at.is_none_or(|at| format!("{:x}", f.entry) == at);
    let function = image
        .functions()
        .iter()
        .find(named)
        .ok_or("no such function")?;
    let code = image
        .bytes(function.entry, function.size as usize)
        .ok_or("no bytes")?;

    println!("version {}", image.version());
    println!("name {}", function.name);
    println!("entry {}", function.entry);
    match function.args {
        Some(args) => println!("args {args}"),
        None => println!("args unknown"),
    }
    println!("flags {}", function.flags);
    println!(
        "maps{}{}",
        if function.has_args_map { " args" } else { "" },
        if function.has_locals_map {
            " locals"
        } else {
            ""
        }
    );
    for (end, depth) in image.pcsp(function) {
        println!("pcsp {end} {depth}");
    }
    // What the function calls or jumps to.
    let mut callees: Vec<&Function<'_>> =
        Decoder::with_ip(64, code, function.entry.get(), DecoderOptions::NONE)
            .into_iter()
            .filter(|instruction| instruction.op0_kind() == OpKind::NearBranch64)
            .filter_map(|instruction| {
                image.function_at(gondwana_engine::addr::LinkAddr::new(
                    instruction.near_branch_target(),
                ))
            })
            .filter(|callee| callee.entry != function.entry)
            .collect();
    callees.sort_by_key(|callee| callee.entry);
    callees.dedup();
    for callee in callees {
        println!("callee {} {} {}", callee.entry, callee.size, callee.name);
    }
    for line in code.chunks(32) {
        let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("code {hex}");
    }
    Ok(())
}
