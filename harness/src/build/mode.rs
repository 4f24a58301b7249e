//! Build modes, and the `go build` flags that they are in each version.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Result, bail};
use gondwana_engine::golang::GoVersion;

/// How a test program is built. All modes are without cgo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// The default: static, with symbols and DWARF.
    Static,
    /// Static, without symbols and DWARF: `-ldflags=-s -w`.
    Stripped,
    /// Position independent: `-buildmode=pie`. From Go 1.8 without cgo; up to 1.14 it needs a C linker.
    Pie,
    /// Static, not optimised and nothing inlined: `-gcflags=-N -l`.
    Debug,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 4] = [Self::Static, Self::Stripped, Self::Pie, Self::Debug];

    const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Stripped => "stripped",
            Self::Pie => "pie",
            Self::Debug => "debug",
        }
    }

    /// The flags of this mode, or `None` where the version does not have it.
    pub(super) fn flags(self, version: GoVersion) -> Option<Flags> {
        let mut flags = Flags {
            trim: Trim::for_version(version),
            build: Vec::new(),
            gc: Vec::new(),
        };
        if version.minor == 5 {
            // //go:noinline came with 1.6 (cmd/compile/internal/gc/lex.go); the programs rely on it.
            flags.gc.push("-l");
        }
        match self {
            Self::Static => {}
            Self::Stripped => flags.build.push("-ldflags=-s -w"),
            Self::Pie if version.minor < 8 => return None,
            Self::Pie => flags.build.push("-buildmode=pie"),
            Self::Debug => flags.gc = vec!["-N", "-l"],
        }
        Some(flags)
    }
}

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

/// How the place of the sources is kept out of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Trim {
    /// `-trimpath` of the compiler and assembler, for the named package. The standard library comes compiled.
    Compiler,
    /// `-trimpath` of `go build`, for everything: from 1.20 the standard library is compiled on first use.
    Build,
}

impl Trim {
    const fn for_version(version: GoVersion) -> Self {
        if version.minor < 20 {
            Self::Compiler
        } else {
            Self::Build
        }
    }
}

/// The flags of a build, without the paths in them.
#[derive(Clone, Debug)]
pub(super) struct Flags {
    trim: Trim,
    build: Vec<&'static str>,
    gc: Vec<&'static str>,
}

impl Flags {
    /// The arguments of `go build` for sources below `source_root`.
    pub(super) fn arguments(&self, source_root: &Path) -> Vec<String> {
        let mut arguments: Vec<String> = self.build.iter().map(|&flag| flag.to_owned()).collect();
        let mut gc: Vec<String> = self.gc.iter().map(|&flag| flag.to_owned()).collect();
        match self.trim {
            Trim::Compiler => {
                let trim = format!("-trimpath={}", source_root.display());
                arguments.push(format!("-asmflags={trim}"));
                gc.push(trim);
            }
            Trim::Build => arguments.push("-trimpath".to_owned()),
        }
        if !gc.is_empty() {
            arguments.push(format!("-gcflags={}", gc.join(" ")));
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
            mode.flags(GoVersion::new(minor, 1))
                .map(|f| f.arguments(Path::new("/s")))
        };
        assert_eq!(arguments(Mode::Pie, 7), None);
        assert_eq!(
            arguments(Mode::Static, 5).unwrap(),
            ["-asmflags=-trimpath=/s", "-gcflags=-l -trimpath=/s"]
        );
        assert_eq!(
            arguments(Mode::Static, 9).unwrap(),
            ["-asmflags=-trimpath=/s", "-gcflags=-trimpath=/s"]
        );
        assert_eq!(
            arguments(Mode::Stripped, 21).unwrap(),
            ["-ldflags=-s -w", "-trimpath"]
        );
        assert_eq!(
            arguments(Mode::Debug, 21).unwrap(),
            ["-trimpath", "-gcflags=-N -l"]
        );
    }

    #[test]
    fn names_are_read_back() {
        for mode in Mode::ALL {
            assert_eq!(mode.to_string().parse::<Mode>().unwrap(), mode);
        }
        assert!("shared".parse::<Mode>().is_err());
    }
}
