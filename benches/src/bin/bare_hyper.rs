//! The least reverse proxy that hyper makes: what hyper itself costs, as a floor for whatever is built on it.
//!
//! One thread. hyper's HTTP/1.1 server hands each request, its head untouched but for `X-Forwarded-For`, to one of hyper's
//! HTTP/1.1 clients, and the answer back as it comes. It is a measuring tool: no hygiene, no time limits, no second try,
//! no cap on the pool; what fails ends the client's connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

fn main() -> ExitCode {
    let addresses: Vec<SocketAddr> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [listen, backend] = addresses[..] else {
        eprintln!("usage: bare_hyper LISTEN BACKEND, both as ADDRESS:PORT");
        return ExitCode::from(2);
    };
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
    match runtime.and_then(|runtime| runtime.block_on(serve(listen, backend))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot proxy {listen} to {backend}: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(listen: SocketAddr, backend: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let pool = Rc::new(Pool { backend, idle: RefCell::default() });
    loop {
        match listener.accept().await {
            Ok((client, address)) => {
                let connection = serve_client(client, address.ip(), Rc::clone(&pool));
                spawn_local(async move {
                    // Clients that hang up are no news; a backend that fails, the load generator counts.
                    connection.await.unwrap_or_default();
                });
            }
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

async fn serve_client(client: TcpStream, address: IpAddr, pool: Rc<Pool>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let address = HeaderValue::try_from(address.to_string()).map_err(io::Error::other)?;
    let forward = service_fn(|mut request: Request<Incoming>| {
        request.headers_mut().append(FORWARDED_FOR, address.clone());
        pool.forward(request)
    });
    http1::Builder::new().serve_connection(TokioIo::new(client), forward).await.map_err(io::Error::other)
}

/// Connections to the backend, the longest unused first: it is the likeliest to have done with its last answer.
struct Pool {
    backend: SocketAddr,
    idle: RefCell<VecDeque<SendRequest<Incoming>>>,
}

impl Pool {
    async fn forward(&self, request: Request<Incoming>) -> io::Result<Response<Incoming>> {
        let mut sender = match self.idle() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        // Its answer's body may yet be on the way; `idle` passes over it until then.
        self.idle.borrow_mut().push_back(sender);
        Ok(answer)
    }

    fn idle(&self) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle.borrow_mut();
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
        spawn_local(async move {
            // A backend that hangs up is seen by the next request, or by the one under way.
            connection.await.unwrap_or_default();
        });
        sender.ready().await.map_err(io::Error::other)?;
        Ok(sender)
    }
}
