//! A backend for machines without nginx: any path on any of its ports is answered 200 with the bytes of one file.
//!
//! hyper on one thread, since the bench wants a backend that is fast and dull, not one that is interesting.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let body = arguments.next().map(std::fs::read);
    let ports: Vec<SocketAddr> = arguments.filter_map(|text| text.parse().ok()).collect();
    let (Some(Ok(body)), [_, ..]) = (body, &ports[..]) else {
        eprintln!("usage: tiny_backend BODY_FILE ADDRESS:PORT…");
        return ExitCode::from(2);
    };
    match serve(&ports, &Bytes::from(body)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot serve on {ports:?}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(ports: &[SocketAddr], body: &Bytes) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        for port in ports {
            tokio::task::spawn_local(accept(TcpListener::bind(port).await?, body.clone()));
        }
        std::future::pending::<io::Result<()>>().await
    })
}

async fn accept(listener: TcpListener, body: Bytes) {
    loop {
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("cannot accept: {error}");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("cannot set TCP_NODELAY: {error}");
        }
        let body = body.clone();
        let answer = service_fn(move |_: Request<Incoming>| {
            let body = Full::new(body.clone());
            async move { Ok::<_, Infallible>(Response::new(body)) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        tokio::task::spawn_local(async move {
            // Clients that hang up are no news.
            connection.await.unwrap_or_default();
        });
    }
}
