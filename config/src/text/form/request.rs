//! What is said about requests: which ones, and where something stands in them.

use http::{HeaderName, HeaderValue, Method};
use toml::de::DeValue;

use super::{Bad, Form, text};
use crate::value::{ClassBy, LaneKind, Mode, Protocol, Sign};

/// A path or a prefix of paths.
pub(crate) const PATH_PATTERN: Form<String> = Form {
    name: "a path",
    unit: "",
    write: "a path from `/`, with a `*` at its end for all that start so, in quotes",
    example: "\"/render*\"",
    reader: |value| {
        let text = text(value)?;
        if text != "*" {
            path(text.strip_suffix('*').unwrap_or(text))?;
        }
        Ok(text.to_owned())
    },
};

/// A path with nothing open.
pub(crate) const REQUEST_PATH: Form<String> = Form {
    name: "a path",
    unit: "",
    write: "a path from `/`, with a query if need be, in quotes",
    example: "\"/healthz\"",
    reader: |value| {
        let text = text(value)?;
        path(text.split_once('?').map_or(text, |(path, _)| path))?;
        match text.parse::<http::uri::PathAndQuery>() {
            Ok(_) if !text.contains('#') => Ok(text.to_owned()),
            _ => Err(Bad::Why("it has characters that no request has")),
        }
    },
};

/// A path with a place for a dispatch's name: what stands before it and after it.
pub(crate) const POLL_PATH: Form<(String, String)> = Form {
    name: "a path with `{id}`",
    unit: "",
    write: "a path from `/` with `{id}` in the place of the job's name, in quotes",
    example: "\"/progress/{id}\"",
    reader: |value| {
        let text = text(value)?;
        let (before, after) = text.split_once("{id}").ok_or(Bad::Why("it has no `{id}`"))?;
        if after.contains("{id}") {
            return Err(Bad::Why("it has more than one `{id}`"));
        }
        let whole = format!("{before}0{after}");
        path(whole.split_once('?').map_or(whole.as_str(), |(path, _)| path))?;
        match whole.parse::<http::uri::PathAndQuery>() {
            Ok(_) if !text.contains('#') => Ok((before.to_owned(), after.to_owned())),
            _ => Err(Bad::Why("it has characters that no request has")),
        }
    },
};

/// A method.
pub(crate) const METHOD: Form<Method> = Form {
    name: "a method",
    unit: "",
    write: "a method in capital letters, in quotes",
    example: "\"GET\"",
    reader: |value| {
        let text = text(value)?;
        match Method::from_bytes(text.as_bytes()) {
            Err(_) => Err(Bad::Why("it has characters that no method has")),
            Ok(_) if text.bytes().any(|b| b.is_ascii_lowercase()) => Err(Bad::Why("methods are told apart by case")),
            Ok(Method::CONNECT) => Err(Bad::Why("adumbra opens no tunnels")),
            Ok(method) => Ok(method),
        }
    },
};

/// The name of a request header that is the client's to send.
pub(crate) const HEADER_NAME: Form<HeaderName> = Form {
    name: "a header's name",
    unit: "",
    write: "a header's name, in quotes",
    example: "\"x-tenant\"",
    reader: |value| match HeaderName::from_bytes(text(value)?.as_bytes()) {
        Ok(name) if name.as_str().starts_with("adumbra-") => {
            Err(Bad::Why("`adumbra-*` headers never come from clients"))
        }
        Ok(name) if name.as_str().contains('_') => Err(Bad::Why("some read `_` in a name as `-`")),
        Ok(name) => Ok(name),
        Err(_) => Err(Bad::Why("it has characters that no header's name has")),
    },
};

/// What a header must be, or nothing if any value will do.
pub(crate) const HEADER_VALUE: Form<Option<String>> = Form {
    name: "a header's value",
    unit: "",
    write: "the value in quotes, or `\"\"` if the header must only be there",
    example: "\"scene\"",
    reader: |value| match text(value)? {
        "" => Ok(None),
        text if HeaderValue::from_str(text).is_err() => Err(Bad::Why("it has characters that no header has")),
        text if text.trim() != text => Err(Bad::Why("a header's value neither starts nor ends with a space")),
        text => Ok(Some(text.to_owned())),
    },
};

/// Where in a request something stands.
pub(crate) const CLASS_BY: Form<ClassBy> = Form {
    name: "a part of a request",
    unit: "",
    write: "`header:NAME`, `query:NAME` or `segment:N` in quotes",
    example: "\"query:kind\"",
    reader: class_by,
};

/// A header that may be taken off a request.
pub(crate) const STRIPPED: Form<HeaderName> = Form {
    name: "a header's name",
    unit: "",
    write: "the name in quotes",
    example: "\"authorization\"",
    reader: |value| {
        // What frames a message or says where it goes cannot be left out of it.
        const NEEDED: [HeaderName; 3] =
            [http::header::HOST, http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING];
        match HeaderName::from_bytes(text(value)?.as_bytes()) {
            Ok(name) if NEEDED.contains(&name) => Err(Bad::Why("no request can be sent without it")),
            Ok(name) => Ok(name),
            Err(_) => Err(Bad::Why("no header can have that name")),
        }
    },
};

/// Something that an answer says.
pub(crate) const SIGN: Form<Sign> = Form {
    name: "a sign in an answer",
    unit: "",
    write: "`status:NUMBER`, `header:NAME=VALUE` or `json:/POINTER=VALUE` in quotes",
    example: "\"json:/state=done\"",
    reader: sign,
};

/// How far adumbra may go.
pub(crate) const MODE: Form<Mode> = Form {
    name: "a mode",
    unit: "",
    write: "`off`, `observe` or `on` in quotes",
    example: "\"on\"",
    reader: |value| match text(value)? {
        "off" => Ok(Mode::Off),
        "observe" => Ok(Mode::Observe),
        "on" => Ok(Mode::On),
        _ => Err(Bad::Why("it is none of `off`, `observe`, `on`")),
    },
};

/// What shadows run on.
pub(crate) const LANE_KIND: Form<LaneKind> = Form {
    name: "a kind of lane",
    unit: "",
    write: "`shared`, `process` or `address` in quotes",
    example: "\"process\"",
    reader: |value| match text(value)? {
        "shared" => Ok(LaneKind::Shared),
        "process" => Ok(LaneKind::Process),
        "address" => Ok(LaneKind::Address),
        _ => Err(Bad::Why("it is none of `shared`, `process`, `address`")),
    },
};

/// Which HTTP version is spoken.
pub(crate) const PROTOCOL: Form<Protocol> = Form {
    name: "a protocol",
    unit: "",
    write: "`auto`, `http1` or `http2` in quotes",
    example: "\"auto\"",
    reader: |value| match text(value)? {
        "auto" => Ok(Protocol::Auto),
        "http1" => Ok(Protocol::Http1),
        "http2" => Ok(Protocol::Http2),
        _ => Err(Bad::Why("it is none of `auto`, `http1`, `http2`")),
    },
};

/// Whether this could be the path of a request, which is compared as it came.
fn path(path: &str) -> Result<(), Bad> {
    if !path.starts_with('/') {
        return Err(Bad::Why("it does not start with `/`"));
    }
    if path.contains('*') {
        return Err(Bad::Why("a `*` stands only at its end"));
    }
    if path.contains(['?', '#']) {
        return Err(Bad::Why("a query is not part of it"));
    }
    if !path.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(Bad::Why("paths are compared as they come, so write other characters as `%XX`"));
    }
    Ok(())
}

fn sign(value: &DeValue<'_>) -> Result<Sign, Bad> {
    let text = text(value)?;
    let Some((kind, rest)) = text.split_once(':') else {
        return Err(Bad::Why("it has no `:`"));
    };
    if kind == "status" {
        return rest.parse().map(Sign::Status).map_err(|_| Bad::Why("a status is a number from 100 to 999"));
    }
    let Some((place, wanted)) = rest.split_once('=') else {
        return Err(Bad::Why("it has no `=` before the value"));
    };
    match kind {
        "header" => match HeaderName::from_bytes(place.as_bytes()) {
            Ok(name) => Ok(Sign::Header(name, wanted.to_owned())),
            Err(_) => Err(Bad::Why("no header can have that name")),
        },
        "json" if place.starts_with('/') => Ok(Sign::Json(place.to_owned(), wanted.to_owned())),
        "json" => Err(Bad::Why("a JSON pointer starts with `/`")),
        _ => Err(Bad::Why("it starts with none of `status:`, `header:`, `json:`")),
    }
}

fn class_by(value: &DeValue<'_>) -> Result<ClassBy, Bad> {
    let text = text(value)?;
    let Some((kind, name)) = text.split_once(':') else {
        return Err(Bad::Why("it has no `:`"));
    };
    match kind {
        "header" => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => Ok(ClassBy::Header(name)),
            Err(_) => Err(Bad::Why("no header can have that name")),
        },
        "query" if name.is_empty() => Err(Bad::Why("the parameter's name is missing")),
        "query" => Ok(ClassBy::Query(name.to_owned())),
        "segment" => match name.parse() {
            Ok(number) if number < 100_usize => Ok(ClassBy::Segment(number)),
            _ => Err(Bad::Why("a segment's number is from 0 to 99")),
        },
        _ => Err(Bad::Why("it starts with none of `header:`, `query:`, `segment:`")),
    }
}
