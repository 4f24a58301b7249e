//! A folder -> one line per ELF file below it, then the counts. Symbolic links are counted, not followed.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use walkdir::WalkDir;

use gondwana_engine::image::ImageErrorCode;

use super::{GCCGO, NOT_GO};
use gondwana_engine::input::{self, Symbols};
use gondwana_engine::inspect::{Answer, Document, SCHEMA, VERSION};

/// How many files were of which kind.
#[derive(Default, Serialize)]
struct Counts {
    go: u64,
    gccgo: u64,
    /// ELF files that are not Go.
    not_go: u64,
    /// ELF files that were not looked into: damaged, for another machine, packed, no programs.
    unknown: u64,
    /// Files that are no ELF files.
    other: u64,
    symlinks: u64,
    /// Files and folders that could not be read.
    unreadable: u64,
}

/// The last line of the JSON form.
#[derive(Serialize)]
struct Summary<'c> {
    schema: &'static str,
    version: u32,
    summary: &'c Counts,
}

pub(super) fn run(folder: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let mut counts = Counts::default();
    match list(
        folder,
        json,
        &mut counts,
        BufWriter::new(io::stdout().lock()),
    ) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => result.context("standard output")?,
    }
    Ok(ExitCode::from(match counts {
        Counts {
            unreadable: 1.., ..
        } => crate::FAILURE,
        Counts { go: 1.., .. } => 0,
        Counts { gccgo: 1.., .. } => GCCGO,
        _ => NOT_GO,
    }))
}

/// Writes a line per file; fails only if that fails.
fn list(folder: &Path, json: bool, counts: &mut Counts, mut out: impl Write) -> io::Result<()> {
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                counts.unreadable += 1;
                eprintln!("gondwana: {error}");
                continue;
            }
        };
        let kind = entry.file_type();
        // The folder itself may be named by a link.
        if kind.is_dir() || entry.depth() == 0 {
            continue;
        }
        if kind.is_symlink() {
            counts.symlinks += 1;
        } else if !kind.is_file() || entry.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            // Files of /proc have no size either, and reading some of them waits for ever.
            counts.other += 1;
        } else {
            file(entry.path(), json, counts, &mut out)?;
        }
    }
    if json {
        let summary = Summary {
            schema: SCHEMA,
            version: VERSION,
            summary: counts,
        };
        serde_json::to_writer(&mut out, &summary)?;
        writeln!(out)?;
    } else {
        let Counts {
            go,
            gccgo,
            not_go,
            unknown,
            other,
            symlinks,
            unreadable,
        } = counts;
        writeln!(
            out,
            "{go} Go, {gccgo} gccgo, {not_go} not Go, {unknown} not looked into; {other} other files, \
             {symlinks} symbolic links, {unreadable} unreadable"
        )?;
    }
    out.flush()
}

fn file(path: &Path, json: bool, counts: &mut Counts, out: &mut impl Write) -> io::Result<()> {
    let file = match input::read(path, Symbols::Read) {
        Ok(file) => file,
        Err(error) => {
            counts.unreadable += 1;
            eprintln!("gondwana: {}: {error}", path.display());
            return Ok(());
        }
    };
    let shown = path.display().to_string();
    let document = Document::of(&shown, &file);
    match document.answer {
        _ if document.is(ImageErrorCode::NotElf) => {
            counts.other += 1;
            return Ok(());
        }
        Answer::Go => counts.go += 1,
        Answer::Gccgo => counts.gccgo += 1,
        Answer::NotGo => counts.not_go += 1,
        Answer::Unknown => counts.unknown += 1,
    }
    if json {
        serde_json::to_writer(&mut *out, &document)?;
    } else {
        write!(out, "{shown}: {}", line(&document))?;
    }
    writeln!(out)
}

/// Version, package and module, or what it is instead.
fn line(document: &Document<'_>) -> String {
    match document.answer {
        Answer::Gccgo => return "gccgo".to_owned(),
        Answer::NotGo => return "not Go".to_owned(),
        Answer::Unknown => {}
        Answer::Go => {
            let build = document.build.as_ref();
            let version = build.and_then(|build| build.go_version.as_ref());
            let module = build.and_then(|build| build.module.as_ref());
            let package = build.and_then(|build| build.package.as_ref());
            let mut parts = vec![version.map_or("Go", |told| told.value)];
            parts.extend(package.map(|told| told.value));
            parts.extend(
                module
                    .map(|told| told.value.version)
                    .filter(|version| !version.is_empty()),
            );
            let code = document
                .error
                .as_ref()
                .map(|error| format!("({})", error.code));
            parts.extend(code.as_deref());
            return parts.join(" ");
        }
    }
    document
        .error
        .as_ref()
        .map_or_else(String::new, |error| error.message.clone())
}
