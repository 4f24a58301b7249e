//! The tokens of a Go file -> its imports and its constant declarations, not evaluated (Go specification, "Constant
//! declarations", "Iota").

use std::collections::HashMap;
use std::rc::Rc;

use super::token::{Token, tokens};

/// A constant as declared: the expression and the value of `iota` in it.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) expression: Vec<Token>,
    pub(super) iota: i128,
    pub(super) imports: Rc<HashMap<String, String>>,
    /// The file's name.
    pub(super) file: Rc<str>,
}

/// The constants of one file, added to `constants`. Declarations inside functions are not looked at.
pub(super) fn read(file: &str, text: &str, constants: &mut HashMap<String, Declared>) {
    let all = tokens(text);
    let imports = Rc::new(imports(&all));
    let file: Rc<str> = file.into();
    let mut depth = 0i32;
    let mut at = 0;
    while let Some(token) = all.get(at) {
        at += 1;
        match token {
            Token::Sign("{" | "(" | "[") => depth += 1,
            Token::Sign("}" | ")" | "]") => depth -= 1,
            Token::Word(word) if word == "const" && depth == 0 => {
                let (specifications, len) = specifications(all.get(at..).unwrap_or_default());
                at += len;
                let mut last: Vec<Vec<Token>> = Vec::new();
                for (iota, specification) in specifications.into_iter().enumerate() {
                    let (names, expressions) = split(specification);
                    // An empty list stands for the one before.
                    if !expressions.is_empty() {
                        last = expressions;
                    }
                    for (name, expression) in names.into_iter().zip(&last) {
                        let declared = Declared {
                            expression: expression.clone(),
                            iota: iota as i128,
                            imports: Rc::clone(&imports),
                            file: Rc::clone(&file),
                        };
                        constants.insert(name, declared);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Name in this file -> import path.
fn imports(all: &[Token]) -> HashMap<String, String> {
    let mut out = HashMap::new();
    let mut rest = all.iter();
    while let Some(token) = rest.next() {
        if !matches!(token, Token::Word(word) if word == "import") {
            continue;
        }
        let mut grouped = false;
        let mut alias = None;
        for token in rest.by_ref() {
            match token {
                Token::Sign("(") => grouped = true,
                Token::Word(name) => alias = Some(name.clone()),
                Token::Text(path) => {
                    let last = path.rsplit('/').next().unwrap_or(path);
                    out.insert(
                        alias.take().unwrap_or_else(|| last.to_owned()),
                        path.clone(),
                    );
                }
                Token::Sign(";") if grouped => {}
                _ => break,
            }
        }
    }
    out
}

/// The specifications behind `const`, and how many tokens they take.
fn specifications(rest: &[Token]) -> (Vec<&[Token]>, usize) {
    let grouped = rest.first() == Some(&Token::Sign("("));
    let mut out = Vec::new();
    let mut start = usize::from(grouped);
    let mut depth = 0i32;
    for (at, token) in rest.iter().enumerate().skip(start) {
        match token {
            Token::Sign(")") if depth == 0 => {
                out.extend(rest.get(start..at).filter(|tokens| !tokens.is_empty()));
                return (out, at + 1);
            }
            Token::Sign("(" | "[" | "{") => depth += 1,
            Token::Sign(")" | "]" | "}") => depth -= 1,
            Token::Sign(";") if depth == 0 => {
                out.extend(rest.get(start..at).filter(|tokens| !tokens.is_empty()));
                start = at + 1;
                if !grouped {
                    return (out, start);
                }
            }
            _ => {}
        }
    }
    (out, rest.len())
}

/// A specification -> its names and its expressions; a type between them says nothing here.
fn split(specification: &[Token]) -> (Vec<String>, Vec<Vec<Token>>) {
    let mut names = Vec::new();
    for pair in specification.chunks(2) {
        match pair {
            [Token::Word(name), Token::Sign(",")] => names.push(name.clone()),
            [Token::Word(name), ..] => {
                names.push(name.clone());
                break;
            }
            _ => break,
        }
    }
    let equals = specification
        .iter()
        .position(|token| *token == Token::Sign("="));
    let list = equals.and_then(|at| specification.get(at + 1..));
    let mut expressions: Vec<Vec<Token>> = Vec::new();
    let mut depth = 0i32;
    for token in list.unwrap_or_default() {
        match token {
            Token::Sign("(" | "[" | "{") => depth += 1,
            Token::Sign(")" | "]" | "}") => depth -= 1,
            Token::Sign(",") if depth == 0 => {
                expressions.push(Vec::new());
                continue;
            }
            _ => {}
        }
        match expressions.last_mut() {
            Some(expression) => expression.push(token.clone()),
            None => expressions.push(vec![token.clone()]),
        }
    }
    (names, expressions)
}
