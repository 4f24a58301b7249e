//! Go source text -> tokens, with the semicolons that the language puts at ends of lines (Go specification, "Lexical
//! elements"). Enough of it for constant declarations: runes and strings are told apart but not read.

/// A token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// An identifier or a keyword.
    Word(String),
    /// An integer.
    Int(i128),
    /// A string, without its quotes; escapes as they stand.
    Text(String),
    /// A rune, or a number that is no integer.
    Other,
    /// An operator or punctuation; `;` also stands for an end of line where the language says so.
    Sign(&'static str),
}

/// Longest first: `&^` before `&`.
const SIGNS: [&str; 27] = [
    "&^", "<<", ">>", "==", "!=", "<=", ">=", "&&", "||", "(", ")", "{", "}", "[", "]", ",", ";",
    ".", "=", "+", "-", "*", "/", "%", "&", "|", "^",
];

/// All tokens of a file. Signs that no constant expression has are left out.
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == '\n' {
            end_line(&mut out);
            rest = &rest[1..];
        } else if let Some(comment) = rest.strip_prefix("//") {
            rest = &comment[comment.find('\n').unwrap_or(comment.len())..];
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment.find("*/").map_or(comment.len(), |at| at + 2);
            // A comment of several lines acts like one end of line.
            if comment[..end].contains('\n') {
                end_line(&mut out);
            }
            rest = &comment[end..];
        } else if first == '_' || first.is_alphabetic() {
            let len = rest
                .find(|c: char| c != '_' && !c.is_alphanumeric())
                .unwrap_or(rest.len());
            out.push(Token::Word(rest[..len].to_owned()));
            rest = &rest[len..];
        } else if first.is_ascii_digit() {
            let len = rest
                .find(|c: char| c != '_' && c != '.' && !c.is_alphanumeric())
                .unwrap_or(rest.len());
            out.push(integer(&rest[..len]).map_or(Token::Other, Token::Int));
            rest = &rest[len..];
        } else if matches!(first, '"' | '`' | '\'') {
            let len = quoted(rest, first);
            out.push(match first {
                '\'' => Token::Other,
                _ => Token::Text(rest[1..len].trim_end_matches(first).to_owned()),
            });
            rest = &rest[len..];
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            out.push(Token::Sign(sign));
            rest = &rest[sign.len()..];
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    end_line(&mut out);
    out
}

fn end_line(out: &mut Vec<Token>) {
    let ends = !matches!(
        out.last(),
        None | Some(Token::Sign(
            "&^" | "<<"
                | ">>"
                | "=="
                | "!="
                | "<="
                | ">="
                | "&&"
                | "||"
                | "("
                | "{"
                | "["
                | ","
                | ";"
                | "."
                | "="
                | "+"
                | "-"
                | "*"
                | "/"
                | "%"
                | "&"
                | "|"
                | "^"
        ))
    );
    if ends {
        out.push(Token::Sign(";"));
    }
}

/// Bytes of the string or rune at the start of `text`, both quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn integer(text: &str) -> Option<i128> {
    let digits = text.replace('_', "").to_ascii_lowercase();
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits.as_str()),
    };
    i128::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_strings_and_ends_of_lines() {
        let word = |text: &str| Token::Word(text.to_owned());
        let text = "const a = 0x1_0 // b\n/* c\n*/ x = 'd' &^ \"e\\\"f\" +\n1.5\n";
        let expected = [
            word("const"),
            word("a"),
            Token::Sign("="),
            Token::Int(16),
            Token::Sign(";"),
            word("x"),
            Token::Sign("="),
            Token::Other,
            Token::Sign("&^"),
            Token::Text("e\\\"f".to_owned()),
            Token::Sign("+"),
            Token::Other,
            Token::Sign(";"),
        ];
        assert_eq!(tokens(text), expected);
    }
}
