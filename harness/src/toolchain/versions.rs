//! Version text -> [`GoVersion`]; which versions there are.

use anyhow::{Result, bail};
use gondwana_engine::golang::{GoVersion, PreRelease};

/// The last patch release of every supported minor version, oldest first, as `(minor, patch)`.
///
/// Source: `go list -m -versions golang.org/toolchain`. The newest minors still receive patches; a newer patch can be
/// asked for by its full name.
pub const LAST_PATCHES: [GoVersion; 23] = [
    GoVersion::new(5, 4),
    GoVersion::new(6, 4),
    GoVersion::new(7, 6),
    GoVersion::new(8, 7),
    GoVersion::new(9, 7),
    GoVersion::new(10, 8),
    GoVersion::new(11, 13),
    GoVersion::new(12, 17),
    GoVersion::new(13, 15),
    GoVersion::new(14, 15),
    GoVersion::new(15, 15),
    GoVersion::new(16, 15),
    GoVersion::new(17, 13),
    GoVersion::new(18, 10),
    GoVersion::new(19, 13),
    GoVersion::new(20, 14),
    GoVersion::new(21, 13),
    GoVersion::new(22, 12),
    GoVersion::new(23, 12),
    GoVersion::new(24, 13),
    GoVersion::new(25, 14),
    GoVersion::new(26, 11),
    GoVersion::new(27, 4),
];

/// Patch releases on both sides of each change of a structure within a minor version, where the module proxies have
/// them; the last patches are those of [`LAST_PATCHES`].
pub const PATCHES: [GoVersion; 16] = [
    GoVersion::new(9, 2),
    GoVersion::new(9, 3),
    GoVersion::new(10, 0),
    GoVersion::new(10, 2),
    GoVersion::new(13, 12),
    GoVersion::new(14, 4),
    GoVersion::new(14, 7),
    GoVersion::new(16, 3),
    GoVersion::new(16, 4),
    GoVersion::new(18, 0),
    GoVersion::new(18, 4),
    GoVersion::new(23, 10),
    GoVersion::new(24, 5),
    GoVersion::new(24, 6),
    GoVersion::new(26, 10),
    GoVersion::new(27, 3),
];

/// The oldest supported minor version.
pub const OLDEST_MINOR: u16 = LAST_PATCHES[0].minor;
/// The newest supported minor version.
pub const NEWEST_MINOR: u16 = LAST_PATCHES[LAST_PATCHES.len() - 1].minor;

/// The last patch release of Go 1.`minor`.
#[must_use]
pub fn last_patch(minor: u16) -> Option<GoVersion> {
    LAST_PATCHES
        .into_iter()
        .find(|version| version.minor == minor)
}

/// Reads `1.21.13`, `go1.21.13`, `1.21rc2`, `1.20.0`, or `1.21`, which means the last patch.
///
/// # Errors
/// When the text is no version, or one with anything behind it.
pub fn resolve(text: &str) -> Result<GoVersion> {
    let bare = text.strip_prefix("go").unwrap_or(text);
    let version: GoVersion = text.parse()?;
    // The engine's parser leaves vendor suffixes to its caller; no such toolchain can be downloaded.
    if !bare.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') {
        bail!("`{text}` is not the version of a Go release; expected something like `1.21.13`");
    }
    let names_a_minor = version.pre == PreRelease::Released && bare.matches('.').count() == 1;
    Ok(if names_a_minor {
        last_patch(version.minor).unwrap_or(version)
    } else {
        version
    })
}

/// Names the versions that tests use, written like a [`GoRange`](super::GoRange). `core` and `ci` choose cells of the matrix
/// (`testbins/matrix.toml`) and leave each other test its everyday versions.
pub const CHOICE: &str = "GONDWANA_GO";

/// What [`CHOICE`] in the environment names, if it names versions.
#[must_use]
pub fn choice() -> Option<String> {
    std::env::var(CHOICE)
        .ok()
        .filter(|text| !matches!(text.as_str(), "core" | "ci"))
}

/// The versions that [`CHOICE`] in the environment names, or `everyday` where it names none.
///
/// # Errors
/// When one of them is no version.
pub fn chosen(everyday: &[&str]) -> Result<Vec<GoVersion>> {
    match choice() {
        Some(text) => Ok(text.parse::<super::GoRange>()?.versions().to_vec()),
        None => everyday.iter().copied().map(resolve).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_resolve() {
        let name = |text| resolve(text).map(|v| v.to_string()).ok();
        assert_eq!(name("1.21.13").as_deref(), Some("go1.21.13"));
        assert_eq!(name("go1.9.7").as_deref(), Some("go1.9.7"));
        assert_eq!(name("1.21").as_deref(), Some("go1.21.13"));
        assert_eq!(name("1.20.0").as_deref(), Some("go1.20"));
        assert_eq!(name("1.21.0").as_deref(), Some("go1.21.0"));
        assert_eq!(name("1.21rc2").as_deref(), Some("go1.21rc2"));
        for bad in [
            "",
            "1",
            "go",
            "../1.21",
            "1.21.1 X:foo",
            "1.21-",
            "1.21.13/..",
            "2.0",
        ] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn changes_within_a_minor_version_lie_between_verified_releases() {
        use gondwana_engine::golang::tables::{CONSTANTS, Release, STRUCTURES};
        let verified: Vec<Release> = PATCHES
            .into_iter()
            .chain(LAST_PATCHES)
            .map(Release::from)
            .collect();
        let mut changes: Vec<Release> = Vec::new();
        for structure in STRUCTURES {
            changes.extend(structure.size.iter().map(|change| change.since));
            for field in structure.fields {
                changes.extend(field.offset.iter().map(|change| change.since));
            }
        }
        for constant in CONSTANTS {
            changes.extend(constant.value.iter().map(|change| change.since));
        }
        changes.retain(|since| since.patch > 0);
        changes.sort_unstable();
        changes.dedup();
        assert!(changes.len() >= 5, "{changes:?}");
        for since in changes {
            let of_minor = |one: &&Release| one.minor == since.minor;
            let mut before = verified.iter().filter(of_minor);
            assert!(
                before.any(|&one| one < since),
                "no release before {since:?}"
            );
            let mut after = verified.iter().filter(of_minor);
            assert!(
                after.any(|&one| one >= since),
                "no release from {since:?} on"
            );
        }
    }

    #[test]
    fn every_minor_has_its_last_patch_in_order() {
        let minors: Vec<u16> = LAST_PATCHES.iter().map(|v| v.minor).collect();
        assert_eq!(minors, (OLDEST_MINOR..=NEWEST_MINOR).collect::<Vec<_>>());
    }
}
