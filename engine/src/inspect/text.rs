//! [`Document`] -> a table for people.

use std::fmt::{self, Display, Write as _};

use crate::image::ImageKind;
use crate::meta::{Linker, Mark, Meta, Module, Told};

use super::{Document, Layout};

/// Name and value, one line each.
struct Rows(Vec<(&'static str, String)>);

impl Rows {
    fn add(&mut self, name: &'static str, value: impl Into<String>) {
        self.0.push((name, value.into()));
    }

    /// A value with its origin behind it; nothing if it is absent.
    fn told<T>(&mut self, name: &'static str, told: Option<&Told<T>>, show: impl Fn(&T) -> String) {
        if let Some(told) = told {
            self.add(name, format!("{} {}", show(&told.value), origin(told)));
        }
    }
}

fn origin<T>(told: &Told<T>) -> String {
    let mark = match told.mark {
        Mark::Recorded => "recorded",
        Mark::Derived => "derived",
    };
    format!("({mark}: {})", told.evidence)
}

/// The whole table; empty for a file that is no Go program.
impl Display for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&table(self))
    }
}

fn table(document: &Document<'_>) -> String {
    let Some(build) = &document.build else {
        return String::new();
    };
    let mut rows = Rows(Vec::new());
    rows.add(
        "file",
        format!("{}, {} bytes", document.file.path, document.file.size),
    );
    identity(&mut rows, build);
    origins(&mut rows, build);
    how_built(&mut rows, build);
    if let Some(layout) = &document.layout {
        places(&mut rows, layout);
    }
    let process = document.process.iter().flat_map(|process| process.rows());
    rows.0.extend(process);
    let width = rows.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, value) in rows.0 {
        let _ = writeln!(out, "{name:width$}  {value}");
    }
    out
}

fn plain<T: Display + ?Sized>(value: &T) -> String {
    value.to_string()
}

fn identity(rows: &mut Rows, build: &Meta<'_>) {
    rows.told("Go version", build.go_version.as_ref(), plain);
    match &build.package {
        Some(_) => rows.told("package", build.package.as_ref(), plain),
        None => rows.add("package", "unknown (no module information)"),
    }
    rows.told("version", build.application.version.as_ref(), plain);
    rows.told("vendor", build.application.vendor.as_ref(), plain);
    rows.told("main module", build.module.as_ref(), module);
    for dependency in build.dependencies.iter().flat_map(|told| &told.value) {
        rows.add("dependency", module(dependency));
    }
    if build.dependencies.is_none() {
        let packages = build
            .packages
            .iter()
            .flat_map(|told| &told.value.third_party);
        for package in packages {
            rows.add(
                "imports",
                format!("{package} (derived: names of functions)"),
            );
        }
    }
}

/// Path, version, sum with single spaces, and what replaces it; empty parts left out.
fn module(module: &Module<'_>) -> String {
    let parts = [module.path, module.version, module.sum];
    let mut text = parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    if let Some(other) = &module.replaced_by {
        let _ = write!(text, " => {}", self::module(other));
    }
    text
}

fn origins(rows: &mut Rows, build: &Meta<'_>) {
    rows.told("VCS", build.vcs.as_ref(), |vcs| {
        let state = if vcs.modified == Some(true) {
            Some("modified")
        } else {
            None
        };
        let parts = [Some(vcs.system), vcs.revision, vcs.time, state];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    rows.told("Go build ID", build.go_build_id.as_ref(), plain);
    rows.told("GNU build ID", build.gnu_build_id.as_ref(), plain);
    for settings in [&build.flags, &build.environment].into_iter().flatten() {
        for (key, value) in &settings.value {
            rows.add("setting", format!("{key}={value}"));
        }
    }
    if let Some(strings) = &build.strings {
        for one in &strings.value {
            rows.add(
                "-X",
                format!("{}={} {}", one.name, one.value, origin(strings)),
            );
        }
    }
}

fn how_built(rows: &mut Rows, build: &Meta<'_>) {
    let yes_no = |&value: &bool| if value { "yes" } else { "no" }.to_owned();
    rows.told("build mode", build.build_mode.as_ref(), plain);
    rows.told("PIE", build.pie.as_ref(), yes_no);
    rows.told("linker", build.linker.as_ref(), |linker| {
        match linker {
            Linker::Internal => "internal",
            Linker::External => "external",
        }
        .to_owned()
    });
    rows.told("cgo", build.cgo.as_ref(), yes_no);
    rows.told("race", build.race.as_ref(), yes_no);
    rows.told("stripped", build.stripped.as_ref(), yes_no);
    rows.told("inlining", build.inlining.as_ref(), yes_no);
    rows.told("packages", build.packages.as_ref(), |packages| {
        let (standard, own, others) = (
            packages.standard.len(),
            packages.own.len(),
            packages.third_party.len(),
        );
        format!("{own} own, {others} of third parties, {standard} standard")
    });
}

fn places(rows: &mut Rows, layout: &Layout<'_>) {
    let optional = |value: Option<String>| value.unwrap_or_else(|| "not found".into());
    let kind = match layout.kind {
        ImageKind::Executable => "executable at a fixed address",
        ImageKind::Pie => "position-independent executable",
    };
    let linked = match (layout.dynamic, layout.libraries.as_slice()) {
        (false, _) => "statically linked".to_owned(),
        (true, []) => "dynamically linked".to_owned(),
        (true, libraries) => format!("dynamically linked with {}", libraries.join(", ")),
    };
    rows.add("loading", format!("{kind}, {linked}"));
    rows.add("entry", layout.entry.to_string());
    rows.add("loaded", layout.extent.to_string());
    rows.add("Go code", layout.text.to_string());
    rows.add(
        "line table",
        format!("{}, {:?}", layout.pclntab, layout.pclntab_generation),
    );
    let last = optional(layout.last_moduledatap.map(|at| at.to_string()));
    rows.add(
        "moduledata",
        format!("{}, last at {last}", layout.first_moduledata),
    );
    rows.add(
        "g",
        optional(layout.tls_g.map(|offset| format!("fs:{offset}"))),
    );
    rows.add("functions", layout.functions.to_string());
    if let Some(like) = &layout.assumed {
        let text = format!("not known; assumed like {like}, whose layouts it proves to have");
        rows.add("Go version", text);
    }
}
