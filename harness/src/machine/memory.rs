//! The address space of the process: which pages are mapped how (mmap(2), brk(2), mprotect(2)), kept in step with the
//! processor's memory.
//!
//! Mappings without any access are only noted, not made: the Go runtime reserves far more address space than it uses.
//! Addresses are chosen top-down, as Linux does (`mm/mmap.c`, `vm_unmapped_area_topdown`).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use gondwana_engine::addr::RunAddr;
use gondwana_engine::os::{Mapping, Protection};
use unicorn_engine::Prot;

use super::cpu::{Cpu, CpuError};

/// Size of a page.
pub(super) const PAGE: u64 = 4096;
/// Lowest address that can be mapped (`vm.mmap_min_addr`).
const LOWEST: u64 = 0x1_0000;
/// One past the highest user address.
pub(super) const HIGHEST: u64 = 0x7fff_ffff_f000;

/// One mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Region {
    end: u64,
    protection: Protection,
    /// The processor has memory for it.
    backed: bool,
    /// A path or `[name]`.
    name: &'static str,
}

/// The address space.
#[derive(Debug)]
pub(super) struct Space {
    /// By first address. The processor looks here whenever it meets a page for the first time.
    regions: Rc<RefCell<BTreeMap<u64, Region>>>,
    /// Where addresses are chosen below.
    top: u64,
    brk_start: u64,
    brk: u64,
}

const NONE: Protection = Protection {
    read: false,
    write: false,
    execute: false,
};

/// Read and write.
pub(super) const READ_WRITE: Protection = Protection {
    read: true,
    write: true,
    execute: false,
};

fn prot(protection: Protection) -> Prot {
    let mut prot = Prot::NONE;
    if protection.read {
        prot |= Prot::READ;
    }
    if protection.write {
        // x86 has no writable page that cannot be read.
        prot |= Prot::WRITE | Prot::READ;
    }
    if protection.execute {
        prot |= Prot::EXEC | Prot::READ;
    }
    prot
}

impl Space {
    /// An empty space; addresses are chosen below `top`, which is page-aligned.
    #[must_use]
    pub(super) fn new(top: u64) -> Self {
        Self {
            regions: Rc::default(),
            top,
            brk_start: 0,
            brk: 0,
        }
    }

    /// What may be done with the page at an address.
    pub(super) fn rights(&self) -> impl Fn(u64) -> Prot + 'static {
        let regions = Rc::clone(&self.regions);
        move |at| {
            let regions = regions.borrow();
            let region = regions.range(..=at).next_back();
            match region {
                Some((_, region)) if at < region.end => prot(region.protection),
                _ => Prot::NONE,
            }
        }
    }

    /// All mappings, by ascending address.
    #[must_use]
    pub(super) fn mappings(&self) -> Vec<Mapping> {
        self.regions
            .borrow()
            .iter()
            .map(|(&start, region)| Mapping {
                start: RunAddr::new(start),
                end: RunAddr::new(region.end),
                protection: region.protection,
                name: region.name.to_owned(),
            })
            .collect()
    }

    /// Whether `at` lies in a mapping, whatever its protection.
    #[must_use]
    pub(super) fn is_mapped(&self, at: u64) -> bool {
        self.regions
            .borrow()
            .range(..=at)
            .next_back()
            .is_some_and(|(_, region)| at < region.end)
    }

    /// The protection of the mapping that holds `at`.
    #[must_use]
    pub(super) fn protection_of(&self, at: u64) -> Option<Protection> {
        let regions = self.regions.borrow();
        let (_, region) = regions.range(..=at).next_back()?;
        (at < region.end).then_some(region.protection)
    }

    /// Whether all of `[start, end)` is mapped.
    #[must_use]
    pub(super) fn is_mapped_range(&self, start: u64, end: u64) -> bool {
        let regions = self.regions.borrow();
        let mut at = start;
        while at < end {
            match regions.range(..=at).next_back() {
                Some((_, region)) if at < region.end => at = region.end,
                _ => return false,
            }
        }
        true
    }

    /// Whether nothing of `[start, end)` is mapped.
    fn is_free(&self, start: u64, end: u64) -> bool {
        self.regions
            .borrow()
            .range(..end)
            .next_back()
            .is_none_or(|(_, region)| region.end <= start)
    }

    /// The highest free range of `length` bytes below [`Space::new`]'s top.
    #[must_use]
    pub(super) fn find(&self, length: u64) -> Option<u64> {
        let mut end = self.top;
        for (&start, region) in self.regions.borrow().range(..self.top).rev() {
            if region.end.checked_add(length).is_some_and(|low| low <= end) {
                return Some(end - length);
            }
            end = end.min(start);
        }
        end.checked_sub(length).filter(|&start| start >= LOWEST)
    }

    /// An address for a new mapping: `hint` if that is free, else one of our choice.
    #[must_use]
    pub(super) fn choose(&self, hint: u64, length: u64) -> Option<u64> {
        let hint = hint.next_multiple_of(PAGE);
        let end = hint.checked_add(length);
        let usable =
            hint >= LOWEST && end.is_some_and(|end| end <= HIGHEST && self.is_free(hint, end));
        if usable {
            Some(hint)
        } else {
            self.find(length)
        }
    }

    /// Maps zeros in place of whatever lies there. `start` and `length` are whole pages.
    pub(super) fn map(
        &mut self,
        cpu: &mut Cpu,
        start: u64,
        length: u64,
        protection: Protection,
        name: &'static str,
    ) -> Result<(), CpuError> {
        self.unmap(cpu, start, length)?;
        let backed = protection != NONE;
        if backed {
            cpu.map(start, length, protection.execute)?;
        }
        let region = Region {
            end: start + length,
            protection,
            backed,
            name,
        };
        self.regions.borrow_mut().insert(start, region);
        cpu.rights_changed()
    }

    /// Cuts mappings at `at`, so that none crosses it.
    fn cut(&mut self, at: u64) {
        let mut regions = self.regions.borrow_mut();
        if let Some((_, region)) = regions.range_mut(..at).next_back()
            && region.end > at
        {
            let upper = region.clone();
            region.end = at;
            regions.insert(at, upper);
        }
    }

    fn starts_in(&mut self, start: u64, end: u64) -> Vec<u64> {
        self.cut(start);
        self.cut(end);
        let regions = self.regions.borrow();
        regions.range(start..end).map(|(&at, _)| at).collect()
    }

    /// Unmaps whatever lies in the range.
    pub(super) fn unmap(&mut self, cpu: &mut Cpu, start: u64, length: u64) -> Result<(), CpuError> {
        let end = start.saturating_add(length);
        if self.is_free(start, end) {
            return Ok(());
        }
        for at in self.starts_in(start, end) {
            let region = self.regions.borrow_mut().remove(&at);
            if let Some(region) = region
                && region.backed
            {
                cpu.unmap(at, region.end - at)?;
            }
        }
        cpu.rights_changed()
    }

    /// Changes the protection of a range that is mapped as a whole.
    pub(super) fn protect(
        &mut self,
        cpu: &mut Cpu,
        start: u64,
        length: u64,
        protection: Protection,
    ) -> Result<(), CpuError> {
        for at in self.starts_in(start, start.saturating_add(length)) {
            let mut regions = self.regions.borrow_mut();
            let Some(region) = regions.get_mut(&at) else {
                continue;
            };
            let length = region.end - at;
            let was = std::mem::replace(&mut region.protection, protection);
            if !region.backed && protection != NONE {
                region.backed = true;
                cpu.map(at, length, protection.execute)?;
            } else if region.backed && was.execute != protection.execute {
                cpu.set_executable(at, length, protection.execute)?;
            }
        }
        cpu.rights_changed()
    }

    /// Makes a range zero, as far as it is mapped (`MADV_DONTNEED`).
    pub(super) fn clear(&self, cpu: &mut Cpu, start: u64, length: u64) {
        let end = start.saturating_add(length);
        let regions = self.regions.borrow();
        let first = regions.range(..=start).next_back();
        let rest = regions.range(start.saturating_add(1)..end);
        for (&at, region) in first.into_iter().chain(rest) {
            if !region.backed {
                continue;
            }
            let mut page = at.max(start);
            let mut bytes = [0; PAGE as usize];
            while page < region.end.min(end) {
                // Writing would give memory to pages that never had any.
                if cpu.read(page, &mut bytes).is_some() && bytes.iter().any(|&byte| byte != 0) {
                    let _ = cpu.write(page, &[0; PAGE as usize]);
                }
                page += PAGE;
            }
        }
    }

    /// Where the heap of brk(2) starts.
    #[must_use]
    pub(super) const fn heap_start(&self) -> u64 {
        self.brk_start
    }

    /// Sets where the heap of brk(2) starts: a whole page.
    pub(super) const fn set_heap(&mut self, start: u64) {
        self.brk_start = start;
        self.brk = start;
    }

    /// brk(2): moves the end of the heap, if it can; the end it has then.
    pub(super) fn set_brk(&mut self, cpu: &mut Cpu, to: u64) -> Result<u64, CpuError> {
        if to < self.brk_start || to > HIGHEST {
            return Ok(self.brk);
        }
        let (old, new) = (self.brk.next_multiple_of(PAGE), to.next_multiple_of(PAGE));
        if new > old {
            if !self.is_free(old, new) {
                return Ok(self.brk);
            }
            self.map(cpu, old, new - old, READ_WRITE, "[heap]")?;
        } else if new < old {
            self.unmap(cpu, new, old - new)?;
        }
        self.brk = to;
        Ok(self.brk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(space: &Space) -> Vec<(u64, u64, bool)> {
        space
            .mappings()
            .iter()
            .map(|m| (m.start.get(), m.end.get(), m.protection.write))
            .collect()
    }

    #[test]
    fn mappings_are_cut_and_replaced_as_the_kernel_does() {
        let mut space = Space::new(0x10_0000);
        let mut cpu = Cpu::new(space.rights()).unwrap();
        space
            .map(&mut cpu, 0x2_0000, 0x4000, READ_WRITE, "")
            .unwrap();
        cpu.write(0x2_1ff8, &[7; 16]).unwrap();
        space.unmap(&mut cpu, 0x2_1000, 0x1000).unwrap();
        let read = Protection { read: true, ..NONE };
        space.protect(&mut cpu, 0x2_3000, 0x1000, read).unwrap();
        assert_eq!(
            ranges(&space),
            [
                (0x2_0000, 0x2_1000, true),
                (0x2_2000, 0x2_3000, true),
                (0x2_3000, 0x2_4000, false)
            ]
        );
        let mut bytes = [1; 8];
        assert!(cpu.read(0x2_1000, &mut bytes).is_none());
        cpu.read(0x2_2000, &mut bytes).unwrap();
        assert_eq!(bytes, [7; 8]);
        space.clear(&mut cpu, 0x2_0000, 0x4000);
        cpu.read(0x2_2000, &mut bytes).unwrap();
        assert_eq!(bytes, [0; 8]);
        assert!(space.is_mapped_range(0x2_2000, 0x2_4000));
        assert!(!space.is_mapped_range(0x2_0000, 0x2_4000));
    }

    #[test]
    fn reserved_space_costs_nothing_until_it_is_made_accessible() {
        let mut space = Space::new(HIGHEST);
        let mut cpu = Cpu::new(space.rights()).unwrap();
        space.map(&mut cpu, 1 << 32, 1 << 40, NONE, "").unwrap();
        assert!(cpu.write(1 << 32, &[1]).is_none());
        space
            .protect(&mut cpu, 1 << 32, 0x1000, READ_WRITE)
            .unwrap();
        cpu.write(1 << 32, &[1]).unwrap();
        space.protect(&mut cpu, 1 << 32, 0x1000, NONE).unwrap();
        space
            .protect(&mut cpu, 1 << 32, 0x1000, READ_WRITE)
            .unwrap();
        let mut byte = [0];
        cpu.read(1 << 32, &mut byte).unwrap();
        assert_eq!(byte, [1], "contents stay");
    }

    #[test]
    fn addresses_are_chosen_from_the_top() {
        let mut space = Space::new(0x10_0000);
        let mut cpu = Cpu::new(space.rights()).unwrap();
        assert_eq!(space.find(0x2000), Some(0xf_e000));
        space.map(&mut cpu, 0xf_e000, 0x2000, NONE, "").unwrap();
        space.map(&mut cpu, 0xf_8000, 0x2000, NONE, "").unwrap();
        assert_eq!(space.find(0x4000), Some(0xf_a000));
        assert_eq!(space.find(0x5000), Some(0xf_3000));
        assert_eq!(space.find(0x10_0000), None);
        assert_eq!(space.choose(0x3_0000, 0x1000), Some(0x3_0000));
        assert_eq!(space.choose(0xf_8000, 0x1000), Some(0xf_d000));
    }

    #[test]
    fn the_heap_grows_and_shrinks() {
        let mut space = Space::new(0x10_0000);
        let mut cpu = Cpu::new(space.rights()).unwrap();
        space.set_heap(0x5_0000);
        assert_eq!(space.set_brk(&mut cpu, 0).unwrap(), 0x5_0000);
        assert_eq!(space.set_brk(&mut cpu, 0x5_1234).unwrap(), 0x5_1234);
        assert!(space.is_mapped(0x5_1fff) && !space.is_mapped(0x5_2000));
        assert_eq!(space.set_brk(&mut cpu, 0x5_0001).unwrap(), 0x5_0001);
        assert!(space.is_mapped(0x5_0fff) && !space.is_mapped(0x5_1000));
    }
}
