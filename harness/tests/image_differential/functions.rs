//! Names, entries and sizes of functions against symbol tables.

use std::collections::BTreeMap;

use gondwana_engine::golang::GoVersion;
use gondwana_engine::image::Image;

use crate::bench::Symbol;

/// The name that the line table has for a function's symbol: without the ABI and, in 1.18 to 1.20, without type
/// arguments (`cmd/link/internal/ld/pcln.go`, `nameParts`; later only tracebacks leave them out).
pub(crate) fn line_table_name(version: GoVersion, symbol: &str) -> String {
    let name = symbol.strip_suffix(".abi0").unwrap_or(symbol);
    match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close && (18..=20).contains(&version.minor) => {
            format!("{}...{}", &name[..=open], &name[close..])
        }
        _ => name.to_owned(),
    }
}

/// Every function has its symbol and every symbol its function, at the same place, with the same name and extent.
///
/// An extent reaches up to the next function: what lies behind the symbol's end is filler.
pub(crate) fn compare(image: &Image<'_>, symbols: &[Symbol]) {
    let version = image.version();
    let (start, end) = image.text();
    // Marks such as runtime.text have no size; C code lies outside.
    let inside = symbols
        .iter()
        .filter(|one| one.size > 0 && (start.get()..end.get()).contains(&one.address));
    let mut by_address: BTreeMap<u64, &Symbol> = inside.map(|one| (one.address, one)).collect();
    assert!(
        by_address.len() > 1000,
        "{version}: {} symbols",
        by_address.len()
    );
    for function in image.functions() {
        let symbol = by_address.remove(&function.entry.get());
        let symbol = symbol.unwrap_or_else(|| panic!("{version}: no symbol for {function:?}"));
        // The ELF symbol table has no middle dots (`cmd/link/internal/ld/symtab.go`, `putelfsym`).
        let name = function.name.replace('·', ".");
        assert_eq!(name, line_table_name(version, &symbol.name), "{version}");
        let code = image.bytes(function.entry, function.size as usize).unwrap();
        let filler = code.get(symbol.size as usize..);
        assert!(
            filler.is_some_and(|bytes| bytes.len() < 64 && is_filler(bytes)),
            "{version}: {} bytes in {function:?}",
            symbol.size
        );
    }
    let left: Vec<_> = by_address.values().map(|symbol| &symbol.name).collect();
    assert!(
        left.is_empty(),
        "{version}: symbols without a function: {left:?}"
    );
}

/// What the linker fills gaps with: int3, zeros, or (assembly that aligns a loop) nops.
fn is_filler(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0 | 0x90 | 0xcc))
}
