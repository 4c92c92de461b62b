//! A connection that can say `102 Processing` while hyper has not begun to answer.
//!
//! hyper's server sends no interim responses, so this sits below it. hyper's writes and the interim heads take turns
//! under one lock: an interim head is written only between the moment the service opened the turn for a request and
//! hyper's next write, and only when hyper has flushed everything before it. A head the socket takes in part is
//! finished before anything else is written; one it does not take at all is dropped, for the next says more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// hyper's side of the connection.
#[derive(Debug)]
pub(crate) struct Wire {
    shared: Interim,
}

/// The side that sends interim heads; cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Interim {
    stream: Arc<TcpStream>,
    turn: Arc<Mutex<Turn>>,
}

/// Whose turn it is to write.
#[derive(Debug, Default)]
struct Turn {
    /// A request is being worked on and hyper has written nothing since.
    open: bool,
    /// hyper has written what it has not flushed yet.
    unflushed: bool,
    /// The part of an interim head the socket has not taken.
    rest: Vec<u8>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { shared: Interim { stream: Arc::new(stream), turn: Arc::default() } }
    }

    /// The side that sends interim heads.
    pub(crate) fn interim(&self) -> Interim {
        self.shared.clone()
    }
}

impl Interim {
    /// Lets interim heads through until the response begins. Called once a request has been read whole.
    pub(crate) fn open(&self) {
        self.turn.lock().open = true;
    }

    /// Sends one interim head with the fraction done, if it is still time and the socket has room.
    pub(crate) fn show(&self, fraction: f64) {
        let mut turn = self.turn.lock();
        if !turn.open || turn.unflushed {
            return;
        }
        if turn.rest.is_empty() {
            turn.rest = format!("HTTP/1.1 102 Processing\r\nadumbra-progress: {fraction:.4}\r\n\r\n").into_bytes();
            let whole = turn.rest.len();
            // A broken connection is hyper's to notice.
            if turn.write_rest(&self.stream).is_err() || turn.rest.len() == whole {
                turn.rest.clear();
            }
        } else if turn.write_rest(&self.stream).is_err() {
            turn.open = false;
        }
    }
}

impl Turn {
    /// Writes as much of the unfinished interim head as the socket takes; whether all of it is out.
    fn write_rest(&mut self, stream: &TcpStream) -> io::Result<bool> {
        while !self.rest.is_empty() {
            match stream.try_write(&self.rest) {
                Ok(count) => drop(self.rest.drain(..count)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = &self.shared.stream;
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let Interim { stream, turn } = &self.shared;
        let mut turn = turn.lock();
        turn.open = false;
        turn.unflushed = true;
        loop {
            ready!(stream.poll_write_ready(cx))?;
            if !turn.write_rest(stream)? {
                continue;
            }
            match stream.try_write(data) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.turn.lock().unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.turn.lock().open = false;
        rustix::net::shutdown(&*self.shared.stream, rustix::net::Shutdown::Write).map_err(io::Error::from)?;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::Wire;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let near = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
        let (far, _) = listener.accept().await.expect("accepted");
        near.writable().await.expect("writable");
        (Wire::new(near), far)
    }

    async fn sent(mut wire: Wire, mut far: TcpStream) -> String {
        wire.shutdown().await.expect("shut down");
        let mut text = String::new();
        far.read_to_string(&mut text).await.expect("read");
        text
    }

    #[tokio::test]
    async fn an_interim_head_passes_only_between_request_and_response() {
        let (mut wire, far) = pair().await;
        let interim = wire.interim();
        interim.show(0.1);
        interim.open();
        interim.show(0.25);
        wire.write_all(b"final").await.expect("written");
        interim.show(0.5);
        interim.open();
        interim.show(0.6);
        wire.flush().await.expect("flushed");
        interim.show(0.75);
        let head = |fraction| format!("HTTP/1.1 102 Processing\r\nadumbra-progress: {fraction}\r\n\r\n");
        assert_eq!(sent(wire, far).await, format!("{}final{}", head("0.2500"), head("0.7500")));
    }

    #[tokio::test]
    async fn heads_nobody_reads_are_dropped_and_never_torn() {
        let (mut wire, mut far) = pair().await;
        let interim = wire.interim();
        interim.open();
        for _ in 0..200_000 {
            interim.show(0.5);
        }
        let reader = tokio::spawn(async move {
            let mut text = String::new();
            far.read_to_string(&mut text).await.expect("read");
            text
        });
        wire.write_all(b"final").await.expect("written");
        wire.shutdown().await.expect("shut down");
        let text = reader.await.expect("the reader ends");
        let heads = text.strip_suffix("final").expect("the response is last");
        let head = "HTTP/1.1 102 Processing\r\nadumbra-progress: 0.5000\r\n\r\n";
        assert!(heads.len() < head.len() * 200_000, "the socket took everything");
        assert_eq!(heads.replace(head, ""), "");
    }
}
