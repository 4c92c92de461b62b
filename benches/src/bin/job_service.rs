//! A service whose jobs are CPU time, and which can be told to be a bad neighbour: for the bench of what shadows cost.
//!
//! Every request is a job: its body is read whole and hashed a fixed number of times, and the answer is the hash, over and
//! over, so that it can be checked byte for byte. One thread, as one slot of a machine.

use std::convert::Infallible;
use std::hint::black_box;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::task::{Context, Poll};

use bytes::Bytes;
use clap::Parser;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::LocalSet;

use benches::shadow_tax::job;

/// Does jobs of a fixed amount of work.
#[derive(Clone, Copy, Debug, Parser)]
struct Arguments {
    /// Where it listens
    #[arg(long)]
    at: SocketAddr,
    /// Rounds of hashing for each job
    #[arg(long, default_value_t = 1)]
    rounds: u32,
    /// Answers 500 to every job
    #[arg(long)]
    failing: bool,
    /// Answers with 10 GB
    #[arg(long)]
    endless: bool,
    /// Memory that each job fills and holds to its end, MiB
    #[arg(long, default_value_t = 0)]
    memory_mib: usize,
}

fn main() -> ExitCode {
    match serve(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cannot serve: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(arguments: Arguments) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(arguments.at).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let answer = service_fn(move |request| answer(arguments, request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            // Clients that hang up are no news.
            tokio::task::spawn_local(async move { connection.await.unwrap_or_default() });
        }
    })
}

async fn answer(arguments: Arguments, request: Request<Incoming>) -> Result<Response<Answer>, Infallible> {
    let Ok(body) = request.into_body().collect().await else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    // Every page is written to, or the kernel would not have to find it.
    let held = black_box(vec![1_u8; arguments.memory_mib << 20]);
    let answer = job::answer(&body.to_bytes(), arguments.rounds);
    drop(held);
    Ok(match arguments {
        Arguments { failing: true, .. } => status(StatusCode::INTERNAL_SERVER_ERROR),
        Arguments { endless: true, .. } => {
            Response::new(Answer { piece: Bytes::from(vec![b'x'; 65_536]), left: 10_000_000_000 })
        }
        _ => Response::new(Answer { left: answer.len() as u64, piece: answer }),
    })
}

fn status(status: StatusCode) -> Response<Answer> {
    let mut response = Response::new(Answer { piece: Bytes::new(), left: 0 });
    *response.status_mut() = status;
    response
}

/// One piece, again and again, until so many bytes were sent.
struct Answer {
    piece: Bytes,
    left: u64,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let length = (this.piece.len() as u64).min(this.left);
        this.left -= length;
        let piece = this.piece.slice(..usize::try_from(length).unwrap_or(0));
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
