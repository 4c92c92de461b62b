//! The reference of all keys, as data and as the page `docs/config.md`.
//!
//! It is made by reading nothing and listing what was asked for, so it cannot leave out or make up a key.

use crate::text;
use crate::text::form::Form;

/// One key, or one table, that a configuration can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// Where it stands, as in `networks.NAME.price.slot_second`; `NAME` is the operator's choice, `[]` a list of tables.
    pub path: String,
    /// What it takes, such as "a duration".
    pub takes: String,
    /// What it counts; empty if nothing.
    pub unit: &'static str,
    /// Whether it must be there, and what it is if it is not.
    pub presence: Presence,
    /// A valid value, as TOML; empty for a table.
    pub example: String,
    /// What it means.
    pub about: &'static str,
}

/// Whether a key must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It must.
    Required,
    /// It need not, and then nothing takes its place.
    Optional,
    /// It need not, and then it is this, as TOML.
    Default(&'static str),
}

impl KeyRow {
    pub(crate) fn of_value<T>(path: String, form: &Form<T>, presence: Presence, about: &'static str) -> Self {
        Self { path, takes: form.name.to_owned(), unit: form.unit, presence, example: form.example.to_owned(), about }
    }

    pub(crate) fn of_list<T>(path: String, form: &Form<T>, about: &'static str) -> Self {
        let takes = format!("a list, each {}", form.name);
        let example = format!("[{}]", form.example);
        Self { path, takes, unit: form.unit, presence: Presence::Optional, example, about }
    }

    pub(crate) fn of_table(path: String, about: &'static str) -> Self {
        let takes = "a table".to_owned();
        Self { path, takes, unit: "", presence: Presence::Optional, example: String::new(), about }
    }

    /// Whether it is a table, whose keys have rows of their own.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.example.is_empty()
    }

    fn split(&self) -> (&str, &str) {
        self.path.rsplit_once('.').unwrap_or(("", &self.path))
    }
}

/// All keys and tables, in the order of the reference: a table stands before its keys.
#[must_use]
pub fn keys() -> Vec<KeyRow> {
    text::keys()
}

/// Where a key of this name does belong, if it does anywhere.
pub(crate) fn belongs(key: &str) -> Option<String> {
    let keys = keys();
    let mut places = keys.iter().filter(|row| row.split().1 == key).map(|row| match row.split().0 {
        "" => "the top of the file, before the first `[table]`".to_owned(),
        table => format!("`{table}`"),
    });
    let first = places.next()?;
    Some(places.fold(first, |all, place| format!("{all} or {place}")))
}

/// The page `docs/config.md`.
#[must_use]
pub fn reference() -> String {
    let keys = keys();
    let mut page = PREFACE.to_owned();
    section(&mut page, "", keys.iter().filter(|row| row.split().0.is_empty() && !row.is_table()));
    for table in keys.iter().filter(|row| row.is_table()) {
        page += &format!("\n## `{}`\n\n{}\n", heading(&table.path), table.about);
        section(&mut page, &table.path, keys.iter().filter(|row| row.split().0 == table.path && !row.is_table()));
    }
    page
}

const PREFACE: &str = include_str!("reference/preface.md");

/// A table as its header is written in a file.
fn heading(path: &str) -> String {
    match path.strip_suffix("[]") {
        Some(list) => format!("[[{list}]]"),
        None => format!("[{}]", path.replace("[]", "")),
    }
}

fn section<'a>(page: &mut String, table: &str, rows: impl Iterator<Item = &'a KeyRow>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    *page += "\n| key | takes | default | meaning |\n|---|---|---|---|\n";
    for row in rows {
        let key = row.path.strip_prefix(table).unwrap_or(&row.path).trim_start_matches('.');
        let unit = if row.unit.is_empty() { String::new() } else { format!(" ({})", row.unit) };
        let default = match row.presence {
            Presence::Required => "required".to_owned(),
            Presence::Optional => format!("none; e.g. `{}`", row.example),
            Presence::Default(value) => format!("`{}`", value.replace('\'', "\"")),
        };
        let about = row.about.replace('|', "\\|");
        *page += &format!("| `{key}` | {}{unit} | {default} | {about} |\n", row.takes);
    }
}
