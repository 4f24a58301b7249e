//! A toolchain -> what its structures and constants really are, and where the engine's tables differ from that.
//!
//! Structures come from the DWARF of a net/http program that the toolchain built, constants from the toolchain's own
//! source; the tables ([`gondwana_engine::golang::tables`]) are only what is compared with. Nothing here decides what an
//! engine does with a version.
//!
//! | part | from what to what |
//! |---|---|
//! | `dwarf` | a program -> structures by name |
//! | `source` | a toolchain -> constants by name |
//! | `compare` | both and the tables -> differences |
//! | `rows` | a difference -> the line that the table needs |

pub mod compare;
pub mod dwarf;
pub mod rows;
pub mod source;

use std::collections::HashMap;
use std::fs;

use anyhow::{Context, Result};
use gondwana_engine::golang::GoVersion;
use gondwana_engine::golang::tables::{CONSTANTS, Constant, Place, STRUCTURES};

use crate::build::{Builder, Mode};
use crate::testbins;
use crate::toolchain::Toolchain;

use dwarf::Structs;
use source::Source;

/// The test program whose DWARF is read: it links net/http, client and server.
pub const PROGRAM: &str = "httpserve";

/// What one toolchain really has.
#[derive(Debug)]
pub struct Measured {
    /// The toolchain's version.
    pub version: GoVersion,
    /// The structures that the tables name, and those inside them.
    pub structs: Structs,
    /// The constants that the tables name, by name and whether the race detector is on.
    pub constants: HashMap<(&'static str, bool), i64>,
}

impl Measured {
    /// Builds the program, reads its DWARF and the toolchain's source.
    ///
    /// # Errors
    /// The program cannot be built or read; a constant is no integer expression.
    pub fn of(toolchain: &Toolchain, builder: &Builder) -> Result<Self> {
        let version = toolchain.version();
        let program = builder.build(toolchain, &testbins::case(PROGRAM)?.dir, Mode::Static)?;
        let file = fs::read(&program).with_context(|| format!("read {}", program.display()))?;
        let wanted = |name: &str| STRUCTURES.iter().any(|structure| structure.name == name);
        let structs = Structs::read(&file, wanted)
            .with_context(|| format!("the DWARF of {}", program.display()))?;
        let mut sources = [Source::of(toolchain, false), Source::of(toolchain, true)];
        let mut constants = HashMap::new();
        for constant in CONSTANTS {
            let source = &mut sources[usize::from(constant.race)];
            if let Some(value) = value(source, constant)? {
                constants.insert((constant.name, constant.race), value);
            }
        }
        Ok(Self {
            version,
            structs,
            constants,
        })
    }
}

/// The value of a constant at the first of its places that the toolchain has.
fn value(source: &mut Source<'_>, constant: &Constant) -> Result<Option<i64>> {
    for place in constant.places {
        let found = match place {
            Place::Declared(package, name) => source.constant(package, name)?,
            Place::After(text) => source.expression_after("runtime", "symtab.go", text)?,
        };
        if let Some(value) = found {
            // An address-sized constant such as stackPreempt has its top bit set.
            let value = i64::try_from(value).or_else(|_| u64::try_from(value).map(|v| v as i64));
            let what = || format!("{} does not fit into 64 bits", constant.name);
            return value.with_context(what).map(Some);
        }
    }
    Ok(None)
}
