//! The forms a value can take: what it is called, how one is written, how it is read.
//!
//! A form belongs to what the operator writes, not to what the program makes of it: "10%" is a share wherever it stands.
//! So a message, the reference and the reader say the same of it.

mod address;
mod identity;
mod input;
mod kernel;
mod quantity;
mod request;

use std::path::PathBuf;

use toml::de::DeValue;

use crate::errors::Fault;
use crate::reference::Accepts;

pub(super) use address::{ENDPOINT, LISTENER, ORIGIN};
pub(super) use identity::IDENTITY;
pub(super) use input::INPUT;
pub(super) use kernel::{FAIL, MARK, PORT, PORTS, PREFIX, USER};
pub(super) use quantity::{
    BYTES, BYTES_PER_SECOND, CORES, COUNT, DURATION, LEVEL, LEVELS, LONG, MONEY, MORE, RATE, SHARE, SOME_BYTES,
    SOME_BYTES_PER_SECOND, TIME_VALUE, WORKERS,
};
pub(super) use request::{
    CLASS_BY, HEADER_NAME, HEADER_VALUE, LANE_KIND, METHOD, MODE, PATH_PATTERN, POLL_PATH, PROTOCOL, REQUEST_PATH,
    SIGN, STRIPPED,
};

/// One form.
pub(crate) struct Form<T> {
    /// What it is called, with its article.
    pub(crate) name: &'static str,
    /// What it counts; empty if nothing.
    pub(crate) unit: &'static str,
    /// How to write one, after "write".
    pub(crate) write: &'static str,
    /// One, as TOML.
    pub(crate) example: &'static str,
    /// Reads one.
    pub(crate) reader: fn(&DeValue<'_>) -> Result<T, Bad>,
}

/// Why a value does not have a form.
pub(crate) enum Bad {
    /// It is of another TOML type.
    Type,
    /// It is of the right type and still wrong, because of this.
    Why(&'static str),
}

impl<T> Form<T> {
    /// What `value` says in this form.
    pub(crate) fn read(&self, value: &DeValue<'_>) -> Result<T, Fault> {
        (self.reader)(value).map_err(|bad| match bad {
            Bad::Type => self.wrong_type(value),
            Bad::Why(why) => Fault::Malformed { given: shown(value), expected: self.name, why, write: self.help() },
        })
    }

    /// What `text`, which is TOML, says in this form.
    ///
    /// # Panics
    /// If it does not have this form. Every default is read whenever the reference is made, and so by the tests.
    pub(crate) fn default(&self, text: &'static str) -> T {
        let value = DeValue::parse(text).expect("defaults are TOML");
        let read = (self.reader)(value.get_ref());
        let Ok(value) = read else { panic!("the default {text} is not {}", self.name) };
        value
    }

    /// Which values of TOML it takes, by trying: its own example, the words that it is said to take, and a few others.
    pub(crate) fn accepts(&self) -> Accepts {
        let takes = |toml: &str| DeValue::parse(toml).is_ok_and(|value| self.read(value.get_ref()).is_ok());
        let is_text = self.example.starts_with('"') && takes(self.example);
        let written = self.write.split('`').skip(1).step_by(2);
        let mut words: Vec<_> = written.filter(|word| takes(&format!("{word:?}"))).map(str::to_owned).collect();
        // Words that are only examples of what it takes are none of a closed set.
        let is_closed = words.iter().any(|word| self.example.contains(&format!("{word:?}"))) && !takes("\"nonsense\"");
        if !is_closed {
            words.clear();
        }
        let whole = ["0", "1", "2"].into_iter().any(takes);
        Accepts {
            text: is_text || !words.is_empty(),
            words,
            whole,
            number: whole && takes("0.5"),
            flag: takes("true"),
            list: self.example.starts_with('[') && takes(self.example),
            is_listed: false,
        }
    }

    /// That `value` is of a type that cannot have this form.
    pub(crate) fn wrong_type(&self, value: &DeValue<'_>) -> Fault {
        Fault::WrongType { expected: self.name, found: shown(value), write: self.help() }
    }

    /// That `value` is no list of what has this form.
    pub(crate) fn not_a_list(&self, value: &DeValue<'_>) -> Fault {
        let write = format!("write a list in brackets, such as `[{}]`", self.example);
        Fault::WrongType { expected: "a list", found: shown(value), write }
    }

    /// The same form, counting something else.
    pub(crate) const fn per(self, unit: &'static str) -> Self {
        Self { unit, ..self }
    }

    /// The same form with another example.
    pub(crate) const fn like(self, example: &'static str) -> Self {
        Self { example, ..self }
    }

    fn help(&self) -> String {
        format!("write {}, such as `{}`", self.write, self.example)
    }
}

/// `true` or `false`.
pub(super) const FLAG: Form<bool> = Form {
    name: "true or false",
    unit: "",
    write: "`true` or `false` without quotes",
    example: "true",
    reader: |value| value.as_bool().ok_or(Bad::Type),
};

/// A name for a network or a route: short and plain, for it goes into headers, labels and logs.
pub(super) const NAME: Form<String> = Form {
    name: "a name",
    unit: "",
    write: "up to 64 letters, digits, `-`, `_` and `.` in quotes",
    example: "\"private\"",
    reader: |value| {
        let text = text(value)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        match text {
            "" => Err(Bad::Why("it is empty")),
            _ if text.len() > 64 => Err(Bad::Why("it is longer than 64 characters")),
            _ if !text.chars().all(plain) => {
                Err(Bad::Why("it has characters other than letters, digits, `-`, `_`, `.`"))
            }
            _ => Ok(text.to_owned()),
        }
    },
};

/// A path in the file system.
pub(super) const FILE: Form<PathBuf> = Form {
    name: "a file path",
    unit: "",
    write: "a path in quotes",
    example: "\"/etc/adumbra/cert.pem\"",
    reader: |value| match text(value)? {
        "" => Err(Bad::Why("it is empty")),
        path if path.contains('\0') => Err(Bad::Why("it has a NUL in it")),
        path => Ok(PathBuf::from(path)),
    },
};

/// A table; only for what it is called.
pub(super) const TABLE: Form<()> = Form {
    name: "a table",
    unit: "",
    write: "its keys in braces, or below a header of its own",
    example: "{ key = \"value\" }",
    reader: |value| if value.is_table() { Ok(()) } else { Err(Bad::Type) },
};

/// One of several tables; only for what it is called.
pub(super) const TABLES: Form<()> = Form {
    name: "a list of tables",
    write: "a header in double brackets above each of them",
    example: "[[routes]]",
    ..TABLE
};

/// The text of a value that should be text.
fn text<'a>(value: &'a DeValue<'_>) -> Result<&'a str, Bad> {
    value.as_str().ok_or(Bad::Type)
}

/// A value as messages show it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("`\"{}\"`", shortened(text)),
        DeValue::Integer(number) => format!("`{}`", shortened(&number.to_string())),
        DeValue::Float(number) => format!("`{}`", shortened(number.as_str())),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// Text of the operator's as messages show it: short, and in one line.
pub(super) fn shortened(text: &str) -> String {
    let mut characters = text.chars();
    let mut short = String::new();
    for character in characters.by_ref().take(60) {
        if character.is_control() { short.extend(character.escape_default()) } else { short.push(character) }
    }
    if characters.next().is_some() {
        short.push('…');
    }
    short
}
