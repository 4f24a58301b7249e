//! What `gondwana inspect` prints of a program, for each range of versions that has something of its own: where the version
//! stands, the generation of the line table, what of the build can be told. Snapshots: `goldens/inspects/goVERSION.inspect.snap`.

use gondwana_engine::inspect::Document;

use super::program::{heading, program, ranges, versions};

#[test]
fn every_range_of_versions_is_inspected() {
    // The version itself stands in the heading; how long its name is decides where things lie.
    let render = |version| {
        let data = program(version);
        let text = Document::of("PATH", &data).to_string();
        normal(&text.replace(&version.to_string(), "goVERSION"))
    };
    for (members, text) in ranges(&versions(), render) {
        let name = format!("{}.inspect", members[0]);
        let text = format!("{}\n\n{text}\n", heading(&members));
        super::settings("inspects").bind(|| insta::assert_snapshot!(name, text));
    }
}

/// Addresses as `ADDRESS`, the size as `SIZE`: in a program made up here they say nothing.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let is_size = words.first() == Some(&"file");
        let shown = words.iter().map(|word| {
            let bare = word.trim_end_matches(',');
            let is_address = bare.strip_prefix("0x").is_some_and(|hex| hex.len() >= 6);
            let is_number = !bare.is_empty() && bare.bytes().all(|byte| byte.is_ascii_digit());
            match () {
                () if is_address => word.replace(bare, "ADDRESS"),
                () if is_size && is_number => word.replace(bare, "SIZE"),
                () => (*word).to_owned(),
            }
        });
        out += shown.collect::<Vec<_>>().join(" ").trim_end();
        out.push('\n');
    }
    out
}
