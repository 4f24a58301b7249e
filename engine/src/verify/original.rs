//! What the verifier asks of the program as it was: a trait, so that it can be tested on made-up programs.

use crate::addr::LinkAddr;
use crate::golang::Facts;
use crate::image::Image;

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
}

/// The program that a plan was made for.
pub trait Original {
    /// What holds for its Go version.
    fn facts(&self) -> &Facts;
    /// Built with `-race`.
    fn is_race(&self) -> bool;
    /// `fs:` offset of g.
    fn tls_g(&self) -> Option<i32>;
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
    /// The function that holds `pc`.
    fn function_at(&self, pc: LinkAddr) -> Option<OriginalFunction<'_>>;
    /// What the program's own line table says about the distance to the return address at `pc`.
    fn stack_delta(&self, pc: LinkAddr) -> Option<i32>;
    /// The largest such distance in the function that holds `pc`.
    fn deepest_stack(&self, pc: LinkAddr) -> Option<i32>;
}

impl Original for Image<'_> {
    fn facts(&self) -> &Facts {
        Image::facts(self)
    }
    fn is_race(&self) -> bool {
        Image::is_race(self)
    }
    fn tls_g(&self) -> Option<i32> {
        Image::tls_g(self)
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
    fn function_at(&self, pc: LinkAddr) -> Option<OriginalFunction<'_>> {
        Image::function_at(self, pc).map(|function| OriginalFunction {
            name: function.name,
            entry: function.entry,
            size: function.size,
            args: function.args,
        })
    }
    fn stack_delta(&self, pc: LinkAddr) -> Option<i32> {
        let function = Image::function_at(self, pc)?;
        self.pcsp(function)
            .find(|&(end, _)| pc < end)
            .map(|(_, delta)| delta)
    }
    fn deepest_stack(&self, pc: LinkAddr) -> Option<i32> {
        let function = Image::function_at(self, pc)?;
        self.pcsp(function).map(|(_, delta)| delta).max()
    }
}
