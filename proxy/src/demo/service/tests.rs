//! The service over real sockets: answers, progress, the queue, and what a client that leaves sets free.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Args, Service, serve};
use crate::demo::device;
use crate::demo::job::{Job, Kind};
use crate::demo::kernel::Build;

/// A service of one slot whose device takes `seek_ms` an operation.
async fn start(seek_ms: f64) -> (SocketAddr, Arc<Service>) {
    let devices = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let device = devices.local_addr().expect("an address");
    let words = ["", "--seek-ms", &seek_ms.to_string(), "--rate", "1e12"].map(str::to_owned);
    tokio::spawn(device::serve(devices, parse(&words)));
    let args = Args { network: "private".to_owned(), slots: 1, build: Build::Tuned, device, opaque: false };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let service = Arc::new(Service::new(&args));
    tokio::spawn(serve(listener, service.clone()));
    (address, service)
}

fn parse<T: clap::Args>(words: &[String]) -> T {
    let command = T::augment_args(clap::Command::new("test"));
    T::from_arg_matches(&command.get_matches_from(words)).expect("known options")
}

const JOB: Job = Job { kind: Kind::Encode, size: 2_048, seed: 4 };

async fn send(stream: &mut TcpStream, version: &str) {
    let body = JOB.body();
    let head = format!(
        "POST {} HTTP/{version}\r\nhost: demo\r\nx-demo-job: a/1\r\nconnection: keep-alive\r\ncontent-length: {}\r\n\r\n",
        JOB.target(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(&body).await.expect("sent");
}

/// The next response: how many interim heads came before it, and its body.
async fn receive(stream: &mut TcpStream) -> (usize, Vec<u8>) {
    let mut interim = 0;
    loop {
        let head = receive_head(stream).await;
        if head.starts_with("HTTP/1.1 102 Processing\r\nadumbra-progress: ") {
            interim += 1;
            continue;
        }
        assert!(head.contains(" 200 OK\r\n"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        stream.read_exact(&mut body).await.expect("a body");
        return (interim, body);
    }
}

async fn receive_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

fn expected() -> Vec<u8> {
    JOB.run(Build::Tuned, &JOB.body(), &mut |_| Ok(())).expect("nothing stops it")
}

/// Waits until `(running, waiting)` is as given.
async fn until(service: &Service, load: (usize, usize)) {
    for _ in 0..500 {
        if service.slots.load() == load {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?} never became {load:?}", service.slots.load());
}

#[tokio::test]
async fn a_job_shows_progress_and_answers_and_the_connection_lives_on() {
    let (address, service) = start(40.0).await;
    let mut stream = TcpStream::connect(address).await.expect("connected");
    for _ in 0..2 {
        send(&mut stream, "1.1").await;
        let (interim, body) = receive(&mut stream).await;
        assert!(interim >= 2, "{interim}");
        assert!(body == expected());
    }
    let stats = service.slots.usage().to_json();
    assert_eq!(stats["a/1"][3], 2);
}

#[tokio::test]
async fn an_old_client_is_sent_no_interim_head() {
    let (address, _) = start(1.0).await;
    let mut stream = TcpStream::connect(address).await.expect("connected");
    send(&mut stream, "1.0").await;
    assert_eq!(receive(&mut stream).await, (0, expected()));
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_slot_and_its_place_in_the_queue() {
    let (address, service) = start(60_000.0).await;
    let mut first = TcpStream::connect(address).await.expect("connected");
    send(&mut first, "1.1").await;
    until(&service, (1, 0)).await;
    let mut second = TcpStream::connect(address).await.expect("connected");
    send(&mut second, "1.1").await;
    until(&service, (1, 1)).await;
    drop(second);
    until(&service, (1, 0)).await;
    drop(first);
    until(&service, (0, 0)).await;
    let stats = service.slots.usage().to_json();
    assert_eq!((&stats["a/1"][3], &stats["a/1"][4], &stats["a/1"][5]), (&0.into(), &1.into(), &1.into()));
}
