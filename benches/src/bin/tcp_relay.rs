//! A raw TCP relay: the least that anything between two sockets can cost, as a floor for the proxies that read HTTP.
//!
//! One thread, epoll, non-blocking sockets and a userspace buffer: read, write, no `splice`, no look at the bytes. One
//! connection to the backend for each of the client's, so it pays for no pool either. It is a measuring tool: a backend
//! that refuses ends only the client at hand, and there are no time limits.

use std::io::{self, ErrorKind, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;

use rustix::event::epoll;
use rustix::fd::OwnedFd;

const BUFFER_BYTES: usize = 64 * 1024;
const LISTENER: u64 = u64::MAX;

fn main() -> ExitCode {
    let addresses: Vec<SocketAddr> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [listen, backend] = addresses[..] else {
        eprintln!("usage: tcp_relay LISTEN BACKEND, both as ADDRESS:PORT");
        return ExitCode::from(2);
    };
    match Relay::bind(listen, backend).and_then(Relay::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot relay {listen} to {backend}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One side of a relayed pair, and what could not yet be written to it.
struct Side {
    stream: TcpStream,
    pending: Vec<u8>,
    /// Input has ended; the peer is shut for writing once its `pending` is empty.
    ended: bool,
}

struct Relay {
    poll: OwnedFd,
    listener: TcpListener,
    backend: SocketAddr,
    /// Side `n` is paired with side `n ^ 1`; both go at once.
    sides: Vec<Option<Side>>,
    free: Vec<usize>,
    buffer: Vec<u8>,
}

impl Relay {
    fn bind(listen: SocketAddr, backend: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&poll, &listener, epoll::EventData::new_u64(LISTENER), epoll::EventFlags::IN)?;
        Ok(Self { poll, listener, backend, sides: Vec::new(), free: Vec::new(), buffer: vec![0; BUFFER_BYTES] })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 256];
        loop {
            let ready = match epoll::wait(&self.poll, &mut events[..], None) {
                Ok((ready, _)) => ready,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in ready.iter() {
                match event.data.u64() {
                    LISTENER => self.accept(),
                    data => self.ready(usize::try_from(data).map_err(io::Error::other)?, event.flags),
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((client, _)) = self.listener.accept() {
            if let Err(error) = self.pair(client) {
                eprintln!("cannot relay a connection: {error}");
            }
        }
    }

    fn pair(&mut self, client: TcpStream) -> io::Result<()> {
        let backend = TcpStream::connect(self.backend)?;
        let at = self.free.pop().unwrap_or(self.sides.len());
        if at == self.sides.len() {
            self.sides.extend([None, None]);
        }
        for (at, stream) in [(at, client), (at + 1, backend)] {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            epoll::add(&self.poll, &stream, key(at), epoll::EventFlags::IN)?;
            self.sides[at] = Some(Side { stream, pending: Vec::new(), ended: false });
        }
        Ok(())
    }

    fn ready(&mut self, at: usize, flags: epoll::EventFlags) {
        // The pair may have gone in this very batch of events.
        if self.sides[at].is_none() {
            return;
        }
        let done = if flags.contains(epoll::EventFlags::OUT) { self.flush(at) } else { self.copy(at) };
        if done.is_err() || self.both_ended(at) {
            self.sides[at] = None;
            self.sides[at ^ 1] = None;
            self.free.push(at & !1);
        }
    }

    /// One read, and as much of it written as goes. Nothing while earlier bytes wait, or they would be overtaken: an event
    /// of the same batch can still ask for it.
    fn copy(&mut self, from: usize) -> io::Result<()> {
        if self.sides[from ^ 1].as_ref().is_some_and(|target| !target.pending.is_empty()) {
            return Ok(());
        }
        let mut source = self.sides[from].take().ok_or(ErrorKind::NotConnected)?;
        let target = self.sides[from ^ 1].as_mut().ok_or(ErrorKind::NotConnected)?;
        match source.stream.read(&mut self.buffer) {
            Ok(0) => {
                source.ended = true;
                target.stream.shutdown(Shutdown::Write)?;
                // An ended input would stay readable and be reported for ever.
                epoll::modify(&self.poll, &source.stream, key(from), epoll::EventFlags::empty())?;
            }
            Ok(count) => {
                let written = write_some(&mut target.stream, &self.buffer[..count])?;
                if written < count {
                    target.pending.extend_from_slice(&self.buffer[written..count]);
                    // Back-pressure: this side is not read until the other has taken all.
                    epoll::modify(&self.poll, &source.stream, key(from), epoll::EventFlags::empty())?;
                    epoll::modify(&self.poll, &target.stream, key(from ^ 1), epoll::EventFlags::OUT)?;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        self.sides[from] = Some(source);
        Ok(())
    }

    fn flush(&mut self, at: usize) -> io::Result<()> {
        let side = self.sides[at].as_mut().ok_or(ErrorKind::NotConnected)?;
        let written = write_some(&mut side.stream, &side.pending)?;
        side.pending.drain(..written);
        if side.pending.is_empty() {
            epoll::modify(&self.poll, &side.stream, key(at), epoll::EventFlags::IN)?;
            let source = self.sides[at ^ 1].as_ref().ok_or(ErrorKind::NotConnected)?;
            epoll::modify(&self.poll, &source.stream, key(at ^ 1), epoll::EventFlags::IN)?;
        }
        Ok(())
    }

    fn both_ended(&self, at: usize) -> bool {
        [at, at ^ 1].iter().all(|at| self.sides[*at].as_ref().is_none_or(|side| side.ended))
    }
}

fn key(at: usize) -> epoll::EventData {
    epoll::EventData::new_u64(at as u64)
}

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        other => other,
    }
}
