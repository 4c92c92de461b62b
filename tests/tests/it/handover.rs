//! A new binary takes over the listening sockets, and nobody who asks notices.

use http::Request;
use rustix::process::Signal;
use tests::kept::is_gone;
use tests::piped::empty;
use tests::{Askers, Binary, Client, Origin, Raw, Reply, Service, Setup, eventually, within};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
const UPGRADES: usize = 3;
const REQUESTS: u64 = 3000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_upgrades_fail_no_request() {
    let service = Service::start(tests::askers::echo).await;
    let mut binary = Binary::start(Setup::alone(service.url()).set("drain", r#""25s""#)).await;
    let askers = Askers::start(binary.jobs());
    for _ in 0..UPGRADES {
        askers.get_more(200).await;
        let old = binary.upgrade().await;
        // Every client goes on asking, so each of its connections has a next answer.
        is_gone(old).await;
    }
    askers.get(REQUESTS).await;
    let (well, failed) = askers.end().await;
    assert_eq!(failed, 0, "of {}: {}", well + failed, binary.log());
    binary.stop().await;
}

#[tokio::test]
async fn a_connection_that_waits_for_its_next_request_gets_an_answer_and_is_told_to_go() {
    let origin = Origin::named("here").await;
    let mut binary = Binary::start(Setup::alone(origin.url()).set("drain", r#""25s""#)).await;
    let mut kept = Raw::connect(binary.jobs()).await;
    kept.write(GET).await;
    assert_eq!(kept.answer().await.values("connection"), [""; 0]);
    // It has connected, and said nothing yet.
    let mut silent = Raw::connect(binary.jobs()).await;
    let old = binary.upgrade().await;
    for client in [&mut kept, &mut silent] {
        client.write(GET).await;
        let answer = client.answer().await;
        assert_eq!((answer.text(), answer.values("connection")), ("here".to_owned(), vec!["close"]));
        assert_eq!(client.to_end().await, b"");
    }
    is_gone(old).await;
    assert_eq!(Raw::ask(binary.jobs(), GET).await.values("connection"), [""; 0], "the new one has just begun");
    binary.stop().await;
}

#[tokio::test]
async fn a_job_in_flight_ends_in_the_old_process_and_one_over_http_2_too() {
    let origin = Origin::held().await;
    let mut binary = Binary::start(Setup::alone(origin.url()).set("drain", r#""25s""#)).await;
    let mut one = Raw::connect(binary.jobs()).await;
    one.write(GET).await;
    let first = origin.next().await;
    let mut two = Client::two(binary.jobs()).await;
    let asking = two.try_send(Request::get("http://a/").body(empty()).expect("a request"));
    let upgrading = async {
        let second = origin.next().await;
        let old = binary.upgrade().await;
        eventually("the new one, which has no job, serves the operator", async || {
            let admin = binary.admin();
            let ready = Raw::ask(admin, format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\n\r\n")).await;
            ready.status == 200 && binary.status().await["networks"][0]["in_flight"] == 0
        })
        .await;
        first.release(Reply::ok("one")).await;
        second.release(Reply::ok("two")).await;
        old
    };
    let (answer, old) = tokio::join!(asking, upgrading);
    assert_eq!(one.answer().await.text(), "one");
    let (body, _) = tests::client::whole(answer.expect("its stream was open before").into_body()).await;
    assert_eq!(body, "two");
    let again = || Request::get("http://a/").body(empty()).expect("a request");
    eventually("the connection takes no more", async || two.try_send(again()).await.is_err()).await;
    is_gone(old).await;
    binary.stop().await;
}

#[tokio::test]
async fn whoever_is_told_to_stop_while_it_lets_go_waits_for_no_more_requests() {
    let origin = Origin::named("here").await;
    let mut binary = Binary::start(Setup::alone(origin.url()).set("drain", r#""10m""#)).await;
    let mut kept = Raw::connect(binary.jobs()).await;
    kept.write(GET).await;
    kept.answer().await;
    let old = binary.upgrade().await;
    rustix::process::kill_process(old, Signal::TERM).expect("it waits for the connection");
    assert_eq!(kept.to_end().await, b"");
    is_gone(old).await;
    binary.stop().await;
}

/// Sends SIGUSR2, which comes to nothing, and waits until the log says why.
async fn stays(binary: &Binary, why: &str) {
    binary.signal(Signal::USR2);
    eventually("it says that it goes on", async || {
        let log = binary.log();
        log.lines().any(|line| line.contains("no other process takes over") && line.contains(why))
    })
    .await;
    assert_eq!(Raw::ask(binary.jobs(), GET).await.text(), "here");
}

#[tokio::test]
async fn one_that_does_not_start_changes_nothing_and_the_old_one_says_why() {
    let origin = Origin::named("here").await;
    let setup = Setup::alone(origin.url());
    let mut binary = Binary::start(setup.clone()).await;
    let mut kept = Raw::connect(binary.jobs()).await;
    kept.write(GET).await;
    kept.answer().await;
    let program = std::fs::read_link(binary.link()).expect("it is a link");
    let point_to = |target: &str| {
        std::fs::remove_file(binary.link()).expect("it is there");
        std::os::unix::fs::symlink(target, binary.link()).expect("there is room for files");
    };
    // A new version that understands less than the configuration says.
    std::fs::write(binary.config(), "home = 'nowhere'\n").expect("there is room for files");
    stays(&binary, "cannot be used as it is").await;
    std::fs::write(binary.config(), setup.text()).expect("there is room for files");
    point_to("/bin/false");
    stays(&binary, "exit status: 1").await;
    point_to("/nowhere");
    stays(&binary, "cannot be started").await;
    kept.write(GET).await;
    assert_eq!(kept.answer().await.values("connection"), [""; 0], "nothing has happened to it");
    drop(kept);
    point_to(&program.display().to_string());
    let old = binary.upgrade().await;
    is_gone(old).await;
    binary.stop().await;
}

#[tokio::test]
async fn nobody_takes_over_from_nobody() {
    let program = tokio::task::spawn_blocking(tests::binary::program).await.expect("no panic");
    let files = tempfile::tempdir().expect("there is room for files");
    let config = files.path().join("adumbra.toml");
    std::fs::write(&config, Setup::alone("http://127.0.0.1:9").text()).expect("there is room for files");
    let mut command = tokio::process::Command::new(program);
    command.args(["serve", "--take-over", "--config"]).arg(config).stdin(std::process::Stdio::null());
    let output = within("it ends", command.output()).await.expect("the binary runs");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("send SIGUSR2"), "{output:?}");
}

#[tokio::test]
async fn what_is_spent_is_written_down_by_one_process_after_the_other() {
    let origin = Origin::held().await;
    let state = tempfile::tempdir().expect("there is room for files");
    let setup = Setup::two("http://127.0.0.1:9", origin.url())
        .set("drain", r#""25s""#)
        .set("state.directory", format!("\"{}\"", state.path().display()))
        .set("networks.public.price", "{ slot_second = 0.0, gib_moved = 1e6 }")
        .every("residency = [\"public\"]");
    let mut binary = Binary::start(setup).await;
    // How many bytes the money spent has moved.
    let moved = async |binary: &Binary| {
        let spent = binary.metric(r#"adumbra_network_spent_day{network="public"}"#).await;
        (spent * f64::from(1 << 30) / 1e6).round()
    };
    let mut first = Raw::connect(binary.jobs()).await;
    first.write(GET).await;
    let in_flight = origin.next().await;
    let old = binary.upgrade().await;
    // Both are there: the new one has jobs of its own, while the old one's last is under way.
    for _ in 0..2 {
        let mut client = Raw::connect(binary.jobs()).await;
        client.write(GET).await;
        origin.next().await.release(Reply::ok("new")).await;
        assert_eq!(client.answer().await.text(), "new");
    }
    in_flight.release(Reply::ok("old")).await;
    assert_eq!(first.answer().await.text(), "old");
    drop(first);
    is_gone(old).await;
    eventually("the old one's last job counts, too", async || moved(&binary).await == 9.0).await;
    assert_eq!(binary.metric("adumbra_spend_unwritten_total").await, 0.0, "to wait for it was no failure");
    // And a third one reads what both have written.
    let old = binary.upgrade().await;
    is_gone(old).await;
    eventually("nothing is lost or counted twice", async || moved(&binary).await == 9.0).await;
    binary.stop().await;
}
