//! The loop that runs the process: choose a thread, let it run, serve what it stopped for.

use gondwana_engine::addr::RunAddr;
use unicorn_engine::RegisterX86;

use super::cpu::{Stop, WORK_PER_NS};
use super::deliver;
use super::process::{Ending, Machine};
use super::registers::Registers;
use super::signals::{self, Action, Default, Info};
use super::syscalls::{self, Answer};
use super::threads::{Call, Interrupted, State, Tid, Wait};
use super::time::{TimerClock, TimerId};
use super::trace::What;
use super::{Trouble, memory};

/// Nanoseconds that a system call takes.
const CALL_TIME: u64 = 100;

/// When [`Machine::run`] returns, besides the process's end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Until {
    /// So much work has been done in all.
    pub work: u64,
    /// Return after each slice and system call, so that the caller can look at a condition of its own.
    pub each_turn: bool,
}

impl Until {
    /// The end of the process.
    pub const END: Self = Self {
        work: u64::MAX,
        each_turn: false,
    };

    /// At most so much more work.
    #[must_use]
    pub fn more(machine: &Machine<'_>, work: u64) -> Self {
        Self {
            work: machine.work().saturating_add(work),
            each_turn: false,
        }
    }
}

/// Why [`Machine::run`] returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// The process has ended.
    Ended(Ending),
    /// The current thread stands before a watched instruction.
    Watched(RunAddr),
    /// The work is done.
    Work,
    /// A turn is over.
    Turn,
}

impl Machine<'_> {
    /// Runs the process.
    ///
    /// # Errors
    /// What the machine cannot do; see [`Trouble`].
    pub fn run(&mut self, until: Until) -> Result<Pause, Trouble> {
        loop {
            if let Some(ending) = self.ending {
                self.drain_rings();
                return Ok(Pause::Ended(ending));
            }
            if self.cpu.work() >= until.work {
                return Ok(Pause::Work);
            }
            self.fire_timers();
            if !self.choose()? {
                continue;
            }
            if let Some(State::Again(call)) = self.threads.get(self.current).map(|t| t.state) {
                self.serve(call)?;
                if until.each_turn {
                    return Ok(Pause::Turn);
                }
                continue;
            }
            self.deliver()?;
            if self.ending.is_some() {
                continue;
            }
            let stop = self.run_current(until.work)?;
            if let Some(pause) = self.stopped(stop)? {
                return Ok(pause);
            }
            if until.each_turn {
                return Ok(Pause::Turn);
            }
        }
    }

    /// Runs until the current thread is about to execute the instruction at `at` for the first time from here.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn run_to(&mut self, at: RunAddr, until: Until) -> Result<Pause, Trouble> {
        self.watch(at)?;
        let result = self.run(until);
        self.unwatch(at);
        result
    }

    /// Runs until `condition` holds, looked at after each slice and each system call.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn run_until(
        &mut self,
        work: u64,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) -> Result<Pause, Trouble> {
        let until = Until {
            work: self.work().saturating_add(work),
            each_turn: true,
        };
        loop {
            let pause = self.run(until)?;
            if pause != Pause::Turn || condition(self) {
                return Ok(pause);
            }
        }
    }

    /// [`Machine::run`] returns before each execution of the instruction at `at`.
    ///
    /// # Errors
    /// The emulator.
    pub fn watch(&mut self, at: RunAddr) -> Result<(), Trouble> {
        Ok(self.cpu.watch(at)?)
    }

    /// No longer.
    pub fn unwatch(&mut self, at: RunAddr) {
        self.cpu.unwatch(at);
    }

    /// [`Machine::run`] returns before each instruction in `[start, end)`: stepping, within these bounds.
    ///
    /// # Errors
    /// The emulator.
    pub fn watch_window(&mut self, start: RunAddr, end: RunAddr) -> Result<(), Trouble> {
        Ok(self.cpu.watch_window(start, end)?)
    }

    /// Ends [`Machine::watch_window`] for all windows.
    pub fn unwatch_windows(&mut self) {
        self.cpu.unwatch_windows();
    }

    /// Executes one instruction of the current thread, and a system call if it is one; no other thread runs and no signal
    /// is delivered. Slow: for windows known before, [`Machine::watch_window`] is a thousand times faster.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn step(&mut self) -> Result<Option<Ending>, Trouble> {
        let before = self.cpu.work();
        let stop = self.cpu.step()?;
        self.account(before);
        self.stopped_at = None;
        if stop != Stop::Limit {
            self.stopped(stop)?;
        }
        Ok(self.ending)
    }

    /// Lets the current thread run: to the end of its slice, the next timer, or `work`.
    fn run_current(&mut self, work: u64) -> Result<Stop, Trouble> {
        let before = self.cpu.work();
        let now = self.cpu.now();
        let soon = |ns: u64| {
            before
                .saturating_add(ns.saturating_mul(WORK_PER_NS))
                .max(before + 1)
        };
        let mut limit = self.slice_end.min(work);
        let sleeper = self.threads.iter().filter_map(|thread| match thread.state {
            State::Waiting(call, _) => call.until,
            _ => None,
        });
        for at in sleeper.chain(self.timers.next_real()) {
            limit = limit.min(soon(at.saturating_sub(now)));
        }
        let current = self.current;
        for clock in [TimerClock::Process, TimerClock::Thread(current)] {
            if let Some(at) = self.timers.next_on(|other| other == clock) {
                limit = limit.min(soon(at.saturating_sub(self.time_of(clock))));
            }
        }
        let rip = self.cpu.register(RegisterX86::RIP)?;
        let over = self.stopped_at.take() == Some((current, rip));
        let stop = self.cpu.run(limit, over)?;
        self.account(before);
        Ok(stop)
    }

    fn account(&mut self, before: u64) {
        let done = self.cpu.work() - before;
        if let Some(thread) = self.threads.get_mut(self.current) {
            thread.work += done;
        }
    }

    /// Time on a clock, in nanoseconds.
    pub(super) fn time_of(&self, clock: TimerClock) -> u64 {
        match clock {
            TimerClock::Real => self.cpu.now(),
            TimerClock::Process => self.cpu.work() / WORK_PER_NS,
            TimerClock::Thread(tid) => self.threads.get(tid).map_or(0, |t| t.work / WORK_PER_NS),
        }
    }

    /// Serves what the current thread stopped for.
    fn stopped(&mut self, stop: Stop) -> Result<Option<Pause>, Trouble> {
        match stop {
            Stop::Limit => self.check_rings(),
            Stop::Watched => {
                let rip = self.cpu.register(RegisterX86::RIP)?;
                self.stopped_at = Some((self.current, rip));
                return Ok(Some(Pause::Watched(RunAddr::new(rip))));
            }
            Stop::Syscall => {
                let mut regs = self.cpu.registers()?;
                // As the instruction does (Intel SDM volume 2, SYSCALL).
                regs.rcx = regs.rip;
                regs.r11 = regs.rflags;
                self.cpu.set_register(RegisterX86::RCX, regs.rcx)?;
                self.cpu.set_register(RegisterX86::R11, regs.r11)?;
                self.serve(call_of(&regs))?;
            }
            Stop::Fault(fault) => self.fault(fault)?,
            Stop::Illegal => self.illegal()?,
            Stop::Exception(vector) => {
                deliver::forget_exception(&mut self.cpu)?;
                self.exception(vector)?;
            }
            Stop::Halt => {
                // Privileged: user code gets a general protection fault.
                let rip = self.cpu.register(RegisterX86::RIP)?;
                self.cpu.set_register(RegisterX86::RIP, rip - 1)?;
                self.exception(13)?;
            }
        }
        Ok(None)
    }

    /// Makes a system call for the current thread.
    pub(super) fn serve(&mut self, call: Call) -> Result<(), Trouble> {
        self.cpu.pass(CALL_TIME);
        let answer = syscalls::dispatch(self, &call)?;
        let calls = self.wanted.calls;
        let result = match answer {
            Answer::Return(value) => {
                self.cpu.set_register(RegisterX86::RAX, value as u64)?;
                self.set_state(State::Ready);
                Some(value)
            }
            Answer::Nothing => None,
            Answer::Wait(wait, until) => {
                let call = Call {
                    again: true,
                    until: until.or(call.until),
                    ..call
                };
                self.set_state(State::Waiting(call, wait));
                // A signal that came before the call interrupts it too.
                let tid = self.current;
                if self.has_deliverable(tid) {
                    self.interrupt(tid);
                }
                None
            }
        };
        self.note(calls, |_| What::Call {
            number: call.number,
            args: call.args,
            result,
        });
        Ok(())
    }

    fn set_state(&mut self, state: State) {
        if let Some(thread) = self.threads.get_mut(self.current) {
            thread.state = state;
        }
    }

    /// Makes a thread the current one that can run; `false` if time had to pass first, or nothing is left to run.
    fn choose(&mut self) -> Result<bool, Trouble> {
        self.wake();
        let ready: Vec<Tid> = self
            .threads
            .iter()
            .filter(|t| !t.frozen && !matches!(t.state, State::Waiting(..)))
            .map(|t| t.tid)
            .collect();
        let work = self.cpu.work();
        if let Some(tid) = self.preferred.filter(|tid| ready.contains(tid)) {
            self.slice_end = self.slice_end.max(work + 10_000);
            self.load_thread(tid)?;
            return Ok(true);
        }
        if work < self.slice_end && ready.contains(&self.current) {
            return Ok(true);
        }
        let yielded = std::mem::take(&mut self.yielded).then_some(self.current);
        if let Some(turn) = self.scheduler.choose(&ready, yielded, work) {
            self.slice_end = work + turn.slice;
            self.load_thread(turn.tid)?;
            let schedule = self.wanted.schedule;
            self.note(schedule, |machine| {
                What::Run(Box::new(machine.cpu.registers().unwrap_or_default()))
            });
            return Ok(true);
        }
        // Nobody can run: let time pass to the next thing that is due.
        let sleepers = self.threads.iter().filter_map(|thread| match thread.state {
            State::Waiting(call, _) if !thread.frozen => call.until,
            _ => None,
        });
        let next = sleepers.chain(self.timers.next_real()).min();
        let Some(next) = next else {
            return Err(Trouble::Deadlock(self.who_waits()));
        };
        let now = self.cpu.now();
        self.cpu.pass(next.saturating_sub(now).max(1));
        Ok(false)
    }

    fn who_waits(&self) -> String {
        let mut parts: Vec<String> = self
            .threads
            .iter()
            .map(|thread| {
                let what = match thread.state {
                    _ if thread.frozen => "is frozen".to_owned(),
                    State::Waiting(call, _) => format!("in {}", syscalls::name(call.number)),
                    _ => "can run".to_owned(),
                };
                format!("thread {} {what}", thread.tid)
            })
            .collect();
        parts.truncate(8);
        parts.join(", ")
    }

    /// Makes ready what waits no longer.
    fn wake(&mut self) {
        let now = self.cpu.now();
        let changes = self.files.changes();
        let current = self.current;
        for thread in self.threads.iter_mut() {
            let State::Waiting(call, wait) = thread.state else {
                continue;
            };
            let due = call.until.is_some_and(|until| until <= now);
            thread.state = match wait {
                Wait::Files(seen) if due || seen != changes => State::Again(call),
                Wait::Futex { .. } | Wait::Time | Wait::Signal if due => {
                    let result = match wait {
                        Wait::Futex { .. } => -i64::from(libc::ETIMEDOUT),
                        Wait::Signal => -i64::from(libc::EAGAIN),
                        _ => 0,
                    };
                    finish(&mut self.cpu, thread, current, result);
                    State::Ready
                }
                _ => continue,
            };
        }
    }

    /// Ends the waiting of up to `count` threads for a futex; how many there were.
    pub(super) fn wake_futex(&mut self, at: u64, bits: u32, count: u32) -> u32 {
        let current = self.current;
        let mut woken = 0;
        for thread in self.threads.iter_mut() {
            if woken == count {
                break;
            }
            if let State::Waiting(
                _,
                Wait::Futex {
                    at: other,
                    bits: mask,
                },
            ) = thread.state
                && other == at
                && mask & bits != 0
            {
                finish(&mut self.cpu, thread, current, 0);
                thread.state = State::Ready;
                woken += 1;
            }
        }
        woken
    }

    /// Sends the signals of timers that are due.
    fn fire_timers(&mut self) {
        let (cpu, threads) = (&self.cpu, &self.threads);
        let time = |clock| match clock {
            TimerClock::Real => cpu.now(),
            TimerClock::Process => cpu.work() / WORK_PER_NS,
            TimerClock::Thread(tid) => threads.get(tid).map_or(0, |t| t.work / WORK_PER_NS),
        };
        for (id, timer) in self.timers.take_due(time) {
            if timer.signal == 0 {
                continue;
            }
            let id = match id {
                TimerId::Posix(id) => Some(id),
                TimerId::Interval(_) => None,
            };
            let info = Info::from_timer(timer.signal, id, timer.value);
            // The kernel charges the running thread's tick, and signals it if it can.
            self.post(timer.to, info);
        }
    }

    /// Queues a signal, to a thread or to the process, and interrupts what it interrupts.
    pub(super) fn post(&mut self, to: Option<Tid>, info: Info) {
        let action = self.action(info.signal);
        let ignored = action.handler == libc::SIG_IGN as u64
            || action.handler == libc::SIG_DFL as u64
                && signals::default_of(info.signal) == Default::Ignore;
        if ignored && info.trap.is_none() {
            return;
        }
        let willing = |tid: &Tid| {
            self.threads
                .get(*tid)
                .is_some_and(|t| !t.mask.has(info.signal))
        };
        let to = to.or_else(|| {
            let all = std::iter::once(self.current).chain(self.threads.iter().map(|t| t.tid));
            let mut willing = all.filter(willing);
            willing.next()
        });
        match to.and_then(|tid| self.threads.get_mut(tid)) {
            None => signals::queue(&mut self.pending, info),
            Some(thread) => {
                signals::queue(&mut thread.pending, info);
                let tid = thread.tid;
                if !thread.mask.has(info.signal) {
                    self.interrupt(tid);
                }
            }
        }
    }

    /// Ends the waiting of a thread for a signal's sake.
    fn interrupt(&mut self, tid: Tid) {
        let Some(thread) = self.threads.get_mut(tid) else {
            return;
        };
        let State::Waiting(call, wait) = thread.state else {
            return;
        };
        thread.interrupted = Some(Interrupted {
            number: call.number,
            restartable: syscalls::restarts(&call, wait),
        });
        thread.state = State::Ready;
    }

    fn has_deliverable(&self, tid: Tid) -> bool {
        self.threads.get(tid).is_some_and(|thread| {
            let mut all = thread.pending.iter().chain(&self.pending);
            all.any(|info| !thread.mask.has(info.signal))
        })
    }

    pub(super) fn action(&self, signal: i32) -> Action {
        usize::try_from(signal)
            .ok()
            .and_then(|index| self.actions.get(index))
            .copied()
            .unwrap_or_default()
    }

    /// Delivers the signals that the current thread has and does not block.
    fn deliver(&mut self) -> Result<(), Trouble> {
        loop {
            let Some(thread) = self.threads.get_mut(self.current) else {
                return Ok(());
            };
            let mask = thread.mask;
            let info = signals::take(&mut thread.pending, mask)
                .or_else(|| signals::take(&mut self.pending, mask));
            let Some(info) = info else { break };
            let action = self.action(info.signal);
            if !action.is_handled() {
                let ignored = action.handler == libc::SIG_IGN as u64 && info.trap.is_none()
                    || signals::default_of(info.signal) == Default::Ignore;
                if ignored {
                    continue;
                }
                self.ending = Some(Ending::Signal(info.signal));
                return Ok(());
            }
            self.restart(Some(&action))?;
            let Some(thread) = self.threads.get_mut(self.current) else {
                return Ok(());
            };
            if !deliver::enter(&mut self.cpu, thread, &action, &info)? {
                self.ending = Some(Ending::Signal(libc::SIGSEGV));
                return Ok(());
            }
            if action.has(libc::SA_RESETHAND)
                && let Some(slot) = self.actions.get_mut(info.signal as usize)
            {
                *slot = Action::default();
            }
            let signals = self.wanted.signals;
            self.note(signals, |_| What::Signal(info.signal));
        }
        self.restart(None)
    }

    /// Decides about a call that was interrupted: it starts again, or ends with `EINTR`.
    fn restart(&mut self, handler: Option<&Action>) -> Result<(), Trouble> {
        let Some(thread) = self.threads.get_mut(self.current) else {
            return Ok(());
        };
        let Some(call) = thread.interrupted.take() else {
            return Ok(());
        };
        let again = handler.is_none_or(|action| call.restartable && action.has(libc::SA_RESTART));
        if again {
            let rip = self.cpu.register(RegisterX86::RIP)?;
            self.cpu.set_register(RegisterX86::RIP, rip - 2)?;
            self.cpu.set_register(RegisterX86::RAX, call.number)?;
        } else {
            let error = -i64::from(libc::EINTR);
            self.cpu.set_register(RegisterX86::RAX, error as u64)?;
        }
        Ok(())
    }
}

/// The call that a thread makes with these registers.
pub(super) const fn call_of(regs: &Registers) -> Call {
    Call {
        number: regs.rax,
        args: [regs.rdi, regs.rsi, regs.rdx, regs.r10, regs.r8, regs.r9],
        again: false,
        until: None,
    }
}

/// Sets the result of a call that a thread waited in.
fn finish(
    cpu: &mut super::cpu::Cpu,
    thread: &mut super::threads::Thread,
    current: Tid,
    result: i64,
) {
    if thread.tid == current {
        // It waits, and the processor still holds its state.
        let _ = cpu.set_register(RegisterX86::RAX, result as u64);
    } else {
        thread.saved.set_result(result as u64);
    }
}

/// Whole pages.
pub(super) const fn pages(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(memory::PAGE)
}
