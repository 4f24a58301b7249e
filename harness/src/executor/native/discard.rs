//! A stream that nobody keeps: read through a FIFO and thrown away, except for its first and its last line.
//!
//! Programs of which every function is hooked make billions of spans; what the header and the end say of them is enough. So
//! the stream is read slowly while the program runs: an agent that has to wait leaves the processors to the program, and what
//! does not fit into the rings is counted as lost.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

use super::hooked;

/// The longest first or last line that is kept: a program of a hundred thousand hooks has a header of some 20 MB.
const LINE: usize = 64 << 20;
/// Bytes that are read at once.
const CHUNK: usize = 1 << 20;
/// How long the reader rests after each piece while the program runs.
const REST: Duration = Duration::from_millis(5);
/// How often the reader looks whether it is to stop, in milliseconds.
const LOOK: u16 = 50;

/// Reads a stream until its writer has closed it.
#[derive(Debug)]
pub struct Discard {
    fifo: PathBuf,
    signs: Arc<Signs>,
    reader: JoinHandle<io::Result<Ends>>,
}

/// What the reader is told.
#[derive(Debug, Default)]
struct Signs {
    /// The program has ended: do not rest any more.
    hurry: AtomicBool,
    /// Do not wait for anything.
    stop: AtomicBool,
}

/// What is kept of a stream.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ends {
    /// The first line, without its end; empty if there is none that is whole.
    pub first: Vec<u8>,
    /// The last line, likewise.
    pub last: Vec<u8>,
    /// Bytes of the whole stream.
    pub bytes: u64,
}

impl Discard {
    /// Makes the FIFO and begins to read it.
    ///
    /// # Errors
    /// When it cannot be made or opened.
    pub fn open(fifo: &Path) -> io::Result<Self> {
        nix::unistd::mkfifo(fifo, Mode::from_bits_truncate(0o600))?;
        // Without O_NONBLOCK this would wait for a writer, which may never come.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(fifo)?;
        let signs = Arc::new(Signs::default());
        let theirs = Arc::clone(&signs);
        Ok(Self {
            fifo: fifo.to_owned(),
            signs,
            reader: std::thread::spawn(move || read(file, &theirs)),
        })
    }

    /// What is kept, once the writer has closed the stream. The program has ended; a writer that takes longer than
    /// `patience` is killed.
    ///
    /// # Errors
    /// When the stream cannot be read.
    pub fn finish(self, patience: Duration) -> io::Result<Ends> {
        self.signs.hurry.store(true, Ordering::Relaxed);
        let by = Instant::now() + patience;
        while !self.reader.is_finished() && Instant::now() < by {
            std::thread::sleep(Duration::from_millis(2));
        }
        if !self.reader.is_finished() {
            hooked::kill_agents(&self.fifo);
        }
        self.signs.stop.store(true, Ordering::Relaxed);
        let ends = self.reader.join();
        let _ = std::fs::remove_file(&self.fifo);
        ends.map_err(|_| io::Error::other("the thread that reads the stream ended"))?
    }
}

fn read(mut file: File, signs: &Signs) -> io::Result<Ends> {
    let mut kept = Kept::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let mut watched = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
        poll(&mut watched, PollTimeout::from(LOOK))?;
        // Linux reports no hang-up before the first writer has come (pipe(7), `pipe_poll`).
        let [watched] = watched;
        let events = watched.revents().unwrap_or(PollFlags::empty());
        if events.is_empty() {
            if signs.stop.load(Ordering::Relaxed) {
                return Ok(kept.ends());
            }
            continue;
        }
        match file.read(&mut chunk) {
            Ok(0) => return Ok(kept.ends()),
            Ok(len) => {
                kept.add(chunk.get(..len).unwrap_or_default());
                if !signs.hurry.load(Ordering::Relaxed) {
                    std::thread::sleep(REST);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The first line, and the last [`LINE`] bytes.
#[derive(Default)]
struct Kept {
    first: Vec<u8>,
    first_is_whole: bool,
    tail: VecDeque<Vec<u8>>,
    in_tail: usize,
    bytes: u64,
}

impl Kept {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        if !self.first_is_whole && self.first.len() < LINE {
            let end = bytes.iter().position(|&byte| byte == b'\n');
            self.first_is_whole = end.is_some();
            self.first
                .extend_from_slice(bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default());
        }
        self.tail.push_back(bytes.to_vec());
        self.in_tail += bytes.len();
        while let Some(oldest) = self.tail.front()
            && self.in_tail - oldest.len() >= LINE
        {
            self.in_tail -= oldest.len();
            self.tail.pop_front();
        }
    }

    fn ends(mut self) -> Ends {
        let tail = self.tail.make_contiguous().concat();
        let last = match tail.split_last() {
            Some((b'\n', lines)) => {
                let start = lines.iter().rposition(|&byte| byte == b'\n');
                start.and_then(|start| lines.get(start + 1..))
            }
            _ => None,
        };
        Ends {
            last: last.unwrap_or_default().to_vec(),
            first: if self.first_is_whole {
                self.first
            } else {
                Vec::new()
            },
            bytes: self.bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn read_of(write: impl FnOnce(&mut File)) -> Ends {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("stream");
        let reading = Discard::open(&fifo).unwrap();
        let mut writer = OpenOptions::new().write(true).open(&fifo).unwrap();
        write(&mut writer);
        drop(writer);
        reading.finish(Duration::from_secs(20)).unwrap()
    }

    #[test]
    fn the_first_and_the_last_line_are_kept() {
        let spans = "{\"span\":1}\n".repeat(200_000);
        let ends = read_of(|file| {
            file.write_all(b"head\n").unwrap();
            file.write_all(spans.as_bytes()).unwrap();
            file.write_all(b"end\n").unwrap();
        });
        assert_eq!((ends.first, ends.last), (b"head".to_vec(), b"end".to_vec()));
        assert_eq!(ends.bytes, 9 + spans.len() as u64);
    }

    #[test]
    fn lines_that_are_not_whole_are_none() {
        let ends = read_of(|file| file.write_all(b"head\nen").unwrap());
        assert_eq!((ends.first, ends.last), (b"head".to_vec(), Vec::new()));
        assert_eq!(read_of(|file| file.write_all(b"he").unwrap()).first, b"");
    }

    #[test]
    fn a_stream_that_nobody_writes_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let reading = Discard::open(&dir.path().join("stream")).unwrap();
        let begun = Instant::now();
        assert_eq!(
            reading.finish(Duration::from_millis(50)).unwrap(),
            Ends::default()
        );
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
