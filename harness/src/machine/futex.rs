//! futex(2): waiting for a word in memory to change.

use gondwana_engine::addr::RunAddr;

use super::process::Machine;
use super::syscalls::{Answer, No, Reply, done};
use super::threads::{Call, Wait};

const PRIVATE: i32 = 128;
const CLOCK_REALTIME: i32 = 256;
const WAIT: i32 = 0;
const WAKE: i32 = 1;
const WAIT_BITSET: i32 = 9;
const WAKE_BITSET: i32 = 10;

/// futex(2).
pub(super) fn futex(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let at = call.arg(0);
    let operation = call.int(1) & !(PRIVATE | CLOCK_REALTIME);
    let bits = match operation {
        WAIT_BITSET | WAKE_BITSET => call.arg(5) as u32,
        _ => u32::MAX,
    };
    if bits == 0 || !at.is_multiple_of(4) {
        return Err(No::Error(libc::EINVAL));
    }
    match operation {
        WAIT | WAIT_BITSET => {
            let mut word = [0; 4];
            machine.user_into(at, &mut word)?;
            if u32::from_le_bytes(word) != call.arg(2) as u32 {
                return Err(No::Error(libc::EAGAIN));
            }
            let until = match call.arg(3) {
                0 => None,
                timeout => {
                    let ns = machine.user_timespec(timeout)?;
                    Some(if operation == WAIT {
                        machine.now().saturating_add(ns)
                    } else {
                        // WAIT_BITSET takes a point in time.
                        machine.instant(call.int(1) & CLOCK_REALTIME != 0, ns)
                    })
                }
            };
            Ok(Answer::Wait(Wait::Futex { at, bits }, until))
        }
        WAKE | WAKE_BITSET => {
            let count = call.arg(2) as u32;
            done(i64::from(machine.wake_futex(at, bits, count)))
        }
        _ => {
            let by = machine.symbolise_caller();
            Err(No::Trouble(super::Trouble::UnknownCall {
                number: call.number,
                args: format!("futex operation {operation} on {}", RunAddr::new(at)),
                by,
            }))
        }
    }
}
