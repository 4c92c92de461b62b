//! `adumbra certs`: a CA for development, certificates of it, and its revocation list; and what to write into which file.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use certs::{Authority, Issued, SpiffeId, Terms};
use clap::Subcommand;

use super::CliError;
use super::words::printable;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a CA in a directory: its certificate, its key, and an empty revocation list
    Init {
        /// Where; it is made if it is not there
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Who vouches: the first part of every identity
        #[arg(long, default_value = "adumbra.internal")]
        trust_domain: String,
        /// How long the CA lives
        #[arg(long, default_value_t = 90)]
        days: u32,
        /// Replace a CA that is there; everything it has issued is worthless then
        #[arg(long)]
        force: bool,
    },
    /// Make a key and a certificate for the sidecars in front of a service on a network
    Issue {
        /// The CA's directory, and where the files are put
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// Where the sidecars stand: `home` of their configuration
        #[arg(long)]
        network: String,
        /// What they stand in front of; the same on each network
        #[arg(long)]
        service: String,
        /// Another trust domain than the CA's
        #[arg(long)]
        trust_domain: Option<String>,
        /// How long the certificate lives
        #[arg(long, default_value_t = 7)]
        days: u32,
        /// Replace files of that name: how a certificate is renewed
        #[arg(long)]
        force: bool,
    },
    /// Put a certificate on the CA's revocation list
    Revoke {
        /// The CA's directory
        #[arg(value_name = "DIR")]
        directory: PathBuf,
        /// The certificate, as it was issued
        #[arg(value_name = "CERT")]
        certificate: PathBuf,
    },
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let now = SystemTime::now();
    let terms = |days, force| Terms { from: now, days, replace: force };
    let text = match &args.command {
        Command::Init { directory, trust_domain, days, force } => {
            made(&Authority::init(directory, trust_domain, terms(*days, *force))?, directory, *days)
        }
        Command::Issue { directory, network, service, trust_domain, days, force } => {
            let authority = Authority::open(directory)?;
            let domain = trust_domain.as_deref().unwrap_or(authority.trust_domain());
            let id = SpiffeId::new(domain, network, service).map_err(certs::AuthorityError::from)?;
            issued(&authority, &authority.issue(&id, terms(*days, *force))?, *days)
        }
        Command::Revoke { directory, certificate } => {
            let authority = Authority::open(directory)?;
            let whose = authority.revoke(certificate, now)?;
            format!(
                "revoked {} of {whose}\n\nCopy {} to where `identity.crl` of every sidecar says. They refuse it from then on,\nand cut \
                 its open connections, within `identity.reload_every`.\n",
                certificate.display(),
                authority.list().display(),
            )
        }
    };
    io::stdout().write_all(printable(&text).as_bytes()).map_err(CliError::Output)
}

fn made(authority: &Authority, directory: &Path, days: u32) -> String {
    let directory = directory.display();
    format!(
        "made a CA for spiffe://{}, which lives {days} days\n\n  {}  its certificate: every sidecar's `identity.trust`\n  {}  what it \
         has revoked: every sidecar's `identity.crl`\n  {directory}/ca.key  its key: keep it, and give it to nobody\n\nnext, for each \
         network:\n\n  adumbra certs issue {directory} --network NETWORK --service SERVICE\n",
        authority.trust_domain(),
        authority.bundle().display(),
        authority.list().display(),
    )
}

fn issued(authority: &Authority, issued: &Issued, days: u32) -> String {
    let Issued { id, certificate, key } = issued;
    let text = |path: &Path| format!("{:?}", path.display().to_string());
    format!(
        "issued {id}, for {days} days\n\nPut this at the top of the configuration of the sidecar on `{network}`, with the paths where the \
         files are there:\n\n  [identity]\n  certificate = {certificate}\n  key = {key}\n  trust = {trust}\n  crl = [{crl}]\n\nand on \
         each other network, in its configuration:\n\n  [networks.{network}]\n  sidecars = [\"https://HOST:PORT\"]   # its \
         `listen.peers`\n  identity = \"{id}\"\n",
        network = id.network(),
        certificate = text(certificate),
        key = text(key),
        trust = text(&authority.bundle()),
        crl = text(&authority.list()),
    )
}
