//! In which order the groups of lines come -> those groups whose order is the same in each unhooked run.
//!
//! Lines of goroutines that run beside each other come in any order; those before and behind them do not.

use std::collections::BTreeSet;

/// Steps that finding out may take; beyond, no order is compared.
const STEPS: usize = 20_000_000;

/// What stays of the order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Order {
    kept: BTreeSet<usize>,
    sequence: Vec<usize>,
    /// Groups whose order is not compared.
    pub(super) free: usize,
}

impl Order {
    /// Learns from sequences of group numbers; `steady`: groups of which each sequence has as many.
    pub(super) fn learn(sequences: &[&[usize]], steady: &BTreeSet<usize>) -> Self {
        let kept = match all_alike(sequences, steady) {
            true => steady.clone(),
            false => without_unstable(sequences, steady),
        };
        let sequence = sequences.first().map(|s| project(s, &kept));
        Self {
            free: steady.len() - kept.len(),
            sequence: sequence.unwrap_or_default(),
            kept,
        }
    }

    /// The group that came and the one that should have, where a sequence leaves the order first.
    pub(super) fn broken_by(&self, sequence: &[usize]) -> Option<(usize, usize)> {
        let found = project(sequence, &self.kept);
        let mut pairs = found.iter().zip(&self.sequence);
        pairs.find(|(a, b)| a != b).map(|(&a, &b)| (a, b))
    }
}

fn project(sequence: &[usize], kept: &BTreeSet<usize>) -> Vec<usize> {
    let of = sequence.iter().copied();
    of.filter(|number| kept.contains(number)).collect()
}

fn all_alike(sequences: &[&[usize]], kept: &BTreeSet<usize>) -> bool {
    let mut projected = sequences.iter().map(|s| project(s, kept));
    let first = projected.next();
    projected.all(|other| Some(&other) == first.as_ref())
}

/// Takes away the group that changes places with the most others, until none does. Sequences are the same if their
/// projections on each pair of groups are.
fn without_unstable(sequences: &[&[usize]], steady: &BTreeSet<usize>) -> BTreeSet<usize> {
    let lines: usize = sequences.iter().map(|s| s.len()).sum();
    if lines.saturating_mul(steady.len()) > STEPS {
        return BTreeSet::new();
    }
    let groups: Vec<usize> = steady.iter().copied().collect();
    // Positions of each group's lines, by run.
    let positions: Vec<Vec<Vec<usize>>> = groups
        .iter()
        .map(|&group| {
            let of = |sequence: &&[usize]| {
                let places = sequence.iter().enumerate();
                places
                    .filter(|(_, g)| **g == group)
                    .map(|(at, _)| at)
                    .collect()
            };
            sequences.iter().map(of).collect()
        })
        .collect();
    let mut unstable: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); groups.len()];
    for (i, a) in positions.iter().enumerate() {
        for (j, b) in positions.iter().enumerate().skip(i + 1) {
            let mut merged = a.iter().zip(b).map(|(a, b)| interleaved(a, b));
            let first = merged.next();
            if merged.any(|other| Some(&other) != first.as_ref()) {
                if let Some(of) = unstable.get_mut(i) {
                    of.insert(j);
                }
                if let Some(of) = unstable.get_mut(j) {
                    of.insert(i);
                }
            }
        }
    }
    let mut kept: BTreeSet<usize> = (0..groups.len()).collect();
    loop {
        let degree = |i: &usize| {
            unstable
                .get(*i)
                .map_or(0, |of| of.intersection(&kept).count())
        };
        let Some(worst) = kept.iter().copied().max_by_key(degree) else {
            break;
        };
        if degree(&worst) == 0 {
            break;
        }
        kept.remove(&worst);
    }
    kept.iter()
        .filter_map(|&i| groups.get(i).copied())
        .collect()
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
        assert_eq!(order.free, 1);
        assert_eq!(order.broken_by(&[0, 2, 2, 1, 1, 3]), None);
        assert_eq!(
            order.broken_by(&[2, 2, 1, 1, 3, 0]),
            order.broken_by(&[1, 1, 3, 0])
        );
        assert!(order.broken_by(&[1, 1, 2, 2, 3, 0]).is_some());
        let fixed = Order::learn(&[&a, &a], &steady);
        assert_eq!(fixed.free, 0);
        assert_eq!(fixed.broken_by(&b), Some((2, 1)));
    }
}
