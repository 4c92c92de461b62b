//! What ties the demo's processes together: a child lives as long as its standard input is open, and says where it
//! listens in the first lines of its standard output.
//!
//! The parent holds the other end of that pipe, so a child ends even when the parent is killed with no chance to clean
//! up. No port is fixed: every listener takes what the system gives.

use std::io::{Read, Write};
use std::net::SocketAddr;

/// Set in a child's environment by the demo; [`arm`] looks for it.
pub(crate) const ASKED: &str = "ADUMBRA_DEMO_CHILD";

/// Ends this process when its standard input does, if the demo started it; otherwise does nothing.
pub fn arm() {
    if std::env::var_os(ASKED).is_none() {
        return;
    }
    std::thread::spawn(|| {
        let mut rest = [0_u8; 64];
        while matches!(std::io::stdin().read(&mut rest), Ok(count) if count > 0) {}
        std::process::exit(0);
    });
}

/// Says that `name` listens on `address`.
pub(crate) fn announce(name: &str, address: SocketAddr) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening {name}={address}")?;
    out.flush()
}

/// The name and the address in a line written by [`announce`], or by the sidecar's `serve`.
pub(crate) fn announced(line: &str) -> Option<(&str, SocketAddr)> {
    let (name, address) = line.trim().strip_prefix("listening ")?.split_once('=')?;
    Some((name, address.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::announced;

    #[test]
    fn an_announcement_names_a_listener_and_its_address() {
        let (name, address) = announced("listening jobs=127.0.0.1:4711\n").expect("an announcement");
        assert_eq!((name, address.port()), ("jobs", 4711));
        assert_eq!(announced("jobs=127.0.0.1:4711"), None);
        assert_eq!(announced("listening jobs=somewhere"), None);
    }
}
