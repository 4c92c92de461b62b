//! `Cache-Control` (RFC 9111 §5.2), read as it is written: names in any case, values as tokens or quoted strings.
//!
//! What cannot be read is said to be unreadable, and then nothing is stored: a directive that we overlooked may have been
//! the one that forbids it. A field of which several are given with different values counts as the least of them.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, PRAGMA};

/// The most seconds that anything is taken to mean (RFC 9111 §1.2.2).
const MOST_S: u64 = 1 << 31;

/// What `Cache-Control` says, of a request or of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) public: bool,
    /// `must-revalidate` or `proxy-revalidate`.
    pub(super) must_revalidate: bool,
    pub(super) only_if_cached: bool,
    pub(super) max_age: Option<u64>,
    pub(super) s_maxage: Option<u64>,
    pub(super) min_fresh: Option<u64>,
    pub(super) stale_while_revalidate: Option<u64>,
    pub(super) stale_if_error: Option<u64>,
    /// Some of it is not what it must be.
    pub(super) unreadable: bool,
}

impl Directives {
    /// What these headers say.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut said = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            said.read(value.as_bytes());
        }
        said
    }

    /// The same of a request, whose `Pragma: no-cache` counts if there is nothing newer (RFC 9111 §5.4).
    pub(super) fn of_request(headers: &HeaderMap) -> Self {
        if headers.contains_key(CACHE_CONTROL) {
            return Self::of(headers);
        }
        let no_cache = |value: &[u8]| value.split(|byte| *byte == b',').any(|word| is(word.trim_ascii(), "no-cache"));
        let no_cache = headers.get_all(PRAGMA).iter().any(|value| no_cache(value.as_bytes()));
        Self { no_cache, ..Self::default() }
    }

    fn read(&mut self, mut rest: &[u8]) {
        loop {
            rest = rest.trim_ascii_start();
            let Some(first) = rest.first() else { return };
            if *first == b',' {
                rest = &rest[1..];
                continue;
            }
            let Some((name, value, after)) = directive(rest) else {
                self.unreadable = true;
                return;
            };
            self.take(name, value);
            rest = after;
        }
    }

    fn take(&mut self, name: &[u8], value: Option<&[u8]>) {
        // With a field's name as its value `private` or `no-cache` would concern only that field; here it concerns all.
        match name {
            name if is(name, "no-store") => self.no_store = true,
            name if is(name, "no-cache") => self.no_cache = true,
            name if is(name, "private") => self.private = true,
            name if is(name, "public") => self.public = true,
            name if is(name, "must-revalidate") || is(name, "proxy-revalidate") => self.must_revalidate = true,
            name if is(name, "only-if-cached") => self.only_if_cached = true,
            name if is(name, "max-age") => least(&mut self.max_age, value),
            name if is(name, "s-maxage") => least(&mut self.s_maxage, value),
            name if is(name, "min-fresh") => {
                let least_wanted = seconds(value);
                self.min_fresh = self.min_fresh.max(Some(least_wanted.unwrap_or(MOST_S)));
            }
            name if is(name, "stale-while-revalidate") => least(&mut self.stale_while_revalidate, value),
            name if is(name, "stale-if-error") => least(&mut self.stale_if_error, value),
            // What nobody knows does not concern us (RFC 9111 §5.2.3).
            _ => {}
        }
    }
}

fn is(name: &[u8], wanted: &str) -> bool {
    name.eq_ignore_ascii_case(wanted.as_bytes())
}

/// Nonsense counts as nothing at all: what it is said of is stale.
fn least(known: &mut Option<u64>, value: Option<&[u8]>) {
    let said = seconds(value).unwrap_or(0);
    *known = Some(known.map_or(said, |known| known.min(said)));
}

/// Delta-seconds; more than we count to is the most we count to.
pub(super) fn seconds(value: Option<&[u8]>) -> Option<u64> {
    let digits = value.filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))?;
    let value = digits.iter().fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(value.min(MOST_S))
}

/// A directive's name, its value, and what comes after it.
type Read<'a> = (&'a [u8], Option<&'a [u8]>, &'a [u8]);

/// The first directive.
fn directive(text: &[u8]) -> Option<Read<'_>> {
    let end = text.iter().position(|byte| !is_token(*byte)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return None;
    }
    let spaced = rest.trim_ascii_start();
    let Some(value) = spaced.strip_prefix(b"=") else { return ends(spaced).map(|rest| (name, None, rest)) };
    let value = value.trim_ascii_start();
    if let Some(quoted) = value.strip_prefix(b"\"") {
        let end = closing_quote(quoted)?;
        return ends(&quoted[end + 1..]).map(|rest| (name, Some(&quoted[..end]), rest));
    }
    let end = value.iter().position(|byte| !is_token(*byte)).unwrap_or(value.len());
    ends(&value[end..]).map(|rest| (name, Some(&value[..end]), rest))
}

/// What comes after a directive, if it is one that ends there.
fn ends(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.trim_ascii_start();
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix(b",") }
}

fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn said(values: &[&[u8]]) -> Directives {
        let value = |value: &&[u8]| (CACHE_CONTROL, HeaderValue::from_bytes(value).expect("a value"));
        let mut headers = HeaderMap::new();
        for (name, value) in values.iter().map(value) {
            headers.append(name, value);
        }
        Directives::of(&headers)
    }

    #[test]
    fn names_are_read_in_any_case_and_values_in_any_form() {
        let none = Directives::default();
        let check = |text: &str, expected: Directives| assert_eq!(said(&[text.as_bytes()]), expected, "{text}");
        check("", none);
        check(" , ,", none);
        check("No-Store", Directives { no_store: true, ..none });
        check("PRIVATE=\"set-cookie, x\" , Max-Age=5", Directives { private: true, max_age: Some(5), ..none });
        check("max-age=\"10\"", Directives { max_age: Some(10), ..none });
        check("max-age = 10", Directives { max_age: Some(10), ..none });
        check("proxy-revalidate", Directives { must_revalidate: true, ..none });
        check("x=\"a, no-store, \\\" b\", public", Directives { public: true, ..none });
        check("max-age=9999999999999999999999", Directives { max_age: Some(MOST_S), ..none });
        check(
            "stale-if-error=7,stale-while-revalidate=8",
            Directives { stale_if_error: Some(7), stale_while_revalidate: Some(8), ..none },
        );
    }

    #[test]
    fn nonsense_makes_stale_and_contradictions_count_as_the_least() {
        for text in ["max-age=", "max-age", "max-age=-1", "max-age=1.5", "max-age=x", "max-age=\"\""] {
            assert_eq!(said(&[text.as_bytes()]).max_age, Some(0), "{text}");
        }
        assert_eq!(said(&[b"max-age=60", b"max-age=5, max-age=9"]).max_age, Some(5));
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        for text in [&b"=5"[..], b"\"no-store\"", b"a b", b"x=\"open", b"max-age=5 no-store", b"n\xf6-store", b"a;b"] {
            assert!(said(&[text]).unreadable, "{}", String::from_utf8_lossy(text));
        }
        assert!(said(&[b"\xff", b"no-store"]).no_store, "one field that cannot be read hides no other");
    }

    #[test]
    fn pragma_counts_for_a_request_without_anything_newer() {
        let mut headers = HeaderMap::new();
        headers.insert(PRAGMA, HeaderValue::from_static("x, No-Cache"));
        assert!(Directives::of_request(&headers).no_cache);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=5"));
        assert!(!Directives::of_request(&headers).no_cache);
    }
}
