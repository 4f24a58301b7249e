//! All threads of a process that keeps making threads are stopped, and let go.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gondwana_engine::inject::{FailureCode, Session};
use gondwana_engine::os::{Pid, process};

/// Not a test: the program of the others. Eight threads that each start and join short-lived threads, for ten seconds or
/// until standard input ends.
#[test]
#[ignore = "the program that the tests start"]
fn makes_threads() {
    let until = Instant::now() + Duration::from_secs(10);
    let makers: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut made = 0u64;
                while Instant::now() < until {
                    std::thread::spawn(|| std::hint::black_box(0))
                        .join()
                        .unwrap();
                    made += 1;
                }
                made
            })
        })
        .collect();
    std::thread::spawn(|| {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        std::process::exit(33);
    });
    for maker in makers {
        maker.join().unwrap();
    }
}

#[test]
fn threads_that_appear_while_stopping_are_stopped_too() {
    // The shell waits until it is traced, and becomes the program.
    let me = std::env::current_exe().unwrap();
    let mut child = Command::new("sh")
        .args([
            "-c",
            "read line; exec \"$0\" --ignored --exact makes_threads",
        ])
        .arg(&me)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid(child.id().try_into().unwrap());
    let mut session = Session::seize(pid).unwrap();
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    // The shell's own execve may be the first.
    while {
        session.wait_exec().unwrap();
        process::executable_path(pid).unwrap() != me
    } {}
    let mut most = 0;
    for round in 0..40 {
        session.run_for(Duration::from_millis(round)).unwrap();
        session
            .stop_all(Instant::now() + Duration::from_secs(10))
            .unwrap();
        let listed = process::threads(pid).unwrap();
        most = most.max(listed.len());
        let stopped = || {
            listed.iter().all(|tid| {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat"));
                // A thread that has ended stays listed until its tracer hears of it.
                stat.map_or(true, |stat| {
                    stat.rsplit_once(") ")
                        .is_some_and(|(_, rest)| rest.starts_with(['t', 'Z', 'X']))
                })
            })
        };
        assert!(stopped(), "round {round}");
        std::thread::sleep(Duration::from_millis(2));
        // Nobody was left to make another one.
        let now = process::threads(pid).unwrap();
        assert!(
            now.iter().all(|tid| listed.contains(tid)),
            "round {round}: {listed:?} {now:?}"
        );
        assert!(stopped(), "round {round}");
    }
    assert!(most > 8, "{most}");
    session.detach().unwrap();
    for tid in process::threads(pid).unwrap() {
        let status =
            std::fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
        assert!(
            status.is_empty() || status.contains("TracerPid:\t0\n"),
            "{status}"
        );
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(33));
}

#[test]
fn a_process_that_ends_under_trace_is_reported() {
    let mut child = Command::new("sh")
        .args(["-c", "read line; kill -9 $$"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut session = Session::seize(Pid(child.id().try_into().unwrap())).unwrap();
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let failure = loop {
        // The shell's own execve may be the first.
        if let Err(failure) = session.wait_exec() {
            break failure;
        }
    };
    assert_eq!(failure.code, FailureCode::Ended);
    assert_eq!(failure.exit, Some(process::Exit::Signal(9)));
    // The session has heard of the end, and so has taken it from its parent, which is this thread too.
    assert!(child.wait().is_err());
}
