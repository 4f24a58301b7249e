//! Module information -> the structure that `go version -m -json` prints, field by field.
//!
//! Says exactly what Go's own parser says, its refusals included. Source: `runtime/debug/mod.go` (`BuildInfo`, its JSON
//! tags, `ParseBuildInfo`).

use std::borrow::Cow;

use serde::Serialize;

use crate::image::{BuildInfo, Line, ModuleVersion};

/// `runtime/debug.BuildInfo`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GoBuildInfo<'d> {
    /// Version of the toolchain that built the program.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub go_version: &'d str,
    /// Import path of the main package.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub path: &'d str,
    /// The module of the main package; empty where the program was built without modules.
    pub main: GoModule<'d>,
    /// All modules that gave packages to the build.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deps: Vec<GoModule<'d>>,
    /// Build settings (1.18 and later).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<GoSetting<'d>>,
}

/// `runtime/debug.Module`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GoModule<'d> {
    /// Module path.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub path: &'d str,
    /// Module version.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub version: &'d str,
    /// Checksum, as in `go.sum`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub sum: &'d str,
    /// What was built instead of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace: Option<Box<GoModule<'d>>>,
}

/// `runtime/debug.BuildSetting`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GoSetting<'d> {
    /// `-race`, `CGO_ENABLED`, `vcs.revision`, …
    #[serde(skip_serializing_if = "str::is_empty")]
    pub key: &'d str,
    /// Its value.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub value: Cow<'d, str>,
}

impl<'d> From<ModuleVersion<'d>> for GoModule<'d> {
    fn from(module: ModuleVersion<'d>) -> Self {
        Self {
            path: module.path,
            version: module.version,
            sum: module.sum,
            replace: None,
        }
    }
}

/// Where a replacement line belongs.
enum Last {
    Nothing,
    Main,
    Dependency,
}

impl<'d> GoBuildInfo<'d> {
    /// Reads the text; `None` where `ParseBuildInfo` would refuse it.
    #[must_use]
    pub fn parse(build: &BuildInfo<'d>) -> Option<Self> {
        let mut info = Self {
            go_version: build.version_text,
            path: "",
            main: GoModule::default(),
            deps: Vec::new(),
            settings: Vec::new(),
        };
        let mut last = Last::Nothing;
        for line in build.modinfo.lines() {
            match line {
                Line::Path(path) => info.path = path,
                Line::Main(module) => {
                    info.main = module.into();
                    last = Last::Main;
                }
                Line::Dependency(module) => {
                    info.deps.push(module.into());
                    last = Last::Dependency;
                }
                Line::Replacement(module) => {
                    let replaced = match last {
                        Last::Nothing => None,
                        Last::Main => Some(&mut info.main),
                        Last::Dependency => info.deps.last_mut(),
                    };
                    replaced?.replace = Some(Box::new(module.into()));
                    last = Last::Nothing;
                }
                Line::Setting(key, value) => info.settings.push(GoSetting { key, value }),
                Line::Malformed(_) => return None,
                Line::Other(_) => {}
            }
        }
        Some(info)
    }

    /// The value of the first build setting of this name.
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<&str> {
        let found = self.settings.iter().find(|setting| setting.key == key)?;
        Some(&found.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golang::GoVersion;
    use crate::image::Image;
    use crate::image::testing::Synthetic;

    fn json(modinfo: &str) -> Option<serde_json::Value> {
        let program = Synthetic {
            modinfo: Some(modinfo.to_owned()),
            ..Synthetic::new(GoVersion::new(26, 1))
        };
        let file = program.build();
        let image = Image::parse(&file).unwrap();
        GoBuildInfo::parse(image.build_info()).map(|info| serde_json::to_value(info).unwrap())
    }

    #[test]
    fn the_form_is_that_of_go() {
        // What Go 1.26 prints for the same text.
        let expected = serde_json::json!({
            "GoVersion": "go1.26.1",
            "Path": "example.com/cmd",
            "Main": {"Path": "example.com", "Version": "v1.0.0", "Replace": {"Path": "./x", "Version": "(devel)"}},
            "Deps": [
                {"Path": "a.b/c", "Version": "v0.1.0", "Sum": "h1:x="},
                {"Path": "d.e/f", "Version": "v0.2.0", "Replace": {"Path": "g.h/i", "Version": "v9.0.0", "Sum": "h1:y="}},
            ],
            "Settings": [{"Key": "CGO_CFLAGS"}, {"Key": "-tags", "Value": "a b"}],
        });
        let text = "path\texample.com/cmd\nmod\texample.com\tv1.0.0\n=>\t./x\t(devel)\t\ndep\ta.b/c\tv0.1.0\th1:x=\n\
            dep\td.e/f\tv0.2.0\n=>\tg.h/i\tv9.0.0\th1:y=\nbuild\tCGO_CFLAGS=\nbuild\t-tags=\"a b\"\nnews\tx\n";
        assert_eq!(json(text), Some(expected));
        let none = serde_json::json!({"GoVersion": "go1.26.1", "Main": {}});
        assert_eq!(json(""), Some(none));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "=>\ta\tb\tc\n",
            "mod\ta\tb\n=>\ta\tb\tc\n=>\ta\tb\tc\n",
            "mod\ta\n",
            "build\tx\n",
        ] {
            assert_eq!(json(text), None, "{text:?}");
        }
    }
}
