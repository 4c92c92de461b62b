//! Jobs that are answered `202` and done later.

mod endpoints;

use std::time::Duration;

use tests::{Origin, Raw, Reply, Setup, Sidecar, eventually};

const RULE: &str =
    "shadow = \"on\"\nrepeatable = true\nasynchronous = { done = \"json:/state=done\", delete = \"DELETE\" }";
const NO_RULE: &str = "shadow = \"on\"\nrepeatable = true";

fn post(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: me\r\ncontent-length: 5\r\n\r\nhello")
}

fn accepted(at: &str) -> Reply {
    Reply::of(202, "").field("location", at)
}

async fn asked(sidecar: &Sidecar, request: impl AsRef<[u8]>) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(request).await;
    client
}

async fn assert_counted(sidecar: &Sidecar, event: &str, times: f64) {
    sidecar.metric_becomes(&format!(r#"adumbra_asynchronous_jobs_total{{event="{event}"}}"#), times).await;
}

/// Two held services, of which the far one is cheaper until the test says otherwise.
async fn sent_away(lines: &str) -> (Origin, Origin, Sidecar) {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(lines).start();
    sidecar.swap_model(tests::model::settled(1000.0, 1.0));
    (private, public, sidecar)
}

/// From now on everything goes home, but for what is about a job elsewhere.
fn home_is_cheaper(sidecar: &Sidecar) {
    sidecar.swap_model(tests::model::settled(1.0, 1000.0));
}

#[tokio::test]
async fn later_requests_go_to_the_network_that_runs_the_job_until_and_after_it_is_done() {
    let (private, public, sidecar) = sent_away(RULE).await;
    let mut client = asked(&sidecar, post("/jobs")).await;
    public.next().await.release(accepted("/jobs/7?key=a")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("location")), (202, "/jobs/7?key=a"));
    home_is_cheaper(&sidecar);
    let in_flight = r#"adumbra_network_in_flight{network="public"}"#;
    sidecar.metric_becomes(in_flight, 1.0).await;
    for (at, body, status) in [
        ("/jobs/7?key=a", "", 202),
        ("/jobs/7?key=a", r#"{"state":"running"}"#, 200),
        ("/jobs/7?key=a", r#"{"state":"done"}"#, 200),
        ("/jobs/7?key=a", r#"{"state":"done"}"#, 200),
    ] {
        sidecar.metric_becomes(in_flight, if public.begun() < 4 { 1.0 } else { 0.0 }).await;
        let mut client = asked(&sidecar, format!("GET {at} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        public.next().await.release(Reply::of(status, body)).await;
        let answer = client.answer().await;
        assert_eq!((answer.text().as_str(), answer.decision().said()), (body, ("public", "located", "send")));
    }
    assert_counted(&sidecar, "accepted", 1.0).await;
    assert_counted(&sidecar, "done", 1.0).await;
    sidecar.metric_becomes(in_flight, 0.0).await;
    let mut other = asked(&sidecar, post("/jobs")).await;
    private.next().await.release(Reply::ok("home")).await;
    assert_eq!(other.answer().await.text(), "home", "a new job is not about the old one");
}

#[tokio::test]
async fn a_later_request_that_no_route_takes_follows_its_job_as_well() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .route(&format!("name = \"jobs\"\nmatch = {{ path = \"/jobs\", methods = [\"POST\"] }}\n{RULE}"))
        .route("name = \"kept\"\nmatch = { path = \"/jobs/7/kept\" }\nresidency = [\"private\"]")
        .start();
    sidecar.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = asked(&sidecar, post("/jobs")).await;
    public.next().await.release(accepted("/jobs/7")).await;
    assert_eq!(client.answer().await.status, 202);
    // What a route keeps at home stays there, whatever it is about; and so does what is about nothing.
    for (at, there) in
        [("/jobs/7", &public), ("/jobs/7/kept", &private), ("/jobs/8", &private), ("/jobs/7/log", &public)]
    {
        let mut client = asked(&sidecar, format!("GET {at} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        there.next().await.release(Reply::ok("there")).await;
        assert_eq!(client.answer().await.text(), "there", "{at}");
    }
}

#[tokio::test]
async fn a_location_is_known_by_what_lies_below_it_and_by_its_absolute_form() {
    let (private, public, sidecar) = sent_away("shadow = \"on\"\nrepeatable = true").await;
    let own = public.url();
    for (at, later, known) in [
        ("/jobs/1".to_owned(), "/jobs/1/result?part=2", true),
        (format!("{own}/jobs/2"), "/jobs/2", true),
        ("http://a/jobs/3".to_owned(), "/jobs/3", true),
        ("jobs/4".to_owned(), "/jobs/4", true),
        ("http://elsewhere.example/jobs/5".to_owned(), "/jobs/5", false),
        ("/".to_owned(), "/jobs/6", false),
        ("/jobs".to_owned(), "/jobs/7", false),
    ] {
        sidecar.swap_model(tests::model::settled(1000.0, 1.0));
        let mut client = asked(&sidecar, post("/jobs")).await;
        public.next().await.release(accepted(&at)).await;
        assert_eq!(client.answer().await.field("location"), at, "it is passed on as it is");
        home_is_cheaper(&sidecar);
        let mut client = asked(&sidecar, format!("GET {later} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        let there = if known { &public } else { &private };
        there.next().await.release(Reply::ok("here")).await;
        assert_eq!(client.answer().await.text(), "here", "{at} {later}");
    }
    assert_counted(&sidecar, "accepted", 4.0).await;
    assert_counted(&sidecar, "unlocated", 3.0).await;
    // Without a rule, any answer below 400 but 202 means that it is done.
    assert_counted(&sidecar, "done", 4.0).await;
}

#[tokio::test]
async fn an_accepted_shadow_is_adopted_with_its_location_and_the_lead_is_deleted_at_its_own() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(RULE).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, post("/jobs")).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    shadow.release(accepted("/jobs/shadow")).await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.field("location"), answer.decision().said()),
        ("/jobs/shadow", ("public", "shadow_finished", "adopt"))
    );
    // It has lost, and says only now that it was accepted.
    lead.release(accepted("/jobs/lead")).await;
    let delete = private.next().await;
    assert_eq!((delete.request.method.as_str(), delete.request.target.as_str()), ("DELETE", "/jobs/lead"));
    assert_eq!((delete.request.field("authorization"), delete.request.has("content-length")), ("me", false));
    delete.release(Reply::bare(204)).await;
    assert_counted(&sidecar, "twin_deleted", 1.0).await;
    let mut client = asked(&sidecar, "GET /jobs/shadow HTTP/1.1\r\nhost: a\r\n\r\n").await;
    public.next().await.release(Reply::ok(r#"{"state":"done"}"#)).await;
    assert_eq!(client.answer().await.decision().network, "public");
    assert_counted(&sidecar, "done", 1.0).await;
    assert_eq!((private.begun(), public.begun()), (2, 2));
}

#[tokio::test]
async fn a_shadow_that_is_accepted_after_it_lost_is_deleted_or_counted_as_kept() {
    for (status, event) in [(204, "twin_deleted"), (404, "twin_deleted"), (500, "twin_kept")] {
        let (private, public) = (Origin::held().await, Origin::held().await);
        let sidecar = Setup::two(private.url(), public.url()).every(RULE).start();
        sidecar.swap_model(tests::model::open(1000.0));
        let mut client = asked(&sidecar, post("/jobs")).await;
        let (lead, shadow) = (private.next().await, public.next().await);
        lead.release(accepted("/jobs/lead")).await;
        assert_eq!(client.answer().await.decision().network, "private");
        shadow.release(accepted("/jobs/shadow")).await;
        let delete = public.next().await;
        assert_eq!((delete.request.method.as_str(), delete.request.target.as_str()), ("DELETE", "/jobs/shadow"));
        delete.release(if status == 204 { Reply::bare(204) } else { Reply::of(status, "") }).await;
        assert_counted(&sidecar, event, 1.0).await;
        eventually("its permit is free", async || sidecar.sum("adumbra_shadows_in_flight", &[]).await == 0.0).await;
    }
}

#[tokio::test]
async fn a_route_without_a_rule_is_not_shadowed_after_its_first_202() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(NO_RULE).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, post("/jobs")).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    lead.release(accepted("/jobs/1")).await;
    assert_eq!(client.answer().await.status, 202);
    shadow.gone().await;
    assert_eq!(sidecar.status().await["asynchronous"]["routes_not_shadowed"], serde_json::json!(["every"]));
    let mut client = asked(&sidecar, post("/jobs")).await;
    private.next().await.release(accepted("/jobs/2")).await;
    let answer = client.answer().await;
    assert_eq!(sidecar.logged(&answer.decision()).await["plan"], "direct");
    assert_eq!((public.begun(), sidecar.status().await["asynchronous"]["located"].as_u64()), (1, Some(2)));
}

#[tokio::test]
async fn an_accepted_shadow_of_a_route_without_a_rule_is_counted_as_kept() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(NO_RULE).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, post("/jobs")).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    // Its head is here, its body is not: it cannot be adopted yet.
    shadow.write(b"HTTP/1.1 202 Accepted\r\nlocation: /jobs/s\r\ncontent-length: 9\r\n\r\n").await;
    sidecar.metric_becomes(r#"adumbra_shadows_in_flight{network="public"}"#, 1.0).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    assert_counted(&sidecar, "twin_kept", 1.0).await;
    assert_eq!(sidecar.status().await["asynchronous"]["routes_not_shadowed"], serde_json::json!(["every"]));
}

#[tokio::test]
async fn a_job_that_was_accepted_on_a_far_sidecar_is_asked_for_there() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).start();
    let near = Setup::with_peer(private.url(), &far).every(RULE).start();
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = asked(&near, post("/jobs")).await;
    public.next().await.release(accepted("/jobs/far")).await;
    assert_eq!(client.answer().await.status, 202);
    home_is_cheaper(&near);
    let mut client = asked(&near, "GET /jobs/far HTTP/1.1\r\nhost: a\r\n\r\n").await;
    public.next().await.release(Reply::ok(r#"{"state":"done"}"#)).await;
    assert_eq!(client.answer().await.decision().said(), ("public", "located", "send"));
    assert_counted(&near, "done", 1.0).await;
    assert_counted(&far, "accepted", 0.0).await;
}

#[tokio::test]
async fn a_job_holds_a_slot_only_where_its_route_can_tell_its_end_and_while_somebody_asks() {
    for (lines, holds) in [(NO_RULE, false), (RULE, true)] {
        let (_private, public, sidecar) = sent_away(lines).await;
        let mut client = asked(&sidecar, post("/jobs")).await;
        public.next().await.release(accepted("/jobs/7")).await;
        assert_eq!(client.answer().await.status, 202);
        let in_flight = r#"adumbra_network_in_flight{network="public"}"#;
        sidecar.metric_becomes(in_flight, if holds { 1.0 } else { 0.0 }).await;
        // Nobody asks, and half a minute is the least that is waited for that.
        let free = async {
            while sidecar.metric(in_flight).await > 0.0 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(4 * tests::BOUND, free).await.expect("its slot is given up");
        home_is_cheaper(&sidecar);
        let mut client = asked(&sidecar, "GET /jobs/7 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        public.next().await.release(Reply::ok(r#"{"state":"done"}"#)).await;
        assert_eq!(client.answer().await.decision().said(), ("public", "located", "send"), "its location is known");
        assert_counted(&sidecar, "done", 1.0).await;
    }
}

#[tokio::test]
async fn jobs_of_one_location_are_each_counted_once() {
    let (_private, public, sidecar) = sent_away(RULE).await;
    for _ in 0..3 {
        let mut client = asked(&sidecar, post("/jobs")).await;
        public.next().await.release(accepted("/jobs/7")).await;
        assert_eq!(client.answer().await.status, 202);
    }
    home_is_cheaper(&sidecar);
    let mut client = asked(&sidecar, "GET /jobs/7 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    public.next().await.release(Reply::ok(r#"{"state":"done"}"#)).await;
    assert_eq!(client.answer().await.status, 200);
    for (event, times) in [("accepted", 3.0), ("forgotten", 2.0), ("done", 1.0)] {
        assert_counted(&sidecar, event, times).await;
    }
    assert_eq!(sidecar.metric(r#"adumbra_network_in_flight{network="public"}"#).await, 0.0);
}

#[tokio::test]
async fn what_a_client_deletes_is_over_and_teaches_nothing() {
    let (_private, public, sidecar) = sent_away(RULE).await;
    let mut client = asked(&sidecar, post("/jobs")).await;
    public.next().await.release(accepted("/jobs/7")).await;
    assert_eq!(client.answer().await.status, 202);
    home_is_cheaper(&sidecar);
    let mut client = asked(&sidecar, "DELETE /jobs/7 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    public.next().await.release(Reply::bare(204)).await;
    assert_eq!(client.answer().await.decision().network, "public");
    assert_counted(&sidecar, "deleted", 1.0).await;
    sidecar.metric_becomes(r#"adumbra_network_in_flight{network="public"}"#, 0.0).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_looked_into_passes_whole_and_is_counted() {
    let (_private, public, sidecar) = sent_away(RULE).await;
    let mut client = asked(&sidecar, post("/jobs")).await;
    public.next().await.release(accepted("/jobs/7")).await;
    assert_eq!(client.answer().await.status, 202);
    let long = format!(r#"{{"state":"done","log":"{}"}}"#, "x".repeat(64 * 1024));
    let plain = || Reply::ok("soon");
    for (reply, reason, times) in [
        (Reply::ok(long.clone()), "too_long", 1.0),
        (plain(), "not_json", 1.0),
        (plain().field("content-encoding", "gzip"), "coded", 1.0),
        (plain(), "not_json", 2.0),
    ] {
        let mut client = asked(&sidecar, "GET /jobs/7 HTTP/1.1\r\nhost: a\r\n\r\n").await;
        public.next().await.release(reply).await;
        assert_eq!(client.answer().await.body.len(), if reason == "too_long" { long.len() } else { "soon".len() });
        sidecar.metric_becomes(&format!(r#"adumbra_asynchronous_unread_total{{reason="{reason}"}}"#), times).await;
    }
    assert_counted(&sidecar, "done", 0.0).await;
}
