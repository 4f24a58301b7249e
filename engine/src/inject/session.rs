//! The threads of one traced process: run, stop all, detach all, lose no signal.
//!
//! Knows nothing of hooks. Every thread is either running or stopped with the signal that it is owed; that signal is
//! delivered when it goes on. Ending the tracer at any time lets all threads go on (no `PTRACE_O_EXITKILL`).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::failure::{Failure, FailureCode, Result};
use crate::os::process::{self, Exit, Pid, Tid};
use crate::os::ptrace::{self, Event, Registers, Resume, Signal};

/// Shortest and longest pause between two looks for reports. (There is no wait for reports with a time limit that works
/// in a process with other threads: SIGCHLD goes to any of them.)
const PAUSE: (Duration, Duration) = (Duration::from_micros(20), Duration::from_millis(4));

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Running,
    /// Stopped; owed this signal.
    Stopped(Signal),
    /// Stopped together with its process, and reported so.
    GroupStopped,
    /// Still so, and waiting for the end of that: runs nothing, but its registers cannot be read.
    Listening,
}

impl State {
    const fn is_stopped(self) -> bool {
        matches!(self, Self::Stopped(_) | Self::GroupStopped)
    }
}

/// A process under trace. Dropping it detaches from all its threads.
#[derive(Debug)]
pub struct Session {
    pid: Pid,
    threads: BTreeMap<Tid, State>,
    /// How running threads are let run: with or without stops at system calls.
    resume: Resume,
    exit: Option<Exit>,
}

impl Session {
    /// Starts tracing the main thread of `pid` (its only one: others are not looked for).
    pub fn seize(pid: Pid) -> Result<Self> {
        ptrace::seize(pid.leader()).map_err(Failure::system("cannot trace the program"))?;
        Ok(Self {
            pid,
            threads: [(pid.leader(), State::Running)].into(),
            resume: Resume::Run,
            exit: None,
        })
    }

    /// The process.
    #[must_use]
    pub const fn pid(&self) -> Pid {
        self.pid
    }

    /// How the process ended, if that was seen.
    #[must_use]
    pub const fn exit(&self) -> Option<Exit> {
        self.exit
    }

    /// Threads that are traced now.
    pub fn threads(&self) -> impl Iterator<Item = Tid> + '_ {
        self.threads.keys().copied()
    }

    /// Whether every traced thread is stopped.
    #[must_use]
    pub fn all_stopped(&self) -> bool {
        self.threads.values().all(|state| state.is_stopped())
    }

    /// From now on threads that go on stop at system calls, or no longer.
    pub const fn stop_at_system_calls(&mut self, on: bool) {
        self.resume = if on {
            Resume::ToSystemCall
        } else {
            Resume::Run
        };
    }

    /// Registers of a stopped thread.
    pub fn registers(&self, tid: Tid) -> Result<Registers> {
        ptrace::registers(tid).map_err(Failure::system("cannot read registers"))
    }

    /// Sets the registers of a stopped thread.
    pub fn set_registers(&self, tid: Tid, regs: &Registers) -> Result<()> {
        ptrace::set_registers(tid, regs).map_err(Failure::system("cannot set registers"))
    }

    /// Runs until the program has been executed; its one thread is stopped then.
    pub fn wait_exec(&mut self) -> Result<()> {
        for tid in self.threads().collect::<Vec<_>>() {
            self.go_on(tid)?;
        }
        loop {
            let (tid, event) = self.next(None)?;
            if event == Event::Executed {
                return Ok(());
            }
            self.go_on(tid)?;
        }
    }

    /// Lets a stopped thread run to its next entry or exit of a system call. Other threads run on meanwhile, and signals
    /// are delivered.
    pub fn to_system_call(&mut self, tid: Tid, deadline: Option<Instant>) -> Result<()> {
        self.stop_at_system_calls(true);
        self.go_on(tid)?;
        loop {
            let (reporter, event) = self.next(deadline)?;
            self.refuse_exec(event)?;
            if reporter == tid && event == Event::SystemCall {
                return Ok(());
            }
            self.go_on(reporter)?;
        }
    }

    /// Runs all threads until one has finished a system call whose next instruction is at `pc`.
    pub fn run_to_system_call_at(&mut self, pc: crate::addr::RunAddr) -> Result<Tid> {
        self.stop_at_system_calls(true);
        for tid in self.threads().collect::<Vec<_>>() {
            self.go_on(tid)?;
        }
        let mut entered = None;
        loop {
            let (tid, event) = self.next(None)?;
            self.refuse_exec(event)?;
            if event == Event::SystemCall && self.registers(tid)?.rip() == pc {
                // Entry and exit stop at the same address, one after the other.
                if entered == Some(tid) {
                    return Ok(tid);
                }
                entered = Some(tid);
            }
            self.go_on(tid)?;
        }
    }

    /// Lets all threads run for some time, without stops at system calls.
    pub fn run_for(&mut self, time: Duration) -> Result<()> {
        self.stop_at_system_calls(false);
        let deadline = Instant::now() + time;
        for tid in self.threads().collect::<Vec<_>>() {
            self.go_on(tid)?;
        }
        loop {
            match self.next(Some(deadline)) {
                Ok((tid, event)) => {
                    self.refuse_exec(event)?;
                    self.go_on(tid)?;
                }
                Err(failure) if failure.code == FailureCode::StopTimeout => return Ok(()),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Stops every thread, those included that appear meanwhile.
    ///
    /// # Errors
    /// [`FailureCode::StopTimeout`] if one does not stop before `deadline`: a thread that waits for the child of its
    /// vfork cannot be stopped.
    pub fn stop_all(&mut self, deadline: Instant) -> Result<()> {
        let mut asked = std::collections::BTreeSet::new();
        loop {
            for (&tid, _) in self.threads.iter().filter(|(_, s)| !s.is_stopped()) {
                if asked.insert(tid) {
                    // A thread that is ending is reported by `next`.
                    let _ = ptrace::interrupt(tid);
                }
            }
            if self.all_stopped() {
                let present = process::threads(self.pid)
                    .map_err(Failure::system("cannot list the program's threads"))?;
                // With all known threads stopped nobody is left to create one; what is unknown now was created before,
                // is traced from birth, and reports itself.
                if present.iter().all(|tid| self.threads.contains_key(tid)) {
                    return Ok(());
                }
            }
            let (_, event) = self.next(Some(deadline))?;
            self.refuse_exec(event)?;
        }
    }

    /// Detaches from every thread: each goes on with the signal that it is owed, or stays in its group stop.
    pub fn detach(mut self) -> Result<()> {
        self.release(Instant::now() + Duration::from_secs(5))
    }

    fn release(&mut self, deadline: Instant) -> Result<()> {
        self.resume = Resume::Run;
        loop {
            // Stopped ones first: a running thread may wait for them.
            for (&tid, &state) in &self.threads {
                match state {
                    State::Stopped(signal) => drop(ptrace::detach(tid, signal)),
                    // Stays stopped with its process (`__ptrace_unlink` sees to it).
                    State::GroupStopped => drop(ptrace::detach(tid, Signal::NONE)),
                    State::Running | State::Listening => drop(ptrace::interrupt(tid)),
                }
            }
            self.threads.retain(|_, state| !state.is_stopped());
            if self.threads.is_empty() {
                return Ok(());
            }
            match self.next(Some(deadline)) {
                Ok(_) => {}
                Err(failure) if failure.code == FailureCode::Ended => {
                    self.threads.clear();
                    return Ok(());
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn refuse_exec(&self, event: Event) -> Result<()> {
        if event == Event::Executed {
            return Err(Failure::new(
                FailureCode::Ended,
                "the program executed another one before its main function",
            ));
        }
        Ok(())
    }

    /// Lets a stopped thread go on; a running one is left alone.
    fn go_on(&mut self, tid: Tid) -> Result<()> {
        let Some(state) = self.threads.get_mut(&tid) else {
            return Ok(());
        };
        let (how, signal) = match *state {
            State::Stopped(signal) => (self.resume, signal),
            State::GroupStopped => (Resume::Listen, Signal::NONE),
            State::Running | State::Listening => return Ok(()),
        };
        *state = if how == Resume::Listen {
            State::Listening
        } else {
            State::Running
        };
        match ptrace::resume(tid, how, signal) {
            // Killed meanwhile: the end is reported.
            Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
                Err(Failure::system("cannot resume a thread")(error))
            }
            _ => Ok(()),
        }
    }

    /// The next report of a thread of this process, with the thread's state brought up to date.
    fn next(&mut self, deadline: Option<Instant>) -> Result<(Tid, Event)> {
        let mut pause = PAUSE.0;
        loop {
            if let Some(report) = self.take_report()? {
                return Ok(report);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Err(Failure::new(
                    FailureCode::StopTimeout,
                    "a thread of the program did not stop in time",
                ));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE.1);
        }
    }

    fn take_report(&mut self) -> Result<Option<(Tid, Event)>> {
        let report = match ptrace::wait() {
            Ok(report) => report,
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => return Err(self.ended()),
            Err(error) => return Err(Failure::system("cannot wait for the program")(error)),
        };
        let Some((tid, event)) = report else {
            return Ok(None);
        };
        match event {
            Event::Exited(_) | Event::Killed(_) => {
                self.threads.remove(&tid);
                if tid == self.pid.leader() {
                    self.threads.clear();
                    self.exit = Some(match event {
                        Event::Killed(signal) => Exit::Signal(signal.0),
                        Event::Exited(code) => Exit::Code(code),
                        _ => return Ok(None),
                    });
                    return Err(self.ended());
                }
                // The end of one thread may be what stop_all waits for.
                return Ok(Some((tid, event)));
            }
            // execve ends all other threads, without a report of each.
            Event::Executed => self.threads.clear(),
            _ if !self.threads.contains_key(&tid) && !process::is_thread_of(tid, self.pid) => {
                // A child made by clone(2) with an unusual exit signal: none of ours.
                let _ = ptrace::detach(tid, Signal::NONE);
                return Ok(None);
            }
            _ => {}
        }
        let state = match event {
            Event::GroupStop(_) => State::GroupStopped,
            Event::Signal(signal) => State::Stopped(signal),
            _ => State::Stopped(Signal::NONE),
        };
        self.threads.insert(tid, state);
        Ok(Some((tid, event)))
    }

    fn ended(&self) -> Failure {
        Failure {
            exit: self.exit,
            ..Failure::new(
                FailureCode::Ended,
                "the program ended before it could be hooked",
            )
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            let _ = self.release(Instant::now() + Duration::from_secs(1));
        }
    }
}
