//! The demo's job service: an HTTP/1.1 server of its own process that knows nothing of adumbra, but shows its progress.
//!
//! `GET /render`, `GET /trace` and `POST /encode` run a job; `/healthz` answers, `/load` and `/stats` tell the demo
//! what goes on. While a job holds a slot its client is sent `102 Processing` with `adumbra-progress: <fraction>` about
//! every 50 ms, the first with 0 when the slot is taken. A client that goes away stops its run.

pub(crate) mod slots;
pub(crate) mod usage;
mod wire;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use self::slots::{Run, Slots};
use self::wire::{Interim, Wire};
use super::job::Job;
use super::kernel::Build;
use super::lifeline;

/// The largest request body read.
const LARGEST_BODY: usize = 256 << 10;

/// The header a run is booked under; anything goes, up to a length.
pub(crate) const JOB_HEADER: &str = "x-demo-job";
const LONGEST_NAME: usize = 64;

/// The header that says which network answered.
pub(crate) const NETWORK_HEADER: &str = "x-demo-network";

/// The options of `adumbra demo-service`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The network's name, which every answer states.
    #[arg(long)]
    network: String,
    /// Jobs run at once.
    #[arg(long)]
    slots: usize,
    /// Which build of the kernels.
    #[arg(long)]
    build: Build,
    /// Address of the network's device.
    #[arg(long)]
    device: SocketAddr,
    /// Show no progress.
    #[arg(long)]
    opaque: bool,
}

/// Serves until the process ends.
pub fn run(args: &Args) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        lifeline::announce("service", listener.local_addr()?)?;
        serve(listener, Arc::new(Service::new(args))).await
    })
}

/// A service and its slots.
pub(crate) struct Service {
    network: String,
    opaque: bool,
    slots: Arc<Slots>,
}

impl Service {
    pub(crate) fn new(args: &Args) -> Self {
        let slots = Slots::start(args.slots, args.build, args.device);
        Self { network: args.network.clone(), opaque: args.opaque, slots }
    }

    async fn answer(&self, request: Request<Incoming>, interim: Interim) -> Result<Response<Full<Bytes>>, Infallible> {
        let response = match request.uri().path() {
            "/healthz" => reply(StatusCode::OK, "ok\n"),
            "/load" => {
                let (running, waiting) = self.slots.load();
                reply(StatusCode::OK, serde_json::json!({ "running": running, "waiting": waiting }).to_string())
            }
            "/stats" => reply(StatusCode::OK, self.slots.usage().to_json().to_string()),
            _ => self.job(request, interim).await,
        };
        Ok(response)
    }

    async fn job(&self, request: Request<Incoming>, interim: Interim) -> Response<Full<Bytes>> {
        let Some(job) = Job::parse(request.uri().path(), request.uri().query().unwrap_or_default()) else {
            return reply(StatusCode::NOT_FOUND, "no such job: try /render?size=256&seed=1\n");
        };
        if !matches!(*request.method(), Method::GET | Method::POST) {
            return reply(StatusCode::METHOD_NOT_ALLOWED, "a job is a GET or a POST\n");
        }
        let booked_as = booked_as(&request);
        let shows = !self.opaque && request.version() == Version::HTTP_11;
        let Ok(body) = Limited::new(request.into_body(), LARGEST_BODY).collect().await else {
            return reply(StatusCode::BAD_REQUEST, "the body is too large or broke off\n");
        };
        interim.open();
        let run = Run { job, body: body.to_bytes(), booked_as, interim: shows.then_some(interim) };
        let claim = match self.slots.submit(run) {
            Ok(claim) => claim,
            Err(full) => return reply(StatusCode::SERVICE_UNAVAILABLE, format!("{full}\n")),
        };
        match claim.answer().await {
            Some(answer) => {
                let mut response = reply(StatusCode::OK, answer);
                if let Ok(network) = self.network.parse() {
                    response.headers_mut().insert(NETWORK_HEADER, network);
                }
                response
            }
            None => reply(StatusCode::INTERNAL_SERVER_ERROR, "the device is gone\n"),
        }
    }
}

fn booked_as(request: &Request<Incoming>) -> String {
    let name = request.headers().get(JOB_HEADER).and_then(|name| name.to_str().ok()).unwrap_or("other");
    name.chars().take(LONGEST_NAME).collect()
}

fn reply(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

/// Serves every connection of `listener`.
pub(crate) async fn serve(listener: TcpListener, service: Arc<Service>) -> std::io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let wire = Wire::new(stream);
        let (service, interim) = (service.clone(), wire.interim());
        tokio::spawn(async move {
            let answer = service_fn(|request| service.answer(request, interim.clone()));
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(wire), answer);
            // A connection that breaks has dropped its claim, which is all there is to do.
            drop(connection.await);
        });
    }
}

#[cfg(test)]
mod tests;
