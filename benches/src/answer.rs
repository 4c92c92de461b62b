//! Just enough HTTP/1.1 to know where an answer ends: the same for the check before a run and for the load in it.
//!
//! It insists on `Content-Length`. The backend sends one and no proxy here has a reason to drop it; one that does is told
//! apart as an error, not silently read another way.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const HEAD_LIMIT_BYTES: usize = 16 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// A parsed head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Bytes up to and with the empty line.
    pub head_bytes: usize,
    /// Bytes that follow.
    pub body_bytes: usize,
}

impl Head {
    /// `Ok(None)` while the empty line has not come.
    ///
    /// # Errors
    /// When it is not an answer, is too long, or does not say its length.
    pub fn parse(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            let fits = bytes.len() <= HEAD_LIMIT_BYTES;
            return if fits { Ok(None) } else { Err(bad("the answer's head is too long")) };
        };
        let text = std::str::from_utf8(&bytes[..end]).map_err(|_| bad("the answer's head is not text"))?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        Ok(Some(Self {
            status: status.ok_or_else(|| bad("the answer has no HTTP/1.1 status line"))?,
            head_bytes: end + 4,
            body_bytes: length.ok_or_else(|| bad("the answer has no Content-Length"))?,
        }))
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// One request on a new connection.
///
/// # Errors
/// When it cannot be sent, or no whole answer comes within a few seconds.
pub fn ask(address: SocketAddr, request: &[u8]) -> io::Result<Answer> {
    ask_on(&mut connect(address)?, request)
}

/// Opens `count` connections, uses each once, and gives them back open.
///
/// # Errors
/// When any of them fails or is answered with other than 200.
pub fn hold(address: SocketAddr, request: &[u8], count: usize) -> io::Result<Vec<TcpStream>> {
    let one = |_| {
        let mut stream = connect(address)?;
        match ask_on(&mut stream, request)?.status {
            200 => Ok(stream),
            status => Err(io::Error::other(format!("answered {status} while connections were being opened"))),
        }
    };
    (0..count).map(one).collect()
}

/// One request after another on one connection.
///
/// # Errors
/// When any of them fails.
pub fn repeat(address: SocketAddr, request: &[u8], count: usize) -> io::Result<()> {
    let mut stream = connect(address)?;
    (0..count).try_for_each(|_| ask_on(&mut stream, request).map(drop))
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn ask_on(stream: &mut TcpStream, request: &[u8]) -> io::Result<Answer> {
    stream.write_all(request)?;
    let mut bytes = Vec::new();
    let mut some = [0; 4096];
    loop {
        let count = stream.read(&mut some)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&some[..count]);
        let Some(head) = Head::parse(&bytes)? else { continue };
        if bytes.len() >= head.head_bytes + head.body_bytes {
            return Ok(Answer { status: head.status, body: bytes.split_off(head.head_bytes) });
        }
    }
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(u16, usize, usize)>) {
        let head = Head::parse(text.as_bytes()).expect("a sound head");
        assert_eq!(head.map(|head| (head.status, head.head_bytes, head.body_bytes)), expected, "{text:?}");
    }

    #[test]
    fn head_ends_at_the_empty_line() {
        check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", Some((200, 38, 5)));
        check("HTTP/1.1 503 No\r\nA: b\r\nContent-Length:0\r\n\r\n", Some((503, 43, 0)));
        check("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n", None);
    }

    #[test]
    fn an_answer_of_unknown_length_is_an_error() {
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(Head::parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}
