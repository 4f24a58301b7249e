//! An ELF program + arguments -> a process image: segments, relocations, the first stack (System V ABI for AMD64, 3.4.1).
//!
//! Position-independent programs of Go name a dynamic linker, of which they need the relocations only; those are applied
//! here. A program that needs a shared library runs natively only, and the error says so.

use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use object::{LittleEndian, pod};
use unicorn_engine::RegisterX86;

use super::Trouble;
use super::cpu::{Cpu, CpuError};
use super::memory::{PAGE, READ_WRITE, Space};
use gondwana_engine::os::Protection;

const LE: LittleEndian = LittleEndian;
/// Room for the stack (`ulimit -s`).
const STACK_SIZE: u64 = 8 << 20;
/// Room that arguments and environment may take.
const ARGUMENTS_LIMIT: usize = 2 << 20;
/// Where the kernel puts position-independent programs, lowest (`ELF_ET_DYN_BASE`, `arch/x86/include/asm/elf.h`).
const PIE_BASE: u64 = 0x5555_5555_4000;
/// Largest program that is loaded: all its segments.
const IMAGE_LIMIT: u64 = 1 << 31;

/// What a process is started with.
#[derive(Clone, Debug)]
pub(super) struct Arguments<'a> {
    /// `argv`.
    pub argv: &'a [Vec<u8>],
    /// `envp`, each `NAME=value`.
    pub envp: &'a [Vec<u8>],
    /// The path of the program.
    pub path: &'a [u8],
    /// Sixteen random bytes (`AT_RANDOM`).
    pub random: [u8; 16],
    /// Top of the stack, page-aligned.
    pub stack_top: u64,
    /// Pages by which a position-independent program is moved from the lowest place.
    pub pie_pages: u64,
}

/// A loaded program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Loaded {
    /// Its entry point in the process.
    pub entry: u64,
    /// The auxiliary vector's bytes, `[start, end)`, for `/proc/self/auxv`.
    pub auxv: (u64, u64),
}

fn bad(what: impl Into<String>) -> Trouble {
    Trouble::Load(what.into())
}

/// Loads `file`; the processor stands at its entry point afterwards.
pub(super) fn load(
    file: &[u8],
    cpu: &mut Cpu,
    space: &mut Space,
    arguments: &Arguments<'_>,
) -> Result<Loaded, Trouble> {
    let header = FileHeader64::<LittleEndian>::parse(file)
        .map_err(|error| bad(format!("no 64-bit ELF file: {error}")))?;
    if header.e_machine(LE) != elf::EM_X86_64 {
        return Err(bad(format!(
            "machine {} where x86-64 (62) is expected",
            header.e_machine(LE).0
        )));
    }
    let slide = match header.e_type(LE) {
        elf::ET_EXEC => 0,
        elf::ET_DYN => PIE_BASE + arguments.pie_pages * PAGE,
        other => return Err(bad(format!("ELF type {} is no program", other.0))),
    };
    let headers = header
        .program_headers(LE, file)
        .map_err(|error| bad(format!("program headers: {error}")))?;
    let end = segments(file, headers, slide, cpu, space)?;
    // As Linux does, but not at random: the heap of C code starts behind the image.
    space.set_heap(end.next_multiple_of(PAGE));
    if slide != 0 {
        relocate(file, headers, slide, cpu)?;
    }
    let phdr = headers
        .iter()
        .find(|h| h.p_type(LE) == elf::PT_PHDR)
        .map(|h| h.p_vaddr(LE))
        .or_else(|| {
            let at = header.e_phoff.get(LE);
            headers
                .iter()
                .find(|h| h.p_type(LE) == elf::PT_LOAD && h.p_offset(LE) <= at)
                .map(|h| h.p_vaddr(LE) + (at - h.p_offset(LE)))
        })
        .unwrap_or(0)
        .wrapping_add(slide);
    let entry = header.e_entry(LE).wrapping_add(slide);
    let auxv = [
        (libc::AT_HWCAP, 0x0f8b_fbff),
        (libc::AT_PAGESZ, PAGE),
        (libc::AT_CLKTCK, 100),
        (libc::AT_PHDR, phdr),
        (
            libc::AT_PHENT,
            size_of::<ProgramHeader64<LittleEndian>>() as u64,
        ),
        (libc::AT_PHNUM, headers.len() as u64),
        (libc::AT_BASE, 0),
        (libc::AT_FLAGS, 0),
        (libc::AT_ENTRY, entry),
        (libc::AT_UID, 1000),
        (libc::AT_EUID, 1000),
        (libc::AT_GID, 1000),
        (libc::AT_EGID, 1000),
        (libc::AT_SECURE, 0),
    ];
    let (sp, auxv) = stack(cpu, space, arguments, &auxv)?;
    cpu.set_register(RegisterX86::RSP, sp)?;
    cpu.set_register(RegisterX86::RIP, entry)?;
    cpu.set_register(RegisterX86::RFLAGS, 0x202)?;
    cpu.set_register(RegisterX86::FPCW, 0x37f)?;
    cpu.set_register(RegisterX86::MXCSR, 0x1f80)?;
    Ok(Loaded { entry, auxv })
}

/// Maps the segments; the end of the last one.
fn segments(
    file: &[u8],
    headers: &[ProgramHeader64<LittleEndian>],
    slide: u64,
    cpu: &mut Cpu,
    space: &mut Space,
) -> Result<u64, Trouble> {
    let mut last = 0;
    let mut total = 0u64;
    for header in headers.iter().filter(|h| h.p_type(LE) == elf::PT_LOAD) {
        let range = || {
            let start = header.p_vaddr(LE).checked_add(slide)?;
            let end = start.checked_add(header.p_memsz(LE))?;
            Some((start, end))
        };
        let (start, end) = range().ok_or_else(|| bad("a segment beyond the address space"))?;
        total = total.saturating_add(end - start);
        if total > IMAGE_LIMIT {
            return Err(bad(format!("segments of more than {IMAGE_LIMIT} bytes")));
        }
        let data = header
            .data(LE, file)
            .map_err(|()| bad("a segment lies outside the file"))?;
        let (low, high) = (start & !(PAGE - 1), end.next_multiple_of(PAGE));
        let flags = header.p_flags(LE).0;
        let protection = Protection {
            read: flags & elf::PF_R.0 != 0,
            write: flags & elf::PF_W.0 != 0,
            execute: flags & elf::PF_X.0 != 0,
        };
        if low < high {
            space.map(cpu, low, high - low, protection, "[program]")?;
            let kept = data.len().min(header.p_memsz(LE) as usize);
            cpu.write(start, data.get(..kept).unwrap_or_default())
                .ok_or_else(|| bad("segments overlap"))?;
        }
        last = last.max(end);
    }
    if last == 0 {
        return Err(bad("no loadable segment"));
    }
    Ok(last)
}

/// Entries of a table of the dynamic section, read from the loaded image.
struct Table {
    at: u64,
    size: u64,
}

/// Applies the relocations of a position-independent program.
fn relocate(
    file: &[u8],
    headers: &[ProgramHeader64<LittleEndian>],
    slide: u64,
    cpu: &mut Cpu,
) -> Result<(), Trouble> {
    let Some(dynamic) = headers
        .iter()
        .find_map(|h| h.dynamic(LE, file).ok().flatten())
    else {
        return Ok(());
    };
    let value = |tag: elf::DynamicTag| {
        dynamic
            .iter()
            .find(|entry| entry.d_tag.get(LE) == tag)
            .map(|entry| entry.d_val.get(LE))
    };
    if value(elf::DT_NEEDED).is_some() {
        return Err(Trouble::NeedsNative("shared libraries".to_owned()));
    }
    let table = |at: elf::DynamicTag, size: elf::DynamicTag| {
        Some(Table {
            at: value(at)?.wrapping_add(slide),
            size: value(size)?,
        })
    };
    let tls_size = headers
        .iter()
        .find(|h| h.p_type(LE) == elf::PT_TLS)
        .map_or(0, |h| h.p_memsz(LE).next_multiple_of(h.p_align(LE).max(1)));
    let symbols = value(elf::DT_SYMTAB).map(|at| at.wrapping_add(slide));
    for table in [
        table(elf::DT_RELA, elf::DT_RELASZ),
        table(elf::DT_JMPREL, elf::DT_PLTRELSZ),
    ]
    .into_iter()
    .flatten()
    {
        let bytes = read(cpu, table.at, table.size)?;
        let count = bytes.len() / size_of::<elf::Rela64<LittleEndian>>();
        let (entries, _) = pod::slice_from_bytes::<elf::Rela64<LittleEndian>>(&bytes, count)
            .map_err(|()| bad("a relocation table is cut off"))?;
        for entry in entries {
            let at = entry.r_offset.get(LE).wrapping_add(slide);
            let addend = entry.r_addend.get(LE) as u64;
            let info = entry.r_info.get(LE);
            let word = match elf::RelocationType(info as u32) {
                elf::R_X86_64_RELATIVE => addend.wrapping_add(slide),
                elf::R_X86_64_TPOFF64 => symbol(cpu, symbols, info >> 32, 0)?
                    .wrapping_add(addend)
                    .wrapping_sub(tls_size),
                elf::R_X86_64_64 | elf::R_X86_64_GLOB_DAT | elf::R_X86_64_JUMP_SLOT => {
                    symbol(cpu, symbols, info >> 32, slide)?.wrapping_add(addend)
                }
                other => {
                    return Err(Trouble::NeedsNative(format!(
                        "a dynamic linker for relocation type {}",
                        other.0
                    )));
                }
            };
            cpu.write(at, &word.to_le_bytes())
                .ok_or_else(|| bad(format!("a relocation at {at:#x}, outside the image")))?;
        }
    }
    Ok(())
}

/// The value of a dynamic symbol; 0 for one that is not defined, as if it were weak.
fn symbol(cpu: &Cpu, table: Option<u64>, index: u64, slide: u64) -> Result<u64, Trouble> {
    if index == 0 {
        return Ok(0);
    }
    let size = size_of::<elf::Sym64<LittleEndian>>() as u64;
    let at = table.ok_or_else(|| bad("a relocation names a symbol, and there are none"))?;
    let bytes = read(cpu, at.wrapping_add(index * size), size)?;
    let (entry, _) = pod::from_bytes::<elf::Sym64<LittleEndian>>(&bytes)
        .map_err(|()| bad("a symbol is cut off"))?;
    let defined = entry.st_shndx.get(LE) != elf::SHN_UNDEF;
    Ok(if defined {
        entry.st_value.get(LE).wrapping_add(slide)
    } else {
        0
    })
}

fn read(cpu: &Cpu, at: u64, size: u64) -> Result<Vec<u8>, Trouble> {
    if size > IMAGE_LIMIT {
        return Err(bad(format!("a dynamic table of {size} bytes")));
    }
    let mut bytes = vec![0; size as usize];
    cpu.read(at, &mut bytes)
        .ok_or_else(|| bad(format!("a dynamic table at {at:#x}, outside the image")))?;
    Ok(bytes)
}

/// Builds the first stack; the stack pointer and the auxiliary vector's place.
fn stack(
    cpu: &mut Cpu,
    space: &mut Space,
    arguments: &Arguments<'_>,
    auxv: &[(u64, u64)],
) -> Result<(u64, (u64, u64)), Trouble> {
    let top = arguments.stack_top;
    let total: usize = arguments
        .argv
        .iter()
        .chain(arguments.envp)
        .map(|a| a.len() + 9)
        .sum();
    if total > ARGUMENTS_LIMIT {
        return Err(bad(format!(
            "{total} bytes of arguments and environment; {ARGUMENTS_LIMIT} at most"
        )));
    }
    space.map(cpu, top - STACK_SIZE, STACK_SIZE, READ_WRITE, "[stack]")?;
    let mut sp = top - 16;
    let mut push = |bytes: &[u8], cpu: &mut Cpu| -> Result<u64, CpuError> {
        sp -= bytes.len() as u64 + 1;
        // Fresh memory is zero, so the string ends.
        let _ = cpu.write(sp, bytes);
        Ok(sp)
    };
    let path = push(arguments.path, cpu)?;
    let platform = push(b"x86_64", cpu)?;
    let envp: Vec<u64> = arguments
        .envp
        .iter()
        .map(|e| push(e, cpu))
        .collect::<Result<_, _>>()?;
    let argv: Vec<u64> = arguments
        .argv
        .iter()
        .map(|a| push(a, cpu))
        .collect::<Result<_, _>>()?;
    let random = (sp - 16) & !15;
    let _ = cpu.write(random, &arguments.random);

    let mut words = vec![argv.len() as u64];
    words.extend(&argv);
    words.push(0);
    words.extend(&envp);
    words.push(0);
    let vector = words.len() as u64 * 8;
    for &(tag, value) in auxv.iter().chain(&[
        (libc::AT_RANDOM, random),
        (libc::AT_PLATFORM, platform),
        (libc::AT_EXECFN, path),
        (libc::AT_NULL, 0),
    ]) {
        words.extend([tag, value]);
    }
    let size = words.len() as u64 * 8;
    let sp = (random - size) & !15;
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let _ = cpu.write(sp, &bytes);
    Ok((sp, (sp + vector, sp + size)))
}
