#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    gondwana_engine::image::check::check(data);
});
