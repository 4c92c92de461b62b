//! Programs that nobody here wrote, run as they come.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::binary::workspace;
use crate::wait::{eventually, within};

/// A program by its name.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn program(name: &str) -> Command {
    Command::new(found(name))
}

/// A Python with the packages of the tests.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn python() -> Command {
    let python = workspace().join("target/tests-venv/bin/python");
    assert!(python.exists(), "{} is not there: run tests/setup.sh", python.display());
    Command::new(python)
}

fn found(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian keeps daemons where only root looks.
    let directories = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut candidates = directories.map(|directory| directory.join(name));
    candidates.find(|file| file.is_file()).unwrap_or_else(|| panic!("{name} is not installed: run tests/setup.sh"))
}

/// Runs a program to its end.
///
/// # Panics
/// If it cannot be run, or does not end.
pub async fn run(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    within("a program ends", output).await.expect("the program runs")
}

/// The same; what it wrote to its output.
///
/// # Panics
/// The same, and if it says that it failed.
pub async fn said(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = run(command).await;
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// Sends a signal to a child of ours.
///
/// # Panics
/// If it is gone.
pub fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("the child runs");
    rustix::process::kill_process(pid, signal).expect("a child can be signalled");
}

/// A service in Python's standard library. Its script prints the port that it listens on, and then what it will.
#[derive(Debug)]
pub struct Python {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Python {
    /// Starts a script.
    ///
    /// # Panics
    /// If it does not listen.
    pub async fn start(script: &str) -> Self {
        let spawned =
            python().args(["-u", "-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = spawned.expect("Python runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        let line = within("the script listens", lines.next_line()).await.expect("its output is text");
        let port = line.and_then(|line| line.parse().ok()).expect("a script says its port first");
        Self { child, lines, port }
    }

    /// Where it listens, as an endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it prints next.
    ///
    /// # Panics
    /// If it prints nothing.
    pub async fn says(&mut self) -> String {
        let line = within("the script says something", self.lines.next_line()).await;
        line.expect("its output is text").expect("it runs")
    }

    /// Sends it a signal.
    pub fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }
}

/// Debian's nginx with files to serve.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
    // Bound but not listening: it keeps the port from being given to anybody else.
    _port: Socket,
}

impl Nginx {
    /// Starts one that serves `files`.
    ///
    /// # Panics
    /// If it does not.
    pub async fn serving(files: &[(&str, &[u8])]) -> Self {
        let directory = tempfile::tempdir().expect("there is room for files");
        let root = directory.path().join("root");
        std::fs::create_dir(&root).expect("there is room for files");
        for (name, bytes) in files {
            std::fs::write(root.join(name), bytes).expect("there is room for files");
        }
        let (port, address) = reserved();
        let config = directory.path().join("nginx.conf");
        std::fs::write(&config, nginx_config(directory.path(), address)).expect("there is room for files");
        let spawned = program("nginx")
            .arg("-p")
            .arg(directory.path())
            .arg("-c")
            .arg(&config)
            .arg("-e")
            .arg(directory.path().join("error.log"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        let child = spawned.expect("nginx runs");
        eventually("nginx listens", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        Self { child, address, directory, _port: port }
    }

    /// Where it listens, as an endpoint.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it logged of requests: a line each.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.directory.path().join("access.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// Sends it a signal.
    pub fn signal(&self, what: Signal) {
        signal(&self.child, what);
    }
}

/// One process, in the foreground, that writes nowhere but into its directory.
fn nginx_config(directory: &Path, address: SocketAddr) -> String {
    let directory = directory.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {directory}/{kind};\n"))
        .concat();
    format!(
        "daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log warn;\n\
         events {{ worker_connections 1024; }}\n\
         http {{ {temporary} access_log {directory}/access.log; keepalive_requests 1000000;\n\
         server {{ listen {address} reuseport; root {directory}/root; default_type application/octet-stream; }} }}\n"
    )
}

/// A port that only those who say SO_REUSEPORT can listen on while the socket is there.
fn reserved() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).expect("there are sockets");
    socket.set_reuse_port(true).expect("a socket takes options");
    let any = SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)));
    socket.bind(&any).expect("loopback has a free port");
    let address =
        socket.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound socket has an address");
    (socket, address)
}
