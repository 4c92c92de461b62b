//! What a contest must survive: leads that break late, sidecars that hang or speak for themselves, answers nobody wants.

use std::time::Duration;

use tests::{Origin, Raw, Reply, Setup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ON: &str = "shadow = \"on\"\nrepeatable = true";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn asked(to: std::net::SocketAddr, request: &str) -> Raw {
    let mut client = Raw::connect(to).await;
    client.write(request).await;
    client
}

#[tokio::test]
async fn a_lead_that_breaks_after_its_window_is_sent_on() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("workers", "1")
        .set("shadow.window_min", r#""200ms""#)
        .set("shadow.levels.medium.window", r#""200ms""#)
        .every(ON)
        .start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(sidecar.jobs(), GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    shadow.gone().await;
    lead.break_off();
    public.next().await.release(Reply::ok("again")).await;
    assert_eq!(client.answer().await.text(), "again");
}

#[tokio::test]
async fn a_stranger_cannot_ask_a_far_sidecar_through_a_job() {
    let (private, public) = (Origin::named("private").await, Origin::named("public").await);
    let far = Setup::alone(public.url()).start();
    let near = Setup::with_peer(private.url(), &far).every(ON).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let answer = near.get("/.well-known/adumbra/load").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "public"));
}

#[tokio::test]
async fn a_far_sidecars_own_502_is_not_taken_for_the_services() {
    let (private, public) = (Origin::named("private").await, Origin::held().await);
    let far = Setup::alone(public.url()).start();
    let near = Setup::with_peer(private.url(), &far).every(ON).start();
    near.swap_model(tests::model::settled(1000.0, 1.0));
    let mut client = asked(near.jobs(), GET).await;
    public.next().await.break_off();
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "private"));
}

#[tokio::test]
async fn a_5xx_of_the_lead_is_passed_on_and_not_run_again() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(ON).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = asked(sidecar.jobs(), GET).await;
    let (lead, mut shadow) = (private.next().await, public.next().await);
    lead.release(Reply::of(500, "the service's own words")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (500, "the service's own words"));
    shadow.gone().await;
    assert_eq!((private.begun(), public.begun()), (1, 1));
}

#[tokio::test]
async fn what_may_have_run_is_never_called_unexecuted() {
    let private = Origin::held().await;
    let sidecar = Setup::two(private.url(), "http://127.0.0.1:1").every(ON).start();
    let mut client = asked(sidecar.jobs(), GET).await;
    private.next().await.break_off();
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.values("adumbra-not-executed").len()), (502, 0), "{}", answer.text());
}

#[tokio::test]
async fn a_held_job_whose_body_does_not_fit_is_sent_where_it_is_predicted_to_be_best() {
    for (key, value, why) in [("spool.body", "64KiB", "too_long"), ("spool.disk", "32KiB", "no_room")] {
        let (private, public) = (Origin::named("private").await, Origin::named("public").await);
        let sidecar = Setup::two(private.url(), public.url())
            .set("spool.memory", r#""16KiB""#)
            .set(key, format!("{value:?}"))
            .every(&format!("{ON}\nhold = true"))
            .start();
        sidecar.swap_model(tests::model::open(1000.0));
        for chunked in [true, false] {
            let pieces: Vec<Vec<u8>> = (0..60).map(|n| vec![b'a' + n % 26; 8192]).collect();
            let framing = if chunked {
                "transfer-encoding: chunked".to_owned()
            } else {
                format!("content-length: {}", 60 * 8192)
            };
            if !chunked && why == "too_long" {
                // That is known before it is read, and planned without a dry run.
                continue;
            }
            let mut request =
                format!("POST / HTTP/1.1\r\nhost: a\r\n{framing}\r\nconnection: close\r\n\r\n").into_bytes();
            for piece in &pieces {
                if chunked { request.extend(tests::reply::chunk_bytes(piece)) } else { request.extend(piece) }
            }
            if chunked {
                request.extend(b"0\r\n\r\n");
            }
            let before = private.begun();
            let answer = Raw::ask(sidecar.jobs(), request).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, "private"), "{why} {chunked}");
            let arrived = private.recorded().pop().expect("it was sent");
            assert_eq!((private.begun(), arrived.body == pieces.concat()), (before + 1, true), "{why} {chunked}");
            assert_eq!(arrived.has("content-length"), !chunked);
            let line = sidecar.logged(&answer.decision()).await;
            assert_eq!((&line["plan"], &line["action"]), (&"probe".into(), &"send".into()), "{line}");
        }
        assert_eq!(public.begun(), 0);
        assert!(sidecar.sum("adumbra_spool_refused_total", &[why]).await >= 1.0);
        assert_eq!(sidecar.sum("adumbra_shadows_started_total", &[]).await, 0.0);
    }
}

/// A sidecar that answers every question but adoption, which it leaves open.
async fn never_adopts(mut socket: TcpStream) {
    let mut buffer = vec![0; 8192];
    loop {
        let read = socket.read(&mut buffer).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        let asked = String::from_utf8_lossy(&buffer[..read]).into_owned();
        let body = match () {
            () if asked.contains("/load") => r#"{"in_flight":0,"capacity":0}"#,
            () if asked.contains("/health") => "{}",
            () if asked.contains("/dispatch/") && asked.contains("-s1 ") => r#"{"progress":0.9}"#,
            () if asked.contains("/dispatch/") => r#"{"progress":null}"#,
            () => continue,
        };
        let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        if socket.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_sidecar_that_hangs_on_adoption_does_not_hold_up_the_leads_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let at = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(never_adopts(socket));
        }
    });
    let private = Origin::held().await;
    let near = Setup::two(private.url(), "")
        .unset("networks.public.upstreams")
        .set("networks.public.sidecars", format!("[\"http://{at}\"]"))
        .every(ON)
        .start();
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    near.swap_model(tests::model::open(1000.0));
    let mut client = asked(near.jobs(), GET).await;
    let lead = private.next().await;
    // Long enough for the shadow's progress to be seen and its adoption to be asked for, far too short for that to time out.
    tokio::time::sleep(Duration::from_millis(300)).await;
    lead.release(Reply::ok("lead")).await;
    let answer = tokio::time::timeout(Duration::from_millis(1500), client.answer()).await;
    assert_eq!(answer.expect("the lead's answer is not held up").text(), "lead");
}
