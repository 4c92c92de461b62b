//! What is on disk: it outlives the process, however that ends, and is believed only as far as it is sound.

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tests::binary::Binary;
use tests::{Answer, Origin, Raw, Setup, eventually};

use super::{CACHED, HIT, fresh, get, status};

/// One of three lengths by its path: in memory, on disk only, and of many blocks.
fn body(path: &str) -> Vec<u8> {
    let length: u32 = path.trim_start_matches('/').parse().expect("a path is a length");
    (0..length).map(|n| (n ^ n >> 8) as u8).collect()
}

const PATHS: [&str; 3] = ["/1000", "/300000", "/5000000"];

async fn origin() -> Origin {
    Origin::answering(|request| fresh(body(&request.target)).field("etag", "\"a\"")).await
}

fn setup(origin: &Origin, directory: &Path) -> Setup {
    Setup::alone(origin.url())
        .set("cache.small", "\"64KiB\"")
        .set("cache.directory", format!("{directory:?}"))
        .every(CACHED)
}

async fn start(origin: &Origin, directory: &Path) -> Binary {
    is_ready(Binary::start(setup(origin, directory)).await).await
}

/// What is on disk is taken up beside everything else.
async fn is_ready(binary: Binary) -> Binary {
    eventually("the files are taken up", async || binary.log().contains("has taken up what is on disk")).await;
    binary
}

async fn ask(binary: &Binary, path: &str) -> Answer {
    Raw::ask(binary.jobs(), get(path, "")).await
}

async fn fill(binary: &Binary) {
    for path in PATHS {
        assert!(ask(binary, path).await.body == body(path));
    }
    let stored = PATHS.len() as f64;
    eventually("all are stored", async || binary.metric("adumbra_cache_stored_answers_total").await == stored).await;
}

fn objects(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("it can be listed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "obj"));
    paths.sort();
    paths
}

#[tokio::test]
async fn what_is_stored_outlives_a_kill_and_what_was_half_written_is_gone() {
    let (origin, directory) = (origin().await, tempfile::tempdir().expect("there is room"));
    let binary = start(&origin, directory.path()).await;
    fill(&binary).await;
    // Killed amid a body, which leaves a file that is not whole.
    let held = Origin::held().await;
    let elsewhere = tempfile::tempdir().expect("there is room");
    let other = is_ready(Binary::start(setup(&held, elsewhere.path())).await).await;
    let mut client = Raw::connect(other.jobs()).await;
    client.write(get("/", "")).await;
    let mut exchange = held.next().await;
    exchange.begin_chunked("cache-control: max-age=60\r\n").await;
    for _ in 0..20 {
        exchange.chunk(&vec![7; 100_000]).await;
    }
    let parts = || std::fs::read_dir(elsewhere.path()).expect("it can be listed").filter_map(Result::ok);
    let is_part = |path: PathBuf| path.extension().is_some_and(|kind| kind == "part");
    eventually("it is being written", async || parts().any(|entry| is_part(entry.path()))).await;
    other.kill().await;
    assert!(parts().any(|entry| is_part(entry.path())), "nobody had the time to remove it");
    let other = is_ready(Binary::start(setup(&held, elsewhere.path())).await).await;
    assert_eq!(other.metric("adumbra_cache_discarded_files_total").await, 1.0);
    assert!(!parts().any(|entry| is_part(entry.path())));
    drop(other);
    binary.kill().await;
    let binary = start(&origin, directory.path()).await;
    assert_eq!(binary.metric("adumbra_cache_entries").await, 3.0);
    for path in PATHS {
        let answer = ask(&binary, path).await;
        assert_eq!((status(&answer).as_str(), answer.field("etag")), (HIT, "\"a\""), "{path}");
        assert!(answer.body == body(path), "{path}");
    }
    assert_eq!(origin.begun(), 3, "nothing was fetched again");
    let range = Raw::ask(binary.jobs(), get("/5000000", "range: bytes=4000000-4000009\r\n")).await;
    assert!(range.status == 206 && range.body == body("/5000000")[4_000_000..4_000_010]);
    binary.stop().await;
}

#[tokio::test]
async fn what_is_damaged_is_never_given_and_fetched_again() {
    let (origin, directory) = (origin().await, tempfile::tempdir().expect("there is room"));
    let binary = start(&origin, directory.path()).await;
    fill(&binary).await;
    binary.stop().await;
    let files = objects(directory.path());
    assert_eq!(files.len(), 3);
    // A bit in the first block of each, where no check but that of the block looks.
    for file in &files {
        let file = std::fs::File::options().read(true).write(true).open(file).expect("it opens");
        let mut byte = [0];
        file.read_exact_at(&mut byte, 500).expect("it is read");
        file.write_all_at(&[byte[0] ^ 0x10], 500).expect("it is written");
    }
    let binary = start(&origin, directory.path()).await;
    assert_eq!(binary.metric("adumbra_cache_entries").await, 3.0, "nobody has looked yet");
    for path in PATHS {
        let answer = ask(&binary, path).await;
        assert!(answer.status == 200 && answer.body == body(path), "{path}");
    }
    assert_eq!(origin.begun(), 6);
    assert_eq!(binary.metric(r#"adumbra_cache_dropped_answers_total{reason="damaged"}"#).await, 3.0);
    binary.stop().await;
    // Cut, and with a later block that is wrong.
    let files = objects(directory.path());
    let file = std::fs::File::options().write(true).open(&files[0]).expect("it opens");
    file.set_len(700).expect("it is cut");
    let large = files.iter().max_by_key(|file| file.metadata().map(|about| about.len()).unwrap_or(0));
    let file = std::fs::File::options().write(true).open(large.expect("there are files")).expect("it opens");
    file.write_all_at(&[0; 64], 3_000_000).expect("it is written");
    let binary = start(&origin, directory.path()).await;
    assert_eq!(binary.metric("adumbra_cache_entries").await, 2.0);
    let mut client = Raw::connect(binary.jobs()).await;
    client.write(get("/5000000", "")).await;
    assert_eq!(client.head().await.field("content-length"), "5000000");
    let got = client.to_end().await;
    assert!(got.len() < 3_000_000 && got == body("/5000000")[..got.len()], "what was sound, and then it broke off");
    assert!(ask(&binary, "/5000000").await.body == body("/5000000"), "it was fetched again");
    binary.stop().await;
}

#[tokio::test]
async fn a_disk_that_is_full_costs_nobody_an_answer() {
    let (origin, directory) = (origin().await, tempfile::tempdir().expect("there is room"));
    // The kernel says that a file of more than 200 KiB has no room, as it says it of a full disk.
    let under = ["env", "--ignore-signal=XFSZ", "prlimit", "--fsize=204800"];
    let binary = is_ready(Binary::start_under(&under, setup(&origin, directory.path())).await).await;
    for _ in 0..3 {
        for path in PATHS {
            assert!(ask(&binary, path).await.body == body(path), "{path}");
        }
    }
    let refused = binary.metric(r#"adumbra_cache_not_stored_total{reason="disk"}"#).await;
    assert!(refused >= 2.0, "{refused}");
    assert_eq!(status(&ask(&binary, "/1000").await), HIT, "what fits is stored");
    eventually("nothing is left of what did not fit", async || {
        let entries = std::fs::read_dir(directory.path()).expect("it can be listed");
        entries.filter_map(Result::ok).all(|entry| entry.path().extension().is_none_or(|kind| kind != "part"))
    })
    .await;
    binary.stop().await;
}

#[tokio::test]
async fn large_bodies_go_to_disk_with_flat_memory() {
    let origin = Origin::answering(|_| fresh(vec![b'x'; 120 << 20])).await;
    let directory = tempfile::tempdir().expect("there is room");
    let binary = start(&origin, directory.path()).await;
    let before = binary.peak_bytes();
    for (n, stored) in [(0, 1.0), (1, 2.0), (0, 2.0)] {
        let mut client = Raw::connect(binary.jobs()).await;
        client.write(get(&format!("/{n}"), "")).await;
        assert_eq!(client.head().await.field("content-length"), (120 << 20).to_string());
        for _ in 0..120 {
            assert!(client.read(1 << 20).await.iter().all(|byte| *byte == b'x'));
        }
        eventually("it is stored", async || binary.metric("adumbra_cache_stored_answers_total").await == stored).await;
    }
    let grown = binary.peak_bytes() - before;
    assert!(grown < 40 << 20, "{grown} bytes for bodies of 120 MiB");
    assert_eq!(origin.begun(), 2);
    binary.stop().await;
}

#[tokio::test]
async fn many_read_a_large_body_while_it_comes_and_is_written() {
    let (origin, directory) = (origin().await, tempfile::tempdir().expect("there is room"));
    let binary = start(&origin, directory.path()).await;
    let mut reading = Vec::new();
    for _ in 0..40 {
        let to = binary.jobs();
        reading.push(tokio::spawn(async move { Raw::ask(to, get("/5000000", "")).await }));
    }
    for reading in reading {
        assert!(reading.await.expect("no panic").body == body("/5000000"));
    }
    assert_eq!(origin.begun(), 1);
    binary.stop().await;
}

#[tokio::test]
async fn what_was_changed_before_the_files_were_taken_up_is_not_given() {
    let (origin, directory) = (origin().await, tempfile::tempdir().expect("there is room"));
    let first = start(&origin, directory.path()).await;
    fill(&first).await;
    // The directory is still another's: this one begins without.
    let second = Binary::start(setup(&origin, directory.path())).await;
    eventually("it waits", async || second.log().contains("waits for its directory")).await;
    let delete = "DELETE /300000 HTTP/1.1\r\nhost: service\r\ncontent-length: 0\r\n\r\n";
    Raw::ask(second.jobs(), delete).await;
    first.stop().await;
    let second = is_ready(second).await;
    let begun = origin.begun();
    assert_eq!(status(&ask(&second, "/5000000").await), HIT);
    assert_eq!(status(&ask(&second, "/300000").await), super::STORED);
    assert_eq!(origin.begun(), begun + 1);
    second.stop().await;
}
