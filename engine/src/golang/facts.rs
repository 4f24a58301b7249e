//! [`GoVersion`] -> [`Facts`].
//!
//! The ranges below are the whole knowledge of "which version does what"; a version outside 1.5 to 1.27 is refused,
//! never guessed. Betas and release candidates are treated as the release that they became.

use super::{Abi, Facts, GoVersion, PclntabGeneration, RuntimeOffsets, layouts};

/// The oldest minor version that is known.
pub const OLDEST: u16 = 5;
/// The newest minor version that is known.
pub const NEWEST: u16 = 27;

/// The version lies outside what is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{found} is {}; known are go1.{OLDEST} to go1.{NEWEST}", if found.minor > NEWEST { "newer than this engine" } else { "too old" })]
pub struct Unsupported {
    /// What was found.
    pub found: GoVersion,
}

impl Facts {
    /// What holds for `version`, or why nothing is known about it.
    pub fn for_version(version: GoVersion) -> Result<Self, Unsupported> {
        let GoVersion { minor, patch, .. } = version;
        if !(OLDEST..=NEWEST).contains(&minor) {
            return Err(Unsupported { found: version });
        }
        Ok(Self {
            pclntab: generation(minor),
            module: layouts::module(minor),
            pc_header_has_text_start: (18..=25).contains(&minor),
            func: layouts::func(minor, patch),
            inline: layouts::inline(minor),
            runtime: runtime_offsets(minor, patch),
            compiled_abi: if minor >= 17 {
                Abi::AbiInternal
            } else {
                Abi::Abi0
            },
            panic_argp: (minor <= 25).then_some(0),
            func_id_wrapper: func_id_wrapper(minor),
            func_flag_asm: (minor >= 18).then_some(4),
            // 1.14 says it in PCDATA_RegMapIndex, which 1.15 renamed to PCDATA_UnsafePoint; value and index agree.
            unsafe_point: (minor >= 14).then_some((0, -2)),
            nosplit_limit: nosplit_limit(minor),
            race_stack_factor: if minor >= 20 { 2 } else { 1 },
            elides_wrappers: minor >= 12,
            frame_pointers: minor >= 7,
        })
    }
}

/// The magic numbers of `debug/gosym/pclntab.go` and `cmd/link/internal/ld/pcln.go`.
const fn generation(minor: u16) -> PclntabGeneration {
    match minor {
        0..=15 => PclntabGeneration::Go1_2,
        16 | 17 => PclntabGeneration::Go1_16,
        18 | 19 => PclntabGeneration::Go1_18,
        _ => PclntabGeneration::Go1_20,
    }
}

/// `runtime/runtime2.go`, types `g` and `m`.
const fn runtime_offsets(minor: u16, patch: u16) -> RuntimeOffsets {
    let g_goid = match minor {
        0..=5 => 184,
        6..=8 => 192,
        9..=22 => 152,
        23 | 24 => 160,
        _ => 152,
    };
    let (m_procid, m_gsignal) = if minor >= 25 { (64, 72) } else { (72, 80) };
    let m_id = match (minor, patch) {
        (0..=5, _) => 192,
        (6..=8, _) => 184,
        // goSigStack (40 bytes) came with 1.9.3.
        (9, 0..=2) => 184,
        (9..=11, _) => 224,
        (25, _) => 224,
        _ => 232,
    };
    let g_preempt = match minor {
        0..=5 => 224,
        6..=8 => 232,
        9 | 10 => 192,
        23 | 24 => 185,
        _ => 177,
    };
    RuntimeOffsets {
        g_stack_lo: 0,
        g_stack_hi: 8,
        g_panic: 32,
        g_m: 48,
        g_goid,
        g_preempt,
        m_g0: 0,
        m_gsignal,
        m_procid,
        m_id,
        m_id_is_32_bits: minor <= 9,
    }
}

/// `funcID_wrapper`: `cmd/internal/objabi/funcid.go` to 1.20, `internal/abi/symtab.go` later.
const fn func_id_wrapper(minor: u16) -> Option<u8> {
    match minor {
        0..=11 => None,
        12 | 13 => Some(20),
        14..=17 => Some(22),
        18..=21 => Some(21),
        22..=24 => Some(22),
        _ => Some(23),
    }
}

/// StackGuard - StackSmall - StackSystem: `cmd/internal/obj/stack.go`, later `cmd/internal/objabi/stack.go`.
const fn nosplit_limit(minor: u16) -> u32 {
    match minor {
        0..=5 => 512,
        6 | 7 => 592,
        8..=13 => 752,
        14 => 768,
        _ => 800,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(minor: u16, patch: u16) -> Facts {
        Facts::for_version(GoVersion::new(minor, patch)).unwrap()
    }

    #[test]
    fn only_known_versions_have_facts() {
        for minor in OLDEST..=NEWEST {
            let facts = facts(minor, 0);
            // The last field of moduledata is `next`, a pointer.
            assert_eq!(facts.module.next + 8, facts.module.size, "go1.{minor}");
            assert_eq!(
                facts.func.funcdata_is_offset,
                facts.module.gofunc.is_some(),
                "go1.{minor}"
            );
        }
        let newer = Facts::for_version(GoVersion::new(28, 0))
            .unwrap_err()
            .to_string();
        assert_eq!(
            newer,
            "go1.28.0 is newer than this engine; known are go1.5 to go1.27"
        );
        assert!(
            Facts::for_version(GoVersion::new(4, 3))
                .unwrap_err()
                .to_string()
                .contains("too old")
        );
    }

    #[test]
    fn patch_releases_that_changed_structures_are_told_apart() {
        assert_eq!(facts(9, 2).runtime.m_id + 40, facts(9, 3).runtime.m_id);
        assert_eq!(facts(10, 0).func.func_id, None);
        assert_eq!(facts(10, 1).func.func_id, Some(16));
    }
}
