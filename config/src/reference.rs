//! The reference of all keys, as data and as the page `docs/config.md`.
//!
//! It is made by reading nothing and listing what was asked for, so it cannot leave out or make up a key.

use std::sync::LazyLock;

use crate::text;
use crate::text::form::Form;

/// One key, or one table, that a configuration can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The table it stands in, as in `networks.NAME.price` or `routes[]`; empty for the top of the file. `NAME` is the
    /// operator's choice, `[]` says that there is a list of such tables.
    pub table: String,
    /// The key; empty for the table itself.
    pub key: String,
    /// What it takes, such as "a duration".
    pub takes: String,
    /// What it counts; empty if nothing, or if what it takes says so.
    pub unit: &'static str,
    /// Whether it must be there, and what it is if it is not.
    pub presence: Presence,
    /// A valid value, as TOML; empty for a table.
    pub example: String,
    /// Which values of TOML it takes.
    pub accepts: Accepts,
    /// What it means.
    pub about: &'static str,
    /// What a change of it needs beside saving the file; empty if nothing.
    pub note: &'static str,
}

/// Which values of TOML a key takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepts {
    /// Text.
    pub text: bool,
    /// If only some words of it, which.
    pub words: Vec<String>,
    /// Whole numbers.
    pub whole: bool,
    /// Numbers that are not whole, too.
    pub number: bool,
    /// `true` and `false`.
    pub flag: bool,
    /// A list of one for each urgency.
    pub list: bool,
    /// A list, each entry of which is of the above.
    pub is_listed: bool,
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
    /// The whole path of the key, or of the table.
    #[must_use]
    pub fn path(&self) -> String {
        match (self.table.as_str(), self.key.as_str()) {
            ("", key) => key.to_owned(),
            (table, "") => table.to_owned(),
            (table, key) => format!("{table}.{key}"),
        }
    }

    /// Whether it is a table, whose keys have rows of their own.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.key.is_empty()
    }

    pub(crate) fn of_value<T>(at: (&str, &str), form: &Form<T>, presence: Presence, about: &'static str) -> Self {
        let (table, key) = (at.0.to_owned(), at.1.to_owned());
        let (takes, example) = (form.name.to_owned(), form.example.to_owned());
        Self { table, key, takes, unit: form.unit, presence, example, accepts: form.accepts(), about, note: "" }
    }

    pub(crate) fn of_list<T>(at: (&str, &str), form: &Form<T>, about: &'static str) -> Self {
        let takes = format!("a list, each {}", form.name);
        let example = format!("[{}]", form.example);
        let accepts = Accepts { is_listed: true, ..form.accepts() };
        Self { takes, example, accepts, ..Self::of_value(at, form, Presence::Optional, about) }
    }

    pub(crate) fn of_table(table: String, about: &'static str) -> Self {
        let (key, takes, example) = (String::new(), "a table".to_owned(), String::new());
        let accepts = Accepts::default();
        Self { table, key, takes, unit: "", presence: Presence::Optional, example, accepts, about, note: "" }
    }
}

/// All keys and tables, in the order they are read; a table stands before its keys.
#[must_use]
pub fn keys() -> &'static [KeyRow] {
    static KEYS: LazyLock<Vec<KeyRow>> = LazyLock::new(text::keys);
    &KEYS
}

/// Where a key of this name does belong, if it does anywhere.
pub(crate) fn belongs(key: &str) -> Option<String> {
    let named = |row: &&KeyRow| if row.is_table() { row.table == key } else { row.key == key };
    let place = |row: &KeyRow| match row.table.as_str() {
        table if row.is_table() || table.is_empty() => "the top of the file, before the first `[table]`".to_owned(),
        table => format!("`{}`", heading(table)),
    };
    let places: Vec<_> = keys().iter().filter(named).map(place).collect();
    if places.is_empty() { None } else { Some(places.join(" or ")) }
}

/// The page `docs/config.md`.
#[must_use]
pub fn reference() -> String {
    let mut page = include_str!("reference/preface.md").to_owned();
    let top = KeyRow::of_table(String::new(), "");
    for table in std::iter::once(&top).chain(keys().iter().filter(|row| row.is_table())) {
        if !table.table.is_empty() {
            page += &format!("\n## `{}`\n\n{}\n", heading(&table.table), table.about);
        }
        let mut rows = keys().iter().filter(|row| !row.is_table() && row.table == table.table).peekable();
        if rows.peek().is_some() {
            page += "\n| key | takes | default | meaning |\n|---|---|---|---|\n";
        }
        for row in rows {
            page += &line(row);
        }
    }
    page
}

/// A table as its header is written in a file.
fn heading(table: &str) -> String {
    match table.strip_suffix("[]") {
        Some(list) => format!("[[{list}]]"),
        None => format!("[{}]", table.replace("[]", "")),
    }
}

fn line(row: &KeyRow) -> String {
    let unit = if row.unit.is_empty() { String::new() } else { format!(", in {}", row.unit) };
    let default = match row.presence {
        Presence::Required => format!("required, e.g. `{}`", row.example),
        Presence::Optional => format!("none, e.g. `{}`", row.example),
        Presence::Default(value) => format!("`{}`", value.replace('\'', "\"")),
    };
    let note = if row.note.is_empty() { String::new() } else { format!(" **{}**", row.note) };
    format!("| `{}` | {}{unit} | {default} | {}{note} |\n", row.key, row.takes, row.about)
}
