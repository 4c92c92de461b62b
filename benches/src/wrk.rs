//! The closed loop: wrk, because a stranger's load generator is a better referee than our own.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::child::{self, Running};
use crate::pin::Core;
use crate::site::{REQUEST_HEADERS, REQUEST_PATH};

/// wrk as it was found.
#[derive(Clone, Debug)]
pub struct Wrk {
    /// The program.
    pub program: PathBuf,
    /// Where it runs.
    pub core: Core,
    /// Keep-alive connections.
    pub connections: usize,
    /// A folder for its output.
    pub directory: PathBuf,
}

/// What wrk said of one run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    /// Answers it received, good or bad.
    pub requests: u64,
    /// Per second, by its own clock.
    pub requests_per_second: f64,
    /// Answers other than 2xx and 3xx.
    pub bad_status: u64,
    /// Failed connects, reads and writes, and timeouts.
    pub socket_errors: u64,
}

impl Wrk {
    /// One run of whole seconds.
    ///
    /// # Errors
    /// When wrk cannot be run, does not end in time, or says something else than expected.
    pub fn run(&self, target: SocketAddr, seconds: u32) -> io::Result<Counted> {
        self.run_with(target, seconds, &[])
    }

    /// One run of whole seconds whose requests have these header fields, too.
    ///
    /// # Errors
    /// As for [`Wrk::run`].
    pub fn run_with(&self, target: SocketAddr, seconds: u32, headers: &[(&str, &str)]) -> io::Result<Counted> {
        let headers: Vec<_> = REQUEST_HEADERS.iter().chain(headers).copied().collect();
        self.run_at(&format!("http://{target}{REQUEST_PATH}"), seconds, &headers)
    }

    /// One run of whole seconds for another path, with no fields of ours.
    ///
    /// # Errors
    /// As for [`Wrk::run`].
    pub fn get(&self, target: SocketAddr, path: &str, seconds: u32) -> io::Result<Counted> {
        self.run_at(&format!("http://{target}{path}"), seconds, &[])
    }

    fn run_at(&self, url: &str, seconds: u32, headers: &[(&str, &str)]) -> io::Result<Counted> {
        let mut command = child::program(&self.program);
        command.args(["-t1", &format!("-c{}", self.connections), &format!("-d{seconds}s")]);
        for (name, value) in headers {
            command.arg("-H").arg(format!("{name}: {value}"));
        }
        command.arg(url);
        let mut running = Running::start(&mut command, self.core, self.directory.join("wrk.out"))?;
        running.wait(Duration::from_secs(u64::from(seconds) + 15))?;
        let text = running.said();
        parse(&text).ok_or_else(|| io::Error::other(format!("wrk said what it should not: {}", text.trim())))
    }
}

fn parse(text: &str) -> Option<Counted> {
    let mut counted = Counted::default();
    let mut rate = None;
    for line in text.lines().map(str::trim) {
        if let Some((count, _)) = line.split_once(" requests in ") {
            counted.requests = count.parse().ok()?;
        } else if let Some(errors) = line.strip_prefix("Socket errors: ") {
            counted.socket_errors =
                errors.split(", ").filter_map(|kind| kind.split_once(' ')?.1.parse::<u64>().ok()).sum();
        } else if let Some(count) = line.strip_prefix("Non-2xx or 3xx responses: ") {
            counted.bad_status = count.parse().ok()?;
        } else if let Some(per_second) = line.strip_prefix("Requests/sec:") {
            rate = per_second.trim().parse().ok();
        }
    }
    counted.requests_per_second = rate?;
    Some(counted)
}

/// The request wrk sends, for whoever must send the very same.
#[must_use]
pub fn request_bytes(host: SocketAddr) -> Vec<u8> {
    let mut text = format!("GET {REQUEST_PATH} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in REQUEST_HEADERS {
        write!(text, "{name}: {value}\r\n").expect("a String takes all text");
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Its version, from the usage text it prints.
#[must_use]
pub fn version(program: &Path) -> String {
    let line = crate::machine::printed_by(&program.to_string_lossy(), &["-v"]).unwrap_or_default();
    line.split(" [").next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_beside_the_counts() {
        let text = "  91 requests in 3.00s, 1MB read\n  Socket errors: connect 1, read 20, write 0, timeout 3\n  \
                    Non-2xx or 3xx responses: 7\nRequests/sec:     30.25\n";
        let expected = Counted { requests: 91, requests_per_second: 30.25, bad_status: 7, socket_errors: 24 };
        assert_eq!(parse(text), Some(expected));
    }

    #[test]
    fn no_rate_is_no_result() {
        assert_eq!(parse("unable to connect to 127.0.0.1:1 Connection refused\n"), None);
    }
}
