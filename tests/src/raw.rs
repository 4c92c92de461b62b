//! A client on a bare socket: it sends what no library would, and reads answers strictly.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::within;
use crate::wire::{self, Fields, Wire};

/// A connection.
#[derive(Debug)]
pub struct Raw<S = TcpStream> {
    wire: Wire<S>,
}

/// An answer, as it came.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its fields, in order.
    pub fields: Fields,
    /// Its body.
    pub body: Vec<u8>,
    /// Its trailers.
    pub trailers: Fields,
}

impl Raw {
    /// Connects.
    ///
    /// # Panics
    /// If that fails.
    pub async fn connect(to: SocketAddr) -> Self {
        let socket = TcpStream::connect(to).await.expect("the sidecar accepts");
        socket.set_nodelay(true).expect("a connected socket takes options");
        Self::over(socket)
    }

    /// Sends `bytes` and reads all that comes until the other side closes.
    pub async fn send(to: SocketAddr, bytes: impl AsRef<[u8]>) -> Vec<u8> {
        let mut client = Self::connect(to).await;
        client.write(bytes).await;
        client.to_end().await
    }

    /// Sends one request and reads one answer.
    pub async fn ask(to: SocketAddr, bytes: impl AsRef<[u8]>) -> Answer {
        let mut client = Self::connect(to).await;
        client.write(bytes).await;
        client.answer().await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    /// Speaks over a stream.
    pub fn over(io: S) -> Self {
        Self { wire: Wire::new(io) }
    }

    /// Writes. A far side that has closed meanwhile is no fault: what it said is there to be read.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = within("the sidecar reads", self.wire.io.write_all(bytes.as_ref())).await;
        drop(written);
        drop(self.wire.io.flush().await);
    }

    /// Writes, and says whether the far side is there to take it.
    pub async fn offer(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.wire.io.write_all(bytes).await
    }

    /// Says that nothing more will be sent.
    pub async fn half_close(&mut self) {
        drop(self.wire.io.shutdown().await);
    }

    /// Reads one answer to a request other than HEAD; interim ones are passed over.
    pub async fn answer(&mut self) -> Answer {
        self.answer_to("GET").await
    }

    /// Reads one answer to a request with `method`; interim ones are passed over.
    pub async fn answer_to(&mut self, method: &str) -> Answer {
        loop {
            let answer = self.head().await;
            if answer.status >= 200 || answer.status == 101 {
                return self.body_of(answer, method).await;
            }
        }
    }

    /// Reads a head, interim or final.
    ///
    /// # Panics
    /// If none comes.
    pub async fn head(&mut self) -> Answer {
        let head = within("an answer's head arrives", self.wire.head()).await;
        let head = head.expect("the answer is HTTP").expect("there is an answer");
        let lines = wire::lines(&head).expect("the answer's lines are canonical");
        let status = std::str::from_utf8(lines[0]).ok().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let fields = lines[1..].iter().map(|line| wire::field(line).expect("the answer's fields are canonical"));
        Answer {
            status: status.expect("the answer has a status"),
            fields: fields.collect(),
            body: Vec::new(),
            trailers: Fields::new(),
        }
    }

    async fn body_of(&mut self, mut answer: Answer, method: &str) -> Answer {
        let has_none = method == "HEAD" || matches!(answer.status, 101 | 204 | 304);
        if has_none {
            return answer;
        }
        let reading = async {
            if answer.values("transfer-encoding") == ["chunked"] {
                assert!(answer.values("content-length").is_empty(), "an answer has one framing");
                (answer.body, answer.trailers) = self.wire.chunked().await.expect("the answer is whole");
            } else if let [length] = answer.values("content-length")[..] {
                let length = length.parse().expect("a length is a number");
                answer.body = self.wire.exactly(length).await.expect("the answer is whole");
            } else {
                answer.body = self.wire.to_end().await.expect("the answer ends");
            }
            answer
        };
        within("an answer's body arrives", reading).await
    }

    /// Reads the next chunk of an answer; `None` at its end.
    ///
    /// # Panics
    /// If it breaks off.
    pub async fn chunk(&mut self) -> Option<Vec<u8>> {
        within("a chunk arrives", self.wire.chunk()).await.expect("the answer is canonical")
    }

    /// Reads so many bytes.
    ///
    /// # Panics
    /// If fewer come.
    pub async fn read(&mut self, length: usize) -> Vec<u8> {
        within("bytes arrive", self.wire.exactly(length)).await.expect("the other side writes")
    }

    /// Reads all that comes until the other side closes. A reset ends it, too.
    pub async fn to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let reading = async {
            while let Ok(some) = self.wire.some().await {
                if some.is_empty() {
                    break;
                }
                all.extend_from_slice(&some);
            }
        };
        within("the connection closes", reading).await;
        all
    }
}

impl Answer {
    /// The values of every field of that name.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<&str> {
        wire::values(&self.fields, name)
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

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What `adumbra-decision` says.
    #[must_use]
    pub fn decision(&self) -> Decided {
        Decided::read(self.field("adumbra-decision"))
    }
}

/// What a response says of where it came from and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The network that answered.
    pub network: String,
    /// Why.
    pub reason: String,
    /// How: `keep`, `adopt` or `send`.
    pub action: String,
    /// The job's id, in hex.
    pub id: String,
}

impl Decided {
    /// Reads the header.
    ///
    /// # Panics
    /// If it is not what the design says.
    #[must_use]
    pub fn read(header: &str) -> Self {
        let parts: Vec<&str> = header.split("; ").collect();
        let [network, reason, action, id] = parts[..] else { panic!("a decision has four parts: {header:?}") };
        let value = |part: &str, name: &str| {
            part.strip_prefix(name).unwrap_or_else(|| panic!("`{part}` begins with `{name}`")).to_owned()
        };
        Self {
            network: network.to_owned(),
            reason: value(reason, "reason="),
            action: value(action, "action="),
            id: value(id, "id="),
        }
    }

    /// What it says, without the id.
    #[must_use]
    pub fn said(&self) -> (&str, &str, &str) {
        (&self.network, &self.reason, &self.action)
    }
}
