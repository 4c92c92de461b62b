//! The same small proxy on hyper in four runtime shapes: what decision record 2 chose from.
//!
//! `handed`: one thread accepts and hands each connection to the worker with the fewest, as adumbra does. `reuseport`: each
//! worker has a listening socket of its own, and the kernel spreads connections over them. `shared`: all workers wait at
//! one listening socket. `stealing`: one runtime of many threads. Everything else is the same code; a worker's pool of
//! connections to the backend is its own, and where there is one runtime there is one pool.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustix::net::{AddressFamily, SocketType, bind, listen, socket, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::mpsc;

const BACKLOG: i32 = 4096;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ran = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [shape, workers, at, backend] => match (workers.parse(), at.parse(), backend.parse()) {
            (Ok(workers), Ok(at), Ok(backend)) => run(shape, workers, at, backend),
            _ => Err(io::Error::other("WORKERS is a number; LISTEN and BACKEND are ADDRESS:PORT")),
        },
        _ => Err(io::Error::other("usage: shape handed|reuseport|shared|stealing WORKERS LISTEN BACKEND")),
    };
    let Err(error) = ran else { return ExitCode::SUCCESS };
    eprintln!("cannot proxy: {error}");
    ExitCode::FAILURE
}

fn run(shape: &str, workers: usize, at: SocketAddr, backend: SocketAddr) -> io::Result<()> {
    match shape {
        "handed" => handed(workers, at, backend),
        "reuseport" => each_accepts((0..workers).map(|_| listening(at)).collect::<io::Result<_>>()?, backend),
        "shared" => {
            let socket = listening(at)?;
            each_accepts((0..workers).map(|_| socket.try_clone()).collect::<io::Result<_>>()?, backend)
        }
        "stealing" => {
            let runtime = Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
            runtime.block_on(accept(listening(at)?, Arc::new(Pool::new(backend))))
        }
        _ => Err(io::Error::other(format!("there is no shape called {shape}"))),
    }
}

/// A socket that others may listen beside.
fn listening(at: SocketAddr) -> io::Result<StdListener> {
    let family = if at.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    bind(&socket, &at)?;
    listen(&socket, BACKLOG)?;
    let listener = StdListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Each worker accepts for itself.
fn each_accepts(sockets: Vec<StdListener>, backend: SocketAddr) -> io::Result<()> {
    let start = |socket| {
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(accept(socket, Arc::new(Pool::new(backend))))
        })
    };
    let workers: Vec<_> = sockets.into_iter().map(start).collect();
    workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| io::Error::other("a worker panicked"))?)
}

async fn accept(socket: StdListener, pool: Arc<Pool>) -> io::Result<()> {
    let listener = TcpListener::from_std(socket)?;
    loop {
        let (client, _) = listener.accept().await?;
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { serve(client, &pool).await.unwrap_or_default() });
    }
}

/// A worker, as the acceptor sees it.
struct Worker {
    hand: mpsc::Sender<(StdStream, Open)>,
    open: Arc<AtomicUsize>,
}

/// A connection that counts for as long as it is open.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One thread accepts, and hands on to whoever has the fewest.
fn handed(workers: usize, at: SocketAddr, backend: SocketAddr) -> io::Result<()> {
    let workers: Vec<Worker> = (0..workers)
        .map(|_| {
            let (hand, connections) = mpsc::channel(1024);
            thread::spawn(move || work(connections, backend));
            Worker { hand, open: Arc::default() }
        })
        .collect();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listening(at)?)?;
        loop {
            let (client, _) = listener.accept().await?;
            let Some(worker) = workers.iter().min_by_key(|w| w.open.load(Ordering::Relaxed)) else { return Ok(()) };
            worker.open.fetch_add(1, Ordering::Relaxed);
            let handed = (client.into_std()?, Open(Arc::clone(&worker.open)));
            worker.hand.send(handed).await.map_err(|_| io::Error::other("a worker is gone"))?;
        }
    })
}

fn work(mut connections: mpsc::Receiver<(StdStream, Open)>, backend: SocketAddr) -> io::Result<()> {
    let pool = Arc::new(Pool::new(backend));
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        while let Some((client, open)) = connections.recv().await {
            let (client, pool) = (TcpStream::from_std(client)?, Arc::clone(&pool));
            tokio::spawn(async move {
                serve(client, &pool).await.unwrap_or_default();
                drop(open);
            });
        }
        Ok(())
    })
}

/// Clients that hang up are no news; a backend that fails, the load generator counts.
async fn serve(client: TcpStream, pool: &Pool) -> io::Result<()> {
    client.set_nodelay(true)?;
    let forward = service_fn(|request: Request<Incoming>| pool.forward(request));
    http1::Builder::new().serve_connection(TokioIo::new(client), forward).await.map_err(io::Error::other)
}

/// Connections to the backend, the longest unused first: it is the likeliest to have done with its last answer.
struct Pool {
    backend: SocketAddr,
    idle: Mutex<VecDeque<SendRequest<Incoming>>>,
}

impl Pool {
    fn new(backend: SocketAddr) -> Self {
        Self { backend, idle: Mutex::default() }
    }

    async fn forward(&self, mut request: Request<Incoming>) -> io::Result<Response<Incoming>> {
        // A client's `Connection: close` is between it and us.
        request.headers_mut().remove(hyper::header::CONNECTION);
        let idle = self.idle();
        let mut sender = match idle {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push_back(sender);
        Ok(answer)
    }

    fn idle(&self) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..idle.len() {
            let sender = idle.pop_front()?;
            if sender.is_ready() {
                return Some(sender);
            }
            if !sender.is_closed() {
                idle.push_back(sender);
            }
        }
        None
    }

    async fn connect(&self) -> io::Result<SendRequest<Incoming>> {
        let stream = TcpStream::connect(self.backend).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        tokio::spawn(async move { connection.await.unwrap_or_default() });
        sender.ready().await.map_err(io::Error::other)?;
        Ok(sender)
    }
}
