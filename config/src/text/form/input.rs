//! Where a request names what its job reads.

use toml::de::DeValue;

use super::request::CLASS_BY;
use super::{Bad, Form, text};
use crate::value::{Input, InputAt};

/// Where an input is named, and what its URL is.
pub(crate) const INPUT: Form<Input> = Form {
    name: "an input",
    unit: "",
    write: "`query:NAME`, `header:NAME`, `segment:N`, `form:NAME` or `json:/POINTER` in quotes, and, if what stands there is \
            no whole URL, ` = ` and one with `{}` in its place",
    example: "\"query:scene = https://data.example/scenes/{}.bin\"",
    reader: input,
};

fn input(value: &DeValue<'_>) -> Result<Input, Bad> {
    let text = text(value)?;
    let (place, url) = match text.split_once(" = ") {
        Some((place, url)) => (place.trim(), Some(url.trim())),
        None => (text.trim(), None),
    };
    let around = url.map(around).transpose()?;
    let at = match place.split_once(':') {
        Some(("form" | "json", "")) => return Err(Bad::Why("the name is missing")),
        Some(("form", name)) => InputAt::Form(name.to_owned()),
        Some(("json", pointer)) if pointer.starts_with('/') => InputAt::Json(pointer.to_owned()),
        Some(("json", _)) => return Err(Bad::Why("a JSON pointer starts with `/`")),
        Some(("header" | "query" | "segment", _)) => InputAt::Head((CLASS_BY.reader)(&DeValue::String(place.into()))?),
        _ => return Err(Bad::Why("it starts with none of `query:`, `header:`, `segment:`, `form:`, `json:`")),
    };
    Ok(Input { at, around })
}

/// What stands before and after the `{}` of a URL.
fn around(url: &str) -> Result<(String, String), Bad> {
    let (before, after) = url.split_once("{}").ok_or(Bad::Why("its URL has no `{}`"))?;
    let whole: http::Uri =
        format!("{before}x{after}").parse().map_err(|_| Bad::Why("what follows ` = ` is not a URL"))?;
    if whole.scheme().is_none() || whole.authority().is_none() {
        return Err(Bad::Why("its URL does not start with `http://` or `https://` and a host"));
    }
    // Whoever sends a request does not choose whom adumbra asks.
    let origin = before.split_once("://").is_some_and(|(_, rest)| rest.contains('/'));
    if origin {
        Ok((before.to_owned(), after.to_owned()))
    } else {
        Err(Bad::Why("`{}` stands only in a URL's path or query"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::ClassBy;

    #[test]
    fn inputs_are_read_as_they_are_written() {
        let check = |text: &str, at: InputAt, around: Option<(&str, &str)>| {
            let around = around.map(|(before, after)| (before.to_owned(), after.to_owned()));
            assert_eq!(INPUT.read(&DeValue::String(text.into())).ok(), Some(Input { at, around }), "{text}");
        };
        let query = || InputAt::Head(ClassBy::Query("scene".to_owned()));
        check("query:scene", query(), None);
        check("query:scene = https://a/b/{}.bin?v=1", query(), Some(("https://a/b/", ".bin?v=1")));
        check("segment:2 = http://a/{}", InputAt::Head(ClassBy::Segment(2)), Some(("http://a/", "")));
        check("form:file", InputAt::Form("file".to_owned()), None);
        check("json:/inputs = http://a/{}", InputAt::Json("/inputs".to_owned()), Some(("http://a/", "")));
    }

    #[test]
    fn what_could_name_any_origin_or_nothing_is_refused() {
        for text in [
            "",
            "scene",
            "query:",
            "form:",
            "json:",
            "json:a",
            "body:x",
            "segment:x",
            "header:a b",
            "query:a = http://a/b",
            "query:a = http://{}/b",
            "query:a = {}",
            "query:a = /b/{}",
            "query:a = http://a{}/b",
            "query:a = http://a b/{}",
        ] {
            assert!(INPUT.read(&DeValue::String(text.into())).is_err(), "{text}");
        }
    }
}
