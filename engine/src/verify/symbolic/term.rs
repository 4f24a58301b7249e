//! Values that are not known yet, in a normal form: equal values get equal [`Val`]s.
//!
//! A value is a sum `k₁·a₁ + … + kₙ·aₙ + c` modulo 2⁶⁴ of *atoms*: an entry register, a word of memory, a time stamp. All
//! address arithmetic (`lea`, `add`, `sub`, `shl`, `imul` by a constant) stays inside that form, so two ways of computing one
//! address compare equal without any prover. What is not linear (`and`, `or`, truncation) becomes an atom of its own.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;

/// A sum of more atoms than any address or record has is forgotten: it becomes a value of which nothing is known.
const MAX_TERMS: usize = 32;

/// A value in normal form; equal if and only if the terms are the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(in crate::verify) struct Val(u32);

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(in crate::verify) struct AtomId(u32);

/// Which half of a trampoline runs: the world is another one after the callee ran (another M, a moved stack).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(in crate::verify) enum Phase {
    /// From the first byte to the call of the relocated window.
    Entry,
    /// From the return of the hooked function to `ret`.
    Exit,
}

/// One byte of memory or of a value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(in crate::verify) enum Byte {
    /// Never written.
    Undefined,
    /// A known byte.
    Known(u8),
    /// Byte `.1` of a value.
    Of(Val, u8),
    /// The byte that lay at this distance from the entry's RSP before the trampoline ran.
    Initial(i64),
    /// What the hooked function left at this distance from the entry's RSP, in the copied argument area.
    Callee(i64),
}

/// What a value is made of.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(in crate::verify) enum Atom {
    /// A register (0 RAX … 15 R15, in the encoding's order) when the phase began.
    Register(Phase, u8),
    /// The thread-local word `fs:[disp]`.
    Tls(Phase, i64),
    /// Memory: `width` bytes at `address`, zero-extended. `nonce` tells apart reads of memory that others write.
    Load {
        phase: Phase,
        address: Val,
        width: u8,
        nonce: u32,
    },
    /// Half of the `n`th time stamp of a phase.
    Tsc { phase: Phase, n: u32, high: bool },
    /// Bytes from several places, little-endian, the rest zero.
    Bytes(Vec<Byte>),
    /// The low `.1` bytes, zero-extended.
    Zext(Val, u8),
    /// The low 4 bytes, sign-extended.
    Sext32(Val),
    /// Bitwise and.
    And(Val, Val),
    /// Bitwise or.
    Or(Val, Val),
    /// Bitwise exclusive or.
    Xor(Val, Val),
    /// Logical shift right.
    Shr(Val, u8),
    /// Anything at all.
    Any(u32),
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub(in crate::verify) struct Linear {
    pub(in crate::verify) constant: u64,
    pub(in crate::verify) terms: Vec<(AtomId, u64)>,
}

/// Multiplicative hashing; keys are small and trusted (they are indices into these very tables).
#[derive(Default)]
pub(in crate::verify) struct Fast(u64);

impl Hasher for Fast {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(u64::from(byte));
        }
    }
    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 ^= self.0 >> 29;
    }
    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }
    fn write_u32(&mut self, word: u32) {
        self.write_u64(u64::from(word));
    }
    fn write_i64(&mut self, word: i64) {
        self.write_u64(word.cast_unsigned());
    }
    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }
    fn write_isize(&mut self, word: isize) {
        self.write_u64(word.cast_unsigned() as u64);
    }
}

type Table<K, V> = HashMap<K, V, BuildHasherDefault<Fast>>;

/// All values of one run.
pub(in crate::verify) struct Terms {
    linears: Vec<Rc<Linear>>,
    linear_ids: Table<Rc<Linear>, Val>,
    atoms: Vec<Atom>,
    atom_ids: Table<Atom, AtomId>,
    fresh: u32,
}

impl Default for Terms {
    fn default() -> Self {
        // what an ordinary trampoline needs, at once
        Self {
            linears: Vec::with_capacity(512),
            linear_ids: HashMap::with_capacity_and_hasher(512, BuildHasherDefault::default()),
            atoms: Vec::with_capacity(128),
            atom_ids: HashMap::with_capacity_and_hasher(128, BuildHasherDefault::default()),
            fresh: 0,
        }
    }
}

impl Terms {
    fn intern(&mut self, linear: Linear) -> Val {
        if let Some(&known) = self.linear_ids.get(&linear) {
            return known;
        }
        let id = Val(self.linears.len() as u32);
        let linear = Rc::new(linear);
        self.linears.push(Rc::clone(&linear));
        self.linear_ids.insert(linear, id);
        id
    }

    pub(in crate::verify) fn linear(&self, value: Val) -> &Linear {
        &self.linears[value.0 as usize]
    }

    /// What an atom of these terms is.
    pub(super) fn atom_of(&self, id: AtomId) -> &Atom {
        &self.atoms[id.0 as usize]
    }

    pub(in crate::verify) fn constant(&mut self, constant: u64) -> Val {
        self.intern(Linear {
            constant,
            terms: Vec::new(),
        })
    }

    pub(in crate::verify) fn as_constant(&self, value: Val) -> Option<u64> {
        let linear = self.linear(value);
        linear.terms.is_empty().then_some(linear.constant)
    }

    /// The atom that `value` is, alone and unscaled.
    pub(in crate::verify) fn as_atom(&self, value: Val) -> Option<&Atom> {
        match self.linear(value) {
            Linear { constant: 0, terms } => match terms.as_slice() {
                [(atom, 1)] => Some(self.atom_of(*atom)),
                _ => None,
            },
            _ => None,
        }
    }

    /// `value = base + distance`: the distance.
    pub(in crate::verify) fn distance(&self, value: Val, base: Val) -> Option<i64> {
        let (value, base) = (self.linear(value), self.linear(base));
        let distance = value.constant.wrapping_sub(base.constant);
        (value.terms == base.terms).then_some(distance.cast_signed())
    }

    pub(in crate::verify) fn atom(&mut self, atom: Atom) -> Val {
        let id = match self.atom_ids.get(&atom) {
            Some(&known) => known,
            None => {
                let id = AtomId(self.atoms.len() as u32);
                self.atoms.push(atom.clone());
                self.atom_ids.insert(atom, id);
                id
            }
        };
        self.intern(Linear {
            constant: 0,
            terms: vec![(id, 1)],
        })
    }

    pub(in crate::verify) fn nonce(&mut self) -> u32 {
        self.fresh += 1;
        self.fresh
    }

    pub(in crate::verify) fn any(&mut self) -> Val {
        let nonce = self.nonce();
        self.atom(Atom::Any(nonce))
    }

    pub(in crate::verify) fn add(&mut self, a: Val, b: Val) -> Val {
        self.combine(a, b, 1)
    }

    pub(in crate::verify) fn sub(&mut self, a: Val, b: Val) -> Val {
        self.combine(a, b, u64::MAX)
    }

    pub(in crate::verify) fn offset(&mut self, a: Val, by: i64) -> Val {
        if by == 0 {
            return a;
        }
        let mut linear: Linear = self.linear(a).clone();
        linear.constant = linear.constant.wrapping_add(by.cast_unsigned());
        self.intern(linear)
    }

    /// `a + factor·b`
    fn combine(&mut self, a: Val, b: Val, factor: u64) -> Val {
        let (x, y) = (self.linear(a), self.linear(b));
        let constant = x.constant.wrapping_add(y.constant.wrapping_mul(factor));
        let mut terms = Vec::with_capacity(x.terms.len() + y.terms.len());
        let (mut i, mut j) = (0, 0);
        while let (Some(&(p, k)), Some(&(q, l))) = (x.terms.get(i), y.terms.get(j)) {
            let scaled = l.wrapping_mul(factor);
            let term = if p < q {
                i += 1;
                (p, k)
            } else if q < p {
                j += 1;
                (q, scaled)
            } else {
                i += 1;
                j += 1;
                (p, k.wrapping_add(scaled))
            };
            if term.1 != 0 {
                terms.push(term);
            }
        }
        terms.extend(x.terms.iter().skip(i).copied());
        terms.extend(
            y.terms
                .iter()
                .skip(j)
                .map(|&(q, l)| (q, l.wrapping_mul(factor)))
                .filter(|&(_, l)| l != 0),
        );
        if terms.len() > MAX_TERMS {
            return self.any();
        }
        self.intern(Linear { constant, terms })
    }

    pub(in crate::verify) fn scale(&mut self, a: Val, factor: u64) -> Val {
        let x = self.linear(a);
        let linear = Linear {
            constant: x.constant.wrapping_mul(factor),
            terms: x
                .terms
                .iter()
                .map(|&(p, k)| (p, k.wrapping_mul(factor)))
                .filter(|&(_, k)| k != 0)
                .collect(),
        };
        self.intern(linear)
    }

    pub(in crate::verify) fn and(&mut self, a: Val, b: Val) -> Val {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        match (self.as_constant(a), self.as_constant(b)) {
            (Some(x), Some(y)) => self.constant(x & y),
            (Some(mask), None) => self.mask(b, mask),
            (None, Some(mask)) => self.mask(a, mask),
            (None, None) if a == b => a,
            (None, None) => self.atom(Atom::And(a, b)),
        }
    }

    /// `(2ˢ·y) & (m·2ˢ) = 2ˢ·(y & m)`, and below a mask of ones only the low bits of a sum count.
    fn mask(&mut self, value: Val, mask: u64) -> Val {
        if mask == 0 {
            return self.constant(0);
        }
        let shift = mask.trailing_zeros();
        let linear = self.linear(value);
        let low = (1u64 << shift) - 1;
        let divisible =
            linear.constant & low == 0 && linear.terms.iter().all(|&(_, k)| k & low == 0);
        let shift = if divisible { shift } else { 0 };
        let mask = mask >> shift;
        let inner = Linear {
            constant: linear.constant >> shift,
            terms: linear.terms.iter().map(|&(p, k)| (p, k >> shift)).collect(),
        };
        let inner = self.intern(inner);
        let inner = match mask.trailing_ones() {
            ones if mask.count_ones() == ones => self.low_bits(inner, ones),
            _ => inner,
        };
        let masked = match self.as_constant(inner) {
            Some(x) => self.constant(x & mask),
            None => {
                let mask = self.constant(mask);
                self.atom(Atom::And(inner, mask))
            }
        };
        self.scale(masked, 1u64 << shift)
    }

    /// A value with the same low `bits` as `value`, in one form for all values that have them in common by form.
    fn low_bits(&mut self, value: Val, bits: u32) -> Val {
        let ones = 1u64
            .checked_shl(bits)
            .map_or(u64::MAX, |top| top.wrapping_sub(1));
        let linear = self.linear(value).clone();
        let mut sum = self.constant(linear.constant & ones);
        for (atom, k) in linear.terms {
            let inner = match self.atom_of(atom) {
                &Atom::Zext(inner, width) if u32::from(width) * 8 >= bits => inner,
                _ => self.intern(Linear {
                    constant: 0,
                    terms: vec![(atom, 1)],
                }),
            };
            let scaled = self.scale(inner, k);
            sum = self.add(sum, scaled);
        }
        let linear = self.linear(sum);
        let reduced = Linear {
            constant: linear.constant & ones,
            terms: linear
                .terms
                .iter()
                .map(|&(p, k)| (p, k & ones))
                .filter(|&(_, k)| k != 0)
                .collect(),
        };
        self.intern(reduced)
    }

    pub(in crate::verify) fn or(&mut self, a: Val, b: Val) -> Val {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        match (self.as_constant(a), self.as_constant(b)) {
            (Some(x), Some(y)) => self.constant(x | y),
            (Some(0), None) => b,
            (None, Some(0)) => a,
            _ if a == b => a,
            _ => self.atom(Atom::Or(a, b)),
        }
    }

    pub(in crate::verify) fn xor(&mut self, a: Val, b: Val) -> Val {
        let (a, b) = if a <= b { (a, b) } else { (b, a) };
        match (self.as_constant(a), self.as_constant(b)) {
            (Some(x), Some(y)) => self.constant(x ^ y),
            _ if a == b => self.constant(0),
            _ => self.atom(Atom::Xor(a, b)),
        }
    }

    pub(in crate::verify) fn shr(&mut self, a: Val, by: u8) -> Val {
        match self.as_constant(a) {
            Some(x) => self.constant(x.checked_shr(u32::from(by)).unwrap_or(0)),
            None if by == 0 => a,
            None => self.atom(Atom::Shr(a, by)),
        }
    }

    /// How many low bytes of `value` can be other than zero, as far as its form tells.
    fn width(&self, value: Val) -> u8 {
        match self.as_atom(value) {
            Some(Atom::Load { width, .. }) => *width,
            Some(Atom::Tsc { .. }) => 4,
            Some(Atom::Bytes(bytes)) => bytes.len() as u8,
            Some(Atom::Zext(_, width)) => *width,
            Some(Atom::And(_, mask)) => match self.as_constant(*mask) {
                Some(mask) => (64 - mask.leading_zeros()).div_ceil(8) as u8,
                None => 8,
            },
            _ => match self.as_constant(value) {
                Some(x) => (64 - x.leading_zeros()).div_ceil(8) as u8,
                None => 8,
            },
        }
    }

    /// The low `width` bytes, zero-extended.
    pub(in crate::verify) fn zext(&mut self, value: Val, width: u8) -> Val {
        if width >= 8 || self.width(value) <= width {
            return value;
        }
        let value = self.low_bits(value, u32::from(width) * 8);
        let bytes = self.bytes(value);
        let mut kept = [Byte::Known(0); 8];
        for (to, from) in kept.iter_mut().zip(bytes).take(usize::from(width)) {
            *to = from;
        }
        self.join(kept)
    }

    pub(in crate::verify) fn sext32(&mut self, value: Val) -> Val {
        match self.as_constant(value) {
            Some(x) => self.constant(i64::from(x as u32 as i32).cast_unsigned()),
            None => self.atom(Atom::Sext32(value)),
        }
    }

    /// The eight bytes of a value.
    pub(in crate::verify) fn bytes(&self, value: Val) -> [Byte; 8] {
        if let Some(x) = self.as_constant(value) {
            return x.to_le_bytes().map(Byte::Known);
        }
        let mut out = [Byte::Known(0); 8];
        match self.as_atom(value) {
            Some(Atom::Bytes(bytes)) => {
                for (to, from) in out.iter_mut().zip(bytes) {
                    *to = *from;
                }
            }
            Some(&Atom::Zext(inner, width)) => {
                let from = self.bytes(inner);
                for (to, from) in out.iter_mut().zip(from).take(usize::from(width)) {
                    *to = from;
                }
            }
            _ => {
                let width = self.width(value);
                for (i, to) in out.iter_mut().enumerate().take(usize::from(width)) {
                    *to = Byte::Of(value, i as u8);
                }
            }
        }
        out
    }

    /// The value with these eight bytes.
    pub(in crate::verify) fn join(&mut self, bytes: [Byte; 8]) -> Val {
        let mut word = 0u64;
        let known = bytes.iter().rev().all(|byte| match byte {
            Byte::Known(x) => {
                word = word << 8 | u64::from(*x);
                true
            }
            _ => false,
        });
        if known {
            return self.constant(word);
        }
        let used = 8 - bytes
            .iter()
            .rev()
            .take_while(|byte| **byte == Byte::Known(0))
            .count();
        if let Byte::Of(value, 0) = bytes[0] {
            if self.bytes(value) == bytes {
                return value;
            }
            let low = self.bytes(value);
            if used < 8 && low[..used] == bytes[..used] {
                return self.atom(Atom::Zext(value, used as u8));
            }
        }
        self.atom(Atom::Bytes(bytes[..used].to_vec()))
    }

    /// `value = a - b` for two atoms: `(a, b)`.
    pub(in crate::verify) fn difference(&mut self, value: Val) -> Option<(Val, Val)> {
        let linear = self.linear(value);
        let (a, b) = match (linear.constant, linear.terms.as_slice()) {
            (0, &[(a, 1), (b, u64::MAX)]) => (a, b),
            (0, &[(b, u64::MAX), (a, 1)]) => (a, b),
            _ => return None,
        };
        let mut alone = |atom| {
            self.intern(Linear {
                constant: 0,
                terms: vec![(atom, 1)],
            })
        };
        Some((alone(a), alone(b)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ways_to_one_address_are_one_value() {
        let mut t = Terms::default();
        let h = t.atom(Atom::Register(Phase::Exit, 2));
        let mask = t.constant(0x3fff);
        let wide = t.constant(0x3fff << 6);
        let one = t.and(h, mask);
        let one = t.scale(one, 64);
        let shifted = t.scale(h, 64);
        let other = t.and(shifted, wide);
        assert_eq!(one, other);
        let next = t.offset(h, 1);
        let next = t.and(next, mask);
        let next = t.scale(next, 64);
        assert_ne!(one, next);
    }

    #[test]
    fn sums_cancel() {
        let mut t = Terms::default();
        let a = t.atom(Atom::Register(Phase::Entry, 4));
        let b = t.atom(Atom::Register(Phase::Entry, 14));
        let sum = t.add(a, b);
        let back = t.sub(sum, b);
        assert_eq!(back, a);
        let moved = t.offset(a, -64);
        assert_eq!(t.distance(moved, a), Some(-64));
        assert_eq!(t.distance(moved, b), None);
    }

    #[test]
    fn bytes_join_to_what_they_came_from() {
        let mut t = Terms::default();
        let a = t.atom(Atom::Register(Phase::Entry, 0));
        let bytes = t.bytes(a);
        assert_eq!(t.join(bytes), a);
        let low = t.zext(a, 4);
        assert_ne!(low, a);
        assert_eq!(t.bytes(low)[..4], bytes[..4]);
        assert_eq!(t.zext(low, 4), low);
        let bytes = t.bytes(low);
        assert_eq!(t.join(bytes), low);
    }
}
