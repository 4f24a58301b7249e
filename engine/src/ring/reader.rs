//! The rings -> [`Span`]s and counts. The one reader; never trusts what it reads, never waits for the program, and touches
//! no page that the program has not written: reading one would make it real.

use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

use super::layout::{
    HEADER_SIZE, MAGIC, RECORD_SIZE, RING_ENTERED, RING_HEAD, RING_LOST, RING_TAIL, RingGeometry,
    SKIPPED_DEEP, SKIPPED_GSIGNAL, SKIPPED_NO_G, SKIPPED_NO_ROOM, VERSION,
};
use super::record::{RawWords, Record, Span, decode, sequence};
use super::shared::SharedMemory;

/// A ring's writer gets room back after so many records.
const PUBLISH: u64 = 512;
/// Ms are numbered as they are made: rings so far above the highest used one are looked at only now and then.
const AHEAD: u32 = 8;
/// Every so many looks are looks at all rings.
const ALL: u64 = 64;

/// What one look at the rings found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drained {
    /// Spans handed out.
    pub spans: u64,
    /// Records in the fullest ring.
    pub fullest: u64,
}

/// What the rings and their reader have counted so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Calls that got a frame, by hook.
    pub entered: Vec<u64>,
    /// Spans handed out, by hook.
    pub spans: Vec<u64>,
    /// Spans that found their ring full.
    pub lost: u64,
    /// Records that hooks published (in the shared ring: reserved).
    pub published: u64,
    /// Records that are published and not handed out yet.
    pub unread: u64,
    /// Calls that ran unhooked because the stack had no room.
    pub skipped_no_room: u64,
    /// Calls that ran unhooked because there was no g or m.
    pub skipped_no_g: u64,
    /// Calls that ran unhooked because they were on the signal stack.
    pub skipped_gsignal: u64,
    /// Calls that ran unhooked because they were too deep in the stack.
    pub skipped_deep: u64,
    /// Records that were none, or that no writer finished.
    pub malformed: u64,
}

/// Reads the rings of one process.
#[derive(Debug)]
pub struct Reader {
    memory: SharedMemory,
    geometry: RingGeometry,
    /// Records consumed, by ring; the shared ring is the last one. The mapping holds copies, for the writers.
    tails: Vec<u64>,
    spans: Vec<u64>,
    malformed: u64,
    /// Which rings exist: those that anything was ever written to.
    exists: Vec<bool>,
    looks: u64,
}

impl Reader {
    /// Makes `file` the rings of a process that is not hooked yet: sets its size and writes the header.
    pub fn create(file: &File, geometry: RingGeometry) -> io::Result<Self> {
        if !geometry.is_valid() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("rings cannot have the shape {geometry:?}"),
            ));
        }
        file.set_len(geometry.size())?;
        let memory = SharedMemory::map(file, geometry.size())?;
        for (index, word) in header(geometry).into_iter().enumerate() {
            memory.store(8 * index as u64, word, Ordering::Relaxed);
        }
        Ok(Self {
            memory,
            geometry,
            tails: vec![0; geometry.rings as usize + 1],
            spans: vec![0; geometry.hooks as usize],
            malformed: 0,
            exists: vec![false; geometry.rings as usize + 1],
            looks: 0,
        })
    }

    /// A reader that has read as much, of rings in another file: those of a copy of the process. What the copy has in its
    /// rings is to be written there by whoever made it.
    pub fn on_copy(&self, file: &File) -> io::Result<Self> {
        let mut copy = Self::create(file, self.geometry)?;
        copy.tails.clone_from(&self.tails);
        copy.spans.clone_from(&self.spans);
        (copy.malformed, copy.looks) = (self.malformed, self.looks);
        Ok(copy)
    }

    /// Records that a ring has room for.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.geometry.slots.into()
    }

    /// Hands out finished spans: all of them but, most of the time, those of a ring far above the ones used so far.
    pub fn drain(&mut self, sink: impl FnMut(Span)) -> Drained {
        self.looks = self.looks.wrapping_add(1);
        let own = self.exists.get(..self.geometry.rings as usize);
        let used = own.and_then(|own| own.iter().rposition(|&exists| exists));
        let used = used.map_or(0, |ring| ring as u32 + 1);
        let likely = (used + AHEAD).min(self.geometry.rings);
        let all = self.looks.is_multiple_of(ALL);
        self.drain_below(if all { self.geometry.rings } else { likely }, sink)
    }

    /// Hands out finished spans of all rings.
    pub fn drain_all(&mut self, sink: impl FnMut(Span)) -> Drained {
        self.drain_below(self.geometry.rings, sink)
    }

    /// The rings below `end`, and the shared one.
    fn drain_below(&mut self, end: u32, mut sink: impl FnMut(Span)) -> Drained {
        let mut drained = Drained::default();
        self.look_for_rings(end);
        for ring in (0..end).chain([self.geometry.rings]) {
            let records = self.drain_ring(ring, &mut drained.spans, &mut sink);
            drained.fullest = drained.fullest.max(records);
        }
        drained
    }

    /// Notes which of the rings below `end`, and whether the shared one, have come to exist.
    fn look_for_rings(&mut self, end: u32) {
        let mut next = 0;
        for ring in (0..end).chain([self.geometry.rings]) {
            if ring < next || self.exists(ring) {
                continue;
            }
            let Some(written) = self.memory.written(self.geometry.ring(ring)) else {
                return;
            };
            let rings = self.geometry.rings_of(written);
            next = rings.end;
            for found in rings {
                if let Some(exists) = self.exists.get_mut(found as usize) {
                    *exists = true;
                }
            }
        }
    }

    fn exists(&self, ring: u32) -> bool {
        self.exists.get(ring as usize).copied().unwrap_or(false)
    }

    /// As [`Self::drain`], for a process that has ended: records that no writer finished are counted malformed.
    pub fn finish(&mut self, mut sink: impl FnMut(Span)) -> Drained {
        let drained = self.drain_below(self.geometry.rings, &mut sink);
        if !self.exists(self.geometry.rings) {
            return drained;
        }
        let base = self.geometry.ring(self.geometry.rings);
        // Acquire: as in `drain_ring`.
        let head = self.memory.load(base + RING_HEAD, Ordering::Acquire);
        if let Some(tail) = self.tails.last_mut() {
            // Each of them hides what was published behind it: hand that out too.
            let waiting = head.wrapping_sub(*tail).min(u64::from(self.geometry.slots));
            for _ in 0..waiting {
                let position = *self.tails.last().unwrap_or(&head);
                if position == head {
                    break;
                }
                let mut spans = 0;
                if self.drain_ring(self.geometry.rings, &mut spans, &mut sink) == 0 {
                    self.malformed += 1;
                    if let Some(tail) = self.tails.last_mut() {
                        *tail = position.wrapping_add(1);
                    }
                }
            }
        }
        drained
    }

    /// One ring; how many records were consumed.
    fn drain_ring(&mut self, ring: u32, spans: &mut u64, sink: &mut impl FnMut(Span)) -> u64 {
        let base = self.geometry.ring(ring);
        let shared = ring == self.geometry.rings;
        let Some(&start) = self.tails.get(ring as usize).filter(|_| self.exists(ring)) else {
            return 0;
        };
        // Acquire pairs with the trampoline's plain `add [head], k` after the record's stores (x86-TSO keeps stores in
        // order): records below `head` are complete. In the shared ring `head` only reserves.
        let head = self.memory.load(base + RING_HEAD, Ordering::Acquire);
        let waiting = head.wrapping_sub(start);
        if waiting == 0 {
            return 0;
        }
        let mut tail = start;
        if waiting > u64::from(self.geometry.slots) {
            // No trampoline does this: something else wrote here. Start again at what it claims.
            self.malformed += 1;
            tail = head;
        }
        while tail != head {
            let Some(taken) = self.record(base, tail, head, shared, spans, sink) else {
                break;
            };
            tail = tail.wrapping_add(taken);
            if tail.wrapping_sub(start).is_multiple_of(PUBLISH) {
                // Release: as below. A long look at one ring must not keep its writer waiting for room.
                self.memory.store(base + RING_TAIL, tail, Ordering::Release);
            }
        }
        if let Some(own) = self.tails.get_mut(ring as usize) {
            *own = tail;
        }
        // Release pairs with the trampoline's plain load of `tail` before it writes a slot: our loads are done by then.
        self.memory.store(base + RING_TAIL, tail, Ordering::Release);
        tail.wrapping_sub(start)
    }

    /// The record at `position` and those that belong to it; how many that were, `None` if the first is unfinished.
    fn record(
        &mut self,
        base: u64,
        position: u64,
        head: u64,
        shared: bool,
        spans: &mut u64,
        sink: &mut impl FnMut(Span),
    ) -> Option<u64> {
        let words = self.words(base, position);
        let Some(words) = words else {
            if shared {
                return None;
            }
            self.malformed += 1;
            return Some(1);
        };
        let hooks = self.geometry.hooks;
        let (mut span, raw) = match decode(&words, hooks) {
            Some(Record::Span(span, raw)) => (span, raw),
            // Raw words without their span, or no record at all.
            _ => {
                self.malformed += 1;
                return Some(1);
            }
        };
        let mut taken = 1;
        if raw {
            if head.wrapping_sub(position) < 3 {
                self.malformed += 1;
                return Some(1);
            }
            // The span is published last of the three.
            let follow = |n| {
                let words = self.words(base, position.wrapping_add(n))?;
                decode(&words, hooks)
            };
            match (follow(1), follow(2)) {
                (Some(Record::Args(a, args)), Some(Record::Results(r, results)))
                    if a == span.hook && r == span.hook =>
                {
                    span.raw = Some(Box::new(RawWords { args, results }));
                    taken = 3;
                }
                _ => {
                    self.malformed += 1;
                    return Some(1);
                }
            }
        }
        *spans += 1;
        if let Some(count) = self.spans.get_mut(span.hook as usize) {
            *count += 1;
        }
        sink(span);
        Some(taken)
    }

    /// The eight words of a record; `None` if its sequence number is another one.
    fn words(&self, base: u64, position: u64) -> Option<[u64; 8]> {
        let slot = position & u64::from(self.geometry.slots - 1);
        let at = base + self.geometry.records() + RECORD_SIZE * slot;
        // The first word's Acquire pairs with the trampoline's store of the sequence number, the last one of a record:
        // the words behind it are complete.
        let words = self.memory.load_line(at);
        let [first, ..] = words;
        (sequence(first) == sequence(position.wrapping_add(1))).then_some(words)
    }

    /// Counts so far. While the program runs, counters of different threads are of slightly different moments.
    #[must_use]
    pub fn totals(&self) -> Totals {
        // Relaxed: counters, which order nothing.
        let load = |offset| self.memory.load(offset, Ordering::Relaxed);
        let (mut lost, mut published, mut read) = (0u64, 0u64, 0u64);
        let mut entered = vec![0u64; self.geometry.hooks as usize];
        let mut at = HEADER_SIZE;
        while let Some(written) = self.memory.written(at) {
            at = written.end;
            for ring in self.geometry.rings_of(written.clone()) {
                let base = self.geometry.ring(ring);
                if written.contains(&(base + RING_LOST)) {
                    lost = lost.wrapping_add(load(base + RING_LOST));
                }
                if written.contains(&(base + RING_HEAD)) {
                    published = published.wrapping_add(load(base + RING_HEAD));
                    let tail = self.tails.get(ring as usize).copied().unwrap_or(0);
                    read = read.wrapping_add(tail);
                }
                let counters = (base + RING_ENTERED..).step_by(8).zip(&mut entered);
                for (offset, count) in counters.filter(|(offset, _)| written.contains(offset)) {
                    *count = count.wrapping_add(load(offset));
                }
            }
        }
        Totals {
            entered,
            spans: self.spans.clone(),
            lost,
            published,
            unread: published.wrapping_sub(read),
            skipped_no_room: load(SKIPPED_NO_ROOM),
            skipped_no_g: load(SKIPPED_NO_G),
            skipped_gsignal: load(SKIPPED_GSIGNAL),
            skipped_deep: load(SKIPPED_DEEP),
            malformed: self.malformed,
        }
    }
}

/// The first words of the mapping.
#[must_use]
pub fn header(geometry: RingGeometry) -> [u64; 3] {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    [
        MAGIC,
        pair(VERSION, geometry.rings),
        pair(geometry.slots, geometry.hooks),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::layout::Kind;
    use super::super::shared::tests::memory_file;
    use super::*;

    const SHAPE: RingGeometry = RingGeometry {
        rings: 2,
        slots: 4,
        hooks: 3,
    };

    /// Writes as trampolines do.
    struct Writer<'r>(&'r SharedMemory);

    impl Writer<'_> {
        fn record(&self, ring: u32, position: u64, kind: Kind, hook: u32, rest: [u64; 7]) {
            let at = SHAPE.ring(ring) + SHAPE.records() + 64 * (position % 4);
            for (index, word) in rest.into_iter().enumerate() {
                self.0
                    .store(at + 8 + 8 * index as u64, word, Ordering::Relaxed);
            }
            let first =
                u64::from(sequence(position + 1)) | u64::from(hook) << 32 | (kind as u64) << 56;
            self.0.store(at, first, Ordering::Release);
        }

        fn head(&self, ring: u32, head: u64) {
            self.0.store(SHAPE.ring(ring), head, Ordering::Release);
        }

        fn span(&self, ring: u32, position: u64, hook: u32) {
            self.record(ring, position, Kind::Span, hook, [10, 20, 3, 4, 5, 6, 0]);
            self.head(ring, position + 1);
        }
    }

    fn with(test: impl FnOnce(&mut Reader, Writer<'_>)) {
        let file = tempfile::tempfile().unwrap();
        let mut reader = Reader::create(&file, SHAPE).unwrap();
        let other = SharedMemory::map(&file, SHAPE.size()).unwrap();
        test(&mut reader, Writer(&other));
    }

    fn hooks(reader: &mut Reader) -> Vec<u32> {
        let mut found = Vec::new();
        reader.drain(|span| found.push(span.hook));
        found
    }

    #[test]
    fn spans_come_out_once_and_in_order_lap_after_lap() {
        with(|reader, writer| {
            for lap in 0..10 {
                for n in 0..3 {
                    writer.span(1, lap * 3 + n, n as u32);
                }
                assert_eq!(hooks(reader), [0, 1, 2]);
                assert!(hooks(reader).is_empty());
                let tail = writer.0.load(SHAPE.ring(1) + RING_TAIL, Ordering::Acquire);
                assert_eq!(tail, lap * 3 + 3);
            }
            assert_eq!(reader.totals().spans, [10, 10, 10]);
            assert_eq!(reader.totals().malformed, 0);
        });
    }

    #[test]
    fn raw_words_travel_with_their_span() {
        with(|reader, writer| {
            writer.record(0, 0, Kind::SpanRaw, 2, [1, 2, 3, 4, 5, 6, 0]);
            writer.record(0, 1, Kind::Args, 2, [7; 7]);
            writer.record(0, 2, Kind::Results, 2, [8; 7]);
            writer.head(0, 3);
            let mut raw = None;
            assert_eq!(
                reader.drain(|span| raw = span.raw),
                Drained {
                    spans: 1,
                    fullest: 3
                }
            );
            let words = RawWords {
                args: [7; 7],
                results: [8; 7],
            };
            assert_eq!(raw.as_deref(), Some(&words));
        });
    }

    #[test]
    fn the_shared_ring_waits_for_publication_until_the_end() {
        with(|reader, writer| {
            writer.head(2, 2);
            writer.record(2, 1, Kind::Span, 1, [0; 7]);
            assert!(hooks(reader).is_empty());
            let mut found = Vec::new();
            reader.finish(|span| found.push(span.hook));
            assert_eq!(found, [1]);
            assert_eq!(reader.totals().malformed, 1);
        });
    }

    #[test]
    fn nonsense_is_counted_and_passed_over() {
        with(|reader, writer| {
            writer.record(0, 0, Kind::Span, 3, [0; 7]); // no such hook
            writer.record(0, 1, Kind::Args, 0, [0; 7]); // without its span
            writer.record(0, 3, Kind::SpanRaw, 0, [0; 7]); // without its words; 2 was never written
            writer.head(0, 4);
            assert!(hooks(reader).is_empty());
            assert_eq!(reader.totals().malformed, 4);
            writer.head(1, u64::MAX / 2);
            assert!(hooks(reader).is_empty());
            assert_eq!(reader.totals().malformed, 5);
            writer.span(0, 4, 1);
            assert_eq!(hooks(reader), [1]);
        });
    }

    #[test]
    fn counters_are_summed_over_rings() {
        with(|reader, writer| {
            for ring in 0..3 {
                let base = SHAPE.ring(ring);
                writer.0.store(base + RING_LOST, 1, Ordering::Relaxed);
                writer
                    .0
                    .store(base + RING_ENTERED + 8, 5, Ordering::Relaxed);
            }
            writer.0.store(SKIPPED_NO_G, 9, Ordering::Relaxed);
            writer.0.store(SKIPPED_DEEP, 4, Ordering::Relaxed);
            let totals = reader.totals();
            assert_eq!(totals.lost, 3);
            assert_eq!(totals.entered, [0, 15, 0]);
            assert_eq!((totals.skipped_no_room, totals.skipped_no_g), (0, 9));
            assert_eq!((totals.skipped_gsignal, totals.skipped_deep), (0, 4));
        });
    }

    #[test]
    fn reading_makes_no_page_real() {
        use std::os::unix::fs::MetadataExt as _;
        // Counters of so many hooks fill several pages of each ring.
        let shape = RingGeometry {
            rings: 64,
            slots: 1 << 10,
            hooks: 5000,
        };
        let file = memory_file();
        let pages = || file.metadata().unwrap().blocks() / 8;
        let mut reader = Reader::create(&file, shape).unwrap();
        let read = |reader: &mut Reader| {
            for _ in 0..2 * ALL {
                reader.drain(drop);
            }
            reader.drain_all(drop);
            reader.finish(drop);
            reader.totals()
        };
        assert_eq!(read(&mut reader), reader.totals());
        assert_eq!(pages(), 1, "the header");
        let writer = SharedMemory::map(&file, shape.size()).unwrap();
        let ring = shape.ring(40);
        writer.store(ring + RING_ENTERED + 8 * 4000, 3, Ordering::Relaxed);
        writer.store(ring + RING_LOST, 2, Ordering::Relaxed);
        assert_eq!(pages(), 3);
        let totals = read(&mut reader);
        assert_eq!((totals.entered[4000], totals.lost), (3, 2));
        assert_eq!(totals.entered.iter().sum::<u64>(), 3);
        assert_eq!(pages(), 3);
    }

    #[test]
    fn a_ring_is_found_wherever_it_comes_to_exist() {
        let shape = RingGeometry { rings: 64, ..SHAPE };
        let file = memory_file();
        let mut reader = Reader::create(&file, shape).unwrap();
        let memory = SharedMemory::map(&file, shape.size()).unwrap();
        let mut seen = Vec::new();
        for ring in [3, 1, 63, 0, 64] {
            let first = 1 | (Kind::Span as u64) << 56;
            memory.store(shape.ring(ring) + shape.records(), first, Ordering::Relaxed);
            memory.store(
                shape.ring(ring) + shape.records() + 48,
                u64::from(ring),
                Ordering::Relaxed,
            );
            memory.store(shape.ring(ring), 1, Ordering::Release);
            for _ in 0..ALL {
                reader.drain(|span| seen.push(span.m));
            }
        }
        assert_eq!(seen, [3, 1, 63, 0, 64]);
        assert_eq!(reader.totals().malformed, 0);
    }

    proptest::proptest! {
        #[test]
        fn any_contents_are_read_in_bounded_time(words in proptest::collection::vec(proptest::num::u64::ANY, 200)) {
            let file = tempfile::tempfile().unwrap();
            let mut reader = Reader::create(&file, SHAPE).unwrap();
            let memory = SharedMemory::map(&file, SHAPE.size()).unwrap();
            for ring in 0..3 {
                for (index, word) in words.iter().enumerate() {
                    // Small numbers are likelier to be taken for something.
                    let word = if index % 3 == 0 { word % 5 } else { *word };
                    memory.store(SHAPE.ring(ring) + 8 * index as u64, word, Ordering::Relaxed);
                }
            }
            let mut spans = 0;
            reader.drain(|_| spans += 1);
            reader.finish(|_| spans += 1);
            proptest::prop_assert!(spans <= 2 * 3 * 4);
        }
    }
}
