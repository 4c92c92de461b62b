//! The wide-area link: a relay for the jobs' way and one for the inputs' that share one rate, from home to the far side.
//!
//! Bytes are clocked out at the rate and delivered half a round trip later, while the next are on the way. A new connection
//! costs a round trip. What goes back, answers of a few bytes, is only delayed. Loss and congestion control are not imitated.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

const CHUNK_BYTES: usize = 32 << 10;
/// Chunks on their way over one connection.
const ON_THE_WAY: usize = 256;
/// Timers are too coarse to wait for each chunk.
const AHEAD: Duration = Duration::from_millis(4);

/// The link.
#[derive(Clone, Debug)]
pub struct Link {
    bytes_per_s: f64,
    one_way: Duration,
    free_at: Arc<Mutex<Instant>>,
}

/// Which way of a connection the bytes that count go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// From whoever connects.
    There,
    /// To whoever connects: he fetches.
    Back,
}

impl Link {
    /// An idle link.
    #[must_use]
    pub fn new(bytes_per_s: f64, round_trip: Duration) -> Self {
        Self { bytes_per_s, one_way: round_trip / 2, free_at: Arc::new(Mutex::new(Instant::now())) }
    }

    /// Where one connects to get to `to` over this link.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn to(&self, to: SocketAddr, rated: Way) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let at = listener.local_addr()?;
        let link = self.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let link = link.clone();
                // One that breaks off is closed; both ends see that.
                tokio::spawn(async move { link.carry(near, to, rated).await.unwrap_or_default() });
            }
        });
        Ok(at)
    }

    async fn carry(&self, near: TcpStream, to: SocketAddr, rated: Way) -> io::Result<()> {
        let far = TcpStream::connect(to).await?;
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        sleep(self.one_way * 2).await;
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        let there = self.one(near_read, far_write, rated == Way::There);
        let back = self.one(far_read, near_write, rated == Way::Back);
        let (there, back) = tokio::join!(there, back);
        there.and(back)
    }

    async fn one(
        &self,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        rated: bool,
    ) -> io::Result<()> {
        let (send, mut receive) = mpsc::channel::<(Instant, Bytes)>(ON_THE_WAY);
        let reading = async move {
            loop {
                let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
                let read = (&mut from).take(CHUNK_BYTES as u64).read_buf(&mut buffer).await?;
                let out_at = if rated { self.clock_out(read) } else { Instant::now() };
                if send.send((out_at + self.one_way, buffer.freeze())).await.is_err() || read == 0 {
                    return Ok::<(), io::Error>(());
                }
                sleep_until(out_at.checked_sub(AHEAD).unwrap_or(out_at)).await;
            }
        };
        let writing = async move {
            while let Some((at, bytes)) = receive.recv().await {
                sleep_until(at).await;
                if bytes.is_empty() {
                    return to.shutdown().await;
                }
                to.write_all(&bytes).await?;
            }
            Ok(())
        };
        let (read, written) = tokio::join!(reading, writing);
        read.and(written)
    }

    /// Takes the link for so many bytes; when the last of them is out.
    fn clock_out(&self, bytes: usize) -> Instant {
        let mut free_at = self.free_at.lock().unwrap_or_else(PoisonError::into_inner);
        *free_at = (*free_at).max(Instant::now()) + Duration::from_secs_f64(bytes as f64 / self.bytes_per_s);
        *free_at
    }
}
