//! adumbra with everything on: two networks, a route that shadows, classes, urgency, prices, warming, decision log, spool.
//!
//! It is built before it is run, so that no figure comes from an older source; cargo itself knows whether there is
//! anything to build. Jobs here take microseconds, so the plan is nearly always `Direct`, sampled as the defaults say:
//! that is the path whose cost counts, for a long job hides it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::child::{self, Running};
use crate::machine::printed_by;
use crate::peers::{Parts, StartError, last_words};
use crate::site::Site;

const TEMPLATE: &str = include_str!("adumbra.toml");
const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// Starts it with the bench's configuration, or with the file given, and learns its port from what it prints.
///
/// # Errors
/// When it cannot be built or does not say where it listens.
pub fn start(
    site: &Site,
    folder: &Path,
    backends: [SocketAddr; 2],
    config: Option<&Path>,
) -> Result<Parts, StartError> {
    let template = config.map_or_else(|| Ok(TEMPLATE.to_owned()), fs::read_to_string)?;
    let [backend, other] = backends;
    let text = template
        .replace("{backend}", &backend.to_string())
        .replace("{other_backend}", &other.to_string())
        .replace("{folder}", &folder.to_string_lossy());
    let (running, [address, _admin]) = serve(site, folder, &text)?;
    let version = printed_by(&built()?.to_string_lossy(), &["--version"]).unwrap_or_else(|| "adumbra".to_owned());
    Ok((running, version, address))
}

/// Starts it with the configuration `text`, and learns where it takes jobs and where its operator is answered.
///
/// # Errors
/// When it cannot be built or does not say where it listens.
pub fn serve(site: &Site, folder: &Path, text: &str) -> Result<(Running, [SocketAddr; 2]), StartError> {
    let file = folder.join("adumbra.toml");
    fs::write(&file, text)?;
    let mut command = child::program(&built()?);
    command.args(["serve", "--config"]).arg(&file);
    let mut running = Running::start(&mut command, site.cores.proxy, folder.join("output"))?;
    let addresses = listening(&mut running)?;
    Ok((running, addresses))
}

/// The release binary, brought up to date once a run.
pub(crate) fn built() -> Result<PathBuf, StartError> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let build = || {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["build", "--release", "-p", "proxy", "--bin", "adumbra"]);
        command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).stdin(Stdio::null());
        let built = command.status().is_ok_and(|status| status.success());
        let binary = release_folder().ok()?.join("adumbra");
        (built && binary.is_file()).then_some(binary)
    };
    BUILT.get_or_init(build).clone().ok_or(StartError::NotBuilt("adumbra"))
}

/// Where cargo puts release binaries: next to `deps`, in which this bench itself lies.
fn release_folder() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    own.ancestors().nth(2).map(Path::to_owned).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Waits for the lines `listening jobs=ADDRESS` and `listening admin=ADDRESS`, of which the latter comes last.
fn listening(running: &mut Running) -> Result<[SocketAddr; 2], StartError> {
    let until = Instant::now() + LISTENS_WITHIN;
    loop {
        let said = running.said();
        if let (Some(jobs), Some(admin)) = (address_of(&said, "jobs="), address_of(&said, "admin=")) {
            return Ok([jobs, admin]);
        }
        if let Some(status) = running.ended()? {
            return Err(StartError::Ended { status, said: last_words(running) });
        }
        if Instant::now() > until {
            let got = "no line `listening jobs=ADDRESS`".to_owned();
            return Err(StartError::NoAnswer { got, said: last_words(running) });
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn address_of(said: &str, what: &str) -> Option<SocketAddr> {
    let words = said.lines().filter(|line| line.starts_with("listening ")).flat_map(str::split_whitespace);
    words.filter_map(|word| word.strip_prefix(what)).find_map(|address| address.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_jobs_port_is_found_among_the_others() {
        let said = "starting\nlistening admin=127.0.0.1:9900\nlistening jobs=127.0.0.1:8080 tls=no\n";
        assert_eq!(address_of(said, "jobs="), Some(([127, 0, 0, 1], 8080).into()));
        assert_eq!(address_of("listening admin=127.0.0.1:9900\n", "jobs="), None);
    }
}
