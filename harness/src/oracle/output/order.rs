//! In which order the groups of lines come -> those pairs of groups whose order is the same in each unhooked run.
//!
//! Lines of goroutines that run beside each other come in any order; those before and behind them do not. How often a run has
//! an order of two groups that no other run has ([`Order::usual`]) says how much that proves of another run.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Steps that finding out may take; beyond, no order is compared.
const STEPS: usize = 40_000_000;

/// What stays of the order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Order {
    kept: BTreeSet<usize>,
    /// The order of all kept groups, if it is always the same.
    sequence: Option<Vec<usize>>,
    /// Else the pairs whose order is, with that.
    pairs: Vec<(usize, usize, u64)>,
    /// Groups that change places with others.
    pub(super) free: usize,
    /// The most pairs that an unhooked run has in an order which no other one has.
    pub(super) usual: usize,
}

/// Where a run leaves the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Broken {
    /// The group that came.
    pub(super) came: usize,
    /// The group that should have.
    pub(super) should: usize,
    /// Pairs of groups that are in another order.
    pub(super) pairs: usize,
}

impl Order {
    /// Learns from sequences of group numbers; `steady`: groups of which each sequence has as many.
    pub(super) fn learn(sequences: &[&[usize]], steady: &BTreeSet<usize>) -> Self {
        let mut made = Self {
            kept: steady.clone(),
            ..Self::default()
        };
        let mut projected = sequences.iter().map(|s| project(s, steady));
        let first = projected.next().unwrap_or_default();
        if projected.all(|other| other == first) {
            made.sequence = Some(first);
            return made;
        }
        let lines: usize = sequences.iter().map(|s| s.len()).sum();
        if lines.saturating_mul(steady.len()) > STEPS {
            made.free = steady.len();
            return made;
        }
        let positions: Vec<Positions> = sequences.iter().map(|s| Positions::of(s)).collect();
        let groups: Vec<usize> = steady.iter().copied().collect();
        let mut moving = BTreeSet::new();
        let mut odd = vec![0; sequences.len()];
        for (i, &a) in groups.iter().enumerate() {
            for &b in groups.iter().skip(i + 1) {
                let patterns: Vec<u64> = positions.iter().map(|p| p.pattern(a, b)).collect();
                let first = patterns.first().copied().unwrap_or(0);
                if patterns.iter().all(|pattern| *pattern == first) {
                    made.pairs.push((a, b, first));
                    continue;
                }
                moving.extend([a, b]);
                for (pattern, odd) in patterns.iter().zip(&mut odd) {
                    if patterns.iter().filter(|other| *other == pattern).count() == 1 {
                        *odd += 1;
                    }
                }
            }
        }
        made.free = moving.len();
        made.usual = odd.into_iter().max().unwrap_or(0);
        made
    }

    /// Where a sequence, which has as many of each group, leaves the order.
    pub(super) fn broken_by(&self, sequence: &[usize]) -> Option<Broken> {
        if let Some(known) = &self.sequence {
            let found = project(sequence, &self.kept);
            let mut pairs = found.iter().zip(known);
            let (&came, &should) = pairs.find(|(a, b)| a != b)?;
            return Some(Broken {
                came,
                should,
                pairs: 1,
            });
        }
        let positions = Positions::of(sequence);
        let mut broken = self
            .pairs
            .iter()
            .filter(|(a, b, p)| positions.pattern(*a, *b) != *p);
        let &(a, b, _) = broken.next()?;
        Some(Broken {
            came: b,
            should: a,
            pairs: 1 + broken.count(),
        })
    }
}

fn project(sequence: &[usize], kept: &BTreeSet<usize>) -> Vec<usize> {
    let of = sequence.iter().copied();
    of.filter(|number| kept.contains(number)).collect()
}

/// The places of each group's lines; the index is the group's number.
struct Positions(Vec<Vec<usize>>);

impl Positions {
    fn of(sequence: &[usize]) -> Self {
        let most = sequence.iter().max().map_or(0, |most| most + 1);
        let mut places = vec![Vec::new(); most];
        for (at, &group) in sequence.iter().enumerate() {
            if let Some(of) = places.get_mut(group) {
                of.push(at);
            }
        }
        Self(places)
    }

    /// A number that says which of two groups each line is of, in order.
    fn pattern(&self, a: usize, b: usize) -> u64 {
        let of = |group: usize| self.0.get(group).map_or(&[][..], Vec::as_slice);
        match (of(a), of(b)) {
            ([x], [y]) => u64::from(x < y),
            (a, b) => {
                let mut hasher = DefaultHasher::new();
                interleaved(a, b).hash(&mut hasher);
                hasher.finish()
            }
        }
    }
}

/// Whether each line, in order, is of the first group.
fn interleaved(a: &[usize], b: &[usize]) -> Vec<bool> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut merged = Vec::new();
    loop {
        let first = match (a.peek(), b.peek()) {
            (Some(x), Some(y)) => x < y,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return merged,
        };
        if first {
            a.next();
        } else {
            b.next();
        }
        merged.push(first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_that_change_places_are_free() {
        let steady: BTreeSet<usize> = (0..4).collect();
        // 0: start, 3: end; 1 and 2 run beside each other.
        let (a, b) = ([0, 1, 1, 2, 2, 3], [0, 2, 1, 2, 1, 3]);
        let order = Order::learn(&[&a, &b], &steady);
        assert_eq!(order.free, 2);
        assert_eq!(order.broken_by(&[0, 2, 2, 1, 1, 3]), None);
        // Both are still compared with start and end.
        let broken = order.broken_by(&[2, 2, 1, 1, 3, 0]).unwrap();
        assert_eq!(broken.pairs, 3);
        assert!(order.broken_by(&[0, 1, 1, 2, 3, 2]).is_some());
        let fixed = Order::learn(&[&a, &a], &steady);
        assert_eq!(fixed.free, 0);
        let broken = fixed.broken_by(&b).unwrap();
        assert_eq!((broken.came, broken.should), (2, 1));
    }

    #[test]
    fn what_single_runs_do_is_usual() {
        let steady: BTreeSet<usize> = (0..3).collect();
        let (usual, odd) = ([0, 1, 2], [1, 0, 2]);
        let order = Order::learn(&[&usual, &usual, &odd], &steady);
        assert_eq!((order.usual, order.free), (1, 2));
        let order = Order::learn(&[&usual, &usual, &odd, &odd], &steady);
        assert_eq!(order.usual, 0);
    }
}
