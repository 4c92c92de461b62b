//! When a shadow becomes the real job, and that one execution answers.

use tests::{Origin, Raw, Reply, Setup};

use super::{GET, ON, asked, assert_ended, assert_idle, assert_logged, assert_sums_match, led, pair, pair_with, post};

#[tokio::test]
async fn a_lead_and_its_shadow_run_at_once_and_the_loser_is_cancelled() {
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    assert_eq!((private.running(), public.running()), (1, 1), "they overlap");
    assert_eq!(sidecar.metric(r#"adumbra_shadows_in_flight{network="public"}"#).await, 1.0);
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "lead"));
    assert_eq!(answer.decision().said(), ("private", "lead_answered", "keep"));
    shadow.gone().await;
    assert_ended(&sidecar, "public", "cancelled", 1.0).await;
    assert_sums_match(&sidecar).await;
    assert_logged(&sidecar, &answer.decision(), "lead", &["public"]).await;
    assert_eq!((private.begun(), public.begun()), (1, 1));
}

#[tokio::test]
async fn a_shadow_that_has_the_whole_answer_first_is_adopted_and_the_lead_is_cancelled() {
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, post("hello")).await;
    let (mut lead, shadow) = (private.next().await, public.next().await);
    shadow.release(Reply::ok("shadow").field("x-from", "public")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str(), answer.field("x-from")), (200, "shadow", "public"));
    assert_eq!(answer.decision().said(), ("public", "shadow_finished", "adopt"));
    lead.gone().await;
    assert_ended(&sidecar, "public", "adopted", 1.0).await;
    assert_sums_match(&sidecar).await;
    assert_logged(&sidecar, &answer.decision(), "lead", &["public"]).await;
    assert_eq!((private.begun(), public.begun()), (1, 1), "each ran once, and one answered");
    assert_eq!(sidecar.metric(r#"adumbra_jobs_total{network="public",outcome="answered"}"#).await, 1.0);
}

#[tokio::test]
async fn a_shadow_that_shows_itself_to_be_faster_is_adopted_before_it_answers() {
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, GET).await;
    let (mut lead, mut shadow) = (private.next().await, public.next().await);
    shadow.progress(0.9).await;
    lead.gone().await;
    assert_eq!(public.running(), 1, "the shadow goes on");
    shadow.release(Reply::ok("shadow")).await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "shadow");
    assert_eq!(answer.decision().said(), ("public", "switched", "adopt"));
    assert_ended(&sidecar, "public", "adopted", 1.0).await;
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn what_an_adopted_shadow_answers_is_what_a_fresh_run_answers() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let replies = [
        Reply::ok(body.clone()).field("x-a", "1").field("set-cookie", "a=b").field("set-cookie", "c=d"),
        Reply::ok(body.clone()).chunked(10_000).trailer("x-sum", "9"),
        Reply::of(303, "over there").field("location", "/there"),
        Reply::bare(204).field("etag", "\"a\""),
        Reply::ok(body).until_close(),
    ];
    for reply in replies {
        let fresh = {
            let reply = reply.clone();
            let origin = Origin::answering(move |_| reply.clone()).await;
            let sidecar = Setup::alone(origin.url()).start();
            Raw::ask(sidecar.jobs(), "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n").await
        };
        let (private, public, sidecar) = pair().await;
        let mut client = asked(&sidecar, "GET / HTTP/1.1\r\nhost: a\r\nte: trailers\r\n\r\n").await;
        let (mut lead, mut shadow) = (private.next().await, public.next().await);
        shadow.progress(0.9).await;
        lead.gone().await;
        let releasing = tokio::spawn(shadow.release(reply));
        let adopted = client.answer().await;
        releasing.await.expect("no panic");
        assert_eq!(adopted.decision().action, "adopt");
        assert_eq!((adopted.status, &adopted.trailers), (fresh.status, &fresh.trailers));
        assert!(adopted.body == fresh.body, "the bytes are the same");
        let fields = |answer: &tests::Answer| {
            let mut fields = answer.fields.clone();
            fields.retain(|(name, _)| name != "adumbra-decision" && name != "date");
            fields.sort();
            fields
        };
        assert_eq!(fields(&adopted), fields(&fresh));
    }
}

#[tokio::test]
async fn an_adopted_shadow_that_comes_to_an_error_gives_way_to_a_fresh_run() {
    for status in [404, 409, 500] {
        let (private, public, sidecar) = pair().await;
        let mut client = asked(&sidecar, GET).await;
        let (mut lead, mut shadow) = (private.next().await, public.next().await);
        shadow.progress(0.9).await;
        lead.gone().await;
        shadow.release(Reply::of(status, "not here")).await;
        private.next().await.release(Reply::ok("home")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "home".to_owned()), "{status}");
        assert_eq!((answer.decision().network.as_str(), answer.decision().reason.as_str()), ("private", "failover"));
        assert_eq!((private.begun(), public.begun()), (2, 1));
    }
}

#[tokio::test]
async fn an_adopted_shadow_that_was_no_longer_read_is_read_to_its_end() {
    // Its answer is larger than what is kept of it, so it stopped being read before it was adopted.
    let (private, public, sidecar) = pair_with(|setup| setup.set("shadow.answer_bytes", r#""64KiB""#)).await;
    let mut client = asked(&sidecar, GET).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    let body: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let releasing = tokio::spawn(shadow.release(Reply::ok(body.clone())));
    // The lead breaks, so the shadow takes over.
    lead.break_off();
    let answer = client.answer().await;
    releasing.await.expect("no panic");
    assert_eq!(answer.decision().said(), ("public", "lead_failed", "adopt"));
    assert!(answer.body == body, "{} bytes", answer.body.len());
}

#[tokio::test]
async fn a_shadow_takes_over_from_a_lead_that_breaks() {
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, post("hello")).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    lead.break_off();
    shadow.release(Reply::ok("shadow")).await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "shadow");
    assert_eq!((answer.decision().network.as_str(), answer.decision().action.as_str()), ("public", "adopt"));
    assert_eq!((private.begun(), public.begun()), (1, 1), "the shadow was there: nothing was sent afresh");
}

#[tokio::test]
async fn a_shadow_that_answers_with_an_error_is_never_adopted() {
    for status in [401, 404, 409, 429, 500, 503] {
        let (private, public, sidecar) = pair().await;
        let mut client = asked(&sidecar, GET).await;
        let (lead, shadow) = (private.next().await, public.next().await);
        shadow.release(Reply::of(status, "no")).await;
        assert_idle(&sidecar, "public").await;
        lead.release(Reply::ok("lead")).await;
        assert_eq!(client.answer().await.text(), "lead", "{status}");
        assert_ended(&sidecar, "public", "failed", 1.0).await;
    }
}

#[tokio::test]
async fn a_shadow_whose_service_claims_that_it_did_not_execute_is_taken_at_its_answer() {
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, GET).await;
    let (mut lead, shadow) = (private.next().await, public.next().await);
    shadow.release(Reply::ok("shadow").field("adumbra-not-executed", "1")).await;
    assert_eq!(client.answer().await.text(), "shadow");
    lead.gone().await;
    assert_ended(&sidecar, "public", "adopted", 1.0).await;
}

#[tokio::test]
async fn a_lead_that_has_begun_to_answer_is_never_left() {
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, GET).await;
    let (mut lead, mut shadow) = (private.next().await, public.next().await);
    lead.begin_chunked("").await;
    shadow.gone().await;
    assert_eq!(client.head().await.status, 200);
    lead.chunk(b"lead").await;
    lead.end_chunked().await;
    assert_eq!(client.chunk().await.as_deref(), Some(&b"lead"[..]));
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn at_the_end_of_the_window_the_shadow_ends_and_the_lead_goes_on() {
    let (private, public, sidecar) = pair_with(|setup| {
        setup.set("shadow.window_min", r#""200ms""#).set("shadow.levels.medium.window", r#""200ms""#)
    })
    .await;
    let mut client = asked(&sidecar, GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    shadow.gone().await;
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!(answer.decision().said(), ("private", "window_ended", "keep"));
    assert_ended(&sidecar, "public", "cancelled", 1.0).await;
}

#[tokio::test]
async fn a_held_job_is_sent_by_adopting_one_of_its_probes() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(&format!("{ON}\nhold = true")).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, post("hello")).await;
    let (mut at_home, away) = (private.next().await, public.next().await);
    assert_eq!((&at_home.request.body, &away.request.body), (&b"hello".to_vec(), &b"hello".to_vec()));
    away.release(Reply::ok("public")).await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "public");
    assert_eq!(answer.decision().said(), ("public", "shadow_finished", "adopt"));
    at_home.gone().await;
    assert_logged(&sidecar, &answer.decision(), "probe", &["private", "public"]).await;
    assert_eq!((private.begun(), public.begun()), (1, 1), "no third execution");
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn a_held_job_whose_probes_fail_is_sent_afresh_once() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(&format!("{ON}\nhold = true")).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, GET).await;
    let (at_home, away) = (private.next().await, public.next().await);
    away.break_off();
    assert_idle(&sidecar, "public").await;
    assert!(!private.has_next().await, "the real job is held while a probe may still show something");
    at_home.break_off();
    let fresh = tokio::select! {
        fresh = private.next() => fresh,
        fresh = public.next() => fresh,
    };
    fresh.release(Reply::ok("fresh")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().action.as_str()), ("fresh", "send"));
    assert_eq!(private.begun() + public.begun(), 3);
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn a_held_job_is_not_held_longer_than_its_window() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("shadow.window_min", r#""200ms""#)
        .set("shadow.levels.medium.window", r#""200ms""#)
        .every(&format!("{ON}\nhold = true"))
        .start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(&sidecar, GET).await;
    let (at_home, mut away) = (private.next().await, public.next().await);
    away.gone().await;
    at_home.release(Reply::ok("private")).await;
    let answer = client.answer().await;
    assert_eq!(answer.decision().said(), ("private", "window_ended", "adopt"));
}

#[tokio::test]
async fn a_route_that_only_observes_shadows_and_never_acts() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("shadow.sample_share", "1.0")
        .every("shadow = \"observe\"\nrepeatable = true")
        .start();
    sidecar.swap_model(tests::model::hardly_settled(1000.0, 1.0));
    let mut client = asked(&sidecar, GET).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    shadow.release(Reply::ok("shadow")).await;
    assert_ended(&sidecar, "public", "finished", 1.0).await;
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), ("lead", "private"));
    assert_logged(&sidecar, &answer.decision(), "sample", &["public"]).await;
}

#[tokio::test]
async fn a_sample_runs_on_after_the_job_and_is_never_answered_with() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = led(Setup::two(private.url(), public.url()).set("shadow.sample_share", "1.0")).await;
    // No regret, so no lead: only the declared share is shadowed.
    sidecar.swap_model(tests::model::hardly_settled(10.0, 10.0));
    let mut client = asked(&sidecar, GET).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "lead");
    assert_logged(&sidecar, &answer.decision(), "sample", &["public"]).await;
    assert_eq!(public.running(), 1, "the sample is there to be finished");
    shadow.release(Reply::ok("shadow")).await;
    assert_ended(&sidecar, "public", "finished", 1.0).await;
    assert_sums_match(&sidecar).await;
}

/// Jobs of some seconds, of which a rate says more than the prediction, and a window in which that shows.
fn watched(setup: Setup) -> Setup {
    setup
        .set("shadow.window_share", "0.25")
        .set("shadow.window_min", r#""2s""#)
        .set("shadow.levels.medium.window", r#""2s""#)
        .set("pricing.time_value_per_second", "10.0")
        .every(ON)
}

/// Shows again and again that next to nothing is done, until `moved`.
async fn stuck<T>(lead: &mut tests::Exchange, moved: impl Future<Output = T>) -> T {
    let mut moved = std::pin::pin!(moved);
    loop {
        match tokio::time::timeout(std::time::Duration::from_millis(50), moved.as_mut()).await {
            Ok(moved) => return moved,
            Err(_) => lead.offer(b"HTTP/1.1 102 Processing\r\nadumbra-progress: 0.02\r\n\r\n").await,
        }
    }
}

#[tokio::test]
async fn a_lead_that_is_stuck_is_left_for_its_shadow() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = watched(Setup::two(private.url(), public.url())).start();
    sidecar.swap_model(tests::model::open_and_wide(4.0));
    let mut client = asked(&sidecar, post("hello")).await;
    let (mut lead, shadow) = (private.next().await, public.next().await);
    let moved = async {
        tokio::select! {
            () = assert_idle(&sidecar, "private") => None,
            fresh = public.next() => Some(fresh),
        }
    };
    let afresh = stuck(&mut lead, moved).await;
    assert!(afresh.is_none(), "what runs there already is ahead of a fresh run");
    shadow.release(Reply::ok("shadow")).await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "shadow");
    assert_eq!(answer.decision().said(), ("public", "switched", "adopt"));
    assert_eq!((private.begun(), public.begun()), (1, 1));
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn a_lead_that_is_stuck_is_left_for_a_fresh_run_where_no_shadow_runs() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).set("networks.private.shadows", r#"{ in_flight = 0 }"#).start();
    let near = watched(Setup::with_peer(private.url(), &far)).start();
    near.swap_model(tests::model::open_and_wide(4.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let mut client = asked(&near, post("hello")).await;
    let mut lead = private.next().await;
    near.metric_becomes(r#"adumbra_shadows_refused_total{network="public",reason="not_executed"}"#, 1.0).await;
    let fresh = stuck(&mut lead, public.next()).await;
    assert_eq!(fresh.request.body, b"hello");
    lead.gone().await;
    fresh.release(Reply::ok("fresh")).await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "fresh");
    assert_eq!(answer.decision().said(), ("public", "switched", "send"));
    assert_sums_match(&near).await;
}

#[tokio::test]
async fn a_lead_that_is_slow_but_not_beyond_its_like_is_kept() {
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, GET).await;
    let (mut lead, shadow) = (private.next().await, public.next().await);
    lead.progress(0.5).await;
    shadow.break_off();
    assert_ended(&sidecar, "public", "failed", 1.0).await;
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.decision().network, "private");
    assert_eq!((private.begun(), public.begun()), (1, 1));
}

#[tokio::test]
async fn the_prediction_of_an_adopted_job_is_scored() {
    for whole_first in [false, true] {
        let (private, public, sidecar) = pair().await;
        let mut client = asked(&sidecar, GET).await;
        let (mut lead, mut shadow) = (private.next().await, public.next().await);
        if !whole_first {
            shadow.progress(0.9).await;
            lead.gone().await;
        }
        shadow.release(Reply::ok("shadow")).await;
        assert_eq!(client.answer().await.text(), "shadow");
        lead.gone().await;
        sidecar.metric_becomes(r#"adumbra_prediction_log_error_count{network="public"}"#, 1.0).await;
        assert_eq!(sidecar.metric(r#"adumbra_prediction_log_error_count{network="private"}"#).await, 0.0);
    }
}
