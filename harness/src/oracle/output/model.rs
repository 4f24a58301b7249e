//! The lines of several unhooked runs -> [`Model`], what is the same in all of them; another run's lines -> where they
//! differ from it.
//!
//! Lines are compared by group, a group being all lines of one skeleton. In a group a column is one token of each line. Per
//! column the strictest statement is kept that holds for all unhooked runs: the same values in this order; the same values in
//! any order (and then, if they hold, the same rows, and the same order of rows with one value in a column: the lines of one
//! goroutine among those of others); the same value in this place; a token of this class. So a time that
//! changes in a line masks nothing else in it.

use std::collections::{BTreeMap, BTreeSet};

use super::order::Order;
use super::text::{Skeletons, Text};
use super::token::{Class, Token};

/// A place, as far as it can be found again in another run.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Place {
    /// A line that no run has had.
    Line,
    /// How often lines of a group come.
    Count(usize),
    /// A value in a column of a group.
    Column(usize, usize),
    /// The order of the values in a column of a group: the values are the same.
    Shuffle(usize, usize),
    /// The order of groups.
    Order,
}

/// Something that no unhooked run has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Difference {
    /// Where.
    pub(super) place: Place,
    /// How much of it differs, where that can be counted.
    pub(super) size: usize,
    /// What, for people.
    pub(super) what: String,
}

/// What stays in a group.
#[derive(Clone, Debug)]
struct Group {
    /// The least and the greatest number of lines.
    lines: (usize, usize),
    columns: Vec<Column>,
    /// The rows of the columns that stay, sorted, if they stay together and not in order.
    rows: Option<Vec<Vec<String>>>,
    /// Columns by whose value the others come in one order, with that.
    keys: Vec<(usize, Sequences)>,
}

/// For each value of a column, the rows that have it, in order.
type Sequences = BTreeMap<String, Vec<Vec<String>>>;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Column {
    /// These values in this order.
    Fixed(Vec<Token>),
    /// These values in any order; sorted.
    Shuffled(Vec<Token>),
    /// These values in these places, and tokens of these classes in the others.
    Places(Vec<Option<Token>>, Classes),
    /// Values of this set.
    Among(BTreeSet<Token>),
    /// Tokens of these classes.
    Free(Classes),
}

/// What stays in all unhooked runs.
#[derive(Clone, Debug)]
pub(super) struct Model {
    groups: BTreeMap<usize, Group>,
    order: Order,
}

impl Model {
    /// Learns from runs.
    pub(super) fn learn(runs: &[&Text]) -> Self {
        let numbers: BTreeSet<usize> = runs
            .iter()
            .flat_map(|r| r.sequence.iter().copied())
            .collect();
        let groups: BTreeMap<usize, Group> = numbers
            .into_iter()
            .map(|number| {
                let lines: Vec<&[Vec<Token>]> = runs.iter().map(|run| run.group(number)).collect();
                (number, Group::learn(&lines))
            })
            .collect();
        let steady = groups.iter().filter(|(_, group)| group.is_steady());
        let steady = steady.map(|(&number, _)| number).collect();
        let sequences: Vec<&[usize]> = runs.iter().map(|run| run.sequence.as_slice()).collect();
        Self {
            order: Order::learn(&sequences, &steady),
            groups,
        }
    }

    /// Where another run differs.
    pub(super) fn differences(&self, run: &Text, skeletons: &Skeletons) -> Vec<Difference> {
        let mut found = Vec::new();
        let numbers: BTreeSet<usize> = run.sequence.iter().copied().collect();
        for number in numbers
            .iter()
            .filter(|number| !self.groups.contains_key(number))
        {
            let what = format!(
                "a line that no unhooked run has: {:?}",
                shown(run, *number, skeletons)
            );
            found.push(Difference {
                place: Place::Line,
                size: 1,
                what,
            });
        }
        for (&number, group) in &self.groups {
            let of = |(place, what): (Place, String)| Difference {
                place,
                size: 1,
                what: format!("{what}, in lines {:?}", skeletons.show(number)),
            };
            let differences = group.differences(number, run.group(number));
            found.extend(differences.into_iter().map(of));
        }
        if found.is_empty()
            && let Some(broken) = self.order.broken_by(&run.sequence)
        {
            let (came, should) = (skeletons.show(broken.came), skeletons.show(broken.should));
            let what = format!("line {came:?} comes where {should:?} came in each unhooked run");
            found.push(Difference {
                place: Place::Order,
                size: broken.pairs,
                what,
            });
        }
        found
    }

    /// In how many pairs of groups an unhooked run may differ in order from all others.
    pub(super) fn usual_disorder(&self) -> usize {
        self.order.usual
    }

    /// How many columns are masked, by class, and how many groups come in any order.
    pub(super) fn masked(&self) -> (BTreeMap<Class, u64>, u64) {
        let mut classes = BTreeMap::new();
        let mut unordered = self.order.free as u64;
        for column in self.groups.values().flat_map(|group| &group.columns) {
            match column {
                Column::Places(_, of) | Column::Free(of) => {
                    for class in &of.classes {
                        *classes.entry(*class).or_default() += 1;
                    }
                }
                Column::Shuffled(_) => unordered += 1,
                Column::Fixed(_) | Column::Among(_) => {}
            }
        }
        (classes, unordered)
    }
}

/// The first line of a group, as it stands in the run.
fn shown(run: &Text, number: usize, skeletons: &Skeletons) -> String {
    let mut tokens = run.group(number).first().into_iter().flatten();
    let skeleton = skeletons.show(number);
    let pieces = skeleton.split('#');
    pieces.fold(String::new(), |mut text, piece| {
        if !text.is_empty() || piece.is_empty() {
            text.push_str(tokens.next().map_or("", |token| token.text.as_str()));
        }
        text + piece
    })
}

impl Group {
    fn learn(runs: &[&[Vec<Token>]]) -> Self {
        let counts = || runs.iter().map(|lines| lines.len());
        let lines = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
        let width = runs
            .iter()
            .find_map(|lines| lines.first())
            .map_or(0, Vec::len);
        if lines.0 != lines.1 {
            let columns = (0..width).map(|column| loose(runs, column)).collect();
            return Self {
                lines,
                columns,
                rows: None,
                keys: Vec::new(),
            };
        }
        let values = |column: usize| -> Vec<Vec<Token>> {
            let of = |lines: &&[Vec<Token>]| values_of(lines, column);
            runs.iter().map(of).collect()
        };
        let columns: Vec<Column> = (0..width)
            .map(|column| Column::learn(values(column)))
            .collect();
        let is_aligned = lines.0 == 1
            || columns.iter().any(|column| match column {
                Column::Fixed(values) => values.first() != values.last(),
                _ => false,
            });
        let columns: Vec<Column> = columns
            .into_iter()
            .map(|column| match column {
                // Places mean something only where lines can be told by something else, or most places stay.
                Column::Places(places, classes)
                    if !is_aligned && places.iter().flatten().count() * 2 < places.len() =>
                {
                    Column::Free(classes)
                }
                column => column,
            })
            .collect();
        let shuffled = columns
            .iter()
            .any(|column| matches!(column, Column::Shuffled(_)));
        let rows = shuffled.then(|| {
            let mut all = runs.iter().map(|lines| rows(lines, &columns));
            let first = all.next().unwrap_or_default();
            all.all(|other| other == first).then_some(first)
        });
        let rows = rows.flatten();
        let keys = match rows {
            Some(_) => keys(runs, &columns),
            None => Vec::new(),
        };
        Self {
            lines,
            columns,
            rows,
            keys,
        }
    }

    fn is_steady(&self) -> bool {
        self.lines.0 == self.lines.1
    }

    /// Where lines of this group, which has this number, differ, and how.
    fn differences(&self, number: usize, lines: &[Vec<Token>]) -> Vec<(Place, String)> {
        let (least, most) = self.lines;
        // What changes from run to run may change as much again, but not to half or twice of it.
        let slack = most - least;
        let low = least.saturating_sub(slack).max(least.div_ceil(2));
        if lines.len() < low || lines.len() > (most + slack).min(2 * most) {
            let unhooked = match least == most {
                true => least.to_string(),
                false => format!("{least} to {most}"),
            };
            let what = format!("{} instead of {unhooked} lines", lines.len());
            return vec![(Place::Count(number), what)];
        }
        let mut found = Vec::new();
        for (index, column) in self.columns.iter().enumerate() {
            let values = values_of(lines, index);
            if let Some(what) = column.difference(&values) {
                let place = match column.has_all(&values) {
                    true => Place::Shuffle(number, index),
                    false => Place::Column(number, index),
                };
                found.push((place, what));
            }
        }
        if let Some(wanted) = self.rows.as_ref().filter(|_| found.is_empty()) {
            let rows = rows(lines, &self.columns);
            if rows != *wanted {
                let row = rows.iter().find(|row| !wanted.contains(row));
                let what = format!("values {:?} together", row.unwrap_or(&Vec::new()));
                found.push((Place::Column(number, self.columns.len()), what));
            }
        }
        for (column, wanted) in self.keys.iter().filter(|_| found.is_empty()) {
            let sequences = sequences(lines, &self.columns, *column);
            let odd = wanted
                .iter()
                .find(|(key, rows)| sequences.get(*key) != Some(*rows));
            if let Some((key, _)) = odd {
                let what = format!("those with {:?} are in another order", key.trim());
                found.push((Place::Column(number, self.columns.len() + 1 + column), what));
                break;
            }
        }
        found
    }
}

fn values_of(lines: &[Vec<Token>], column: usize) -> Vec<Token> {
    lines
        .iter()
        .filter_map(|tokens| tokens.get(column).cloned())
        .collect()
}

/// The columns by whose value the others come in one order, whatever order the values come in.
fn keys(runs: &[&[Vec<Token>]], columns: &[Column]) -> Vec<(usize, Sequences)> {
    let may_be = |column: &Column| match column {
        Column::Shuffled(values) => {
            // Sorted: equal ones stand together.
            let is_repeated = values
                .iter()
                .zip(values.iter().skip(1))
                .any(|(a, b)| a == b);
            is_repeated && values.first() != values.last()
        }
        _ => false,
    };
    let candidates = columns
        .iter()
        .enumerate()
        .filter(|(_, column)| may_be(column));
    let kept = candidates.filter_map(|(index, _)| {
        let mut all = runs.iter().map(|lines| sequences(lines, columns, index));
        let first = all.next()?;
        all.all(|other| other == first).then_some((index, first))
    });
    kept.collect()
}

fn sequences(lines: &[Vec<Token>], columns: &[Column], key: usize) -> Sequences {
    let mut sequences = Sequences::new();
    for tokens in lines {
        if let Some(value) = tokens.get(key) {
            let of = sequences.entry(value.text.clone()).or_default();
            of.push(row(tokens, columns));
        }
    }
    sequences
}

/// What stays of a line.
fn row(tokens: &[Token], columns: &[Column]) -> Vec<String> {
    let of = tokens.iter().zip(columns);
    of.filter(|(_, column)| matches!(column, Column::Fixed(_) | Column::Shuffled(_)))
        .filter(|(token, _)| !token.is_duration())
        .map(|(token, _)| token.text.clone())
        .collect()
}

/// The rows of the columns that stay, sorted.
fn rows(lines: &[Vec<Token>], columns: &[Column]) -> Vec<Vec<String>> {
    let of = |tokens: &Vec<Token>| row(tokens, columns);
    let mut rows: Vec<Vec<String>> = lines.iter().map(of).collect();
    rows.sort();
    rows
}

/// What tokens in a place are.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Classes {
    classes: BTreeSet<Class>,
    /// The fewest and the most digits behind `0x`.
    hex: Option<(usize, usize)>,
}

fn classes<'t>(tokens: impl Iterator<Item = &'t Token>) -> Classes {
    let mut made = Classes::default();
    for token in tokens {
        made.classes.insert(token.class);
        if let Some(digits) = token.hex_digits() {
            let (least, most) = made.hex.unwrap_or((digits, digits));
            made.hex = Some((least.min(digits), most.max(digits)));
        }
    }
    made
}

/// What can be said of a column if the number of lines changes.
fn loose(runs: &[&[Vec<Token>]], column: usize) -> Column {
    let sets: Vec<BTreeSet<Token>> = runs
        .iter()
        .filter(|lines| !lines.is_empty())
        .map(|lines| values_of(lines, column).into_iter().collect())
        .collect();
    let all: BTreeSet<Token> = sets.iter().flatten().cloned().collect();
    if sets.len() > 1 && sets.iter().all(|set| *set == all) {
        Column::Among(all)
    } else {
        Column::Free(classes(all.iter()))
    }
}

impl Column {
    fn learn(runs: Vec<Vec<Token>>) -> Self {
        let Some((first, others)) = runs.split_first() else {
            return Self::Free(Classes::default());
        };
        if others.iter().all(|other| other == first) {
            return Self::Fixed(first.clone());
        }
        let sorted = |values: &[Token]| {
            let mut values = values.to_vec();
            values.sort();
            values
        };
        let ordered = sorted(first);
        if others.iter().all(|other| sorted(other) == ordered) {
            return Self::Shuffled(ordered);
        }
        let places = first.iter().enumerate().map(|(at, token)| {
            let stays = others.iter().all(|other| other.get(at) == Some(token));
            stays.then(|| token.clone())
        });
        Self::Places(places.collect(), classes(runs.iter().flatten()))
    }

    /// Whether these are the values that the column has in a fixed order, in whatever order.
    fn has_all(&self, values: &[Token]) -> bool {
        let Self::Fixed(wanted) = self else {
            return false;
        };
        let (mut wanted, mut values) = (wanted.clone(), values.to_vec());
        wanted.sort();
        values.sort();
        wanted == values
    }

    fn difference(&self, values: &[Token]) -> Option<String> {
        let of = |text: &str| text.trim().to_owned();
        match self {
            Self::Fixed(wanted) => wanted.iter().zip(values).find_map(|(a, b)| {
                let differs = a != b && !a.is_measured_like(b);
                differs.then(|| format!("unhooked {:?}, hooked {:?}", of(&a.text), of(&b.text)))
            }),
            Self::Shuffled(wanted) => {
                let mut values = values.to_vec();
                values.sort();
                let mut all = wanted.iter().chain(&values);
                let is_measured =
                    all.clone().all(Token::is_duration) && all.any(Token::is_measured);
                let odd = values.iter().zip(wanted).find(|(a, b)| a != b)?;
                let what = format!(
                    "values {:?} where {:?} belongs",
                    of(&odd.0.text),
                    of(&odd.1.text)
                );
                (!is_measured).then_some(what)
            }
            Self::Places(places, allowed) => places.iter().zip(values).find_map(|(a, b)| match a {
                Some(a) if a != b && !a.is_measured_like(b) => Some(format!(
                    "unhooked {:?}, hooked {:?}",
                    of(&a.text),
                    of(&b.text)
                )),
                Some(_) => None,
                None => other_class(b, allowed),
            }),
            Self::Among(allowed) => {
                let odd = values
                    .iter()
                    .find(|v| !allowed.contains(v) && !v.is_measured())?;
                Some(format!("{:?}, which no unhooked run has", of(&odd.text)))
            }
            Self::Free(allowed) => values.iter().find_map(|value| other_class(value, allowed)),
        }
    }
}

/// A token of a class that no unhooked run has there. An identifier may by chance have no letter.
fn other_class(value: &Token, allowed: &Classes) -> Option<String> {
    let of = &allowed.classes;
    let is_like = match (value.hex_digits(), allowed.hex) {
        // A digit less is one in sixteen, three less one in four thousand.
        (Some(digits), Some((least, most))) => {
            of.contains(&value.class) || (least..=most + 4).contains(&(digits + 2))
        }
        _ => {
            of.contains(&value.class)
                || matches!(value.class, Class::Number | Class::Id)
                    && (of.contains(&Class::Id) || of.contains(&Class::Address))
        }
    };
    (!is_like).then(|| {
        let kinds: Vec<String> = of.iter().map(|class| format!("{class:?}")).collect();
        let kinds = kinds.join(" or ").to_lowercase();
        format!("{:?} where a {kinds} belongs", value.text.trim())
    })
}
