//! `adumbra probe`: asks a sidecar whether it takes jobs. For orchestrators, whose own probes do not get to loopback, where
//! the operator's port is, from an image without a shell or curl.

use super::{CliError, http};

/// Arguments of `adumbra probe`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The sidecar's admin port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900")]
    admin: String,
}

/// Succeeds if the sidecar takes jobs.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let answer = http::get(&args.admin, "/readyz")
        .map_err(|source| CliError::Unanswered { address: args.admin.clone(), source })?;
    if answer.status == 200 {
        return Ok(());
    }
    let detail = String::from_utf8_lossy(&answer.body).trim().to_owned();
    Err(CliError::Refused { address: args.admin.clone(), status: answer.status, detail })
}
