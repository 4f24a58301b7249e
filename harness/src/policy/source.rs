//! The source of a toolchain's standard library -> the functions that it declares, as line tables name them, and those that
//! look at their caller.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::toolchain::Toolchain;

/// What a function calls to see its caller (`internal/runtime/sys` from 1.24, `runtime` before).
const LOOKS: [&str; 8] = [
    "getcallersp(",
    "getcallerpc(",
    "getcallerfp(",
    "setcallerpc(",
    "getfp(",
    "GetCallerSP(",
    "GetCallerPC(",
    "GetCallerFP(",
];

/// Values of `GOEXPERIMENT`, by minor version, with which other functions are compiled that rules forbid: 1.22 has both
/// execution tracers (`internal/goexperiment/flags.go`).
const EXPERIMENTS: [(u16, &str); 1] = [(22, "noexectracer2")];

/// How `go list` is asked for the files of a package.
const LISTING: &str = "{{.ImportPath}}\t{{.Dir}}\t{{range .GoFiles}}{{.}} {{end}}{{range .CgoFiles}}{{.}} {{end}}{{range .SFiles}}{{.}} {{end}}";

/// The functions of a standard library.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Functions {
    /// Names as they are declared, and as linkname calls them.
    pub all: BTreeSet<String>,
    /// Of these the ones that a line table can have.
    pub symbols: BTreeSet<String>,
    /// Those that look at their caller, with the file that says so.
    pub looking: BTreeMap<String, String>,
}

impl Functions {
    /// Those of all packages, as they are compiled for linux/amd64 with each of these build tags, and with each
    /// experiment that takes files of its own.
    ///
    /// # Errors
    /// The toolchain cannot be asked; a file cannot be read.
    pub fn of(toolchain: &Toolchain, tags: &[&str]) -> Result<Self> {
        let mut found = Self::default();
        let mut read = BTreeSet::new();
        let minor = toolchain.version().minor;
        let experiments = EXPERIMENTS.iter().filter(|(of, _)| *of == minor);
        let builds = tags.iter().map(|tag| (*tag, ""));
        for (tag, experiment) in builds.chain(experiments.map(|(_, name)| ("", *name))) {
            for (package, path) in files(toolchain, tag, experiment)? {
                if !read.insert(path.clone()) {
                    continue;
                }
                let text = fs::read_to_string(&path)
                    .with_context(|| format!("read {}", path.display()))?;
                if path.extension().is_some_and(|extension| extension == "s") {
                    for name in text.lines().filter_map(|line| assembly(&package, line)) {
                        found.symbols.insert(name.clone());
                        found.all.insert(name);
                    }
                } else {
                    let file = path.file_name().unwrap_or_default().to_string_lossy();
                    found.go(&package, &file, &text);
                }
            }
        }
        if found.all.len() < 5000 {
            bail!(
                "only {} functions in the source of {}",
                found.all.len(),
                toolchain.version()
            );
        }
        Ok(found)
    }

    /// The functions of a Go file: gofmt puts `func` and the closing brace at the start of their lines.
    fn go(&mut self, package: &str, file: &str, text: &str) {
        let renamed = linknames(text);
        let mut current: Option<String> = None;
        for line in text.lines() {
            let code = line.split("//").next().unwrap_or_default();
            let mut body = code;
            if let Some(rest) = line.strip_prefix("func ") {
                let Some(name) = declared(package, rest) else {
                    current = None;
                    continue;
                };
                let local = name.get(package.len() + 1..).unwrap_or_default();
                let symbol = renamed.get(local).map(|symbol| (*symbol).to_owned());
                self.all.insert(name.clone());
                let symbol = symbol.unwrap_or(name);
                self.all.insert(symbol.clone());
                self.symbols.insert(symbol.clone());
                current = Some(symbol);
                body = code
                    .find('{')
                    .and_then(|at| code.get(at..))
                    .unwrap_or_default();
            } else if line == "}" {
                current = None;
            }
            if let Some(name) = &current
                && LOOKS.iter().any(|look| calls(body, look))
            {
                self.looking
                    .insert(name.clone(), format!("{package}/{file}"));
            }
        }
    }
}

/// Whether `code` has a call that ends in `look`, and not of a function whose name only ends like it.
fn calls(code: &str, look: &str) -> bool {
    code.match_indices(look).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default().chars().next_back();
        before.is_none_or(|letter| !letter.is_alphanumeric() && letter != '_')
    })
}

/// `//go:linkname local symbol`: what a function is called in the line table instead.
fn linknames(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("//go:linkname ")?.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect()
}

/// Packages and files of the standard library for linux/amd64.
fn files(toolchain: &Toolchain, tag: &str, experiment: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut go = toolchain.go_command();
    if !experiment.is_empty() {
        go.env("GOEXPERIMENT", experiment);
    }
    go.args(["list", "-e", "-f", LISTING]);
    if !tag.is_empty() {
        go.args(["-tags", tag]);
    }
    let output = go
        .arg("std")
        .current_dir(toolchain.goroot())
        .output()
        .with_context(|| format!("run go list of {}", toolchain.version()))?;
    let text = String::from_utf8(output.stdout).context("the answer of go list")?;
    let mut files = Vec::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let (Some(package), Some(dir), Some(names)) = (fields.next(), fields.next(), fields.next())
        else {
            bail!("go list says `{line}`");
        };
        let dir = PathBuf::from(dir);
        let here = names.split(' ').filter(|name| !name.is_empty());
        files.extend(here.map(|name| (package.to_owned(), dir.join(name))));
    }
    Ok(files)
}

/// The name in the line table of what `func` declares: `runtime.f`, `runtime.(*T).m`, `runtime.T.m`.
fn declared(package: &str, rest: &str) -> Option<String> {
    let (receiver, rest) = match rest.strip_prefix('(') {
        Some(receiver) => {
            let (receiver, rest) = receiver.split_once(')')?;
            let ty = receiver.split('[').next()?.rsplit(' ').next()?;
            (Some(ty), rest.trim_start())
        }
        None => (None, rest),
    };
    let name = rest.split(['(', '[']).next()?;
    Some(match receiver {
        None => format!("{package}.{name}"),
        Some(ty) => match ty.strip_prefix('*') {
            Some(ty) => format!("{package}.(*{ty}).{name}"),
            None => format!("{package}.{ty}.{name}"),
        },
    })
}

/// The name of what a `TEXT` line of assembly declares; symbols of a file (`name<>`) have no package.
fn assembly(package: &str, line: &str) -> Option<String> {
    let symbol = line.strip_prefix("TEXT")?.trim_start();
    let symbol = symbol.split("(SB)").next()?;
    let symbol = symbol.split('<').next()?;
    Some(match symbol.split_once('·') {
        None => symbol.to_owned(),
        Some(("", name)) => format!("{package}.{name}"),
        Some((other, name)) => format!("{}.{name}", other.replace('∕', "/")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_line_table() {
        let of = |rest| declared("runtime", rest).unwrap();
        assert_eq!(of("gopanic(e any) {"), "runtime.gopanic");
        assert_eq!(
            of("(p *_panic) start(pc uintptr) {"),
            "runtime.(*_panic).start"
        );
        assert_eq!(
            of("(s pageBits) get(i uint) uint {"),
            "runtime.pageBits.get"
        );
        assert_eq!(
            of("(x *Pointer[T]) Load() *T { return"),
            "runtime.(*Pointer).Load"
        );
        assert_eq!(of("(x *Map[K, V]) get(k K) V {"), "runtime.(*Map).get");
        assert_eq!(of("f[T any](x T) {"), "runtime.f");
        let text = |line| assembly("runtime", line);
        assert_eq!(
            text("TEXT runtime·gogo(SB), NOSPLIT, $0-8").unwrap(),
            "runtime.gogo"
        );
        assert_eq!(
            text("TEXT ·asmcgocall(SB),NOSPLIT,$0-20").unwrap(),
            "runtime.asmcgocall"
        );
        assert_eq!(text("TEXT gogo<>(SB), NOSPLIT, $0").unwrap(), "gogo");
        assert_eq!(
            text("TEXT reflect·call<ABIInternal>(SB), NOSPLIT, $0").unwrap(),
            "reflect.call"
        );
        assert_eq!(text("\tCALL runtime·x(SB)"), None);
    }

    #[test]
    fn who_looks_at_its_caller_is_found_under_the_name_that_linkname_gives() {
        let mut functions = Functions::default();
        functions.go(
            "runtime",
            "f.go",
            "//go:linkname moved other.Moved\nfunc moved() {\n\tx := getcallersp()\n}\nfunc g() {\n\t// getcallersp()\n}\n\
             func (t *T) m() {\n\tsys.GetCallerPC()\n}\nfunc one() uintptr { return getcallerpc() }\nvar x = 1\n\
             func forgetfp() {\n\tnotgetfp()\n}\nfunc getcallerpc() uintptr\n",
        );
        let looking: Vec<&str> = functions.looking.keys().map(String::as_str).collect();
        assert_eq!(looking, ["other.Moved", "runtime.(*T).m", "runtime.one"]);
        assert!(functions.all.contains("runtime.moved") && functions.all.contains("other.Moved"));
        assert_eq!(functions.all.len(), 7);
        assert!(!functions.symbols.contains("runtime.moved"));
    }
}
