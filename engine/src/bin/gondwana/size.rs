//! A size on the command line: bytes, or with a suffix.

use gondwana_engine::inject::budget::Memory;

/// `N`, `NKiB`, `NMiB` or `NGiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let suffixes = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("", 0)];
    suffixes
        .into_iter()
        .find_map(|(suffix, shift)| Some((text.strip_suffix(suffix)?, shift)))
        .and_then(|(number, shift)| number.parse::<u64>().ok()?.checked_mul(1 << shift))
        .filter(|&size| size > 0)
        .ok_or_else(|| "a number of bytes, as 67108864, 65536KiB or 64MiB".to_owned())
}

/// What `--memory` asks for.
pub(crate) fn memory(option: Option<u64>) -> Memory {
    option.map_or(Memory::Default, Memory::AtMost)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_are_powers_of_two() {
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        assert_eq!(bytes("65536KiB"), Ok(64 << 20));
        assert_eq!(bytes("1GiB"), Ok(1 << 30));
        assert_eq!(bytes("4096"), Ok(4096));
        for text in [
            "",
            "0",
            "MiB",
            "64M",
            "64MB",
            "64 MiB",
            "-1",
            "1.5GiB",
            "99999999999GiB",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
