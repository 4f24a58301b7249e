//! The program's memory as the kernel's `copy_from_user` and `copy_to_user` see it: a bad address is `EFAULT`.

use gondwana_engine::addr::RunAddr;

use super::super::process::Machine;
use super::super::time::{EPOCH, UPTIME};
use super::No;

/// Most bytes that one call moves, as in Linux (`MAX_RW_COUNT`).
const MOST: u64 = 0x7fff_f000;
/// Longest path (`PATH_MAX`).
const PATH_MAX: usize = 4096;

impl Machine<'_> {
    /// `length` bytes.
    pub(in super::super) fn user(&self, at: u64, length: u64) -> Result<Vec<u8>, No> {
        let length = length.min(MOST);
        // Before any memory is taken for it.
        if length > 0 && !self.space.is_mapped_range(at, at.saturating_add(length)) {
            return Err(No::Error(libc::EFAULT));
        }
        let mut bytes = vec![0; length as usize];
        self.user_into(at, &mut bytes)?;
        Ok(bytes)
    }

    pub(in super::super) fn user_into(&self, at: u64, bytes: &mut [u8]) -> Result<(), No> {
        self.cpu.read(at, bytes).ok_or(No::Error(libc::EFAULT))
    }

    /// Writes bytes.
    pub(in super::super) fn put(&mut self, at: u64, bytes: &[u8]) -> Result<(), No> {
        self.cpu.write(at, bytes).ok_or(No::Error(libc::EFAULT))
    }

    /// Writes 64-bit words.
    pub(in super::super) fn put_words(&mut self, at: u64, words: &[u64]) -> Result<(), No> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(at, &bytes)
    }

    /// A 64-bit word.
    pub(in super::super) fn user_word(&self, at: u64) -> Result<u64, No> {
        self.word(RunAddr::new(at)).ok_or(No::Error(libc::EFAULT))
    }

    /// A path: bytes up to a zero.
    pub(in super::super) fn user_path(&self, at: u64) -> Result<Vec<u8>, No> {
        let mut path = Vec::new();
        loop {
            let mut byte = [0];
            self.user_into(at.wrapping_add(path.len() as u64), &mut byte)?;
            match byte {
                [0] => return Ok(path),
                _ if path.len() == PATH_MAX => return Err(No::Error(libc::ENAMETOOLONG)),
                [byte] => path.push(byte),
            }
        }
    }

    /// A `struct timespec`, in nanoseconds.
    pub(in super::super) fn user_timespec(&self, at: u64) -> Result<u64, No> {
        self.user_time(at, 1)
    }

    /// Seconds and a fraction of `unit` nanoseconds each.
    pub(in super::super) fn user_time(&self, at: u64, unit: u64) -> Result<u64, No> {
        let seconds = self.user_word(at)? as i64;
        let rest = self.user_word(at.wrapping_add(8))? as i64;
        let limit = 1_000_000_000 / unit;
        match (u64::try_from(seconds), u64::try_from(rest)) {
            (Ok(seconds), Ok(rest)) if rest < limit => Ok(seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(rest * unit)),
            _ => Err(No::Error(libc::EINVAL)),
        }
    }

    /// A point in time of the realtime or the monotonic clock, in time of the machine.
    pub(in super::super) const fn instant(&self, realtime: bool, ns: u64) -> u64 {
        ns.saturating_sub(if realtime { EPOCH } else { UPTIME })
    }

    /// The Go function that made the current system call, with the offset in it.
    pub(in super::super) fn symbolise_caller(&self) -> String {
        let tid = self.current;
        let frames = self.backtrace(tid);
        let names: Vec<&str> = frames.iter().take(4).map(|f| f.name.as_str()).collect();
        if names.is_empty() {
            "code that is not known".to_owned()
        } else {
            names.join(" < ")
        }
    }
}
