//! The TOML file of a table -> data. Whatever is wrong with it is one line, and says where.

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::toolchain::resolve;

/// Reads the file's text.
///
/// # Errors
/// What is wrong, and in which line.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T> {
    toml::from_str(text).map_err(|error| one_line(&error, text))
}

/// Minor versions from one to another, both included; open where nothing is said.
///
/// # Errors
/// When a text is no version.
pub(crate) fn minors(from: Option<&str>, to: Option<&str>) -> Result<(u16, u16)> {
    let minor = |text: Option<&str>, open| match text {
        Some(text) => Ok(resolve(text)?.minor),
        None => anyhow::Ok(open),
    };
    Ok((minor(from, 0)?, minor(to, u16::MAX)?))
}

/// What is wrong, and in which line.
fn one_line(error: &toml::de::Error, text: &str) -> anyhow::Error {
    let message = error.message().replace('\n', " ");
    match error.span().and_then(|span| text.get(..span.start)) {
        Some(before) => {
            anyhow::anyhow!("line {}: {message}", before.matches('\n').count() + 1)
        }
        None => anyhow::anyhow!("{message}"),
    }
}
