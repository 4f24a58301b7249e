//! Stack depths against the code: nothing is on the stack where a function begins and where it returns.

use gondwana_engine::addr::LinkAddr;
use gondwana_engine::image::{Function, Image};
use iced_x86::{Decoder, DecoderOptions, FlowControl};

/// At the entry and at each return the stack is as the caller left it.
pub(crate) fn check(image: &Image<'_>) {
    let version = image.version();
    let (mut returns, mut wrong) = (0, Vec::new());
    for function in image.functions() {
        // Assembly that switches stacks says what it likes.
        if !function.has_locals_map || image.pcsp(function).next().is_none() {
            continue;
        }
        assert_eq!(
            depth_at(image, function, function.entry),
            Some(0),
            "{version}: {function:?}"
        );
        let code = image.bytes(function.entry, function.size as usize).unwrap();
        for instruction in
            Decoder::with_ip(64, code, function.entry.get(), DecoderOptions::NONE).iter()
        {
            if instruction.flow_control() == FlowControl::Return {
                returns += 1;
                if depth_at(image, function, LinkAddr::new(instruction.ip())) != Some(0) {
                    wrong.push((function.name, instruction.ip()));
                }
            }
        }
    }
    assert!(returns > 1000, "{version}: {returns} returns");
    assert!(
        wrong.is_empty(),
        "{version}: {} of {returns} returns: {:x?}",
        wrong.len(),
        &wrong[..wrong.len().min(9)]
    );
}

fn depth_at(image: &Image<'_>, function: &Function<'_>, pc: LinkAddr) -> Option<i32> {
    image
        .pcsp(function)
        .find(|&(end, _)| pc < end)
        .map(|(_, depth)| depth)
}
