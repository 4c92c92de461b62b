//! What may be shadowed, and how much of it: every bound bites, and every bite is counted.

use std::time::Instant;

use tests::{Origin, Raw, Reply, Setup};

use super::{GET, ON, asked, assert_logged, assert_sums_match, led, pair, pair_with, post};

/// A job is planned while there is a permit, another takes it, and the first finds none when its body is whole.
async fn check_refused(budget: &str, reason: &str) {
    let (private, public) = (Origin::held_at_head().await, Origin::held().await);
    let sidecar = led(Setup::two(private.url(), public.url()).set("networks.public.shadows", budget)).await;
    let mut late = asked(&sidecar, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    let mut late_lead = private.next().await;
    let mut soon = asked(&sidecar, "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhelloworld").await;
    let (mut soon_lead, _shadow) = (private.next().await, public.next().await);
    late.write("world").await;
    let refused = format!(r#"adumbra_shadows_refused_total{{network="public",reason="{reason}"}}"#);
    sidecar.metric_becomes(&refused, 1.0).await;
    for (client, lead) in [(&mut late, &mut late_lead), (&mut soon, &mut soon_lead)] {
        assert_eq!(lead.read_rest().await, b"helloworld");
        lead.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlead").await;
        assert_eq!(client.answer().await.text(), "lead");
    }
    assert_eq!(public.begun(), 1, "{reason}");
    assert_eq!(sidecar.metric(r#"adumbra_shadows_started_total{network="public"}"#).await, 1.0);
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn a_shadow_without_a_place_in_flight_is_refused_and_counted() {
    check_refused(r#"{ in_flight = 1, per_second = 1000.0, bytes_per_second = "1GiB" }"#, "in_flight").await;
}

#[tokio::test]
async fn a_shadow_beyond_the_rate_is_refused_and_counted() {
    check_refused(r#"{ in_flight = 9, per_second = 0.01, bytes_per_second = "1GiB" }"#, "rate").await;
}

#[tokio::test]
async fn a_shadow_beyond_the_bytes_is_refused_and_counted() {
    check_refused(r#"{ in_flight = 9, per_second = 1000.0, bytes_per_second = 1 }"#, "bytes").await;
}

#[tokio::test]
async fn without_a_permit_no_shadow_is_planned() {
    let (private, public, sidecar) =
        pair_with(|setup| setup.set("networks.public.shadows", r#"{ in_flight = 0 }"#)).await;
    let mut client = asked(&sidecar, GET).await;
    private.next().await.release(Reply::ok("lead")).await;
    assert_logged(&sidecar, &client.answer().await.decision(), "direct", &[]).await;
    assert_eq!(public.connections(), 0);
}

#[tokio::test]
async fn a_permit_is_free_again_when_its_shadow_has_ended() {
    let (private, public, sidecar) =
        pair_with(|setup| setup.set("networks.public.shadows", r#"{ in_flight = 1, per_second = 1000.0 }"#)).await;
    for _ in 0..3 {
        let mut client = asked(&sidecar, GET).await;
        let (lead, mut shadow) = (private.next().await, public.next().await);
        lead.release(Reply::ok("lead")).await;
        assert_eq!(client.answer().await.text(), "lead");
        shadow.gone().await;
        sidecar.metric_becomes(r#"adumbra_shadows_in_flight{network="public"}"#, 0.0).await;
    }
    assert_eq!((public.begun(), public.most_at_once()), (3, 1));
    assert_sums_match(&sidecar).await;
}

async fn check_unshadowed(change: impl FnOnce(Setup) -> Setup, route: &str) {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let setup = Setup::two(private.url(), public.url()).set("shadow.sample_share", "1.0");
    let sidecar = change(setup).every(route).start();
    sidecar.swap_model(tests::model::open(1000.0));
    for _ in 0..20 {
        let answer = sidecar.get("/").await;
        assert_eq!(answer.text(), "private");
        assert_logged(&sidecar, &answer.decision(), "direct", &[]).await;
    }
    assert_eq!(public.connections(), 0, "{route}");
    assert_eq!(sidecar.metric(r#"adumbra_shadows_started_total{network="public"}"#).await, 0.0);
}

#[tokio::test]
async fn the_kill_switch_ends_all_shadowing() {
    check_unshadowed(|setup| setup.set("shadow.enabled", "false"), ON).await;
}

#[tokio::test]
async fn a_rollout_of_nothing_shadows_nothing() {
    check_unshadowed(|setup| setup, &format!("{ON}\nrollout = \"0%\"")).await;
}

#[tokio::test]
async fn a_route_that_is_off_shadows_nothing() {
    check_unshadowed(|setup| setup, "shadow = \"off\"\nrepeatable = true").await;
}

#[tokio::test]
async fn short_jobs_are_not_shadowed() {
    check_unshadowed(|setup| setup.set("shadow.worthwhile", r#""1h""#), ON).await;
}

#[tokio::test]
async fn a_private_job_leaves_no_byte_on_a_public_network() {
    check_unshadowed(|setup| setup, &format!("{ON}\nresidency = [\"private\"]")).await;
}

#[tokio::test]
async fn a_private_job_stays_even_if_its_network_fails() {
    let (private, public) = (Origin::held().await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).every(&format!("{ON}\nresidency = [\"private\"]")).start();
    let (answer, ()) = tokio::join!(sidecar.get("/"), async { private.next().await.break_off() });
    assert_eq!(answer.status, 502);
    assert_eq!(public.connections(), 0);
}

#[tokio::test]
async fn a_job_that_may_not_run_twice_is_not_shadowed() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).every("shadow = \"on\"").start();
    sidecar.swap_model(tests::model::open(1000.0));
    let answer = Raw::ask(sidecar.jobs(), super::post("hello")).await;
    assert_logged(&sidecar, &answer.decision(), "direct", &[]).await;
    assert_eq!(public.connections(), 0);
}

#[tokio::test]
async fn a_rollout_of_all_shadows_every_job() {
    let (private, public) = (Origin::named("private").await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("shadow.sample_share", "1.0")
        .every(&format!("{ON}\nrollout = \"100%\""))
        .start();
    for _ in 0..10 {
        let answer = sidecar.get("/").await;
        assert_logged(&sidecar, &answer.decision(), "sample", &["public"]).await;
        public.next().await.release(Reply::ok("shadow")).await;
    }
    sidecar.metric_becomes(r#"adumbra_shadows_started_total{network="public"}"#, 10.0).await;
}

#[tokio::test]
async fn a_shadows_body_goes_out_no_faster_than_its_cap() {
    let (private, public) = (Origin::held().await, Origin::held_at_head().await);
    let sidecar =
        led(Setup::two(private.url(), public.url()).set("shadow.levels.medium.bytes_per_second", r#""64KiB""#)).await;
    let began = Instant::now();
    let _client = asked(&sidecar, super::post(&"x".repeat(4 << 20))).await;
    let mut shadow = public.next().await;
    let mut received = 0_usize;
    while began.elapsed().as_secs_f64() < 1.5 {
        received += shadow.read(4096).await.len();
        // Twice what the cap allows, and a burst: only a cap that is not there gives more, however slow this machine is.
        let most = 2.0 * 65_536.0 * (began.elapsed().as_secs_f64() + 0.2);
        assert!((received as f64) <= most, "{received} bytes in {:?}", began.elapsed());
    }
    assert_eq!(private.running(), 1);
}

#[tokio::test]
async fn a_shadows_answer_comes_in_no_faster_than_its_cap_until_it_is_adopted() {
    let (private, public, sidecar) =
        pair_with(|setup| setup.set("shadow.levels.medium.bytes_per_second", r#""16KiB""#)).await;
    let mut client = asked(&sidecar, GET).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    let body = vec![b'x'; 8 << 20];
    let releasing = tokio::spawn(shadow.release(Reply::ok(body.clone())));
    lead.break_off();
    // At the cap this would take eight minutes.
    let answer = client.answer().await;
    assert_eq!(answer.decision().action, "adopt");
    assert_eq!(answer.body.len(), body.len());
    releasing.await.expect("no panic");
}

#[tokio::test]
async fn shadows_do_not_share_connections_with_jobs() {
    // One that runs at home as a shadow of a job led elsewhere, and jobs that run at home.
    let (private, public, sidecar) = pair().await;
    let mut client = asked(&sidecar, GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    lead.release(Reply::ok("lead")).await;
    assert_eq!(client.answer().await.text(), "lead");
    shadow.gone().await;
    assert_eq!((private.connections(), public.connections()), (1, 1));
}

#[tokio::test]
async fn a_shadow_that_has_failed_is_not_counted_as_running_while_its_job_runs() {
    let (private, public, sidecar) = pair().await;
    let _client = asked(&sidecar, GET).await;
    let (_lead, shadow) = (private.next().await, public.next().await);
    shadow.break_off();
    sidecar.metric_becomes(r#"adumbra_shadows_ended_total{network="public",end="failed"}"#, 1.0).await;
    assert_eq!(sidecar.metric(r#"adumbra_shadows_in_flight{network="public"}"#).await, 0.0);
}

/// The mode of each of the first jobs of a sidecar, in the order of their numbers.
async fn modes(jobs: usize) -> Vec<String> {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let sidecar = Setup::two(private.url(), public.url()).every(&format!("{ON}\nrollout = \"30%\"")).start();
    let mut client = Raw::connect(sidecar.jobs()).await;
    for _ in 0..jobs {
        client.write(GET).await;
        client.answer().await;
    }
    let mut lines = sidecar.decisions(jobs).await;
    lines.sort_by_key(|line| line["id"].as_str().map(str::to_owned));
    lines.iter().filter_map(|line| line["mode"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_rollout_in_between_is_drawn_by_a_jobs_number_and_by_nothing_else() {
    let first = modes(300).await;
    let on = first.iter().filter(|mode| *mode == "on").count();
    assert_eq!(first.iter().filter(|mode| *mode == "off").count(), 300 - on);
    assert!((60..=120).contains(&on), "{on} of 300 are about 30 %");
    assert_eq!(first, modes(300).await, "the next sidecar draws the same");
}

#[tokio::test]
async fn all_shadows_of_a_network_draw_on_one_budget_whatever_they_shadow() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("networks.public.shadows", r#"{ in_flight = 3, per_second = 1000.0, bytes_per_second = "1GiB" }"#)
        .route(&format!("name = \"first\"\nmatch = {{ path = \"/first\" }}\n{ON}"))
        .every(ON)
        .start();
    sidecar.swap_model(tests::model::open(1000.0));
    let (mut clients, mut leads) = (Vec::new(), Vec::new());
    for job in 0..8 {
        let path = if job % 2 == 0 { "/first" } else { "/second" };
        clients.push(asked(&sidecar, format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await);
        leads.push(private.next().await);
    }
    let mut shadows = Vec::new();
    for _ in 0..3 {
        shadows.push(public.next().await);
    }
    for (client, lead) in clients.iter_mut().zip(leads) {
        lead.release(Reply::ok("lead")).await;
        assert_eq!(client.answer().await.text(), "lead");
    }
    assert_eq!((private.most_at_once(), public.most_at_once()), (8, 3));
    assert_eq!(public.begun(), 3);
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn what_shadows_were_answered_is_taken_from_the_budget_of_the_next() {
    let budget = r#"{ in_flight = 9, per_second = 1000.0, bytes_per_second = "64KiB" }"#;
    let (private, public) = (Origin::named("private").await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("networks.public.shadows", budget)
        .set("shadow.sample_share", "1.0")
        .every(ON)
        .start();
    assert_logged(&sidecar, &sidecar.get("/").await.decision(), "sample", &["public"]).await;
    // A quarter of an hour's worth, which nobody could know before it came.
    public.next().await.release(Reply::ok(vec![b'x'; 60 << 20])).await;
    sidecar.metric_becomes(r#"adumbra_shadows_ended_total{network="public",end="finished"}"#, 1.0).await;
    assert_logged(&sidecar, &sidecar.get("/").await.decision(), "direct", &[]).await;
    assert_eq!(public.begun(), 1);
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn an_adopted_shadow_spends_no_permit_and_no_bytes_of_the_budget() {
    let budget = r#"{ in_flight = 1, per_second = 1000.0, bytes_per_second = "64KiB" }"#;
    let (private, public, sidecar) = pair_with(|setup| setup.set("networks.public.shadows", budget)).await;
    let mut client = asked(&sidecar, GET).await;
    let (mut lead, mut shadow) = (private.next().await, public.next().await);
    shadow.progress(0.9).await;
    lead.gone().await;
    sidecar.metric_becomes(r#"adumbra_shadows_in_flight{network="public"}"#, 0.0).await;
    // Far more than a second's worth of the budget.
    let body = vec![b'x'; 1 << 20];
    let releasing = tokio::spawn(shadow.release(Reply::ok(body.clone())));
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.read(body.len() / 2).await.len(), body.len() / 2);
    // The rest is still to come when the next job wants a shadow of its own.
    let _next = asked(&sidecar, GET).await;
    let (_lead, _shadow) = (private.next().await, public.next().await);
    assert_eq!(client.read(body.len() / 2).await.len(), body.len() / 2);
    releasing.await.expect("no panic");
    assert_sums_match(&sidecar).await;
}

#[tokio::test]
async fn a_sample_that_got_no_permit_is_not_recorded_as_a_shadow() {
    let (private, public) = (Origin::held_at_head().await, Origin::held().await);
    let budget = r#"{ in_flight = 1, per_second = 1000.0, bytes_per_second = "1GiB" }"#;
    let setup = Setup::two(private.url(), public.url()).set("networks.public.shadows", budget);
    let sidecar = setup.set("shadow.sample_share", "1.0").every(ON).start();
    let half = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello";
    let mut late = asked(&sidecar, half).await;
    let mut late_lead = private.next().await;
    let mut soon = asked(&sidecar, format!("{half}world")).await;
    let (mut soon_lead, _shadow) = (private.next().await, public.next().await);
    late.write("world").await;
    sidecar.metric_becomes(r#"adumbra_shadows_refused_total{network="public",reason="in_flight"}"#, 1.0).await;
    for (client, lead, shadows) in [(&mut late, &mut late_lead, &[][..]), (&mut soon, &mut soon_lead, &["public"])] {
        assert_eq!(lead.read_rest().await, b"helloworld");
        lead.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlead").await;
        assert_logged(&sidecar, &client.answer().await.decision(), "sample", shadows).await;
    }
}

#[tokio::test]
async fn a_shadow_whose_body_is_throttled_is_not_late_while_it_moves() {
    let (private, public, sidecar) = pair_with(|setup| {
        setup
            .set("shadow.levels.medium.bytes_per_second", r#""64KiB""#)
            .set("networks.public.timeouts", r#"{ head = "300ms" }"#)
            .set("shadow.levels.medium.window", r#""60s""#)
    })
    .await;
    // At that rate it takes longer than an answer's head may, after the body's end.
    let mut client = asked(&sidecar, post(&"x".repeat(256 << 10))).await;
    let (_lead, shadow) = (private.next().await, public.next().await);
    shadow.release(Reply::ok("shadow")).await;
    assert_eq!(client.answer().await.decision().said(), ("public", "shadow_finished", "adopt"));
}
