//! [`Image`] or [`Labels`] -> [`Meta`]: what is known of a program's build without running it, each value marked as
//! recorded in the file or derived from evidence that is named.
//!
//! Never guesses: what neither stands in the file nor follows from it is absent. Nothing here reads bytes; `image` does.
//!
//! | room | what -> what |
//! |---|---|
//! | `go` | module information -> the structure of `go version -m -json` |
//! | `ldflags` | the text of `-ldflags` -> strings set by `-X` |
//! | `packages` | names of functions -> packages |
//! | `told` | a value with its mark and its evidence |

#[cfg(any(test, feature = "test-support"))]
pub mod check;
mod go;
pub mod ldflags;
mod packages;
mod told;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::image::{
    BuildInfo, Image, ImageKind, Labels, LinkerString, Notes, Sections, VersionSource,
};

pub use go::{GoBuildInfo, GoModule, GoSetting};
pub use packages::Packages;
pub use told::{Mark, Told};

/// Entry of a program that the Go linker has linked alone (`runtime/rt0_linux_amd64.s`).
const GO_ENTRY: &str = "_rt0_amd64_linux";
/// Functions that a program must have before "nothing was inlined" says something about the flags.
const MANY_FUNCTIONS: usize = 500;

/// What the go command and the Go linker set themselves as `-X` does: version, GOROOT, experiments, GODEBUG
/// (`cmd/link/internal/ld/main.go`, `cmd/go/internal/work/gc.go`).
const SET_BY_THE_LINKER: [&str; 3] = ["runtime.", "runtime/internal/sys.", "internal/buildcfg."];

/// Who linked the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Linker {
    /// The Go linker alone.
    Internal,
    /// A C linker, after the Go linker.
    External,
}

/// A module of the build.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Module<'d> {
    /// Module path.
    pub path: &'d str,
    /// Module version.
    pub version: &'d str,
    /// Checksum, as in `go.sum`; empty for the main module and local replacements.
    pub sum: &'d str,
    /// What was built instead of it.
    pub replaced_by: Option<Box<Module<'d>>>,
}

/// The state of the source tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Vcs<'d> {
    /// `git`, `hg`, …
    pub system: &'d str,
    /// Commit.
    pub revision: Option<&'d str>,
    /// Time of the commit, RFC 3339.
    pub time: Option<&'d str>,
    /// Whether the tree held other changes.
    pub modified: Option<bool>,
}

/// A variable set by `-X`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Variable {
    /// `pkg.name`.
    pub name: String,
    /// Its value when the program starts.
    pub value: String,
}

/// What the program says about itself as a product.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Application {
    /// Its version: a variable set by `-X` whose name ends in `version`, else the main module's version.
    pub version: Option<Told<String>>,
    /// Who made it: a variable set by `-X` whose name ends in `vendor`, else where the main module is published.
    pub vendor: Option<Told<String>>,
}

/// Everything known of a build. Absent: neither recorded nor to be derived.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Meta<'d> {
    /// `runtime.buildVersion` in full, experiments included.
    pub go_version: Option<Told<&'d str>>,
    /// The Go build ID.
    pub go_build_id: Option<Told<&'d str>>,
    /// The GNU build ID, in hexadecimal.
    pub gnu_build_id: Option<Told<String>>,
    /// Import path of the main package.
    pub package: Option<Told<&'d str>>,
    /// Main module.
    pub module: Option<Told<Module<'d>>>,
    /// Other modules; absent without module information.
    pub dependencies: Option<Told<Vec<Module<'d>>>>,
    /// Flags of `go build` that were recorded: build settings whose key begins with a hyphen.
    pub flags: Option<Told<BTreeMap<&'d str, String>>>,
    /// Variables of the build's environment: the other build settings, those of the VCS left out.
    pub environment: Option<Told<BTreeMap<&'d str, String>>>,
    /// State of the source tree.
    pub vcs: Option<Told<Vcs<'d>>>,
    /// Variables set by the linker's `-X`.
    pub strings: Option<Told<Vec<Variable>>>,
    /// What the program says about itself.
    pub application: Application,
    /// `exe`, `pie`, `c-shared`, …
    pub build_mode: Option<Told<Cow<'d, str>>>,
    /// Position-independent.
    pub pie: Option<Told<bool>>,
    /// Who linked it.
    pub linker: Option<Told<Linker>>,
    /// Linked with `runtime/cgo`.
    pub cgo: Option<Told<bool>>,
    /// Built with the race detector.
    pub race: Option<Told<bool>>,
    /// Without symbol table.
    pub stripped: Option<Told<bool>>,
    /// Whether the compiler inlined functions (1.9 and later); `false` is what `-gcflags=all=-l` leaves.
    pub inlining: Option<Told<bool>>,
    /// Packages with code in the program; none in a library.
    pub packages: Option<Told<Packages>>,
}

/// What can be asked of the file, whether or not its tables were read.
struct Source<'s, 'd> {
    go: Option<GoBuildInfo<'d>>,
    build: Option<&'s BuildInfo<'d>>,
    notes: Notes<'d>,
    sections: Sections,
    image: Option<&'s Image<'d>>,
}

/// What Go's own parser makes of the build information; `None` where there is none, or where it refuses.
#[must_use]
pub fn go_build_info<'d>(build: &BuildInfo<'d>) -> Option<GoBuildInfo<'d>> {
    GoBuildInfo::parse(build)
}

impl<'d> Meta<'d> {
    /// Of a program.
    #[must_use]
    pub fn of(image: &Image<'d>) -> Self {
        let build = image.build_info();
        Self::from(&Source {
            go: GoBuildInfo::parse(build),
            build: Some(build),
            notes: image.notes(),
            sections: image.sections(),
            image: Some(image),
        })
    }

    /// Of a file whose tables cannot be read: what is recorded, and little else.
    #[must_use]
    pub fn of_labels(labels: &Labels<'d>) -> Self {
        let build = labels.build.as_ref();
        Self::from(&Source {
            go: build.and_then(GoBuildInfo::parse),
            build,
            notes: labels.notes,
            sections: labels.sections,
            image: None,
        })
    }

    fn from(source: &Source<'_, 'd>) -> Self {
        let strings = source.strings();
        Self {
            go_version: source.build.map(|build| {
                let evidence = match build.source {
                    VersionSource::BuildInfo => "build information",
                    VersionSource::Variable => "variable runtime.buildVersion",
                };
                Told::recorded(build.version_text, evidence)
            }),
            go_build_id: source
                .notes
                .go_build_id
                .map(|id| Told::recorded(id, "note Go, type 4")),
            gnu_build_id: source.notes.gnu_build_id.map(|id| {
                let hex = id.iter().map(|byte| format!("{byte:02x}")).collect();
                Told::recorded(hex, "note GNU, type 3")
            }),
            package: source
                .go()
                .map(|go| go.path)
                .filter(|path| !path.is_empty())
                .map(recorded),
            module: source.module().map(|module| recorded(module.into())),
            dependencies: source.module().and_then(|_| {
                Some(recorded(
                    source.go()?.deps.iter().map(Module::from).collect(),
                ))
            }),
            flags: source.settings(|key| key.starts_with('-')),
            environment: source
                .settings(|key| !key.starts_with('-') && key != "vcs" && !key.starts_with("vcs.")),
            vcs: source.vcs(),
            application: Application {
                version: source.application_version(strings.as_ref()),
                vendor: source.vendor(strings.as_ref()),
            },
            strings,
            build_mode: source.build_mode(),
            pie: source.image.map(|image| match image.kind() {
                ImageKind::Pie => Told::derived(true, "ELF type ET_DYN"),
                ImageKind::Executable => Told::derived(false, "ELF type ET_EXEC"),
            }),
            linker: source.linker(),
            cgo: source.has_function("crosscall2", Image::is_cgo),
            race: source.race(),
            stripped: Some(source.stripped()),
            inlining: source.inlining(),
            packages: source.image.map(|image| {
                let module = source.module().map(|module| module.path);
                Told::derived(
                    Packages::of(image.functions(), module),
                    "names of functions",
                )
            }),
        }
    }
}

/// A value out of the module information.
fn recorded<T>(value: T) -> Told<T> {
    Told::recorded(value, "module information")
}

impl<'d> From<&GoModule<'d>> for Module<'d> {
    fn from(module: &GoModule<'d>) -> Self {
        Self {
            path: module.path,
            version: module.version,
            sum: module.sum,
            replaced_by: module
                .replace
                .as_deref()
                .map(|other| Box::new(other.into())),
        }
    }
}

impl<'d> Source<'_, 'd> {
    fn go(&self) -> Option<&GoBuildInfo<'d>> {
        self.go.as_ref()
    }

    fn module(&self) -> Option<&GoModule<'d>> {
        self.go()
            .map(|go| &go.main)
            .filter(|main| !main.path.is_empty())
    }

    fn setting(&self, key: &str) -> Option<&str> {
        self.go()?.setting(key)
    }

    /// The settings whose keys `wanted` accepts; `None` where no setting at all was recorded.
    fn settings(&self, wanted: impl Fn(&str) -> bool) -> Option<Told<BTreeMap<&'d str, String>>> {
        let settings = &self.go().filter(|go| !go.settings.is_empty())?.settings;
        let pairs = settings.iter().filter(|setting| wanted(setting.key));
        Some(recorded(
            pairs
                .map(|setting| (setting.key, setting.value.to_string()))
                .collect(),
        ))
    }

    fn vcs(&self) -> Option<Told<Vcs<'d>>> {
        let go = self.go()?;
        // Values without escapes, as all of the VCS are, borrow from the file.
        let value = |key: &str| {
            let found = go.settings.iter().find(|setting| setting.key == key)?;
            match found.value {
                Cow::Borrowed(value) => Some(value),
                Cow::Owned(_) => None,
            }
        };
        Some(recorded(Vcs {
            system: value("vcs")?,
            revision: value("vcs.revision"),
            time: value("vcs.time"),
            modified: value("vcs.modified").and_then(|text| text.parse().ok()),
        }))
    }

    /// What `-X` has set: recorded with the flags, else told by the symbol table. `None` where neither could tell.
    fn strings(&self) -> Option<Told<Vec<Variable>>> {
        let owned = |list: &[LinkerString<'_>]| {
            let own = |one: &LinkerString<'_>| Variable {
                name: one.name.to_owned(),
                value: one.value.to_owned(),
            };
            list.iter().map(own).collect()
        };
        if let Some(ldflags) = self.setting("-ldflags") {
            return Some(Told::recorded(
                owned(&ldflags::strings(ldflags)),
                "build setting -ldflags",
            ));
        }
        let image = self.image.filter(|_| self.sections.symbols)?;
        let mut found = image.linker_strings();
        found.retain(|one| {
            !SET_BY_THE_LINKER
                .iter()
                .any(|prefix| one.name.starts_with(prefix))
        });
        Some(Told::derived(
            owned(&found),
            "symbols NAME.str that the linker makes for -X NAME",
        ))
    }

    fn application_version(&self, strings: Option<&Told<Vec<Variable>>>) -> Option<Told<String>> {
        let released = || {
            let module = self
                .module()
                .filter(|module| !["", "(devel)"].contains(&module.version))?;
            Some(recorded(module.version.to_owned()))
        };
        named(strings, "version").or_else(released)
    }

    fn vendor(&self, strings: Option<&Told<Vec<Variable>>>) -> Option<Told<String>> {
        let publisher = || {
            let mut parts = self.module()?.path.split('/');
            let host = parts.next().filter(|host| host.contains('.'))?;
            // What stands behind the host of a public forge is an account.
            let account = parts
                .next()
                .filter(|_| ["github.com", "gitlab.com", "bitbucket.org"].contains(&host));
            let vendor =
                account.map_or_else(|| host.to_owned(), |account| format!("{host}/{account}"));
            Some(Told::derived(vendor, "path of the main module"))
        };
        named(strings, "vendor").or_else(publisher)
    }

    fn build_mode(&self) -> Option<Told<Cow<'d, str>>> {
        if let Some(mode) = self.setting("-buildmode") {
            return Some(Told::recorded(
                Cow::Owned(mode.to_owned()),
                "build setting -buildmode",
            ));
        }
        Some(match self.image?.kind() {
            ImageKind::Executable => Told::derived(Cow::Borrowed("exe"), "ELF type ET_EXEC"),
            ImageKind::Pie => {
                Told::derived(Cow::Borrowed("pie"), "ELF type ET_DYN with an entry point")
            }
        })
    }

    fn linker(&self) -> Option<Told<Linker>> {
        let image = self.image?;
        let at_entry = image
            .function_at(image.entry())
            .filter(|function| function.entry == image.entry());
        Some(match at_entry {
            Some(function) if function.name == GO_ENTRY => {
                Told::derived(Linker::Internal, format!("the entry point is {GO_ENTRY}"))
            }
            Some(function) => Told::derived(
                Linker::External,
                format!("the entry point is {}", function.name),
            ),
            None => Told::derived(Linker::External, "the entry point is start-up code of C"),
        })
    }

    fn has_function(&self, name: &str, has: impl Fn(&Image<'d>) -> bool) -> Option<Told<bool>> {
        let found = has(self.image?);
        let article = if found { "function" } else { "no function" };
        Some(Told::derived(found, format!("{article} {name}")))
    }

    fn race(&self) -> Option<Told<bool>> {
        self.has_function("runtime.racefuncenter", Image::is_race)
            .or_else(|| {
                let value = self.setting("-race")?.parse().ok()?;
                Some(Told::recorded(value, "build setting -race"))
            })
    }

    fn stripped(&self) -> Told<bool> {
        let Sections {
            headers,
            symbols,
            dwarf,
            go: _,
        } = self.sections;
        let evidence = match (headers, symbols, dwarf) {
            (false, ..) => "no section headers",
            (_, true, true) => "symbol table and DWARF",
            (_, true, false) => "symbol table, no DWARF",
            (_, false, true) => "no symbol table, but DWARF",
            (_, false, false) => "neither symbol table nor DWARF",
        };
        Told::derived(!symbols, evidence)
    }

    fn inlining(&self) -> Option<Told<bool>> {
        let image = self.image?;
        image.facts().inline?;
        let copies: u64 = image
            .inlined_copies()
            .values()
            .map(|&copies| u64::from(copies))
            .sum();
        let functions = image.functions().len();
        match copies {
            0 if functions < MANY_FUNCTIONS => None,
            0 => Some(Told::derived(
                false,
                format!("no inlined copy in {functions} functions"),
            )),
            _ => Some(Told::derived(true, format!("{copies} inlined copies"))),
        }
    }
}

/// The first variable whose own name ends in `word`, whatever its case: `main.version`, `cmd.AppVersion`.
fn named(strings: Option<&Told<Vec<Variable>>>, word: &str) -> Option<Told<String>> {
    let strings = strings?;
    let ends = |variable: &&Variable| {
        let own = variable.name.rsplit('.').next().unwrap_or_default();
        own.to_ascii_lowercase().ends_with(word)
    };
    let found = strings
        .value
        .iter()
        .find(ends)
        .filter(|variable| !variable.value.is_empty())?;
    Some(Told {
        value: found.value.clone(),
        mark: strings.mark,
        evidence: format!("-X {}", found.name).into(),
    })
}
