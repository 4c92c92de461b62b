//! What curl, wrk, h2load and a WebSocket library make of it.

use tests::stranger::{Python, program, python, said};
use tests::{Binary, Setup};

use super::{ON, digest, file, two_strangers};

fn curl(binary: &Binary, arguments: &[&str], path: &str) -> tokio::process::Command {
    let mut curl = program("curl");
    curl.args(["--silent", "--show-error", "--fail", "--max-time", "20"]).args(arguments);
    curl.arg(format!("http://{}{path}", binary.jobs()));
    curl
}

#[tokio::test]
async fn curl_gets_what_nginx_serves_byte_for_byte_by_either_version() {
    let (nginx, _python, binary) = two_strangers().await;
    let directory = tempfile::tempdir().expect("there is room for files");
    let output = directory.path().join("got");
    let path = output.to_str().expect("a temporary path is text");
    for (version, number) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let arguments = [version, "--output", path, "--write-out", "%{http_code} %{http_version} %header{server}"];
        let written = said(&mut curl(&binary, &arguments, "/large")).await;
        assert!(written.starts_with(&format!("200 {number} nginx")), "{written}");
        assert_eq!(digest(&std::fs::read(&output).expect("curl wrote it")), digest(&file(3_000_000)), "{version}");
    }
    assert!(nginx.requests().len() >= 2, "{:?}", nginx.requests());
}

#[tokio::test]
async fn curl_gets_a_range_and_a_head_and_is_told_what_has_not_changed() {
    let (_nginx, _python, binary) = two_strangers().await;
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let status = "%{stderr}%{http_code}";
        let mut ranged = curl(&binary, &[version, "--range", "1000-1999", "--write-out", status], "/large");
        let output = tests::stranger::run(&mut ranged).await;
        assert_eq!(String::from_utf8_lossy(&output.stderr), "206", "{version}");
        assert!(output.stdout == file(3_000_000)[1000..2000], "{version}: {} bytes", output.stdout.len());
        let head = said(&mut curl(&binary, &[version, "--head"], "/large")).await.to_ascii_lowercase();
        assert!(head.contains("content-length: 3000000") && head.contains("accept-ranges: bytes"), "{head}");
        let etag = head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("nginx says its tag").trim();
        let unchanged = format!("if-none-match: {etag}");
        let arguments = [version, "--header", &unchanged, "--write-out", "%{http_code}"];
        assert_eq!(said(&mut curl(&binary, &arguments, "/large")).await, "304");
    }
}

#[tokio::test]
async fn curl_uploads_after_100_continue_and_in_chunks() {
    let (_nginx, _python, binary) = two_strangers().await;
    let directory = tempfile::tempdir().expect("there is room for files");
    let path = directory.path().join("upload");
    let body = file(2_500_000);
    std::fs::write(&path, &body).expect("there is room for files");
    let data = format!("@{}", path.display());
    let expected = format!("{} {}\n", body.len(), digest(&body));
    for arguments in [
        &["--http1.1", "--header", "expect: 100-continue"][..],
        &["--http1.1", "--header", "expect:"],
        &["--http1.1", "--header", "transfer-encoding: chunked"],
        &["--http1.1", "--request", "PUT"],
        &["--http2-prior-knowledge"],
    ] {
        let mut upload = curl(&binary, arguments, "/python/upload");
        let trace = directory.path().join("trace");
        upload.arg("--data-binary").arg(&data).arg("--trace-ascii").arg(&trace);
        assert_eq!(said(&mut upload).await, expected, "{arguments:?}");
        let trace = std::fs::read_to_string(&trace).expect("curl wrote it");
        // curl expects it of its own accord for a body of that length, unless it is told not to.
        let expects = arguments[0] == "--http1.1" && !arguments.contains(&"expect:");
        assert_eq!(trace.contains("HTTP/1.1 100 Continue"), expects, "{arguments:?}: {trace}");
    }
}

#[tokio::test]
async fn wrk_sees_no_answer_but_good_ones() {
    let (_nginx, _python, binary) = two_strangers().await;
    let url = format!("http://{}/small", binary.jobs());
    let report = said(program("wrk").args(["-t1", "-c16", "-d1s", &url])).await;
    assert!(!report.contains("Non-2xx") && !report.contains("Socket errors"), "{report}");
    let requests = report.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<u64>().ok());
    assert!(requests.is_some_and(|requests| requests > 0), "{report}");
    // wrk leaves in the middle of its last requests; all others were answered.
    let answered = binary.metric(r#"adumbra_jobs_total{network="private",outcome="answered"}"#).await;
    assert!(answered >= requests.unwrap_or_default() as f64, "{answered} jobs, {report}");
    let failed = binary.metric(r#"adumbra_jobs_total{network="private",outcome="broke_off"}"#).await;
    assert_eq!(failed, 0.0);
    binary.stop().await;
}

#[tokio::test]
async fn h2load_has_every_request_succeed_over_many_streams() {
    let (_nginx, _python, binary) = two_strangers().await;
    let url = format!("http://{}/small", binary.jobs());
    let report = said(program("h2load").args(["-n2000", "-c4", "-m16", &url])).await;
    assert!(report.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"), "{report}");
    assert!(report.contains("2000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{report}");
    let report = said(program("h2load").args(["--h1", "-n500", "-c4", &url])).await;
    assert!(report.contains("500 2xx, 0 3xx, 0 4xx, 0 5xx"), "{report}");
    assert_eq!(binary.metric(r#"adumbra_jobs_total{network="private",outcome="answered"}"#).await, 2500.0);
    binary.stop().await;
}

#[tokio::test]
async fn h2load_pushes_bodies_up_through_many_streams() {
    let (_nginx, _python, binary) = two_strangers().await;
    let directory = tempfile::tempdir().expect("there is room for files");
    let path = directory.path().join("upload");
    std::fs::write(&path, file(100_000)).expect("there is room for files");
    let url = format!("http://{}/python/upload", binary.jobs());
    let report = said(program("h2load").args(["-n100", "-c2", "-m8", "-d"]).arg(&path).arg(&url)).await;
    assert!(report.contains("100 2xx, 0 3xx, 0 4xx, 0 5xx"), "{report}");
}

/// Echoes, and closes as it is told to.
const WEBSOCKET_SERVICE: &str = r#"
import asyncio, websockets
async def serve(socket):
    async for message in socket:
        if message == "leave":
            await socket.close(code=4321, reason="as you wish")
            return
        await socket.send(message)
async def main():
    async with websockets.serve(serve, "127.0.0.1", 0, max_size=None) as server:
        print(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().create_future()
asyncio.run(main())
"#;

const WEBSOCKET_CLIENT: &str = r#"
import asyncio, os, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], max_size=None, subprotocols=["one", "two"]) as socket:
        for message in ["hello", "", "é" * 1000, os.urandom(1 << 20), b""]:
            await socket.send(message)
            assert await socket.recv() == message
        await (await socket.ping())
        await asyncio.gather(*(socket.send(str(n)) for n in range(200)))
        assert [await socket.recv() for _ in range(200)] == [str(n) for n in range(200)]
        await socket.send("leave")
        try:
            await socket.recv()
        except websockets.ConnectionClosed as closed:
            print(closed.rcvd.code, closed.rcvd.reason)
    try:
        async with websockets.connect(sys.argv[1]) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
            await socket.close(code=4000)
    finally:
        print("done")
asyncio.run(main())
"#;

#[tokio::test]
async fn a_websocket_library_talks_through_it_to_the_close_code() {
    let service = Python::start(WEBSOCKET_SERVICE).await;
    let binary = Binary::start(Setup::two(service.url(), service.url()).every(ON)).await;
    let url = format!("ws://{}/chat", binary.jobs());
    let output = said(python().args(["-c", WEBSOCKET_CLIENT, &url])).await;
    assert_eq!(output, "4321 as you wish\ndone\n");
}
