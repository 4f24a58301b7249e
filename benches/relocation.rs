//! The relocation check over every hookable function of a program: functions per second.
//!
//! The program is the test program `httpserve`, which holds the larger part of Go's standard library.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use gondwana_engine::image::Image;
use gondwana_engine::site::Finder;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::executor::unicorn::program;
use gondwana_harness::testbins;
use gondwana_harness::toolchain::Toolchains;

fn relocation(c: &mut Criterion) {
    let toolchain = Toolchains::open().unwrap().get("1.26").unwrap();
    let case = testbins::case("httpserve").unwrap();
    let file = Builder::open()
        .unwrap()
        .build(&toolchain, &case.dir, Mode::Static)
        .unwrap();
    let data = std::fs::read(file).unwrap();
    let image = Image::parse(&data).unwrap();
    let finder = Finder::new(&image);
    let functions = image.functions().iter();
    let sites: Vec<_> = functions.filter_map(|f| finder.find(f).ok()).collect();

    let mut group = c.benchmark_group("relocation");
    group.sample_size(10);
    group.throughput(Throughput::Elements(sites.len() as u64));
    group.bench_function("every hookable function, seven states", |b| {
        b.iter(|| {
            let checked = program::check(&image, &sites, 1, |_| {}).unwrap();
            // A benchmark is a test too: a check that fails early is fast.
            assert_eq!(
                (checked.functions, checked.diverged),
                (sites.len() as u64, 0)
            );
        });
    });
    group.finish();
}

criterion_group!(benches, relocation);
criterion_main!(benches);
