//! The runtime's structures as the tables have them -> their type descriptors, as the compiler of that version writes them.

use crate::golang::tables::{Release, STRUCTURES};

use super::put;
use super::writer::Writer;

/// Structures that describe themselves in every program.
const DESCRIBED: [&str; 5] = [
    "runtime.moduledata",
    "runtime.g",
    "runtime.m",
    "runtime._panic",
    "runtime.p",
];
/// `reflect.Kind` of structures and of what stands for all else.
const STRUCT: u8 = 25;
const UINTPTR: u8 = 12;
const NAMED: u8 = 4 | 1;
const EXTRA_STAR: u8 = 2;

/// A field: name, offset, address of its type.
type Field<'f> = (&'f str, u32, u64);

impl Writer<'_> {
    /// Appends them; gives `moduledata.types` and `etypes`.
    pub(super) fn descriptors(&mut self) -> (u64, u64) {
        let base = self.append(&[0; 8], 8);
        let release = Release::from(self.program.version);
        let word = self.plain(base, 8);
        let stack = self.structure(
            base,
            "runtime.stack",
            16,
            &[("lo", 0, word), ("hi", 8, word)],
        );
        for name in DESCRIBED {
            let table = STRUCTURES.iter().find(|table| table.name == name);
            let table = table.expect("a structure of the tables");
            let mut fields = Vec::new();
            if name == "runtime.g" {
                fields.push(("stack", 0, stack));
            }
            for field in table
                .fields
                .iter()
                .filter(|field| !field.path.contains('.'))
            {
                let place = crate::golang::tables::place(field, release);
                let Some(offset) = place else { continue };
                let of = self.plain(base, field.width);
                fields.push((field.path, offset, of));
            }
            fields.sort_by_key(|&(_, offset, _)| offset);
            let size = table.size_in(release).expect("a structure of the version");
            self.structure(base, name, size, &fields);
        }
        (base, self.append(&[0; 8], 8))
    }

    /// A type of so many bytes, of no structure.
    fn plain(&mut self, base: u64, size: u32) -> u64 {
        let text = self.text_of_type(base, "*uintptr");
        let descriptor = self.head(size, UINTPTR, text);
        let at = self.append(&descriptor, 8);
        self.point_to_text(at, text);
        at
    }

    fn structure(&mut self, base: u64, name: &str, size: u32, fields: &[Field<'_>]) -> u64 {
        let layout = self.facts.types;
        let text = self.text_of_type(base, &format!("*{name}"));
        let names: Vec<u64> = fields.iter().map(|(name, ..)| self.name(name)).collect();
        let mut array = Vec::new();
        for &(_, offset, _) in fields {
            let mut field = vec![0u8; layout.field_size as usize];
            let offset = u64::from(offset) << u32::from(layout.field_offset_shifted);
            put(&mut field, layout.field_offset, &offset.to_le_bytes());
            array.extend(field);
        }
        let array = self.append(&array, 8);
        for (index, (name, (.., of))) in names.into_iter().zip(fields).enumerate() {
            let at = array + index as u64 * u64::from(layout.field_size);
            self.point(at + u64::from(layout.field_name), name);
            self.point(at + u64::from(layout.field_type), *of);
        }
        let package = self.name("runtime");
        let uncommon = layout.uncommon.map(|_| {
            let at = self.append(&[0; 40], 8);
            self.point(at + u64::from(layout.pkg_path), package);
            at
        });
        let mut descriptor = self.head(size, STRUCT, text);
        descriptor.resize(layout.struct_size as usize, 0);
        let count = (fields.len() as u64).to_le_bytes();
        put(&mut descriptor, layout.struct_fields + 8, &count);
        put(&mut descriptor, layout.struct_fields + 16, &count);
        if uncommon.is_none() {
            descriptor.resize(layout.struct_size as usize + 16, 0);
            let at = layout.struct_size + layout.pkg_path;
            put(
                &mut descriptor,
                at,
                &((package.wrapping_sub(base)) as u32).to_le_bytes(),
            );
        }
        let at = self.append(&descriptor, 8);
        self.point_to_text(at, text);
        self.point(at + u64::from(layout.struct_fields), array);
        if let Some((field, uncommon)) = layout.uncommon.zip(uncommon) {
            self.point(at + u64::from(field), uncommon);
        }
        at
    }

    /// What every descriptor starts with; `text`: offset of its name, where names are offsets.
    fn head(&self, size: u32, kind: u8, text: u64) -> Vec<u8> {
        let layout = self.facts.types;
        let fixed = layout.struct_fields as usize;
        let mut head = vec![0u8; fixed];
        put(&mut head, 0, &u64::from(size).to_le_bytes());
        put(&mut head, layout.align, &[8, 8]);
        put(&mut head, layout.kind, &[kind]);
        if let Some(tflag) = layout.tflag {
            put(&mut head, tflag, &[NAMED | EXTRA_STAR]);
            put(&mut head, layout.text, &(text as u32).to_le_bytes());
        }
        head
    }

    /// The text of a type: the address of a string header, or the offset of a name that has a `*` in front.
    fn text_of_type(&mut self, base: u64, text: &str) -> u64 {
        if self.facts.types.strings {
            self.name(text.trim_start_matches('*'))
        } else {
            self.name(text).wrapping_sub(base)
        }
    }

    fn point_to_text(&mut self, at: u64, text: u64) {
        let layout = self.facts.types;
        if layout.strings {
            self.point(at + u64::from(layout.text), text);
        }
    }

    /// A name, or the header of a string; its address.
    fn name(&mut self, text: &str) -> u64 {
        let layout = self.facts.types;
        if layout.strings {
            let bytes = self.append(text.as_bytes(), 1);
            let header = self.append(&[[0; 8], (text.len() as u64).to_le_bytes()].concat(), 8);
            self.point(header, bytes);
            return header;
        }
        let len = text.len() as u8;
        let head: &[u8] = if layout.name_varint {
            &[0, len]
        } else {
            &[0, 0, len]
        };
        self.append(&[head, text.as_bytes()].concat(), 1)
    }

    /// Writes an address into a word that was appended.
    fn point(&mut self, at: u64, to: u64) {
        let offset = at.saturating_sub(self.rodata_at) as u32;
        put(&mut self.parts.rodata, offset, &to.to_le_bytes());
        self.relocations.push((at, to));
    }
}
