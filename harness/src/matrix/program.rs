//! The folders of `testbins/` -> the sources of one program that has each of them as a subcommand, so that a cell of the
//! matrix costs one link.
//!
//! Mechanically, so that nothing is written twice: the `package main` of folder NAME becomes package `testbins/NAME`,
//! whose `main` a generated program calls by the name in its first argument. What the folders' heads call `main.f` is
//! `testbins/NAME.f` here. Packages do not share names or state; their initialisers print nothing.

use anyhow::{Result, bail};

use crate::build::{Source, sources};
use crate::testbins::Case;

/// The name of the program, and of its folder.
const NAME: &str = "matrix";
/// Names the subcommand for a child process that the program starts from its own file.
const VARIABLE: &str = "GONDWANA_TESTBIN";
/// The file that is added to each folder. A call of a variable is never inlined, so that `main` stays a function.
const ENTRY: &str = "zz_entry.go";

/// The program of these folders. Its bytes depend on them and on nothing else.
///
/// # Errors
/// When a folder cannot be read, or holds a file that is not of package `main`.
pub fn merged(cases: &[Case]) -> Result<Source> {
    let mut files = Vec::new();
    for case in cases {
        let name = &case.name;
        for (file, content) in sources(&case.dir)? {
            let content = match file.ends_with(".go") {
                true => in_package(name, &file, content)?,
                false => content,
            };
            files.push((format!("{name}/{file}"), content));
        }
        let entry = format!("package {name}\n\n// Main is the program.\nvar Main = main\n");
        files.push((format!("{name}/{ENTRY}"), entry.into_bytes()));
    }
    files.push((format!("{NAME}/main.go"), dispatcher(cases).into_bytes()));
    files.sort();
    Ok(Source {
        name: NAME.to_owned(),
        files,
    })
}

/// The file with another package clause.
fn in_package(name: &str, file: &str, content: Vec<u8>) -> Result<Vec<u8>> {
    let text = match String::from_utf8(content) {
        Ok(text) => text,
        Err(_) => bail!("{name}/{file} is not UTF-8"),
    };
    let clauses = text.lines().filter(|line| *line == "package main").count();
    if clauses != 1 {
        bail!("{name}/{file} has {clauses} lines `package main`, expected one");
    }
    let lines: Vec<String> = text
        .lines()
        .map(|line| match line {
            "package main" => format!("package {name}"),
            line => line.to_owned(),
        })
        .collect();
    Ok((lines.join("\n") + "\n").into_bytes())
}

fn dispatcher(cases: &[Case]) -> String {
    let mut imports = String::new();
    let mut table = String::new();
    for Case { name, .. } in cases {
        imports += &format!("\t\"testbins/{name}\"\n");
        table += &format!("\t\"{name}\": {name}.Main,\n");
    }
    format!(
        r#"package main

import (
	"fmt"
	"os"

{imports})

var programs = map[string]func(){{
{table}}}

func main() {{
	name := os.Getenv("{VARIABLE}")
	if name == "" && len(os.Args) > 1 {{
		name = os.Args[1]
		os.Args = append(os.Args[:1], os.Args[2:]...)
		os.Setenv("{VARIABLE}", name)
	}}
	program := programs[name]
	if program == nil {{
		fmt.Fprintf(os.Stderr, "no program %q here\n", name)
		os.Exit(2)
	}}
	program()
}}
"#
    )
}

/// The case as a subcommand of the merged program: what its head calls `main.f` by the name that it has here.
#[must_use]
pub fn subcommand(case: &Case) -> Case {
    let renamed = |pattern: &str| rename(pattern, &case.name);
    let mut merged = case.clone();
    merged.hooks = case.hooks.iter().map(|hook| renamed(hook)).collect();
    for event in &mut merged.events {
        event.pattern = renamed(&event.pattern);
    }
    merged.args.insert(0, case.name.clone());
    merged
}

/// `main.` at the start of each name in a pattern becomes `testbins/NAME.`.
fn rename(pattern: &str, name: &str) -> String {
    const MAIN: &str = "main.";
    let mut renamed = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(MAIN) {
        let (before, found) = rest.split_at(at);
        let whole = !before.ends_with(|c: char| c.is_alphanumeric() || "_/.".contains(c));
        renamed += before;
        renamed += &match whole {
            true => format!("testbins/{name}."),
            false => MAIN.to_owned(),
        };
        rest = found.get(MAIN.len()..).unwrap_or_default();
    }
    renamed + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbins;

    #[test]
    fn names_of_package_main_are_renamed_and_no_others() {
        for (pattern, expected) in [
            ("main.*", "testbins/fib.*"),
            ("main.(*T).f", "testbins/fib.(*T).f"),
            ("struct { main.T }.M", "struct { testbins/fib.T }.M"),
            ("main.Map[main.T,*", "testbins/fib.Map[testbins/fib.T,*"),
            ("domain.f", "domain.f"),
            ("example/main.f", "example/main.f"),
            ("runtime.main", "runtime.main"),
            ("net/http.*", "net/http.*"),
        ] {
            assert_eq!(rename(pattern, "fib"), expected);
        }
    }

    #[test]
    fn every_test_program_is_in_the_merged_one() {
        let cases = testbins::all().unwrap();
        let source = merged(&cases).unwrap();
        let text = |file: &str| {
            let found = source.files.iter().find(|(name, _)| name == file);
            String::from_utf8(found.unwrap().1.clone()).unwrap()
        };
        let main = text("matrix/main.go");
        for case in &cases {
            let name = &case.name;
            assert!(main.contains(&format!("\t\"{name}\": {name}.Main,\n")));
            assert!(text(&format!("{name}/main.go")).contains(&format!("\npackage {name}\n")));
            assert!(
                text(&format!("{name}/{ENTRY}")).starts_with(&format!("package {name}\n")),
                "{name}"
            );
        }
        assert!(text("asm/asm_amd64.s").contains("TEXT"));
    }

    #[test]
    fn a_file_of_another_package_is_an_error() {
        for text in ["package other\n", "package main\npackage main\n", ""] {
            assert!(in_package("x", "f.go", text.as_bytes().to_vec()).is_err());
        }
    }
}
