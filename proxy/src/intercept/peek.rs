//! What a client says first, looked at and left where it is: whoever gets the connection reads all of it.
//!
//! The socket is only ever peeked at, so nothing has to be copied or put back. A protocol is HTTP if its first line is a
//! request line of HTTP's; `GET key` of a cache, `EHLO` of a mailer, `RTSP/1.0`, or a TLS hello are not. The look is bounded
//! in bytes and in time: what cannot be told by then is not HTTP.

use std::io;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, PathAndQuery, Scheme};
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes looked at first: most heads are shorter.
const FIRST_BYTES: usize = 2048;
/// The longest method that is one: the longest that is registered has 17 letters.
const METHOD_MOST: usize = 32;
/// Empty lines that may come before a request line.
const EMPTY_MOST: usize = 2;

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// To the end of the first line: that it is HTTP is all there is to know.
    Line,
    /// To the end of the head, if it is HTTP of version 1.
    Head,
}

/// Bounds of a look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How long to wait for the first byte; `None` for as long as it takes.
    pub(super) first: Option<Duration>,
    /// From there to the end of the look.
    pub(super) whole: Duration,
    pub(super) bytes: usize,
    pub(super) until: Until,
}

/// What was heard.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// HTTP that begins so.
    Http(Vec<u8>),
    /// Something else.
    Other,
    /// Too little to tell in time. The socket must be taken up by [`again`].
    Slow,
    /// Nothing in time.
    Nothing,
    /// Nothing, and nothing will come.
    Ended,
}

/// Looks at what comes first.
///
/// # Errors
/// The connection broke off.
pub(super) async fn hear(client: &TcpStream, limits: Limits) -> io::Result<Heard> {
    let mut bytes = vec![0; FIRST_BYTES.min(limits.bytes)];
    let first = more(client, &mut bytes, 0);
    let mut seen = match limits.first {
        None => first.await?,
        Some(within) => match timeout(within, first).await {
            Ok(seen) => seen?,
            Err(_silent) => return Ok(Heard::Nothing),
        },
    };
    if seen == 0 {
        return Ok(Heard::Ended);
    }
    let looking = async {
        loop {
            match judge(&bytes[..seen], limits.until) {
                Some(true) => return Ok(true),
                Some(false) => return Ok(false),
                None if seen >= limits.bytes => return Ok(false),
                None => {}
            }
            if seen == bytes.len() {
                bytes.resize((seen * 4).min(limits.bytes), 0);
            }
            let now = more(client, &mut bytes, seen).await?;
            if now <= seen {
                // It has ended in the middle, which is somebody else's to make sense of.
                return Ok::<_, io::Error>(false);
            }
            seen = now;
        }
    };
    match timeout(limits.whole, looking).await {
        Err(_slow) => Ok(Heard::Slow),
        Ok(is_http) => {
            if !is_http? {
                return Ok(Heard::Other);
            }
            bytes.truncate(seen);
            Ok(Heard::Http(bytes))
        }
    }
}

/// The same connection, as if it had not been looked at: bytes that were seen wake its reader again.
///
/// # Errors
/// There are no file descriptors left.
pub(super) fn again(client: TcpStream) -> io::Result<TcpStream> {
    TcpStream::from_std(client.into_std()?)
}

/// Waits until there are more than `seen` bytes to look at, or their end; says how many there are.
async fn more(client: &TcpStream, bytes: &mut [u8], seen: usize) -> io::Result<usize> {
    loop {
        let ready = client.ready(Interest::READABLE).await?;
        let looked = client.try_io(Interest::READABLE, || {
            let (now, _) = recv(client, &mut *bytes, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
            // To say that it would block has the next byte wake us, and not those that we know.
            if now == seen && now > 0 && !ready.is_read_closed() {
                Err(io::ErrorKind::WouldBlock.into())
            } else {
                Ok(now)
            }
        });
        match looked {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            looked => return looked,
        }
    }
}

/// Whether these bytes begin HTTP and go on as far as wanted; `None` if more must be seen.
fn judge(bytes: &[u8], until: Until) -> Option<bool> {
    let bytes = without_empty_lines(bytes);
    match memchr::memchr(b'\n', bytes) {
        None if could_begin(bytes) => None,
        None => Some(false),
        Some(end) if !is_request_line(&bytes[..end]) => Some(false),
        Some(_) if until == Until::Line => Some(true),
        Some(_) => memchr::memmem::find(bytes, b"\r\n\r\n").map(|_| true),
    }
}

fn without_empty_lines(mut bytes: &[u8]) -> &[u8] {
    for _ in 0..EMPTY_MOST {
        bytes = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
    }
    bytes
}

/// Whether bytes without a line's end may become a request line.
fn could_begin(bytes: &[u8]) -> bool {
    if bytes == b"\r" {
        return true;
    }
    let method = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_whole = method.len() < bytes.len();
    let is_method = method.len() <= METHOD_MOST && method.iter().all(|byte| is_token(*byte));
    is_method && (!is_whole || !method.is_empty() && bytes[method.len()..].iter().all(|byte| is_in_line(*byte)))
}

/// Whether a line is `METHOD TARGET HTTP/…`. Which version it is, and whether the rest is sound, is for others to say: it is
/// HTTP, and a bad request of HTTP's gets an answer of HTTP's.
fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut words = line.splitn(2, |byte| *byte == b' ');
    let (Some(method), Some(rest)) = (words.next(), words.next()) else { return false };
    let is_method = (1..=METHOD_MOST).contains(&method.len()) && method.iter().all(|byte| is_token(*byte));
    let version = rest.iter().rposition(|byte| *byte == b' ').map(|at| &rest[at + 1..]);
    is_method && version.is_some_and(|version| version.starts_with(b"HTTP/"))
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_in_line(byte: u8) -> bool {
    !byte.is_ascii_control() || byte == b'\r' || byte == b'\t'
}

/// What the service asks for by a request that begins with `head`, if a cache may answer it: a plain request of HTTP/1 to
/// an origin that it names, at the `port` that it has connected to.
pub(super) fn fetched(head: &[u8], port: u16) -> Option<Uri> {
    let text = std::str::from_utf8(without_empty_lines(head)).ok()?;
    let (head, _) = text.split_once("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, _version) = (words.next()?, words.next()?, words.next()?);
    let mut host = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("upgrade") {
            return None;
        }
        if name.eq_ignore_ascii_case("host") && host.replace(value.trim()).is_some() {
            return None;
        }
    }
    if method == "CONNECT" || method == "PRI" || !target.starts_with('/') {
        return None;
    }
    let authority: Authority = host?.parse().ok()?;
    if authority.port_u16().unwrap_or(80) != port {
        return None;
    }
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(authority);
    parts.path_and_query = Some(target.parse::<PathAndQuery>().ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests;
