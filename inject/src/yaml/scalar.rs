//! What a plain word means, by the rules of the YAML reader that kubectl uses: 1.1's `yes` and `0644` are in it.

use serde_json::{Number, Value};

/// The words that are not text.
pub(super) fn is_reserved(text: &str) -> bool {
    word(text).is_some() || matches!(text, "y" | "Y" | "n" | "N")
}

/// A plain scalar's value.
pub(super) fn plain(text: &str) -> Value {
    word(text).or_else(|| number(text)).unwrap_or_else(|| Value::String(text.to_owned()))
}

fn word(text: &str) -> Option<Value> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some(Value::Null),
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(Value::Bool(true)),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(Value::Bool(false)),
        _ => None,
    }
}

fn number(text: &str) -> Option<Value> {
    let (minus, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let digits = if minus { digits } else { digits.strip_prefix('+').unwrap_or(digits) };
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    whole(minus, digits).or_else(|| broken(minus, digits))
}

fn whole(minus: bool, digits: &str) -> Option<Value> {
    let digits = digits.replace('_', "");
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits.as_str(), 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    let number = u64::from_str_radix(digits, radix).ok()?;
    if minus { 0_i64.checked_sub_unsigned(number).map(Value::from) } else { Some(Value::from(number)) }
}

fn broken(minus: bool, digits: &str) -> Option<Value> {
    let allowed = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    if !digits.bytes().all(allowed) || !digits.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: f64 = digits.parse().ok()?;
    Number::from_f64(if minus { -number } else { number }).map(Value::Number)
}
