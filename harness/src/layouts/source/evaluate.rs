//! A constant integer expression -> its value (Go specification, "Constant expressions", "Operators").
//!
//! Knows integers, `iota`, names, conversions and the operators on integers. Whatever else occurs is an error that names
//! it, never a guess.

use anyhow::{Context, Result, bail};

use super::token::Token;

/// A value with what its type changes about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Value {
    pub(super) int: i128,
    /// Of a type that has 64 bits and no sign: `^` keeps to them.
    unsigned: bool,
}

/// Answers what names stand for.
pub(super) trait Names {
    /// The value of `name`, or of `package.name`; `None` if there is no such constant.
    fn value(&mut self, package: Option<&str>, name: &str) -> Result<Option<i128>>;
}

/// The value of `expression`.
pub(super) fn evaluate(expression: &[Token], iota: i128, names: &mut dyn Names) -> Result<i128> {
    let mut parser = Parser {
        rest: expression,
        iota,
        names,
    };
    let value = parser.binary(1)?;
    match parser.rest.first() {
        None => Ok(value.int),
        Some(token) => bail!("{token:?} after an expression"),
    }
}

struct Parser<'a> {
    rest: &'a [Token],
    iota: i128,
    names: &'a mut dyn Names,
}

/// Precedence of a binary operator, 5 the strongest.
fn precedence(token: Option<&Token>) -> Option<(u8, &'static str)> {
    match token? {
        Token::Sign(sign @ ("*" | "/" | "%" | "<<" | ">>" | "&" | "&^")) => Some((5, sign)),
        Token::Sign(sign @ ("+" | "-" | "|" | "^")) => Some((4, sign)),
        _ => None,
    }
}

impl Parser<'_> {
    fn binary(&mut self, weakest: u8) -> Result<Value> {
        let mut left = self.unary()?;
        while let Some((strength, sign)) = precedence(self.rest.first()) {
            if strength < weakest {
                break;
            }
            self.skip();
            let right = self.binary(strength + 1)?;
            left = apply(left, sign, right)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Value> {
        match self.rest.first() {
            Some(Token::Sign(sign @ ("-" | "+" | "^"))) => {
                self.skip();
                let value = self.unary()?;
                let int = match *sign {
                    "-" => value.int.checked_neg().context("a number too large")?,
                    "^" if value.unsigned => !value.int & i128::from(u64::MAX),
                    "^" => !value.int,
                    _ => value.int,
                };
                Ok(Value { int, ..value })
            }
            _ => self.operand(),
        }
    }

    fn operand(&mut self) -> Result<Value> {
        let token = self.rest.first().context("an expression that ends early")?;
        self.skip();
        let plain = |int| Value {
            int,
            unsigned: false,
        };
        match token {
            Token::Int(int) => Ok(plain(*int)),
            Token::Sign("(") => {
                let value = self.binary(1)?;
                self.close()?;
                Ok(value)
            }
            Token::Word(word) if word == "iota" => Ok(plain(self.iota)),
            Token::Word(word) => {
                let (package, name) = match self.rest {
                    [Token::Sign("."), Token::Word(name), ..] => {
                        self.skip();
                        self.skip();
                        (Some(word.as_str()), name)
                    }
                    _ => (None, word),
                };
                if self.rest.first() == Some(&Token::Sign("(")) {
                    if package == Some("unsafe") {
                        bail!("unsafe.{name}, which is not evaluated");
                    }
                    // A conversion.
                    self.skip();
                    let value = self.binary(1)?;
                    self.close()?;
                    let unsigned = matches!(name.as_str(), "uintptr" | "uint64" | "uint");
                    return Ok(Value { unsigned, ..value });
                }
                let value = self.names.value(package, name)?;
                let full = || format!("`{name}` is no constant that was found");
                Ok(plain(value.with_context(full)?))
            }
            other => bail!("{other:?} in a constant expression"),
        }
    }

    fn close(&mut self) -> Result<()> {
        match self.rest.first() {
            Some(Token::Sign(")")) => self.skip(),
            other => bail!("{other:?} in place of `)`"),
        }
        Ok(())
    }

    fn skip(&mut self) {
        self.rest = self.rest.get(1..).unwrap_or_default();
    }
}

fn apply(left: Value, sign: &str, right: Value) -> Result<Value> {
    let (a, b) = (left.int, right.int);
    let count = || u32::try_from(b).ok().filter(|&count| count < 120);
    let int = match sign {
        "*" => a.checked_mul(b),
        "/" => a.checked_div(b),
        "%" => a.checked_rem(b),
        "<<" => count().and_then(|count| a.checked_mul(1i128 << count)),
        ">>" => count().map(|count| a >> count),
        "&" => Some(a & b),
        "&^" => Some(a & !b),
        "+" => a.checked_add(b),
        "-" => a.checked_sub(b),
        "|" => Some(a | b),
        _ => Some(a ^ b),
    };
    Ok(Value {
        int: int.with_context(|| format!("{a} {sign} {b} has no value"))?,
        unsigned: left.unsigned || (right.unsigned && !matches!(sign, "<<" | ">>")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::token::tokens;
    use super::*;

    struct One;

    impl Names for One {
        fn value(&mut self, package: Option<&str>, name: &str) -> Result<Option<i128>> {
            Ok((package.is_none() && name == "one").then_some(1))
        }
    }

    fn value(text: &str) -> Result<i128> {
        let mut tokens = tokens(text);
        if tokens.last() == Some(&Token::Sign(";")) {
            tokens.pop();
        }
        evaluate(&tokens, 3, &mut One)
    }

    #[test]
    fn expressions_of_the_runtime() {
        for (text, expected) in [
            ("1 + 2*3 - 4", 3),
            ("1 << iota", 8),
            ("(one + 1) &^ 2", 0),
            ("4 << (^uintptr(0) >> 63)", 8),
            ("(1<<(8*8) - 1) & -1314", 0xffff_ffff_ffff_fade),
            ("880*1 + 0*512*8", 880),
            ("FuncID(^0)", -1),
        ] {
            assert_eq!(value(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in [
            "two",
            "pkg.one",
            "unsafe.Sizeof(x)",
            "1 +",
            "\"a\"",
            "1 / 0",
            "1 1",
            "(1",
            "1 << 500",
            "len(x)",
        ] {
            assert!(value(text).is_err(), "{text}");
        }
    }
}
