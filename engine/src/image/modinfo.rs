//! The text that `go version -m` prints, line by line -> [`ModInfo`]. Source: `runtime/debug/mod.go`
//! (`ParseBuildInfo`).

use std::borrow::Cow;

/// The marks around the text in the file (`cmd/go/internal/modload/build.go`, `infoStart` and `infoEnd`).
const START: [u8; 16] = *b"\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6";
const END: [u8; 16] = *b"\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2";

/// A module of the build.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
pub struct ModuleVersion<'d> {
    /// Its path.
    pub path: &'d str,
    /// Its version.
    pub version: &'d str,
    /// Its checksum; empty for the main module and local replacements.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub sum: &'d str,
}

/// One line of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line<'d> {
    /// Import path of the main package.
    Path(&'d str),
    /// The main module.
    Main(ModuleVersion<'d>),
    /// A dependency.
    Dependency(ModuleVersion<'d>),
    /// What replaces the module of the line before.
    Replacement(ModuleVersion<'d>),
    /// A build setting (1.18 and later).
    Setting(&'d str, Cow<'d, str>),
    /// A line of a known kind that is not well formed: `ParseBuildInfo` refuses the whole text because of it.
    Malformed(&'d str),
    /// Any other line; `ParseBuildInfo` passes it over.
    Other(&'d str),
}

/// Module information; nothing is stored but the text itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ModInfo<'d> {
    text: &'d str,
}

impl<'d> ModInfo<'d> {
    /// Module information without its marks.
    #[cfg(any(test, feature = "test-support"))]
    pub(crate) const fn from_text(text: &'d str) -> Self {
        Self { text }
    }

    /// The text between the marks: all of `framed` but its first and last 16 bytes. Its last line must be whole, as
    /// `debug/buildinfo` wants it.
    pub(super) fn framed(framed: &'d [u8]) -> Option<Self> {
        let end = framed.len().checked_sub(END.len())?;
        let text = framed.get(START.len()..end)?;
        text.ends_with(b"\n").then(|| Self::text(text))?
    }

    /// The text between the first pair of marks in `bytes`.
    pub(super) fn find(bytes: &'d [u8]) -> Option<Self> {
        let start = memchr::memmem::find(bytes, &START)? + START.len();
        let rest = bytes.get(start..)?;
        Self::text(rest.get(..memchr::memmem::find(rest, &END)?)?)
    }

    fn text(bytes: &'d [u8]) -> Option<Self> {
        Some(Self {
            text: std::str::from_utf8(bytes).ok()?,
        })
    }

    /// The whole text, as `go version -m` prints it but for the leading tabs.
    #[must_use]
    pub fn as_str(&self) -> &'d str {
        self.text
    }

    /// Its lines. What follows the last newline is no line.
    pub fn lines(&self) -> impl Iterator<Item = Line<'d>> + use<'d> {
        self.text
            .split_inclusive('\n')
            .filter_map(|text| text.strip_suffix('\n'))
            .map(line)
    }

    /// Import path of the main package.
    #[must_use]
    pub fn path(&self) -> Option<&'d str> {
        self.lines().find_map(|line| {
            if let Line::Path(path) = line {
                Some(path)
            } else {
                None
            }
        })
    }

    /// The main module.
    #[must_use]
    pub fn main(&self) -> Option<ModuleVersion<'d>> {
        self.lines().find_map(|line| {
            if let Line::Main(module) = line {
                Some(module)
            } else {
                None
            }
        })
    }

    /// The build setting `key`: `-race`, `CGO_ENABLED`, `vcs.revision`, …
    #[must_use]
    pub fn setting(&self, key: &str) -> Option<Cow<'d, str>> {
        self.lines().find_map(|line| match line {
            Line::Setting(name, value) if name == key => Some(value),
            _ => None,
        })
    }
}

fn line(text: &str) -> Line<'_> {
    let known = text.split_once('\t').and_then(|(kind, rest)| match kind {
        "path" => Some(Some(Line::Path(rest))),
        "mod" => Some(module(rest).map(Line::Main)),
        "dep" => Some(module(rest).map(Line::Dependency)),
        // A replacement always has its column for the sum.
        "=>" => Some(
            module(rest)
                .filter(|_| rest.matches('\t').count() == 2)
                .map(Line::Replacement),
        ),
        "build" => Some(setting(rest).map(|(key, value)| Line::Setting(key, value))),
        _ => None,
    });
    match known {
        Some(line) => line.unwrap_or(Line::Malformed(text)),
        None => Line::Other(text),
    }
}

/// Path, version and, where there is one, the sum.
fn module(text: &str) -> Option<ModuleVersion<'_>> {
    let mut parts = text.split('\t');
    let module = ModuleVersion {
        path: parts.next()?,
        version: parts.next()?,
        sum: parts.next().unwrap_or_default(),
    };
    parts.next().is_none().then_some(module)
}

/// `key=value`, either of them quoted as in Go source if it holds what would break the line.
fn setting(text: &str) -> Option<(&str, Cow<'_, str>)> {
    let is_plain = |text: &str| !text.contains([' ', '\t', '\r', '"', '`']);
    let (key, value) = match text.chars().next()? {
        quote @ ('"' | '`') => {
            // No key needs escapes, so none is read: only the quotes are taken off.
            let (key, rest) = text.get(1..)?.split_once(quote)?;
            if quote == '"' && key.contains('\\') {
                return None;
            }
            (key, rest.strip_prefix('=')?)
        }
        _ => text
            .split_once('=')
            .filter(|(key, _)| !key.is_empty() && is_plain(key))?,
    };
    let value = match value.chars().next() {
        Some('`') => {
            let inner = value.get(1..)?.strip_suffix('`')?;
            Cow::Borrowed((!inner.contains('`')).then_some(inner)?)
        }
        Some('"') => unquote(value.get(1..)?.strip_suffix('"')?)?,
        _ => Cow::Borrowed(is_plain(value).then_some(value)?),
    };
    Some((key, value))
}

/// The inside of an interpreted Go string literal (`strconv.Unquote`).
fn unquote(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return (!text.contains('"')).then_some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        if plain.contains('"') {
            return None;
        }
        out.extend_from_slice(plain.as_bytes());
        rest = unescape(escape, &mut out)?;
    }
    if rest.contains('"') {
        return None;
    }
    out.extend_from_slice(rest.as_bytes());
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// Appends what the escape at the start of `text` (after its backslash) stands for; gives what follows it.
fn unescape<'t>(text: &'t str, out: &mut Vec<u8>) -> Option<&'t str> {
    let kind = text.chars().next()?;
    let after = text.get(kind.len_utf8()..)?;
    let number = |digits: &str, radix| u32::from_str_radix(digits, radix).ok();
    match kind {
        'x' => out.push(u8::try_from(number(after.get(..2)?, 16)?).ok()?),
        '0'..='7' => out.push(u8::try_from(number(text.get(..3)?, 8)?).ok()?),
        'u' | 'U' => {
            let digits = after.get(..if kind == 'u' { 4 } else { 8 })?;
            let char = char::from_u32(number(digits, 16)?)?;
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        }
        'a' => out.push(7),
        'b' => out.push(8),
        't' => out.push(b'\t'),
        'n' => out.push(b'\n'),
        'v' => out.push(11),
        'f' => out.push(12),
        'r' => out.push(b'\r'),
        '\\' | '"' | '\'' => out.push(kind as u8),
        _ => return None,
    }
    let digits = match kind {
        'x' | '0'..='7' => 2,
        'u' => 4,
        'U' => 8,
        _ => 0,
    };
    after.get(digits..)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "path\texample.com/cmd\nmod\texample.com\tv1.2.3\th1:abc=\ndep\tgolang.org/x/sys\tv0.1.0\n\
        =>\t./sys\t(devel)\t\nbuild\t-race=true\nbuild\t-ldflags=\"-X \\\"a=b c\\\" \\u00e9\\x41\\101\"\n\
        build\t\"odd key\"=`raw \\n`\nbuild\tnothing\nfuture\tline\n";

    #[test]
    fn every_kind_of_line_is_read() {
        let info = ModInfo::text(TEXT.as_bytes()).unwrap();
        assert_eq!(info.path(), Some("example.com/cmd"));
        assert_eq!(info.main().unwrap().sum, "h1:abc=");
        assert_eq!(info.setting("-race").as_deref(), Some("true"));
        assert_eq!(
            info.setting("-ldflags").as_deref(),
            Some("-X \"a=b c\" éAA")
        );
        assert_eq!(info.setting("odd key").as_deref(), Some("raw \\n"));
        let lines: Vec<_> = info.lines().collect();
        assert_eq!(
            lines[2],
            Line::Dependency(ModuleVersion {
                path: "golang.org/x/sys",
                version: "v0.1.0",
                sum: ""
            })
        );
        assert_eq!(
            lines[3],
            Line::Replacement(ModuleVersion {
                path: "./sys",
                version: "(devel)",
                sum: ""
            })
        );
        assert_eq!(
            lines[7..],
            [
                Line::Malformed("build\tnothing"),
                Line::Other("future\tline")
            ]
        );
    }

    #[test]
    fn the_marks_are_taken_off() {
        let framed = [&START[..], TEXT.as_bytes(), &END].concat();
        assert_eq!(ModInfo::framed(&framed).unwrap().as_str(), TEXT);
        let among_others = [b"xyz", &framed[..], b"xyz"].concat();
        assert_eq!(ModInfo::find(&among_others).unwrap().as_str(), TEXT);
        assert_eq!(ModInfo::find(&framed[..framed.len() - 1]), None);
        assert_eq!(ModInfo::framed(&framed[..31]), None);
    }

    #[test]
    fn broken_quotes_are_no_setting() {
        for text in [
            "a=\"",
            "a=\"\\",
            "a=\"\\x4\"",
            "a=\"\\q\"",
            "\"a\"b",
            "=",
            "`a=b",
            "a=\"\\U00110000\"",
            "a=\"\\400\"",
            "a=\"b\"c\"",
            "a=\"b\\nc\"d\"",
            "a=`b`c`",
            "a=b c",
            "a b=c",
        ] {
            assert_eq!(setting(text), None, "{text}");
        }
        assert_eq!(setting("a="), Some(("a", "".into())));
    }

    #[test]
    fn lines_are_whole_and_have_their_columns() {
        let lines = |text: &'static str| {
            ModInfo::text(text.as_bytes())
                .unwrap()
                .lines()
                .collect::<Vec<_>>()
        };
        for bad in ["mod\ta\n", "dep\ta\tb\tc\td\n", "=>\ta\tb\n", "build\t\n"] {
            assert!(matches!(lines(bad)[..], [Line::Malformed(_)]), "{bad:?}");
        }
        assert_eq!(lines("path\ta\npath\tcut"), [Line::Path("a")]);
        assert_eq!(lines("path\n"), [Line::Other("path")]);
    }
}
