//! What is taken for HTTP, and that looking takes nothing away.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

#[track_caller]
fn check(bytes: &[u8], expected: Option<bool>) {
    assert_eq!(judge(bytes, Until::Line), expected, "{:?}", String::from_utf8_lossy(bytes));
}

#[test]
fn a_request_line_is_http_whatever_is_wrong_with_it() {
    for line in [
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.0\n",
        "\r\nPOST /a?b=c HTTP/1.1\r\nHost: a",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "M-SEARCH * HTTP/1.1\r\n",
        "GET http://a/ HTTP/1.1\r\n",
        "GET  HTTP/9\r\n",
        "GET /a b HTTP/1.1\r\n",
    ] {
        check(line.as_bytes(), Some(true));
    }
}

#[test]
fn what_only_looks_like_http_is_not() {
    for line in [
        "GET key\r\n",
        "get key\r\n",
        "PING\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "EHLO mail.example\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "OPTIONS rtsp://a RTSP/1.0\r\n",
        "INVITE sip:a SIP/2.0\r\n",
        "\r\n\r\n\r\nGET / HTTP/1.1\r\n",
        "GET / \r\n",
    ] {
        check(line.as_bytes(), Some(false));
    }
    check(b"\x16\x03\x01\x02\x00\x01", Some(false));
    check(b"\0\0\0\x2f", Some(false));
    check(b" GET", Some(false));
    check(&[b'A'; METHOD_MOST + 1], Some(false));
    check(b"GET /\x01", Some(false));
}

#[test]
fn too_little_says_nothing_yet() {
    for bytes in ["", "\r", "\r\n", "G", "GET", "GET ", "GET /a", "GET / HTTP/1.1\r", "PING"] {
        check(bytes.as_bytes(), None);
    }
    assert_eq!(judge(b"GET / HTTP/1.1\r\nHost: a\r\n", Until::Head), None);
    assert_eq!(judge(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Until::Head), Some(true));
}

#[test]
fn only_a_plain_request_to_the_origin_it_names_is_fetched() {
    let check = |head: &str, port, expected: Option<&str>| {
        let uri = fetched(head.replace('\n', "\r\n").as_bytes(), port);
        assert_eq!(uri.map(|uri| uri.to_string()).as_deref(), expected, "{head}");
    };
    check("GET /a?b HTTP/1.1\nHost: data.example\n\n", 80, Some("http://data.example/a?b"));
    check("GET /a HTTP/1.1\nA: b\nhOsT:  data.example:81 \n\n", 81, Some("http://data.example:81/a"));
    check("GET /a HTTP/1.1\nHost: data.example\n\n", 81, None);
    check("GET /a HTTP/1.1\nHost: data.example:80\n\n", 81, None);
    check("GET /a HTTP/1.1\nHost: a\nHost: b\n\n", 80, None);
    check("GET /a HTTP/1.1\nHost: a\nUpgrade: websocket\nConnection: upgrade\n\n", 80, None);
    check("GET http://b/ HTTP/1.1\nHost: a\n\n", 80, None);
    check("CONNECT a:443 HTTP/1.1\nHost: a\n\n", 80, None);
    check("GET / HTTP/1.0\n\n", 80, None);
    check("GET / HTTP/1.1\nHost: a b\n\n", 80, None);
}

fn limits(whole: Duration) -> Limits {
    Limits { first: Some(whole), whole, bytes: 64, until: Until::Line }
}

const LONG: Duration = Duration::from_secs(600);

async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
    let address = listener.local_addr().expect("an address");
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (client.expect("it listens"), accepted.expect("a connection").0)
}

#[tokio::test]
async fn what_was_heard_is_still_there_to_be_read() {
    let (mut client, mut socket) = connected().await;
    let sent = b"GET / HTTP/1.1\r\n\r\n";
    let writing = async {
        for piece in sent.chunks(3) {
            client.write_all(piece).await.expect("it is read");
            tokio::task::yield_now().await;
        }
    };
    let (heard, ()) = tokio::join!(hear(&socket, limits(LONG)), writing);
    assert!(matches!(heard.expect("it is there"), Heard::Http(_)));
    let mut read = [0; 18];
    socket.read_exact(&mut read).await.expect("all of it");
    assert_eq!(&read, sent);
}

#[tokio::test]
async fn what_is_said_too_slowly_wakes_its_next_reader_all_the_same() {
    let (mut client, socket) = connected().await;
    client.write_all(b"PING").await.expect("there is room");
    assert_eq!(hear(&socket, limits(Duration::from_millis(5))).await.expect("it is there"), Heard::Slow);
    let mut socket = again(socket).expect("there are descriptors");
    let mut read = [0; 4];
    // Nothing more comes: if what was seen did not wake the reader, this would never end.
    timeout(LONG, socket.read_exact(&mut read)).await.expect("it is woken").expect("all of it");
    assert_eq!(&read, b"PING");
}

#[tokio::test]
async fn silence_an_end_and_too_much_are_told_apart() {
    let (client, socket) = connected().await;
    assert_eq!(hear(&socket, limits(Duration::from_millis(5))).await.expect("it is there"), Heard::Nothing);
    drop(client);
    assert_eq!(hear(&socket, limits(LONG)).await.expect("it has ended"), Heard::Ended);
    let (mut client, socket) = connected().await;
    client.write_all(b"GET /").await.expect("there is room");
    client.shutdown().await.expect("it is open");
    assert_eq!(hear(&socket, limits(LONG)).await.expect("it has ended"), Heard::Other, "half a request");
    let (mut client, socket) = connected().await;
    client.write_all(&[b'a'; 20]).await.expect("there is room");
    client.write_all(&[b' '; 200]).await.expect("there is room");
    assert_eq!(hear(&socket, limits(LONG)).await.expect("it is there"), Heard::Other, "longer than any look");
}
