//! What a client might try, to have others given what is not theirs, or a body taken for a request.

use tests::{Origin, Raw, Reply};

use super::{HIT, asked, cached, fresh, get, status, stores};

/// A service that builds its answer from all that a request says of where it goes, as many do.
async fn reflecting() -> Origin {
    Origin::answering(|request| {
        let said = ["host", "x-forwarded-host", "x-forwarded-proto", "x-original-url", "forwarded", "x-tenant"]
            .map(|name| request.values(name).join("+"));
        fresh(said.join("|"))
    })
    .await
}

#[tokio::test]
async fn what_a_client_says_about_where_it_goes_poisons_nobody() {
    let origin = reflecting().await;
    let sidecar = cached(&origin).start();
    for poison in [
        "x-forwarded-host: evil\r\n",
        "X-Forwarded-Proto: evil\r\n",
        "x-original-url: /evil\r\n",
        "x_forwarded_host: evil\r\n",
        "forwarded: host=evil\r\n",
        "x-http-method-override: DELETE\r\n",
        "connection: x-forwarded-for, x-tenant\r\nx-tenant: evil\r\n",
    ] {
        let poisoned = Raw::ask(sidecar.jobs(), get("/", poison)).await;
        assert_eq!(poisoned.status, 200, "{poison}");
        let clean = sidecar.get("/").await;
        assert!(!clean.text().contains("evil"), "{poison}: {}", clean.text());
    }
    let other = Raw::ask(sidecar.jobs(), "GET / HTTP/1.1\r\nhost: other\r\n\r\n").await;
    assert!(other.text().starts_with("other|"));
    let absolute = Raw::ask(sidecar.jobs(), "GET http://other/ HTTP/1.1\r\nhost: service\r\n\r\n").await;
    assert_eq!(absolute.status, 400, "two names are one too many");
    assert!(sidecar.get("/").await.text().starts_with("service|"));
}

#[tokio::test]
async fn one_tenant_is_never_given_what_another_was_answered() {
    let origin = reflecting().await;
    let sidecar = cached(&origin).set("cache.tenant", "\"x-tenant\"").start();
    let ask = async |tenant: &str| Raw::ask(sidecar.jobs(), get("/", tenant)).await;
    for (at, tenant) in ["x-tenant: a\r\n", "x-tenant: b\r\n", "", "x-tenant: \r\n"].into_iter().enumerate() {
        ask(tenant).await;
        stores(&sidecar, at as u32 + 1).await;
        let hit = ask(tenant).await;
        assert_eq!((status(&hit).as_str(), origin.begun()), (HIT, at + 1), "{tenant:?}");
    }
    // One that names its tenant away is not believed to have none.
    let hidden = ask("connection: x-tenant\r\nx-tenant: a\r\n").await;
    assert_eq!(status(&hidden), "adumbra; fwd=bypass; detail=unkeyed");
}

#[tokio::test]
async fn a_body_that_nobody_reads_never_becomes_a_request() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/stored" => fresh("stored"),
        target => Reply::ok(format!("{} {} {}", request.method, target, request.body.len())),
    })
    .await;
    let sidecar = cached(&origin).start();
    sidecar.get("/stored").await;
    stores(&sidecar, 1).await;
    let smuggled = get("/smuggled", "");
    let length = smuggled.len();
    let mut client = Raw::connect(sidecar.jobs()).await;
    for framed in [
        format!("GET /stored HTTP/1.1\r\nhost: service\r\ncontent-length: {length}\r\n\r\n{smuggled}"),
        format!(
            "GET /stored HTTP/1.1\r\nhost: service\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n{smuggled}\r\n0\r\n\r\n"
        ),
        format!("HEAD /stored HTTP/1.1\r\nhost: service\r\ncontent-length: {length}\r\n\r\n{smuggled}"),
    ] {
        client.write(&framed).await;
        let answer = client.answer_to(framed.split(' ').next().unwrap_or_default()).await;
        assert_eq!(status(&answer), "adumbra; fwd=bypass; detail=body", "{framed}");
        // The connection goes on with what is really the next request.
        client.write(get("/stored", "")).await;
        let next = client.answer().await;
        assert_eq!((status(&next).as_str(), next.text().as_str()), (HIT, "stored"), "{framed}");
    }
    // Several at once, hits and misses, are answered in their order.
    let mut many = String::new();
    for _ in 0..3 {
        many += &get("/stored", "");
        many += &get("/other", "");
    }
    client.write(many).await;
    for _ in 0..3 {
        assert_eq!(client.answer().await.text(), "stored");
        assert_eq!(client.answer().await.text(), "GET /other 0");
    }
    assert!(origin.recorded().iter().all(|request| request.target != "/smuggled"));
    // Two framings are refused before anybody looks for anything.
    let both = format!(
        "GET /stored HTTP/1.1\r\nhost: service\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n{smuggled}"
    );
    let refused = String::from_utf8_lossy(&Raw::send(sidecar.jobs(), both).await).into_owned();
    assert!(refused.starts_with("HTTP/1.1 400 ") && refused.matches("HTTP/1.1").count() == 1, "{refused}");
}

#[tokio::test]
async fn what_a_client_makes_up_fills_the_cache_only_to_its_bounds() {
    let origin = Origin::answering(|_| fresh(vec![b'x'; 10_000]).field("x-long", &"y".repeat(2000))).await;
    let setup = cached(&origin).set("cache.memory", "\"200KiB\"").set("cache.entries", 50);
    let sidecar = setup.start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    for n in 0..300 {
        client.write(get(&format!("/?{n}"), "")).await;
        assert_eq!(client.answer().await.body.len(), 10_000);
        assert!(sidecar.metric("adumbra_cache_memory_bytes").await <= 200.0 * 1024.0);
        assert!(sidecar.metric("adumbra_cache_entries").await <= 50.0);
    }
    let long = get(&format!("/?{}", "z".repeat(9000)), "");
    assert_eq!(status(&Raw::ask(sidecar.jobs(), long).await), "adumbra; fwd=bypass; detail=too_long");
    assert!(sidecar.metric(r#"adumbra_cache_dropped_answers_total{reason="evicted"}"#).await > 0.0);
}

#[tokio::test]
async fn an_answer_with_a_head_without_end_is_not_stored() {
    let origin = Origin::answering(|_| fresh("x").field("x-long", &"y".repeat(17_000))).await;
    let sidecar = cached(&origin).start();
    let mut client = asked(&sidecar, get("/", "")).await;
    assert_eq!(client.answer().await.text(), "x");
    assert_eq!(sidecar.metric(r#"adumbra_cache_not_stored_total{reason="head_too_long"}"#).await, 1.0);
}
