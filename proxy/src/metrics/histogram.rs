//! Histograms whose buckets are cells: an observation is two additions, where prometheus-client's own takes a lock that
//! all workers share.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::cells::Cells;
use super::family::{Axis, Head, Labels, Names, Scraped, combinations, in_reserve, named, with_labels};

/// A sum is kept in millionths, as a whole number: exact enough, and one addition.
const PARTS: f64 = 1e6;

/// Histograms over every combination of some labels' values.
#[derive(Debug)]
pub(super) struct Histogram {
    head: Head,
    bounds: &'static [f64],
    series: Box<[Labels]>,
    names: Option<Names>,
    /// For each series: its buckets, the one without a bound, the sum in parts.
    cells: Cells,
}

impl Histogram {
    /// `bounds` are the buckets' upper bounds, ascending and finite.
    pub(super) fn new(head: Head, bounds: &'static [f64], axes: &[&Axis]) -> Self {
        let series = combinations(axes);
        Self { head, bounds, cells: Cells::new(series.len() * (bounds.len() + 2)), names: Axis::names(axes), series }
    }

    /// Counts one value, which is not negative. What is not a number is left out.
    #[inline]
    pub(super) fn observe(&self, place: usize, value: f64) {
        if value.is_nan() {
            return;
        }
        let first = place * self.cells_per_series();
        self.cells.add(first + self.bounds.partition_point(|bound| *bound < value), 1);
        // The cast saturates: an infinite value does not poison what comes after it.
        self.cells.add(first + self.bounds.len() + 1, (value.min(1e9) * PARTS).round() as u64);
    }

    /// How many values one series has seen.
    #[cfg(test)]
    pub(super) fn count(&self, place: usize) -> u64 {
        let first = place * self.cells_per_series();
        (first..=first + self.bounds.len()).map(|cell| self.cells.sum(cell)).sum()
    }

    fn cells_per_series(&self) -> usize {
        self.bounds.len() + 2
    }
}

impl Scraped for Histogram {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut metric = self.head.describe(encoder, MetricType::Histogram)?;
        for (place, labels) in self.series.iter().enumerate() {
            let first = place * self.cells_per_series();
            let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
            let buckets: Vec<_> = bounds.zip(first..).map(|(bound, cell)| (bound, self.cells.sum(cell))).collect();
            // Counted from the buckets, so that the two always agree.
            let count = buckets.iter().map(|(_, count)| count).sum();
            let labels = &*named(labels, self.names.as_ref());
            if count == 0 && in_reserve(labels) {
                continue;
            }
            let sum = self.cells.sum(first + self.bounds.len() + 1) as f64 / PARTS;
            with_labels(&mut metric, labels, |m| m.encode_histogram::<NoLabelSet>(sum, count, &buckets, None))?;
        }
        Ok(())
    }
}
