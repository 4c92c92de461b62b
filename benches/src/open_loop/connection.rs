//! One keep-alive connection of the open loop: at most one request on it, since HTTP/1.1 answers in order and a pipelined
//! request would measure the one before it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::epoll;

use crate::answer::Head;

/// A connection and the request under way on it.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    due: Option<Instant>,
    bytes: Vec<u8>,
    /// Where the body of the answer in `bytes` begins, once it is whole.
    body_at: usize,
}

/// What a readable connection had to say.
#[derive(Debug)]
pub(super) enum Progress {
    /// Not a whole answer yet.
    Waiting,
    /// The answer to the request that was due then.
    Answered { status: u16, due: Instant },
}

impl Connection {
    /// Connects and watches for input under the number `at`.
    pub(super) fn open(target: SocketAddr, poll: &OwnedFd, at: usize) -> io::Result<Self> {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let data = epoll::EventData::new_u64(u64::try_from(at).map_err(io::Error::other)?);
        epoll::add(poll, &stream, data, epoll::EventFlags::IN)?;
        Ok(Self { stream, due: None, bytes: Vec::with_capacity(4096), body_at: 0 })
    }

    /// The body of the answer that came last, whole.
    pub(super) fn body(&self) -> &[u8] {
        &self.bytes[self.body_at..]
    }

    /// Sends the whole request at once; a socket too full for one small request counts as broken.
    pub(super) fn send(&mut self, request: &[u8], due: Instant) -> io::Result<()> {
        self.bytes.clear();
        self.due = Some(due);
        match self.stream.write(request)? {
            count if count == request.len() => Ok(()),
            _ => Err(io::ErrorKind::WriteZero.into()),
        }
    }

    /// Reads what is there. Input without a request, or the end of it, is an error.
    pub(super) fn receive(&mut self) -> io::Result<Progress> {
        let mut some = [0; 8192];
        let count = match self.stream.read(&mut some) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Progress::Waiting),
            Err(error) => return Err(error),
        };
        self.bytes.extend_from_slice(&some[..count]);
        let due = self.due.ok_or(io::ErrorKind::InvalidData)?;
        let Some(head) = Head::parse(&self.bytes)? else { return Ok(Progress::Waiting) };
        if self.bytes.len() < head.head_bytes + head.body_bytes {
            return Ok(Progress::Waiting);
        }
        self.due = None;
        self.body_at = head.head_bytes;
        Ok(Progress::Answered { status: head.status, due })
    }
}
