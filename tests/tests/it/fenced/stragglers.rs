//! A lead that shows that it straggles gives way, as far as it may be sent again.

use tests::{Origin, Raw, Reply, Setup};

use super::{GET, ON};

#[tokio::test]
async fn a_straggler_that_was_sent_without_a_shadow_is_moved_by_what_it_shows() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(ON).start();
    sidecar.swap_model(tests::model::settled(1.0, 2.0));
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(GET).await;
    let mut lead = private.next().await;
    // It begins like any other, and half of its time later nothing more is done.
    lead.progress(0.02).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    lead.progress(0.021).await;
    lead.gone().await;
    public.next().await.release(Reply::ok("moved")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().said()), ("moved", ("public", "switched", "send")));
    let line = sidecar.logged(&answer.decision()).await;
    assert_eq!((&line["plan"], &line["possibly_running"]), (&"direct".into(), &1.into()), "{line}");
}

#[tokio::test]
async fn a_lead_that_turns_out_a_straggler_after_its_window_is_moved_all_the_same() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("shadow.window_min", r#""50ms""#)
        .set("shadow.levels.medium.window", r#""50ms""#)
        .every(ON)
        .start();
    sidecar.swap_model(tests::model::open(2.0));
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(GET).await;
    let (mut lead, mut shadow) = (private.next().await, public.next().await);
    // On its way like any other while the shadow runs, and shows nothing.
    lead.progress(0.02).await;
    shadow.gone().await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    lead.progress(0.021).await;
    lead.gone().await;
    public.next().await.release(Reply::ok("moved")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().said()), ("moved", ("public", "switched", "send")));
}

#[tokio::test]
async fn a_straggler_that_cannot_be_sent_again_stays_and_is_said_to_have_stayed() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url())
        .set("spool.body", r#""16KiB""#)
        .set("shadow.window_min", r#""50ms""#)
        .set("shadow.levels.medium.window", r#""50ms""#)
        .every(ON)
        .start();
    sidecar.swap_model(tests::model::open(2.0));
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..8 {
        client.write(tests::reply::chunk_bytes(&[b'x'; 8192])).await;
    }
    client.write("0\r\n\r\n").await;
    let mut lead = private.next().await;
    lead.progress(0.001).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    lead.progress(0.0011).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    lead.release(Reply::ok("stayed")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text().as_str(), answer.decision().network.as_str()), ("stayed", "private"));
    assert_eq!((answer.decision().action.as_str(), public.begun()), ("keep", 0));
}
