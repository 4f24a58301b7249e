//! A folder of `testbins/` -> a [`Case`]: the program and what hooks on it must produce.
//!
//! The comment at the head of `main.go` says it, one `// key: value` a line, up to the first line that is no comment;
//! `testbins/README.md` describes the keys. An unknown key with a known shape is an error, so a misspelt expectation
//! cannot go unchecked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use gondwana_engine::golang::GoVersion;

/// One test program.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Case {
    /// The name of its folder.
    pub name: String,
    /// Its folder.
    pub dir: PathBuf,
    /// Patterns of the functions to hook, as `--hook` takes them.
    pub hooks: Vec<String>,
    /// What each hook must produce.
    pub events: Vec<Expected>,
    /// The oldest version with which it builds and behaves as described.
    pub min_go: GoVersion,
    /// Variables to set when it runs.
    pub env: Vec<(String, String)>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its exit status.
    pub exit: i32,
    /// Set for a program that runs until it is told to stop.
    pub server: Option<Server>,
}

/// How to use a program that does not end by itself.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Server {
    /// What the line on standard output starts with that says that it is ready.
    pub ready: String,
    /// The signal that ends it, such as `TERM`.
    pub stop: String,
}

/// What the hooks on some functions must produce in a run.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct Expected {
    /// The functions, as `--hook` takes them: instances of generic functions, say, have different names in different
    /// versions. Their counts are added.
    pub pattern: String,
    /// Calls that return.
    pub spans: Count,
    /// Calls that a panic, `runtime.Goexit` or the end of the program leaves without a return.
    pub abandoned: Count,
    /// Whether some versions compile the function to code that cannot be hooked; then it produces nothing.
    pub refusable: bool,
}

/// A number, or a lower bound of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub enum Count {
    /// So many.
    Exactly(u64),
    /// So many or more.
    AtLeast(u64),
}

impl Count {
    /// Whether `number` is as expected.
    #[must_use]
    pub fn admits(self, number: u64) -> bool {
        match self {
            Self::Exactly(n) => number == n,
            Self::AtLeast(n) => number >= n,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix(">=") {
            Some(bound) => bound.parse().ok().map(Self::AtLeast),
            None => text.parse().ok().map(Self::Exactly),
        }
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(n) => write!(f, "{n}"),
            Self::AtLeast(n) => write!(f, "at least {n}"),
        }
    }
}

/// The folder with the test programs: `$GONDWANA_TESTBINS`, else `testbins/` of the checkout this was built from.
///
/// # Errors
/// When there is no such folder.
pub fn directory() -> Result<PathBuf> {
    let dir = match std::env::var_os("GONDWANA_TESTBINS") {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testbins")),
    };
    dir.canonicalize().with_context(|| {
        format!(
            "no test programs at {} (set GONDWANA_TESTBINS)",
            dir.display()
        )
    })
}

/// What a file in the folder of test programs says, as `parse` understands it.
///
/// # Errors
/// When it is not there, or what `parse` says of it, with the file's name.
pub fn definition<T>(file: &str, parse: impl FnOnce(&str) -> Result<T>) -> Result<T> {
    let file = directory()?.join(file);
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    parse(&text).with_context(|| file.display().to_string())
}

/// Every test program, in the order of their names.
///
/// # Errors
/// When a folder's `main.go` is missing or its head is wrong.
pub fn all() -> Result<Vec<Case>> {
    let dir = directory()?;
    let mut cases = Vec::new();
    for entry in fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry
            .with_context(|| format!("read {}", dir.display()))?
            .path();
        if path.is_dir() {
            cases.push(Case::read(&path)?);
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

/// The test program of this name.
///
/// # Errors
/// When there is none, or its head is wrong.
pub fn case(name: &str) -> Result<Case> {
    let dir = directory()?;
    let path = dir.join(name);
    if name.contains(['/', '.']) || !path.is_dir() {
        bail!("no test program `{name}` in {}", dir.display());
    }
    Case::read(&path)
}

impl Case {
    /// Reads the program in one folder.
    ///
    /// # Errors
    /// When `main.go` is missing or its head is wrong.
    pub fn read(dir: &Path) -> Result<Self> {
        let main = dir.join("main.go");
        let text = fs::read_to_string(&main).with_context(|| format!("read {}", main.display()))?;
        Self::parse(dir, &text).with_context(|| format!("{}", main.display()))
    }

    /// Whether the program can be built with this version.
    #[must_use]
    pub fn supports(&self, version: GoVersion) -> bool {
        self.min_go <= version
    }

    fn parse(dir: &Path, text: &str) -> Result<Self> {
        let name = dir
            .file_name()
            .and_then(|name| name.to_str())
            .context("a folder without a name")?;
        let mut case = Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            hooks: Vec::new(),
            events: Vec::new(),
            min_go: GoVersion::new(5, 0),
            env: Vec::new(),
            args: Vec::new(),
            exit: 0,
            server: None,
        };
        let (mut ready, mut stop) = (None, None);
        for (number, line) in text.lines().enumerate() {
            let Some(comment) = line.strip_prefix("//") else {
                if line.trim().is_empty() {
                    continue;
                } else {
                    break;
                }
            };
            // `// key: value`; prose has capitals, spaces or nothing before its colon.
            let Some((key, value)) = comment.strip_prefix(' ').and_then(|c| c.split_once(": "))
            else {
                continue;
            };
            if !key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
                continue;
            }
            let value = value.trim();
            let wrong = || anyhow!("line {}: `{key}: {value}` is not understood", number + 1);
            match key {
                "hook" => case.hooks.push(value.to_owned()),
                "event" => case.events.push(Expected::parse(value).ok_or_else(wrong)?),
                "min-go" => case.min_go = value.parse().ok().ok_or_else(wrong)?,
                "env" => {
                    let (name, value) = value.split_once('=').ok_or_else(wrong)?;
                    case.env.push((name.to_owned(), value.to_owned()));
                }
                "args" => case
                    .args
                    .extend(value.split_whitespace().map(str::to_owned)),
                "exit" => case.exit = value.parse().ok().ok_or_else(wrong)?,
                "ready" => ready = Some(value.to_owned()),
                "stop" => stop = Some(value.to_owned()),
                _ => return Err(wrong()),
            }
        }
        case.server = match (ready, stop) {
            (Some(ready), Some(stop)) => Some(Server { ready, stop }),
            (None, None) => None,
            _ => bail!("`ready` and `stop` go together"),
        };
        if case.hooks.is_empty() {
            bail!("no `// hook: PATTERN` at its head");
        }
        Ok(case)
    }
}

impl Expected {
    /// `PATTERN COUNT [abandoned COUNT] [or refused]`; a function's name may contain spaces (`struct { main.T }.M`).
    fn parse(text: &str) -> Option<Self> {
        let (text, refusable) = match text.strip_suffix(" or refused") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let (rest, abandoned) = match text.rsplit_once(" abandoned ") {
            Some((rest, count)) => (rest, Count::parse(count.trim())?),
            None => (text, Count::Exactly(0)),
        };
        let (pattern, spans) = rest.trim().rsplit_once(' ')?;
        Some(Self {
            pattern: pattern.trim().to_owned(),
            spans: Count::parse(spans)?,
            abandoned,
            refusable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(head: &str) -> Result<Case> {
        Case::parse(
            Path::new("/x/demo"),
            &format!("{head}\npackage main\n// hook: not.this\n"),
        )
    }

    #[test]
    fn a_head_is_read() {
        let case = parse(
            "// +build go1.18\n\n// Recursion: prose with a colon.\n//\n// hook: main.f\n// hook: main.(*T).*\n\
             // event: main.f 12\n// event: main.(*T).g >=3 abandoned 2\n// min-go: 1.18\n// args: a b\n\
             // env: GOGC=1\n// exit: 2",
        )
        .unwrap();
        assert_eq!(case.name, "demo");
        assert_eq!(case.hooks, ["main.f", "main.(*T).*"]);
        assert_eq!(case.args, ["a", "b"]);
        assert_eq!(case.env, [("GOGC".to_owned(), "1".to_owned())]);
        assert_eq!((case.exit, case.min_go), (2, GoVersion::new(18, 0)));
        assert_eq!(
            case.events[0],
            Expected::parse("main.f 12 abandoned 0").unwrap()
        );
        assert!(
            Expected::parse("main.f 12 or refused").unwrap().refusable && !case.events[0].refusable
        );
        assert_eq!(case.events[1].spans, Count::AtLeast(3));
        assert_eq!(case.events[1].abandoned, Count::Exactly(2));
        assert!(!case.supports(GoVersion::new(17, 13)) && case.supports(GoVersion::new(18, 0)));
    }

    #[test]
    fn mistakes_are_errors() {
        for head in [
            "// nothing",
            "// hook: main.f\n// evnet: main.f 1",
            "// hook: main.f\n// event: main.f",
            "// hook: main.f\n// event: main.f many",
            "// hook: main.f\n// event: main.f 1 abandoned x",
            "// hook: main.f\n// exit: no",
            "// hook: main.f\n// ready: yes",
        ] {
            assert!(parse(head).is_err(), "{head}");
        }
    }

    #[test]
    fn counts_admit_what_they_say() {
        assert!(Count::Exactly(2).admits(2) && !Count::Exactly(2).admits(3));
        assert!(Count::AtLeast(2).admits(3) && !Count::AtLeast(2).admits(1));
    }

    #[test]
    fn every_test_program_has_a_head_that_is_understood() {
        let cases = all().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            assert!(!case.events.is_empty(), "{} expects no event", case.name);
        }
    }
}
