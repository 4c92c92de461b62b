//! Features sorted into bins, once for a whole fit.
//!
//! A node then asks its question of a few hundred counts per feature instead of its rows, which is what makes a fit of a
//! hundred thousand rows take well under two seconds, and a bin's number never differs from the next by so little that it
//! would be taken for the same. A bin's upper edge *is* the threshold a split gets: a row is in bin b or lower exactly when
//! its value is at most `edges[b]`, in fitting and in scoring.

use super::samples::Sample;
use crate::model::features::FEATURES;

/// The most bins of one feature.
pub(super) const BINS_MOST: usize = 500;
/// The bin of a row that lacks the feature.
pub(super) const MISSING: u16 = u16::MAX;

/// Every sample's bins, and what they mean.
#[derive(Debug)]
pub(super) struct Bins {
    /// For each feature, the upper edges of all bins but the last.
    pub(super) edges: [Vec<f32>; FEATURES],
    /// For each sample, its bin of each feature.
    pub(super) of: Vec<[u16; FEATURES]>,
}

impl Bins {
    /// Bins that hold about as many of `samples` each, or one value each if values are few.
    pub(super) fn new(samples: &[Sample]) -> Self {
        let edges = std::array::from_fn(|feature| {
            edges(samples.iter().map(|sample| sample.features[feature]).filter(|value| !value.is_nan()).collect())
        });
        let of = samples.iter().map(|sample| std::array::from_fn(|f| bin(&edges[f], sample.features[f]))).collect();
        Self { edges, of }
    }
}

/// The bin of a value: the first whose edge is not below it.
fn bin(edges: &[f32], value: f32) -> u16 {
    if value.is_nan() { MISSING } else { edges.partition_point(|edge| *edge < value) as u16 }
}

/// Edges between the values of one feature.
fn edges(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let distinct = values.chunk_by(|a, b| a == b).count();
    let enough = if distinct <= BINS_MOST { 1 } else { values.len().div_ceil(BINS_MOST) };
    let (mut edges, mut in_bin) = (Vec::new(), 0);
    for pair in values.windows(2) {
        in_bin += 1;
        if pair[0] != pair[1] && in_bin >= enough {
            edges.push(between(pair[0], pair[1]));
            in_bin = 0;
        }
    }
    edges
}

/// A finite value that is at least `low` and below `high`: the middle, where there is one.
fn between(low: f32, high: f32) -> f32 {
    let middle = (f64::from(low) / 2.0 + f64::from(high) / 2.0) as f32;
    if low <= middle && middle < high { middle } else { low }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_values_get_a_bin_each() {
        let check = |values: &[f32], expected: &[f32]| assert_eq!(edges(values.to_vec()), expected);
        check(&[], &[]);
        check(&[1.0, 1.0], &[]);
        check(&[0.0, 1.0, 0.0, 1.0], &[0.5]);
        check(&[3.0, 1.0, 2.0], &[1.5, 2.5]);
        check(&[-0.0, 0.0], &[]);
        check(&[1.0, 1.0 + f32::EPSILON], &[1.0]);
        check(&[f32::MIN, f32::MAX], &[0.0]);
    }

    proptest! {
        #[test]
        fn bins_are_bounded_and_an_edge_parts_exactly_its_bin(
            values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 1..500),
        ) {
            let edges = edges(values.clone());
            prop_assert!(edges.len() <= BINS_MOST && edges.is_sorted());
            for value in values {
                let bin = usize::from(bin(&edges, value));
                for (b, edge) in edges.iter().enumerate() {
                    prop_assert_eq!(bin <= b, value <= *edge);
                }
            }
        }
    }
}
