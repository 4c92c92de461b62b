//! What an origin was sent, and whether it was one canonical request.

use crate::wire::{self, Fault, Fields};

/// One request, as it came.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Which of the origin's connections it came over, counted from 0.
    pub connection: usize,
    /// Its method.
    pub method: String,
    /// Its target.
    pub target: String,
    /// Its fields, in order.
    pub fields: Fields,
    /// Its head, byte for byte.
    pub head: Vec<u8>,
    /// Its body.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Fields,
}

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length.
    Length(usize),
    /// In chunks.
    Chunked,
}

impl Recorded {
    /// Reads a head and judges it.
    ///
    /// # Errors
    /// If it is not one canonical request of a proxy: anything left over from the hop before it is a fault, too.
    pub fn read(connection: usize, head: Vec<u8>) -> Result<(Self, Framing), Fault> {
        let (request, framing) = Self::read_marked(connection, head)?;
        // What a job is called is said to its service, where the route has it asked how far it is.
        let left_over = |name: &str| name.starts_with("adumbra-") && name != "adumbra-dispatch";
        match request.fields.iter().find(|(name, _)| left_over(&name.to_ascii_lowercase())) {
            Some((name, value)) => Err(Fault::NotCanonical(format!("`{name}: {value}` is of the hop before"))),
            None => Ok((request, framing)),
        }
    }

    /// The same of a request that one sidecar sends another: it may say what it is.
    ///
    /// # Errors
    /// If it is not one canonical request of a proxy, but for its marks.
    pub fn read_marked(connection: usize, head: Vec<u8>) -> Result<(Self, Framing), Fault> {
        let lines = wire::lines(&head)?;
        let (request_line, field_lines) = lines.split_first().ok_or(Fault::BrokeOff)?;
        let (method, target) = request_line_parts(request_line)?;
        let fields = field_lines.iter().map(|line| wire::field(line)).collect::<Result<Fields, _>>()?;
        let framing = framing(&fields)?;
        check_fields(&fields)?;
        let (body, trailers) = (Vec::new(), Vec::new());
        Ok((Self { connection, method, target, fields, head, body, trailers }, framing))
    }

    /// The one value of a field.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[must_use]
    pub fn field(&self, name: &str) -> &str {
        match self.values(name)[..] {
            [one] => one,
            ref other => panic!("`{name}` has {} values, not one: {:?}", other.len(), self.fields),
        }
    }

    /// The values of every field of that name.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        wire::values(&self.fields, name)
    }

    /// Whether there is a field of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        !self.values(name).is_empty()
    }
}

fn request_line_parts(line: &[u8]) -> Result<(String, String), Fault> {
    let text = String::from_utf8_lossy(line);
    let fault = || Fault::NotCanonical(format!("`{text}` as the request line"));
    match text.split(' ').collect::<Vec<_>>()[..] {
        [method, target, "HTTP/1.1"] if is_canonical_target(target) && !method.is_empty() => {
            Ok((method.to_owned(), target.to_owned()))
        }
        _ => Err(fault()),
    }
}

fn is_canonical_target(target: &str) -> bool {
    target == "*" || (target.starts_with('/') && target.bytes().all(|b| b.is_ascii_graphic()))
}

fn framing(fields: &Fields) -> Result<Framing, Fault> {
    let fault = |what: &str| Err(Fault::NotCanonical(what.to_owned()));
    let (lengths, codings) = (wire::values(fields, "content-length"), wire::values(fields, "transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::Length(0)),
        ([], ["chunked"]) => Ok(Framing::Chunked),
        ([length], []) if !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit()) => {
            length.parse().map(Framing::Length).or_else(|_| fault("a length beyond any"))
        }
        _ => fault(&format!("framed by {lengths:?} and {codings:?}")),
    }
}

fn check_fields(fields: &Fields) -> Result<(), Fault> {
    let fault = |what: String| Err(Fault::NotCanonical(what));
    let has = |name: &str| !wire::values(fields, name).is_empty();
    if wire::values(fields, "host").len() != 1 {
        return fault(format!("{} Host fields", wire::values(fields, "host").len()));
    }
    let upgrades = wire::values(fields, "connection") == ["upgrade"] && has("upgrade");
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        let left_over = match name.as_str() {
            "connection" | "upgrade" => !upgrades,
            "te" => value != "trailers",
            "keep-alive" | "proxy-connection" | "proxy-authenticate" | "proxy-authorization" | "http2-settings" => true,
            _ => false,
        };
        if left_over {
            return fault(format!("`{name}: {value}` is of the hop before"));
        }
        let dashed = name.replace('_', "-");
        if dashed != name && has(&dashed) {
            return fault(format!("`{name}` is there with `-`, too"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fields: &str, expected: bool) {
        let head = format!("GET /a?b HTTP/1.1\r\n{fields}\r\n");
        let read = Recorded::read(0, head.into_bytes());
        assert_eq!(read.is_ok(), expected, "{fields:?}: {:?}", read.err());
    }

    #[test]
    fn only_one_canonical_request_passes() {
        check("host: a\r\n", true);
        check("host: a\r\ncontent-length: 3\r\n", true);
        check("host: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n", true);
        check("host: a\r\nx_b: 1\r\n", true);
        check("", false);
        check("host: a\r\nhost: a\r\n", false);
        check("host: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n", false);
        check("host: a\r\ncontent-length: 3\r\ncontent-length: 3\r\n", false);
        check("host: a\r\ntransfer-encoding: gzip, chunked\r\n", false);
        check("host: a\r\nconnection: close\r\n", false);
        check("host: a\r\nkeep-alive: 5\r\n", false);
        check("host: a\r\nte: gzip\r\n", false);
        check("host: a\r\nadumbra-shadow: id=a\r\n", false);
        check("host: a\r\nadumbra-dispatch: 1f-s1\r\n", true);
        check("host: a\r\nx-b: 1\r\nx_b: 1\r\n", false);
        check("host: a\r\n folded: 1\r\n", false);
        check("host: a\nx: 1\r\n", false);
    }
}
