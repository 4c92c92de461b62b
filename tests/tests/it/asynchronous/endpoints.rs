//! Of several endpoints of a network, the one that accepted a job is the one that is asked and told about it.

use tests::{Origin, Raw, Reply, Setup, Sidecar, eventually};

use super::{RULE, accepted, asked, assert_counted, home_is_cheaper, post};

/// Two networks, of which the far one is two endpoints, and cheaper until the test says otherwise.
async fn sent_to_one_of_two(lines: &str) -> (Origin, [Origin; 2], Sidecar) {
    let private = Origin::held().await;
    let public = [Origin::held().await, Origin::held().await];
    let urls = format!(r#"["{}", "{}"]"#, public[0].url(), public[1].url());
    let setup = Setup::two(private.url(), "").set("networks.public.upstreams", urls);
    let sidecar = setup.set("networks.public.health", "{ failures = 1 }").every(lines).start();
    sidecar.swap_model(tests::model::settled(1000.0, 1.0));
    (private, public, sidecar)
}

/// A job is accepted by the second endpoint, while the first is busy; after that it has no more to do than the other.
async fn accepted_by_the_second() -> (Origin, [Origin; 2], Sidecar) {
    let (private, [first, second], sidecar) = sent_to_one_of_two(RULE).await;
    let mut busy = asked(&sidecar, post("/jobs")).await;
    let held = first.next().await;
    let mut client = asked(&sidecar, post("/jobs")).await;
    second.next().await.release(accepted("/jobs/7")).await;
    assert_eq!(client.answer().await.status, 202);
    held.release(Reply::ok("busy")).await;
    assert_eq!(busy.answer().await.text(), "busy");
    (private, [first, second], sidecar)
}

#[tokio::test]
async fn a_job_is_asked_for_and_deleted_at_the_very_endpoint_that_accepted_it() {
    let (_private, [first, second], sidecar) = accepted_by_the_second().await;
    for request in ["GET /jobs/7", "GET /jobs/7/log", "DELETE /jobs/7"] {
        let mut client = asked(&sidecar, format!("{request} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let (method, _) = request.split_once(' ').expect("a method");
        let reply = if method == "DELETE" { Reply::bare(204) } else { Reply::of(202, "") };
        second.next().await.release(reply).await;
        assert_eq!(client.answer().await.decision().said(), ("public", "located", "send"), "{request}");
    }
    assert_counted(&sidecar, "deleted", 1.0).await;
    assert_eq!((first.begun(), second.begun()), (1, 4));
}

#[tokio::test]
async fn another_endpoint_that_does_not_know_a_job_says_nothing_of_it() {
    let (_private, [first, second], sidecar) = accepted_by_the_second().await;
    // It goes, and is known to have gone after the first that meets it.
    drop(second);
    let ask = "GET /jobs/7 HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut unlucky = asked(&sidecar, ask).await;
    assert!(unlucky.answer().await.status >= 500);
    let mut client = asked(&sidecar, ask).await;
    first.next().await.release(Reply::of(404, "")).await;
    assert_eq!(client.answer().await.status, 404);
    let mut client = asked(&sidecar, ask).await;
    first.next().await.release(Reply::ok(r#"{"state":"done"}"#)).await;
    assert_eq!(client.answer().await.status, 200);
    assert_counted(&sidecar, "done", 1.0).await;
    assert_counted(&sidecar, "failed", 0.0).await;
}

/// The same, with a shadow on the far one's second endpoint while its first is busy.
async fn shadowed_on_the_second(strip: &str) -> ([Origin; 2], Sidecar, Raw, [tests::Exchange; 2]) {
    let (private, public, sidecar) = {
        let private = Origin::held().await;
        let public = [Origin::held().await, Origin::held().await];
        let urls = format!(r#"["{}", "{}"]"#, public[0].url(), public[1].url());
        let setup = Setup::two(private.url(), "").set("networks.public.upstreams", urls);
        let budget = format!(
            r#"{{ in_flight = 64, per_second = 1000.0, bytes_per_second = "1GiB", strip_headers = [{strip}] }}"#
        );
        (private, public, setup.set("networks.public.shadows", budget).every(RULE).start())
    };
    sidecar.swap_model(tests::model::open(1000.0));
    let mut busy = asked(&sidecar, post("/jobs")).await;
    let (lead, shadow) = (private.next().await, public[0].next().await);
    let client = asked(&sidecar, post("/jobs")).await;
    let both = [private.next().await, public[1].next().await];
    lead.release(Reply::ok("busy")).await;
    assert_eq!(busy.answer().await.text(), "busy");
    drop(shadow);
    eventually("one shadow is left", async || sidecar.sum("adumbra_shadows_in_flight", &[]).await == 1.0).await;
    (public, sidecar, client, both)
}

#[tokio::test]
async fn a_shadow_that_lost_is_deleted_at_the_very_endpoint_that_accepted_it_and_with_no_more_than_it_was_sent() {
    for (strip, sent) in [("", true), (r#""authorization""#, false)] {
        let ([first, second], sidecar, mut client, [lead, shadow]) = shadowed_on_the_second(strip).await;
        lead.release(accepted("/jobs/lead")).await;
        assert_eq!(client.answer().await.decision().network, "private");
        assert_eq!(shadow.request.has("authorization"), sent);
        shadow.release(accepted("/jobs/shadow")).await;
        let delete = second.next().await;
        assert_eq!((delete.request.method.as_str(), delete.request.target.as_str()), ("DELETE", "/jobs/shadow"));
        assert_eq!(delete.request.has("authorization"), sent);
        delete.release(Reply::of(404, "")).await;
        assert_counted(&sidecar, "twin_deleted", 1.0).await;
        assert_eq!((first.begun(), second.begun()), (1, 2));
    }
}

#[tokio::test]
async fn an_adopted_shadow_is_asked_for_at_the_very_endpoint_that_accepted_it() {
    let ([first, second], sidecar, mut client, [_lead, shadow]) = shadowed_on_the_second("").await;
    shadow.release(accepted("/jobs/shadow")).await;
    assert_eq!(client.answer().await.decision().said(), ("public", "shadow_finished", "adopt"));
    let mut client = asked(&sidecar, "GET /jobs/shadow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    second.next().await.release(Reply::ok(r#"{"state":"done"}"#)).await;
    assert_eq!(client.answer().await.decision().said(), ("public", "located", "send"));
    assert_counted(&sidecar, "done", 1.0).await;
    assert_eq!((first.begun(), second.begun()), (1, 2));
}

#[tokio::test]
async fn a_far_sidecar_asks_the_very_endpoint_that_accepted_a_job_and_counts_none_of_its_own() {
    for adopted in [false, true] {
        let private = Origin::held().await;
        let public = [Origin::held().await, Origin::held().await];
        let urls = format!(r#"["{}", "{}"]"#, public[0].url(), public[1].url());
        let far = Setup::alone("").set("networks.private.upstreams", urls).start();
        let near = Setup::with_peer(private.url(), &far).every(RULE).start();
        near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
        let model = if adopted { tests::model::open(1000.0) } else { tests::model::settled(1000.0, 1.0) };
        let mut busy = asked(&far, post("/other")).await;
        let held = public[0].next().await;
        near.swap_model(model);
        let mut client = asked(&near, post("/jobs")).await;
        public[1].next().await.release(accepted("/jobs/7")).await;
        assert_eq!((client.answer().await.status, private.begun()), (202, usize::from(adopted)));
        held.release(Reply::ok("busy")).await;
        assert_eq!(busy.answer().await.text(), "busy");
        home_is_cheaper(&near);
        let mut client = asked(&near, "GET /jobs/7 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        public[1].next().await.release(Reply::ok(r#"{"state":"done"}"#)).await;
        assert_eq!(client.answer().await.decision().said(), ("public", "located", "send"));
        assert_counted(&near, "done", 1.0).await;
        assert_eq!(far.sum("adumbra_asynchronous_jobs_total", &[]).await, 0.0);
    }
}

#[tokio::test]
async fn a_far_sidecar_says_when_it_could_not_ask_the_endpoint_that_has_a_job() {
    let private = Origin::held().await;
    let [first, second] = [Origin::held().await, Origin::held().await];
    let urls = format!(r#"["{}", "{}"]"#, first.url(), second.url());
    let far = Setup::alone("").set("networks.private.upstreams", urls);
    let far = far.set("networks.private.health", r#"{ failures = 1, open_for = "1h" }"#).start();
    let near = Setup::with_peer(private.url(), &far).every(RULE).start();
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let mut busy = asked(&far, post("/other")).await;
    let held = first.next().await;
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = asked(&near, post("/jobs")).await;
    second.next().await.release(accepted("/jobs/7")).await;
    assert_eq!(client.answer().await.status, 202);
    held.release(Reply::ok("busy")).await;
    assert_eq!(busy.answer().await.text(), "busy");
    drop(second);
    let ask = "GET /jobs/7 HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut unlucky = asked(&near, ask).await;
    assert!(unlucky.answer().await.status >= 500);
    let mut client = asked(&near, ask).await;
    first.next().await.release(Reply::of(404, "").field("adumbra-job-not-known", "1")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.values("adumbra-job-not-known").len()), (404, 0));
    let mut client = asked(&near, ask).await;
    first.next().await.release(Reply::ok(r#"{"state":"done"}"#)).await;
    assert_eq!(client.answer().await.status, 200);
    assert_counted(&near, "done", 1.0).await;
    assert_counted(&near, "failed", 0.0).await;
}

#[tokio::test]
async fn a_far_execution_that_lost_is_not_taken_to_be_deleted_by_who_never_knew_it() {
    for (is_marked, event) in [(false, "twin_deleted"), (true, "twin_kept")] {
        let (private, public) = (Origin::held().await, Origin::held_as_sidecar().await);
        let near = Setup::two(private.url(), "")
            .unset("networks.public.upstreams")
            .set("networks.public.sidecars", format!("[\"{}\"]", public.url()))
            .every(RULE)
            .start();
        let (shadow, shadows) = tokio::sync::oneshot::channel();
        let answering = tokio::spawn(async move {
            let mut shadow = Some(shadow);
            loop {
                let exchange = public.next_ever().await;
                let gone = Reply::of(404, "");
                match (exchange.request.method.as_str(), exchange.request.target.as_str()) {
                    ("DELETE", "/jobs/shadow") if is_marked => {
                        exchange.release(gone.field("adumbra-job-not-known", "1")).await;
                    }
                    (_, "/.well-known/adumbra/load") => {
                        exchange.release(Reply::ok(r#"{"in_flight":0,"capacity":0}"#)).await;
                    }
                    ("POST", "/jobs") => drop(shadow.take().expect("one shadow").send(exchange)),
                    _ => exchange.release(gone).await,
                }
            }
        });
        near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
        near.swap_model(tests::model::open(1000.0));
        let mut client = asked(&near, post("/jobs")).await;
        let (lead, shadow) = (private.next().await, shadows.await.expect("it is shadowed"));
        lead.release(accepted("/jobs/lead")).await;
        assert_eq!(client.answer().await.decision().network, "private");
        shadow.release(accepted("/jobs/shadow")).await;
        assert_counted(&near, event, 1.0).await;
        answering.abort();
    }
}
