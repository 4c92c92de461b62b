//! The description of the admin port is one by OpenAPI's own rules, and what a sidecar answers is what it says.

use std::process::Stdio;

use serde_json::{Value, json};
use tests::stranger::python;
use tests::{Answer, Origin, Raw, Setup, Sidecar};
use tokio::io::AsyncWriteExt;

/// Checks the description, and each answer against the schema that it names for it.
const JUDGE: &str = r#"
import json, sys
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_schema_validator import OAS31Validator
said = json.load(sys.stdin)
spec = said["spec"]
OpenAPIV31SpecValidator(spec).validate()
for answer in said["answers"]:
    where = f"{answer['method']} {answer['path']} {answer['status']}"
    responses = spec["paths"][answer["path"]][answer["method"]]["responses"]
    assert str(answer["status"]) in responses, f"{where} is not described"
    response = responses[str(answer["status"])]
    if "$ref" in response:
        response = spec["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
    assert answer["kind"] in response["content"], f"{where} is {answer['kind']}"
    schema = dict(response["content"][answer["kind"]]["schema"], components=spec["components"])
    body = json.loads(answer["body"]) if answer["kind"].endswith("json") else answer["body"]
    errors = [f"{where}: {list(e.absolute_path)}: {e.message}" for e in OAS31Validator(schema).iter_errors(body)]
    assert not errors, errors
print(len(said["answers"]))
"#;

const TOKEN: &str = "a-token-that-nobody-guesses";

fn with_token(setup: Setup, directory: &tempfile::TempDir) -> Setup {
    let file = directory.path().join("token");
    std::fs::write(&file, TOKEN).expect("there is room for files");
    setup.set("listen.admin_token", format!("{:?}", file.display().to_string()))
}

async fn asked(sidecar: &Sidecar, method: &str, path: &str, fields: &[&str], body: &str) -> Answer {
    let host = sidecar.admin();
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n{fields}");
    Raw::ask(host, format!("{head}connection: close\r\n\r\n{body}")).await
}

#[tokio::test]
async fn what_is_answered_is_what_is_described() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let service = Origin::named("private").await;
    let public = Origin::named("public").await;
    let sidecar = with_token(Setup::two(service.url(), public.url()), &directory).every("").start();
    let id = sidecar.get("/").await.decision().id;
    sidecar.decisions(1).await;
    let token = format!("authorization: Bearer {TOKEN}");
    let json_kind = "content-type: application/json";
    let decision = format!("/decisions/{id}");
    let mut answers = Vec::new();
    let questions: &[(&str, &str, &str, &[&str], &str)] = &[
        ("GET", "/", "/", &[], ""),
        ("GET", "/healthz", "/healthz", &[], ""),
        ("GET", "/readyz", "/readyz", &[], ""),
        ("GET", "/metrics", "/metrics", &[], ""),
        ("GET", "/status", "/status", &[], ""),
        ("GET", "/config", "/config", &[], ""),
        ("GET", "/model", "/model", &[], ""),
        ("GET", "/model/versions", "/model/versions", &[], ""),
        ("PUT", "/model/version", "/model/version", &[], "1"),
        ("PUT", "/model/version", "/model/version", &[&token], "1"),
        ("PUT", "/model/version", "/model/version", &[&token], "one"),
        ("POST", "/cache/purge?all=true", "/cache/purge", &[], ""),
        ("POST", "/cache/purge?all=true", "/cache/purge", &[&token], ""),
        ("POST", "/cache/purge?some=true", "/cache/purge", &[&token], ""),
        ("GET", "/page/page.css", "/page/{file}", &[], ""),
        ("GET", "/page/page.js", "/page/{file}", &[], ""),
        ("GET", "/page/icon.svg", "/page/{file}", &[], ""),
        ("GET", "/page/nothing", "/page/{file}", &[], ""),
        ("GET", "/", "/", &["accept: text/html"], ""),
        ("GET", "/metrics", "/metrics", &["accept: text/plain"], ""),
        ("GET", "/decisions?n=5", "/decisions", &[], ""),
        ("GET", "/decisions?n=x", "/decisions", &[], ""),
        ("GET", &decision, "/decisions/{id}", &[], ""),
        ("GET", "/decisions/zz", "/decisions/{id}", &[], ""),
        ("GET", "/explain?url=/a&header=Priority:u=1", "/explain", &[], ""),
        ("GET", "/explain", "/explain", &[], ""),
        ("POST", "/explain", "/explain", &[json_kind], r#"{"url":"/a","method":"POST","body_bytes":12}"#),
        ("POST", "/explain", "/explain", &[json_kind], r#"{"body_bytes":12}"#),
        ("POST", "/explain", "/explain", &[], r#"{"url":"/a"}"#),
        ("GET", "/log-level", "/log-level", &[], ""),
        ("PUT", "/log-level", "/log-level", &[], "debug"),
        ("PUT", "/log-level", "/log-level", &[&token, "origin: http://evil.example"], "debug"),
        ("PUT", "/log-level", "/log-level", &[&token], "loud"),
    ];
    for (method, path, described, fields, body) in questions {
        let answer = asked(&sidecar, method, path, fields, body).await;
        let kind = answer.field("content-type").split(';').next().unwrap_or_default().to_owned();
        answers.push(json!({
            "method": method.to_lowercase(),
            "path": described,
            "status": answer.status,
            "kind": kind,
            "body": answer.text(),
        }));
    }
    let count = answers.len();
    let spec: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).expect("it is JSON");
    assert_eq!(judged(&json!({ "spec": spec, "answers": answers })).await, count.to_string());
}

async fn judged(what: &Value) -> String {
    let mut child = python()
        .args(["-c", JUDGE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut input = child.stdin.take().expect("its input is piped");
    input.write_all(what.to_string().as_bytes()).await.expect("it reads");
    drop(input);
    let output = tests::within("the judge is done", child.wait_with_output()).await.expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn nothing_is_changed_without_a_token_that_counts_now() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let service = Origin::named("private").await;
    let check = async |sidecar: &Sidecar, fields: &[&str], status: u16, problem: &str| {
        let answer = asked(sidecar, "PUT", "/log-level", fields, "debug").await;
        assert_eq!((answer.status, answer.field("adumbra-problem")), (status, problem), "{fields:?}");
        assert!(answer.values("access-control-allow-origin").is_empty(), "there is no CORS");
        answer
    };
    let open = Setup::alone(service.url()).every("").start();
    check(&open, &["authorization: Bearer a-token-that-nobody-guesses"], 403, "writes-off").await;

    let sidecar = with_token(Setup::alone(service.url()), &directory).every("").start();
    let refused = check(&sidecar, &[], 401, "unauthorized").await;
    assert_eq!(refused.field("www-authenticate"), "Bearer");
    check(&sidecar, &["cookie: token=a-token-that-nobody-guesses"], 401, "unauthorized").await;
    check(&sidecar, &["authorization: Bearer another-token-altogether"], 401, "unauthorized").await;
    let right = "authorization: Bearer a-token-that-nobody-guesses";
    check(&sidecar, &[right, "sec-fetch-site: cross-site"], 403, "foreign-origin").await;
    // Past the token: in this process the log is the test's own, and the answer says so.
    check(&sidecar, &[right], 404, "not-found").await;
    let own = format!("origin: http://{}", sidecar.admin());
    check(&sidecar, &[right, &own], 404, "not-found").await;
    assert_eq!(asked(&sidecar, "OPTIONS", "/log-level", &["origin: http://evil.example"], "").await.status, 405);

    std::fs::write(directory.path().join("token"), "the-next-token-of-all\n").expect("there is room for files");
    check(&sidecar, &[right], 401, "unauthorized").await;
    check(&sidecar, &["authorization: Bearer the-next-token-of-all"], 404, "not-found").await;
    std::fs::remove_file(directory.path().join("token")).expect("it is there");
    check(&sidecar, &["authorization: Bearer the-next-token-of-all"], 403, "writes-off").await;
    let long = "x".repeat(70_000);
    std::fs::write(directory.path().join("token"), TOKEN).expect("there is room for files");
    assert_eq!(asked(&sidecar, "PUT", "/log-level", &[right], &long).await.status, 413);
}

#[tokio::test]
async fn the_log_shows_more_when_it_is_told_to() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let service = Origin::named("private").await;
    let sidecar = tests::Binary::start(with_token(Setup::alone(service.url()), &directory).every("")).await;
    let host = sidecar.admin();
    let put = async |level: &str| {
        let length = level.len();
        let head = format!("PUT /log-level HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {TOKEN}\r\n");
        Raw::ask(host, format!("{head}content-length: {length}\r\nconnection: close\r\n\r\n{level}")).await
    };
    assert_eq!(sidecar.page("/log-level").await, "info\n");
    assert!(!sidecar.log().contains(r#""level":"DEBUG""#));
    let answer = put("debug").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "debug\n"));
    assert_eq!(sidecar.page("/log-level").await, "debug\n");
    // What reads the configuration again has something to say to whoever wants all of it.
    sidecar.signal(rustix::process::Signal::HUP);
    tests::eventually("the log is more talkative", async || sidecar.log().contains(r#""level":"DEBUG""#)).await;
    assert_eq!(put("warn").await.text(), "warn\n");
    sidecar.stop().await;
}
