//! What was asked for, the program and the limits that it runs under -> the memory that hooks may take, or that there is
//! too little.
//!
//! Two parts. Records and counters: one mapping, of a size that is stated before anything is mapped. And what each hook
//! costs: code, tables, and the pages of the program's text that become its own as jumps are written into them.

use super::failure::{Failure, FailureCode, Result};
use crate::image::Image;
use crate::os::{Limit, LimitKind};
use crate::plan;
use crate::ring::RingGeometry;
use crate::ring::layout::DEFAULT_MEMORY;

/// Records and counters may take this part of what a limit leaves: one in so many.
const PART: u64 = 16;
/// What hooks cost may take this part of it: one in so many.
const HOOKS_PART: u64 = 2;
/// Bytes for each hook that the agent takes while it plans, and then the program: at most 2,600 and 1,300 in programs with
/// 10,000 to 51,000 hooks.
const PLANNING: u64 = 2600 + 1300;
/// Records and counters of a program that can lock all its memory.
const LOCKED: u64 = 8 << 20;

/// How much records and counters may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Memory {
    /// [`default_for`] the program, or what limits allow of it.
    #[default]
    Default,
    /// So many bytes, or what limits allow of them.
    AtMost(u64),
    /// Rings of this shape, whatever limits there are: for tests and for emulated processes.
    Rings {
        /// Ms that have one of their own.
        rings: u32,
        /// Records in each.
        slots: u32,
    },
}

/// What a program gets that has no limits: 64 MiB, but 8 where the program can lock its memory with mlockall(2), which makes
/// all of it real at once. That is seen by the name of the function; a program that calls mlockall through C or by its number
/// is not seen.
#[must_use]
pub fn default_for(image: &Image) -> u64 {
    let locks = |name: &str| name.ends_with(".Mlockall");
    if image
        .functions()
        .iter()
        .any(|function| locks(function.name))
    {
        LOCKED
    } else {
        DEFAULT_MEMORY
    }
}

/// The shape of the rings for so many hooks.
///
/// # Errors
/// [`FailureCode::Memory`]: too little for any shape.
pub fn geometry(
    memory: Memory,
    default: u64,
    hooks: u32,
    limits: &[Limit],
) -> Result<RingGeometry> {
    let asked = match memory {
        Memory::Default => default,
        Memory::AtMost(bytes) => bytes,
        Memory::Rings { rings, slots } => {
            let shape = RingGeometry {
                rings,
                slots,
                hooks,
            };
            return Some(shape).filter(RingGeometry::is_valid).ok_or_else(|| {
                Failure::new(
                    FailureCode::Plan,
                    format!("rings cannot have the shape {shape:?}"),
                )
            });
        }
    };
    let tightest = limits.iter().min_by_key(|limit| limit.left);
    let allowed = tightest.map_or(u64::MAX, |limit| limit.left / PART);
    RingGeometry::within(asked.min(allowed), hooks).ok_or_else(|| {
        let least = RingGeometry::least_memory(hooks);
        let text = match tightest {
            Some(limit) if allowed < asked => format!(
                "{hooks} hooks need {least} bytes for records and counters, and {} leaves {} bytes, of which they may take a \
                 {PART}th: raise it by {} bytes, or hook fewer functions",
                limit.name,
                limit.left,
                least.saturating_mul(PART).saturating_sub(limit.left)
            ),
            _ => format!(
                "{hooks} hooks need {least} bytes for records and counters, and may take {asked}: raise --memory, or hook \
                 fewer functions"
            ),
        };
        Failure::new(FailureCode::Memory, text)
    })
}

/// Whether there is room to plan so many hooks. The agent lies in the control groups of the program, and is the first to be
/// ended when one of them is full.
///
/// # Errors
/// [`FailureCode::Memory`]: a control group leaves less.
pub fn may_plan(hooks: usize, limits: &[Limit]) -> Result<()> {
    let needed = PLANNING.saturating_mul(hooks as u64);
    let limits = limits.iter();
    let groups = limits.filter(|limit| limit.kind == LimitKind::Memory);
    match groups.min_by_key(|limit| limit.left) {
        Some(limit) if needed > limit.left => Err(Failure::new(
            FailureCode::Memory,
            format!(
                "{hooks} hooks take some {needed} bytes until they are in place, and {} leaves {}: raise it, or hook fewer \
                 functions",
                limit.name, limit.left
            ),
        )),
        _ => Ok(()),
    }
}

/// Whether there is room for what the hooks themselves cost.
///
/// # Errors
/// [`FailureCode::Memory`]: a limit leaves less than twice that.
pub fn admit(cost: &plan::Memory, limits: &[Limit]) -> Result<()> {
    let hooks = cost.code + cost.tables + cost.text;
    let limits = limits
        .iter()
        .filter(|limit| limit.kind != LimitKind::FileSize);
    match limits.min_by_key(|limit| limit.left) {
        Some(limit) if hooks > limit.left / HOOKS_PART => Err(Failure::new(
            FailureCode::Memory,
            format!(
                "code, tables and changed pages of the hooks are {hooks} bytes, and {} leaves {}, of which they may take half: \
                 raise it, or hook fewer functions",
                limit.name, limit.left
            ),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golang::GoVersion;
    use crate::image::testing::{Synthetic, SyntheticFunction};

    fn limit(kind: LimitKind, left: u64) -> Limit {
        Limit {
            kind,
            name: "L".to_owned(),
            left,
        }
    }

    #[test]
    fn the_tightest_limit_leaves_sixteen_times_what_records_take() {
        let of = |memory, lefts: &[u64]| {
            let limits: Vec<_> = lefts
                .iter()
                .map(|&left| limit(LimitKind::Addresses, left))
                .collect();
            geometry(memory, DEFAULT_MEMORY, 10, &limits).map(|shape| shape.size())
        };
        let most = 64 << 20;
        assert!(of(Memory::Default, &[]).unwrap() > most - (1 << 20));
        assert!(of(Memory::Default, &[1 << 30, 1 << 40]).unwrap() > most - (1 << 20));
        for left in [300 << 20, 100 << 20, 10 << 20] {
            let size = of(Memory::Default, &[1 << 40, left]).unwrap();
            assert!(size <= left / 16 && size > left / 16 / 3, "{left} {size}");
            assert_eq!(of(Memory::AtMost(most), &[left]).unwrap(), size);
        }
        assert!(of(Memory::AtMost(1 << 20), &[1 << 40]).unwrap() <= 1 << 20);
        let failure = of(Memory::Default, &[64 << 10]).unwrap_err();
        assert_eq!(failure.code, FailureCode::Memory);
        assert!(failure.detail.contains("L leaves 65536 bytes"), "{failure}");
        let failure = of(Memory::AtMost(1000), &[]).unwrap_err();
        assert!(failure.detail.contains("--memory"), "{failure}");
    }

    #[test]
    fn what_hooks_cost_must_fit_as_well() {
        let cost = plan::Memory {
            code: 600_000,
            tables: 300_000,
            text: 100_000,
            ..plan::Memory::default()
        };
        let admit = |kind, left| admit(&cost, &[limit(kind, left)]).map_err(|failure| failure.code);
        assert_eq!(admit(LimitKind::Memory, 2_000_000), Ok(()));
        assert_eq!(
            admit(LimitKind::Memory, 1_999_999),
            Err(FailureCode::Memory)
        );
        assert_eq!(admit(LimitKind::FileSize, 1), Ok(()));
    }

    #[test]
    fn planning_must_fit_into_control_groups() {
        let plan = |kind, left| may_plan(100, &[limit(kind, left)]).map_err(|failure| failure.code);
        assert_eq!(plan(LimitKind::Memory, 390_000), Ok(()));
        assert_eq!(plan(LimitKind::Memory, 389_999), Err(FailureCode::Memory));
        // Those are the program's own.
        assert_eq!(plan(LimitKind::Addresses, 1), Ok(()));
        assert_eq!(plan(LimitKind::FileSize, 1), Ok(()));
    }

    #[test]
    fn a_program_that_can_lock_its_memory_gets_less() {
        let mut program = Synthetic::new(GoVersion::new(21, 0));
        let file = program.build();
        assert_eq!(default_for(&Image::parse(&file).unwrap()), DEFAULT_MEMORY);
        for name in [
            "syscall.Mlockall",
            "example.com/vendor/golang.org/x/sys/unix.Mlockall",
        ] {
            let function = SyntheticFunction::new(name, &[0xc3]);
            program.functions.push(function);
            let file = program.build();
            assert_eq!(default_for(&Image::parse(&file).unwrap()), LOCKED);
            program.functions.pop();
        }
    }
}
