//! Listening sockets that are there already when a process starts: systemd's, or those of the process before it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;

use listenfd::ListenFd;

use super::PREDECESSOR_IS_THERE;
use super::passing::{FAILED, READY, receive};
use crate::accept::Port;

/// Why sockets that should be there are not.
#[derive(Debug, thiserror::Error)]
pub enum InheritError {
    /// What systemd passed is no listening TCP socket.
    #[error(
        "socket {place} of LISTEN_FDS cannot be listened on; in the .socket unit use ListenStream= with an address and a port"
    )]
    Systemd {
        /// Its place, from 0.
        place: usize,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody hands anything over.
    #[error("--take-over is for a sidecar that starts its successor: send SIGUSR2 to the one that runs")]
    NoPredecessor(#[source] io::Error),
}

/// Listening sockets that need not be opened.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<Socket>,
}

#[derive(Debug)]
struct Socket {
    /// Which listener's it is; `None` if only its address says so.
    port: Option<Port>,
    /// Where a configuration wants it.
    wanted: SocketAddr,
    listener: TcpListener,
}

impl Inherited {
    /// What systemd has opened, if it has; to be called once, before there are other threads.
    ///
    /// # Errors
    /// It is nothing that can be listened on.
    pub fn from_systemd() -> Result<Self, InheritError> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for place in 0..passed.len() {
            let taken = passed.take_tcp_listener(place).and_then(|listener| {
                let listener = listener.ok_or(io::ErrorKind::NotFound)?;
                Ok(Socket { port: None, wanted: listener.local_addr()?, listener })
            });
            sockets.push(taken.map_err(|source| InheritError::Systemd { place, source })?);
        }
        Ok(Self { sockets })
    }

    /// What the process before this one hands over, and that process.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn from_predecessor() -> Result<(Self, Predecessor), InheritError> {
        let taken = || {
            // It is this process's own from here on, and no child's.
            let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
            rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
            let passed = receive(&channel)?;
            let sockets = passed.into_iter().map(|passed| Socket {
                port: Some(passed.port),
                wanted: passed.wanted,
                listener: TcpListener::from(passed.socket),
            });
            Ok((Self { sockets: sockets.collect() }, Predecessor::watched(channel)?))
        };
        taken().map_err(InheritError::NoPredecessor)
    }

    /// The socket for a listener that is wanted there, if it is among these.
    pub(crate) fn find(&self, port: Port, wanted: SocketAddr) -> io::Result<Option<TcpListener>> {
        let is_it = |socket: &&Socket| socket.wanted == wanted && socket.port.is_none_or(|known| known == port);
        let Some(socket) = self.sockets.iter().find(is_it) else { return Ok(None) };
        socket.listener.set_nonblocking(true)?;
        socket.listener.try_clone().map(Some)
    }

    /// Says which of these no listener wants. They are closed here.
    pub(crate) fn tell_unwanted(&self, is_wanted: impl Fn(SocketAddr) -> bool) {
        for socket in self.sockets.iter().filter(|socket| !is_wanted(socket.wanted)) {
            tracing::warn!(
                address = %socket.wanted,
                "a listening socket was passed to this process that no `listen` of the configuration names; it is closed here"
            );
        }
    }
}

/// The process before this one, which waits to hear whether it can go.
#[derive(Debug)]
pub(crate) struct Predecessor(UnixStream);

impl Predecessor {
    /// It is there until the channel is closed at its end, which a thread waits for.
    fn watched(channel: UnixStream) -> io::Result<Self> {
        let mut listening = channel.try_clone()?;
        PREDECESSOR_IS_THERE.store(true, Ordering::Release);
        let watch = move || {
            // It says nothing; whatever it says, an end or an error is its end.
            while matches!(listening.read(&mut [0; 64]), Ok(1..)) {}
            PREDECESSOR_IS_THERE.store(false, Ordering::Release);
            tracing::info!("the process before this one has ended");
        };
        std::thread::Builder::new().name("predecessor".to_owned()).spawn(watch)?;
        Ok(Self(channel))
    }

    /// This process serves.
    pub(crate) fn can_go(&self) {
        self.tell(READY);
    }

    /// It does not, for this reason, which is one line.
    pub(crate) fn must_stay(&self, why: &str) {
        self.tell(&format!("{FAILED}{why}"));
    }

    fn tell(&self, answer: &str) {
        if let Err(error) = writeln!(&self.0, "{answer}") {
            tracing::warn!(%error, "the process before this one does not listen; has it been killed?");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_the_listener_that_is_wanted_there() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let other: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let found = |port: Option<Port>, asked: Port, wanted| {
            let listener = listener.try_clone().expect("a descriptor is free");
            let inherited = Inherited { sockets: vec![Socket { port, wanted: address, listener }] };
            inherited.find(asked, wanted).expect("a descriptor is free").is_some()
        };
        assert!(found(None, Port::Admin, address), "systemd does not say what it is for");
        assert!(found(Some(Port::Admin), Port::Admin, address));
        assert!(!found(Some(Port::Jobs), Port::Admin, address));
        assert!(!found(None, Port::Admin, other));
    }
}
