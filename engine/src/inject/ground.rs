//! A program right after execve -> mappings, plan and rings in it, or the program as it was.
//!
//! Order: let the program run to `runtime.main` ([`super::marker`]); stop all threads; map everything, now that the runtime
//! has reserved what it needs, of addresses above all; write; detach. Whatever fails, [`Ground::clear`] takes back what was
//! done so far.

use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};

use super::fail_at::{FailAt, Step};
use super::failure::{Failure, FailureCode, Result};
use super::install::{NotInstalled, Patched, install, patched};
use super::marker::{self, Marker};
use super::prepare::Lengths;
use super::remote::Remote;
use super::session::Session;
use crate::addr::RunAddr;
use crate::os::{Mapping, ProcessMemory, Protection, Tid, maps, process};
use crate::plan::Placement;
use crate::ring::Reader;
use crate::verify::VerifiedPlan;

/// How long all threads may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// Beside the marker's detour, at this offset, stands the name of the rings' file.
const NAME_AT: u64 = 1024;
const NAME: &[u8] = b"gondwana-rings\0";

/// Size of the mapping for the marker's detour.
pub const FRONT: u64 = 4096;

/// How trampolines are mapped.
const CODE: Protection = Protection {
    read: true,
    write: false,
    execute: true,
};
/// How the module and the rings are.
const DATA: Protection = Protection {
    read: true,
    write: true,
    execute: false,
};

/// A traced program and what was changed in it.
#[derive(Debug)]
pub struct Ground {
    session: Session,
    memory: ProcessMemory,
    maps: Vec<Mapping>,
    /// A thread that is stopped between two instructions of its own.
    tid: Tid,
    mapped: Vec<(RunAddr, u64)>,
    /// What the marker's detour stood in, once it is left.
    front: Option<RunAddr>,
    rings: Option<i32>,
    marker: Option<Marker>,
    fail_at: FailAt,
}

impl Ground {
    /// Takes a program that is stopped at execve.
    pub fn new(mut session: Session, fail_at: FailAt) -> Result<Self> {
        let pid = session.pid();
        let tid = pid.leader();
        // From the stop inside execve to its return: registers count from there on.
        session.to_system_call(tid, None)?;
        Ok(Self {
            memory: ProcessMemory::open(pid)
                .map_err(Failure::system("cannot open the program's memory"))?,
            maps: maps::read(pid).map_err(Failure::system("cannot read the program's mappings"))?,
            session,
            tid,
            mapped: Vec::new(),
            front: None,
            rings: None,
            marker: None,
            fail_at,
        })
    }

    /// Mappings of the program, right after execve or in `runtime.main`, whichever came last.
    #[must_use]
    pub fn maps(&self) -> &[Mapping] {
        &self.maps
    }

    /// Lets the program run until its runtime is initialised and it is about to enter `runtime.main`, which lies at
    /// `main`; then stops all its threads. [`FRONT`] bytes at `front`, near the program's code, are mapped for that.
    pub fn run_to_main(&mut self, main: RunAddr, front: RunAddr) -> Result<()> {
        let mut bytes = [0; marker::WINDOW];
        self.memory
            .read(main, &mut bytes)
            .map_err(Failure::system("cannot read runtime.main"))?;
        let marker = Marker::new(main, &bytes, front).ok_or_else(|| {
            Failure::new(
                FailureCode::Plan,
                format!("runtime.main begins with instructions that cannot be moved: {bytes:02x?}"),
            )
        })?;
        self.map_at(front, FRONT, CODE, None)?;
        self.fail_at.reached(Step::FrontMapped)?;
        let name = RunAddr::new(front.get().wrapping_add(NAME_AT));
        for (at, bytes) in [(front, marker.code.as_slice()), (name, NAME)] {
            self.memory
                .write(at, bytes)
                .map_err(Failure::system("cannot write the program's memory"))?;
        }
        let after_call = marker.after_call;
        // Noted first: what fails half-way is taken back as well.
        let marker = self.marker.insert(marker);
        self.memory
            .write(main, &marker.new)
            .map_err(Failure::system("cannot write at runtime.main"))?;
        self.fail_at.reached(Step::MarkerWritten)?;

        self.tid = self.session.run_to_system_call_at(after_call)?;
        self.fail_at.reached(Step::MainReached)?;
        self.session.stop_all(Instant::now() + STOP_PATIENCE)?;
        self.fail_at.reached(Step::Stopped)?;
        self.leave_marker()?;
        self.front = Some(front);
        self.maps = maps::read(self.session.pid())
            .map_err(Failure::system("cannot read the program's mappings"))?;
        Ok(())
    }

    /// Maps code, data and rings as `placement` says, in a program that stands in `runtime.main`, and unmaps what has led it
    /// there. The rings are ready to be written to.
    pub fn map(&mut self, placement: &Placement, lengths: Lengths) -> Result<Reader> {
        let front = self
            .front
            .ok_or_else(|| Failure::new(FailureCode::Mapping, "the program has run nothing yet"))?;
        self.map_at(placement.code, lengths.code, CODE, None)?;
        self.fail_at.reached(Step::CodeMapped)?;
        self.map_at(placement.data, lengths.data, DATA, None)?;
        self.fail_at.reached(Step::DataMapped)?;

        let name = RunAddr::new(front.get().wrapping_add(NAME_AT));
        let fd = self.remote()?.memfd(name)?;
        self.rings = Some(fd);
        self.fail_at.reached(Step::RingsCreated)?;
        let file = process::open_descriptor(self.session.pid(), fd)
            .map_err(Failure::system("cannot open the rings"))?;
        let reader = Reader::create(&file, placement.geometry)
            .map_err(Failure::system("cannot set up the rings"))?;
        // A shorter file would end program and reader by SIGBUS.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))
            .map_err(|error| Failure::system("cannot seal the rings")(error.into()))?;
        self.map_at(placement.ring, placement.geometry.size(), DATA, Some(fd))?;
        self.fail_at.reached(Step::RingsMapped)?;
        self.rings = None;
        self.remote()?.close(fd)?;
        self.remote()?.unmap(front, FRONT)?;
        self.mapped.retain(|&(at, _)| at != front);
        Ok(reader)
    }

    /// The entries of the plan's hooks that something else has changed. To be asked of the stopped program, in `runtime.main`.
    pub fn patched(&self, plan: &VerifiedPlan) -> Result<Vec<Patched>> {
        patched(&self.memory, plan.plan())
    }

    /// Writes the plan. If this fails the program is as it was before, stopped.
    ///
    /// # Errors
    /// Should taking back fail as well, nothing that was mapped is ever unmapped: jumps may lead there.
    pub fn install(&mut self, plan: &VerifiedPlan) -> Result<()> {
        install(&self.session, &self.memory, plan, self.fail_at).map_err(
            |NotInstalled { failure, undone }| {
                if !undone {
                    self.mapped.clear();
                }
                failure
            },
        )
    }

    /// Takes back the marker, so that the thread that came upon it stands at the function's entry again.
    fn leave_marker(&mut self) -> Result<()> {
        let Some(marker) = &self.marker else {
            return Ok(());
        };
        let mut regs = self.session.registers(self.tid)?;
        self.memory
            .write(marker.entry, &marker.old)
            .map_err(Failure::system("cannot restore runtime.main"))?;
        if regs.rip() == marker.after_call {
            regs.set_rip(marker.entry);
            regs.set_orig_rax(u64::MAX);
            self.session.set_registers(self.tid, &regs)?;
        }
        self.marker = None;
        Ok(())
    }

    /// Takes back everything that was done, last things first. For a program that has ended there is nothing to do.
    pub fn clear(&mut self) -> Result<()> {
        self.leave_marker()?;
        if let Some(fd) = self.rings.take() {
            self.remote()?.close(fd)?;
        }
        while let Some((at, length)) = self.mapped.pop() {
            self.remote()?.unmap(at, length)?;
        }
        Ok(())
    }

    /// Has the program exit with `status` instead of going on.
    pub fn exit(mut self, status: u8) -> Result<()> {
        self.remote()?.exit(status)?;
        self.session.detach()
    }

    /// Lets the program go on, untraced.
    pub fn detach(self) -> Result<()> {
        self.session.detach()
    }

    fn remote(&mut self) -> Result<Remote<'_>> {
        Remote::new(&mut self.session, &self.memory, self.tid, &self.maps)
    }

    fn map_at(
        &mut self,
        at: RunAddr,
        length: u64,
        protection: Protection,
        shared: Option<i32>,
    ) -> Result<()> {
        self.remote()?.map(at, length, protection, shared)?;
        self.mapped.push((at, length));
        self.remote()?.leave_out_of_dumps(at, length)
    }
}
