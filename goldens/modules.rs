//! What `gondwana plan --module` prints of the synthetic module, for each range of versions that has one of its own.
//! Snapshots: `goldens/modules/goVERSION.module.snap`.

use gondwana_engine::plan::render_module;

use super::program::{self, heading, ranges, versions};

#[test]
fn every_range_of_versions_has_its_module() {
    let render = |version| {
        let (facts, plan) = program::plan(version, "main.*", false);
        render_module(&plan, &facts)
    };
    for (members, text) in ranges(&versions(), render) {
        let name = format!("{}.module", members[0]);
        let text = format!("{}\n\n{text}", heading(&members));
        super::settings("modules").bind(|| insta::assert_snapshot!(name, text));
    }
}
