//! Addresses as types, so that a file offset is never used as an address, nor a link-time address in a process.
//!
//! * [`FileOffset`]: a position in the file on disk.
//! * [`LinkAddr`]: a virtual address as the ELF file states it (`p_vaddr`, `st_value`, pclntab entries).
//! * [`RunAddr`]: a virtual address in a live process.
//! * [`Slide`]: `RunAddr - LinkAddr`, one per loaded image (0 for `ET_EXEC`, System V gABI "Program Loading").
//!
//! There is no `+` on addresses: [`LinkAddr::checked_add`] and friends say what happens at the end of the space.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a raw value read from a file, a register or the kernel.
            #[must_use]
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// The raw value, for encoding it into bytes or handing it to the kernel.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }

            /// `self + bytes`, or `None` past the end of the address space.
            #[must_use]
            pub const fn checked_add(self, bytes: u64) -> Option<Self> {
                match self.0.checked_add(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// `self - bytes`, or `None` below zero.
            #[must_use]
            pub const fn checked_sub(self, bytes: u64) -> Option<Self> {
                match self.0.checked_sub(bytes) {
                    Some(raw) => Some(Self(raw)),
                    None => None,
                }
            }

            /// Bytes from `base` up to `self`, or `None` if `self` lies below `base`.
            #[must_use]
            pub const fn offset_from(self, base: Self) -> Option<u64> {
                self.0.checked_sub(base.0)
            }

            /// The least address not below `self` that is a multiple of `align` (a power of two).
            #[must_use]
            pub const fn align_up(self, align: u64) -> Option<Self> {
                match self.0.checked_add(align - 1) {
                    Some(raw) => Some(Self(raw & !(align - 1))),
                    None => None,
                }
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }

        impl fmt::LowerHex for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::LowerHex::fmt(&self.0, f)
            }
        }
    };
}

address! {
    /// A position in the file on disk.
    FileOffset
}
address! {
    /// A virtual address as the file states it.
    LinkAddr
}
address! {
    /// A virtual address in a live (or emulated) process.
    RunAddr
}

/// How far an image was moved by the loader: `RunAddr - LinkAddr`, modulo 2⁶⁴.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slide(u64);

impl Slide {
    /// The slide of `ET_EXEC` files.
    pub const ZERO: Self = Self(0);

    /// The slide that takes `link` to `run`.
    #[must_use]
    pub const fn between(link: LinkAddr, run: RunAddr) -> Self {
        Self(run.0.wrapping_sub(link.0))
    }

    /// Where `link` lies in the process. Wraps, as the loader's own arithmetic does.
    #[must_use]
    pub const fn run(self, link: LinkAddr) -> RunAddr {
        RunAddr(link.0.wrapping_add(self.0))
    }

    /// Which link-time address `run` has.
    #[must_use]
    pub const fn link(self, run: RunAddr) -> LinkAddr {
        LinkAddr(run.0.wrapping_sub(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_is_checked_at_both_ends() {
        assert_eq!(LinkAddr::new(u64::MAX).checked_add(1), None);
        assert_eq!(LinkAddr::new(0).checked_sub(1), None);
        assert_eq!(RunAddr::new(5).offset_from(RunAddr::new(6)), None);
        assert_eq!(
            RunAddr::new(0x1001).align_up(0x1000),
            Some(RunAddr::new(0x2000))
        );
        assert_eq!(RunAddr::new(u64::MAX).align_up(0x1000), None);
    }

    #[test]
    fn a_slide_goes_both_ways() {
        let slide = Slide::between(LinkAddr::new(0x40_0000), RunAddr::new(0x5555_5540_0000));
        let link = LinkAddr::new(0x40_1234);
        assert_eq!(slide.link(slide.run(link)), link);
        assert_eq!(Slide::ZERO.run(link).get(), link.get());
    }
}
