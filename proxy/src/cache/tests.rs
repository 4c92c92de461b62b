//! What is stored, how it goes, and what outlives the process, without a network: answers are handed in.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;

use super::*;
use crate::cache::receive::Received;

/// A cache with a directory, and a route that is cached.
struct Stage {
    directory: tempfile::TempDir,
    more: String,
}

impl Stage {
    fn new(more: &str) -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), more: more.to_owned() }
    }

    fn config(&self, is_cached: bool) -> Config {
        let text = format!(
            "home = \"a\"\n[listen]\njobs = \"127.0.0.1:0\"\n[networks.a]\nupstreams = [\"http://127.0.0.1:1\"]\n[[routes]]\nname = \"r\"\ncache = {is_cached}\n\
             [cache]\ndirectory = {:?}\n{}",
            self.directory.path(),
            self.more
        );
        config::parse(&text, "test").unwrap_or_else(|errors| panic!("{errors}"))
    }

    async fn start(&self) -> Arc<Cache> {
        let cache = Cache::new(&self.config(true), &Arc::new(Metrics::default()));
        wait_for(|| cache.disk.get().is_some() && cache.changed_early.lock().is_none()).await;
        cache
    }
}

async fn wait_for(condition: impl Fn() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "it never came to that");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn request(target: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::builder().uri(target).header("host", "h");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Body::Empty).expect("a request")
}

fn response(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    let mut response = response.body(Body::full(body.to_vec().into())).expect("a response");
    response.extensions_mut().insert(Provenance { is_framed: true, is_a_shadows: false });
    response
}

const MINUTE: (&str, &str) = ("cache-control", "max-age=60");

async fn lead(cache: &Arc<Cache>, request: &Request<Body>) -> Fetch {
    let asked = cache.ask(Scheme::Http, "r", request).expect("it is for the cache");
    let found = match cache.look(&asked, request.headers()) {
        Looked::Outdated(found) => Some(found),
        Looked::Nothing => None,
        Looked::Fresh(_) | Looked::Stale(_) => panic!("it is stored already"),
    };
    match cache.turn_of(&asked, request.headers(), found).await {
        Turn::Fetches(fetch) => fetch,
        Turn::Shares(_) | Turn::Alone(_) | Turn::Again => panic!("nobody else fetches it"),
    }
}

/// Sends a request whose answer is this, and waits until it is stored or not.
async fn fetch(cache: &Arc<Cache>, mut request: Request<Body>, answer: Response<Body>) -> (HeaderMap, Vec<u8>) {
    let mut fetch = lead(cache, &request).await;
    fetch.prepare(&mut request);
    let before = cache.metrics.cache.so_far();
    let Received::Answer(answer) = cache.receive(fetch, answer).await else { panic!("it is an answer") };
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.expect("it is whole").to_bytes().to_vec();
    let settled = || {
        let now = cache.metrics.cache.so_far();
        now.stored > before.stored || now.not_stored > before.not_stored
    };
    wait_for(settled).await;
    (parts.headers, body)
}

/// What is stored for a request.
async fn hit(cache: &Arc<Cache>, request: &Request<Body>) -> Option<(StatusCode, HeaderMap, Vec<u8>)> {
    let asked = cache.ask(Scheme::Http, "r", request).expect("it is for the cache");
    let Looked::Fresh(found) = cache.look(&asked, request.headers()) else { return None };
    let answer = cache.answer(&asked, request.headers(), &found, Staleness::Fresh).await?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.ok()?.to_bytes().to_vec();
    Some((parts.status, parts.headers, body))
}

#[tokio::test]
async fn what_was_stored_is_given_again_whole_in_parts_and_not_at_all() {
    let stage = Stage::new("");
    let cache = stage.start().await;
    let answer =
        response(200, &[MINUTE, ("etag", "\"a\""), ("content-type", "text/plain"), ("age", "5")], b"0123456789");
    let (headers, body) = fetch(&cache, request("/", &[]), answer).await;
    assert_eq!(
        (&headers["cache-status"], &*body),
        (&"adumbra; fwd=uri-miss; stored".parse().expect("a value"), &b"0123456789"[..])
    );
    let check = async |headers: &[(&str, &str)], status: u16, expected: &[u8]| {
        let (found, fields, body) = hit(&cache, &request("/", headers)).await.expect("it is stored");
        assert_eq!((found.as_u16(), &*body), (status, expected), "{headers:?}");
        assert!(fields["cache-status"].to_str().expect("text").starts_with("adumbra; hit; ttl="));
        assert!(fields["age"].to_str().expect("text").parse::<u64>().expect("a number") >= 5);
        fields
    };
    assert_eq!(check(&[], 200, b"0123456789").await["content-length"], "10");
    assert_eq!(check(&[("range", "bytes=2-4")], 206, b"234").await["content-range"], "bytes 2-4/10");
    assert_eq!(check(&[("range", "bytes=20-")], 416, b"").await["content-range"], "bytes */10");
    let fields = check(&[("if-none-match", "\"a\"")], 304, b"").await;
    assert!(
        !fields.contains_key("content-type") && !fields.contains_key("content-length") && fields.contains_key("etag")
    );
}

#[tokio::test]
async fn large_ones_are_on_disk_and_all_outlive_the_process() {
    let stage = Stage::new("small = \"64KiB\"\n");
    let cache = stage.start().await;
    let (large, small) = (vec![7; 3 << 20], b"small".to_vec());
    fetch(&cache, request("/large", &[]), response(200, &[MINUTE], &large)).await;
    fetch(&cache, request("/small", &[("accept", "x")]), response(200, &[MINUTE, ("vary", "accept")], &small)).await;
    assert!(cache.memory.used_bytes() < 100 << 10, "the large one is not in memory");
    assert_eq!(hit(&cache, &request("/large", &[])).await.expect("it is stored").2, large);
    drop(cache);
    let cache = stage.start().await;
    assert_eq!(cache.metrics.cache.so_far().entries, 2);
    let (_, _, body) =
        hit(&cache, &request("/large", &[("range", "bytes=100000-2000000")])).await.expect("it is stored");
    assert_eq!(body.len(), 1_900_001);
    assert_eq!(hit(&cache, &request("/small", &[("accept", "x")])).await.expect("it is stored").2, small);
    assert!(hit(&cache, &request("/small", &[("accept", "y")])).await.is_none());
}

#[tokio::test]
async fn what_was_changed_is_not_given_again_not_even_by_a_fetch_that_began_before() {
    let stage = Stage::new("");
    let cache = stage.start().await;
    fetch(&cache, request("/a", &[("x-forwarded-host", "e")]), response(200, &[MINUTE], b"old")).await;
    let mut early = request("/a", &[]);
    let mut fetching = lead(&cache, &early).await;
    fetching.prepare(&mut early);
    let mut post = request("/a", &[]);
    *post.method_mut() = http::Method::POST;
    let changing = Changing::of(&post);
    cache.changed(&changing, StatusCode::INTERNAL_SERVER_ERROR, &HeaderMap::new());
    assert!(hit(&cache, &request("/a", &[("x-forwarded-host", "e")])).await.is_some(), "what failed changed nothing");
    cache.changed(&changing, StatusCode::OK, &HeaderMap::new());
    assert!(hit(&cache, &request("/a", &[("x-forwarded-host", "e")])).await.is_none());
    let Received::Answer(answer) = cache.receive(fetching, response(200, &[MINUTE], b"old")).await else { panic!() };
    assert_eq!(&*answer.into_body().collect().await.expect("it is whole").to_bytes(), b"old", "its client has it");
    wait_for(|| cache.metrics.cache.so_far().not_stored == 1).await;
    assert!(hit(&cache, &request("/a", &[])).await.is_none());
    // What an answer names on the same host has changed, too.
    fetch(&cache, request("/b?x", &[]), response(200, &[MINUTE], b"old")).await;
    let location = response(201, &[("location", "/b?x")], b"");
    cache.changed(&changing, location.status(), location.headers());
    assert!(hit(&cache, &request("/b?x", &[])).await.is_none());
    fetch(&cache, request("/b?x", &[]), response(200, &[MINUTE], b"old")).await;
    let elsewhere = response(201, &[("location", "http://other/b?x")], b"");
    cache.changed(&changing, elsewhere.status(), elsewhere.headers());
    assert!(hit(&cache, &request("/b?x", &[])).await.is_some());
}

#[tokio::test]
async fn a_304_renews_what_is_stored_if_it_speaks_of_that() {
    let stage = Stage::new("");
    let cache = stage.start().await;
    let old = response(
        200,
        &[("cache-control", "no-cache"), ("etag", "W/\"a\""), ("x-n", "1"), ("content-type", "t")],
        b"body",
    );
    fetch(&cache, request("/", &[]), old).await;
    let mut again = request("/", &[("if-none-match", "\"other\"")]);
    let mut fetching = lead(&cache, &again).await;
    fetching.prepare(&mut again);
    assert_eq!(again.headers()["if-none-match"], "W/\"a\"", "what its client has is not what is asked about");
    let new = response(304, &[MINUTE, ("etag", "\"a\""), ("x-n", "2"), ("content-type", "other")], b"");
    let Received::Answer(answer) = cache.receive(fetching, new).await else { panic!("it is renewed") };
    assert_eq!((answer.status(), &answer.headers()["x-n"]), (StatusCode::OK, &"2".parse().expect("a value")));
    assert_eq!(answer.headers()["content-type"], "t", "a 304 does not describe the body");
    let (_, headers, body) = hit(&cache, &request("/", &[])).await.expect("it is fresh again");
    assert_eq!(
        (&*body, &headers["x-n"], cache.metrics.cache.so_far().entries),
        (&b"body"[..], &"2".parse().expect("a value"), 1)
    );
    // Another tag is another answer: it has to be fetched whole.
    let mut forced = request("/", &[("cache-control", "no-cache")]);
    let mut fetching = lead(&cache, &forced).await;
    fetching.prepare(&mut forced);
    let odd = response(304, &[MINUTE, ("etag", "\"b\"")], b"");
    let Received::Again(mut whole) = cache.receive(fetching, odd).await else { panic!("it is no answer") };
    let mut request = Request::new(());
    whole.prepare(&mut request);
    assert!(request.headers().is_empty());
}

#[tokio::test]
async fn what_is_stale_answers_in_need() {
    let stage = Stage::new("");
    let cache = stage.start().await;
    let old = response(200, &[("cache-control", "max-age=0, stale-if-error=60"), ("etag", "\"a\"")], b"body");
    fetch(&cache, request("/", &[]), old).await;
    for status in [500, 502, 503, 504] {
        let mut again = request("/", &[]);
        let mut fetching = lead(&cache, &again).await;
        fetching.prepare(&mut again);
        let failed = response(status, &[], b"failed");
        let Received::Answer(answer) = cache.receive(fetching, failed).await else { panic!("it is an answer") };
        assert_eq!(
            answer.headers()["cache-status"].to_str().expect("text").split("; ttl").next(),
            Some("adumbra; hit; fwd=stale; detail=stale-if-error")
        );
        assert_eq!(&*answer.into_body().collect().await.expect("it is whole").to_bytes(), b"body");
    }
    assert_eq!(cache.metrics.cache.so_far().stale, 4);
}

#[tokio::test]
async fn every_bound_holds_and_what_bites_is_counted() {
    let stage = Stage::new(
        "memory = \"256KiB\"\nsmall = \"16KiB\"\ndisk = \"1MiB\"\nobject = \"400KiB\"\nentries = 40\nvariants = 3\n",
    );
    let cache = stage.start().await;
    for n in 0..200 {
        fetch(&cache, request(&format!("/{n}"), &[]), response(200, &[MINUTE], &vec![1; 20 << 10])).await;
        assert!(cache.memory.used_bytes() <= 256 << 10);
        assert!(cache.disk.get().expect("a disk").used_bytes() <= 1 << 20);
        assert!(cache.metrics.cache.so_far().entries <= 40);
    }
    assert!(hit(&cache, &request("/199", &[])).await.is_some());
    let so_far = cache.metrics.cache.so_far();
    assert_eq!(so_far.stored, 200);
    assert_eq!(so_far.evicted_bytes, (200 - so_far.entries) * (20 << 10));
    fetch(&cache, request("/long", &[]), response(200, &[MINUTE], &vec![1; 500 << 10])).await;
    assert!(hit(&cache, &request("/long", &[])).await.is_none());
    for n in 0..50 {
        let vary = response(200, &[MINUTE, ("vary", "x-n")], b"v");
        fetch(&cache, request("/vary", &[("x-n", &n.to_string())]), vary).await;
    }
    let mut left = 0;
    for n in 0..50 {
        left += u32::from(hit(&cache, &request("/vary", &[("x-n", &n.to_string())])).await.is_some());
    }
    assert_eq!(left, 3, "a client cannot make more than so many of one name");
    let smaller = Stage {
        directory: tempfile::tempdir().expect("a directory"),
        more: "entries = 5\nmemory = \"64KiB\"\ndisk = \"0\"\n".to_owned(),
    };
    let mut config = smaller.config(true);
    config.cache.directory.clone_from(&stage.config(true).cache.directory);
    cache.turn(&config);
    assert!(cache.metrics.cache.so_far().entries <= 5 && cache.memory.used_bytes() <= 64 << 10);
    assert_eq!(cache.disk.get().expect("a disk").used_bytes(), 0);
    cache.turn(&stage.config(false));
    assert_eq!((cache.metrics.cache.so_far().entries, cache.metrics.cache.so_far().memory_bytes), (0, 0));
    assert!(!cache.is_on());
}

#[tokio::test]
async fn an_operator_takes_out_what_was_answered_to_anybody() {
    let stage = Stage::new("tenant = \"x-tenant\"\n");
    let cache = stage.start().await;
    for (target, tenant) in [("/d/a", "1"), ("/d/a", "2"), ("/d/a?q", "1"), ("/d/b", "1"), ("/e", "1")] {
        fetch(&cache, request(target, &[("x-tenant", tenant)]), response(200, &[MINUTE], b"x")).await;
    }
    let purge = |what: &'static str, url: &'static str| {
        let purge = Purge::read(|name| (name == what).then(|| url.to_owned())).expect("it says what");
        cache.purge(&purge)
    };
    assert_eq!(purge("url", "http://H:80/d/a"), 2);
    assert_eq!(purge("url", "https://h/d/b"), 0);
    assert_eq!(purge("prefix", "http://h/d/"), 2);
    assert_eq!(purge("all", "true"), 1);
    for (name, value) in [("url", "/d/a"), ("all", "yes"), ("x", "y")] {
        assert!(Purge::read(|wanted| (wanted == name).then(|| value.to_owned())).is_err(), "{name}={value}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_fit_after_all_goes_on_for_those_who_read_it() {
    let stage = Stage::new("small = \"16KiB\"\nobject = \"200KiB\"\n");
    let cache = stage.start().await;
    let (sink, source) = crate::answer::pipe(64 << 10);
    let long: Vec<u8> = (0..3_000_000_u32).map(|n| n as u8).collect();
    let writes = long.clone();
    let writer = tokio::spawn(async move {
        let mut sink = sink;
        for piece in writes.chunks(9000) {
            sink.put(http_body::Frame::data(piece.to_vec().into())).await.expect("it is read");
        }
        sink.finish();
    });
    let answer = response(200, &[MINUTE], b"").map(|_| Body::Piped(Box::new(source)));
    let (_, body) = fetch(&cache, request("/", &[]), answer).await;
    assert!(body == long, "{} bytes of {}", body.len(), long.len());
    writer.await.expect("no panic");
    assert!(hit(&cache, &request("/", &[])).await.is_none());
    assert_eq!(cache.metrics.cache.so_far().not_stored, 1);
    wait_for(|| cache.memory.used_bytes() == 0).await;
}

#[tokio::test]
async fn what_an_earlier_process_stored_is_not_believed_after_a_time_without_the_cache() {
    let stage = Stage::new("");
    let cache = stage.start().await;
    fetch(&cache, request("/", &[]), response(200, &[MINUTE], b"old")).await;
    drop(cache);
    let cache = Cache::new(&stage.config(false), &Arc::new(Metrics::default()));
    cache.turn(&stage.config(true));
    wait_for(|| cache.disk.get().is_some() && cache.changed_early.lock().is_none()).await;
    assert!(hit(&cache, &request("/", &[])).await.is_none());
    assert_eq!((cache.metrics.cache.so_far().entries, cache.disk.get().map(|disk| disk.count())), (0, Some(0)));
}
