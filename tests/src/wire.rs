//! HTTP/1 as it stands on the wire, read byte by byte and by nobody else's parser.
//!
//! It takes one form of everything and repairs nothing: lines end in CR LF, chunks have no extensions, and what a reader
//! could take in two ways is a fault.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// More of a head than any test sends.
const HEAD_MOST: usize = 1 << 20;

/// Fields in the order they came, names as they were written.
pub type Fields = Vec<(String, String)>;

/// Why a message could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It is not one canonical message.
    #[error("not canonical: {0}")]
    NotCanonical(String),
    /// It ended before it was whole.
    #[error("it broke off")]
    BrokeOff,
    /// It could not be read.
    #[error("it could not be read")]
    Io(#[from] io::Error),
}

/// A stream, read message by message.
#[derive(Debug)]
pub struct Wire<S> {
    /// What is read and written.
    pub io: S,
    held: Vec<u8>,
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Reads from `io`, of which nothing has been read.
    pub fn new(io: S) -> Self {
        Self { io, held: Vec::new() }
    }

    /// Reads what comes next; nothing at the end.
    ///
    /// # Errors
    /// The stream's own.
    pub async fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.held.is_empty() {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.held))
    }

    /// Reads exactly `length` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Fault> {
        while self.held.len() < length {
            if self.fill().await? == 0 {
                return Err(Fault::BrokeOff);
            }
        }
        Ok(self.held.drain(..length).collect())
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// The stream's own.
    pub async fn to_end(&mut self) -> io::Result<Vec<u8>> {
        while self.fill().await? > 0 {}
        Ok(std::mem::take(&mut self.held))
    }

    /// Reads a head, with its empty line; `None` at the end of the stream.
    ///
    /// # Errors
    /// If it breaks off or is not one.
    pub async fn head(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            if let Some(end) = self.held.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some(self.held.drain(..end + 4).collect()));
            }
            if self.held.len() > HEAD_MOST {
                return Err(Fault::NotCanonical("a head without an end".to_owned()));
            }
            let before = self.held.len();
            if self.fill().await? == 0 {
                return if before == 0 { Ok(None) } else { Err(Fault::BrokeOff) };
            }
        }
    }

    /// Reads a chunked body and its trailers.
    ///
    /// # Errors
    /// If it breaks off or is not one.
    pub async fn chunked(&mut self) -> Result<(Vec<u8>, Fields), Fault> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        Ok((body, self.trailers().await?))
    }

    /// Reads one chunk; `None` at the last, whose trailers are still to be read.
    ///
    /// # Errors
    /// If it breaks off or is not one.
    pub async fn chunk(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let size = self.line().await?;
        let digits = std::str::from_utf8(&size).unwrap_or_default();
        let is_size = !digits.is_empty() && digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_size {
            return Err(Fault::NotCanonical(format!("`{}` as the size of a chunk", size.escape_ascii())));
        }
        let length = usize::from_str_radix(digits, 16).map_err(|_| Fault::BrokeOff)?;
        if length == 0 {
            return Ok(None);
        }
        let chunk = self.exactly(length).await?;
        if self.exactly(2).await? != b"\r\n" {
            return Err(Fault::NotCanonical("a chunk that does not end where it says".to_owned()));
        }
        Ok(Some(chunk))
    }

    /// Reads the trailers after the last chunk.
    ///
    /// # Errors
    /// If they break off or are none.
    pub async fn trailers(&mut self) -> Result<Fields, Fault> {
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(fields);
            }
            fields.push(field(&line)?);
        }
    }

    async fn line(&mut self) -> Result<Vec<u8>, Fault> {
        loop {
            if let Some(end) = self.held.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.held.drain(..=end).collect();
                if !line.ends_with(b"\r\n") {
                    return Err(Fault::NotCanonical("a bare line feed".to_owned()));
                }
                line.truncate(line.len() - 2);
                return Ok(line);
            }
            if self.fill().await? == 0 {
                return Err(Fault::BrokeOff);
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.held.reserve(16 * 1024);
        self.io.read_buf(&mut self.held).await
    }
}

/// The lines of a head, without its empty line.
///
/// # Errors
/// If a line end or a control stands where none may.
pub fn lines(head: &[u8]) -> Result<Vec<&[u8]>, Fault> {
    let text = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    lines.push(rest);
    match lines.iter().find(|line| line.iter().any(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f)) {
        Some(line) => Err(Fault::NotCanonical(format!("a control character in `{}`", line.escape_ascii()))),
        None => Ok(lines),
    }
}

/// A field line's name and value.
///
/// # Errors
/// If it is not `name: value`.
pub fn field(line: &[u8]) -> Result<(String, String), Fault> {
    let fault = || Fault::NotCanonical(format!("`{}` as a field", line.escape_ascii()));
    let colon = line.iter().position(|b| *b == b':').ok_or_else(fault)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let is_token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if name.is_empty() || !name.iter().all(is_token) {
        return Err(fault());
    }
    Ok((String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned()))
}

/// The values of every field of that name.
pub fn values<'f>(fields: &'f Fields, name: &str) -> Vec<&'f str> {
    fields.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn chunked(bytes: &[u8]) -> Result<(Vec<u8>, Fields), Fault> {
        Wire::new(bytes).chunked().await
    }

    #[tokio::test]
    async fn chunks_and_trailers_are_read() {
        let (body, trailers) = chunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-sum: 5\r\n\r\n").await.expect("canonical");
        assert_eq!((body.as_slice(), values(&trailers, "X-Sum")), (b"abcde".as_slice(), vec!["5"]));
    }

    #[tokio::test]
    async fn what_is_not_canonical_is_a_fault() {
        for bytes in ["3;x=1\r\nabc\r\n0\r\n\r\n", "3\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n"] {
            assert!(matches!(chunked(bytes.as_bytes()).await, Err(Fault::NotCanonical(_))), "{bytes:?}");
        }
        assert!(lines(b"GET / HTTP/1.1\nhost: a\r\n\r\n").is_err());
        assert!(field(b"host : a").is_err());
        assert!(field(b" folded: a").is_err());
    }
}
