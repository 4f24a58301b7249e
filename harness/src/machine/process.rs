//! [`Machine`]: everything that the process is, and how it is started, looked at and changed from outside.

use std::path::PathBuf;

use gondwana_engine::addr::{RunAddr, Slide};
use gondwana_engine::image::Image;
use gondwana_engine::os::Mapping;

use super::Trouble;
use super::cpu::Cpu;
use super::files::Files;
use super::install::Rings;
use super::loader::{self, Arguments};
use super::memory::{HIGHEST, PAGE, Space};
use super::registers::Registers;
use super::scheduler::Scheduler;
use super::signals::{Action, Info, LAST, Mask};
use super::symbolise::Symbols;
use super::threads::{State, Thread, Threads, Tid};
use super::time::Timers;
use super::trace::{Event, Wanted, What};

/// How a program is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// `argv`, the program's name first.
    pub argv: Vec<Vec<u8>>,
    /// The environment, each `NAME=value`.
    pub env: Vec<Vec<u8>>,
    /// What it reads from standard input.
    pub stdin: Vec<u8>,
    /// Everything that could differ between two runs follows from this.
    pub seed: u64,
    /// Whether the scheduler prefers nasty interleavings.
    pub chaos: bool,
    /// Processors that the program is told of.
    pub processors: u32,
    /// The directory of the host that is its `/`, never written to.
    pub root: PathBuf,
    /// Its working directory, below `root`.
    pub directory: Vec<u8>,
    /// Where it seems to lie (`/proc/self/exe`), absolute.
    pub path: Vec<u8>,
}

impl Setup {
    /// A program with this name and no arguments; it sees no files.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            argv: vec![name.as_bytes().to_vec()],
            env: Vec::new(),
            stdin: Vec::new(),
            seed: 1,
            chaos: false,
            processors: 2,
            root: PathBuf::from("/nonexistent"),
            directory: b"/".to_vec(),
            path: format!("/bin/{}", name.rsplit('/').next().unwrap_or(name)).into_bytes(),
        }
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<S: AsRef<str>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.argv
            .extend(args.into_iter().map(|a| a.as_ref().as_bytes().to_vec()));
        self
    }
}

/// How the process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// With this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

/// The process.
pub struct Machine<'p> {
    pub(super) cpu: Cpu,
    pub(super) space: Space,
    pub(super) threads: Threads,
    /// The thread whose state the processor holds.
    pub(super) current: Tid,
    pub(super) scheduler: Scheduler,
    /// Work at which the current slice ends.
    pub(super) slice_end: u64,
    pub(super) yielded: bool,
    /// Only this thread runs, if it can run at all.
    pub(super) preferred: Option<Tid>,
    /// The last stop was before this watched instruction of this thread.
    pub(super) stopped_at: Option<(Tid, u64)>,
    pub(super) actions: Vec<Action>,
    /// Signals to the process that every thread blocks.
    pub(super) pending: Vec<Info>,
    pub(super) timers: Timers,
    pub(super) files: Files,
    /// Source of the program's random bytes.
    pub(super) random: fastrand::Rng,
    program: Vec<u8>,
    pub(super) pid: i32,
    pub(super) next_tid: i32,
    pub(super) processors: u32,
    pub(super) ending: Option<Ending>,
    pub(super) symbols: Symbols<'p>,
    pub(super) rings: Option<Rings>,
    pub(super) events: Vec<Event>,
    pub(super) wanted: Wanted,
}

impl<'p> Machine<'p> {
    /// Starts `file`; nothing of it has run yet.
    ///
    /// # Errors
    /// The file is no static x86-64 program, or needs what the machine lacks.
    pub fn start(file: &'p [u8], setup: Setup) -> Result<Self, Trouble> {
        // One source for the layout, others for what the program and the scheduler draw: so a hooked program, which has
        // more mappings and makes other choices, still gets the same random bytes.
        let mut layout = fastrand::Rng::with_seed(setup.seed);
        let random = layout.fork();
        let schedule = layout.u64(..);
        let stack_top = HIGHEST - 0x10_0000 - layout.u64(..0x4000) * PAGE;
        let map_top = stack_top - (1 << 30) - layout.u64(..0x4000) * PAGE;
        let pid = layout.i32(1000..30_000);

        let mut space = Space::new(map_top);
        let mut cpu = Cpu::new(space.rights())?;
        let mut bytes = [0; 16];
        layout.fill(&mut bytes);
        let loaded = loader::load(
            file,
            &mut cpu,
            &mut space,
            &Arguments {
                argv: &setup.argv,
                envp: &setup.env,
                path: &setup.path,
                random: bytes,
                stack_top,
                pie_pages: layout.u64(..0x1000),
            },
        )?;
        let mut threads = Threads::default();
        let tid = Tid(pid);
        threads.add(Thread::new(tid, &cpu, Mask::default())?);
        let mut auxv = vec![0; (loaded.auxv.1 - loaded.auxv.0) as usize];
        let _ = cpu.read(loaded.auxv.0, &mut auxv);
        let files = Files::new(&setup, pid, auxv);
        Ok(Self {
            cpu,
            space,
            threads,
            current: tid,
            scheduler: Scheduler::new(schedule, setup.chaos),
            slice_end: 0,
            yielded: false,
            preferred: None,
            stopped_at: None,
            actions: vec![Action::default(); LAST as usize + 1],
            pending: Vec::new(),
            timers: Timers::default(),
            files,
            random,
            program: setup.path,
            pid,
            next_tid: pid + 1,
            processors: setup.processors.clamp(1, 64),
            ending: None,
            symbols: Symbols::new(file, RunAddr::new(loaded.entry)),
            rings: None,
            events: Vec::new(),
            wanted: Wanted::default(),
        })
    }

    /// How the process ended, once it has.
    #[must_use]
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// Bytes of code executed so far: the machine's measure of time.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.cpu.work()
    }

    /// Hash of every block of code executed so far, in order: two runs with the same hash have done the same.
    #[must_use]
    pub fn path(&self) -> u64 {
        self.cpu.path()
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.cpu.now()
    }

    /// `m.id` of the M that runs the goroutine whose `g` is there; `None` where there is none.
    #[must_use]
    pub fn m_id(&self, g: RunAddr) -> Option<u64> {
        let offsets = self.image()?.facts().runtime;
        let word =
            |base: u64, offset: u32| self.word(RunAddr::new(base.wrapping_add(offset.into())));
        let id = word(word(g.get(), offsets.g_m)?, offsets.m_id)?;
        Some(match offsets.m_id_is_32_bits {
            true => id & 0xffff_ffff,
            false => id,
        })
    }

    /// Where the program seems to lie.
    #[must_use]
    pub fn path_of_program(&self) -> String {
        String::from_utf8_lossy(&self.program).into_owned()
    }

    /// The time of day at the start, in nanoseconds since 1970.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        super::time::EPOCH
    }

    /// The process id.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// What was written to standard output and error so far.
    #[must_use]
    pub fn output(&self) -> (&[u8], &[u8]) {
        self.files.output()
    }

    /// The program, if it is a Go program that the engine reads.
    #[must_use]
    pub fn image(&self) -> Option<&Image<'p>> {
        self.symbols.image()
    }

    /// How far the program was moved from the addresses in its file.
    #[must_use]
    pub fn slide(&self) -> Slide {
        self.symbols.slide()
    }

    /// All mappings, by ascending address.
    #[must_use]
    pub fn mappings(&self) -> Vec<Mapping> {
        self.space.mappings()
    }

    /// The entry of the function with exactly this name.
    #[must_use]
    pub fn entry_of(&self, function: &str) -> Option<RunAddr> {
        let function = self.image()?.functions_named(function).next()?;
        Some(self.slide().run(function.entry))
    }

    /// The thread that runs, or ran last.
    #[must_use]
    pub const fn current(&self) -> Tid {
        self.current
    }

    /// All threads.
    pub fn threads(&self) -> impl Iterator<Item = &Thread> {
        self.threads.iter()
    }

    /// General registers of a thread.
    ///
    /// # Errors
    /// There is no such thread.
    pub fn registers(&self, tid: Tid) -> Result<Registers, Trouble> {
        if tid == self.current {
            return Ok(self.cpu.registers()?);
        }
        let thread = self.threads.get(tid).ok_or_else(|| no_thread(tid))?;
        Ok(thread.saved.registers()?)
    }

    /// Sets the general registers of the current thread.
    ///
    /// # Errors
    /// The emulator.
    pub fn set_registers(&mut self, registers: &Registers) -> Result<(), Trouble> {
        Ok(self.cpu.set_registers(registers)?)
    }

    /// Reads memory, whatever its protection; `None` if part of it is not mapped.
    #[must_use]
    pub fn read(&self, at: RunAddr, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.cpu.read(at.get(), &mut bytes)?;
        Some(bytes)
    }

    /// Reads one 64-bit word.
    #[must_use]
    pub fn word(&self, at: RunAddr) -> Option<u64> {
        let mut bytes = [0; 8];
        self.cpu.read(at.get(), &mut bytes)?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Writes memory, whatever its protection; code that was translated from it is forgotten.
    ///
    /// # Errors
    /// Part of it is not mapped.
    pub fn write(&mut self, at: RunAddr, bytes: &[u8]) -> Result<(), Trouble> {
        self.cpu
            .write(at.get(), bytes)
            .ok_or_else(|| Trouble::Hooks(format!("no memory at {at}")))?;
        Ok(self.cpu.forget_code(at.get(), bytes.len() as u64)?)
    }

    /// Keeps a thread from running until it is thawed; it may be the current one.
    pub fn freeze(&mut self, tid: Tid, frozen: bool) {
        if let Some(thread) = self.threads.get_mut(tid) {
            thread.frozen = frozen;
        }
    }

    /// From now on only this thread runs whenever it can; `None` ends that.
    pub const fn prefer(&mut self, tid: Option<Tid>) {
        self.preferred = tid;
    }

    /// Makes a thread the current one, at once, whatever the scheduler thinks.
    ///
    /// # Errors
    /// There is no such thread, or it waits.
    pub fn switch_to(&mut self, tid: Tid) -> Result<(), Trouble> {
        match self.threads.get(tid).map(|thread| thread.state) {
            Some(State::Ready | State::Again(_)) => self.load_thread(tid),
            Some(State::Waiting(..)) => Err(Trouble::Hooks(format!("thread {tid} waits"))),
            None => Err(no_thread(tid)),
        }
    }

    /// Ends the current slice: the scheduler chooses anew, and not this thread if there is another one.
    pub const fn end_slice(&mut self) {
        self.slice_end = 0;
        self.yielded = true;
    }

    /// Sends a signal to a thread as tgkill(2) does; its handler is entered before the thread's next instruction, if the
    /// thread does not block it.
    ///
    /// # Errors
    /// There is no such thread.
    pub fn signal_thread(&mut self, tid: Tid, signal: i32) -> Result<(), Trouble> {
        let info = Info::from_thread(signal, self.pid);
        if self.threads.get(tid).is_none() {
            return Err(no_thread(tid));
        }
        self.post(Some(tid), info);
        Ok(())
    }

    /// Sends a signal to the process, as kill(2) from outside does.
    pub fn signal_process(&mut self, signal: i32) {
        self.post(None, Info::from_process(signal, 1));
    }

    /// Which events are kept from now on.
    pub const fn trace(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// Events since the last time this was asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    pub(super) fn note(&mut self, wanted: bool, what: impl FnOnce(&Self) -> What) {
        if wanted {
            let event = Event {
                work: self.cpu.work(),
                path: self.cpu.path(),
                tid: self.current,
                what: what(self),
            };
            self.events.push(event);
        }
    }

    /// Makes `tid` the thread whose state the processor holds.
    pub(super) fn load_thread(&mut self, tid: Tid) -> Result<(), Trouble> {
        if tid == self.current {
            return Ok(());
        }
        if let Some(thread) = self.threads.get_mut(self.current) {
            self.cpu.save_into(&mut thread.saved)?;
        }
        let thread = self.threads.get(tid).ok_or_else(|| no_thread(tid))?;
        self.cpu.restore(&thread.saved)?;
        self.current = tid;
        Ok(())
    }
}

fn no_thread(tid: Tid) -> Trouble {
    Trouble::Hooks(format!("there is no thread {tid}"))
}

impl Thread {
    /// A thread in the processor's state.
    pub(super) fn new(tid: Tid, cpu: &Cpu, mask: Mask) -> Result<Self, Trouble> {
        Ok(Self {
            tid,
            saved: cpu.save()?,
            state: State::Ready,
            frozen: false,
            mask,
            pending: Vec::new(),
            alternate: None,
            clear_tid: 0,
            interrupted: None,
            work: 0,
        })
    }
}
