//! Whether a client has left while nobody reads what it sends.
//!
//! hyper notices that a client is gone by reading. While the body of its request is held back, because the service takes no
//! more of it, hyper does not read, and a job whose client has long gone would go on until a time-out. So the guard looks at
//! the socket itself every now and then, for as long as its reader stays away.
//!
//! A reset is told at once. The end of what the client sends tells nothing by itself: it may have closed only its own side,
//! after a whole request, and wait for the answer. Only if the rest of the request is not among the bytes that wait to be
//! read has it left. Within TLS those cannot be looked at, so there only a reset counts. Nor can an end be seen that waits in
//! the client's own system, behind bytes for which there is no room here.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::identity::Linked;

/// How often the socket is looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a socket that nobody reads shows of its other end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// It is there.
    There,
    /// It will send nothing after these bytes; `None` if they cannot be looked at.
    Ended(Option<Vec<u8>>),
    /// It has left.
    Gone,
}

/// A client's connection that can be looked at without reading from it.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// What it shows now.
    fn look(&self) -> Look;
}

impl Wire for TcpStream {
    fn look(&self) -> Look {
        match shown(self) {
            Look::Ended(_) => Look::Ended(unread(self).ok()),
            other => other,
        }
    }
}

impl Wire for TlsStream<TcpStream> {
    fn look(&self) -> Look {
        shown(self.get_ref().0)
    }
}

impl Wire for Linked<TlsStream<TcpStream>> {
    fn look(&self) -> Look {
        self.io().look()
    }
}

#[cfg(test)]
impl Wire for tokio::io::DuplexStream {
    fn look(&self) -> Look {
        Look::There
    }
}

fn shown(socket: &TcpStream) -> Look {
    let mut asked = [PollFd::new(socket, PollFlags::RDHUP)];
    // If it cannot be asked, whoever reads next will be told why.
    let Ok(_) = poll(&mut asked, Some(&Timespec::default())) else { return Look::There };
    let shown = asked[0].revents();
    if shown.intersects(PollFlags::ERR | PollFlags::HUP) {
        Look::Gone
    } else if shown.contains(PollFlags::RDHUP) {
        Look::Ended(None)
    } else {
        Look::There
    }
}

/// What waits to be read. After its end has come, that does not change any more.
fn unread(socket: &TcpStream) -> io::Result<Vec<u8>> {
    let bytes = usize::try_from(rustix::io::ioctl_fionread(socket)?).unwrap_or(0);
    let mut waiting = vec![0; bytes];
    let (read, _) = recv(socket, &mut waiting[..], RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
    waiting.truncate(read);
    Ok(waiting)
}
