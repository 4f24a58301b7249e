//! Words of a crash that only the hooked run says. No mask and no varying place covers them.

/// What the Go runtime, its sanitizers and the C library print when a program dies (runtime/panic.go, `printpanics`,
/// `throw`; runtime/signal_unix.go, `fatalsignal`; runtime/race).
const WORDS: [&str; 13] = [
    "panic:",
    "fatal error:",
    "fatal: morestack",
    "runtime: ",
    "runtime error:",
    "unexpected fault address",
    "unexpected return pc",
    "SIGSEGV",
    "SIGILL",
    "SIGBUS",
    "[signal ",
    "WARNING: DATA RACE",
    "Segmentation fault",
];

/// The first line of the hooked run that has such a word which no unhooked run has.
pub(super) fn only_hooked(unhooked: &[&[u8]], hooked: &[u8]) -> Option<String> {
    let has = |text: &[u8], word: &str| memchr::memmem::find(text, word.as_bytes()).is_some();
    WORDS
        .iter()
        .filter(|word| has(hooked, word) && !unhooked.iter().any(|text| has(text, word)))
        .filter_map(|word| {
            let line = hooked
                .split(|&byte| byte == b'\n')
                .find(|line| has(line, word))?;
            Some(String::from_utf8_lossy(line.get(..200).unwrap_or(line)).into_owned())
        })
        .next()
}
