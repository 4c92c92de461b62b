//! The one message that goes from the old process to the new one, and the one that comes back.
//!
//! First `adumbra hands over 1`, then a line for each socket, `jobs 127.0.0.1:8080`, then `end`; the descriptors beside it, in the
//! same order. Back comes `ready`, or `failed` and why. A new version that needs more raises the number.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use crate::accept::Port;

const FIRST: &str = "adumbra hands over 1";
const LAST: &str = "end";
/// One for each listener there can be.
const SOCKETS_MOST: usize = Port::ALL.len();
const BYTES_MOST: usize = 1024;

/// What the new process answers when it serves.
pub(super) const READY: &str = "ready";
/// What an answer begins with that says why it does not.
pub(super) const FAILED: &str = "failed ";

/// A socket that is passed.
#[derive(Debug)]
pub(super) struct Passed {
    pub(super) port: Port,
    pub(super) wanted: SocketAddr,
    pub(super) socket: OwnedFd,
}

/// Sends all of `sockets`.
pub(super) fn send(channel: impl AsFd, sockets: &[Passed]) -> io::Result<()> {
    let mut text = format!("{FIRST}\n");
    for passed in sockets {
        text += &format!("{} {}\n", passed.port.word(), passed.wanted);
    }
    text += &format!("{LAST}\n");
    let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|passed| passed.socket.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MOST))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("there are more sockets than listeners"));
    }
    let sent = sendmsg(channel, &[IoSlice::new(text.as_bytes())], &mut beside, SendFlags::NOSIGNAL)?;
    // It is far smaller than a socket's buffer.
    if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Waits for what [`send`] sends.
pub(super) fn receive(channel: impl AsFd) -> io::Result<Vec<Passed>> {
    let mut bytes = [0; BYTES_MOST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(SOCKETS_MOST))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(channel, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let mut sockets = Vec::new();
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            sockets.extend(descriptors);
        }
    }
    read(&bytes[..received.bytes], sockets).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, "what came is not what an adumbra of this version hands over")
    })
}

fn read(bytes: &[u8], sockets: Vec<OwnedFd>) -> Option<Vec<Passed>> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix(FIRST)?.strip_prefix('\n')?;
    let text = text.strip_suffix('\n')?.strip_suffix(LAST)?;
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() != sockets.len() {
        return None;
    }
    let passed = lines.into_iter().zip(sockets).map(|(line, socket)| {
        let (port, wanted) = line.split_once(' ')?;
        let port = Port::ALL.into_iter().find(|known| known.word() == port)?;
        Some(Passed { port, wanted: wanted.parse().ok()?, socket })
    });
    passed.collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn passed(port: Port) -> Passed {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        Passed { port, wanted: "127.0.0.1:0".parse().expect("an address"), socket: listener.into() }
    }

    #[test]
    fn a_socket_arrives_with_whoever_waits_in_it() {
        let (here, there) = UnixStream::pair().expect("a pair of sockets");
        let sockets = [passed(Port::Jobs), passed(Port::Admin)];
        let listener = TcpListener::from(sockets[0].socket.try_clone().expect("a descriptor is free"));
        let address = listener.local_addr().expect("a bound socket has an address");
        drop(listener);
        send(&here, &sockets).expect("there is room for a message");
        drop(sockets);
        let client = TcpStream::connect(address).expect("it still listens, although nobody has it but the message");
        let arrived = receive(&there).expect("it has been sent");
        assert_eq!(arrived.iter().map(|passed| passed.port).collect::<Vec<_>>(), [Port::Jobs, Port::Admin]);
        let listener = TcpListener::from(arrived.into_iter().next().expect("two").socket);
        let (_, from) = listener.accept().expect("one waits");
        assert_eq!(from, client.local_addr().expect("a connected socket has an address"));
    }

    #[test]
    fn what_is_not_a_hand_over_is_refused() {
        let message = |text: &str, sockets: usize| {
            read(text.as_bytes(), (0..sockets).map(|_| passed(Port::Jobs).socket).collect()).map(|passed| passed.len())
        };
        assert_eq!(message("adumbra hands over 1\njobs 127.0.0.1:80\nend\n", 1), Some(1));
        assert_eq!(message("adumbra hands over 1\nend\n", 0), Some(0));
        for (text, sockets) in [
            ("", 0),
            ("adumbra hands over 2\nend\n", 0),
            ("adumbra hands over 1\njobs 127.0.0.1:80\n", 1),
            ("adumbra hands over 1\njobs 127.0.0.1:80\nend\n", 0),
            ("adumbra hands over 1\nend\n", 1),
            ("adumbra hands over 1\nback 127.0.0.1:80\nend\n", 1),
            ("adumbra hands over 1\njobs there\nend\n", 1),
        ] {
            assert_eq!(message(text, sockets), None, "{text}");
        }
    }

    #[test]
    fn a_channel_that_is_closed_hands_nothing_over() {
        let (here, there) = UnixStream::pair().expect("a pair of sockets");
        drop(here);
        assert!(receive(&there).is_err());
    }
}
