//! What is stored changes: it grows stale, is validated, is changed by requests, by an operator, by the configuration.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use tests::{Edited, Origin, Raw, Reply, Setup, eventually};

use super::{CACHED, HIT, STORED, asked, cached, fresh, get, result, status, stores};

fn said(body: &str, cache_control: &str) -> Reply {
    Reply::ok(body).field("cache-control", cache_control)
}

#[tokio::test]
async fn what_must_be_validated_is_and_its_body_is_not_sent_again() {
    let origin = Origin::answering(|request| match request.values("if-none-match")[..] {
        [] => said("body", "no-cache").field("etag", "\"a\"").field("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ["\"a\""] => Reply::bare(304).field("etag", "\"a\"").field("x-new", "1").field("cache-control", "no-cache"),
        ref other => Reply::of(500, format!("{other:?}")),
    })
    .await;
    let sidecar = cached(&origin).start();
    assert_eq!(status(&sidecar.get("/").await), STORED);
    stores(&sidecar, 1).await;
    for n in 1..4 {
        let answer = sidecar.get("/").await;
        assert_eq!((answer.status, answer.text().as_str(), answer.field("x-new")), (200, "body", "1"));
        assert_eq!(status(&answer), "adumbra; hit; fwd=stale; fwd-status=304");
        assert_eq!((origin.begun(), result(&sidecar, "revalidated").await), (n + 1, n as f64));
        let asked = origin.recorded().pop().expect("it was asked");
        assert_eq!(asked.values("if-modified-since"), ["Sun, 06 Nov 1994 08:49:37 GMT"]);
    }
    // The client's own condition is judged here, by what the service said.
    let unchanged = Raw::ask(sidecar.jobs(), get("/", "if-none-match: \"a\"\r\n")).await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let changed = Raw::ask(sidecar.jobs(), get("/", "if-none-match: \"b\"\r\n")).await;
    assert_eq!((changed.status, changed.text().as_str()), (200, "body"));
}

#[tokio::test]
async fn a_304_about_something_else_is_not_believed() {
    let origin = Origin::answering(|request| match request.values("if-none-match")[..] {
        [] => said("whole", "no-cache").field("etag", "\"a\""),
        _ => Reply::bare(304).field("etag", "\"b\""),
    })
    .await;
    let sidecar = cached(&origin).start();
    sidecar.get("/").await;
    stores(&sidecar, 1).await;
    let answer = sidecar.get("/").await;
    assert_eq!((answer.status, answer.text().as_str(), origin.begun()), (200, "whole", 3));
}

#[tokio::test]
async fn what_is_stale_is_given_while_it_is_validated_once() {
    let origin = Origin::held().await;
    let sidecar = cached(&origin).start();
    let mut client = asked(&sidecar, get("/", "")).await;
    origin.next().await.release(said("old", "max-age=0, stale-while-revalidate=600")).await;
    assert_eq!(client.answer().await.text(), "old");
    stores(&sidecar, 1).await;
    let mut held = None;
    for _ in 0..5 {
        let answer = sidecar.get("/").await;
        assert_eq!(answer.text(), "old");
        assert_eq!(status(&answer), "adumbra; hit; detail=stale-while-revalidate");
        if held.is_none() {
            held = Some(origin.next().await);
        }
    }
    assert_eq!((origin.begun(), result(&sidecar, "stale").await), (2, 5.0), "it is validated once, in the background");
    held.expect("it is validated").release(fresh("new")).await;
    stores(&sidecar, 2).await;
    let answer = sidecar.get("/").await;
    assert_eq!((answer.text().as_str(), status(&answer).as_str(), origin.begun()), ("new", HIT, 2));
}

#[tokio::test]
async fn what_is_stale_is_given_when_the_service_fails_but_only_where_it_may_be() {
    for failure in [500, 502, 503, 504, 404] {
        let failing = Arc::new(AtomicU16::new(200));
        let now = Arc::clone(&failing);
        let origin = Origin::answering(move |request| match now.load(Ordering::SeqCst) {
            200 if request.target == "/may" => said("old", "max-age=0, stale-if-error=600").field("etag", "\"a\""),
            200 => said("old", "max-age=0, stale-if-error=600, must-revalidate").field("etag", "\"a\""),
            status => Reply::of(status, "failed"),
        })
        .await;
        let sidecar = cached(&origin).start();
        for path in ["/may", "/must-not"] {
            sidecar.get(path).await;
        }
        stores(&sidecar, 2).await;
        failing.store(failure, Ordering::SeqCst);
        assert_eq!(sidecar.get("/must-not").await.status, failure);
        let answer = sidecar.get("/may").await;
        if failure == 404 {
            assert_eq!(answer.status, 404, "that is an answer");
            continue;
        }
        assert_eq!((answer.status, answer.text().as_str()), (200, "old"), "{failure}");
        assert_eq!(status(&answer), "adumbra; hit; fwd=stale; detail=stale-if-error");
    }
}

#[tokio::test]
async fn what_is_stale_is_given_when_nobody_is_there() {
    let origin = Origin::answering(|_| said("old", "max-age=0, stale-if-error=600").field("etag", "\"a\"")).await;
    let sidecar = cached(&origin).start();
    sidecar.get("/").await;
    stores(&sidecar, 1).await;
    drop(origin);
    eventually("the service is missed, and not by the client", async || {
        let answer = sidecar.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "old"));
        status(&answer).ends_with("stale-if-error")
    })
    .await;
}

#[tokio::test]
async fn a_request_that_changes_something_takes_out_what_it_changes() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let origin = Origin::answering(move |request| match (request.method.as_str(), request.target.as_str()) {
        ("GET", _) => fresh(count.load(Ordering::SeqCst).to_string()),
        (_, "/refused") => Reply::of(409, "no"),
        _ => {
            count.fetch_add(1, Ordering::SeqCst);
            Reply::of(201, "").field("location", "/named")
        }
    })
    .await;
    let setup = Setup::alone(origin.url())
        .set("cache.tenant", "\"x-tenant\"")
        .route("name = \"writes\"\nmatch = { methods = [\"POST\", \"PUT\", \"DELETE\"] }")
        .every(CACHED);
    let sidecar = setup.start();
    let tenant = "x-tenant: a\r\n";
    for (at, (path, fields)) in
        [("/a", ""), ("/a", tenant), ("/named", ""), ("/refused", ""), ("/a?q", "")].into_iter().enumerate()
    {
        Raw::ask(sidecar.jobs(), get(path, fields)).await;
        stores(&sidecar, at as u32 + 1).await;
    }
    for path in ["/a", "/refused"] {
        let post = format!("POST {path} HTTP/1.1\r\nhost: service\r\ncontent-length: 0\r\n\r\n");
        Raw::ask(sidecar.jobs(), post).await;
    }
    assert_eq!(counted.load(Ordering::SeqCst), 1);
    for (path, fields, expected) in
        [("/a", "", "1"), ("/a", tenant, "1"), ("/named", "", "1"), ("/refused", "", "0"), ("/a?q", "", "0")]
    {
        assert_eq!(Raw::ask(sidecar.jobs(), get(path, fields)).await.text(), expected, "{path} {fields}");
    }
    assert_eq!(sidecar.metric(r#"adumbra_cache_dropped_answers_total{reason="invalidated"}"#).await, 3.0);
}

#[tokio::test]
async fn an_operator_can_purge() {
    let origin = Origin::answering(|_| fresh("x")).await;
    let token = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(token.path(), "a-token-that-nobody-guesses").expect("there is room");
    let sidecar = cached(&origin).set("listen.admin_token", format!("{:?}", token.path())).start();
    for (at, path) in ["/d/a", "/d/b", "/e"].into_iter().enumerate() {
        sidecar.get(path).await;
        stores(&sidecar, at as u32 + 1).await;
    }
    let admin = sidecar.admin();
    let known = "authorization: Bearer a-token-that-nobody-guesses\r\n";
    let purge = async |query: &str, fields: &str| {
        let request =
            format!("POST /cache/purge?{query} HTTP/1.1\r\nhost: {admin}\r\ncontent-length: 0\r\n{fields}\r\n");
        let answer = Raw::ask(admin, request).await;
        (answer.status, answer.text())
    };
    assert_eq!(purge("all=true", &format!("origin: http://evil.example\r\n{known}")).await.0, 403);
    assert_eq!(purge("all=true", "").await.0, 401);
    assert_eq!(purge("everything=true", known).await.0, 400);
    assert_eq!(purge("url=http://service/d/a", known).await, (200, "{\"purged\":1}\n".to_owned()));
    assert_eq!(purge("prefix=http://service/d/", known).await, (200, "{\"purged\":1}\n".to_owned()));
    assert_eq!(purge("url=http://service/nothing", known).await, (200, "{\"purged\":0}\n".to_owned()));
    assert_eq!(status(&sidecar.get("/e").await), HIT);
    assert_eq!(purge("all=true", known).await, (200, "{\"purged\":1}\n".to_owned()));
    assert_eq!(status(&sidecar.get("/e").await), STORED);
}

#[tokio::test]
async fn the_cache_is_turned_on_and_off_and_its_bounds_follow_the_file() {
    let origin = Origin::answering(|_| fresh(vec![b'x'; 30_000])).await;
    let off = Setup::alone(origin.url()).every("");
    let on = cached(&origin);
    let edited = Edited::start(&off);
    let sidecar = &edited.sidecar;
    assert!(sidecar.get("/0").await.values("cache-status").is_empty());
    edited.edit(&on).await;
    for n in 0..8 {
        sidecar.get(&format!("/{n}")).await;
        stores(sidecar, n + 1).await;
    }
    assert_eq!(sidecar.metric("adumbra_cache_entries").await, 8.0);
    edited.edit(&on.clone().set("cache.entries", 3)).await;
    assert_eq!(sidecar.metric("adumbra_cache_entries").await, 3.0);
    assert_eq!(status(&sidecar.get("/7").await), HIT);
    edited.edit(&on.clone().set("cache.memory", "\"64KiB\"")).await;
    assert!(sidecar.metric("adumbra_cache_memory_bytes").await <= 65536.0);
    edited.edit(&off).await;
    assert_eq!(sidecar.metric("adumbra_cache_entries").await, 0.0);
    assert!(sidecar.get("/7").await.values("cache-status").is_empty());
    edited.edit(&on).await;
    assert_eq!(status(&sidecar.get("/7").await), STORED, "what was changed meanwhile nobody has seen");
    let moved = edited.refuses(&on.set("cache.directory", "\"/tmp/elsewhere\"").text()).await;
    assert!(moved["shown"].as_str().is_some_and(|shown| shown.contains("restart")), "{moved}");
}
