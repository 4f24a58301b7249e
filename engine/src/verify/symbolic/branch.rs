//! Conditional jumps: decided by constants or by what the path knows already, else both ways.

use iced_x86::ConditionCode as C;

use super::machine::Stuck;
use super::state::{Condition, Flags, below, equal, zero};
use super::step::Machine;
use super::term::Val;

impl Machine<'_> {
    /// A conditional jump: decided by constants or by what the path knows, else both ways.
    pub(super) fn branch(&mut self) -> Result<(), Stuck> {
        let target = self.instruction.near_branch64();
        let truth = match self.condition()? {
            Decided::Now(truth) => truth,
            Decided::By(condition, negated) => match self.state.decides(condition) {
                Some(truth) => truth != negated,
                None => {
                    let mut taken = self.state.clone();
                    taken.ip = target;
                    taken.path.push((condition, !negated));
                    self.fork = Some(taken);
                    self.state.path.push((condition, negated));
                    return Ok(());
                }
            },
        };
        if truth {
            self.state.ip = target;
        }
        Ok(())
    }

    pub(super) fn condition(&mut self) -> Result<Decided, Stuck> {
        let code = self.instruction.condition_code();
        match (self.state.flags, code) {
            (Flags::Zero(zero), C::e) => Ok(Decided::Now(zero)),
            (Flags::Zero(zero), C::ne) => Ok(Decided::Now(!zero)),
            (Flags::Result(value, width), C::e | C::ne | C::s | C::ns) => {
                let negated = matches!(code, C::ne | C::ns);
                match (self.terms.as_constant(value), code) {
                    (Some(x), C::e | C::ne) => Ok(Decided::Now((x == 0) != negated)),
                    (Some(x), _) => {
                        let sign = x >> (u32::from(width) * 8 - 1) & 1 == 1;
                        Ok(Decided::Now(sign != negated))
                    }
                    (None, C::e | C::ne) => Ok(Decided::By(zero(self.terms, value), negated)),
                    _ => Err(self.unknown()),
                }
            }
            (Flags::Compare(a, b, width), _) => self.compare(a, b, width, code),
            _ => Err(self.unknown()),
        }
    }

    pub(super) fn compare(&mut self, a: Val, b: Val, width: u8, code: C) -> Result<Decided, Stuck> {
        let shift = 64 - u32::from(width) * 8;
        // Two addresses in the stack compare by their distances: the stack does not wrap.
        let constants = match (self.terms.as_constant(a), self.terms.as_constant(b)) {
            (Some(x), Some(y)) => Some((x << shift, y << shift)),
            _ => match (
                self.state.stack_offset(self.terms, a),
                self.state.stack_offset(self.terms, b),
            ) {
                (Some(x), Some(y)) if width == 8 => {
                    // moved to the middle of the unsigned range, so that both orders agree
                    let flip = 1u64 << 62;
                    Some((
                        x.cast_unsigned().wrapping_add(flip),
                        y.cast_unsigned().wrapping_add(flip),
                    ))
                }
                _ => None,
            },
        };
        if let Some((x, y)) = constants {
            let (sx, sy) = (x.cast_signed(), y.cast_signed());
            let truth = match code {
                C::e => x == y,
                C::ne => x != y,
                C::b => x < y,
                C::ae => x >= y,
                C::be => x <= y,
                C::a => x > y,
                C::l => sx < sy,
                C::ge => sx >= sy,
                C::le => sx <= sy,
                C::g => sx > sy,
                C::s => sx.wrapping_sub(sy) < 0,
                C::ns => sx.wrapping_sub(sy) >= 0,
                _ => return Err(self.unknown()),
            };
            return Ok(Decided::Now(truth));
        }
        let (condition, negated) = match code {
            C::e => (equal(self.terms, a, b), false),
            C::ne => (equal(self.terms, a, b), true),
            C::b => below(self.terms, a, b),
            C::ae => {
                let (condition, negated) = below(self.terms, a, b);
                (condition, !negated)
            }
            C::a => below(self.terms, b, a),
            C::be => {
                let (condition, negated) = below(self.terms, b, a);
                (condition, !negated)
            }
            _ => return Err(self.unknown()),
        };
        Ok(Decided::By(condition, negated))
    }
}

pub(super) enum Decided {
    Now(bool),
    /// By a condition, negated or not.
    By(Condition, bool),
}
