//! What an operator is shown is what happened: every page, the log on disk, the explanation beforehand and the sums.

use std::collections::BTreeMap;

use serde_json::Value;
use tests::{Answer, Origin, Raw, Reply, Setup, Sidecar, eventually, within};

const ON: &str = "shadow = \"on\"\nrepeatable = true";

async fn asked(sidecar: &Sidecar, method: &str, path: &str) -> Answer {
    let host = sidecar.admin();
    let mut client = Raw::connect(host).await;
    client.write(format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")).await;
    client.answer_to(method).await
}

fn json(answer: &Answer) -> Value {
    assert_eq!((answer.status, answer.field("content-type")), (200, "application/json"), "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// Two networks, and jobs of many ends on them.
async fn busy(change: impl FnOnce(Setup) -> Setup) -> (Origin, Origin, Sidecar) {
    let private = Origin::answering(|request| match request.target.as_str() {
        "/error" => Reply::of(500, "no"),
        "/missing" => Reply::of(404, "no"),
        _ => Reply::ok("private"),
    })
    .await;
    let public = Origin::named("public").await;
    let setup = Setup::two(private.url(), public.url()).set("shadow.sample_share", "0.5");
    let sidecar = change(setup)
        .route("name = \"away\"\nmatch = { path = \"/away\" }\nresidency = [\"public\"]")
        .every(ON)
        .start();
    (private, public, sidecar)
}

async fn many_jobs(sidecar: &Sidecar) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..5 {
        for path in ["/", "/error", "/missing", "/away"] {
            answers.push(sidecar.get(path).await);
        }
    }
    answers
}

#[tokio::test]
async fn every_page_is_there_and_is_not_kept_by_anybody() {
    let (_private, _public, sidecar) = busy(|setup| setup).await;
    let id = sidecar.get("/").await.decision().id;
    sidecar.decisions(1).await;
    let (text, metrics) = ("text/plain; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let pages = [
        ("/", text),
        ("/healthz", text),
        ("/readyz", text),
        ("/metrics", metrics),
        ("/status", "application/json"),
        ("/decisions", "application/json"),
        ("/decisions?n=3", "application/json"),
        (&format!("/decisions/{id}"), "application/json"),
        ("/explain?url=/", "application/json"),
    ];
    for (path, kind) in pages {
        let answer = asked(&sidecar, "GET", path).await;
        assert_eq!((answer.status, answer.field("content-type")), (200, kind), "{path}");
        assert_eq!((answer.field("cache-control"), answer.field("x-content-type-options")), ("no-store", "nosniff"));
        assert!(!answer.body.is_empty(), "{path}");
        let head = asked(&sidecar, "HEAD", path).await;
        assert_eq!((head.status, head.field("content-type")), (200, kind), "{path}");
        assert_eq!(head.body, b"", "{path}");
        let length: usize = head.field("content-length").parse().expect("a length is a number");
        // What counts the questions themselves may have grown by a digit.
        assert!(length.abs_diff(answer.body.len()) < 64, "{path}: {length} for {}", answer.body.len());
    }
    let index = asked(&sidecar, "GET", "/").await.text();
    for (path, _) in pages {
        let page = path.split(['?']).next().expect("there is a path");
        let page = if page.starts_with("/decisions/") { "/decisions/ID" } else { page };
        assert!(page == "/" || index.contains(page), "the index names {page}");
    }
}

#[tokio::test]
async fn what_is_not_there_or_not_asked_rightly_is_a_problem_document() {
    let (_private, _public, sidecar) = busy(|setup| setup).await;
    let check = async |method: &str, path: &str, status: u16, problem: &str| {
        let answer = asked(&sidecar, method, path).await;
        assert_eq!((answer.status, answer.field("content-type")), (status, "application/problem+json"), "{path}");
        let document: Value = serde_json::from_slice(&answer.body).expect("a problem is JSON");
        assert!(document["type"].as_str().is_some_and(|kind| kind.ends_with(problem)), "{path}: {document}");
        assert_eq!(document["status"], status, "{document}");
        assert!(document["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{document}");
        answer
    };
    for path in ["/nothing", "/status/", "/healthz/x", "/decisions/0000000000000000", "/decisions/x", "/decisions/"] {
        check("GET", path, 404, "/problems/not-found").await;
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = check(method, "/status", 405, "/problems/method-not-allowed").await;
        assert_eq!(answer.field("allow"), "GET, HEAD");
    }
    for path in ["/decisions?n=x", "/decisions?n=-1", "/explain", "/explain?url=x%20y", "/explain?url=/&header=x"] {
        check("GET", path, 400, "/problems/malformed").await;
    }
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="not_found"}"#).await, 6.0);
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="method_not_allowed"}"#).await, 5.0);
}

#[tokio::test]
async fn a_name_that_a_page_could_have_made_up_is_not_answered_to() {
    let (_private, _public, sidecar) = busy(|setup| setup).await;
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example"] {
        let answer = Raw::ask(sidecar.admin(), format!("GET /status HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
        assert!(answer.status >= 400 && !answer.text().contains("networks"), "{host}: {}", answer.text());
    }
    assert_eq!(sidecar.metric("adumbra_admin_refused_total").await, 3.0);
}

#[tokio::test]
async fn the_admin_port_and_the_jobs_port_are_not_each_others() {
    let (_private, _public, sidecar) = busy(|setup| setup).await;
    assert_eq!(sidecar.get("/status").await.text(), "private", "a path like any other");
    let host = sidecar.admin();
    let answer = Raw::ask(host, format!("GET /render HTTP/1.1\r\nhost: {host}\r\n\r\n")).await;
    assert_eq!(answer.status, 404, "no job is taken here");
}

#[tokio::test]
async fn the_log_on_disk_has_one_line_a_job_that_says_what_its_response_said() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let path = directory.path().join("decisions.jsonl");
    let (_private, _public, sidecar) =
        busy(|setup| setup.set("log.decisions", format!("{:?}", path.display().to_string()))).await;
    let answers = many_jobs(&sidecar).await;
    sidecar.decisions(answers.len()).await;
    let mut shown = BTreeMap::new();
    for answer in &answers {
        shown.insert(
            answer.decision().id,
            json(&asked(&sidecar, "GET", &format!("/decisions/{}", answer.decision().id)).await),
        );
    }
    sidecar.stop().await;
    let text = std::fs::read_to_string(&path).expect("the log is text");
    assert!(text.ends_with('\n'));
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(lines.len(), answers.len(), "one line a job");
    for answer in &answers {
        let decided = answer.decision();
        let of_it: Vec<&Value> = lines.iter().filter(|line| line["id"] == decided.id.as_str()).collect();
        let [line] = of_it[..] else { panic!("{} has {} lines", decided.id, of_it.len()) };
        for (key, said) in [("target", &decided.network), ("reason", &decided.reason), ("action", &decided.action)] {
            assert_eq!(line[key], said.as_str(), "{line}");
        }
        assert_eq!(line["status"], answer.status, "{line}");
        assert_eq!(line["response_bytes"], answer.body.len(), "{line}");
        let mut page = shown[&decided.id].clone();
        page.as_object_mut().expect("a decision is an object").remove("tree_path");
        assert_eq!(&page, line, "the page and the file say the same");
    }
}

#[tokio::test]
async fn a_log_is_appended_to_by_the_next_run() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let path = directory.path().join("decisions.jsonl");
    for run in 1..=2 {
        let (_private, _public, sidecar) =
            busy(|setup| setup.set("log.decisions", format!("{:?}", path.display().to_string()))).await;
        sidecar.get("/").await;
        sidecar.stop().await;
        let text = std::fs::read_to_string(&path).expect("the log is text");
        assert_eq!(text.lines().count(), run);
    }
}

#[tokio::test]
async fn decisions_are_shown_newest_first_and_no_more_than_asked_for_or_kept() {
    let (_private, _public, sidecar) = busy(|setup| setup.set("log.keep", 5)).await;
    let ids: Vec<String> = many_jobs(&sidecar).await.iter().map(|answer| answer.decision().id).collect();
    let last = &ids[ids.len() - 5..];
    eventually("the last is recorded", async || {
        json(&asked(&sidecar, "GET", "/decisions?n=1").await)[0]["id"] == ids[ids.len() - 1].as_str()
    })
    .await;
    let shown = json(&asked(&sidecar, "GET", "/decisions?n=1000").await);
    let shown: Vec<&str> = shown.as_array().expect("a list").iter().filter_map(|line| line["id"].as_str()).collect();
    let newest_first: Vec<&str> = last.iter().rev().map(String::as_str).collect();
    assert_eq!(shown, newest_first);
    assert_eq!(json(&asked(&sidecar, "GET", "/decisions?n=2").await).as_array().map(Vec::len), Some(2));
    assert_eq!(asked(&sidecar, "GET", &format!("/decisions/{}", ids[0])).await.status, 404, "it is kept no more");
}

/// What `/explain` says of a request is what then happens to it.
async fn assert_explained(sidecar: &Sidecar, question: &str, request: &str) -> Value {
    let said = json(&asked(sidecar, "GET", &format!("/explain?{question}")).await);
    let answer = Raw::ask(sidecar.jobs(), request).await;
    let line = sidecar.logged(&answer.decision()).await;
    for key in ["route", "class", "urgency", "mode", "plan", "model"] {
        assert_eq!(said[key], line[key], "{key} of {request:?}: {said}\n{line}");
    }
    assert_eq!((&said["target"], &said["reason"]), (&line["target"], &line["plan_reason"]), "{said}\n{line}");
    if line["plan"] != "direct" {
        assert_eq!(said["shadows"], line["shadows"], "{said}\n{line}");
    }
    said
}

#[tokio::test]
async fn an_explanation_agrees_with_what_then_happens_even_where_it_is_drawn() {
    let (_private, _public, sidecar) = busy(|setup| {
        setup
            .set("shadow.explore_share", "0.3")
            .route("name = \"some\"\nmatch = { path = \"/some\" }\nshadow = \"on\"\nrollout = \"50%\"")
            .route(
                "name = \"classed\"\nmatch = { path = \"/classed*\", methods = [\"POST\"] }\nclass_by = \"query:kind\"\n\
                 shadow = \"observe\"\nurgency = { most = 2, least = 5 }",
            )
    })
    .await;
    let mut seen = BTreeMap::<(String, String), u32>::new();
    for _ in 0..30 {
        let some = assert_explained(&sidecar, "url=/some", "GET /some HTTP/1.1\r\nhost: a\r\n\r\n").await;
        *seen.entry((some["mode"].to_string(), some["target"].to_string())).or_default() += 1;
        assert_explained(&sidecar, "url=/away", "GET /away HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let classed = assert_explained(
            &sidecar,
            "url=/classed%3Fkind%3Ddeep&method=post&header=Priority:u%3D0",
            "POST /classed?kind=deep HTTP/1.1\r\nhost: a\r\npriority: u=0\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert_eq!((classed["class"].as_str(), classed["urgency"].as_u64()), (Some("deep"), Some(2)), "{classed}");
        assert_explained(&sidecar, "url=/", "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    }
    assert!(seen.len() >= 3, "both modes and both networks were drawn: {seen:?}");
}

#[tokio::test]
async fn an_explanation_agrees_with_what_a_model_then_decides() {
    let (_private, _public, sidecar) = busy(|setup| setup.set("shadow.sample_share", "0.0")).await;
    for (home_s, away_s, expected) in [(10.0, 1000.0, "private"), (1000.0, 10.0, "public")] {
        sidecar.swap_model(tests::model::settled(home_s, away_s));
        let said = assert_explained(&sidecar, "url=/", "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
        assert_eq!(said["target"], expected, "{said}");
        assert!(said["tree_path"].as_array().is_some_and(|path| !path.is_empty()), "{said}");
        let line = &sidecar.decisions(1).await[0];
        for network in said["networks"].as_array().expect("there are networks") {
            let name = network["name"].as_str().expect("it has a name");
            assert_eq!(network["prediction"], line["predictions"][name], "{name}: {said}\n{line}");
        }
    }
}

#[tokio::test]
async fn asking_for_an_explanation_starts_and_counts_nothing() {
    let (private, public, sidecar) = busy(|setup| setup.set("shadow.sample_share", "1.0")).await;
    for _ in 0..10 {
        asked(&sidecar, "GET", "/explain?url=/").await;
    }
    assert_eq!((private.connections(), public.connections()), (0, 0));
    assert_eq!(sidecar.sum("adumbra_jobs_total", &[]).await, 0.0);
    assert_eq!(sidecar.get("/").await.decision().id, "0000000000000001");
}

#[tokio::test]
async fn the_sums_match() {
    let (private, public, sidecar) = busy(|setup| setup.set("shadow.explore_share", "0.3")).await;
    let jobs = many_jobs(&sidecar).await.len();
    let gone = Raw::connect(sidecar.jobs()).await;
    drop(gone);
    sidecar.decisions(jobs).await;
    let sum = async |name: &str| sidecar.sum(name, &[]).await;
    for name in ["adumbra_jobs_total", "adumbra_decisions_total", "adumbra_plans_total", "adumbra_job_seconds_count"] {
        assert_eq!(sum(name).await, jobs as f64, "{name}");
    }
    let status = sidecar.status().await;
    let by_reason = status["decisions"].as_object().expect("counts by reason");
    assert_eq!(by_reason.values().filter_map(Value::as_f64).sum::<f64>(), jobs as f64, "{status}");
    eventually("the shadows are over", async || sum("adumbra_shadows_in_flight").await == 0.0).await;
    assert_eq!(sum("adumbra_shadows_started_total").await, sum("adumbra_shadows_ended_total").await);
    let executed = (private.begun() + public.begun()) as f64;
    assert_eq!(executed, jobs as f64 + sum("adumbra_shadows_started_total").await, "each dispatch is one request");
    assert_eq!(sum("adumbra_upstream_connections_total").await, executed, "and had one connection");
    assert_eq!(sum("adumbra_network_in_flight").await, 0.0);
}

#[tokio::test]
async fn it_is_alive_and_ready_while_it_takes_jobs() {
    let (_private, _public, sidecar) = busy(|setup| setup).await;
    eventually("it is ready", async || sidecar.ask("/readyz").await.status == 200).await;
    assert_eq!(sidecar.ask("/healthz").await.text(), "up\n");
    assert_eq!(sidecar.get("/").await.status, 200);
}

#[tokio::test]
async fn a_stopping_sidecar_answers_the_jobs_that_it_has() {
    let private = Origin::held().await;
    let sidecar = Setup::alone(private.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let job = private.next().await;
    let jobs = sidecar.jobs();
    let stopping = tokio::spawn(sidecar.stop());
    eventually("it takes no more connections", async || tokio::net::TcpStream::connect(jobs).await.is_err()).await;
    assert!(!stopping.is_finished(), "it waits for its jobs");
    job.release(Reply::ok("last")).await;
    assert_eq!(client.answer().await.text(), "last");
    within("it stops", stopping).await.expect("no panic");
}

#[tokio::test]
async fn the_operator_sees_a_sidecar_drain() {
    let private = Origin::held().await;
    let sidecar = Setup::alone(private.url()).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let job = private.next().await;
    let (jobs, admin) = (sidecar.jobs(), sidecar.admin());
    let stopping = tokio::spawn(sidecar.stop());
    eventually("it takes no more connections", async || tokio::net::TcpStream::connect(jobs).await.is_err()).await;
    assert!(tokio::net::TcpStream::connect(admin).await.is_ok(), "the admin port is there while jobs end");
    for (path, status) in [("/healthz", 200), ("/readyz", 503), ("/metrics", 200)] {
        let answer = Raw::ask(admin, format!("GET {path} HTTP/1.1\r\nhost: {admin}\r\n\r\n")).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    job.release(Reply::ok("last")).await;
    assert_eq!(client.answer().await.text(), "last");
    within("it stops", stopping).await.expect("no panic");
}
