//! A path -> the bytes of the file, as far as they can matter.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::image::ELF_MAGIC;

/// Larger files are no programs; they would only fill the memory.
const LARGEST: u64 = 4 << 30;

/// The whole file if it begins as an ELF file does, else its first four bytes.
///
/// # Errors
/// The kernel's, and `InvalidInput` for what is no regular file or larger than 4 GiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Without O_NONBLOCK, opening a pipe that nobody writes to takes for ever.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    read_file(file)
}

/// The same for a file that is open.
///
/// # Errors
/// As [`read`].
pub fn read_file(mut file: File) -> io::Result<Vec<u8>> {
    let metadata = file.metadata()?;
    let refuse = |what: String| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    if !metadata.is_file() {
        return refuse("not a regular file".to_owned());
    }
    if metadata.len() > LARGEST {
        return refuse(format!(
            "{} bytes; at most {LARGEST} are read",
            metadata.len()
        ));
    }
    let mut data = Vec::new();
    (&mut file)
        .take(ELF_MAGIC.len() as u64)
        .read_to_end(&mut data)?;
    if data == ELF_MAGIC {
        data.reserve_exact(usize::try_from(metadata.len()).unwrap_or(0));
        file.take(LARGEST).read_to_end(&mut data)?;
    }
    Ok(data)
}
