//! Reads one TOML table key by key, with every key described where it is read.
//!
//! serde stops at the first error and keeps places only for what it understood. This reader goes on: a bad value is
//! reported and its default takes its place, so whatever stands behind it is checked too. A key that nobody asked for
//! is reported when the table is dropped, which no section can forget.
//!
//! The same calls make the reference: with [`Report::describing`], a table that is not there answers as if it were, and
//! what was asked for is listed. There is no second list of keys.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};

use super::form::{Form, TABLE, TABLES, shortened};
use super::report::{Named, Placed, Report};
use crate::errors::Fault;
use crate::nearest::nearest;
use crate::reference::{KeyRow, Presence, belongs};

type Value<'a> = Spanned<DeValue<'a>>;

/// The most entries of one list; they are compared with each other, and no more than this many are read.
const MAX_ENTRIES: usize = 1000;

/// A table, or the lack of one.
pub(crate) struct Table<'a> {
    report: &'a Report,
    path: String,
    entries: Option<&'a DeTable<'a>>,
    /// Where to say that something is missing.
    span: Range<usize>,
    asked: Vec<&'static str>,
    /// Keys whose value was bad, so that nothing else is said of what took its place.
    bad: Vec<&'static str>,
}

/// What a section asks for.
impl<'a> Table<'a> {
    /// The value of `key`, or else `default`, which is TOML.
    pub(crate) fn or<T>(&mut self, key: &'static str, form: &Form<T>, default: &'static str, about: &'static str) -> T {
        self.describe(key, form, Presence::Default(default), about);
        self.read(key, form).unwrap_or_else(|| form.default(default))
    }

    /// The value of `key`, if there is a valid one.
    pub(crate) fn maybe<T>(&mut self, key: &'static str, form: &Form<T>, about: &'static str) -> Option<T> {
        self.describe(key, form, Presence::Optional, about);
        self.read(key, form)
    }

    /// The value of `key`; not to have one is a fault.
    pub(crate) fn required<T>(&mut self, key: &'static str, form: &Form<T>, about: &'static str) -> Option<T> {
        self.describe(key, form, Presence::Required, about);
        if !self.has(key) {
            let table = if self.path.is_empty() { String::new() } else { format!(" to `{}`", self.path) };
            let example = format!("`{key} = {}`{table}", form.example);
            self.fault(key, Fault::Missing { key, example });
        }
        self.read(key, form)
    }

    /// The valid ones of the values in the array at `key`, and where they are; `None` if there is no array.
    pub(crate) fn list<T>(&mut self, key: &'static str, form: &Form<T>, about: &'static str) -> Option<Vec<Placed<T>>> {
        let path = self.path_of(key);
        self.report.describe(|| KeyRow::of_list((&self.path, key), form, about));
        let array = self.array(key, |value| form.not_a_list(value))?;
        let place = |at, value: &Value<'_>| Placed::new(format!("{path}[{at}]"), value.span());
        let read = |(at, value)| self.value(place(at, value), value, form);
        Some(array.iter().take(MAX_ENTRIES).enumerate().filter_map(read).collect())
    }

    /// The table at `key`, empty if there is none.
    pub(crate) fn table(&mut self, key: &'static str, about: &'static str) -> Table<'a> {
        self.describe_table(self.path_of(key), about);
        self.sub_table(key).unwrap_or_else(|| self.missing(self.path_of(key)))
    }

    /// The table at `key`, if there is one.
    pub(crate) fn maybe_table(&mut self, key: &'static str, about: &'static str) -> Option<Table<'a>> {
        self.describe_table(self.path_of(key), about);
        if self.report.describes() { Some(self.missing(self.path_of(key))) } else { self.sub_table(key) }
    }

    /// The tables in the array at `key`.
    pub(crate) fn tables(&mut self, key: &'static str, about: &'static str) -> Vec<Table<'a>> {
        let path = self.path_of(key);
        self.describe_table(format!("{path}[]"), about);
        if self.report.describes() {
            return vec![self.missing(format!("{path}[]"))];
        }
        let Some(array) = self.array(key, |value| TABLES.wrong_type(value)) else { return Vec::new() };
        array
            .iter()
            .take(MAX_ENTRIES)
            .enumerate()
            .filter_map(|(at, value)| self.open(Placed::new(format!("{path}[{at}]"), value.span()), value))
            .collect()
    }

    /// The tables in the table at `key`, each under a name of the operator's choice, in the order of the text.
    pub(crate) fn named_tables(&mut self, key: &'static str, about: &'static str) -> Vec<Named<'a, Table<'a>>> {
        let path = format!("{}.NAME", self.path_of(key));
        self.describe_table(path.clone(), about);
        if self.report.describes() {
            let value = self.missing(path.clone());
            return vec![Named { name: "NAME", place: Placed::new(path, 0..0), value }];
        }
        let named = self.named(key);
        let open = |Named { name, place, value }: Named<'a, &'a Value<'a>>| {
            let at = Placed::new(place.path.clone(), span_of(value, &place));
            Some(Named { name, place, value: self.open(at, value)? })
        };
        named.into_iter().filter_map(open).collect()
    }

    /// The valid ones of the values in the table at `key`, each under a name of the operator's choice, in the order of
    /// the text.
    pub(crate) fn named_values<T>(
        &mut self,
        key: &'static str,
        form: &Form<T>,
        about: &'static str,
    ) -> Vec<Named<'a, Placed<T>>> {
        self.describe(&format!("{key}.NAME"), form, Presence::Optional, about);
        let named = self.named(key);
        let read = |Named { name, place, value }: Named<'a, &'a Value<'a>>| {
            let at = Placed::new(place.path.clone(), value.span());
            Some(Named { name, place, value: self.value(at, value, form)? })
        };
        named.into_iter().filter_map(read).collect()
    }
}

/// What a section says about what it has read.
impl<'a> Table<'a> {
    /// Where faults go.
    pub(crate) fn report(&self) -> &'a Report {
        self.report
    }

    /// Whether `key` is there, valid or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.is_some_and(|entries| entries.contains_key(key))
    }

    /// Whether the value of `key` was bad, and its default stands in.
    pub(crate) fn is_bad(&self, key: &str) -> bool {
        self.bad.contains(&key)
    }

    /// Whether there is a list at `key` with nothing in it.
    pub(crate) fn is_empty_list(&self, key: &str) -> bool {
        let value = self.entries.and_then(|entries| entries.get(key));
        value.and_then(|value| value.get_ref().as_array()).is_some_and(|list| list.is_empty())
    }

    /// Where the value of `key` is, or the table if the key is not there.
    pub(crate) fn place(&self, key: &str) -> Placed<()> {
        let table = Placed::new(self.path_of(key), self.span.clone());
        let Some((name, value)) = self.entries.and_then(|entries| entries.get_key_value(key)) else { return table };
        let name = Placed::new(table.path, name.span());
        Placed { span: span_of(value, &name), ..name }
    }

    /// Reports `fault` at the value of `key`, or at the table if the key is not there.
    pub(crate) fn fault(&self, key: &str, fault: Fault) {
        self.report.fault(&self.place(key), fault);
    }

    /// Says that the value of `key` cannot change while the process runs, which `note` says in the reference, and reports it
    /// if it is `changed`.
    pub(crate) fn fixed(&self, key: &'static str, note: &'static str, changed: bool) {
        self.report.note(&self.path, key, note);
        if changed && !self.is_bad(key) {
            self.fault(key, Fault::NeedsRestart { key });
        }
    }

    /// Reports `fault` if `low` is more than `high`, unless one of the two was bad anyway.
    pub(crate) fn ordered<T: PartialOrd>(&self, low: (&'static str, T), high: (&'static str, T), fault: Fault) {
        if low.1 > high.1 && !self.is_bad(low.0) && !self.is_bad(high.0) {
            self.fault(if self.has(high.0) { high.0 } else { low.0 }, fault);
        }
    }
}

/// The steps those are made of.
impl<'a> Table<'a> {
    pub(super) fn new(report: &'a Report, path: String, entries: Option<&'a DeTable<'a>>, span: Range<usize>) -> Self {
        Self { report, path, entries, span, asked: Vec::new(), bad: Vec::new() }
    }

    fn missing(&self, path: String) -> Self {
        Self::new(self.report, path, None, self.span.clone())
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'a Value<'a>> {
        self.asked.push(key);
        self.entries?.get(key)
    }

    fn read<T>(&mut self, key: &'static str, form: &Form<T>) -> Option<T> {
        let value = self.entry(key)?;
        let read = self.value(self.place(key), value, form);
        if read.is_none() {
            self.bad.push(key);
        }
        Some(read?.value)
    }

    fn value<T>(&self, place: Placed<()>, value: &Value<'_>, form: &Form<T>) -> Option<Placed<T>> {
        match form.read(value.get_ref()) {
            Ok(value) => Some(place.with(value)),
            Err(fault) => {
                self.report.fault(&place, fault);
                None
            }
        }
    }

    fn array(&mut self, key: &'static str, fault: impl Fn(&DeValue<'_>) -> Fault) -> Option<&'a DeArray<'a>> {
        let value = self.entry(key)?;
        if let DeValue::Array(array) = value.get_ref() {
            self.check_number(key, array.len());
            return Some(array);
        }
        self.fault(key, fault(value.get_ref()));
        None
    }

    fn check_number(&self, key: &str, found: usize) {
        if found > MAX_ENTRIES {
            self.fault(key, Fault::TooMany { what: "entries", found, most: MAX_ENTRIES });
        }
    }

    fn named(&mut self, key: &'static str) -> Vec<Named<'a, &'a Value<'a>>> {
        let Some(entries) = self.entry(key).and_then(|value| self.entries_of(&self.place(key), value)) else {
            return Vec::new();
        };
        self.check_number(key, entries.len());
        let path = self.path_of(key);
        let named = |(name, value): (&'a Spanned<DeString<'a>>, _)| {
            let text: &'a str = name.get_ref();
            Named { name: text, place: Placed::new(format!("{path}.{}", shortened(text)), name.span()), value }
        };
        let mut all: Vec<_> = entries.iter().map(named).collect();
        all.sort_by_key(|entry| entry.place.span.start);
        all.truncate(MAX_ENTRIES);
        all
    }

    fn sub_table(&mut self, key: &'static str) -> Option<Self> {
        let value = self.entry(key)?;
        self.open(self.place(key), value)
    }

    fn open(&self, place: Placed<()>, value: &'a Value<'a>) -> Option<Self> {
        let entries = self.entries_of(&place, value)?;
        Some(Self::new(self.report, place.path, Some(entries), place.span))
    }

    fn entries_of(&self, place: &Placed<()>, value: &'a Value<'a>) -> Option<&'a DeTable<'a>> {
        if let DeValue::Table(entries) = value.get_ref() {
            return Some(entries);
        }
        self.report.fault(place, TABLE.wrong_type(value.get_ref()));
        None
    }

    fn describe<T>(&self, key: &str, form: &Form<T>, presence: Presence, about: &'static str) {
        self.report.describe(|| KeyRow::of_value((&self.path, key), form, presence, about));
    }

    fn describe_table(&self, path: String, about: &'static str) {
        self.report.describe(|| KeyRow::of_table(path, about));
    }
}

/// Where a value is. A table made of dotted keys has no place of its own, so that of its name stands in.
fn span_of(value: &Value<'_>, name: &Placed<()>) -> Range<usize> {
    if value.span().is_empty() { name.span.clone() } else { value.span() }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        let Some(entries) = self.entries else { return };
        for (name, _) in entries.iter() {
            let key: &str = name.get_ref();
            if self.asked.contains(&key) {
                continue;
            }
            let (known, shown) = (self.asked.clone(), shortened(key));
            let place = Placed::new(self.path_of(&shown), name.span());
            let nearest = nearest(key, known.iter().copied());
            self.report.fault(&place, Fault::UnknownKey { key: shown, nearest, belongs: belongs(key), known });
        }
    }
}
