//! A value as block YAML that every reader takes the same way: text is quoted wherever some reader of YAML could see
//! something else in it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::scalar;

/// `value` as lines that are indented by `indent`, the last one ended. Names come first in a mapping, as people write them.
#[must_use]
pub fn write(value: &Value, indent: usize) -> String {
    let mut text = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => mapping(members, indent, &mut text),
        Value::Array(items) if !items.is_empty() => sequence(items, indent, &mut text),
        other => text = format!("{}{}\n", " ".repeat(indent), scalar(other)),
    }
    text
}

fn mapping(members: &Map<String, Value>, indent: usize, text: &mut String) {
    let first = members.get_key_value("name");
    for (key, value) in first.into_iter().chain(members.iter().filter(|(key, _)| *key != "name")) {
        text.extend(std::iter::repeat_n(' ', indent));
        text.push_str(&quoted(key));
        text.push(':');
        match value {
            Value::Object(members) if !members.is_empty() => {
                text.push('\n');
                mapping(members, indent + 2, text);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                sequence(items, indent, text);
            }
            other => {
                text.push(' ');
                text.push_str(&scalar(other));
                text.push('\n');
            }
        }
    }
}

fn sequence(items: &[Value], indent: usize, text: &mut String) {
    for item in items {
        let lines = write(item, indent + 2);
        text.extend(std::iter::repeat_n(' ', indent));
        text.push_str("- ");
        text.push_str(&lines[indent + 2..]);
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-:".contains(&byte);
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'/');
    if first && text.bytes().all(plain) && !text.ends_with(':') && !scalar::is_reserved(&text.to_ascii_lowercase()) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // Not printable for YAML, or a line break for some readers.
            _ if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                write!(quoted, "\\u{:04x}", u32::from(char)).expect("there is room in a string");
            }
            _ => quoted.push(char),
        }
    }
    quoted + "\""
}
