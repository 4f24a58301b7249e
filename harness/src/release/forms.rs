//! Two builds of one program -> how their functions begin, and what the engine decides about those that both have.
//!
//! A form is the instructions of a function's entry up to the branch of its stack check, with every number that depends on
//! the function left out: `cmp rsp,[r14+10]; jbe`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use gondwana_engine::addr::LinkAddr;
use gondwana_engine::golang::GoVersion;
use gondwana_engine::image::{Function, Image};
use gondwana_engine::site::{Finder, Refusal, Site};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};
use serde::Serialize;

/// Instructions of the longest stack check (`cmd/internal/obj/x86/obj6.go`, `stacksplit`, up to 1.16).
const LONGEST: usize = 9;
/// Instructions between the branch of a stack check and the call of morestack: spills of register arguments.
const TAIL: usize = 32;
/// Functions that are named as examples.
const EXAMPLES: usize = 20;

/// One form.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Form {
    /// Its instructions.
    pub form: String,
    /// Functions that begin so, in the older and in the newer program.
    pub functions: [usize; 2],
    /// One of them.
    pub example: String,
}

/// How functions begin.
#[derive(Clone, Default, Debug, Serialize)]
pub struct Forms {
    /// All forms, the most frequent first.
    pub histogram: Vec<Form>,
    /// Forms that only the newer program has.
    pub new: Vec<String>,
    /// Forms that only the older one has.
    pub gone: Vec<String>,
    /// Functions of the newer program that call morestack from elsewhere than a branch at their entry.
    pub unrecognised: Vec<String>,
}

/// How the engine decides about functions that both programs have.
#[derive(Clone, Default, Debug, Serialize)]
pub struct Decisions {
    /// Functions in both programs.
    pub compared: usize,
    /// Functions with another site or refusal than before.
    pub differ: usize,
    /// Some of them.
    pub examples: Vec<String>,
    /// Functions by reason code of the refusal, or `hookable`, in both programs.
    pub answers: BTreeMap<String, [usize; 2]>,
    /// Inputs of goldens of the older version that were looked at; 0 without a source tree.
    pub goldens_read: usize,
    /// Those about a function that is decided otherwise: their snapshots would change with the new version.
    pub goldens: Vec<String>,
}

/// Compares two programs, the older one first.
pub(super) fn compare(old: &[u8], new: &[u8]) -> Result<(Forms, Decisions)> {
    let [old, new] = [
        Image::parse(old).context("the older program")?,
        Image::parse(new).context("the newer program")?,
    ];
    let mut found: BTreeMap<String, Form> = BTreeMap::new();
    let mut decisions = Decisions::default();
    let mut rendered = [HashMap::new(), HashMap::new()];
    let mut forms = Forms::default();
    for (which, image) in [&old, &new].into_iter().enumerate() {
        let finder = Finder::new(image);
        for function in image.functions() {
            let code = image.bytes(function.entry, function.size as usize);
            let code = code.unwrap_or_default();
            let form = form(image, code, function);
            if which == 1 && form == UNKNOWN {
                forms.unrecognised.push(function.name.to_owned());
            }
            let entry = found.entry(form.clone()).or_insert_with(|| Form {
                form,
                functions: [0; 2],
                example: function.name.to_owned(),
            });
            entry.functions[which] += 1;
            let answer = finder.find(function);
            let code = match &answer {
                Ok(_) => "hookable".to_owned(),
                Err(refusal) => refusal.code.to_string(),
            };
            decisions.answers.entry(code).or_default()[which] += 1;
            // Names are not unique; those that are not say nothing.
            rendered[which]
                .entry(function.name)
                .and_modify(|seen| *seen = None)
                .or_insert_with(|| Some(render(&answer)));
        }
    }
    forms.histogram = found.into_values().collect();
    forms
        .histogram
        .sort_by_key(|form| std::cmp::Reverse(form.functions[1]));
    let only = |missing: usize| {
        let one_sided = forms
            .histogram
            .iter()
            .filter(|form| form.functions[missing] == 0);
        one_sided
            .map(|form| format!("{} ({})", form.form, form.example))
            .collect()
    };
    (forms.new, forms.gone) = (only(0), only(1));

    let mut differ = BTreeSet::new();
    for (name, before) in &rendered[0] {
        if let (Some(before), Some(Some(after))) = (before, rendered[1].get(name)) {
            decisions.compared += 1;
            if before != after {
                differ.insert(*name);
            }
        }
    }
    decisions.differ = differ.len();
    decisions.examples = differ
        .iter()
        .take(EXAMPLES)
        .map(|&name| name.to_owned())
        .collect();
    (decisions.goldens_read, decisions.goldens) = goldens(old.version().minor, &differ)?;
    Ok((forms, decisions))
}

/// Stands for the form of functions that do not call morestack.
const NO_CHECK: &str = "no stack check";
/// Stands for the form of functions that call it from elsewhere than the entry's branch.
const UNKNOWN: &str = "unknown";

/// The form of a function's entry.
fn form(image: &Image<'_>, code: &[u8], function: &Function<'_>) -> String {
    let decode = |from: usize| {
        let at = function.entry.get() + from as u64;
        Decoder::with_ip(
            64,
            code.get(from..).unwrap_or_default(),
            at,
            DecoderOptions::NONE,
        )
    };
    let calls_morestack = |instruction: &Instruction| {
        let target = LinkAddr::new(instruction.near_branch_target());
        let callee = image
            .function_at(target)
            .filter(|_| instruction.is_call_near());
        callee.is_some_and(|callee| callee.name.starts_with("runtime.morestack"))
    };
    let mut text = String::new();
    for instruction in decode(0).into_iter().take(LONGEST) {
        if !text.is_empty() {
            text.push_str("; ");
        }
        describe(&mut text, &instruction);
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::ConditionalBranch => {
                let tail = LinkAddr::new(instruction.near_branch_target());
                let tail = tail
                    .offset_from(function.entry)
                    .and_then(|at| usize::try_from(at).ok());
                let first_call = tail.and_then(|tail| {
                    let mut calls = decode(tail).into_iter().take(TAIL);
                    calls.find(|one| one.flow_control() != FlowControl::Next)
                });
                // The long forms have another branch to the same place in front of the last one.
                let last = matches!(instruction.mnemonic(), Mnemonic::Jbe);
                match first_call.as_ref().is_some_and(calls_morestack) {
                    true if last => return text,
                    true => {}
                    false => break,
                }
            }
            _ => break,
        }
    }
    let form = if decode(0).into_iter().any(|one| calls_morestack(&one)) {
        UNKNOWN
    } else {
        NO_CHECK
    };
    form.to_owned()
}

/// Mnemonic and operands; of numbers only the offsets of g's guards.
fn describe(out: &mut String, instruction: &Instruction) {
    let mut name = format!("{:?}", instruction.mnemonic());
    name.make_ascii_lowercase();
    out.push_str(&name);
    for operand in 0..instruction.op_count() {
        out.push(if operand == 0 { ' ' } else { ',' });
        match instruction.op_kind(operand) {
            OpKind::Register => {
                out.push_str(&format!("{:?}", instruction.op_register(operand)).to_lowercase());
            }
            OpKind::Memory => {
                let base = format!("{:?}", instruction.memory_base()).to_lowercase();
                let segment = format!("{:?}", instruction.segment_prefix()).to_lowercase();
                let prefix = if segment == "none" {
                    String::new()
                } else {
                    format!("{segment}:")
                };
                let base = if base == "none" {
                    String::new()
                } else {
                    format!("{base}+")
                };
                let guard =
                    matches!(instruction.memory_displacement64(), 0x10 | 0x18) && base != "rsp+";
                // Writing into a string cannot fail.
                let _ = match guard {
                    true => write!(
                        out,
                        "{prefix}[{base}{:x}]",
                        instruction.memory_displacement64()
                    ),
                    false => write!(out, "{prefix}[{base}N]"),
                };
            }
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => out.push('L'),
            _ => out.push('N'),
        }
    }
}

/// A site or refusal without addresses.
fn render(answer: &Result<Site<'_>, Refusal>) -> String {
    match answer {
        Ok(site) => {
            let mut text = format!("{:?} {} {:?} ", site.abi, site.args, site.callee_stack);
            for instruction in &site.displaced {
                describe(&mut text, instruction);
                text.push(';');
            }
            text
        }
        Err(refusal) => refusal.code.to_string(),
    }
}

/// How many inputs of goldens there are for programs of Go 1.`minor`, and which are about one of these functions.
fn goldens(minor: u16, functions: &BTreeSet<&str>) -> Result<(usize, Vec<String>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../goldens/inputs");
    let (mut read, mut out) = (0, Vec::new());
    if !dir.is_dir() {
        return Ok((read, out));
    }
    for entry in std::fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry.context("read a directory")?.path();
        if path
            .extension()
            .is_none_or(|extension| extension != "function")
        {
            continue;
        }
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let version = value("version ").and_then(|version| version.parse::<GoVersion>().ok());
        if version.is_none_or(|version| version.minor != minor) {
            continue;
        }
        read += 1;
        if value("name ").is_some_and(|name| functions.contains(name)) {
            out.extend(
                path.file_name()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
    }
    out.sort();
    Ok((read, out))
}
