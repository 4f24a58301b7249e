//! What the verifier asks of the program as it was: a trait, so that it can be tested on made-up programs.

use crate::addr::LinkAddr;
use crate::golang::{Facts, GoVersion};
use crate::image::{Function, Image};

/// A function of the original program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OriginalFunction<'a> {
    /// Its name in the line table.
    pub name: &'a str,
    /// Its entry.
    pub entry: LinkAddr,
    /// Bytes up to the next function.
    pub size: u32,
    /// `_func.args`, where known.
    pub args: Option<u32>,
    /// `_func.flag`; 0 where the version has none.
    pub flags: u8,
    /// `_func.funcID`; 0 where the version has none.
    pub func_id: u8,
    /// Whether it has a map of the pointers in its arguments.
    pub has_args_map: bool,
    /// Whether it has one of those in its locals.
    pub has_locals_map: bool,
}

impl<'a> From<&Function<'a>> for OriginalFunction<'a> {
    fn from(function: &Function<'a>) -> Self {
        Self {
            name: function.name,
            entry: function.entry,
            size: function.size,
            args: function.args,
            flags: function.flags,
            func_id: function.func_id,
            has_args_map: function.has_args_map,
            has_locals_map: function.has_locals_map,
        }
    }
}

/// The program that a plan was made for.
pub trait Original {
    /// Its Go version.
    fn version(&self) -> GoVersion;
    /// The version that it is taken to be like, if its own is not known.
    fn assumed_like(&self) -> Option<GoVersion>;
    /// What holds for that.
    fn facts(&self) -> &Facts;
    /// Built with `-race`.
    fn is_race(&self) -> bool;
    /// The ranges `[start, end)` that its `go:fipsinfo` says are hashed.
    fn hashed_text(&self) -> Vec<(LinkAddr, LinkAddr)>;
    /// `fs:` offset of g.
    fn tls_g(&self) -> Option<i32>;
    /// `runtime.maxstacksize`, the variable. Taken from the image; that it is a variable which the file sets to 1 MiB is
    /// looked at here.
    fn max_stack_size(&self) -> Option<LinkAddr>;
    /// Bytes of a loaded, file-backed segment.
    fn bytes(&self, at: LinkAddr, len: usize) -> Option<&[u8]>;
    /// A pointer as the loader leaves it, for a slide of 0.
    fn pointer(&self, at: LinkAddr) -> Option<u64>;
    /// `runtime.firstmoduledata`
    fn first_moduledata(&self) -> LinkAddr;
    /// `runtime.lastmoduledatap`, the variable.
    fn last_moduledatap(&self) -> Option<LinkAddr>;
    /// Lowest and one past the highest address of the loaded segments.
    fn extent(&self) -> (LinkAddr, LinkAddr);
    /// All functions.
    fn functions(&self) -> Box<dyn Iterator<Item = OriginalFunction<'_>> + '_>;
    /// The function that holds `pc`.
    fn function_at(&self, pc: LinkAddr) -> Option<OriginalFunction<'_>>;
    /// What the program's own line table says about the distance to the return address at `pc`.
    fn stack_delta(&self, pc: LinkAddr) -> Option<i32>;
    /// All of these distances in the function that holds `pc`: each holds below an address.
    fn stack_steps(&self, pc: LinkAddr) -> Vec<(LinkAddr, i32)>;
}

impl Original for Image<'_> {
    fn version(&self) -> GoVersion {
        Image::version(self)
    }
    fn assumed_like(&self) -> Option<GoVersion> {
        Image::assumed_like(self)
    }
    fn facts(&self) -> &Facts {
        Image::facts(self)
    }
    fn is_race(&self) -> bool {
        Image::is_race(self)
    }
    fn hashed_text(&self) -> Vec<(LinkAddr, LinkAddr)> {
        Image::hashed_text(self)
    }
    fn tls_g(&self) -> Option<i32> {
        Image::tls_g(self)
    }
    fn max_stack_size(&self) -> Option<LinkAddr> {
        Image::max_stack_size(self)
    }
    fn bytes(&self, at: LinkAddr, len: usize) -> Option<&[u8]> {
        Image::bytes(self, at, len)
    }
    fn pointer(&self, at: LinkAddr) -> Option<u64> {
        Image::pointer(self, at)
    }
    fn first_moduledata(&self) -> LinkAddr {
        Image::first_moduledata(self)
    }
    fn last_moduledatap(&self) -> Option<LinkAddr> {
        Image::last_moduledatap(self)
    }
    fn extent(&self) -> (LinkAddr, LinkAddr) {
        Image::extent(self)
    }
    fn functions(&self) -> Box<dyn Iterator<Item = OriginalFunction<'_>> + '_> {
        Box::new(Image::functions(self).iter().map(OriginalFunction::from))
    }
    fn function_at(&self, pc: LinkAddr) -> Option<OriginalFunction<'_>> {
        Image::function_at(self, pc).map(OriginalFunction::from)
    }
    fn stack_delta(&self, pc: LinkAddr) -> Option<i32> {
        let function = Image::function_at(self, pc)?;
        self.pcsp(function)
            .find(|&(end, _)| pc < end)
            .map(|(_, delta)| delta)
    }
    fn stack_steps(&self, pc: LinkAddr) -> Vec<(LinkAddr, i32)> {
        Image::function_at(self, pc)
            .map(|function| self.pcsp(function).collect())
            .unwrap_or_default()
    }
}
