//! The wide-area link between the demo's networks: a TCP relay that delays and rate-limits, both ways.
//!
//! All connections share the link's rate in each direction, chunk by chunk. The delay is pipelined: a chunk is
//! delivered its propagation time after its last byte was clocked out, while the next are on the way. The reader waits
//! until its bytes are clocked out, so no more than rate × delay is in the relay and a slow receiver pushes back on the
//! sender. A new connection costs one round trip before its first byte. Loss, jitter and congestion control of a real
//! wide-area path are not imitated.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::lifeline;

/// Bytes clocked out at a time, so that connections share the link finely.
const CHUNK: usize = 8 << 10;

/// Chunks in flight in one direction of one connection; short ones are what makes this bound bite.
const IN_FLIGHT: usize = 256;

/// How far the reader may run ahead of the clock: timers are too coarse to wait for each chunk.
const AHEAD: Duration = Duration::from_millis(4);

/// The options of `adumbra demo-relay`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Where connections go.
    #[arg(long)]
    to: SocketAddr,
    /// Propagation time one way, milliseconds.
    #[arg(long, default_value_t = 20.0)]
    delay_ms: f64,
    /// Bytes a second, each way.
    #[arg(long, default_value_t = 4_194_304.0)]
    rate: f64,
}

/// Relays until the process ends. A second listener, `moved`, answers each connection with the bytes relayed so far.
pub fn run(args: &Args) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let moved = TcpListener::bind(("127.0.0.1", 0)).await?;
        lifeline::announce("relay", listener.local_addr()?)?;
        lifeline::announce("moved", moved.local_addr()?)?;
        let link = Arc::new(Link::new(args));
        tokio::spawn(count(moved, link.clone()));
        serve(listener, link, args.to).await
    })
}

/// Both directions of the link.
#[derive(Debug)]
pub(crate) struct Link {
    delay: Duration,
    there: Direction,
    back: Direction,
}

impl Link {
    pub(crate) fn new(args: &Args) -> Self {
        let delay = Duration::from_secs_f64(args.delay_ms.max(0.0) / 1_000.0);
        Self { delay, there: Direction::new(args.rate), back: Direction::new(args.rate) }
    }
}

/// One direction: when its sender is next free, and what it has sent.
#[derive(Debug)]
struct Direction {
    rate: f64,
    free_at: Mutex<Instant>,
    moved: AtomicU64,
}

impl Direction {
    fn new(rate: f64) -> Self {
        Self { rate: rate.max(1.0), free_at: Mutex::new(Instant::now()), moved: AtomicU64::new(0) }
    }

    /// Takes the sender for `count` bytes; when the last of them will have been clocked out.
    fn clock_out(&self, count: usize) -> Instant {
        self.moved.fetch_add(count as u64, Ordering::Relaxed);
        let mut free_at = self.free_at.lock();
        *free_at = (*free_at).max(Instant::now()) + Duration::from_secs_f64(count as f64 / self.rate);
        *free_at
    }
}

async fn count(listener: TcpListener, link: Arc<Link>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let moved = link.there.moved.load(Ordering::Relaxed) + link.back.moved.load(Ordering::Relaxed);
        // Whoever asked and left does not need the answer.
        drop(stream.write_all(format!("{moved}\n").as_bytes()).await);
    }
}

/// Relays every connection of `listener` to `to` over `link`.
pub(crate) async fn serve(listener: TcpListener, link: Arc<Link>, to: SocketAddr) -> std::io::Result<()> {
    loop {
        let (near, _) = listener.accept().await?;
        let link = link.clone();
        tokio::spawn(async move {
            // A connection that cannot be made is closed; the sender sees that and decides what to do.
            if let Ok(far) = connect(to, &near).await {
                tokio::time::sleep(link.delay * 2).await;
                let (near_read, near_write) = near.into_split();
                let (far_read, far_write) = far.into_split();
                let there = carry(near_read, far_write, &link.there, link.delay);
                let back = carry(far_read, near_write, &link.back, link.delay);
                drop(tokio::join!(there, back));
            }
        });
    }
}

async fn connect(to: SocketAddr, near: &TcpStream) -> std::io::Result<TcpStream> {
    let far = TcpStream::connect(to).await?;
    far.set_nodelay(true)?;
    near.set_nodelay(true)?;
    Ok(far)
}

/// One direction of one connection, until its end, which travels like a byte.
async fn carry(mut from: OwnedReadHalf, to: OwnedWriteHalf, way: &Direction, delay: Duration) -> std::io::Result<()> {
    let (send, receive) = mpsc::channel(IN_FLIGHT);
    let reader = async move {
        let mut buffer = BytesMut::with_capacity(CHUNK);
        loop {
            buffer.reserve(CHUNK);
            let count = (&mut from).take(CHUNK as u64).read_buf(&mut buffer).await?;
            let out_at = way.clock_out(count);
            let arrival = Chunk { at: out_at + delay, bytes: buffer.split().freeze() };
            if send.send(arrival).await.is_err() || count == 0 {
                return Ok(());
            }
            tokio::time::sleep_until(out_at.checked_sub(AHEAD).unwrap_or(out_at)).await;
        }
    };
    let (read, written) = tokio::join!(reader, deliver(receive, to));
    read.and(written)
}

/// Bytes on their way; no bytes are the end of the stream.
struct Chunk {
    at: Instant,
    bytes: Bytes,
}

async fn deliver(mut arrivals: mpsc::Receiver<Chunk>, mut to: OwnedWriteHalf) -> std::io::Result<()> {
    while let Some(chunk) = arrivals.recv().await {
        tokio::time::sleep_until(chunk.at).await;
        if chunk.bytes.is_empty() {
            return to.shutdown().await;
        }
        to.write_all(&chunk.bytes).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Args, Link, serve};
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    /// A connection through a relay to a peer that sends back what it gets.
    async fn echo_through(delay_ms: f64, rate: f64) -> (TcpStream, Arc<Link>) {
        let echo = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let to = echo.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = echo.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        let link = Arc::new(Link::new(&Args { to, delay_ms, rate }));
        let relay = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = relay.local_addr().expect("an address");
        tokio::spawn(serve(relay, link.clone(), to));
        (TcpStream::connect(address).await.expect("the relay listens"), link)
    }

    #[tokio::test]
    async fn a_byte_takes_the_delay_both_ways() {
        let (mut stream, _) = echo_through(30.0, 1e9).await;
        stream.write_all(b"a").await.expect("sent");
        stream.read_u8().await.expect("the connection is up");
        let start = Instant::now();
        stream.write_all(b"b").await.expect("sent");
        assert_eq!(stream.read_u8().await.expect("echoed"), b'b');
        assert!(start.elapsed() >= Duration::from_millis(60), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn bytes_pass_whole_no_faster_than_the_rate_and_are_counted() {
        let (stream, link) = echo_through(50.0, 1e6).await;
        let sent: Vec<u8> = (0..300_000_u32).map(|at| (at % 253) as u8).collect();
        let (mut read, mut write) = stream.into_split();
        let start = Instant::now();
        let outgoing = sent.clone();
        let writer = tokio::spawn(async move {
            write.write_all(&outgoing).await?;
            write.shutdown().await
        });
        let mut received = Vec::new();
        read.read_to_end(&mut received).await.expect("received");
        writer.await.expect("the writer ends").expect("sent");
        assert!(received == sent);
        // 0.3 s at the rate, plus a round trip; stop-and-wait would take 37 chunks × 100 ms.
        assert!(start.elapsed() >= Duration::from_millis(395), "{:?}", start.elapsed());
        assert_eq!(link.there.moved.load(Ordering::Relaxed), 300_000);
        assert_eq!(link.back.moved.load(Ordering::Relaxed), 300_000);
    }

    #[tokio::test]
    async fn a_receiver_that_does_not_read_stops_the_sender() {
        let (mut stream, _) = echo_through(1.0, 1e9).await;
        let block = vec![0_u8; 64 << 20];
        let sending = tokio::time::timeout(Duration::from_millis(700), stream.write_all(&block)).await;
        assert!(sending.is_err(), "64 MiB went nowhere and were taken all the same");
    }
}
