//! The questions of the tree, asked by linfa-trees a node at a time.
//!
//! linfa-trees classifies, and its splits below the root are not sound: there it compares a value with the next of the
//! *whole* set, so features of few values break. Both are got round by asking only what it does well: at each node a tree
//! of depth one is fitted on that node's own rows, with two classes, "above" and "below" the node's median time. Its split
//! is then checked, carried out by our own comparison, and each side goes on alone. Because a node's rows come as counts per
//! bin, one small weighted fit per feature says what the fit on all rows would; the best feature wins.
//!
//! A row that was stopped counts as above if it had outlasted the median by then. If not, nobody knows, and it is not asked.

use linfa::Dataset;
use linfa::traits::Fit;
use linfa_trees::DecisionTree;
use ndarray::{Array1, Array2};

use super::bins::{BINS_MOST, Bins, MISSING};
use super::survival::Curve;
use crate::model::features::{CLASS, FEATURES};
use crate::model::tree::{BadTree, DEPTH_MOST, NODES_MOST, Node, Shape};

/// What a split must be worth, as the χ² of its table of above and below by left and right: so high because the best of
/// some hundreds of possible splits is taken, whose χ² on pure noise is seldom more than this.
const CHI_SQUARED_LEAST: f64 = 12.0;
/// Bins of rows that lack the feature, when they are put before all others and behind them.
const BEFORE: f64 = -1.0;
const BEHIND: f64 = BINS_MOST as f64 + 1.0;

/// The fewest labels of jobs that ran to their end in one leaf, of `rows` in all: enough for quantiles, and few leaves.
pub(super) fn leaf_least(rows: usize) -> usize {
    (rows / 400).clamp(10, 250)
}

/// What a split does: rows in bins up to `bin` go left (none of them at -1), those that lack the feature as it says.
#[derive(Clone, Copy, Debug)]
struct Split {
    feature: usize,
    bin: i32,
    missing_left: bool,
    /// The decrease of impurity it brings.
    worth: f64,
}

/// A node's rows on each side of its median, by bin; the last count is of those that lack the feature.
type Counts = [[u32; 2]; BINS_MOST + 2];

/// Grows the questions from the samples in `bins`, whose home-equivalent log times are `times` (`true`: a lower bound).
/// Those from `strangers` on have no class: they grow a tree of their own, which the first question leads to.
pub(super) fn grow(bins: &Bins, times: &[(f64, bool)], strangers: usize) -> Result<Shape, BadTree> {
    let sorted = |rows: std::ops::Range<usize>| {
        let mut rows: Vec<u32> = (rows.start as u32..rows.end as u32).collect();
        rows.sort_unstable_by(|a, b| {
            let (a, b) = (times[*a as usize], times[*b as usize]);
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
        });
        rows
    };
    let mut rows = [sorted(strangers..times.len()), sorted(0..strangers)].concat();
    let unknown = times.len() - strangers;
    let mut nodes = vec![Node::Leaf { leaf: 0 }];
    let mut open = vec![(0_usize, unknown..rows.len(), 0_usize)];
    if unknown > 0 {
        nodes = vec![
            Node::Split { feature: CLASS as u8, threshold: f32::MIN, missing_left: true, left: 1 },
            Node::Leaf { leaf: 0 },
            Node::Leaf { leaf: 0 },
        ];
        open = vec![(1, 0..unknown, 1), (2, unknown..rows.len(), 1)];
    }
    let mut scratch = Vec::with_capacity(rows.len());
    while let Some((place, range, depth)) = open.pop() {
        let least = leaf_least(if range.end <= unknown { unknown } else { strangers });
        if depth == DEPTH_MOST || nodes.len() + 2 > NODES_MOST {
            continue;
        }
        let here = &mut rows[range.clone()];
        let Some(split) = best_split(bins, times, here, least) else { continue };
        let middle = range.start + part(here, &mut scratch, |row| goes_left(bins, row, &split));
        let ends = |range: std::ops::Range<usize>| rows[range].iter().filter(|row| !times[**row as usize].1).count();
        if ends(range.start..middle) < least || ends(middle..range.end) < least {
            continue;
        }
        let left = nodes.len();
        nodes[place] = node(bins, &split, left as u32);
        nodes.extend([Node::Leaf { leaf: 0 }; 2]);
        open.push((left, range.start..middle, depth + 1));
        open.push((left + 1, middle..range.end, depth + 1));
    }
    let mut leaves = 0;
    for node in &mut nodes {
        if let Node::Leaf { leaf } = node {
            *leaf = leaves;
            leaves += 1;
        }
    }
    Shape::new(nodes)
}

/// The best split of the rows of a node (in order of time) over all features, if any is worth it.
fn best_split(bins: &Bins, times: &[(f64, bool)], rows: &[u32], least: usize) -> Option<Split> {
    if rows.len() < 2 * least {
        return None;
    }
    let median = Curve::new(rows.iter().map(|row| times[*row as usize]))?.median()?;
    let sides = sides(times, rows, median);
    let (above, known) = sides.iter().fold((0_usize, 0_usize), |(above, known), side| match side {
        Some(side) => (above + side, known + 1),
        None => (above, known),
    });
    if above == 0 || above == known {
        return None;
    }
    let share = above as f64 / known as f64;
    let impurity = 2.0 * share * (1.0 - share);
    let least_worth = CHI_SQUARED_LEAST * impurity / known as f64;
    (0..FEATURES)
        .filter_map(|feature| split_on(feature, &counts(bins, rows, &sides, feature), least as f32))
        .filter(|split| split.worth >= least_worth)
        .reduce(|best, split| if split.worth > best.worth { split } else { best })
}

/// For each row, whether it is above (1) or below (0) the median, if that is known. Where nothing is above the median, as
/// with few distinct times, what is at it counts as above.
fn sides(times: &[(f64, bool)], rows: &[u32], median: f64) -> Vec<Option<usize>> {
    let strictly = rows.iter().any(|row| times[*row as usize].0 > median);
    let above = |time: f64| if strictly { time > median } else { time >= median };
    rows.iter()
        .map(|row| match times[*row as usize] {
            (time, false) => Some(usize::from(above(time))),
            (time, true) => (time >= median).then_some(1),
        })
        .collect()
}

/// Counts a node's rows by bin of one feature and side of the median.
fn counts(bins: &Bins, rows: &[u32], sides: &[Option<usize>], feature: usize) -> Counts {
    let mut counts = [[0; 2]; BINS_MOST + 2];
    for (row, side) in rows.iter().zip(sides) {
        if let Some(side) = side {
            let bin = match bins.of[*row as usize][feature] {
                MISSING => BINS_MOST + 1,
                bin => usize::from(bin),
            };
            counts[bin][*side] += 1;
        }
    }
    counts
}

/// The best split on one feature: with rows that lack it before all others, or behind them, whichever is better; where
/// there are none, a job that lacks it goes with the larger side.
fn split_on(feature: usize, counts: &Counts, least: f32) -> Option<Split> {
    let missing = counts[BINS_MOST + 1].iter().sum::<u32>() > 0;
    let candidate = |missing_at| depth_one(counts, missing_at, least).map(|(at, worth)| (at.floor() as i32, worth));
    let before = candidate(BEFORE).map(|(bin, worth)| Split { feature, bin, missing_left: true, worth });
    if !missing {
        return before.map(|split| {
            let total = |bins: &[[u32; 2]]| bins.iter().flatten().sum::<u32>();
            let (left, right) = counts.split_at((split.bin + 1) as usize);
            Split { missing_left: total(left) >= total(right), ..split }
        });
    }
    let behind = candidate(BEHIND).map(|(bin, worth)| Split { feature, bin, missing_left: false, worth });
    match (before, behind) {
        (Some(before), Some(behind)) => Some(if behind.worth > before.worth { behind } else { before }),
        (before, behind) => before.or(behind),
    }
}

/// Fits a tree of depth one on the counts as weighted rows and returns where it splits, and what that is worth.
fn depth_one(counts: &Counts, missing_at: f64, least: f32) -> Option<(f64, f64)> {
    let (mut values, mut sides, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for (bin, sides_of_bin) in counts.iter().enumerate() {
        for (side, count) in sides_of_bin.iter().enumerate().filter(|(_, count)| **count > 0) {
            values.push(if bin == BINS_MOST + 1 { missing_at } else { bin as f64 });
            sides.push(side == 1);
            weights.push(*count as f32);
        }
    }
    if values.len() < 2 {
        return None;
    }
    let records = Array2::from_shape_vec((values.len(), 1), values).ok()?;
    let data = Dataset::new(records, Array1::from(sides)).with_weights(Array1::from(weights));
    let params = DecisionTree::<f64, bool>::params().max_depth(Some(1)).min_weight_split(2.0).min_weight_leaf(least);
    let tree = params.fit(&data).ok()?;
    // A split whose sides have the same majority is pruned to a leaf; what was found stays readable.
    let (_, at, worth) = tree.root_node().split();
    (at.is_finite() && worth > 0.0).then_some((at, worth))
}

/// Whether a row goes left; the same question that scoring will ask.
fn goes_left(bins: &Bins, row: u32, split: &Split) -> bool {
    match bins.of[row as usize][split.feature] {
        MISSING => split.missing_left,
        bin => i32::from(bin) <= split.bin,
    }
}

/// Moves the rows that go left to the front, keeping the order on both sides, and returns how many there are.
fn part(rows: &mut [u32], scratch: &mut Vec<u32>, goes_left: impl Fn(u32) -> bool) -> usize {
    scratch.clear();
    let mut left = 0;
    for i in 0..rows.len() {
        let row = rows[i];
        if goes_left(row) {
            rows[left] = row;
            left += 1;
        } else {
            scratch.push(row);
        }
    }
    rows[left..].copy_from_slice(scratch);
    left
}

/// A split as the tree keeps it. Before the first bin and behind the last there is no edge: the threshold is then a number
/// that no value, or every value, is up to.
fn node(bins: &Bins, split: &Split, left: u32) -> Node {
    let edges = &bins.edges[split.feature];
    let threshold = match usize::try_from(split.bin) {
        Err(_) => f32::MIN,
        Ok(bin) => edges.get(bin).copied().unwrap_or(f32::MAX),
    };
    Node::Split { feature: split.feature as u8, threshold, missing_left: split.missing_left, left }
}
