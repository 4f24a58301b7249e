//! Mappings of a process -> free addresses for ours. Reads nothing, maps nothing.
//!
//! A program that was built with a sanitizer maps its shadow only after execve, at fixed addresses, so that nothing shows
//! yet which ones it will need. Only addresses that none of them wants are used: `OPEN`.

use crate::addr::RunAddr;
use crate::os::Mapping;

/// Greatest distance between our code and any byte of the image: rel32 branches and RIP-relative operands reach 2 GiB.
const REACH: u64 = 0x7980_0000; // 1.9 GiB
/// Room that is left for the heap of C code (brk) to grow.
const HEAP_ROOM: u64 = 256 << 20;
/// Distance from the image where nothing else suggests one.
const DISTANCE: u64 = 1 << 20;
/// Lowest address that is used: `vm.mmap_min_addr` is 64 KiB, and near null addresses look like null.
const LOWEST: u64 = 1 << 20;
/// One past the highest user address (47 bits), less the page that the kernel keeps.
const HIGHEST: u64 = 0x7fff_ffff_f000;
const PAGE: u64 = 4096;
/// Alignment of the shared mapping: lets the kernel share page tables and use huge pages.
const HUGE: u64 = 2 << 20;

/// Where neither AddressSanitizer, MemorySanitizer nor ThreadSanitizer keeps anything of its own, on Linux with 47 bits of
/// addresses, and where each of them lets a program have memory. Source: LLVM's compiler-rt, `asan_mapping.h` and
/// `asan_allocator.h` (shadow 0x7fff8000 to 0x10007fff8000; allocators at 0x5000… or 0x6000…, 4 TiB), `msan.h`
/// (`kMemoryLayout`: app-1 below 0x100…, app-2 0x5100… to 0x6000…, app-3 from 0x7400… on), `tsan_platform.h`
/// (`Mapping48AddressSpace` below 0x200…, 0x5500… to 0x5a00…, from 0x7a00… on: a mapping elsewhere ends the program in
/// `CheckAndProtect`; `MappingGo48`: 0xc0… to 0xe0…, 0x2000… to 0x4000…).
const OPEN: [(u64, u64); 3] = [
    (LOWEST, 0x7fff_8000),
    (0x5500_0000_0000, 0x5a00_0000_0000),
    (0x7a00_0000_0000, HIGHEST),
];

/// What the addresses depend on.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'m> {
    /// All mappings of the process, by ascending address.
    pub maps: &'m [Mapping],
    /// First and one past the last byte of the image.
    pub image: (RunAddr, RunAddr),
    /// Where the heap of C code starts.
    pub heap: RunAddr,
}

impl Surroundings<'_> {
    /// Free ranges between `lowest` and `highest`.
    fn gaps(&self, (lowest, highest): (u64, u64)) -> Vec<(u64, u64)> {
        let mut gaps = Vec::new();
        let mut free = lowest;
        for map in self.maps {
            let start = map.start.get().min(highest);
            if start > free {
                gaps.push((free, start));
            }
            free = free.max(map.end.get());
        }
        if highest > free {
            gaps.push((free, highest));
        }
        gaps
    }

    /// The open range that holds the whole image. An image elsewhere is one that no sanitizer was linked into, or that
    /// will be executed again without random addresses: then all addresses will do.
    fn around_image(&self) -> (u64, u64) {
        let (start, end) = (self.image.0.get(), self.image.1.get());
        OPEN.into_iter()
            .find(|&(low, high)| low <= start && end <= high)
            .unwrap_or((LOWEST, HIGHEST))
    }

    /// A free range of `length` bytes within reach of the whole image, out of the heap's way if that is possible.
    #[must_use]
    pub fn near(&self, length: u64) -> Option<RunAddr> {
        let (start, end) = (self.image.0.get(), self.image.1.get());
        let lowest = end.saturating_sub(REACH);
        let highest = start.saturating_add(REACH);
        let heap = self.heap.get().max(end);
        let up = |at: u64| Some(RunAddr::new(at).align_up(PAGE)?.get());
        let wishes = [
            // Below the image nothing grows; under a fixed image there is little room.
            start
                .checked_sub(DISTANCE)
                .and_then(|at| at.checked_sub(length))
                .map(|at| at & !(PAGE - 1)),
            // Between the image and a heap that was placed at random.
            (heap.saturating_sub(end) >= length.saturating_add(2 * DISTANCE))
                .then(|| end.checked_add(DISTANCE).and_then(up))
                .flatten(),
            heap.checked_add(HEAP_ROOM).and_then(up),
        ];
        let gaps = self.gaps(self.around_image());
        let fits = |at: u64| {
            let last = at.checked_add(length)?;
            let free = gaps.iter().any(|&(from, to)| from <= at && last <= to);
            (free && at >= lowest && last <= highest).then_some(RunAddr::new(at))
        };
        wishes.into_iter().flatten().find_map(fits).or_else(|| {
            // Wherever there is room; the farthest from the image first.
            let mut starts: Vec<u64> = gaps
                .iter()
                .flat_map(|&(from, to)| {
                    [Some(from.max(lowest)), to.min(highest).checked_sub(length)]
                })
                .flatten()
                .map(|at| at.next_multiple_of(PAGE))
                .collect();
            starts.sort_by_key(|at| std::cmp::Reverse(at.abs_diff(start)));
            starts.into_iter().find_map(fits)
        })
    }

    /// A free range of `length` bytes in the middle of the largest open gap: far from everything that grows.
    #[must_use]
    pub fn far(&self, length: u64) -> Option<RunAddr> {
        let gaps = OPEN.into_iter().flat_map(|open| self.gaps(open));
        let (from, to) = gaps.max_by_key(|(from, to)| to - from)?;
        let at = (from / 2 + to / 2) & !(HUGE - 1);
        let end = at.checked_add(length)?;
        (at >= from && end <= to).then_some(RunAddr::new(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(start: u64, end: u64) -> Mapping {
        Mapping {
            start: RunAddr::new(start),
            end: RunAddr::new(end),
            protection: crate::os::Protection::default(),
            name: String::new(),
        }
    }

    fn around(maps: &[Mapping], image: (u64, u64), heap: u64) -> Surroundings<'_> {
        Surroundings {
            maps,
            image: (RunAddr::new(image.0), RunAddr::new(image.1)),
            heap: RunAddr::new(heap),
        }
    }

    const STACK: (u64, u64) = (0x7ffd_0000_0000, 0x7ffd_0002_1000);

    #[test]
    fn a_fixed_image_gets_code_below_or_before_its_heap_or_well_above() {
        let maps = [map(0x40_0000, 0x60_0000), map(STACK.0, STACK.1)];
        let near = |heap, length| {
            let place = around(&maps, (0x40_0000, 0x60_0000), heap).near(length);
            place.unwrap().get()
        };
        assert_eq!(near(0x60_0000, 0x10_0000), 0x20_0000);
        assert_eq!(near(0x60_0000, 0x40_0000), 0x60_0000 + HEAP_ROOM);
        assert_eq!(near(0x1060_0000, 0x40_0000), 0x70_0000);
    }

    #[test]
    fn a_slid_image_gets_code_below() {
        let base = 0x5555_5555_4000;
        let maps = [map(base, base + 0x20_0000), map(STACK.0, STACK.1)];
        let near = around(&maps, (base, base + 0x20_0000), base + 0x100_0000).near(0x1000);
        assert_eq!(near.unwrap().get(), base - DISTANCE - 0x1000);
    }

    #[test]
    fn what_is_taken_or_out_of_reach_is_not_used() {
        // Everything within reach is taken but one page.
        let maps = [
            map(0x40_0000, 0x60_0000),
            map(0x60_0000, 0x5000_0000),
            map(0x5000_1000, 0x1_0000_0000),
            map(STACK.0, STACK.1),
        ];
        let here = around(&maps[1..], (0x40_0000, 0x60_0000), 0x60_0000);
        assert!(here.near(0x1000).is_some());
        let mut full = vec![map(0, 0x40_0000)];
        full.extend_from_slice(&maps);
        let here = around(&full, (0x40_0000, 0x60_0000), 0x60_0000);
        assert_eq!(here.near(0x1000), Some(RunAddr::new(0x5000_0000)));
        assert_eq!(here.near(0x2000), None);
    }

    #[test]
    fn the_rings_lie_far_from_everything() {
        let maps = [map(0x40_0000, 0x60_0000), map(STACK.0, STACK.1)];
        let far = around(&maps, (0x40_0000, 0x60_0000), 0x60_0000)
            .far(1 << 30)
            .unwrap()
            .get();
        assert!(far > 1 << 40 && far + (1 << 30) < STACK.0 && far.is_multiple_of(HUGE));
    }

    /// What each sanitizer keeps for itself, terabyte by terabyte, as its source has it.
    const KEPT: [(&str, &[(u64, u64)]); 4] = [
        (
            "asan",
            &[
                (0x7fff_8000, 0x1000_7fff_8000),
                (0x5000 << 32, 0x5400 << 32),
                (0x6000 << 32, 0x6400 << 32),
            ],
        ),
        (
            "msan",
            &[(0x100 << 32, 0x5100 << 32), (0x6000 << 32, 0x7400 << 32)],
        ),
        (
            "tsan",
            &[(0x200 << 32, 0x5500 << 32), (0x5a00 << 32, 0x7a00 << 32)],
        ),
        (
            "tsan of Go",
            &[(0xc0 << 32, 0xe0 << 32), (0x2000 << 32, 0x4000 << 32)],
        ),
    ];

    #[test]
    fn what_sanitizers_keep_is_never_chosen() {
        let size = 0x200_0000;
        // Fixed, linked high, position-independent without random addresses and with, loaded by an old kernel.
        for image in [
            0x40_0000,
            0x1000_0000,
            0x7000_0000,
            0x5500_0000_0000,
            0x5555_5555_4000,
            0x5655_5555_4000,
            0x59ff_f000_0000,
            0x7fff_f000_0000,
        ] {
            let maps = [map(image, image + size), map(STACK.0, STACK.1)];
            let here = around(&maps, (image, image + size), image + size);
            for length in [0x1000, 0x40_0000, 0x1000_0000] {
                let far = here.far(length << 8).map(|at| (at.get(), length << 8));
                let near = here.near(length).map(|at| (at.get(), length));
                assert!(near.is_some() && far.is_some(), "{image:#x} {length:#x}");
                for (at, length) in [far, near].into_iter().flatten() {
                    for (whose, ranges) in KEPT {
                        let clash = ranges
                            .iter()
                            .find(|&&(low, high)| at < high && low < at + length);
                        assert!(
                            clash.is_none(),
                            "{image:#x}: {at:#x} is {whose}'s: {clash:x?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn an_image_where_no_sanitizer_can_be_is_hooked_all_the_same() {
        // Position-independent, with 32 random bits.
        let base = 0x6123_4567_8000;
        let maps = [map(base, base + 0x20_0000), map(STACK.0, STACK.1)];
        let near = around(&maps, (base, base + 0x20_0000), base + 0x100_0000).near(0x1000);
        assert_eq!(near.unwrap().get(), base - DISTANCE - 0x1000);
    }
}
