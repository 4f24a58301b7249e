//! The source text of a toolchain's standard library -> the values of its integer constants.
//!
//! Which files a package has is asked of the toolchain itself (`go list`), so build constraints and default experiments
//! are its own; the declarations in them are read here. Nothing is compiled.

mod declarations;
mod evaluate;
mod token;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::toolchain::Toolchain;

use declarations::Declared;
use evaluate::Names;
use token::{Token, tokens};

/// Constants refer to constants; deeper than this only in a circle.
const MAX_DEPTH: u32 = 64;

/// The constants of the standard library of one toolchain, read package by package as they are asked for.
#[derive(Debug)]
pub struct Source<'t> {
    toolchain: &'t Toolchain,
    race: bool,
    packages: HashMap<String, Package>,
    depth: u32,
}

#[derive(Debug, Default)]
struct Package {
    dir: PathBuf,
    constants: HashMap<String, Declared>,
}

impl<'t> Source<'t> {
    /// The source of `toolchain` as it is compiled for linux/amd64, with or without the race detector.
    #[must_use]
    pub fn of(toolchain: &'t Toolchain, race: bool) -> Self {
        Self {
            toolchain,
            race,
            packages: HashMap::new(),
            depth: 0,
        }
    }

    /// The value of the constant `name` of `package`; `None` if the package or the constant does not exist.
    ///
    /// # Errors
    /// The toolchain cannot be asked; the expression is more than integers.
    pub fn constant(&mut self, package: &str, name: &str) -> Result<Option<i128>> {
        let declared = self.package(package)?.constants.get(name).cloned();
        let Some(declared) = declared else {
            return Ok(None);
        };
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            bail!("{package}.{name} is declared by way of itself");
        }
        let mut names = In {
            source: self,
            package,
            declared: &declared,
        };
        let value = evaluate::evaluate(&declared.expression, declared.iota, &mut names)
            .with_context(|| format!("{package}.{name} in {}", declared.file));
        self.depth -= 1;
        value.map(Some)
    }

    /// The value of the integer expression that follows the first `marker` in a file of `package`, up to `||` or `{`.
    ///
    /// # Errors
    /// As [`constant`](Self::constant).
    pub fn expression_after(
        &mut self,
        package: &str,
        file: &str,
        marker: &str,
    ) -> Result<Option<i128>> {
        let path = self.package(package)?.dir.join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let Some(at) = text.find(marker) else {
            return Ok(None);
        };
        let rest = &text[at + marker.len()..];
        let end = rest.find("||").or_else(|| rest.find('{'));
        let mut expression = tokens(&rest[..end.unwrap_or(rest.len())]);
        expression.retain(|token| *token != Token::Sign(";"));
        let mut one = HashMap::new();
        declarations::read(
            file,
            &format!("{}\nconst it = 0\n", import_lines(&text)),
            &mut one,
        );
        let declared = one.remove("it").context("no declaration")?;
        let mut names = In {
            source: self,
            package,
            declared: &declared,
        };
        evaluate::evaluate(&expression, 0, &mut names)
            .with_context(|| format!("what follows `{marker}` in {package}/{file}"))
            .map(Some)
    }

    fn package(&mut self, path: &str) -> Result<&Package> {
        if !self.packages.contains_key(path) {
            let package = self.list(path)?;
            self.packages.insert(path.to_owned(), package);
        }
        Ok(&self.packages[path])
    }

    fn list(&self, path: &str) -> Result<Package> {
        let mut go = self.toolchain.go_command();
        go.args([
            "list",
            "-e",
            "-f",
            "{{.Dir}}{{range .GoFiles}}\n{{.}}{{end}}",
        ]);
        if self.race {
            go.args(["-tags", "race"]);
        }
        let output = go
            .arg(path)
            .current_dir(self.toolchain.goroot())
            .output()
            .with_context(|| format!("run go list of {}", self.toolchain.version()))?;
        let text = String::from_utf8(output.stdout).context("the answer of go list")?;
        let mut lines = text.lines();
        let dir = PathBuf::from(lines.next().unwrap_or_default());
        let mut constants = HashMap::new();
        for name in lines {
            let file = dir.join(name);
            let text =
                fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
            declarations::read(name, &text, &mut constants);
        }
        Ok(Package { dir, constants })
    }
}

/// The import declarations of a file.
fn import_lines(text: &str) -> &str {
    let end = ["\nconst ", "\nvar ", "\ntype ", "\nfunc "]
        .into_iter()
        .filter_map(|start| text.find(start))
        .min();
    &text[..end.unwrap_or(text.len())]
}

/// Names as the declaration of one constant sees them.
struct In<'s, 't, 'd> {
    source: &'s mut Source<'t>,
    package: &'d str,
    declared: &'d Declared,
}

impl Names for In<'_, '_, '_> {
    fn value(&mut self, package: Option<&str>, name: &str) -> Result<Option<i128>> {
        match package {
            None => self.source.constant(self.package, name),
            Some(short) => {
                let path = self.declared.imports.get(short);
                let what = || format!("`{short}` is no import of {}", self.declared.file);
                let path = path.with_context(what)?.clone();
                self.source.constant(&path, name)
            }
        }
    }
}
