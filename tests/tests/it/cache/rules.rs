//! What is stored, what is given of it, and what is not stored.

use tests::client::{Client, whole};
use tests::piped::empty;
use tests::{Origin, Raw, Reply, Setup};

use super::{CACHED, HIT, STORED, asked, cached, fresh, get, result, status, stores};

#[tokio::test]
async fn a_hit_is_no_job_and_says_what_it_is() {
    let origin = Origin::answering(|_| fresh("hello").field("age", "7").field("x-a", "1").field("x-a", "2")).await;
    let sidecar = cached(&origin).start();
    let first = sidecar.get("/").await;
    assert_eq!((status(&first), first.text().as_str(), first.field("age")), (STORED.to_owned(), "hello", "7"));
    let decided = first.decision();
    stores(&sidecar, 1).await;
    for _ in 0..3 {
        let hit = sidecar.get("/").await;
        assert_eq!((hit.status, status(&hit).as_str(), hit.text().as_str()), (200, HIT, "hello"));
        assert_eq!((hit.field("content-length"), hit.values("x-a")), ("5", vec!["1", "2"]));
        assert!(hit.field("age").parse::<u64>().expect("a number") >= 7);
        assert!(hit.field("cache-status").contains("; ttl=35"), "{}", hit.field("cache-status"));
        assert!(hit.values("adumbra-decision").is_empty(), "nothing was decided");
    }
    assert_eq!((origin.begun(), result(&sidecar, "hit").await, result(&sidecar, "miss").await), (1, 3.0, 1.0));
    sidecar.logged(&decided).await;
    assert_eq!(sidecar.decisions(1).await.len(), 1, "hits are in no log of decisions");
    let status = sidecar.status().await;
    assert_eq!((&status["cache"]["hits"], &status["cache"]["entries"]), (&3.into(), &1.into()));
}

#[tokio::test]
async fn nothing_is_stored_that_was_not_said_to_be_for_everybody() {
    let refusals: [(&str, &str, Reply, &str); 9] = [
        ("no_store", "", fresh("x").field("cache-control", "No-Store"), "miss"),
        ("private", "", fresh("x").field("cache-control", "private=\"x\""), "miss"),
        ("set_cookie", "", fresh("x").field("set-cookie", "a=b"), "miss"),
        ("credentials", "authorization: Basic YTpi\r\n", fresh("x"), "miss"),
        ("credentials", "cookie: a=b\r\n", fresh("x"), "miss"),
        ("vary", "", fresh("x").field("vary", "*"), "miss"),
        ("no_lifetime", "", Reply::ok("x").field("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"), "miss"),
        ("framing", "", fresh("x").until_close(), "miss"),
        ("trailers", "", fresh("x").trailer("x-sum", "1"), "miss"),
    ];
    for (why, fields, reply, how) in refusals {
        let origin = Origin::answering(move |_| reply.clone()).await;
        let sidecar = cached(&origin).start();
        let first = Raw::ask(sidecar.jobs(), get("/", fields)).await;
        assert_eq!((first.text().as_str(), status(&first)), ("x", "adumbra; fwd=uri-miss".to_owned()), "{why}");
        let second = Raw::ask(sidecar.jobs(), get("/", fields)).await;
        assert_eq!((status(&second).as_str(), origin.begun()), ("adumbra; fwd=bypass; detail=passing", 2), "{why}");
        assert_eq!(sidecar.metric(&format!(r#"adumbra_cache_not_stored_total{{reason="{why}"}}"#)).await, 1.0);
        assert_eq!((result(&sidecar, how).await, result(&sidecar, "bypass").await), (1.0, 1.0));
    }
}

#[tokio::test]
async fn what_is_public_is_given_to_those_who_say_who_they_are_and_nothing_else_is() {
    let origin = Origin::answering(|request| match request.target.as_str() {
        "/public" => Reply::ok("all").field("cache-control", "public, max-age=60"),
        _ => fresh(if request.values("cookie").is_empty() { "anybody" } else { "somebody" }),
    })
    .await;
    let sidecar = cached(&origin).start();
    for path in ["/public", "/own"] {
        sidecar.get(path).await;
    }
    stores(&sidecar, 2).await;
    let with_cookie = Raw::ask(sidecar.jobs(), get("/public", "cookie: a=b\r\n")).await;
    assert_eq!((status(&with_cookie).as_str(), origin.begun()), (HIT, 2));
    let own = Raw::ask(sidecar.jobs(), get("/own", "cookie: a=b\r\n")).await;
    assert_eq!((own.text().as_str(), origin.begun()), ("somebody", 3));
    assert_eq!(sidecar.get("/own").await.text(), "anybody", "and what was stored for all is there for all");
}

#[tokio::test]
async fn ranges_conditions_and_heads_are_answered_from_what_is_stored_and_the_connection_goes_on() {
    let body: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let reply = fresh(body.clone()).field("etag", "\"v1\"").field("content-type", "x/y");
    let origin = Origin::answering(move |_| reply.clone()).await;
    let sidecar = cached(&origin).start();
    sidecar.get("/").await;
    stores(&sidecar, 1).await;
    let mut client = Raw::connect(sidecar.jobs()).await;
    for _ in 0..2 {
        client.write(get("/", "range: bytes=100-199\r\n")).await;
        let part = client.answer().await;
        assert_eq!((part.status, part.field("content-range"), part.body.len()), (206, "bytes 100-199/200000", 100));
        assert!(part.body == body[100..200]);
        client.write(get("/", "range: bytes=200000-\r\n")).await;
        let none = client.answer().await;
        assert_eq!((none.status, none.field("content-range"), none.body.len()), (416, "bytes */200000", 0));
        client.write(get("/", "if-none-match: W/\"v1\"\r\n")).await;
        let unchanged = client.answer().await;
        assert_eq!(
            (unchanged.status, unchanged.field("etag"), unchanged.values("content-type").len()),
            (304, "\"v1\"", 0)
        );
        client.write("HEAD / HTTP/1.1\r\nhost: service\r\n\r\n").await;
        let head = client.answer_to("HEAD").await;
        assert_eq!((head.status, head.field("content-length"), status(&head).as_str()), (200, "200000", HIT));
        client.write(get("/", "if-range: \"v2\"\r\nrange: bytes=0-1\r\n")).await;
        let all = client.answer().await;
        assert!(all.status == 200 && all.body == body);
    }
    assert_eq!(origin.begun(), 1);
    // What is not stored is for the service to cut, to judge and to describe.
    for (request, why) in [
        (get("/other", "range: bytes=0-1\r\n"), "range"),
        (get("/other", "if-match: \"v1\"\r\n"), "condition"),
        ("HEAD /other HTTP/1.1\r\nhost: service\r\n\r\n".to_owned(), "head"),
    ] {
        let mut client = asked(&sidecar, &request).await;
        let answer = client.answer_to(request[..4].trim_end()).await;
        assert_eq!(status(&answer), format!("adumbra; fwd=bypass; detail={why}"));
    }
}

#[tokio::test]
async fn both_versions_get_the_same_from_the_cache() {
    let origin = Origin::answering(|_| fresh("hello").field("x-a", "1")).await;
    let sidecar = cached(&origin).start();
    let url = format!("http://{}/", sidecar.jobs());
    let request = || http::Request::get(&url).body(empty()).expect("a request");
    let stored = Client::one(sidecar.jobs()).await.send(request()).await;
    whole(stored.into_body()).await;
    stores(&sidecar, 1).await;
    for mut client in [Client::one(sidecar.jobs()).await, Client::two(sidecar.jobs()).await] {
        let hit = client.send(request()).await;
        assert!(hit.headers()["cache-status"].to_str().expect("text").starts_with(HIT));
        assert_eq!(
            (hit.headers()["x-a"].as_bytes(), hit.headers()["content-length"].as_bytes()),
            (&b"1"[..], &b"5"[..])
        );
        assert_eq!(&*whole(hit.into_body()).await.0, b"hello");
    }
    assert_eq!(origin.begun(), 1);
}

#[tokio::test]
async fn answers_that_vary_are_told_apart_and_a_client_cannot_make_many() {
    let origin = Origin::answering(|request| fresh(request.values("x-kind").join("")).field("vary", "X-Kind")).await;
    let sidecar = cached(&origin).set("cache.variants", 4).start();
    for n in 0..40 {
        let field = format!("x-kind: {n}\r\n");
        let answer = Raw::ask(sidecar.jobs(), get("/", &field)).await;
        assert_eq!(answer.text(), n.to_string());
        stores(&sidecar, n + 1).await;
        let again = Raw::ask(sidecar.jobs(), get("/", &field)).await;
        assert_eq!((again.text(), status(&again).as_str()), (n.to_string(), HIT));
    }
    assert_eq!(sidecar.metric("adumbra_cache_entries").await, 4.0);
    assert_eq!(sidecar.metric(r#"adumbra_cache_dropped_answers_total{reason="evicted"}"#).await, 36.0);
    assert_eq!(Raw::ask(sidecar.jobs(), get("/", "x-kind: 0\r\n")).await.text(), "0");
}

#[tokio::test]
async fn what_a_client_says_about_age_is_heard() {
    let origin = Origin::answering(|_| fresh("x").field("age", "100")).await;
    let sidecar = cached(&origin).start();
    let absent = Raw::ask(sidecar.jobs(), get("/", "cache-control: only-if-cached\r\n")).await;
    assert_eq!((absent.status, absent.field("adumbra-problem"), origin.begun()), (504, "not-cached", 0));
    sidecar.get("/").await;
    stores(&sidecar, 1).await;
    for (said, begun) in [("only-if-cached", 1), ("max-age=3000", 1), ("min-fresh=3000", 1), ("max-stale=9", 1)] {
        let answer = Raw::ask(sidecar.jobs(), get("/", &format!("cache-control: {said}\r\n"))).await;
        assert_eq!((status(&answer).as_str(), origin.begun()), (HIT, begun), "{said}");
    }
    for (said, begun) in [("max-age=50", 2), ("min-fresh=3550", 3), ("no-cache", 4)] {
        let answer = Raw::ask(sidecar.jobs(), get("/", &format!("cache-control: {said}\r\n"))).await;
        assert_eq!((answer.text().as_str(), origin.begun()), ("x", begun), "{said}");
        stores(&sidecar, begun as u32).await;
    }
    let answer = Raw::ask(sidecar.jobs(), get("/", "cache-control: no-store\r\n")).await;
    assert_eq!((status(&answer).as_str(), origin.begun()), ("adumbra; fwd=bypass; detail=no_store", 5));
}

#[tokio::test]
async fn a_route_that_is_not_cached_is_left_alone() {
    let origin = Origin::answering(|_| fresh("x")).await;
    let setup = Setup::alone(origin.url())
        .route(&format!("name = \"cached\"\nmatch = {{ path = \"/cached*\" }}\n{CACHED}"))
        .every("");
    let sidecar = setup.start();
    for _ in 0..2 {
        let answer = sidecar.get("/other").await;
        assert!(answer.values("cache-status").is_empty() && answer.values("age").is_empty());
    }
    assert_eq!(origin.begun(), 2);
    sidecar.get("/cached").await;
    stores(&sidecar, 1).await;
    assert_eq!(status(&sidecar.get("/cached").await), HIT);
}

#[tokio::test]
async fn an_adopted_shadows_answer_is_never_stored() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let setup = Setup::two(private.url(), public.url()).every("shadow = \"on\"\nrepeatable = true\ncache = true");
    let sidecar = setup.start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, get("/", "")).await;
    let (mut lead, shadow) = (private.next().await, public.next().await);
    shadow.release(fresh("shadow")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().action.as_str()), ("shadow", "adopt"));
    lead.gone().await;
    assert_eq!(sidecar.metric(r#"adumbra_cache_not_stored_total{reason="shadow"}"#).await, 1.0);
    let mut client = asked(&sidecar, get("/", "")).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    lead.release(fresh("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    shadow.gone().await;
    stores(&sidecar, 1).await;
    let hit = sidecar.get("/").await;
    assert_eq!((hit.text().as_str(), status(&hit).as_str(), public.begun()), ("lead", HIT, 2));
}
