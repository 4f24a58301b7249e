//! What `gondwana plan` prints for one hook: the trampoline, for each ABI, with and without raw words, and each range of
//! versions that has one of its own. Snapshots: `goldens/plans/FUNCTION[-raw]-goVERSION.plan.snap`.

use gondwana_engine::golang::{Abi, GoVersion};
use gondwana_engine::plan;

use super::program::{self, abis, heading, ranges, versions};

/// The plan up to the module, whose size says more than the trampoline: that is in `goldens/modules`.
fn render(version: GoVersion, function: &str, raw: bool) -> String {
    let (_, plan) = program::plan(version, function, raw);
    let text = plan::render(&plan);
    let (hook, _) = text.split_once("module: ").unwrap();
    hook.to_owned()
}

#[test]
fn every_abi_and_range_of_versions_has_its_trampoline() {
    let versions = versions();
    for (function, abi) in [
        ("main.abi0", Abi::Abi0),
        ("main.internal", Abi::AbiInternal),
        ("main.leaf", Abi::Abi0),
    ] {
        let of_abi: Vec<_> = versions
            .iter()
            .copied()
            .filter(|&version| abis(version).contains(&abi))
            .collect();
        for raw in [false, true] {
            // That raw words are recorded does not depend on the stack check.
            if raw && function == "main.leaf" {
                continue;
            }
            for (members, text) in ranges(&of_abi, |version| render(version, function, raw)) {
                let kind = if raw { "-raw" } else { "" };
                let name = format!("{}{kind}-{}.plan", &function["main.".len()..], members[0]);
                let text = format!("{}\n\n{text}", heading(&members));
                super::settings("plans").bind(|| insta::assert_snapshot!(name, text));
            }
        }
    }
}
