//! What one reading of a text finds: faults with their places, and the keys that were asked for.

use std::cell::RefCell;
use std::ops::Range;

use toml::de::DeTable;

use super::table::Table;
use crate::errors::{Fault, Located};
use crate::reference::KeyRow;

/// Collects faults, and descriptions if they are wanted.
#[derive(Default)]
pub(crate) struct Report {
    found: RefCell<Vec<Located>>,
    rows: Option<RefCell<Vec<KeyRow>>>,
}

/// A value that has been read, and its place.
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) path: String,
    pub(crate) span: Range<usize>,
}

/// An entry whose name is the operator's own choice; `place` is that of the name.
pub(crate) struct Named<'a, T> {
    pub(crate) name: &'a str,
    pub(crate) place: Placed<()>,
    pub(crate) value: T,
}

impl Report {
    /// A report that lists the keys which are asked for.
    pub(crate) fn describing() -> Self {
        Self { rows: Some(RefCell::default()), ..Self::default() }
    }

    /// The top of a file.
    pub(crate) fn root<'a>(&'a self, entries: Option<&'a DeTable<'a>>) -> Table<'a> {
        Table::new(self, String::new(), entries, 0..0)
    }

    /// Whether tables that are not there should answer as if they were.
    pub(crate) fn describes(&self) -> bool {
        self.rows.is_some()
    }

    /// Makes a row of the reference, if there is to be one.
    pub(crate) fn describe(&self, row: impl FnOnce() -> KeyRow) {
        if let Some(rows) = &self.rows {
            rows.borrow_mut().push(row());
        }
    }

    /// Adds a note to the row of a key that has been described.
    pub(crate) fn note(&self, table: &str, key: &str, note: &'static str) {
        let Some(rows) = &self.rows else { return };
        if let Some(row) = rows.borrow_mut().iter_mut().rev().find(|row| row.table == table && row.key == key) {
            row.note = note;
        }
    }

    /// Reports `fault` at `place`.
    pub(crate) fn fault<T>(&self, place: &Placed<T>, fault: Fault) {
        self.push(place, fault, None);
    }

    /// Reports `fault` at `place`, and that `other` has to do with it.
    pub(crate) fn fault_with<T, U>(&self, place: &Placed<T>, fault: Fault, other: &Placed<U>, label: &'static str) {
        self.push(place, fault, Some((other.span.clone(), label)));
    }

    fn push<T>(&self, place: &Placed<T>, fault: Fault, related: Option<(Range<usize>, &'static str)>) {
        let located = Located { span: place.span.clone(), path: place.path.clone(), fault, related };
        self.found.borrow_mut().push(located);
    }

    /// How many faults there are so far.
    pub(crate) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    pub(crate) fn into_found(self) -> Vec<Located> {
        self.found.into_inner()
    }

    pub(crate) fn into_rows(self) -> Vec<KeyRow> {
        self.rows.map(RefCell::into_inner).unwrap_or_default()
    }
}

impl Placed<()> {
    pub(crate) fn new(path: String, span: Range<usize>) -> Self {
        Self { value: (), path, span }
    }

    pub(crate) fn with<T>(self, value: T) -> Placed<T> {
        Placed { value, path: self.path, span: self.span }
    }
}
