//! One fenced execution answers, whatever comes between the two sides of an adoption. The far side is scripted here: it
//! answers what sidecars ask, and leaves adoption to the test.

mod stragglers;

use std::sync::Arc;

use tests::origin::Exchange;
use tests::{Origin, Raw, Reply, Setup, Sidecar, eventually, within};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const ON: &str = "shadow = \"on\"\nrepeatable = true";

/// A far sidecar in the test's hand: its shadows, and what it is asked to adopt.
struct Far {
    origin: Arc<Origin>,
    shadows: Mutex<mpsc::UnboundedReceiver<Exchange>>,
    adoptions: Mutex<mpsc::UnboundedReceiver<Exchange>>,
    answering: JoinHandle<()>,
}

impl Far {
    /// One whose shadows show at once that they are nearly done.
    async fn start() -> Self {
        let origin = Arc::new(Origin::held_as_sidecar().await);
        let (shadow, shadows) = mpsc::unbounded_channel();
        let (adoption, adoptions) = mpsc::unbounded_channel();
        let asked = Arc::clone(&origin);
        let answering = tokio::spawn(async move {
            loop {
                let exchange = asked.next_ever().await;
                let target = exchange.request.target.clone();
                let (question, of) = match target.strip_prefix("/.well-known/adumbra/") {
                    Some(question) => question.split_once('/').unwrap_or((question, "")),
                    None => ("", ""),
                };
                let answer = match question {
                    "load" => Reply::ok(r#"{"in_flight":0,"capacity":0}"#),
                    "dispatch" if of.contains("-s") => Reply::ok(r#"{"progress":0.9,"source":"interim"}"#),
                    "dispatch" => Reply::ok(r#"{"progress":null,"source":null}"#),
                    "" | "adopt" => {
                        let to = if question.is_empty() { &shadow } else { &adoption };
                        drop(to.send(exchange));
                        continue;
                    }
                    _ => Reply::bare(204),
                };
                exchange.release(answer).await;
            }
        });
        Self { origin, shadows: Mutex::new(shadows), adoptions: Mutex::new(adoptions), answering }
    }

    async fn shadow(&self) -> Exchange {
        within("a shadow arrives", self.shadows.lock().await.recv()).await.expect("the far side answers")
    }

    /// The question whether it may become the real job.
    async fn asked(&self) -> Exchange {
        within("the shadow is asked for", self.adoptions.lock().await.recv()).await.expect("the far side answers")
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        self.answering.abort();
    }
}

/// A job that is led at home, and whose shadow on the far side is asked for.
struct Stage {
    private: Origin,
    far: Far,
    near: Sidecar,
    client: Raw,
    lead: Exchange,
    shadow: Exchange,
    question: Exchange,
}

async fn asked_for() -> Stage {
    let (private, far) = (Origin::held().await, Far::start().await);
    let near = Setup::two(private.url(), "")
        .unset("networks.public.upstreams")
        .set("networks.public.sidecars", format!("[\"{}\"]", far.origin.url()))
        .every(ON)
        .start();
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    near.swap_model(tests::model::open(1000.0));
    let mut client = Raw::connect(near.jobs()).await;
    client.write(GET).await;
    let (lead, shadow) = (private.next().await, far.shadow().await);
    let question = far.asked().await;
    Stage { private, far, near, client, lead, shadow, question }
}

impl Stage {
    /// The job is over, and its line of the log says so.
    async fn logged(&self) -> serde_json::Value {
        self.near.decisions(1).await.remove(0)
    }

    /// Nothing of it is left anywhere.
    async fn nothing_is_left(&self) {
        for network in ["private", "public"] {
            self.near.metric_becomes(&format!(r#"adumbra_network_in_flight{{network="{network}"}}"#), 0.0).await;
        }
        let started = self.near.sum("adumbra_shadows_started_total", &[]).await;
        assert_eq!(started, self.near.sum("adumbra_shadows_ended_total", &[]).await, "each has ended once");
        assert_eq!(self.private.begun(), 1, "nothing was sent twice");
    }
}

const GRANTED: u16 = 204;
const TOO_LATE: u16 = 410;

#[tokio::test]
async fn a_shadow_that_its_far_side_grants_answers_and_the_lead_is_let_go() {
    let mut stage = asked_for().await;
    stage.question.release(Reply::bare(GRANTED)).await;
    stage.lead.gone().await;
    stage.shadow.release(Reply::ok("shadow")).await;
    let answer = stage.client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().said()), ("shadow", ("public", "switched", "adopt")));
    let line = stage.near.logged(&answer.decision()).await;
    assert_eq!((&line["target"], &line["possibly_running"]), (&"public".into(), &1.into()), "{line}");
    drop(stage.lead);
    assert_eq!(stage.near.sum("adumbra_shadows_ended_total", &["adopted"]).await, 1.0);
}

#[tokio::test]
async fn a_lead_whose_head_comes_before_the_reply_answers_and_a_late_yes_changes_nothing() {
    let mut stage = asked_for().await;
    stage.lead.begin_chunked("").await;
    let head = stage.client.head().await;
    assert_eq!(head.decision().network, "private");
    stage.question.offer(&Reply::bare(GRANTED).bytes(false)).await;
    stage.shadow.offer(&Reply::ok("shadow").bytes(false)).await;
    stage.lead.chunk(b"lead").await;
    assert_eq!(stage.client.chunk().await.as_deref(), Some(&b"lead"[..]));
    stage.lead.end_chunked().await;
    assert_eq!(stage.client.chunk().await, None);
    let line = stage.near.logged(&head.decision()).await;
    assert_eq!((&line["target"], &line["possibly_running"]), (&"private".into(), &1.into()), "{line}");
    drop((stage.shadow, stage.question, stage.far));
}

#[tokio::test]
async fn a_lead_that_breaks_while_a_shadow_is_asked_for_leaves_the_job_to_it() {
    let stage = asked_for().await;
    let Stage { private, far, near, mut client, lead, shadow, question } = stage;
    lead.break_off();
    near.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
    question.release(Reply::bare(GRANTED)).await;
    shadow.release(Reply::ok("shadow")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), ("shadow", "public"));
    assert_eq!((private.begun(), near.sum("adumbra_failovers_total", &[]).await), (1, 0.0));
    drop(far);
}

#[tokio::test]
async fn a_shadow_whose_far_side_gives_no_reply_is_never_used() {
    let stage = asked_for().await;
    let Stage { private, far, near, mut client, lead, mut shadow, question } = stage;
    // Whether it has agreed will never be known.
    question.break_off();
    shadow.gone().await;
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), ("lead", "private"));
    let line = near.logged(&answer.decision()).await;
    assert_eq!(line["possibly_running"], 1, "{line}");
    let stage_is_empty = async || near.sum("adumbra_shadows_in_flight", &[]).await == 0.0;
    eventually("no shadow is left", stage_is_empty).await;
    assert_eq!(private.begun(), 1);
    drop((shadow, far));
}

#[tokio::test]
async fn a_shadow_that_is_over_when_it_is_asked_for_is_known_to_be_gone() {
    let stage = asked_for().await;
    let Stage { private, far, near, mut client, lead, mut shadow, question } = stage;
    question.release(Reply::of(TOO_LATE, "")).await;
    shadow.gone().await;
    lead.release(Reply::ok("lead")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), ("lead", "private"));
    let line = near.logged(&answer.decision()).await;
    assert_eq!(line["possibly_running"], 0, "{line}");
    assert_eq!(private.begun(), 1);
    drop((shadow, far));
}

#[tokio::test]
async fn a_client_that_leaves_while_a_shadow_is_asked_for_leaves_both_possibly_running() {
    let mut stage = asked_for().await;
    stage.client = Raw::connect(stage.near.jobs()).await;
    stage.lead.gone().await;
    stage.shadow.gone().await;
    let line = stage.logged().await;
    assert_eq!((&line["outcome"], &line["possibly_running"]), (&"client_gone".into(), &2.into()), "{line}");
    assert_eq!(line["shadows"], serde_json::json!(["public"]), "{line}");
    stage.question.offer(&Reply::bare(GRANTED).bytes(false)).await;
    stage.nothing_is_left().await;
}

#[tokio::test]
async fn a_granted_shadow_that_dies_gives_the_job_to_a_fresh_run_and_no_byte_is_mixed() {
    let stage = asked_for().await;
    let Stage { private, far, near, mut client, mut lead, shadow, question } = stage;
    question.release(Reply::bare(GRANTED)).await;
    lead.gone().await;
    drop(lead);
    shadow.break_off();
    let again = private.next().await;
    again.release(Reply::ok("again")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().said()), ("again", ("private", "failover", "send")));
    assert_eq!(near.sum("adumbra_shadows_started_total", &[]).await, 1.0);
    drop(far);
}

/// A shadow as another sidecar would ask for it.
fn asks_for(id: &str, window_ms: u32) -> String {
    format!(
        "GET / HTTP/1.1\r\nhost: a\r\nadumbra-shadow: id={id}; level=medium; cpu=1; memory=1000000; bytes_per_s=1000000000; \
         window_ms={window_ms}\r\n\r\n"
    )
}

fn adopts(id: &str) -> String {
    format!("POST /.well-known/adumbra/adopt/{id} HTTP/1.1\r\nhost: adumbra\r\ncontent-length: 0\r\n\r\n")
}

#[tokio::test]
async fn a_shadow_whose_answer_nobody_reads_ends_with_its_lease_and_frees_what_it_held() {
    let public = Origin::held().await;
    let budget = r#"{ in_flight = 1, per_second = 1000.0, bytes_per_second = "100GiB" }"#;
    let far = Setup::alone(public.url()).set("networks.private.shadows", budget).start();
    let mut unread = Raw::connect(far.peers()).await;
    unread.write(asks_for("unread", 10)).await;
    let mut running = public.next().await;
    running.begin_chunked("").await;
    // Until the far side has closed it: more than all buffers between hold, and its peer takes none of it.
    let piece = tests::reply::chunk_bytes(&vec![b'x'; 1 << 20]);
    within("it is closed", running.write_until_gone(&piece)).await;
    far.metric_becomes(r#"adumbra_shadows_served_total{end="lease_over"}"#, 1.0).await;
    far.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
    let mut next = Raw::connect(far.peers()).await;
    next.write(asks_for("next", 60_000)).await;
    public.next().await.release(Reply::ok("next")).await;
    assert_eq!(next.answer().await.text(), "next", "the permit is free");
    assert_eq!(Raw::ask(far.peers(), adopts("unread")).await.status, TOO_LATE);
    drop(unread);
}

#[tokio::test]
async fn an_adoption_means_the_same_before_during_and_after_the_answer() {
    let public = Origin::held().await;
    let far = Setup::alone(public.url()).start();
    let mut kept = Raw::connect(far.peers()).await;
    kept.write(asks_for("kept", 60_000)).await;
    let mut running = public.next().await;
    assert_eq!(Raw::ask(far.peers(), adopts("kept")).await.status, GRANTED);
    running.begin_chunked("").await;
    assert_eq!(kept.head().await.status, 200);
    assert_eq!(Raw::ask(far.peers(), adopts("kept")).await.status, GRANTED, "it may be asked twice");
    running.end_chunked().await;
    assert_eq!(kept.chunk().await, None);
    far.metric_becomes(r#"adumbra_shadows_served_total{end="finished"}"#, 1.0).await;
    assert_eq!(Raw::ask(far.peers(), adopts("kept")).await.status, GRANTED, "its answer is on its way, or was read");
    assert_eq!(Raw::ask(far.peers(), adopts("never")).await.status, 404);
    let mut cut = Raw::connect(far.peers()).await;
    cut.write(asks_for("cut", 60_000)).await;
    let mut running = public.next().await;
    drop(cut);
    running.gone().await;
    far.metric_becomes(r#"adumbra_shadows_served_total{end="cut"}"#, 1.0).await;
    assert_eq!(Raw::ask(far.peers(), adopts("cut")).await.status, TOO_LATE);
}

#[tokio::test]
async fn a_shadow_that_has_finished_over_there_is_adopted_while_its_answer_is_on_its_way() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).start();
    let near = Setup::with_peer(private.url(), &far).set("shadow.answer_bytes", r#""1KiB""#).every(ON).start();
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    near.swap_model(tests::model::open(1000.0));
    let mut client = Raw::connect(near.jobs()).await;
    client.write(GET).await;
    let (lead, shadow) = (private.next().await, public.next().await);
    // More than the near side keeps, less than the buffers between: the far side is done, the near one is not.
    let body = vec![b'x'; 100_000];
    shadow.release(Reply::ok(body.clone())).await;
    far.metric_becomes(r#"adumbra_shadows_served_total{end="finished"}"#, 1.0).await;
    lead.break_off();
    let answer = client.answer().await;
    assert_eq!((answer.body.len(), answer.decision().said()), (body.len(), ("public", "lead_failed", "adopt")));
    assert_eq!((private.begun(), public.begun()), (1, 1), "nothing was sent twice");
}

#[tokio::test]
async fn a_shadow_that_finishes_as_its_window_ends_is_used_whole_or_not_at_all() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("shadow.window_min", r#""20ms""#)
        .set("shadow.levels.medium.window", r#""20ms""#)
        .every(ON)
        .start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut held = Vec::new();
    for round in 0..40_u32 {
        let mut client = Raw::connect(sidecar.jobs()).await;
        client.write(GET).await;
        let lead = private.next().await;
        // Where the machine is slow the window may end before the shadow has got anywhere.
        let shadow = tokio::time::timeout(std::time::Duration::from_secs(1), public.next_ever()).await;
        // Around the end of the window; which side of it does not matter, only that both are met.
        tokio::time::sleep(std::time::Duration::from_millis(15 + u64::from(round % 10))).await;
        if let Ok(mut shadow) = shadow {
            shadow.offer(&Reply::ok("shadow").bytes(false)).await;
            held.push(shadow);
        }
        let (mut answered, releasing) = (false, lead.release(Reply::ok("lead")));
        tokio::pin!(releasing);
        let answer = loop {
            tokio::select! {
                answer = client.answer() => break answer,
                () = &mut releasing, if !answered => answered = true,
            }
        };
        let said = answer.decision();
        let expected = if said.action == "adopt" { ("shadow", "public") } else { ("lead", "private") };
        assert_eq!((answer.text().as_str(), said.network.as_str()), expected);
    }
    for network in ["private", "public"] {
        sidecar.metric_becomes(&format!(r#"adumbra_network_in_flight{{network="{network}"}}"#), 0.0).await;
    }
    let started = sidecar.sum("adumbra_shadows_started_total", &[]).await;
    assert_eq!(started, sidecar.sum("adumbra_shadows_ended_total", &[]).await);
    assert_eq!(sidecar.sum("adumbra_shadows_in_flight", &[]).await, 0.0);
}
