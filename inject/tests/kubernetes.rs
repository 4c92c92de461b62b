//! The programs themselves, and what they make as Kubernetes and programs that nobody here wrote take it.
//!
//! `tests/setup.sh` installs what this needs: curl, and a Python with the schemas of Kubernetes in it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

const INJECT: &str = env!("CARGO_BIN_EXE_adumbra-inject");
const WEBHOOK: &str = env!("CARGO_BIN_EXE_adumbra-webhook");
const NAME: &str = "adumbra-webhook.adumbra.svc";
/// As many as `validate.py` has.
const VERSIONS: usize = 5;

fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a crate is in the workspace")
}

fn run(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; tests/setup.sh installs it"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it is our child");
    // Whoever has seen enough does not read on.
    let _all_was_read = writing.join().expect("no panic").is_ok();
    output
}

fn succeeds(command: &mut Command, input: &str) -> String {
    let output = run(command, input);
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn validate(arguments: &[&str], input: &str) -> usize {
    let mut python = Command::new(workspace().join("target/tests-venv/bin/python"));
    python.arg(workspace().join("inject/tests/validate.py")).args(arguments);
    succeeds(&mut python, input).trim().parse().expect("a number")
}

fn shapes() -> String {
    let path = workspace().join("inject/tests/kubernetes/shapes.yaml");
    std::fs::read_to_string(path).expect("the shapes are there")
}

#[test]
fn what_is_injected_is_valid_for_several_versions_of_kubernetes() {
    let shapes = shapes();
    let documents = validate(&[], &shapes) / VERSIONS;
    let settings = ["--set", "inject=true", "--set", "config=render", "--set", "certificates=render-tls"];
    for more in [vec![], vec!["--set", "intercept=8080", "--set", "memory-limit=128Mi"]] {
        let after = succeeds(Command::new(INJECT).args(["-f", "-"]).args(settings).args(&more), &shapes);
        assert_eq!(validate(&[], &after), documents * VERSIONS);
        assert_eq!(after.matches("restartPolicy: Always").count(), 8, "each workload has one:\n{after}");
        let twice = succeeds(Command::new(INJECT).args(["-f", "-"]).args(settings).args(&more), &after);
        assert_eq!(twice, after);
    }
}

#[test]
fn a_dry_run_and_a_difference_write_no_manifests() {
    let settings = ["-f", "-", "--set", "inject=true", "--set", "config=render"];
    let said = succeeds(Command::new(INJECT).args(settings).arg("--dry-run"), &shapes());
    assert!(said.lines().count() == 8 && said.lines().all(|line| line.ends_with("gets a sidecar")), "{said}");
    let diff = succeeds(Command::new(INJECT).args(settings).arg("--diff"), &shapes());
    let taken = diff.lines().filter(|line| line.starts_with('-') && !line.starts_with("---")).count();
    assert_eq!(taken, 0, "lines are only added:\n{diff}");
    let bad = run(Command::new(INJECT).args(settings).args(["--set", "port=8080 -j ACCEPT"]), &shapes());
    let errors = String::from_utf8_lossy(&bad.stderr);
    assert!(!bad.status.success() && bad.stdout.is_empty(), "nothing is written if anything is wrong");
    assert!(
        errors.contains("standard input: document 2, line 8 (Deployment render)") && errors.contains("must be a port"),
        "{errors}"
    );
}

#[test]
fn the_documents_say_every_annotation() {
    let text = std::fs::read_to_string(workspace().join("docs/inject.md")).expect("it is there");
    for (name, _) in inject::annotation::ALL {
        assert!(text.contains(&format!("`{name}`")), "docs/inject.md says nothing of {name}");
    }
}

#[test]
fn the_webhooks_own_manifest_is_valid() {
    let text = std::fs::read_to_string(workspace().join("deploy/kubernetes/webhook.yaml")).expect("it is there");
    assert_eq!(validate(&[], &text), text.matches("\nkind: ").count() * VERSIONS);
    // Nobody injects into it, and it survives being passed through.
    assert_eq!(succeeds(Command::new(INJECT).args(["-f", "-"]), &text), text);
}

/// The program, until it is dropped.
struct Webhook(Child);

impl Drop for Webhook {
    fn drop(&mut self) {
        let _gone = self.0.kill().and_then(|()| self.0.wait()).is_ok();
    }
}

fn curl(ca: &Path, port: &str, arguments: &[&str]) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--cacert"]).arg(ca);
    curl.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1"), "--header", "Content-Type: application/json"]);
    curl.args(arguments).arg(format!("https://{NAME}:{port}/inject?timeout=5s"));
    curl
}

#[test]
fn curl_and_a_library_of_patches_see_what_an_api_server_would() {
    let directory = tempfile::tempdir().expect("room");
    let path = |name: &str| -> PathBuf { directory.path().join(name) };
    let bundle =
        succeeds(Command::new(WEBHOOK).args(["certificates", "--name", NAME, "--directory"]).arg(directory.path()), "");
    assert_eq!(std::fs::read_to_string(path("ca.crt")).expect("a file"), bundle);
    let mut child = Command::new(WEBHOOK)
        .args(["serve", "--listen", "127.0.0.1:0", "--certificates"])
        .arg(directory.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    let webhook = Webhook(child);
    out.read_line(&mut line).expect("text");
    let port = line.trim().rsplit(':').next().expect("a port").to_owned();

    let review = workspace().join("inject/tests/kubernetes/review.json");
    let data = format!("@{}", review.display());
    for protocol in ["--http1.1", "--http2"] {
        let answer = succeeds(&mut curl(&path("ca.crt"), &port, &[protocol, "--fail", "--data-binary", &data]), "");
        assert_eq!(validate(&["patch", &review.to_string_lossy()], &answer), VERSIONS);
    }
    let status = |input: &str| {
        let arguments = ["--output", "/dev/null", "--write-out", "%{http_code}", "--data-binary", "@-"];
        String::from_utf8(run(&mut curl(&path("ca.crt"), &port, &arguments), input).stdout).expect("text")
    };
    assert_eq!(status(&"[".repeat(10_000)), "400");
    assert_eq!(
        status(&std::fs::read_to_string(&review).expect("a file").replace("k8s.io/v1", "k8s.io/v1beta1")),
        "400"
    );
    assert_eq!(status(&" ".repeat(10 << 20)), "413");
    drop(webhook);
}
