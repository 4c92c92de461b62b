//! Shadows between two sidecars.

use tests::{Origin, Raw, Reply, Setup, Sidecar, within};

use super::{GET, ON, asked, assert_ended, assert_idle, assert_logged, assert_sums_match, led, post};

/// A near sidecar with its service, and a far one with its own.
async fn two() -> (Origin, Origin, Sidecar, Sidecar) {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).start();
    let near = led(Setup::with_peer(private.url(), &far)).await;
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    (private, public, near, far)
}

/// The far side has counted how a shadow ended.
async fn assert_served(far: &Sidecar, end: &str, times: f64) {
    far.metric_becomes(&format!(r#"adumbra_shadows_served_total{{end="{end}"}}"#), times).await;
}

#[tokio::test]
async fn a_shadow_on_a_far_sidecar_overlaps_and_is_cancelled_there() {
    let (private, public, near, far) = two().await;
    let mut client = asked(&near, post("hello")).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    assert_eq!(shadow.request.body, b"hello");
    assert_eq!(shadow.request.values("via").len(), 2, "it came through both");
    assert_eq!(shadow.request.field("x-forwarded-for"), "127.0.0.1", "and only the first spoke of the client");
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.decision().network, "private");
    shadow.gone().await;
    assert_ended(&near, "public", "cancelled", 1.0).await;
    assert_sums_match(&near).await;
    far.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
}

#[tokio::test]
async fn a_shadow_on_a_far_sidecar_is_adopted_when_it_has_answered() {
    let (private, public, near, _far) = two().await;
    let mut client = asked(&near, GET).await;
    let (mut lead, shadow) = (private.next().await, public.next().await);
    shadow.release(Reply::ok("shadow").trailer("x-sum", "1")).await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "shadow");
    assert_eq!(answer.decision().said(), ("public", "shadow_finished", "adopt"));
    lead.gone().await;
    assert_ended(&near, "public", "adopted", 1.0).await;
    assert_logged(&near, &answer.decision(), "lead", &["public"]).await;
    assert_eq!((private.begun(), public.begun()), (1, 1));
}

#[tokio::test]
async fn a_shadow_on_a_far_sidecar_is_adopted_by_what_it_shows_and_outlives_its_lease() {
    let (private, public, near, far) = two().await;
    let mut client = asked(&near, GET).await;
    let (mut lead, mut shadow) = (private.next().await, public.next().await);
    // The far sidecar takes it from its service, the near one asks for it.
    shadow.progress(0.9).await;
    lead.gone().await;
    assert_eq!(public.running(), 1);
    let body = vec![b'x'; 3 << 20];
    let releasing = tokio::spawn(shadow.release(Reply::ok(body.clone())));
    let answer = client.answer().await;
    releasing.await.expect("no panic");
    assert_eq!(answer.decision().said(), ("public", "switched", "adopt"));
    assert_eq!(answer.body.len(), body.len());
    assert_served(&far, "finished", 1.0).await;
    assert_eq!(far.sum("adumbra_jobs_total", &[]).await, 0.0, "the job is the near one's");
}

#[tokio::test]
async fn a_serving_sidecar_gives_what_is_asked_but_no_more_than_its_own_limits() {
    let public = Origin::held().await;
    let limits = r#"{ cpu = "20%", memory = "64MiB", bytes_per_second = "1KiB", window = "10s" }"#;
    let far = Setup::alone(public.url()).unset("shadow.serve.window").unset("shadow.serve.bytes_per_second");
    let far = far.set("shadow.serve", limits).start();
    let mut asker = Raw::connect(far.peers()).await;
    asker.write(shadow("greedy", 4000)).await;
    let running = public.next().await;
    let status = Raw::ask(far.peers(), "GET /.well-known/adumbra/dispatch/greedy HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let said: serde_json::Value = serde_json::from_slice(&status.body).expect("JSON");
    // It asked for two cores and a megabyte a second; of memory and time it asked for less than it could have.
    let expected = serde_json::json!({ "cpu": 0.2, "memory": 1_000_000, "bytes_per_s": 1024.0, "window_ms": 4000 });
    assert_eq!(said["caps"], expected, "{said}");
    running.release(Reply::ok("ran")).await;
    let answer = asker.answer().await;
    assert_eq!(answer.values("adumbra-granted"), ["cpu=0.2; memory=1000000; bytes_per_s=1024; window_ms=4000"]);
    assert_eq!(far.metric("adumbra_shadows_clamped_total").await, 1.0);
}

#[tokio::test]
async fn urgency_buys_a_level_of_shadow_and_the_patient_have_none() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).set("shadow.serve.cpu", r#""50%""#).start();
    let near = Setup::with_peer(private.url(), &far).set("shadow.levels.high.cpu", r#""80%""#);
    let near = near.every(&format!("{ON}\nurgency = {{ most = 0, least = 7 }}")).start();
    near.swap_model(tests::model::open(1000.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    // The far side gives half a core at the most: only at the highest level more than that is asked of it.
    for (urgency, level, shadows, clamped) in [(3, "medium", 1, 0.0), (0, "high", 2, 1.0), (7, "off", 2, 1.0)] {
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\npriority: u={urgency}\r\n\r\n");
        let mut client = asked(&near, request).await;
        let lead = private.next().await;
        if level != "off" {
            drop(public.next().await);
        }
        lead.release(Reply::ok("lead")).await;
        let line = near.logged(&client.answer().await.decision()).await;
        assert_eq!((line["urgency"].as_u64(), line["level"].as_str()), (Some(urgency), Some(level)), "{line}");
        assert_eq!(line["plan"], if level == "off" { "direct" } else { "lead" }, "{line}");
        assert_eq!((public.begun(), far.metric("adumbra_shadows_clamped_total").await), (shadows, clamped), "{level}");
    }
}

#[tokio::test]
async fn a_transferred_job_runs_where_it_lands() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let far = Setup::two(public.url(), private.url()).every(super::ON).start();
    // The far one would send every job away, were it asked as by a client.
    far.swap_model(tests::model::settled(1000.0, 1.0));
    let near = Setup::with_peer(private.url(), &far).every(super::ON).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let answer = near.get("/").await;
    assert_eq!(answer.text(), "public");
    assert_eq!(answer.decision().said(), ("public", "cheaper", "send"));
    assert_eq!(private.begun(), 0);
    let line = &far.decisions(1).await[0];
    assert_eq!((line["reason"].as_str(), line["plan"].as_str()), (Some("last_hop"), Some("direct")));
}

/// A shadow as another sidecar would ask for it.
fn shadow(id: &str, window_ms: u32) -> String {
    format!(
        "GET / HTTP/1.1\r\nhost: a\r\nadumbra-shadow: id={id}; level=high; cpu=2; memory=1000000; bytes_per_s=1000000; \
         window_ms={window_ms}\r\n\r\n"
    )
}

#[tokio::test]
async fn a_shadow_that_nobody_adopts_or_cancels_ends_with_its_lease() {
    let public = Origin::held().await;
    let far = Setup::alone(public.url()).start();
    let mut orphaned = Raw::connect(far.peers()).await;
    orphaned.write(shadow("orphan", 10)).await;
    public.next().await.gone().await;
    let answer = orphaned.answer().await;
    assert_eq!(answer.status, 504, "{}", answer.text());
    far.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
}

#[tokio::test]
async fn an_adopted_shadow_has_no_lease() {
    let public = Origin::held().await;
    let far = Setup::alone(public.url()).start();
    let mut kept = Raw::connect(far.peers()).await;
    kept.write(shadow("kept", 10)).await;
    let adopted = public.next().await;
    let adopt = "POST /.well-known/adumbra/adopt/kept HTTP/1.1\r\nhost: adumbra\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(Raw::ask(far.peers(), adopt).await.status, 204);
    // One that was started after it has outlived its lease, so its own would be over, too.
    let mut orphaned = Raw::connect(far.peers()).await;
    orphaned.write(shadow("orphan", 10)).await;
    public.next().await.gone().await;
    adopted.release(Reply::ok("kept")).await;
    assert_eq!(kept.answer().await.text(), "kept");
}

#[tokio::test]
async fn the_far_side_spends_a_permit_of_its_own_or_says_that_nothing_ran() {
    let public = Origin::held().await;
    let far = Setup::alone(public.url()).set("networks.private.shadows", r#"{ in_flight = 1 }"#).start();
    let mut first = Raw::connect(far.peers()).await;
    first.write(shadow("first", 10_000)).await;
    let running = public.next().await;
    let refused = Raw::ask(far.peers(), shadow("second", 10_000)).await;
    assert_eq!((refused.status, refused.field("adumbra-not-executed")), (503, "1"));
    assert_eq!(far.metric(r#"adumbra_shadows_refused_total{network="private",reason="in_flight"}"#).await, 1.0);
    running.release(Reply::ok("first")).await;
    assert_eq!(first.answer().await.text(), "first");
    assert_eq!(public.begun(), 1);
}

#[tokio::test]
async fn a_far_side_that_refuses_a_shadow_costs_the_job_nothing() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).set("networks.private.shadows", r#"{ in_flight = 0 }"#).start();
    let near = led(Setup::with_peer(private.url(), &far)).await;
    let mut client = asked(&near, GET).await;
    let lead = private.next().await;
    assert_idle(&near, "public").await;
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    assert_ended(&near, "public", "failed", 1.0).await;
    assert_eq!(near.metric(r#"adumbra_shadows_refused_total{network="public",reason="not_executed"}"#).await, 1.0);
    assert_eq!(public.begun(), 0);
}

#[tokio::test]
async fn the_peers_listener_takes_nothing_but_what_sidecars_send() {
    let public = Origin::named("here").await;
    let far = Setup::alone(public.url()).start();
    for request in [
        GET,
        "GET / HTTP/1.1\r\nhost: a\r\nadumbra-shadow: id=a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nadumbra-transfer: a b\r\n\r\n",
    ] {
        let answer = Raw::ask(far.peers(), request).await;
        assert_eq!(answer.status, 403, "{request:?}: {}", answer.text());
    }
    assert_eq!(public.begun(), 0);
}

#[tokio::test]
async fn a_stranger_cannot_ask_what_sidecars_ask() {
    let private = Origin::named("here").await;
    let sidecar = Setup::alone(private.url()).start();
    let answer = within("it is answered", sidecar.get("/.well-known/adumbra/load")).await;
    assert_eq!(answer.text(), "here", "it is a path like any other");
}

#[tokio::test]
async fn the_far_ledger_has_a_shadow_until_its_answer_ends() {
    let public = Origin::held().await;
    let far = Setup::alone(public.url()).start();
    let mut client = Raw::connect(far.peers()).await;
    client.write(shadow("kept", 10_000)).await;
    let mut running = public.next().await;
    running.begin_chunked("").await;
    assert_eq!(client.head().await.status, 200);
    let in_flight = r#"adumbra_network_in_flight{network="private"}"#;
    assert_eq!(far.metric(in_flight).await, 1.0);
    running.end_chunked().await;
    assert_eq!(client.chunk().await, None);
    far.metric_becomes(in_flight, 0.0).await;
}

#[tokio::test]
async fn a_shadow_is_no_job_where_it_is_served() {
    let public = Origin::held().await;
    let budget = r#"{ in_flight = 1, per_second = 1000.0, bytes_per_second = "1GiB" }"#;
    let far = Setup::alone(public.url()).set("networks.private.shadows", budget).start();
    let ask = async |id: &str, window_ms: u32| {
        let mut client = Raw::connect(far.peers()).await;
        client.write(shadow(id, window_ms)).await;
        client
    };
    let mut whole = ask("whole", 10_000).await;
    let running = public.next().await;
    assert_eq!(ask("refused", 10_000).await.answer().await.status, 503);
    running.release(Reply::ok("whole")).await;
    assert_eq!(whole.answer().await.text(), "whole");
    assert_served(&far, "finished", 1.0).await;
    for begun in [false, true] {
        let mut cut = ask(if begun { "cut-late" } else { "cut-early" }, 10_000).await;
        let mut running = public.next().await;
        if begun {
            running.begin_chunked("").await;
            assert_eq!(cut.head().await.status, 200);
        }
        drop(cut);
        running.gone().await;
        assert_served(&far, "cut", if begun { 2.0 } else { 1.0 }).await;
    }
    let mut broken = ask("broken", 10_000).await;
    public.next().await.break_off();
    assert_eq!(broken.answer().await.status, 502);
    let mut orphaned = ask("orphaned", 1).await;
    public.next().await.gone().await;
    assert_eq!(orphaned.answer().await.status, 504);
    for end in ["finished", "refused", "failed", "lease_over"] {
        assert_served(&far, end, 1.0).await;
    }
    let metrics = far.metrics().await;
    let of_jobs = ["adumbra_jobs_total", "adumbra_decisions_total", "adumbra_plans_total", "adumbra_job_seconds_count"];
    for (series, value) in metrics {
        assert!(value == 0.0 || !of_jobs.iter().any(|name| series.starts_with(name)), "{series} is {value}");
    }
    assert_eq!(far.ask("/decisions").await.text().trim(), "[]", "nothing was recorded");
}

#[tokio::test]
async fn an_adopted_shadow_spends_no_permit_where_it_is_served() {
    let public = Origin::held().await;
    let budget = r#"{ in_flight = 1, per_second = 1000.0, bytes_per_second = "1GiB" }"#;
    let far = Setup::alone(public.url()).set("networks.private.shadows", budget).start();
    for (id, begun) in [("early", false), ("late", true)] {
        let mut kept = Raw::connect(far.peers()).await;
        kept.write(shadow(id, 10_000)).await;
        let mut adopted = public.next().await;
        if begun {
            adopted.begin_chunked("").await;
            assert_eq!(kept.head().await.status, 200);
        }
        let adopt =
            format!("POST /.well-known/adumbra/adopt/{id} HTTP/1.1\r\nhost: adumbra\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(Raw::ask(far.peers(), adopt).await.status, 204);
        let mut other = Raw::connect(far.peers()).await;
        other.write(shadow(&format!("beside-{id}"), 10_000)).await;
        public.next().await.release(Reply::ok("other")).await;
        assert_eq!(other.answer().await.text(), "other");
        drop(kept);
        adopted.gone().await;
    }
}

#[tokio::test]
async fn what_a_served_shadow_moves_is_charged_to_the_budget_here() {
    let public = Origin::answering(|_| Reply::ok(vec![b'x'; 200_000])).await;
    let budget = r#"{ in_flight = 64, per_second = 1000.0, bytes_per_second = "1KiB" }"#;
    let far = Setup::alone(public.url()).set("networks.private.shadows", budget).start();
    let first = Raw::ask(far.peers(), shadow("first", 60_000)).await;
    assert_eq!((first.status, first.body.len()), (200, 200_000));
    let second = Raw::ask(far.peers(), shadow("second", 60_000)).await;
    let refused = second.values("adumbra-not-executed").len();
    assert_eq!((second.status, refused), (503, 1), "{} bytes", second.body.len());
}
