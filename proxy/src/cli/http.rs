//! One GET to an admin port: blocking, bounded in time and in bytes, without a library that this is too little for.
//!
//! It asks as HTTP/1.0, so that the answer is never in chunks and ends with the connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// To a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// From the question to the last byte of the answer.
const WHOLE: Duration = Duration::from_secs(10);
/// The most bytes of an answer, head included.
const MOST: usize = 4 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    /// It is not an address.
    #[error("`{0}` is not an address and a port, such as 127.0.0.1:9900")]
    Address(String, #[source] io::Error),
    /// Nobody listens there, or the connection broke off.
    #[error("no connection")]
    Connection(#[source] io::Error),
    /// It took too long.
    #[error("no whole answer within {} s", WHOLE.as_secs())]
    Slow,
    /// It was too long.
    #[error("the answer is longer than {MOST} bytes")]
    TooLong,
    /// It was not HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Asks `address` for `target`, which is in origin form and encoded.
pub(super) fn get(address: &str, target: &str) -> Result<Answer, HttpError> {
    let begun = Instant::now();
    let mut stream = connect(address)?;
    let own = stream.peer_addr().map_err(HttpError::Connection)?;
    // By address, not by the name it was given as: the admin port answers to addresses.
    let question = format!("GET {target} HTTP/1.0\r\nHost: {own}\r\nAccept: application/json\r\n\r\n");
    stream.set_write_timeout(Some(WHOLE)).map_err(HttpError::Connection)?;
    stream.write_all(question.as_bytes()).map_err(HttpError::Connection)?;
    parse(&read_all(&mut stream, begun)?)
}

fn connect(address: &str) -> Result<TcpStream, HttpError> {
    let bad = |source| HttpError::Address(address.to_owned(), source);
    let addresses: Vec<SocketAddr> = address.to_socket_addrs().map_err(bad)?.collect();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect_timeout(&address, CONNECT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(HttpError::Connection(last))
}

fn read_all(stream: &mut TcpStream, begun: Instant) -> Result<Vec<u8>, HttpError> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 << 10];
    loop {
        let left = WHOLE.checked_sub(begun.elapsed()).filter(|left| !left.is_zero()).ok_or(HttpError::Slow)?;
        stream.set_read_timeout(Some(left)).map_err(HttpError::Connection)?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(n) => bytes.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Err(HttpError::Slow);
            }
            Err(error) => return Err(HttpError::Connection(error)),
        }
        if bytes.len() > MOST {
            return Err(HttpError::TooLong);
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Answer, HttpError> {
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").ok_or(HttpError::NotHttp)?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| HttpError::NotHttp)?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or("").splitn(3, ' ');
    let (Some("HTTP/1.0" | "HTTP/1.1"), Some(status)) = (first.next(), first.next()) else {
        return Err(HttpError::NotHttp);
    };
    let status = status.parse().map_err(|_| HttpError::NotHttp)?;
    let body = bytes[end + 4..].to_vec();
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    // Cut off is not the same as short.
    if length.is_some_and(|length| length != body.len()) {
        return Err(HttpError::Connection(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(Answer { status, body })
}

/// A value as it stands in a query.
pub(super) fn encoded(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Answers one question with `answer`, and gives it back.
    fn ask(answer: &'static [u8]) -> (Result<Answer, HttpError>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let served = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut question = Vec::new();
            let mut byte = [0];
            while !question.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).expect("a question");
                question.push(byte[0]);
            }
            stream.write_all(answer).expect("room for an answer");
            String::from_utf8(question).expect("text")
        });
        let got = get(&address, "/status?a=b");
        (got, served.join().expect("it only answers"))
    }

    #[test]
    fn a_question_is_asked_and_answered() {
        let (answer, question) = ask(b"HTTP/1.0 404 Not Found\r\ncontent-length: 2\r\n\r\nno");
        assert_eq!(answer.expect("an answer"), Answer { status: 404, body: b"no".to_vec() });
        assert!(question.starts_with("GET /status?a=b HTTP/1.0\r\nHost: 127.0.0.1:"), "{question}");
    }

    #[test]
    fn what_is_cut_off_or_not_http_is_no_answer() {
        assert!(matches!(ask(b"HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\nno").0, Err(HttpError::Connection(_))));
        assert!(matches!(ask(b"SSH-2.0-OpenSSH\r\n\r\n").0, Err(HttpError::NotHttp)));
        assert!(matches!(ask(b"HTTP/1.1 OK\r\n\r\n").0, Err(HttpError::NotHttp)));
        assert!(matches!(ask(b"").0, Err(HttpError::NotHttp)));
    }

    #[test]
    fn nobody_there_and_no_address_are_told_apart() {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("an address");
        assert!(matches!(get(&free.to_string(), "/"), Err(HttpError::Connection(_))));
        assert!(matches!(get("nonsense", "/"), Err(HttpError::Address(..))));
    }

    #[test]
    fn values_are_encoded() {
        assert_eq!(encoded("/a?b=1&c d\u{e9}"), "/a%3Fb%3D1%26c%20d%C3%A9");
    }
}
