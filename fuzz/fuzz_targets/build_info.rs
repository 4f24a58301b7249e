#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    gondwana_engine::meta::check::check(data);
});
