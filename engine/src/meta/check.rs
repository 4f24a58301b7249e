//! The oracle of the parsers of build information: what was read and is written again reads the same. Used by ordinary
//! tests, the fuzz target and whoever replays one of its inputs; a panic is the finding.

use std::fmt::Write as _;

use crate::image::{BuildInfo, Image, Labels, ModInfo, VersionSource};

use super::{GoBuildInfo, GoModule, Meta, ldflags};

/// Reads `data` as a file and, if it is text, as module information and as `-ldflags`. Whether any of it could be read.
///
/// # Panics
/// If something reads differently after it was written again.
pub fn check(data: &[u8]) -> bool {
    let mut read = file(data);
    if let Ok(text) = std::str::from_utf8(data) {
        read |= module_information(text);
        for one in ldflags::strings(text) {
            assert!(
                text.contains(one.name) && text.contains(one.value),
                "{one:?}"
            );
        }
    }
    read
}

fn file(data: &[u8]) -> bool {
    let Ok(labels) = Labels::read(data) else {
        assert!(
            Image::parse(data).is_err(),
            "without labels there is no image"
        );
        return false;
    };
    let recorded = Meta::of_labels(&labels);
    if let Ok(image) = Image::parse(data) {
        let meta = Meta::of(&image);
        assert_eq!(meta.go_build_id, recorded.go_build_id);
        assert_eq!(meta.gnu_build_id, recorded.gnu_build_id);
        if labels.build.is_some() {
            assert_eq!(meta.go_version, recorded.go_version);
            assert_eq!(meta.module, recorded.module);
        }
    }
    true
}

fn module_information(text: &str) -> bool {
    let parse = |modinfo| {
        GoBuildInfo::parse(&BuildInfo {
            version_text: "",
            source: VersionSource::BuildInfo,
            modinfo,
        })
    };
    let Some(info) = parse(ModInfo::from_text(text)) else {
        return false;
    };
    let again = write(&info);
    assert_eq!(parse(ModInfo::from_text(&again)), Some(info), "{again:?}");
    true
}

/// `BuildInfo.String` of `runtime/debug/mod.go`.
fn write(info: &GoBuildInfo<'_>) -> String {
    let mut out = String::new();
    if !info.path.is_empty() {
        let _ = writeln!(out, "path\t{}", info.path);
    }
    if info.main != GoModule::default() {
        write_module(&mut out, "mod", &info.main);
    }
    for module in &info.deps {
        write_module(&mut out, "dep", module);
    }
    for setting in &info.settings {
        // Keys are read without escapes, so one of the two quotes does.
        let key = match setting.key {
            key if key.contains(['"', '\\']) => format!("`{key}`"),
            key => format!("\"{key}\""),
        };
        let escape = |char: char| match char {
            '"' | '\\' => format!("\\{char}"),
            char if char.is_control() => format!("\\u{:04x}", u32::from(char)),
            char => char.to_string(),
        };
        let value: String = setting.value.chars().map(escape).collect();
        let _ = writeln!(out, "build\t{key}=\"{value}\"");
    }
    out
}

fn write_module(out: &mut String, kind: &str, module: &GoModule<'_>) {
    let _ = writeln!(
        out,
        "{kind}\t{}\t{}\t{}",
        module.path, module.version, module.sum
    );
    if let Some(other) = &module.replace {
        write_module(out, "=>", other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of module information, well formed and not.
    fn text() -> impl Strategy<Value = String> {
        let pieces = [
            "path", "mod", "dep", "=>", "build", "\t", "\t", "\n", "\n", "=", "\"", "`", "\\",
            "\\x41", "\\u00e9", "\\n", " ", "-X", "'", "a.b/c", "v1.0.0", "h1:x=", "\r",
            "-ldflags", "é",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
        #[test]
        fn texts_read_the_same_after_they_were_written(text in text()) {
            check(text.as_bytes());
        }
    }

    #[test]
    fn both_outcomes_happen() {
        assert!(check(b"path\ta\nbuild\t`a\"b`=\"c\\n\"\n"));
        assert!(check(b"build\t`\\u00e9`=\"c\"\n"));
        assert!(!check(b"mod\ta\n"));
        assert!(!check(b"\xff"));
    }
}
