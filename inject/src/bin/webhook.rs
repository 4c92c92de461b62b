//! `adumbra-webhook`: answers the API server's admission reviews, and looks after its own certificate.
//!
//! Three commands. `serve` has no rights in the cluster and keeps nothing. `rotate` renews the certificate in the cluster and is
//! run by a CronJob. `certificates` does the same with files, where there is no cluster or somebody else distributes them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Parser, Subcommand};
use inject::annotation::Settings;
use inject::values::{Image, Name};
use inject::webhook::{self, Cluster, Limits, Names, Rotated, Server, Terms};
use serde_json::Map;
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

/// Puts the sidecar into pods as they are created
#[derive(Debug, Parser)]
#[command(name = "adumbra-webhook", version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer admission reviews at /inject
    Serve(Serve),
    /// Renew the certificate in the cluster if it is due
    Rotate(Rotate),
    /// Renew the certificate in a directory if it is due, and write the CAs to believe to standard output
    Certificates(Certificates),
}

#[derive(Debug, clap::Args)]
struct Serve {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// The directory with tls.crt and tls.key, read again every 5 s
    #[arg(long, value_name = "DIRECTORY")]
    certificates: PathBuf,
    /// The sidecar's image, where no annotation names another
    #[arg(long, value_name = "IMAGE", default_value = concat!("adumbra:", env!("CARGO_PKG_VERSION")), value_parser = image)]
    image: Image,
}

#[derive(Debug, clap::Args)]
struct Lifetime {
    /// A name that the API server reaches the webhook by: SERVICE.NAMESPACE.svc
    #[arg(long = "name", value_name = "NAME", required = true)]
    names: Vec<String>,
    /// How long a certificate is good for
    #[arg(long, default_value_t = 90)]
    days: u32,
    /// How long before its end it is renewed
    #[arg(long, default_value_t = 30)]
    renew_days: u32,
}

#[derive(Debug, clap::Args)]
struct Rotate {
    #[command(flatten)]
    lifetime: Lifetime,
    /// The Secret's namespace
    #[arg(long, value_parser = name)]
    namespace: Name,
    /// The Secret that holds the certificate
    #[arg(long, value_parser = name)]
    secret: Name,
    /// The MutatingWebhookConfiguration that must believe it
    #[arg(long, value_parser = name)]
    registration: Name,
    /// The service account's directory
    #[arg(long, default_value = "/var/run/secrets/kubernetes.io/serviceaccount")]
    account: PathBuf,
    /// The API server's name
    #[arg(long, default_value = "kubernetes.default.svc")]
    server: String,
    /// Where it is, if not where its name says
    #[arg(long, value_name = "ADDRESS")]
    server_address: Option<SocketAddr>,
}

#[derive(Debug, clap::Args)]
struct Certificates {
    #[command(flatten)]
    lifetime: Lifetime,
    /// The directory
    #[arg(long)]
    directory: PathBuf,
}

impl Lifetime {
    fn terms(&self) -> (Terms, Duration) {
        let terms = Terms { names: self.names.clone(), from: SystemTime::now(), days: self.days };
        (terms, Duration::from_secs(24 * 3600) * self.renew_days)
    }
}

fn image(text: &str) -> Result<Image, String> {
    Image::parse(text).map_err(|error| error.to_string())
}

fn name(text: &str) -> Result<Name, String> {
    Name::parse(text).map_err(|error| error.to_string())
}

fn main() -> ExitCode {
    let command = Line::parse().command;
    tracing_subscriber::fmt().json().with_writer(std::io::stderr).with_target(false).init();
    let done = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| runtime.block_on(run(command)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut line = format!("adumbra-webhook: {error}");
            let mut behind = error.source();
            while let Some(cause) = behind {
                line += &format!(": {cause}");
                behind = cause.source();
            }
            eprintln!("{line}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> Result<(), Box<dyn std::error::Error>> {
    match command {
        Command::Serve(args) => serve(args).await,
        Command::Rotate(args) => {
            let names = Names { namespace: args.namespace, secret: args.secret, registration: args.registration };
            let cluster = Cluster::open(&args.account, &args.server, 443, args.server_address, names)?;
            let (terms, before) = args.lifetime.terms();
            match webhook::rotate(&cluster, &terms, before).await? {
                Rotated::Nothing => info!("the certificate is good for longer, and believed"),
                Rotated::Bundle => info!("the registration believes the certificate again"),
                Rotated::Certificate => info!("there is a new certificate"),
            }
            Ok(())
        }
        Command::Certificates(args) => {
            let (terms, before) = args.lifetime.terms();
            print!("{}", webhook::renew(&args.directory, &terms, before)?.bundle);
            Ok(())
        }
    }
}

async fn serve(args: Serve) -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings { image: args.image, annotations: Map::new() };
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let server = Server::bind(args.listen, args.certificates, settings, Limits::default()).await?;
    // Whoever started it on port 0 reads here which it is.
    println!("listening {}", server.address());
    server
        .run(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        })
        .await;
    Ok(())
}
