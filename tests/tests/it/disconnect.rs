//! A client that goes away takes everything with it that ran for its sake, however it goes and whatever ran.

use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::BodyExt;
use tests::piped::empty;
use tests::{Client, Exchange, Origin, Raw, Reply, Setup, Sidecar, within};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

const ON: &str = "shadow = \"on\"\nrepeatable = true\nwarm = true";
/// The promise is 100 ms on a machine that is not busy; what is asserted holds on any.
const CANCELLED_WITHIN: Duration = Duration::from_secs(2);

/// How a client goes away.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// It closes its HTTP/1.1 connection.
    Close,
    /// It resets its HTTP/2 stream, and keeps the connection.
    Reset,
    /// It closes its HTTP/2 connection.
    CloseTwo,
}

const WAYS: [Way; 3] = [Way::Close, Way::Reset, Way::CloseTwo];

/// A client that has sent its job and waits for the answer.
enum Waiting {
    One(Raw),
    Two { way: Way, client: Client, socket: TcpStream, reading: JoinHandle<()>, has_read: Arc<Notify> },
}

/// When a client went away, and what it did not close.
struct Left {
    way: Way,
    at: Instant,
    kept: Option<Client>,
}

impl Waiting {
    /// Sends a GET with these fields.
    async fn send(way: Way, to: &Sidecar, fields: &[(&str, &str)]) -> Self {
        if matches!(way, Way::Close) {
            let mut client = Raw::connect(to.jobs()).await;
            let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            client.write(format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n")).await;
            return Self::One(client);
        }
        let socket = TcpStream::connect(to.jobs()).expect("the sidecar accepts");
        socket.set_nonblocking(true).expect("a socket takes options");
        let io = socket.try_clone().expect("a socket has a second handle");
        let io = tokio::net::TcpStream::from_std(io).expect("the runtime takes a socket");
        let client = Client::two_over(io).await;
        let Client::Two(sender) = &client else { unreachable!("two_over speaks HTTP/2") };
        let mut asking = Client::Two(sender.clone());
        let mut request = Request::builder().method(Method::GET).uri("http://a/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(empty()).expect("a request");
        let has_read = Arc::new(Notify::new());
        let noting = Arc::clone(&has_read);
        let reading = tokio::spawn(async move {
            // A connection that was closed under it is what some of these tests are about.
            let Ok(answer) = asking.try_send(request).await else { return };
            let mut body = answer.into_body();
            while let Some(Ok(_)) = body.frame().await {
                noting.notify_one();
            }
        });
        Self::Two { way, client, socket, reading, has_read }
    }

    /// Waits for the answer's head and the first of its body.
    async fn read_some(&mut self) {
        match self {
            Self::One(client) => {
                assert_eq!(client.head().await.status, 200);
                assert!(client.chunk().await.is_some());
            }
            Self::Two { has_read, .. } => within("some of the answer arrives", has_read.notified()).await,
        }
    }

    fn leave(self) -> Left {
        let at = Instant::now();
        match self {
            Self::One(client) => {
                drop(client);
                Left { way: Way::Close, at, kept: None }
            }
            Self::Two { way: Way::CloseTwo, socket, .. } => {
                socket.shutdown(Shutdown::Both).expect("the connection is open");
                Left { way: Way::CloseTwo, at, kept: None }
            }
            Self::Two { way, client, reading, .. } => {
                reading.abort();
                Left { way, at, kept: Some(client) }
            }
        }
    }
}

impl Left {
    /// Waits until `exchange` has been cancelled at the service.
    async fn cancelled(&self, what: &str, exchange: &mut Exchange) {
        let after = exchange.gone().await.duration_since(self.at);
        println!("{:?}: {what} was cancelled after {after:?}", self.way);
        assert!(after < CANCELLED_WITHIN, "{:?}: {what} was cancelled after {after:?}", self.way);
    }
}

/// One job is over, its client went away, and nobody learned anything from it.
async fn assert_settled_as_gone(sidecar: &Sidecar, private: &Origin, plan: &str) -> serde_json::Value {
    let line = sidecar.decisions(1).await.remove(0);
    assert_eq!((line["outcome"].as_str(), line["plan"].as_str()), (Some("client_gone"), Some(plan)), "{line}");
    assert_eq!(sidecar.sum("adumbra_jobs_total", &["client_gone"]).await, 1.0);
    for network in sidecar.status().await["networks"].as_array().expect("there are networks") {
        assert_eq!(network["in_flight"], 0, "{network}");
    }
    // Labels are taken in order: when that of a later job is there, one of the first would be there, too.
    let mut later = Raw::connect(sidecar.jobs()).await;
    later.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    private.next().await.release(Reply::ok("later")).await;
    assert_eq!(later.answer().await.text(), "later");
    sidecar.metric_becomes("adumbra_labels_total", 1.0).await;
    line
}

async fn two_held(route: &str) -> (Origin, Origin, Sidecar) {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let sidecar = Setup::two(private.url(), public.url()).every(route).start();
    sidecar.swap_model(tests::model::open(1000.0));
    (private, public, sidecar)
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_head_cancels_its_job() {
    for way in WAYS {
        let private = Origin::held().await;
        let sidecar = Setup::alone(private.url()).start();
        let client = Waiting::send(way, &sidecar, &[]).await;
        let mut job = private.next().await;
        client.leave().cancelled("the job", &mut job).await;
        let line = assert_settled_as_gone(&sidecar, &private, "direct").await;
        assert_eq!(line["status"], 0, "{line}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_answer_cancels_its_job() {
    for way in WAYS {
        let private = Origin::held().await;
        let sidecar = Setup::alone(private.url()).start();
        let mut client = Waiting::send(way, &sidecar, &[]).await;
        let mut job = private.next().await;
        job.begin_chunked("").await;
        job.chunk(b"some").await;
        client.read_some().await;
        client.leave().cancelled("the job", &mut job).await;
        let line = assert_settled_as_gone(&sidecar, &private, "direct").await;
        assert_eq!((line["status"].as_u64(), line["response_bytes"].as_u64()), (Some(200), Some(4)), "{line}");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_lead_and_its_shadow() {
    for way in WAYS {
        let (private, public, sidecar) = two_held(ON).await;
        let client = Waiting::send(way, &sidecar, &[]).await;
        let (mut lead, mut shadow) = (private.next().await, public.next().await);
        let left = client.leave();
        left.cancelled("the lead", &mut lead).await;
        left.cancelled("the shadow", &mut shadow).await;
        let ended = r#"adumbra_shadows_ended_total{network="public",end="cancelled"}"#;
        sidecar.metric_becomes(ended, 1.0).await;
        assert_settled_as_gone(&sidecar, &private, "lead").await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_while_its_job_is_held_cancels_every_probe() {
    for way in WAYS {
        let (private, public, sidecar) = two_held(&format!("{ON}\nhold = true")).await;
        let client = Waiting::send(way, &sidecar, &[]).await;
        let (mut at_home, mut away) = (private.next().await, public.next().await);
        let left = client.leave();
        left.cancelled("the probe at home", &mut at_home).await;
        left.cancelled("the probe away", &mut away).await;
        assert_settled_as_gone(&sidecar, &private, "probe").await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_a_sample_that_ran_for_its_job() {
    for way in WAYS {
        let (private, public) = (Origin::held().await, Origin::held().await);
        let sidecar = Setup::two(private.url(), public.url()).set("shadow.sample_share", "1.0").every(ON).start();
        let client = Waiting::send(way, &sidecar, &[]).await;
        let (mut lead, mut shadow) = (private.next().await, public.next().await);
        let left = client.leave();
        left.cancelled("the job", &mut lead).await;
        left.cancelled("the sample", &mut shadow).await;
        assert_settled_as_gone(&sidecar, &private, "sample").await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_in_an_adopted_answer_cancels_what_was_adopted() {
    for way in WAYS {
        let (private, public, sidecar) = two_held(ON).await;
        let mut client = Waiting::send(way, &sidecar, &[]).await;
        let (mut lead, mut shadow) = (private.next().await, public.next().await);
        shadow.progress(0.9).await;
        lead.gone().await;
        shadow.begin_chunked("").await;
        shadow.chunk(b"some").await;
        client.read_some().await;
        client.leave().cancelled("the adopted shadow", &mut shadow).await;
        let line = sidecar.decisions(1).await.remove(0);
        assert_eq!((line["outcome"].as_str(), line["action"].as_str()), (Some("client_gone"), Some("adopt")), "{line}");
        assert_eq!(line["target"], "public", "{line}");
        sidecar.metric_becomes(r#"adumbra_shadows_in_flight{network="public"}"#, 0.0).await;
        assert_eq!((private.begun(), public.begun()), (1, 1));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_warming_for_its_job() {
    for way in WAYS {
        let (private, data) = (Origin::held().await, Origin::held().await);
        let sidecar = Setup::alone(private.url()).set("data.origins", format!("[{:?}]", data.url())).every(ON).start();
        let link = format!("<{}/input>; rel=preload", data.url());
        let client = Waiting::send(way, &sidecar, &[("link", &link)]).await;
        let (mut job, mut fetch) = (private.next().await, data.next().await);
        let left = client.leave();
        left.cancelled("the job", &mut job).await;
        left.cancelled("the warming", &mut fetch).await;
        assert_settled_as_gone(&sidecar, &private, "direct").await;
        assert_eq!(sidecar.metric("adumbra_data_warmed_objects_total").await, 0.0);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_what_runs_behind_a_far_sidecar() {
    for way in WAYS {
        let (private, public, data) = (Origin::held().await, Origin::held().await, Origin::held().await);
        let far = Setup::alone(public.url()).set("data.origins", format!("[{:?}]", data.url())).start();
        let near = Setup::with_peer(private.url(), &far).every(ON).start();
        near.swap_model(tests::model::settled(1000.0, 1.0));
        near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
        let link = format!("<{}/input>; rel=preload", data.url());
        let client = Waiting::send(way, &near, &[("link", &link)]).await;
        let (mut job, mut fetch) = (public.next().await, data.next().await);
        let left = client.leave();
        left.cancelled("the transferred job", &mut job).await;
        left.cancelled("the far warming", &mut fetch).await;
        for sidecar in [&near, &far] {
            let line = sidecar.decisions(1).await.remove(0);
            assert_eq!(line["outcome"], "client_gone", "{line}");
        }
        assert_eq!(private.begun(), 0);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_shadow_behind_a_far_sidecar() {
    let (private, public) = (Origin::held().await, Origin::held().await);
    let far = Setup::alone(public.url()).start();
    let near = Setup::with_peer(private.url(), &far).every(ON).start();
    near.swap_model(tests::model::open(1000.0));
    near.metric_becomes(r#"adumbra_network_healthy{network="public"}"#, 1.0).await;
    let client = Waiting::send(Way::Close, &near, &[]).await;
    let (mut lead, mut shadow) = (private.next().await, public.next().await);
    let left = client.leave();
    left.cancelled("the lead", &mut lead).await;
    left.cancelled("the far shadow", &mut shadow).await;
    far.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
    far.metric_becomes(r#"adumbra_shadows_in_flight{network="private"}"#, 0.0).await;
}

#[tokio::test]
async fn a_stream_that_is_reset_leaves_the_others_on_its_connection_alone() {
    let private = Origin::held().await;
    let sidecar = Setup::alone(private.url()).start();
    let client = Waiting::send(Way::Reset, &sidecar, &[]).await;
    let mut job = private.next().await;
    let left = client.leave();
    left.cancelled("the job", &mut job).await;
    let mut same = left.kept.expect("the connection is kept");
    let request = Request::get("http://a/").body(empty()).expect("a request");
    let (answer, ()) =
        tokio::join!(same.send(request), async { private.next().await.release(Reply::ok("still here")).await });
    assert_eq!(tests::client::whole(answer.into_body()).await.0, "still here");
}

#[tokio::test]
async fn a_job_of_a_route_that_finishes_runs_on_when_its_client_goes_away() {
    for way in WAYS {
        let private = Origin::held().await;
        // One worker: each has connections of its own to the service.
        let sidecar = Setup::alone(private.url()).set("workers", 1).every("finish = true").start();
        let client = Waiting::send(way, &sidecar, &[]).await;
        let mut job = private.next().await;
        let _left = client.leave();
        if !matches!(way, Way::Reset) {
            // That the client has gone is known when only the question itself is open.
            sidecar.metric_becomes("adumbra_connections_open", 1.0).await;
        }
        // The service answers, and its connection is as good as before: all of the answer was taken.
        job.begin_chunked("").await;
        job.chunk(b"all of it").await;
        job.end_chunked().await;
        let line = sidecar.decisions(1).await.remove(0);
        assert_eq!(line["status"], 200, "{way:?}: {line}");
        let (answer, number) = tokio::join!(sidecar.get("/"), async {
            let next = private.next().await;
            let number = next.request.connection;
            next.release(Reply::ok("next")).await;
            number
        });
        assert_eq!((answer.text().as_str(), number), ("next", 0), "{way:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_upload_is_held_back_takes_its_job_with_it() {
    let service = Origin::held_at_head().await;
    let sidecar = Setup::alone(service.url()).start();
    for resets in [true, false] {
        let socket = tokio::net::TcpSocket::new_v4().expect("there are sockets");
        // What it has not been able to send when it leaves is little, and there is room for that.
        socket.set_send_buffer_size(16 << 10).expect("a socket takes options");
        let client = socket.connect(sidecar.jobs()).await.expect("the sidecar accepts");
        if resets {
            client.set_zero_linger().expect("a socket takes options");
        }
        let mut client = Raw::over(client);
        client.write("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n").await;
        let mut job = service.next().await;
        // Until nothing more goes in for long, and then a little out, so that what the client has written is all here.
        let piece = [b'x'; 4096];
        while let Ok(written) = tokio::time::timeout(Duration::from_millis(500), client.offer(&piece)).await {
            written.expect("the sidecar is there");
        }
        job.read(1 << 20).await;
        drop(client);
        let left = Instant::now();
        sidecar.metric_becomes(r#"adumbra_network_in_flight{network="private"}"#, 0.0).await;
        assert!(left.elapsed() < CANCELLED_WITHIN, "resets: {resets}");
        job.drained_until_gone().await;
    }
}
