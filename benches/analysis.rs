//! How long it takes to read a Go binary, to decide about all of its functions, and to plan and verify hooks.
//!
//! The input is the `go` command of the newest toolchain, or the file that `GONDWANA_BENCH_BIN` names. Throughput is per
//! byte of the file: 90 MB in a second is 90 MB/s over `parse` and `decide_all` together.

use std::hint::black_box;
use std::path::PathBuf;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gondwana_engine::image::Image;
use gondwana_engine::plan::{self, HookOptions, Placement, Selection};
use gondwana_engine::ring::RingGeometry;
use gondwana_engine::site::Finder;
use gondwana_engine::spec::HookSpec;
use gondwana_harness::toolchain::Toolchains;

/// The minor version whose `go` command is the input.
const NEWEST: u16 = gondwana_engine::golang::NEWEST;

fn input() -> PathBuf {
    if let Some(path) = std::env::var_os("GONDWANA_BENCH_BIN") {
        return path.into();
    }
    let toolchain = Toolchains::open()
        .and_then(|all| all.get_minor(NEWEST))
        .expect("a Go toolchain");
    toolchain.goroot().join("bin/go")
}

fn analysis(c: &mut Criterion) {
    let path = input();
    let data = std::fs::read(&path).expect("the input file");
    let image = Image::parse(&data).expect("a Go program");
    let mut group = c.benchmark_group("analysis");
    group.sample_size(10);

    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("parse", |b| {
        b.iter(|| Image::parse(black_box(&data)).map(|image| image.functions().len()))
    });
    group.bench_function("inlined_copies", |b| {
        b.iter(|| image.inlined_copies().len())
    });
    group.bench_function("decide_all", |b| {
        b.iter(|| {
            let finder = Finder::new(&image);
            image
                .functions()
                .iter()
                .filter(|function| finder.find(function).is_ok())
                .count()
        });
    });

    let spec = HookSpec::parse(["*"]).expect("a pattern");
    let everything = Selection::new(&image, &spec, HookOptions::default()).expect("functions");
    let shape = RingGeometry::for_hooks(everything.requests.len() as u32).expect("a shape");
    let placement = Placement::nominal(&image, shape);
    group.throughput(Throughput::Elements(everything.requests.len() as u64));
    group.bench_function("plan_all", |b| {
        b.iter(|| {
            plan::build(&image, black_box(&everything.requests), placement)
                .map(|plan| plan.writes.len())
        });
    });
    group.finish();
}

criterion_group!(benches, analysis);
criterion_main!(benches);
