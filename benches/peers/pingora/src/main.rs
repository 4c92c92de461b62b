//! The least reverse proxy that pingora-proxy makes: what its request path costs, for decision record 1.
//!
//! One worker thread; connections kept on both sides; `X-Forwarded-For` appended; no logger and no access log, as for the
//! HAProxy it is compared with. Nothing is turned off that pingora has on by itself, save stealing work from
//! threads that are not there. It is a measuring tool: one backend, and arguments in place of a configuration file.

use std::net::SocketAddr;
use std::process::ExitCode;

use async_trait::async_trait;
use pingora_core::Result;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_http::RequestHeader;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

fn main() -> ExitCode {
    let addresses: Vec<SocketAddr> = std::env::args().skip(1).filter_map(|text| text.parse().ok()).collect();
    let [listen, backend] = addresses[..] else {
        eprintln!("usage: pingora_peer LISTEN BACKEND, both as ADDRESS:PORT");
        return ExitCode::from(2);
    };
    let mut server = Server::new_with_opt_and_conf(None, conf());
    server.bootstrap();
    let mut service = http_proxy_service(&server.configuration, Peer { backend });
    service.add_tcp(&listen.to_string());
    server.add_service(service);
    server.run_forever()
}

fn conf() -> ServerConf {
    ServerConf {
        threads: 1,
        // The default costs a fifth more on one thread (tried: 41 µs for 35), for nothing there to be stolen.
        work_stealing: false,
        upstream_keepalive_pool_size: 1024,
        // By default SIGTERM sleeps for five minutes.
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    }
}

struct Peer {
    backend: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Peer {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.backend, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        (): &mut Self::CTX,
    ) -> Result<()> {
        if let Some(client) = session.client_addr().and_then(|address| address.as_inet()) {
            request.append_header("X-Forwarded-For", client.ip().to_string())?;
        }
        Ok(())
    }
}
