//! [`Plan`] -> JSON, or text for people: what stands at each entry before and after, the trampoline, the module, sizes.
//!
//! `gondwana plan` prints it and goldens keep it, so that tests see what users see.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Memory, Plan, PlannedHook, WriteKind};
use crate::addr::RunAddr;
use crate::golang::Deviations;
use crate::listing::listing;

/// Schema of [`Document`]; changes when a member changes its meaning or goes.
pub const SCHEMA: &str = "gondwana.plan/3";

/// What `gondwana plan --json` prints.
#[derive(Serialize)]
pub struct Document<'a> {
    schema: &'static str,
    go: String,
    deviations: Deviations,
    memory: Memory,
    plan: &'a Plan,
}

impl<'a> Document<'a> {
    /// The plan for a program of Go version `go`, as [`Image::marked`](crate::image::Image::marked) names it, which can
    /// notice `deviations`.
    #[must_use]
    pub fn new(go: impl std::fmt::Display, deviations: Deviations, plan: &'a Plan) -> Self {
        Self {
            schema: SCHEMA,
            go: go.to_string(),
            deviations,
            memory: plan.memory(),
            plan,
        }
    }
}

/// The whole plan.
#[must_use]
pub fn render(plan: &Plan) -> String {
    let mut out = String::new();
    for hook in &plan.hooks {
        render_hook(&mut out, plan, hook);
    }
    for (name, refusal) in &plan.refused {
        let _ = writeln!(out, "refused {name}: {refusal}");
    }
    if !plan.hooks.is_empty() {
        let _ = match plan.max_stack_size {
            Some(at) => writeln!(
                out,
                "deep calls: without a frame where the stack takes more than 1/128 of runtime.maxstacksize, {at}"
            ),
            None => writeln!(
                out,
                "deep calls: without a frame where the stack takes more than 8192 bytes: runtime.maxstacksize was not found"
            ),
        };
    }
    if let Some(module) = plan.module {
        let _ = writeln!(
            out,
            "module: moduledata {}, tables {}..{}",
            module.moduledata, plan.placement.data, module.end
        );
    }
    render_memory(&mut out, plan);
    out
}

fn render_memory(out: &mut String, plan: &Plan) {
    let (memory, shape) = (plan.memory(), plan.placement.geometry);
    let hooks = plan.hooks.len() as u64;
    let _ = writeln!(
        out,
        "hooks: {hooks}, {} bytes of code at {}, {} bytes of tables, {} bytes of changed pages of text{}",
        memory.code,
        plan.placement.code,
        memory.tables,
        memory.text,
        (memory.code + memory.tables)
            .checked_div(hooks)
            .map_or(String::new(), |each| format!(
                "; code and tables of a hook: {each} bytes"
            )),
    );
    let _ = writeln!(
        out,
        "records and counters: at most {} bytes, {} rings of {} records and one shared; counters of a hook: {} bytes of them",
        memory.records, shape.rings, shape.slots, memory.counters,
    );
}

fn render_hook(out: &mut String, plan: &Plan, hook: &PlannedHook) {
    let _ = writeln!(
        out,
        "hook {}: {} (frame, {:?}, {} bytes of stack arguments, {} bytes displaced, return to entry+{})",
        hook.id,
        hook.name,
        hook.abi,
        hook.args,
        hook.window.len(),
        hook.window.len(),
    );
    if hook.inlined_copies > 0 {
        let _ = writeln!(
            out,
            "  {} inlined copies elsewhere are missed",
            hook.inlined_copies
        );
    }
    let _ = writeln!(out, "before:");
    out.push_str(&listing(&hook.window, hook.entry, |_| None));
    let _ = writeln!(out, "after:");
    let entry = plan
        .writes
        .iter()
        .find(|w| w.kind == WriteKind::Entry && w.at == hook.entry);
    if let Some(write) = entry {
        out.push_str(&listing(&write.new, hook.entry, |_| None));
        let kept = hook.window.len().saturating_sub(write.new.len());
        if kept > 0 {
            let _ = writeln!(out, "  {kept} bytes left as they were, never executed");
        }
    }
    let _ = writeln!(out, "trampoline:");
    let span = hook.trampoline;
    let code = plan
        .writes
        .iter()
        .find(|w| w.kind == WriteKind::Code)
        .and_then(|w| {
            let from = span.start.offset_from(w.at)?;
            let to = span.end.offset_from(w.at)?;
            w.new
                .get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
        });
    let label = |at: RunAddr| match at {
        _ if at == span.start => Some("start".to_owned()),
        _ if at == span.thunk => Some("thunk".to_owned()),
        _ if at == span.reloc => Some("reloc".to_owned()),
        _ => None,
    };
    out.push_str(&listing(code.unwrap_or_default(), span.start, label));
    let _ = writeln!(out);
}
