//! The inputs that a request declares: `Link: <https://data.example/a>; rel=preload` (RFC 8288).
//!
//! Only absolute URLs count: a job does not say what its paths would be relative to. What cannot be read is passed over,
//! since a job that declares its inputs badly is still a job.

use http::header::LINK;
use http::{HeaderMap, Uri};

/// Inputs of one request that count.
pub(crate) const MOST: usize = 16;

/// The inputs that `headers` declare, at most 16.
pub(crate) fn declared(headers: &HeaderMap) -> Vec<Uri> {
    let values = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| Links { rest: value }).filter_map(preloaded).take(MOST).collect()
}

fn preloaded(link: Link<'_>) -> Option<Uri> {
    let preload = link.rel?.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("preload"));
    // `Uri` would drop a fragment without a word, and then two names were one.
    if !preload || link.target.contains('#') {
        return None;
    }
    let uri: Uri = link.target.parse().ok()?;
    (uri.scheme().is_some() && uri.authority().is_some()).then_some(uri)
}

struct Link<'a> {
    target: &'a str,
    rel: Option<String>,
}

/// The links of one field value.
struct Links<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Links<'a> {
    type Item = Link<'a>;

    fn next(&mut self) -> Option<Link<'a>> {
        self.rest = self.rest.trim_start_matches([' ', '\t', ',']);
        let (target, rest) = self.rest.strip_prefix('<')?.split_once('>')?;
        self.rest = rest;
        let mut rel = None;
        while let Some((name, value)) = self.param() {
            // The first one counts.
            if name.eq_ignore_ascii_case("rel") && rel.is_none() {
                rel = Some(value);
            }
        }
        // What follows a parameter that cannot be read is skipped up to the next link.
        self.rest = self.rest.find(',').map_or("", |comma| &self.rest[comma..]);
        Some(Link { target: target.trim(), rel })
    }
}

impl<'a> Links<'a> {
    fn param(&mut self) -> Option<(&'a str, String)> {
        let rest = self.rest.trim_start();
        let rest = rest.strip_prefix(';')?.trim_start();
        let end = rest.find(['=', ';', ',']).unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let Some(rest) = rest.strip_prefix('=') else {
            self.rest = rest;
            return Some((name.trim(), String::new()));
        };
        let (value, rest) = value(rest.trim_start());
        self.rest = rest;
        Some((name.trim(), value))
    }
}

/// A parameter's value, quoted or not, and what follows it.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = text.split_at(text.find([';', ',']).unwrap_or(text.len()));
        return (value.trim().to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(values: &[&str], expected: &[&str]) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, HeaderValue::from_str(value).expect("a header value"));
        }
        let found: Vec<String> = declared(&headers).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected, "{values:?}");
    }

    #[test]
    fn preload_links_are_found() {
        check(&["<http://a/x>; rel=preload"], &["http://a/x"]);
        check(&["<http://a/x>;rel=\"preload\""], &["http://a/x"]);
        check(&["<http://a/x> ; as=fetch ; REL = \"prefetch PreLoad\""], &["http://a/x"]);
        check(
            &["<http://a/x,y;z>; rel=preload, <https://b/?q=1,2>;rel=preload"],
            &["http://a/x,y;z", "https://b/?q=1,2"],
        );
        check(&["<http://a/x>; rel=preload", "<http://b/y>; rel=preload"], &["http://a/x", "http://b/y"]);
        check(&["<http://a/x>; title=\"a \\\", <http://b/y>; rel=preload\"; rel=preload"], &["http://a/x"]);
        check(&["<http://a/x>; nopush; rel=preload"], &["http://a/x"]);
        check(&[", ,<http://a/x>; rel=preload,, <http://b/y>; rel=preload"], &["http://a/x", "http://b/y"]);
    }

    #[test]
    fn everything_else_is_passed_over() {
        check(&["<http://a/x>"], &[]);
        check(&["<http://a/x>; rel=stylesheet"], &[]);
        check(&["<http://a/x>; rel=preloaded"], &[]);
        check(&["<http://a/x>; rel=next; rel=preload"], &[]);
        check(&["</x>; rel=preload, <x>; rel=preload, <//a/x>; rel=preload, <>; rel=preload"], &[]);
        check(&["<http://a/x#part>; rel=preload"], &[]);
        check(&["<http://a/x; rel=preload"], &[]);
        check(&["http://a/x; rel=preload"], &[]);
        check(&["<http://a b/x>; rel=preload, <http://b/y>; rel=preload"], &["http://b/y"]);
        check(&["<http://a/x>; rel=\"preload"], &["http://a/x"]);
        check(&["<http://a/x>; rel=other junk, <http://b/y>; rel=preload"], &["http://b/y"]);
    }

    #[test]
    fn a_request_declares_sixteen_at_most() {
        let many = "<http://a/x>; rel=preload, ".repeat(40);
        check(&[&many], &["http://a/x"; 16]);
    }

    proptest! {
        #[test]
        fn no_value_is_too_odd(value in "[ -~]{0,80}") {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_str(&value).expect("visible"))]);
            prop_assert!(declared(&headers).len() <= MOST);
        }

        #[test]
        fn no_list_of_parts_is_too_odd(
            parts in prop::collection::vec(prop::sample::select(vec!["<", ">", ";", ",", "=", "\"", "\\", "rel", "preload", "http://a/", " "]), 0..40),
        ) {
            let headers = HeaderMap::from_iter([(LINK, HeaderValue::from_str(&parts.concat()).expect("visible"))]);
            for uri in declared(&headers) {
                prop_assert!(uri.scheme().is_some() && uri.authority().is_some());
            }
        }
    }
}
