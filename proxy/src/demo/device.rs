//! The simulated device of a network, and how a slot waits for it.
//!
//! This is the part of the demo that is not real work: a queueing process. An operation waits in one
//! first-come-first-served queue for one of a few channels, holds it for a fixed time plus its bytes over a rate, and
//! is then answered with one byte. No disk is touched and no byte of the operation exists. It stands for storage whose
//! speed differs between networks, and it is a process of its own so that waiting for it costs the job's slot but no
//! CPU.
//!
//! The wire: four bytes, the size of the operation, big end first; one byte back. A closed connection gives its place
//! up.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;

use super::kernel::Stopped;
use super::lifeline;

/// The largest operation served; larger ones are cut to it.
const LARGEST: u32 = 64 << 20;

/// How often a waiting slot looks whether its job was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// The options of `adumbra demo-device`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Operations served at once.
    #[arg(long, default_value_t = 1)]
    channels: usize,
    /// Fixed time of an operation, milliseconds.
    #[arg(long, default_value_t = 5.0)]
    seek_ms: f64,
    /// Bytes served a second, by one channel.
    #[arg(long, default_value_t = 100_000_000.0)]
    rate: f64,
}

impl Args {
    /// How long an operation of `bytes` holds a channel.
    fn service_time(&self, bytes: u32) -> Duration {
        let seconds = self.seek_ms / 1_000.0 + f64::from(bytes.min(LARGEST)) / self.rate.max(1.0);
        Duration::from_secs_f64(seconds.clamp(0.0, 60.0))
    }
}

/// Serves until the process ends.
pub fn run(args: &Args) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        lifeline::announce("device", listener.local_addr()?)?;
        serve(listener, *args).await
    })
}

/// Serves every connection of `listener`.
pub(crate) async fn serve(listener: tokio::net::TcpListener, args: Args) -> std::io::Result<()> {
    // A fair semaphore is the queue: permits go out in the order they were asked for.
    let channels = Arc::new(Semaphore::new(args.channels.max(1)));
    loop {
        let (mut stream, _) = listener.accept().await?;
        let channels = channels.clone();
        tokio::spawn(async move {
            // A peer that hangs up has cancelled; there is nobody to tell.
            while let Ok(bytes) = stream.read_u32().await {
                let Ok(_channel) = channels.acquire().await else { return };
                tokio::time::sleep(args.service_time(bytes)).await;
                if stream.write_u8(1).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// A slot's connection to its device.
#[derive(Debug)]
pub(crate) struct Device {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Device {
    /// The device at `address`, not yet connected.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None }
    }

    /// Waits for one operation; gives up soon after `cancelled` is set. A broken device is a cancelled job: the demo's
    /// slots have no other way to go on.
    pub(crate) fn operate(&mut self, bytes: u32, cancelled: &AtomicBool) -> Result<(), Stopped> {
        let done = self.exchange(bytes, cancelled);
        if done.is_err() {
            self.stream = None;
        }
        done.map_err(|_| Stopped)
    }

    fn exchange(&mut self, bytes: u32, cancelled: &AtomicBool) -> std::io::Result<()> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(LOOK_EVERY))?;
                self.stream.insert(stream)
            }
        };
        stream.write_all(&bytes.to_be_bytes())?;
        loop {
            match stream.read(&mut [0]) {
                Ok(1) => return Ok(()),
                Ok(_) => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if cancelled.load(Ordering::Relaxed) {
                        return Err(std::io::ErrorKind::Interrupted.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Args, Device, serve};
    use std::sync::atomic::AtomicBool;
    use std::time::{Duration, Instant};

    const ARGS: Args = Args { channels: 1, seek_ms: 20.0, rate: 1e6 };

    #[test]
    fn a_service_time_is_a_seek_and_the_bytes() {
        assert_eq!(ARGS.service_time(0), Duration::from_millis(20));
        assert_eq!(ARGS.service_time(100_000), Duration::from_millis(120));
    }

    #[test]
    fn operations_queue_for_the_channel_and_a_cancelled_one_gives_up() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(serve(listener, ARGS));

        let start = Instant::now();
        let waits: Vec<_> = (0..3)
            .map(|_| std::thread::spawn(move || Device::new(address).operate(0, &AtomicBool::new(false))))
            .collect();
        waits.into_iter().for_each(|wait| assert_eq!(wait.join().ok(), Some(Ok(()))));
        assert!(start.elapsed() >= Duration::from_millis(60), "three of 20 ms went through one channel");

        assert!(Device::new(address).operate(50_000_000, &AtomicBool::new(true)).is_err());
    }
}
