//! A file or a process -> [`Document`]: everything that `gondwana inspect` tells of it, for people or as JSON.
//!
//! Field names are those of the JSON form, `gondwana.inspect` version [`VERSION`], which `engine/docs/INSPECT.md` describes:
//! within one version members are only added. Addresses are numbers, as the file states them. Nothing here decides about
//! hooks, executes or stops anything.
//!
//! | room | what -> what |
//! |---|---|
//! | `process` | a process -> the file that it runs, and where that lies |
//! | `text` | document -> a table |

mod process;
mod text;

use std::fmt;

use crate::addr::LinkAddr;
use crate::golang::PclntabGeneration;
use crate::image::{FileView, Image, ImageError, ImageErrorCode, ImageKind, Labels};
use crate::meta::{self, GoBuildInfo, Meta};
use serde::Serialize;

pub use process::{Placement, Process, ProcessError};

/// Name of the JSON form.
pub const SCHEMA: &str = "gondwana.inspect";
/// Its version.
pub const VERSION: u32 = 2;

/// What the file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Built by the Go toolchain.
    Go,
    /// A Go program built with gccgo.
    Gccgo,
    /// Neither.
    NotGo,
    /// Damaged, for another machine, packed, or no program at all: not looked into.
    Unknown,
}

/// Everything that is printed of one file.
#[derive(Serialize)]
pub struct Document<'d> {
    schema: &'static str,
    version: u32,
    /// What the file is.
    pub answer: Answer,
    /// The file.
    pub file: FileInfo,
    /// The process that runs it, if it was asked for by one.
    pub process: Option<Process>,
    /// What `go version -m -json` prints; of versions that it cannot read, in the same form.
    pub build_info: Option<GoBuildInfo<'d>>,
    /// What is known of the build.
    pub build: Option<Meta<'d>>,
    /// Where things lie.
    pub layout: Option<Layout<'d>>,
    /// Why there is no layout.
    pub error: Option<Failure>,
}

/// The file.
#[derive(Serialize)]
pub struct FileInfo {
    /// As given or found; for a process, what the kernel calls it.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
}

/// Why the file has no layout.
#[derive(Serialize)]
pub struct Failure {
    /// Stable code.
    pub code: ImageErrorCode,
    /// One line for people.
    pub message: String,
}

/// `[start, end)`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Range<A> {
    /// First address.
    pub start: A,
    /// One past the last.
    pub end: A,
}

impl<A: fmt::Display> fmt::Display for Range<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

/// Where things lie, as hooks need it.
#[derive(Serialize)]
pub struct Layout<'d> {
    /// How the kernel loads it.
    pub kind: ImageKind,
    /// Loaded through an interpreter.
    pub dynamic: bool,
    /// Shared libraries that it needs.
    pub libraries: Vec<&'d str>,
    /// There are section headers.
    pub section_headers: bool,
    /// There is a symbol table.
    pub symbols: bool,
    /// There is DWARF.
    pub dwarf: bool,
    /// Entry point.
    pub entry: LinkAddr,
    /// All loadable segments.
    pub extent: Range<LinkAddr>,
    /// The Go code.
    pub text: Range<LinkAddr>,
    /// The line table.
    pub pclntab: LinkAddr,
    /// Its generation.
    pub pclntab_generation: PclntabGeneration,
    /// `runtime.firstmoduledata`.
    pub first_moduledata: LinkAddr,
    /// `runtime.lastmoduledatap`.
    pub last_moduledatap: Option<LinkAddr>,
    /// Offset of the thread-local g from `fs`.
    pub tls_g: Option<i32>,
    /// Number of functions.
    pub functions: usize,
    /// The known version whose layouts the program proved to have, where its own is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assumed: Option<String>,
}

impl<'d> Layout<'d> {
    fn of(image: &Image<'d>) -> Self {
        let sections = image.sections();
        let range = |(start, end)| Range { start, end };
        Self {
            kind: image.kind(),
            dynamic: image.has_interpreter(),
            libraries: image.libraries().to_vec(),
            section_headers: sections.headers,
            symbols: sections.symbols,
            dwarf: sections.dwarf,
            entry: image.entry(),
            extent: range(image.extent()),
            text: range(image.text()),
            pclntab: image.pclntab(),
            pclntab_generation: image.facts().pclntab,
            first_moduledata: image.first_moduledata(),
            last_moduledatap: image.last_moduledatap(),
            tls_g: image.tls_g(),
            functions: image.functions().len(),
            assumed: image
                .assumed_like()
                .map(|like| format!("go1.{}", like.minor)),
        }
    }
}

impl<'d> Document<'d> {
    /// Of a file.
    pub fn of(path: &str, file: impl Into<FileView<'d>>) -> Self {
        Self::with_image(path, file.into()).0
    }

    /// The same for the file that a process runs, with where it lies in memory.
    pub fn of_process(
        mut process: Process,
        file: impl Into<FileView<'d>>,
    ) -> Result<Self, ProcessError> {
        let (mut document, image) = Self::with_image(&process.exe, file.into());
        if let Some(image) = &image {
            process.place(image)?;
        }
        document.process = Some(process);
        Ok(document)
    }

    /// Whether this is why there is no layout.
    pub fn is(&self, code: ImageErrorCode) -> bool {
        self.error.as_ref().is_some_and(|error| error.code == code)
    }

    fn with_image(path: &str, file: FileView<'d>) -> (Self, Option<Image<'d>>) {
        let mut document = Self {
            schema: SCHEMA,
            version: VERSION,
            answer: Answer::Go,
            file: FileInfo {
                path: path.to_owned(),
                size: file.len(),
            },
            process: None,
            build_info: None,
            build: None,
            layout: None,
            error: None,
        };
        match Image::parse(file) {
            Ok(image) => {
                document.build_info = meta::go_build_info(image.build_info());
                document.build = Some(Meta::of(&image));
                document.layout = Some(Layout::of(&image));
                (document, Some(image))
            }
            Err(error) => {
                document.fail(file, &error);
                (document, None)
            }
        }
    }

    /// Takes what the labels of the file say where its tables do not help.
    fn fail(&mut self, file: FileView<'d>, error: &ImageError) {
        self.error = Some(Failure {
            code: error.code(),
            message: error.to_string(),
        });
        let labels = Labels::read(file).ok();
        let build = labels.as_ref().and_then(|labels| labels.build.as_ref());
        self.answer = match error.code() {
            // Something of the toolchain was found.
            ImageErrorCode::NotMainProgram
            | ImageErrorCode::CArchive
            | ImageErrorCode::Linkshared
            | ImageErrorCode::Obfuscated
            | ImageErrorCode::UnsupportedVersion
            | ImageErrorCode::UnprovenVersion
            | ImageErrorCode::UnknownVersion => Answer::Go,
            _ if build.is_some() => Answer::Go,
            ImageErrorCode::Gccgo => Answer::Gccgo,
            ImageErrorCode::NotGo | ImageErrorCode::NotElf => Answer::NotGo,
            _ => Answer::Unknown,
        };
        if self.answer == Answer::Go {
            self.build_info = build.and_then(meta::go_build_info);
            self.build = labels.as_ref().map(Meta::of_labels);
        }
    }
}
