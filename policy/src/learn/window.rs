//! A bounded window of rows that keeps rare classes.
//!
//! One ring per class. When the window is full, the class with the most rows gives up its oldest: common classes share what
//! room there is, a rare one keeps what it has, and a source that floods one class only ever pushes out its own rows. The
//! number of classes is bounded too, or a source that invents a class for each job would wear the real ones down to nothing:
//! beyond it, the class that was not heard of for the longest time goes.

use std::collections::{BTreeMap, VecDeque};

use super::{BadRow, Label, Row};
use crate::units::{ClassId, NetworkId};

/// A job that takes less or more, in seconds, is a lie or a fault: a nanosecond, thirty years.
const SECONDS: std::ops::RangeInclusive<f64> = 1e-9..=1e9;
/// A resource figure beyond this is a lie or a fault: an exabyte, or CPU seconds by the billion billion.
const RESOURCE_MOST: f64 = 1e18;
/// The fewest rows a class gets on average: a window of n rows keeps at most n over this many classes.
const ROWS_PER_CLASS_LEAST: usize = 16;

/// A bounded window of rows that keeps rare classes.
#[derive(Clone, Debug)]
pub struct Window {
    capacity: usize,
    held: usize,
    taken: u64,
    /// Rows of each class, oldest first, with the number they were taken in by. No ring is empty.
    classes: BTreeMap<ClassId, VecDeque<(u64, Row)>>,
}

impl Window {
    /// A window of at most `capacity` rows.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { capacity, held: 0, taken: 0, classes: BTreeMap::new() }
    }

    /// Has room for `capacity` rows from now on. If it holds more, they go as the next rows come.
    pub fn hold(&mut self, capacity: usize) {
        self.capacity = capacity;
    }

    /// Takes a row in, or says why not (not finite, negative, beyond every bound).
    pub fn push(&mut self, row: Row) -> Result<(), BadRow> {
        Self::check(&row)?;
        self.taken += 1;
        self.held += 1;
        self.classes.entry(row.job.class).or_default().push_back((self.taken, row));
        if self.classes.len() > (self.capacity / ROWS_PER_CLASS_LEAST).max(1) {
            self.forget_stalest_class();
        }
        while self.held > self.capacity {
            self.forget_oldest_of_largest();
        }
        Ok(())
    }

    /// Whether a row can be true.
    pub fn check(row: &Row) -> Result<(), BadRow> {
        let (Label::Took(seconds) | Label::LongerThan(seconds)) = row.label;
        if !SECONDS.contains(&seconds) {
            return Err(BadRow::Label);
        }
        let uses = [row.cpu_s, row.memory_bytes, row.response_bytes];
        let sound = uses.into_iter().flatten().all(|use_| (0.0..=RESOURCE_MOST).contains(&use_));
        if sound { Ok(()) } else { Err(BadRow::Resource) }
    }

    /// Rows held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Rows taken in so far, held or not: the newest row's number.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Every row with its number, oldest first.
    pub(super) fn in_order(&self) -> Vec<(u64, &Row)> {
        let mut rows: Vec<_> = self.classes.values().flatten().map(|(number, row)| (*number, row)).collect();
        rows.sort_unstable_by_key(|(number, _)| *number);
        rows
    }

    /// The newest rows of each class, at most so many, class by class and oldest first.
    pub(crate) fn newest_of_each(&self, most: usize) -> impl Iterator<Item = &Row> {
        self.classes
            .values()
            .flat_map(move |rows| rows.iter().skip(rows.len().saturating_sub(most)).map(|(_, row)| row))
    }

    /// Takes the rows of `network`, and of `class` if one is given, that are older than row number `before`, to have taken
    /// `factor` times as long, as far as a time can be; gives how many these are.
    pub(super) fn scale(&mut self, network: NetworkId, class: Option<ClassId>, before: u64, factor: f64) -> usize {
        let mut scaled = 0;
        let concerned = self.classes.iter_mut().filter(|(ring, _)| class.is_none_or(|class| class == **ring));
        for (number, row) in concerned.flat_map(|(_, rows)| rows) {
            if *number < before && row.network == network {
                let (Label::Took(seconds) | Label::LongerThan(seconds)) = &mut row.label;
                *seconds = (*seconds * factor).clamp(*SECONDS.start(), *SECONDS.end());
                scaled += 1;
            }
        }
        scaled
    }

    fn forget_stalest_class(&mut self) {
        let newest = |rows: &VecDeque<(u64, Row)>| rows.back().map_or(0, |(number, _)| *number);
        let stalest = self.classes.iter().min_by_key(|(_, rows)| newest(rows)).map(|(class, _)| *class);
        if let Some(rows) = stalest.and_then(|class| self.classes.remove(&class)) {
            self.held -= rows.len();
        }
    }

    fn forget_oldest_of_largest(&mut self) {
        let largest = self.classes.iter().max_by_key(|(_, rows)| rows.len()).map(|(class, _)| *class);
        let Some((class, rows)) = largest.and_then(|class| self.classes.get_mut(&class).map(|rows| (class, rows)))
        else {
            self.held = 0;
            return;
        };
        rows.pop_front();
        self.held -= 1;
        if rows.is_empty() {
            self.classes.remove(&class);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{PRIVATE, job};

    fn row(class: u16, label: Label) -> Row {
        let job = crate::Job { class: ClassId(class), ..job() };
        Row { job, pair: 0, network: PRIVATE, label, cpu_s: None, memory_bytes: None, response_bytes: None }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let check = |row: Row, expected| {
            let mut window = Window::new(10);
            assert_eq!(window.push(row), expected, "{row:?}");
            assert_eq!(window.len(), usize::from(expected.is_ok()));
        };
        for bad in [0.0, 1e-300, -1.0, f64::NAN, f64::INFINITY, 1e308, 1.1e9] {
            check(row(0, Label::Took(bad)), Err(BadRow::Label));
            check(row(0, Label::LongerThan(bad)), Err(BadRow::Label));
        }
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e308] {
            check(Row { cpu_s: Some(bad), ..row(0, Label::Took(1.0)) }, Err(BadRow::Resource));
            check(Row { memory_bytes: Some(bad), ..row(0, Label::Took(1.0)) }, Err(BadRow::Resource));
        }
        check(row(0, Label::Took(1e-9)), Ok(()));
        check(Row { response_bytes: Some(0.0), ..row(0, Label::LongerThan(1e9)) }, Ok(()));
    }

    #[test]
    fn a_flood_of_one_class_pushes_out_its_own_rows() {
        let mut window = Window::new(100);
        for i in 0..30 {
            assert_eq!(window.push(row(i % 3, Label::Took(1.0))), Ok(()));
        }
        for _ in 0..10_000 {
            assert_eq!(window.push(row(7, Label::Took(1e6))), Ok(()));
        }
        let rows = window.in_order();
        assert_eq!((window.len(), rows.len()), (100, 100));
        assert_eq!(rows.iter().filter(|(_, row)| row.job.class != ClassId(7)).count(), 30);
        assert_eq!(rows.last().map(|(number, _)| *number), Some(window.taken()));
    }

    #[test]
    fn a_flood_of_invented_classes_leaves_most_of_the_real_ones() {
        let mut window = Window::new(320);
        let mut invented = 100;
        for i in 0..5_000 {
            assert_eq!(window.push(row(i % 4, Label::Took(1.0))), Ok(()));
            invented += 1;
            assert_eq!(window.push(row(invented, Label::Took(1.0))), Ok(()));
        }
        let real = window.in_order().iter().filter(|(_, row)| row.job.class.0 < 4).count();
        assert!(real > 290, "{real} rows of the real classes are left");
        assert!(window.classes.len() <= 20);
    }

    #[test]
    fn a_window_without_room_holds_nothing() {
        let mut window = Window::new(0);
        assert_eq!(window.push(row(0, Label::Took(1.0))), Ok(()));
        assert!(window.is_empty());
    }
}
