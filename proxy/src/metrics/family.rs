//! One family: a name, what it means, and a cell for every combination of its labels' values.
//!
//! prometheus-client's own `Family` finds a series through a lock and a hash map, and would make any series it is asked
//! for. Here all there can be are made at the start: a cell's place is arithmetic, and the set is bounded by its shape.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use policy::MAX_NETWORKS;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

use super::cells::Cells;
use super::words::Word;

/// A series' labels.
pub(super) type Labels = Vec<(&'static str, String)>;

/// Millionths in a whole.
const MILLION: f64 = 1e6;

/// `amount` in millionths; 0 of what is no amount.
pub(super) fn millionths(amount: f64) -> u64 {
    (amount * MILLION).round() as u64
}

/// A value that starts so is in reserve: its series is shown only once something was counted in it.
const RESERVE: char = '#';

/// A label and the values it can have.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) key: &'static str,
    pub(super) values: Vec<String>,
    /// What values in reserve come to be called.
    names: Option<Names>,
}

/// The names of places that were in reserve, each given once.
pub(super) type Names = Arc<[OnceLock<String>; MAX_NETWORKS]>;

impl Axis {
    pub(super) fn new<'a>(key: &'static str, values: impl IntoIterator<Item = &'a str>) -> Self {
        Self { key, values: values.into_iter().map(str::to_owned).collect(), names: None }
    }

    /// The values of a closed set.
    pub(super) fn of<W: Word>(key: &'static str) -> Self {
        Self::new(key, W::ALL.iter().map(|value| value.word()))
    }

    /// An axis with room for `places` values, which get their `names` when they are known.
    pub(super) fn with_reserve(key: &'static str, names: &Names, places: usize) -> Self {
        let values = (0..places).map(|place| format!("{RESERVE}{place}")).collect();
        Self { key, values, names: Some(Arc::clone(names)) }
    }

    /// What the values in reserve of any of these are called.
    pub(super) fn names(axes: &[&Self]) -> Option<Names> {
        axes.iter().find_map(|axis| axis.names.clone())
    }
}

/// The labels by the names that their values have now.
pub(super) fn named<'l>(labels: &'l Labels, names: Option<&Names>) -> Cow<'l, Labels> {
    let name = |value: &str| names?.get(value.strip_prefix(RESERVE)?.parse::<usize>().ok()?)?.get().cloned();
    if !in_reserve(labels) {
        return Cow::Borrowed(labels);
    }
    Cow::Owned(labels.iter().map(|(key, value)| (*key, name(value).unwrap_or_else(|| value.clone()))).collect())
}

/// What a family is called and what it means.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Without the suffix of its kind and without its unit.
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) help: &'static str,
}

impl Head {
    pub(super) const fn new(name: &'static str, help: &'static str) -> Self {
        Self { name, unit: None, help }
    }

    pub(super) const fn in_unit(name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, unit: Some(unit), help }
    }

    /// Writes the family's description; its series follow.
    pub(super) fn describe<'s>(
        &'s self,
        encoder: &'s mut DescriptorEncoder<'_>,
        kind: MetricType,
    ) -> Result<MetricEncoder<'s>, fmt::Error> {
        encoder.encode_descriptor(self.name, self.help, self.unit.as_ref(), kind)
    }
}

/// Whatever a scrape shows.
pub(super) trait Scraped {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result;
}

/// Counters, or gauges that go up and down, over `N` labels.
#[derive(Debug)]
pub(super) struct Family<const N: usize> {
    head: Head,
    kind: Kind,
    lengths: [usize; N],
    series: Box<[Labels]>,
    names: Option<Names>,
    cells: Cells,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Counter,
    Gauge,
    /// A counter in millionths, shown as a decimal.
    Amount,
    /// The same, as a gauge.
    Level,
}

impl<const N: usize> Family<N> {
    pub(super) fn counters(head: Head, axes: [&Axis; N]) -> Self {
        Self::new(head, Kind::Counter, axes)
    }

    /// Counters of what is no whole number, such as money: to be added to in millionths.
    pub(super) fn amounts(head: Head, axes: [&Axis; N]) -> Self {
        Self::new(head, Kind::Amount, axes)
    }

    /// Gauges of the same.
    pub(super) fn levels(head: Head, axes: [&Axis; N]) -> Self {
        Self::new(head, Kind::Level, axes)
    }

    pub(super) fn gauges(head: Head, axes: [&Axis; N]) -> Self {
        Self::new(head, Kind::Gauge, axes)
    }

    fn new(head: Head, kind: Kind, axes: [&Axis; N]) -> Self {
        let series = combinations(&axes);
        let (names, lengths) = (Axis::names(&axes), axes.map(|axis| axis.values.len()));
        Self { head, kind, lengths, cells: Cells::new(series.len()), names, series }
    }

    /// Adds `by` to the series at these places of the axes.
    #[inline]
    pub(super) fn add(&self, places: [usize; N], by: u64) {
        self.cells.add(self.place(places), by);
    }

    /// Takes `by` off a gauge.
    #[inline]
    pub(super) fn subtract(&self, places: [usize; N], by: u64) {
        self.cells.add(self.place(places), by.wrapping_neg());
    }

    /// What the series has come to.
    pub(super) fn value(&self, places: [usize; N]) -> u64 {
        self.cells.sum(self.place(places))
    }

    /// What all series have come to together.
    pub(super) fn total(&self) -> u64 {
        (0..self.series.len()).fold(0, |sum, place| sum.wrapping_add(self.cells.sum(place)))
    }

    #[inline]
    fn place(&self, places: [usize; N]) -> usize {
        let mut at = 0;
        for (place, length) in places.iter().zip(&self.lengths) {
            at = at * length + place;
        }
        at
    }
}

impl<const N: usize> Scraped for Family<N> {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Counter | Kind::Amount => MetricType::Counter,
            Kind::Gauge | Kind::Level => MetricType::Gauge,
        };
        let mut metric = self.head.describe(encoder, kind)?;
        for (place, labels) in self.series.iter().enumerate() {
            let value = self.cells.sum(place);
            let labels = &*named(labels, self.names.as_ref());
            if value == 0 && in_reserve(labels) {
                continue;
            }
            match self.kind {
                Kind::Counter => {
                    with_labels(&mut metric, labels, |m| m.encode_counter::<NoLabelSet, _, u64>(&value, None))
                }
                Kind::Gauge => with_labels(&mut metric, labels, |m| m.encode_gauge(&value.cast_signed())),
                Kind::Level => {
                    let level = value.cast_signed() as f64 / MILLION;
                    with_labels(&mut metric, labels, |m| m.encode_gauge(&level))
                }
                Kind::Amount => {
                    let amount = value as f64 / MILLION;
                    with_labels(&mut metric, labels, |m| m.encode_counter::<NoLabelSet, _, u64>(&amount, None))
                }
            }?;
        }
        Ok(())
    }
}

/// A gauge that is set, not counted.
#[derive(Debug)]
pub(super) struct Level {
    head: Head,
    value: AtomicU64,
}

impl Level {
    pub(super) fn new(head: Head) -> Self {
        Self { head, value: AtomicU64::new(0) }
    }

    pub(super) fn set(&self, value: u64) {
        self.value.store(value, Relaxed);
    }
}

impl Scraped for Level {
    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        self.head.describe(encoder, MetricType::Gauge)?.encode_gauge(&self.value.load(Relaxed))
    }
}

/// Writes one series. Without labels it is written as it is, for `encode_family` would leave empty braces.
pub(super) fn with_labels(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels,
    write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if labels.is_empty() { write(metric) } else { write(&mut metric.encode_family(labels)?) }
}

pub(super) fn in_reserve(labels: &Labels) -> bool {
    labels.iter().any(|(_, value)| value.starts_with(RESERVE))
}

/// Every combination of the axes' values, the last axis running fastest.
pub(super) fn combinations(axes: &[&Axis]) -> Box<[Labels]> {
    let mut all = vec![Labels::new()];
    for axis in axes {
        all = all
            .iter()
            .flat_map(|labels| {
                axis.values.iter().map(|value| {
                    let mut labels = labels.clone();
                    labels.push((axis.key, value.clone()));
                    labels
                })
            })
            .collect();
    }
    all.into()
}
