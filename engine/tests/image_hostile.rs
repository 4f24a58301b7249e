//! `Image::parse` and its questions on hostile bytes: no panic, no contradiction, bounded memory and time.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gondwana_engine::addr::LinkAddr;
use gondwana_engine::golang::{GoVersion, NEWEST, OLDEST};
use gondwana_engine::image::check::check;
use gondwana_engine::image::testing::{Synthetic, SyntheticFunction};
use gondwana_engine::image::{Image, ImageErrorCode};
use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What the module promises.
const BYTES_PER_INPUT_BYTE: usize = 16;
/// What the smallest input costs: an error's text, the first allocation of each collection.
const FIXED: usize = 8 << 10;

/// The allocator counts for the whole process, so one test at a time.
static ONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes allocated at the peak of `work`, above those at its start.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    (result, MEMORY.peak_usage().saturating_sub(before))
}

/// Checks `file` within its memory bound; whether it parsed.
fn bounded(file: &[u8]) -> bool {
    let most = file.len() * BYTES_PER_INPUT_BYTE + FIXED;
    // Other threads allocate now and then (the test harness prints); what `check` allocates is always the same.
    let (mut parsed, mut bytes) = peak(|| check(file));
    for _ in 0..3 {
        if bytes > most {
            (parsed, bytes) = peak(|| check(file));
        }
    }
    assert!(
        bytes <= most,
        "{bytes} bytes allocated for {} bytes of input",
        file.len()
    );
    parsed
}

/// The same, for large files, in time.
fn in_time(file: &[u8]) -> bool {
    let start = Instant::now();
    let parsed = bounded(file);
    // Far above what linear work takes without optimisation on a busy machine, far below what quadratic work takes.
    assert!(
        start.elapsed() < Duration::from_secs(20),
        "{:?}",
        start.elapsed()
    );
    parsed
}

/// Some programs of every generation of the line table, fixed and position-independent.
fn programs() -> Vec<Vec<u8>> {
    let program = |minor| {
        let fixed = Synthetic::new(GoVersion::new(minor, 2));
        let pie = Synthetic {
            pie: true,
            ..fixed.clone()
        };
        [fixed.build(), pie.build()]
    };
    [9, 13, 16, 19, 26].into_iter().flat_map(program).collect()
}

#[test]
fn the_bound_is_measured() {
    let _alone = alone();
    // As in `bounded`: what another thread frees meanwhile is missing from what this one takes.
    assert!((0..4).any(|_| peak(|| vec![0u8; 1 << 20]).1 >= 1 << 20));
}

#[test]
fn every_version_is_within_bounds() {
    let _alone = alone();
    for minor in OLDEST..=NEWEST {
        for pie in [false, true] {
            let program = Synthetic {
                pie,
                ..Synthetic::new(GoVersion::new(minor, 1))
            };
            assert!(bounded(&program.build()), "go1.{minor}");
        }
    }
}

#[test]
fn a_file_may_end_anywhere() {
    let _alone = alone();
    for file in programs() {
        for len in 0..file.len() {
            assert!(
                !bounded(&file[..len]),
                "{len} of {} bytes parsed",
                file.len()
            );
        }
    }
}

#[test]
fn every_byte_may_be_wrong() {
    let _alone = alone();
    let (mut parsed, mut refused) = (0, 0);
    for program in programs() {
        let mut file = program.clone();
        for (at, &good) in program.iter().enumerate() {
            for value in [0, 0xff, good ^ 1, good ^ 0x80] {
                file[at] = value;
                *if bounded(&file) {
                    &mut parsed
                } else {
                    &mut refused
                } += 1;
            }
            file[at] = good;
        }
    }
    // Both outcomes happen, or this test tests nothing.
    assert!(
        parsed > 1000 && refused > 1000,
        "{parsed} parsed, {refused} refused"
    );
}

#[test]
fn several_words_may_be_wrong() {
    let _alone = alone();
    let programs = programs();
    let changes = prop::collection::vec((any::<prop::sample::Index>(), word()), 1..6);
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2000)
    });
    let result = runner.run(&(0..programs.len(), changes), |(program, changes)| {
        let mut file = programs[program].clone();
        for (at, value) in changes {
            let at = at.index(file.len() / 8) * 8;
            file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        bounded(&file);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
}

/// Numbers at the edges of what the tables hold, and any others.
fn word() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        Just(u64::MAX / 2),
        Just(1 << 32),
        any::<u64>(),
        0..0x5000u64,
        0x40_0000..0x40_5000u64,
    ]
}

/// Bytes of a program whose function `main.f` is only room in which hostile tables can hide.
const ROOM: usize = 2 << 20;

/// Such a program, and where things lie in its file.
struct Roomy {
    file: Vec<u8>,
    /// File offset and address of the room.
    room: (usize, u64),
    /// File offset of the module data.
    module: usize,
    /// File offset of the number of functions in the line table's header.
    count: usize,
    /// Bytes of Go code.
    text_len: u32,
    /// File offset of the first function's record, and its offset in the table of records.
    record: (usize, u32),
    layout: &'static gondwana_engine::golang::ModuleLayout,
}

impl Roomy {
    fn new(version: GoVersion) -> Self {
        let mut program = Synthetic::new(version);
        program.functions[0].inlined = vec!["main.small".into()];
        program.functions[1] = SyntheticFunction::new("main.f", &vec![0xa5; ROOM]);
        let file = program.build();
        let image = Image::parse(&file).unwrap();
        let offset =
            |at: LinkAddr| image.bytes(at, 1).unwrap().as_ptr().addr() - file.as_ptr().addr();
        let (first, room) = (image.functions()[0], image.functions()[1].entry);
        let layout = image.facts().module;
        let (start, end) = image.text();
        let records = image.moduledata_word(layout.pclntable).unwrap();
        Self {
            room: (offset(room), room.get()),
            module: offset(image.first_moduledata()),
            count: offset(image.pclntab().checked_add(8).unwrap()),
            text_len: end.offset_from(start).unwrap() as u32,
            record: (offset(first.record), (first.record.get() - records) as u32),
            layout,
            file: file.clone(),
        }
    }

    fn set(&mut self, at: usize, bytes: &[u8]) {
        self.file[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn set_module(&mut self, field: u32, value: u64) {
        self.set(self.module + field as usize, &value.to_le_bytes());
    }

    /// Makes the whole room one function table whose entries are all the first function.
    fn fill_with_functions(&mut self) {
        let count = (ROOM - 16) / 8;
        for index in 0..count {
            let at = self.room.0 + 8 * index;
            self.set(at, &0u32.to_le_bytes());
            self.set(at + 4, &self.record.1.to_le_bytes());
        }
        self.set(self.room.0 + 8 * count, &self.text_len.to_le_bytes());
        self.set(self.count, &(count as u64).to_le_bytes());
        self.set_module(self.layout.ftab, self.room.1);
        for field in [self.layout.ftab + 8, self.layout.ftab + 16] {
            self.set_module(field, count as u64 + 1);
        }
    }
}

#[test]
fn a_table_of_equal_entries_is_the_most_functions_per_byte() {
    let _alone = alone();
    for minor in [18, 21, 26] {
        let mut program = Roomy::new(GoVersion::new(minor, 0));
        program.fill_with_functions();
        assert!(!in_time(&program.file));
        // It is read to its end: then there is no way to look all of them up.
        let error = Image::parse(&program.file).err().unwrap();
        assert_eq!(error.code(), ImageErrorCode::UnprovenVersion, "{error}");
        assert!(error.to_string().contains("findfunctab"), "{error}");
    }
}

#[test]
fn names_that_share_their_bytes_are_read_within_a_budget() {
    let _alone = alone();
    let mut program = Roomy::new(GoVersion::new(21, 0));
    program.fill_with_functions();
    // All names begin at the end of the room's table and run through most of the text: none is short.
    let names = program.layout.funcnametab.unwrap();
    let (start, len) = (program.room.0 + ROOM / 2, ROOM / 2);
    program.set(start, &vec![b'a'; len - 1]);
    program.set(start + len - 1, &[0]);
    let count = (ROOM / 2 - 16) / 8;
    program.set(program.room.0 + 8 * count, &program.text_len.to_le_bytes());
    program.set(program.count, &(count as u64).to_le_bytes());
    program.set_module(program.layout.ftab + 8, count as u64 + 1);
    program.set_module(names, program.room.1 + (ROOM / 2) as u64);
    program.set_module(names + 8, len as u64);
    program.set(program.record.0 + 4, &1u32.to_le_bytes());
    assert!(!in_time(&program.file));
    assert_eq!(
        Image::parse(&program.file).err().unwrap().code(),
        ImageErrorCode::CorruptTable
    );
}

#[test]
fn inline_trees_of_all_functions_may_be_one() {
    let _alone = alone();
    let mut program = Roomy::new(GoVersion::new(21, 0));
    program.fill_with_functions();
    // The first function gets the whole text as its extent: its tables may have that many steps.
    program.set(program.room.0, &0u32.to_le_bytes());
    assert!(!in_time(&program.file));
    let error = Image::parse(&program.file).err().unwrap().to_string();
    // All trees have been walked before.
    assert!(error.contains("findfunctab"), "{error}");
}

/// Programs whose structures have descriptors, in each form in which those are written.
fn described() -> Vec<Synthetic> {
    let program = |minor| {
        let fixed = Synthetic {
            types: true,
            ..Synthetic::new(GoVersion::new(minor, 2))
        };
        [fixed.clone(), Synthetic { pie: true, ..fixed }]
    };
    [5, 6, 8, 16, 18, 19, 27]
        .into_iter()
        .flat_map(program)
        .collect()
}

#[test]
fn descriptors_may_be_wrong_anywhere() {
    let _alone = alone();
    let (mut parsed, mut refused) = (0, 0);
    for program in described() {
        let good = program.build();
        assert!(bounded(&good), "{}", program.version);
        let plain = Synthetic {
            types: false,
            ..program
        };
        // What is there besides begins somewhere behind the plain program's code.
        let mut file = good.clone();
        for at in (plain.build().len() / 3..good.len()).step_by(5) {
            for value in [0, 0xff, good[at] ^ 1, good[at] ^ 0x80] {
                file[at] = value;
                *if bounded(&file) {
                    &mut parsed
                } else {
                    &mut refused
                } += 1;
            }
            file[at] = good[at];
        }
    }
    assert!(
        parsed > 1000 && refused > 1000,
        "{parsed} parsed, {refused} refused"
    );
}

#[test]
fn a_file_of_nothing_but_descriptors_is_searched_in_time() {
    let _alone = alone();
    for minor in [8, 16, 21, 27] {
        let mut program = Roomy::new(GoVersion::new(minor, 0));
        // Each word is part of eight structures with this name.
        let name = b"\0\x0a*runtime.g";
        let old = b"\0\0\x0a*runtime.g";
        let name: &[u8] = if minor >= 17 { name } else { old };
        let at = program.room.0 + ROOM - 32;
        let word = [&(ROOM as u32 - 32).to_le_bytes()[..], &[2, 8, 8, 25]].concat();
        program.set(program.room.0, &word.repeat(ROOM / 8 - 4));
        program.set(at, name);
        program.set_module(program.layout.types.unwrap(), program.room.1);
        // Nothing in it is a structure, and the module data do not know where it ends.
        assert!(!in_time(&program.file), "go1.{minor}");
    }
}

#[test]
fn segments_may_not_share_the_whole_file() {
    let _alone = alone();
    let mut file = vec![0u8; 4 << 20];
    file[..64].copy_from_slice(&Synthetic::new(GoVersion::new(21, 0)).build()[..64]);
    let headers: u16 = 60_000;
    file[56..58].copy_from_slice(&headers.to_le_bytes());
    let size = file.len() as u64;
    for index in 0..usize::from(headers) {
        let at = 64 + 56 * index;
        file[at..at + 8].copy_from_slice(&[1, 0, 0, 0, 6, 0, 0, 0]);
        let words = [0, 0x1000_0000 * (index as u64 + 1), 0, size, size, 0x1000];
        for (word, value) in words.iter().enumerate() {
            let at = at + 8 + 8 * word;
            file[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
    }
    assert!(!in_time(&file));
    assert_eq!(
        Image::parse(&file).err().unwrap().code(),
        ImageErrorCode::CorruptElf
    );
}

#[test]
fn a_file_of_nothing_but_magic_numbers_is_searched_in_time() {
    let _alone = alone();
    let mut file = Synthetic::new(GoVersion::new(21, 0)).build();
    let pattern = [0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8];
    let program = 64; // the first program header: grow the text segment over the end of the file
    let old = file.len().next_multiple_of(8);
    file.resize(old, 0);
    file.extend(pattern.repeat(ROOM / 8));
    file.extend(b"\xff Go buildinf:\x08\x02".repeat(ROOM / 16));
    let extra = (file.len() - old) as u64;
    // Writable, so that every word of it is looked at, too.
    file[program + 4] = 7;
    file[program + 8..program + 16].copy_from_slice(&(old as u64).to_le_bytes());
    for at in [program + 32, program + 40] {
        file[at..at + 8].copy_from_slice(&extra.to_le_bytes());
    }
    file[program + 16..program + 24].copy_from_slice(&0x1000_0000u64.to_le_bytes());
    assert!(!in_time(&file));
}

/// Seeds of the fuzz target, and its findings: `goldens/inputs/image/*`. A finding is replayed by copying it there.
fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../goldens/inputs/image")
}

#[test]
fn seeds_and_findings_are_within_bounds() {
    let _alone = alone();
    let files: Vec<_> = std::fs::read_dir(seeds())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let parsed = bounded(&std::fs::read(&file).unwrap());
        let is_seed = file
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("seed-");
        assert!(parsed || !is_seed, "{} does not parse", file.display());
    }
}

/// `UPDATE_SEEDS=1 cargo test -p gondwana-engine --test image_hostile seeds` writes them.
#[test]
fn seeds_are_what_the_builder_builds() {
    for (minor, pie) in [9, 13, 16, 19, 26]
        .into_iter()
        .flat_map(|minor| [(minor, false), (minor, true)])
    {
        let built = Synthetic {
            pie,
            ..Synthetic::new(GoVersion::new(minor, 2))
        }
        .build();
        let path = seeds().join(format!("seed-go1.{minor}{}", if pie { "-pie" } else { "" }));
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            std::fs::write(&path, &built).unwrap();
        }
        assert!(
            std::fs::read(&path).unwrap() == built,
            "{}: run with UPDATE_SEEDS=1",
            path.display()
        );
    }
}
