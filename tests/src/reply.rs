//! What an origin answers with.

use crate::wire::Fields;

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    fields: Fields,
    body: Vec<u8>,
    form: Form,
    trailers: Fields,
    closes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Length,
    /// Chunks of so many bytes.
    Chunked(usize),
    /// No framing: it ends with the connection.
    UntilClose,
    /// No body and no framing, as for 204 and 304.
    Bare,
}

impl Reply {
    /// 200 with a body.
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self::of(200, body)
    }

    /// Any status with a body.
    pub fn of(status: u16, body: impl Into<Vec<u8>>) -> Self {
        let (fields, trailers) = (Vec::new(), Vec::new());
        Self { status, fields, body: body.into(), form: Form::Length, trailers, closes: false }
    }

    /// A status without a body or a framing.
    #[must_use]
    pub fn bare(status: u16) -> Self {
        Self { form: Form::Bare, ..Self::of(status, "") }
    }

    /// With one more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// In chunks of `bytes`.
    #[must_use]
    pub fn chunked(self, bytes: usize) -> Self {
        Self { form: Form::Chunked(bytes), ..self }
    }

    /// Framed by the end of the connection.
    #[must_use]
    pub fn until_close(self) -> Self {
        Self { form: Form::UntilClose, closes: true, ..self }
    }

    /// With a trailer, so in chunks.
    #[must_use]
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.to_owned()));
        if self.form == Form::Length {
            self.form = Form::Chunked(16 * 1024);
        }
        self
    }

    /// After it, the connection is closed.
    #[must_use]
    pub fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// Whether the connection is closed after it.
    #[must_use]
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// The bytes of it; `to_head` is whether it answers HEAD and so has no body.
    #[must_use]
    pub fn bytes(&self, to_head: bool) -> Vec<u8> {
        let mut bytes = format!("HTTP/1.1 {} Said\r\n", self.status).into_bytes();
        let mut push = |name: &str, value: &str| bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        for (name, value) in &self.fields {
            push(name, value);
        }
        match self.form {
            Form::Length => push("content-length", &self.body.len().to_string()),
            Form::Chunked(_) => push("transfer-encoding", "chunked"),
            Form::UntilClose | Form::Bare => {}
        }
        for (name, _) in &self.trailers {
            push("trailer", name);
        }
        if self.closes {
            push("connection", "close");
        }
        bytes.extend_from_slice(b"\r\n");
        if to_head {
            return bytes;
        }
        match self.form {
            Form::Chunked(size) => {
                for chunk in self.body.chunks(size.max(1)) {
                    bytes.extend_from_slice(&chunk_bytes(chunk));
                }
                bytes.extend_from_slice(&last_chunk(&self.trailers));
            }
            Form::Length | Form::UntilClose => bytes.extend_from_slice(&self.body),
            Form::Bare => {}
        }
        bytes
    }
}

/// One chunk on the wire.
#[must_use]
pub fn chunk_bytes(data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{:x}\r\n", data.len()).into_bytes();
    bytes.extend_from_slice(data);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

/// The last chunk on the wire, with trailers.
#[must_use]
pub fn last_chunk(trailers: &Fields) -> Vec<u8> {
    let mut bytes = b"0\r\n".to_vec();
    for (name, value) in trailers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}
