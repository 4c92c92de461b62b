//! What a client gets of a whole stored answer: all of it, part of it, or that it has it already (RFC 9110 §13, §14).
//!
//! Only what can be right without asking anybody: one range of bytes, `If-None-Match`, `If-Modified-Since`, `If-Range`.
//! Several ranges at once are answered with the whole, as RFC 9110 §14.2 allows.

use std::ops::Range;

use http::header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE};
use http::{HeaderMap, StatusCode};

use super::terms::{date, time};

/// What a client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// All of it.
    Whole,
    /// 304.
    NotModified,
    /// 206: these bytes.
    Part(Range<u64>),
    /// 416.
    Unsatisfiable,
}

/// What a request with these headers gets of an answer with this head; `len` are its bytes, if that is known.
pub(super) fn form(request: &HeaderMap, status: StatusCode, stored: &HeaderMap, len: Option<u64>) -> Form {
    if status != StatusCode::OK {
        return Form::Whole;
    }
    if is_not_modified(request, stored) {
        return Form::NotModified;
    }
    match len {
        Some(len) if request.contains_key(RANGE) && range_applies(request, stored) => part(request, len),
        _ => Form::Whole,
    }
}

/// RFC 9111 §4.3.2: `If-None-Match` by weak comparison, and only without it `If-Modified-Since`.
fn is_not_modified(request: &HeaderMap, stored: &HeaderMap) -> bool {
    if request.contains_key(IF_NONE_MATCH) {
        let Some(etag) = stored.get(ETAG).map(|etag| opaque(etag.as_bytes())) else { return false };
        return request.get_all(IF_NONE_MATCH).iter().any(|value| lists(value.as_bytes(), etag));
    }
    let since = request.get(IF_MODIFIED_SINCE).and_then(|_| time(request, &IF_MODIFIED_SINCE));
    let modified = time(stored, &LAST_MODIFIED);
    since.zip(modified).is_some_and(|(since, modified)| modified <= since)
}

/// An entity tag without its weakness.
fn opaque(etag: &[u8]) -> &[u8] {
    let etag = etag.trim_ascii();
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

/// Whether a list of entity tags has this one, or is `*`. Commas may stand within tags.
fn lists(mut list: &[u8], etag: &[u8]) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    loop {
        list = list.trim_ascii_start();
        list = list.strip_prefix(b",").unwrap_or(list).trim_ascii_start();
        list = list.strip_prefix(b"W/").unwrap_or(list);
        let Some(tag) = list.strip_prefix(b"\"") else { return false };
        let Some(end) = tag.iter().position(|byte| *byte == b'"') else { return false };
        if list[..end + 2] == *etag {
            return true;
        }
        list = &list[end + 2..];
    }
}

/// Whether `If-Range` lets the range be (RFC 9110 §13.1.5): a strong tag that is the same, or the very date of the last
/// change, at least a minute before the answer was made.
fn range_applies(request: &HeaderMap, stored: &HeaderMap) -> bool {
    let mut values = request.get_all(IF_RANGE).iter();
    let Some(wanted) = values.next() else { return true };
    if values.next().is_some() {
        return false;
    }
    let wanted = wanted.as_bytes().trim_ascii();
    if wanted.starts_with(b"\"") {
        return stored.get(ETAG).is_some_and(|etag| etag.as_bytes().trim_ascii() == wanted);
    }
    let modified = time(stored, &LAST_MODIFIED);
    let made = time(stored, &http::header::DATE);
    let is_strong = modified
        .zip(made)
        .and_then(|(modified, made)| made.duration_since(modified).ok())
        .is_some_and(|unchanged| unchanged.as_secs() >= 60);
    is_strong && std::str::from_utf8(wanted).ok().and_then(date) == modified
}

/// The one range that is asked for. What is no such range is not heard.
fn part(request: &HeaderMap, len: u64) -> Form {
    let mut values = request.get_all(RANGE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Form::Whole };
    let value = value.as_bytes().trim_ascii();
    let Some((unit, spec)) = value.split_at_checked(6).filter(|(unit, _)| unit.eq_ignore_ascii_case(b"bytes=")) else {
        return Form::Whole;
    };
    let _bytes = unit;
    let Some(dash) = spec.iter().position(|byte| *byte == b'-') else { return Form::Whole };
    let (first, last) = (spec[..dash].trim_ascii(), spec[dash + 1..].trim_ascii());
    match (number(first), number(last)) {
        (Ok(Some(first)), Ok(last)) if last.is_none_or(|last| first <= last) => {
            if first >= len {
                return Form::Unsatisfiable;
            }
            Form::Part(first..last.map_or(len, |last| last.saturating_add(1).min(len)))
        }
        (Ok(None), Ok(Some(0))) => Form::Unsatisfiable,
        (Ok(None), Ok(Some(_))) if len == 0 => Form::Unsatisfiable,
        (Ok(None), Ok(Some(suffix))) => Form::Part(len.saturating_sub(suffix)..len),
        _ => Form::Whole,
    }
}

/// A number, or none at all.
fn number(digits: &[u8]) -> Result<Option<u64>, ()> {
    if digits.is_empty() {
        return Ok(None);
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(());
    }
    let number = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Ok(Some(digits.iter().fold(0, number)))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        let mut headers = HeaderMap::new();
        for (name, value) in pairs.iter().map(pair) {
            headers.append(name, value);
        }
        headers
    }

    const DAY: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

    fn check(request: &[(&'static str, &str)], expected: Form) {
        let stored = headers(&[("etag", "\"a,b\""), ("last-modified", DAY), ("date", LATER)]);
        assert_eq!(form(&headers(request), StatusCode::OK, &stored, Some(100)), expected, "{request:?}");
    }

    #[test]
    fn a_client_that_has_it_is_told_so() {
        check(&[], Form::Whole);
        check(&[("if-none-match", "\"a,b\"")], Form::NotModified);
        check(&[("if-none-match", "\"x\", W/\"a,b\" ")], Form::NotModified);
        check(&[("if-none-match", "*")], Form::NotModified);
        check(&[("if-none-match", "\"a\", \"b\"")], Form::Whole);
        check(&[("if-none-match", "a,b")], Form::Whole);
        check(&[("if-modified-since", DAY)], Form::NotModified);
        check(&[("if-modified-since", "Sunday, 06-Nov-94 08:49:37 GMT")], Form::NotModified);
        check(&[("if-modified-since", "Sun Nov  6 08:49:37 1994")], Form::NotModified);
        check(&[("if-modified-since", BEFORE)], Form::Whole);
        check(&[("if-modified-since", "yesterday")], Form::Whole);
        // The tag is the better witness (RFC 9110 §13.2.2).
        check(&[("if-none-match", "\"x\""), ("if-modified-since", DAY)], Form::Whole);
        check(&[("if-none-match", "\"a,b\""), ("range", "bytes=0-1")], Form::NotModified);
    }

    #[test]
    fn one_range_is_cut_out() {
        check(&[("range", "bytes=0-9")], Form::Part(0..10));
        check(&[("range", "Bytes= 5 - 5 ")], Form::Part(5..6));
        check(&[("range", "bytes=90-")], Form::Part(90..100));
        check(&[("range", "bytes=90-200")], Form::Part(90..100));
        check(&[("range", "bytes=-10")], Form::Part(90..100));
        check(&[("range", "bytes=-1000")], Form::Part(0..100));
        check(&[("range", "bytes=100-")], Form::Unsatisfiable);
        check(&[("range", "bytes=99999999999999999999999-")], Form::Unsatisfiable);
        check(&[("range", "bytes=-0")], Form::Unsatisfiable);
        for unheard in ["bytes=5-1", "bytes=a-b", "bytes=0-1,5-6", "lines=0-1", "bytes=", "bytes=-", "bytes=+1-2"] {
            check(&[("range", unheard)], Form::Whole);
        }
        check(&[("range", "bytes=0-1"), ("range", "bytes=5-6")], Form::Whole);
    }

    #[test]
    fn if_range_needs_what_it_names_to_be_the_same() {
        let range = ("range", "bytes=0-9");
        check(&[range, ("if-range", "\"a,b\"")], Form::Part(0..10));
        check(&[range, ("if-range", "\"x\"")], Form::Whole);
        check(&[range, ("if-range", "W/\"a,b\"")], Form::Whole);
        check(&[range, ("if-range", DAY)], Form::Part(0..10));
        check(&[range, ("if-range", BEFORE)], Form::Whole);
        check(&[range, ("if-range", LATER)], Form::Whole);
        let fast = headers(&[("last-modified", DAY), ("date", DAY)]);
        let request = headers(&[range, ("if-range", DAY)]);
        assert_eq!(form(&request, StatusCode::OK, &fast, Some(100)), Form::Whole, "it may have changed twice");
    }

    #[test]
    fn only_a_200_has_parts_and_conditions() {
        let stored = headers(&[("etag", "\"a\"")]);
        let request = headers(&[("if-none-match", "\"a\""), ("range", "bytes=0-1")]);
        assert_eq!(form(&request, StatusCode::NOT_FOUND, &stored, Some(9)), Form::Whole);
        let request = headers(&[("range", "bytes=0-1")]);
        assert_eq!(
            form(&request, StatusCode::OK, &stored, None),
            Form::Whole,
            "of what still grows the end is not known"
        );
    }
}
