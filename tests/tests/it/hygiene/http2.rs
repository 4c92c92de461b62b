//! The same over HTTP/2, which has frames to bound besides.

use http::{Request, Version};
use tests::piped::empty;
use tests::{Client, Origin, Raw, Reply, Setup};

use super::plain;

#[tokio::test]
async fn requests_are_held_to_the_same_rules() {
    let (origin, sidecar) = plain().await;
    let mut client = Client::two(sidecar.jobs()).await;
    let request = |host: &str| {
        let request = Request::get("http://a/").version(Version::HTTP_2).header("host", host);
        request.header("adumbra-shadow", "x").header("x_forwarded_for", "6.6.6.6").body(empty()).expect("a request")
    };
    assert_eq!(client.send(request("b")).await.status(), 400, "`host` and `:authority` disagree");
    assert_eq!(client.send(request("a")).await.status(), 200);
    let seen = origin.only();
    assert_eq!((seen.field("host"), seen.field("x-forwarded-for")), ("a", "127.0.0.1"));
    let connect = Request::connect("a:443").body(empty()).expect("a request");
    match client.try_send(connect).await {
        Ok(response) => assert_eq!(response.status(), 405),
        Err(error) => panic!("CONNECT is answered: {error}"),
    }
}

#[tokio::test]
async fn header_lists_are_bounded() {
    let origin = Origin::named("here").await;
    let limits = |setup: Setup| setup.set("limits.head_bytes", r#""8KiB""#).set("limits.head_fields", 10);
    let sidecar = limits(Setup::alone(origin.url())).start();
    let mut client = Client::two(sidecar.jobs()).await;
    let mut many = Request::get("http://a/").body(empty()).expect("a request");
    for n in 0..20 {
        many.headers_mut()
            .insert(http::HeaderName::try_from(format!("x-{n}")).expect("a name"), http::HeaderValue::from_static("y"));
    }
    assert_eq!(client.send(many).await.status(), 431);
    let long = Request::get("http://a/").header("x", "y".repeat(10_000)).body(empty()).expect("a request");
    if let Ok(response) = client.try_send(long).await {
        assert_eq!(response.status(), 431);
    }
    assert_eq!(origin.recorded().len(), 0);
}

#[tokio::test]
async fn streams_are_bounded() {
    let origin = Origin::held().await;
    let sidecar = Setup::alone(origin.url()).set("limits.h2_streams", 2).start();
    let mut client = Client::two(sidecar.jobs()).await;
    // Until it is answered the client does not know the bound.
    let first = tokio::join!(client.send(Request::get("http://a/").body(empty()).expect("a request")), async {
        origin.next().await.release(Reply::ok("here")).await;
    });
    assert_eq!(first.0.status(), 200);
    let Client::Two(sender) = client else { unreachable!("it was made so") };
    let asked: Vec<_> = (0..4)
        .map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move {
                let request = Request::get("http://a/").body(empty()).expect("a request");
                sender.ready().await?;
                sender.send_request(request).await.map(|response| response.status())
            })
        })
        .collect();
    for _ in 0..4 {
        origin.next().await.release(Reply::ok("here")).await;
    }
    for asked in asked {
        assert_eq!(asked.await.expect("no panic").expect("every request is answered in its turn"), 200);
    }
    assert!(origin.most_at_once() <= 2, "{} at once", origin.most_at_once());
}

#[tokio::test]
async fn a_client_that_opens_and_resets_streams_without_end_is_cut_off() {
    let (_origin, sidecar) = plain().await;
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    // `GET http / a` by HPACK's static table and a literal, then RST_STREAM(CANCEL) for it.
    let mut flood = Vec::new();
    for stream in (1..20_001_u32).step_by(2) {
        let id = stream.to_be_bytes();
        flood.extend_from_slice(&[0, 0, 6, 1, 5, id[0], id[1], id[2], id[3], 0x82, 0x86, 0x84, 0x41, 1, b'a']);
        flood.extend_from_slice(&[0, 0, 4, 3, 0, id[0], id[1], id[2], id[3], 0, 0, 0, 8]);
    }
    client.write(&flood).await;
    let said = client.to_end().await;
    assert!(said.len() < flood.len(), "it is not served to the end");
    assert_eq!(sidecar.get("/").await.status, 200, "others are served");
}

#[tokio::test]
async fn a_head_that_does_not_end_in_time_ends_its_connection() {
    let origin = Origin::named("here").await;
    let sidecar = Setup::alone(origin.url()).set("limits.head_timeout", r#""100ms""#).start();
    let mut slow = Raw::connect(sidecar.jobs()).await;
    // Settings, and HEADERS without their end.
    slow.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await;
    slow.write(b"\0\0\x01\x01\0\0\0\0\x01\x82").await;
    slow.to_end().await;
    assert_eq!(sidecar.metric(r#"adumbra_problems_total{problem="head_timeout"}"#).await, 1.0);
    let mut quick = Client::two(sidecar.jobs()).await;
    assert_eq!(quick.send(Request::get("http://a/").body(empty()).expect("a request")).await.status(), 200);
    assert_eq!(origin.recorded().len(), 1);
}
