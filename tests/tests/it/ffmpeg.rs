//! ffmpeg behind the adapter of `deploy/ffmpeg`: real transcodes, whose progress adumbra sees while they run.

use std::path::Path;

use tests::stranger::{Python, program, said};
use tests::{Raw, Setup, Sidecar, eventually};

const ROUTE: &str = "match.path = \"/transcode*\"\nshadow = \"on\"\nrepeatable = true\n\
                     progress = { poll = \"/progress/{id}\", every = \"50ms\" }";
/// Seconds of the video that is transcoded.
const SECONDS: u32 = 20;

/// The adapter, with these options.
async fn adapter(options: &[&str]) -> Python {
    let file = tests::binary::workspace().join("deploy/ffmpeg/transcode.py");
    let arguments = [&["transcode", "--port", "0"], options].concat();
    Python::start(&format!(
        "import runpy, sys\nsys.argv = {arguments:?}\nrunpy.run_path({file:?}, run_name='__main__')"
    ))
    .await
}

/// A video that ffmpeg makes up.
async fn video(directory: &Path) -> Vec<u8> {
    let file = directory.join("in.mp4");
    let source = format!("testsrc2=size=320x240:rate=25:duration={SECONDS}");
    let arguments = ["-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", &source, "-preset", "ultrafast", "-y"];
    said(program("ffmpeg").args(arguments).arg(&file)).await;
    std::fs::read(&file).expect("ffmpeg wrote it")
}

fn post(video: &[u8], fields: &str) -> Vec<u8> {
    let head = format!("POST /transcode HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n{fields}\r\n", video.len());
    [head.as_bytes(), video].concat()
}

/// What ffprobe says of an answer: its codec, and whether it is as long as what was sent.
async fn assert_transcoded(directory: &Path, answer: &[u8]) {
    let file = directory.join("out.mp4");
    std::fs::write(&file, answer).expect("there is room for files");
    let entries = ["-v", "error", "-show_entries", "stream=codec_name:format=duration", "-of", "csv=p=0"];
    let seen = said(program("ffprobe").args(entries).arg(&file)).await;
    let (codec, seconds) = seen.trim().split_once('\n').expect("a stream and a format");
    let seconds: f64 = seconds.trim().parse().expect("a duration");
    assert_eq!(codec.trim(), "h264");
    assert!((seconds - f64::from(SECONDS)).abs() < 1.0, "{seconds} s");
}

async fn status(sidecar: &Sidecar, id: &str) -> serde_json::Value {
    let request = format!("GET /.well-known/adumbra/dispatch/{id} HTTP/1.1\r\nhost: adumbra\r\n\r\n");
    serde_json::from_slice(&Raw::ask(sidecar.peers(), request).await.body).unwrap_or_default()
}

#[tokio::test]
async fn a_transcode_is_moved_to_where_ffmpeg_is_faster_by_its_own_progress() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let video = video(directory.path()).await;
    let slow = adapter(&["--preset", "veryslow", "--threads", "1"]).await;
    let fast = adapter(&["--preset", "ultrafast", "--threads", "1"]).await;
    let sidecar = Setup::two(slow.url(), fast.url()).every(ROUTE).start();
    sidecar.swap_model(tests::model::open(1000.0));
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(post(&video, "")).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_transcoded(directory.path(), &answer.body).await;
    let decided = answer.decision();
    assert_eq!((decided.network.as_str(), decided.action.as_str()), ("public", "adopt"), "{decided:?}");
    let line = sidecar.logged(&decided).await;
    let seen = &line["progress"]["public"];
    assert_eq!(seen["source"], "polled", "{line}");
    assert!(seen["share"].as_f64().is_some_and(|share| share > 0.0 && share <= 1.0), "{line}");
    assert!(sidecar.metric(r#"adumbra_progress_source_total{source="polled"}"#).await >= 1.0);
}

#[tokio::test]
async fn the_progress_of_a_transcode_moves_and_a_client_that_goes_takes_its_ffmpeg_along() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let video = video(directory.path()).await;
    for (interim, source) in [(&["--interim"][..], "interim"), (&[], "polled")] {
        let options = [&["--preset", "veryslow", "--threads", "1"], interim].concat();
        let service = adapter(&options).await;
        let far = Setup::alone(service.url()).every(ROUTE).start();
        let mut client = Raw::connect(far.peers()).await;
        client.write(post(&video, "adumbra-transfer: moving\r\n")).await;
        let mut shares: Vec<f64> = Vec::new();
        eventually("its progress moves", async || {
            let status = status(&far, "moving").await;
            if let Some(share) = status["progress"].as_f64().filter(|share| shares.last() != Some(share)) {
                assert_eq!(status["source"], source, "{status}");
                shares.push(share);
            }
            shares.len() >= 3
        })
        .await;
        assert!(shares.is_sorted() && shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
        drop(client);
        let progress = "GET /progress/moving HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let address = service.url().strip_prefix("http://").and_then(|a| a.parse().ok()).expect("an address");
        eventually("its ffmpeg is gone", async || Raw::ask(address, progress).await.status == 404).await;
    }
}
