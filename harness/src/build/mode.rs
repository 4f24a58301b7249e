//! Build modes: which versions have each, and the `go build` flags, environment and added source that it is there.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail};
use gondwana_engine::golang::GoVersion;

/// How a test program is built.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// The default without cgo: static, with symbols and DWARF.
    Static,
    /// Static, without symbols and DWARF: `-ldflags=-s -w`.
    Stripped,
    /// Static, and `strip --strip-all` after it: no symbols either, other section offsets than the linker's.
    StripAll,
    /// Position independent without cgo: `-buildmode=pie`. Up to Go 1.14 only the C linker makes such programs.
    Pie,
    /// Position independent with cgo, linked by the C linker.
    PieExternal,
    /// With cgo, linked by the C linker at a fixed address.
    Cgo,
    /// As `Cgo`, and C code has thread-local data of its own, so that g lies elsewhere in the TLS block than at −8.
    CgoTls,
    /// Static, not optimised and nothing inlined, `-gcflags=all=-N -l`; before 1.10 without the standard library.
    Debug,
    /// With the race detector, which needs cgo.
    Race,
    /// Static, for processors with AVX2 and BMI2: `GOAMD64=v3`.
    Amd64V3,
    /// A shared library with a Go runtime of its own: `-buildmode=c-shared`. It is no program and is never hooked.
    CShared,
}

/// Why some versions do not have a mode, or `None` where all have it.
struct Since {
    minor: u16,
    before: &'static str,
}

const EVERY: Since = Since {
    minor: 0,
    before: "",
};

impl Mode {
    /// All modes.
    pub const ALL: [Self; 11] = [
        Self::Static,
        Self::Stripped,
        Self::StripAll,
        Self::Pie,
        Self::PieExternal,
        Self::Cgo,
        Self::CgoTls,
        Self::Debug,
        Self::Race,
        Self::Amd64V3,
        Self::CShared,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Stripped => "stripped",
            Self::StripAll => "strip-all",
            Self::Pie => "pie",
            Self::PieExternal => "pie-external",
            Self::Cgo => "cgo",
            Self::CgoTls => "cgo-tls",
            Self::Debug => "debug",
            Self::Race => "race",
            Self::Amd64V3 => "amd64-v3",
            Self::CShared => "c-shared",
        }
    }

    /// What each mode needs; seen by building, with binutils 2.40.
    const fn since(self) -> Since {
        match self {
            Self::Pie => Since {
                minor: 8,
                before: "before 1.8, -buildmode=pie needs cgo",
            },
            Self::PieExternal => Since {
                minor: 6,
                before: "-buildmode=pie came with 1.6",
            },
            Self::Amd64V3 => Since {
                minor: 18,
                before: "GOAMD64 came with 1.18",
            },
            Self::CShared => Since {
                minor: 6,
                before: "the 1.5 linker asks the C linker for -r and -pie together",
            },
            _ => EVERY,
        }
    }

    /// Why `version` does not have this mode, or `None` if it has it.
    #[must_use]
    pub fn missing_in(self, version: GoVersion) -> Option<&'static str> {
        let since = self.since();
        (version.minor < since.minor).then_some(since.before)
    }

    /// Whether the machine's C compiler and linker have a part in the program.
    #[must_use]
    pub fn needs_c(self, version: GoVersion) -> bool {
        match self {
            Self::Static | Self::Stripped | Self::Debug | Self::Amd64V3 => false,
            Self::Pie => version.minor < 15,
            _ => true,
        }
    }

    /// The flags of this mode, or why the version does not have it.
    pub(super) fn flags(self, version: GoVersion) -> Result<Flags, &'static str> {
        if let Some(reason) = self.missing_in(version) {
            return Err(reason);
        }
        let mut flags = Flags {
            packages: Packages::for_version(version),
            build: Vec::new(),
            gc: Vec::new(),
            gc_std: false,
            env: Vec::new(),
            added: None,
            strip: false,
        };
        if version.minor == 5 {
            // //go:noinline came with 1.6 (cmd/compile/internal/gc/lex.go); the programs rely on it.
            flags.gc.push("-l");
        }
        match self {
            Self::Static => {}
            Self::Stripped => flags.build.push("-ldflags=-s -w"),
            Self::StripAll => flags.strip = true,
            Self::Pie => flags.build.push("-buildmode=pie"),
            Self::PieExternal => {
                flags.build.push("-buildmode=pie");
                flags.cgo(CALLS_C);
            }
            Self::Cgo => flags.cgo(CALLS_C),
            Self::CgoTls => flags.cgo(CALLS_C_WITH_TLS),
            Self::Debug => {
                flags.gc = vec!["-N", "-l"];
                flags.gc_std = true;
            }
            Self::Race => {
                flags.build.push("-race");
                flags.cgo(CALLS_C);
            }
            Self::Amd64V3 => flags.env.push(("GOAMD64", "v3")),
            Self::CShared => {
                flags.build.push("-buildmode=c-shared");
                flags.cgo(CALLS_C);
            }
        }
        let position_independent = matches!(self, Self::Pie | Self::PieExternal | Self::CShared);
        if version.minor < 8 && !position_independent {
            // From 1.8 on the linker says so itself; C compilers of today make the others by default.
            flags.env.push(("CGO_LDFLAGS", "-no-pie"));
        }
        Ok(flags)
    }
}

/// The name of the source that some modes add to the program's main package.
pub(super) const ADDED: &str = "zz_mode.go";

/// Makes a program one with cgo, whatever it imports; the C linker links it, since it is not the standard library's.
const CALLS_C: &str = r#"package main

// static int answer(void) { return 42; }
import "C"

func init() {
	if C.answer() != 42 {
		panic("C does not answer")
	}
}
"#;

/// As [`CALLS_C`], with thread-local data in C.
const CALLS_C_WITH_TLS: &str = r#"package main

// static __thread char block[200];
// static __thread long total;
// static long add(long n) { block[n & 127]++; return total += n; }
import "C"

func init() {
	if C.add(1) != 1 {
		panic("C does not answer")
	}
}
"#;

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Mode {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|mode| mode.name() == text) {
            Some(mode) => Ok(mode),
            None => bail!(
                "`{text}` is not a build mode; there are {}",
                Self::ALL.map(Self::name).join(", ")
            ),
        }
    }
}

/// To which packages flags of the compiler go, and how the place of the sources is kept out of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Packages {
    /// To all that are compiled: the program's own, since the standard library comes compiled. `-trimpath` for each.
    Compiled,
    /// To those that a pattern names. `-trimpath` for the program's own; the standard library comes compiled.
    Pattern,
    /// To those that a pattern names, and `-trimpath` of `go build` for everything: from 1.20 the standard library is
    /// compiled on first use.
    PatternAndTrim,
}

impl Packages {
    const fn for_version(version: GoVersion) -> Self {
        match version.minor {
            ..10 => Self::Compiled,
            10..20 => Self::Pattern,
            _ => Self::PatternAndTrim,
        }
    }
}

/// The flags of a build, without the paths in them.
#[derive(Clone, Debug)]
pub(super) struct Flags {
    packages: Packages,
    build: Vec<&'static str>,
    gc: Vec<&'static str>,
    /// Whether `gc` is for the standard library too, where that can be said.
    gc_std: bool,
    /// Variables of the `go` command.
    pub(super) env: Vec<(&'static str, &'static str)>,
    /// The text of [`ADDED`].
    pub(super) added: Option<&'static str>,
    /// Whether `strip --strip-all` follows.
    pub(super) strip: bool,
}

impl Flags {
    /// One more flag for the compiler, for all packages.
    pub(super) fn compile_all_with(&mut self, flag: &'static str) {
        self.gc.push(flag);
        self.gc_std = true;
    }

    fn cgo(&mut self, source: &'static str) {
        self.env.push(("CGO_ENABLED", "1"));
        self.added = Some(source);
    }

    /// The arguments of `go build` for the packages `testbins/…` below `source_root`.
    pub(super) fn arguments(&self, source_root: &Path) -> Vec<String> {
        let mut arguments: Vec<String> = self.build.iter().map(|&flag| flag.to_owned()).collect();
        let gc = self.gc.join(" ");
        let trim = format!("-trimpath={}", source_root.display());
        let own = |flags: &str, more: &str| format!("{flags} {more}").trim().to_owned();
        match self.packages {
            Packages::Compiled => {
                arguments.push(format!("-asmflags={trim}"));
                arguments.push(format!("-gcflags={}", own(&gc, &trim)));
            }
            Packages::Pattern => {
                arguments.push(format!("-asmflags=testbins/...={trim}"));
                if self.gc_std {
                    arguments.push(format!("-gcflags=all={gc}"));
                }
                // The last pattern that fits a package decides.
                arguments.push(format!("-gcflags=testbins/...={}", own(&gc, &trim)));
            }
            Packages::PatternAndTrim => {
                arguments.push("-trimpath".to_owned());
                if !gc.is_empty() {
                    let packages = if self.gc_std { "all" } else { "testbins/..." };
                    arguments.push(format!("-gcflags={packages}={gc}"));
                }
            }
        }
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_fit_the_version() {
        let arguments = |mode: Mode, minor| {
            let flags = mode.flags(GoVersion::new(minor, 1)).unwrap();
            flags.arguments(Path::new("/s"))
        };
        assert_eq!(
            arguments(Mode::Static, 5),
            ["-asmflags=-trimpath=/s", "-gcflags=-l -trimpath=/s"]
        );
        assert_eq!(
            arguments(Mode::Static, 9),
            ["-asmflags=-trimpath=/s", "-gcflags=-trimpath=/s"]
        );
        assert_eq!(
            arguments(Mode::Debug, 10),
            [
                "-asmflags=testbins/...=-trimpath=/s",
                "-gcflags=all=-N -l",
                "-gcflags=testbins/...=-N -l -trimpath=/s"
            ]
        );
        assert_eq!(
            arguments(Mode::Stripped, 21),
            ["-ldflags=-s -w", "-trimpath"]
        );
        assert_eq!(
            arguments(Mode::Debug, 21),
            ["-trimpath", "-gcflags=all=-N -l"]
        );
    }

    #[test]
    fn a_mode_that_a_version_does_not_have_says_why() {
        let missing = |mode: Mode, minor| mode.flags(GoVersion::new(minor, 1)).err();
        assert!(missing(Mode::Pie, 7).unwrap().contains("cgo"));
        assert!(missing(Mode::Amd64V3, 17).unwrap().contains("1.18"));
        for mode in Mode::ALL {
            assert_eq!(missing(mode, 27), None, "{mode}");
        }
    }

    #[test]
    fn old_versions_are_told_not_to_link_position_independent_programs() {
        let env = |mode: Mode, minor| mode.flags(GoVersion::new(minor, 1)).unwrap().env;
        let no_pie = ("CGO_LDFLAGS", "-no-pie");
        assert!(env(Mode::Cgo, 7).contains(&no_pie) && env(Mode::Race, 5).contains(&no_pie));
        assert!(!env(Mode::PieExternal, 6).contains(&no_pie));
        assert!(!env(Mode::Cgo, 8).contains(&no_pie));
    }

    #[test]
    fn names_are_read_back() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
        assert!("shared".parse::<Mode>().is_err());
    }
}
