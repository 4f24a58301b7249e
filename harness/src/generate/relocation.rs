//! A site and its relocated window -> [`Case`], everything that is needed to run both, here or on another machine.
//!
//! A case is inert and self-contained: it is what the case directory of a failing check holds. It executes nothing.

use gondwana_engine::addr::{LinkAddr, RunAddr, Slide};
use gondwana_engine::golang::{Abi, GoVersion};
use gondwana_engine::image::Image;
use gondwana_engine::relocate::Relocated;
use gondwana_engine::site::{Site, StackCheck};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, RflagsBits};
use serde::{Deserialize, Serialize};

use crate::outcome::FLAGS;

/// One function's first instructions in both forms; addresses are those of the process.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Case {
    /// The function's name.
    pub function: String,
    /// The binary's Go version: it decides where `g` has its fields.
    pub version: GoVersion,
    /// Offset of `g` from FS.
    pub tls_g: i32,
    /// How the function takes its arguments.
    pub abi: Abi,
    /// Address of the function.
    pub entry: u64,
    /// Its size.
    pub size: u32,
    /// The displaced bytes.
    #[serde(with = "hex")]
    pub window: Vec<u8>,
    /// The bytes behind them up to the end of the stack check: run in place by both.
    #[serde(with = "hex")]
    pub follow: Vec<u8>,
    /// Where the relocated window lies.
    pub relocated_at: u64,
    /// The relocated window with its jump back.
    #[serde(with = "hex")]
    pub relocated: Vec<u8>,
    /// Original instruction -> relocated instruction.
    pub moved: Vec<(u64, u64)>,
    /// The stack check.
    pub check: Option<Check>,
    /// The flags that are defined after the window.
    pub defined_flags: u64,
    /// Seed of the states in which it is tried.
    pub seed: u64,
    /// Memory that the window addresses relative to RIP.
    pub data: Vec<Data>,
}

/// [`StackCheck`] in the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Check {
    /// One past its last byte.
    pub end: u64,
    /// Where it goes with too little stack.
    pub morestack: u64,
}

/// Bytes of the image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Data {
    /// Where.
    pub at: u64,
    /// What.
    #[serde(with = "hex")]
    pub bytes: Vec<u8>,
}

impl Case {
    /// The case of one site. `None` if the image does not hold the bytes that the site names.
    #[must_use]
    pub fn new(
        image: &Image<'_>,
        site: &Site<'_>,
        slide: Slide,
        at: RunAddr,
        relocated: &Relocated,
        seed: u64,
    ) -> Option<Self> {
        let entry = site.function.entry;
        let window = image.bytes(entry, usize::from(site.window_len))?;
        let behind = entry.checked_add(u64::from(site.window_len))?;
        let follow = match site.stack_check {
            Some(StackCheck { end, .. }) => image.bytes(
                behind,
                usize::try_from(end.offset_from(behind).unwrap_or(0)).ok()?,
            )?,
            None => &[],
        };
        Some(Self {
            function: site.function.name.to_owned(),
            version: image.version(),
            tls_g: image.tls_g().unwrap_or(-8),
            abi: site.abi,
            entry: slide.run(entry).get(),
            size: site.function.size,
            window: window.to_owned(),
            follow: follow.to_owned(),
            relocated_at: at.get(),
            relocated: relocated.bytes.clone(),
            moved: relocated
                .moved
                .iter()
                .map(|(a, b)| (a.get(), b.get()))
                .collect(),
            check: site
                .stack_check
                .filter(|_| !calls(window, follow))
                .map(|check| Check {
                    end: slide.run(check.end).get(),
                    morestack: slide.run(check.morestack).get(),
                }),
            defined_flags: defined_flags(&site.displaced),
            seed,
            data: data(image, site, slide),
        })
    }

    /// One past the last byte that is run in place.
    #[must_use]
    pub fn span_end(&self) -> u64 {
        self.entry + (self.window.len() + self.follow.len()) as u64
    }

    /// One past the last byte of the relocated window.
    #[must_use]
    pub fn relocated_end(&self) -> u64 {
        self.relocated_at + self.relocated.len() as u64
    }

    /// The relocated form of the instruction at `pc`; instructions that were not displaced stay where they are.
    #[must_use]
    pub fn moved_to(&self, pc: u64) -> Option<u64> {
        if pc >= self.entry + self.window.len() as u64 {
            return Some(pc);
        }
        self.moved
            .iter()
            .find(|(from, _)| *from == pc)
            .map(|(_, to)| *to)
    }

    /// How this case may be run together with others.
    #[must_use]
    pub fn company(&self) -> Company {
        let bytes = [self.window.as_slice(), self.follow.as_slice()].concat();
        let code = [(self.entry, &bytes), (self.relocated_at, &self.relocated)];
        code.into_iter()
            .flat_map(|(at, code)| Decoder::with_ip(64, code, at, DecoderOptions::NONE))
            .map(|instruction| self.company_of(&instruction))
            .max()
            .unwrap_or(Company::Any)
    }

    fn company_of(&self, instruction: &Instruction) -> Company {
        let within = |low: u64, high: u64, at: u64| (low..high).contains(&at);
        match instruction.flow_control() {
            FlowControl::IndirectBranch | FlowControl::IndirectCall => Company::Alone,
            FlowControl::Call
            | FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch => {
                let target = instruction.near_branch_target();
                let own = within(self.entry, self.span_end(), target)
                    && within(self.entry, self.span_end(), instruction.ip())
                    || within(self.relocated_at, self.relocated_end(), target);
                if own && target <= instruction.ip() {
                    Company::Guarded
                } else if own || within(self.entry, self.entry + u64::from(self.size), target) {
                    Company::Any
                } else {
                    Company::Alone
                }
            }
            _ => Company::Any,
        }
    }
}

/// With which other cases one may share the text area.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Company {
    /// Control stays in the function.
    Any,
    /// It may go to another function's entry, where that function's window must not stand.
    Alone,
    /// It branches back into itself, so it may loop.
    Guarded,
}

/// Whether control leaves by a call before it comes to the stack check (builds with `-d=maymorestack`): then the check
/// decides nothing here.
fn calls(window: &[u8], follow: &[u8]) -> bool {
    let code = [window, follow].concat();
    Decoder::new(64, &code, DecoderOptions::NONE)
        .into_iter()
        .any(|instruction| instruction.flow_control() == FlowControl::Call)
}

/// What the SDM defines after a straight run through `instructions`.
fn defined_flags(instructions: &[Instruction]) -> u64 {
    let undefined = instructions.iter().fold(0, |undefined, instruction| {
        let settled =
            instruction.rflags_written() | instruction.rflags_cleared() | instruction.rflags_set();
        (undefined & !settled) | instruction.rflags_undefined()
    });
    let bits = [
        (RflagsBits::CF, 0x0001_u64),
        (RflagsBits::PF, 0x0004),
        (RflagsBits::AF, 0x0010),
        (RflagsBits::ZF, 0x0040),
        (RflagsBits::SF, 0x0080),
        (RflagsBits::DF, 0x0400),
        (RflagsBits::OF, 0x0800),
    ];
    bits.iter()
        .filter(|(bit, _)| undefined & bit != 0)
        .fold(FLAGS, |flags, (_, mask)| flags & !mask)
}

/// The RIP-relative operands' bytes, as far as the file has them.
fn data(image: &Image<'_>, site: &Site<'_>, slide: Slide) -> Vec<Data> {
    site.displaced
        .iter()
        .filter(|i| i.is_ip_rel_memory_operand())
        .filter_map(|i| {
            let at = LinkAddr::new(i.ip_rel_memory_address());
            let bytes = image.bytes(at, i.memory_size().size().max(1))?;
            Some(Data {
                at: slide.run(at).get(),
                bytes: bytes.to_owned(),
            })
        })
        .collect()
}

/// Bytes as hexadecimal text in JSON.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&bytes.iter().map(|b| format!("{b:02x}")).collect::<String>())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        if !text.is_ascii() || text.len() % 2 != 0 {
            return Err(D::Error::custom("expected pairs of hexadecimal digits"));
        }
        (0..text.len() / 2)
            .map(|i| {
                u8::from_str_radix(text.get(2 * i..2 * i + 2).unwrap_or_default(), 16)
                    .map_err(D::Error::custom)
            })
            .collect()
    }
}
