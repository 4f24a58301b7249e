#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = gondwana_engine::image::Image::parse(data);
});
