//! Many runs from one point: each in a copy of the whole machine.
//!
//! A copy is a copy of the harness's own process (fork(2)): memory, translated code, threads and files of the machine are
//! all there, and the kernel copies only the pages that a run writes. Measured on a machine with a hooked program of Go 1.27
//! (about 30 MB in use): see `benches/machine.rs`. Unicorn's own snapshots copy memory regions, forget the translated code,
//! and leave what the machine knows besides to be copied by hand.

#![allow(unsafe_code, reason = "fork(2), in a process with one thread")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork, pipe};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Trouble;
use super::process::Machine;

fn host(what: &str) -> impl Fn(std::io::Error) -> Trouble {
    let what = what.to_owned();
    move |error| Trouble::Host {
        what: what.clone(),
        error,
    }
}

impl Machine<'_> {
    /// Runs `f` on a copy of this machine, which itself stays as it is; the result comes back as JSON. What `f` prints is
    /// lost, and a panic in it is an error here.
    ///
    /// # Errors
    /// This process has more than one thread: a copy of it would have locks that nobody frees. (Tests that use this run
    /// their cases on the main thread.) Or the copy could not be made, or ended without a result.
    pub fn branch<R: Serialize + DeserializeOwned>(
        &mut self,
        f: impl FnOnce(&mut Self) -> R,
    ) -> Result<R, Trouble> {
        let threads = std::fs::read_dir("/proc/self/task")
            .map_err(host("count threads"))?
            .count();
        if threads != 1 {
            return Err(Trouble::Host {
                what: "copy the machine".to_owned(),
                error: std::io::Error::other(format!(
                    "this process has {threads} threads where one is allowed"
                )),
            });
        }
        let (read, write) = pipe().map_err(|error| host("make a pipe")(error.into()))?;
        // SAFETY: this process has one thread, the one that runs here, so no lock is held by another one, and the child may
        // do whatever the parent may. It ends by `_exit` and never returns to the parent's code.
        let child = unsafe { fork() }.map_err(|error| host("fork")(error.into()))?;
        match child {
            ForkResult::Child => {
                drop(read);
                self.answer(write, f)
            }
            ForkResult::Parent { child } => {
                drop(write);
                let mut bytes = Vec::new();
                let result = File::from(read).read_to_end(&mut bytes);
                let status = waitpid(child, None).map_err(|e| host("wait for a copy")(e.into()))?;
                result.map_err(host("read the result of a copy"))?;
                if status != WaitStatus::Exited(child, 0) {
                    return Err(host("run a copy of the machine")(std::io::Error::other(
                        format!("it ended with {status:?}"),
                    )));
                }
                serde_json::from_slice(&bytes)
                    .map_err(|error| host("read the result of a copy")(error.into()))
            }
        }
    }

    /// The child: runs `f`, sends the result, ends.
    fn answer<R: Serialize>(&mut self, write: OwnedFd, f: impl FnOnce(&mut Self) -> R) -> ! {
        let work = std::panic::AssertUnwindSafe(|| {
            self.own_rings().ok()?;
            let result = f(self);
            let bytes = serde_json::to_vec(&result).ok()?;
            File::from(write).write_all(&bytes).ok()
        });
        let done = std::panic::catch_unwind(work).ok().flatten();
        // SAFETY: ends this process at once; destructors and exit handlers are the parent's to run.
        unsafe { libc::_exit(i32::from(done.is_none())) }
    }
}
