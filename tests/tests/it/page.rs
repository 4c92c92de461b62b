//! The page for people, in a real browser; and what a browser is told about it.

use std::process::Stdio;

use tests::binary::workspace;
use tests::{Edited, Origin, Raw, Setup, Sidecar, within};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// What a client calls its job who would like to be on the operator's page with more than a name.
const HOSTILE: &str = "<b>x</b><img src=x onerror=wasRun=1><script>wasRun=1</script>";

const TOKEN: &str = "a-token-that-nobody-guesses";

/// The browser, and what drives it.
struct Browser {
    child: Child,
    to: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    fn start(url: &str) -> Self {
        let mut command = Command::new(workspace().join("target/tests-venv/bin/python"));
        command.arg(workspace().join("tests/browser/page.py")).args([url, HOSTILE, TOKEN]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("tests/setup.sh installs what drives the browser");
        let to = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Self { child, to, lines }
    }

    /// Waits until it has seen something. A browser on a busy machine takes its time.
    async fn says(&mut self, fact: &str) {
        let line = tokio::time::timeout(10 * tests::BOUND, self.lines.next_line()).await;
        let line = line.unwrap_or_else(|_| panic!("{fact}: not said")).expect("its output is text");
        if line.as_deref() != Some(fact) {
            let mut why = String::new();
            let mut stderr = self.child.stderr.take().expect("it is piped");
            let _as_far_as_it_goes = tokio::io::AsyncReadExt::read_to_string(&mut stderr, &mut why).await;
            panic!("{line:?} instead of {fact}: {why}");
        }
    }

    async fn told(&mut self, what: &str) {
        self.to.write_all(format!("{what}\n").as_bytes()).await.expect("it listens");
    }
}

/// A job whose client calls it so.
async fn job(jobs: std::net::SocketAddr, class: &str, bytes: usize) {
    let body = "x".repeat(bytes);
    let request = format!("POST / HTTP/1.1\r\nhost: a\r\nx-class: {class}\r\ncontent-length: {bytes}\r\n\r\n{body}");
    assert_eq!(Raw::ask(jobs, request).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_what_happens_and_goes_on_after_a_restart() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let admin = free.local_addr().expect("a bound socket has an address");
    drop(free);
    let files = tempfile::tempdir().expect("there is room for files");
    std::fs::write(files.path().join("token"), TOKEN).expect("there is room for files");
    let setup = Setup::two(private.url(), public.url())
        .set("listen.admin", format!("\"{admin}\""))
        .set("listen.admin_token", format!("{:?}", files.path().join("token")))
        .set("state.directory", format!("{:?}", files.path().join("state")))
        .set("oracle.first_after", 60)
        .set("oracle.refit_every", "\"100ms\"")
        .set("networks.private.capacity", 64)
        .every("shadow = \"on\"\nclass_by = \"header:x-class\"");
    let edited = Edited::start(&setup);
    // Two kinds, so that the model has a question to ask.
    for n in 0..80 {
        job(edited.sidecar.jobs(), ["render", "encode"][n % 2], 10 + 100 * n).await;
    }
    edited.sidecar.metric_becomes("adumbra_model_version", 1.0).await;
    for n in 0..8 {
        job(edited.sidecar.jobs(), "render", 10 + 100 * n).await;
    }
    job(edited.sidecar.jobs(), HOSTILE, 5).await;
    // One that the operator will not like.
    let is_kept = async || edited.sidecar.ask("/model/versions").await.text().contains("\"kept\":[1]");
    tests::eventually("the first version is kept", is_kept).await;
    let mut browser = Browser::start(&format!("http://{admin}/"));
    browser.says("looked").await;
    edited.sidecar.swap_model(tests::model::settled(1.0, 0.5).renumbered(7));
    job(edited.sidecar.jobs(), "encode", 5).await;
    browser.told("another job has ended").await;
    browser.says("updated").await;
    browser.says("rolled back").await;
    edited.sidecar.metric_becomes("adumbra_model_version", 1.0).await;
    edited.sidecar.stop().await;
    browser.told("it is gone").await;
    browser.says("missed it").await;
    let again = Edited::start(&setup);
    browser.told("it is back").await;
    browser.says("went on").await;
    assert!(within("the browser ends", browser.child.wait()).await.expect("it is our child").success());
    drop(again);
}

#[tokio::test]
async fn a_browser_is_given_the_page_and_told_to_run_nothing_else() {
    let origin = Origin::named("private").await;
    let sidecar = Setup::alone(origin.url()).start();
    let ask = async |sidecar: &Sidecar, path: &str, accept: &str| {
        let host = sidecar.admin();
        Raw::ask(host, format!("GET {path} HTTP/1.1\r\nhost: {host}\r\naccept: {accept}\r\nconnection: close\r\n\r\n"))
            .await
    };
    let page = ask(&sidecar, "/", "text/html,application/xhtml+xml").await;
    assert_eq!(page.values("content-type"), ["text/html; charset=utf-8"]);
    let policy = page.values("content-security-policy").concat();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.values("x-content-type-options"), ["nosniff"]);
    let html = page.text();
    // All of what it names is here, and nothing is anywhere else.
    let named: Vec<&str> = html.split(['"', '\'']).filter(|word| word.starts_with("/page/")).collect();
    assert!(named.len() >= 3 && !html.contains("http:") && !html.contains("https:"), "{html}");
    for path in named {
        assert_eq!(ask(&sidecar, path, "*/*").await.status, 200, "{path}");
    }
    // Whoever is no browser gets what they always got.
    assert!(ask(&sidecar, "/", "*/*").await.text().contains("/healthz"));
    assert_eq!(ask(&sidecar, "/page/nothing", "*/*").await.status, 404);
}

#[tokio::test]
async fn decisions_after_one_are_those_that_came_later() {
    let origin = Origin::named("private").await;
    let sidecar = Setup::alone(origin.url()).start();
    let decisions = async |query: &str| {
        let text = sidecar.ask(&format!("/decisions?{query}")).await.text();
        let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        all.iter().map(|decision| decision["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    for count in 1..=3 {
        sidecar.get("/").await;
        tests::eventually("it is kept", async || decisions("n=10").await.len() == count).await;
    }
    let all = decisions("n=10").await;
    assert_eq!(decisions(&format!("n=10&after={}", all[2])).await, all[..2]);
    assert_eq!(decisions(&format!("n=1&after={}", all[2])).await, all[..1]);
    assert_eq!(decisions(&format!("n=10&after={}", all[0])).await, [""; 0]);
    assert_eq!(decisions("n=10&after=0").await, all, "one that nobody knows is before all");
    assert_eq!(sidecar.ask("/decisions?after=nobody").await.status, 400);
}
