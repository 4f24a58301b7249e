//! A running process -> the file that it runs, and where the loader has put it. Reads `/proc` only: nothing is stopped.

use std::io;

use serde::Serialize;

use crate::addr::{LinkAddr, RunAddr, Slide};
use crate::image::{Image, Parts};
use crate::input::{self, Symbols};
use crate::os::{Pid, maps, process};

use super::Range;

/// What the kernel appends to the name of a file that is gone.
const DELETED: &str = " (deleted)";

/// Why a process cannot be described.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// There is none of this number.
    #[error("no process {0}")]
    NoProcess(i32),
    /// The kernel does not give something away.
    #[error("process {pid}: {what}: {error}")]
    Unreadable {
        /// The process.
        pid: i32,
        /// What was to be read.
        what: &'static str,
        /// The kernel's answer.
        error: io::Error,
    },
    /// It ended while it was read.
    #[error("process {0} ended meanwhile")]
    Ended(i32),
    /// Its memory is not that of the file.
    #[error("process {pid}: no code is mapped at {at}, where the file's text should begin")]
    NotMapped {
        /// The process.
        pid: i32,
        /// Where the text should begin.
        at: RunAddr,
    },
}

/// A process and where things lie in it.
#[derive(Clone, Debug, Serialize)]
pub struct Process {
    pid: i32,
    /// The executed file, as the kernel names it.
    pub(super) exe: String,
    /// Whether that file has been removed or replaced since.
    deleted: bool,
    /// Clock ticks after boot: with the pid it names the process for ever.
    start_time: u64,
    /// Its entry point (`AT_ENTRY`).
    entry: RunAddr,
    /// Where the image lies; absent if it runs no Go program that can be read.
    placement: Option<Placement>,
}

/// Addresses in the process.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Placement {
    /// Distance from the addresses in the file, modulo 2^64.
    pub slide: Slide,
    /// The Go code.
    pub text: Range<RunAddr>,
    /// `runtime.firstmoduledata`.
    pub first_moduledata: RunAddr,
}

impl Process {
    /// The file that `pid` runs, as far as it is of use, also when it was removed since, and what is known without looking into it.
    ///
    /// # Errors
    /// No such process; one that this process may not read; a kernel thread or a zombie, which run no file.
    pub fn read(pid: Pid) -> Result<(Parts, Self), ProcessError> {
        let unreadable = |what| {
            move |error| ProcessError::Unreadable {
                pid: pid.0,
                what,
                error,
            }
        };
        let start_time = process::start_time(pid).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ProcessError::NoProcess(pid.0),
            _ => unreadable("its state")(error),
        })?;
        let exe = process::executable_path(pid).map_err(unreadable("its executable"))?;
        let data = process::executable(pid)
            .and_then(|file| input::read_file(&file, Symbols::Read))
            .map_err(unreadable("its executable"))?;
        let entry = process::entry_point(pid).map_err(unreadable("its auxiliary vector"))?;
        if process::start_time(pid).ok() != Some(start_time) {
            return Err(ProcessError::Ended(pid.0));
        }
        let exe = exe.display().to_string();
        let (exe, deleted) = match exe.strip_suffix(DELETED) {
            Some(path) => (path.to_owned(), true),
            None => (exe, false),
        };
        let process = Self {
            pid: pid.0,
            exe,
            deleted,
            start_time,
            entry,
            placement: None,
        };
        Ok((data, process))
    }

    /// Where the image lies, once it is known.
    #[must_use]
    pub fn placement(&self) -> Option<&Placement> {
        self.placement.as_ref()
    }

    /// Finds where the image lies, and checks that code is mapped there.
    pub(super) fn place(&mut self, image: &Image<'_>) -> Result<(), ProcessError> {
        let slide = image.slide_from_entry(self.entry);
        let (start, end) = image.text();
        let text = Range {
            start: slide.run(start),
            end: slide.run(end),
        };
        let mappings = maps::read(Pid(self.pid)).map_err(|error| ProcessError::Unreadable {
            pid: self.pid,
            what: "its memory map",
            error,
        })?;
        let is_code = mappings
            .iter()
            .any(|map| map.start <= text.start && text.start < map.end && map.protection.execute);
        if !is_code {
            return Err(ProcessError::NotMapped {
                pid: self.pid,
                at: text.start,
            });
        }
        self.placement = Some(Placement {
            slide,
            text,
            first_moduledata: slide.run(image.first_moduledata()),
        });
        Ok(())
    }

    /// Rows for people.
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let gone = if self.deleted {
            ", whose file is gone"
        } else {
            ""
        };
        let mut rows = vec![(
            "process",
            format!("{}{gone}, entry {}", self.pid, self.entry),
        )];
        if let Some(placement) = &self.placement {
            let Placement {
                slide,
                text,
                first_moduledata,
            } = placement;
            // How far the address 0 is moved.
            let slide = slide.run(LinkAddr::new(0));
            rows.push((
                "placed at",
                format!("slide {slide}, Go code {text}, moduledata {first_moduledata}"),
            ));
        }
        rows
    }
}
