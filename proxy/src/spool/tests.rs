//! Copies of bodies: in memory, on disk, given up, and read while they grow.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use http::HeaderMap;
use http::header::{ETAG, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt;
use proptest::prelude::*;

use super::*;

/// Frames one after the other, then perhaps an error.
#[derive(Debug, Default)]
struct Frames {
    frames: VecDeque<Frame<Bytes>>,
    error: Option<hyper::Error>,
    declared: Option<u64>,
}

impl Frames {
    fn of(lens: impl IntoIterator<Item = usize>) -> Self {
        let mut next = 0_u8;
        let mut data = |len| {
            let bytes = std::iter::repeat_with(|| {
                next = next.wrapping_mul(5).wrapping_add(3);
                next
            });
            Frame::data(bytes.take(len).collect())
        };
        Self { frames: lens.into_iter().map(&mut data).collect(), ..Self::default() }
    }

    fn bytes(&self) -> Vec<u8> {
        self.frames.iter().filter_map(Frame::data_ref).flatten().copied().collect()
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        Poll::Ready(this.frames.pop_front().map(Ok).or_else(|| this.error.take().map(Err)))
    }

    fn is_end_stream(&self) -> bool {
        self.declared.is_some() && self.frames.is_empty() && self.error.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.declared.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

fn bounds() -> config::value::Spool {
    config::value::Spool {
        memory_bytes: 64 << 10,
        body_bytes: 1 << 30,
        disk_bytes: 1 << 30,
        directory: std::env::temp_dir(),
    }
}

fn store(change: impl FnOnce(&mut Store)) -> Arc<Store> {
    let mut store = Arc::into_inner(Store::new(&bounds())).expect("nobody else has it");
    change(&mut store);
    // The bound may have been changed, and the budget has its own copy of it.
    store.disk = Budget::new(store.bounds.load().disk_bytes);
    Arc::new(store)
}

fn bound(store: &mut Store, change: impl FnOnce(&mut config::value::Spool)) {
    let mut bounds = config::value::Spool::clone(&store.bounds.load());
    change(&mut bounds);
    store.bounds = ArcSwap::from_pointee(bounds);
}

async fn drain<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Result<u64, B::Error> {
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        total += frame?.data_ref().map_or(0, |data| data.len() as u64);
    }
    Ok(total)
}

async fn give_way_until(mut done: impl FnMut() -> bool) {
    while !done() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn connection_error() -> hyper::Error {
    let (near, far) = tokio::io::duplex(64);
    drop(far);
    let (mut send, connection) =
        hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(near)).await.expect("nothing is sent yet");
    let request = http::Request::new(http_body_util::Empty::<Bytes>::new());
    let (sent, _) = tokio::join!(send.send_request(request), connection);
    sent.expect_err("the far side is gone")
}

#[tokio::test]
async fn a_body_in_memory_is_read_back() {
    let store = store(|_| ());
    let frames = Frames::of([10, 0, 20_000, 5, 17_000]);
    let wanted = frames.bytes();
    let (mut tee, spool) = store.tee(frames);
    assert_eq!(spool.settled(), None);
    assert!(spool.reader().frame().await.expect("an error").is_err(), "a part is never read");
    assert_eq!(drain(&mut tee).await.expect("nothing broke"), 37_015);
    assert_eq!(spool.settled(), Some(Ok(37_015)));
    let reader = spool.reader();
    assert_eq!(reader.size_hint().exact(), Some(37_015));
    assert_eq!(reader.collect().await.expect("a whole copy").to_bytes(), wanted);
    assert_eq!(store.disk_used_bytes(), 0);
}

#[tokio::test]
async fn no_body_is_a_whole_copy() {
    let store = store(|_| ());
    let (tee, spool) = store.tee(Frames { declared: Some(0), ..Frames::default() });
    drop(tee);
    for spool in [spool, Spool::empty()] {
        assert_eq!(spool.complete().await, Ok(0));
        let mut reader = spool.reader();
        assert!(reader.is_end_stream());
        assert_eq!(reader.size_hint().exact(), Some(0));
        assert!(reader.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_body_of_known_length_is_whole_at_its_last_byte() {
    let store = store(|_| ());
    let (mut tee, spool) = store.tee(Frames { declared: Some(300), ..Frames::of([100, 200]) });
    assert_eq!(tee.size_hint().exact(), Some(300));
    for _ in 0..2 {
        assert_eq!(spool.settled(), None);
        assert!(tee.frame().await.is_some());
    }
    assert_eq!(spool.settled(), Some(Ok(300)), "hyper does not poll again");
    drop(tee);
    assert_eq!(spool.reader().collect().await.expect("whole").to_bytes().len(), 300);
}

#[tokio::test]
async fn a_body_that_is_not_what_it_said_is_not_whole() {
    let store = store(|_| ());
    let (mut tee, spool) = store.tee(Frames { declared: Some(301), ..Frames::of([100, 200]) });
    drain(&mut tee).await.expect("the tee only passes on");
    assert_eq!(spool.settled(), Some(Err(Unspooled::BrokeOff)));
}

#[tokio::test]
async fn trailers_are_replayed() {
    let store = store(|_| ());
    let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("\"x\""))]);
    let mut frames = Frames::of([100_000, 50]);
    frames.frames.push_back(Frame::trailers(trailers.clone()));
    let (mut tee, spool) = store.tee(frames);
    drain(&mut tee).await.expect("nothing broke");
    assert_eq!(spool.complete().await, Ok(100_050));
    for _ in 0..2 {
        let reader = spool.reader();
        assert_eq!((reader.size_hint().lower(), reader.size_hint().upper()), (100_050, None));
        let collected = reader.collect().await.expect("whole");
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes().len(), 100_050);
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_copy() {
    let store = store(|_| ());
    let error = Some(connection_error().await);
    let (mut tee, spool) = store.tee(Frames { error, ..Frames::of([10, 300_000]) });
    assert!(matches!(drain(&mut tee).await, Err(BodyError::Connection(_))));
    assert_eq!(spool.complete().await, Err(Unspooled::BrokeOff));
}

#[tokio::test]
async fn a_tee_dropped_before_its_end_wakes_who_waits() {
    let store = store(|_| ());
    let (mut tee, spool) = store.tee(Frames::of([10, 10]));
    let waiting = tokio::spawn({
        let spool = spool.clone();
        async move { spool.complete().await }
    });
    assert!(tee.frame().await.is_some());
    drop(tee);
    assert_eq!(waiting.await.expect("no panic"), Err(Unspooled::BrokeOff));
}

#[tokio::test]
async fn a_body_over_the_bound_passes_without_a_copy() {
    let store = store(|store| bound(store, |bounds| bounds.body_bytes = 1000));
    let (mut tee, spool) = store.tee(Frames::of([999, 1, 1, 500]));
    assert!(tee.frame().await.is_some() && tee.frame().await.is_some());
    assert_eq!(spool.settled(), None);
    assert_eq!(drain(&mut tee).await.expect("nothing broke"), 501);
    assert_eq!(spool.settled(), Some(Err(Unspooled::TooLong)));

    let (mut tee, spool) = store.tee(Frames { declared: Some(1001), ..Frames::of([1001]) });
    assert_eq!(spool.settled(), Some(Err(Unspooled::TooLong)), "known from the head");
    assert_eq!(drain(&mut tee).await.expect("nothing broke"), 1001);
}

#[tokio::test]
async fn the_disk_budget_is_over_all_bodies_and_given_back() {
    let store = store(|store| bound(store, |bounds| bounds.disk_bytes = 1 << 20));
    let (mut first, first_spool) = store.tee(Frames::of([100_000; 10]));
    drain(&mut first).await.expect("nothing broke");
    assert_eq!(first_spool.complete().await, Ok(1_000_000));
    assert_eq!(store.disk_used_bytes(), 1_000_000, "nothing of it fits into memory");

    let (mut second, second_spool) = store.tee(Frames::of([100_000; 10]));
    assert_eq!(drain(&mut second).await.expect("nothing broke"), 1_000_000, "the body passes all the same");
    assert_eq!(second_spool.complete().await, Err(Unspooled::NoRoom));

    let reader = first_spool.reader();
    drop((first_spool, second_spool, first));
    give_way_until(|| store.disk_used_bytes() == 1_000_000).await;
    assert_eq!(reader.collect().await.expect("a reader keeps the copy").to_bytes().len(), 1_000_000);
    give_way_until(|| store.disk_used_bytes() == 0).await;
}

#[tokio::test]
async fn the_memory_budget_is_over_all_bodies_and_given_back() {
    let store = store(|store| store.memory = Budget::new(100_000));
    let copied = async |len| {
        let (mut tee, spool) = store.tee(Frames::of([len]));
        assert_eq!(drain(&mut tee).await.expect("nothing broke"), len as u64, "the body passes all the same");
        (spool.complete().await, spool)
    };
    let (first, kept) = copied(60_000).await;
    assert_eq!(first, Ok(60_000));
    assert_eq!(copied(60_000).await.0, Err(Unspooled::NoRoom));
    assert_eq!(copied(40_000).await.0, Ok(40_000), "what was refused took nothing");
    let reader = kept.reader();
    drop(kept);
    assert_eq!(store.memory.used_bytes(), 60_000, "a reader keeps the copy");
    drop(reader);
    assert_eq!(store.memory.used_bytes(), 0);
}

#[tokio::test]
async fn what_is_on_disk_takes_no_memory() {
    let store = store(|store| store.memory = Budget::new(1 << 20));
    let (mut tee, spool) = store.tee(Frames::of([100_000; 10]));
    drain(&mut tee).await.expect("nothing broke");
    assert_eq!(spool.complete().await, Ok(1_000_000));
    assert_eq!(store.memory.used_bytes(), 0);
}

#[tokio::test]
async fn an_abandoned_copy_is_not_made_any_further() {
    let store = store(|_| ());
    let (mut tee, spool) = store.tee(Frames::of([100_000; 40]));
    for _ in 0..20 {
        assert!(tee.frame().await.is_some());
    }
    assert!(store.disk_used_bytes() > 0);
    drop(spool);
    give_way_until(|| store.disk_used_bytes() == 0).await;
    assert_eq!(drain(&mut tee).await.expect("nothing broke"), 2_000_000);
    assert_eq!(store.disk_used_bytes(), 0);
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_no_room() {
    let store = store(|store| bound(store, |bounds| bounds.directory = "/nonexistent/spool".into()));
    let (mut tee, spool) = store.tee(Frames::of([200_000; 5]));
    assert_eq!(drain(&mut tee).await.expect("nothing broke"), 1_000_000);
    assert_eq!(spool.complete().await, Err(Unspooled::NoRoom));
    give_way_until(|| store.disk_used_bytes() == 0).await;
}

#[tokio::test]
async fn a_full_disk_is_no_room() {
    fn full(_: &Path) -> io::Result<File> {
        File::options().write(true).open("/dev/full")
    }
    let store = store(|store| store.open = full);
    let (mut tee, spool) = store.tee(Frames::of([200_000; 5]));
    assert_eq!(drain(&mut tee).await.expect("nothing broke"), 1_000_000);
    assert_eq!(spool.complete().await, Err(Unspooled::NoRoom));
    give_way_until(|| store.disk_used_bytes() == 0).await;
}

/// The only blocking thread is taken, so the disk takes nothing at all.
#[test]
fn a_disk_that_hangs_never_holds_the_body_up() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().expect("a runtime");
    runtime.block_on(async {
        let (release, held) = mpsc::channel::<()>();
        let hanging = tokio::task::spawn_blocking(move || held.recv());
        let store = store(|store| store.queue_bytes = 1 << 20);
        let (mut tee, spool) = store.tee(Frames::of([100_000; 30]));
        assert_eq!(drain(&mut tee).await.expect("nothing broke"), 3_000_000);
        assert_eq!(spool.settled(), Some(Err(Unspooled::Slow)));

        let (mut tee, spool) = store.tee(Frames::of([100_000; 9]));
        assert_eq!(drain(&mut tee).await.expect("nothing broke"), 900_000);
        assert_eq!(spool.settled(), None, "what the queue holds may still be written");
        drop(release);
        assert!(hanging.await.expect("no panic").is_err());
        assert_eq!(spool.complete().await, Ok(900_000));
        assert_eq!(spool.reader().collect().await.expect("whole").to_bytes().len(), 900_000);
    });
}

#[test]
fn a_writer_that_never_runs_fails_the_copy() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let handle = runtime.handle().clone();
    runtime.shutdown_background();
    let _inside = handle.enter();
    let (mut tee, spool) = store(|_| ()).tee(Frames::of([200_000; 2]));
    for _ in 0..2 {
        let passed = Pin::new(&mut tee).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(matches!(passed, Poll::Ready(Some(Ok(_)))));
    }
    assert_eq!(spool.settled(), Some(Err(Unspooled::NoRoom)));
}

#[tokio::test]
async fn readers_at_different_paces_read_the_same() {
    let store = store(|_| ());
    let frames = Frames::of((0..200).map(|i| i * 3701 % 30_000));
    let wanted = frames.bytes();
    let (mut tee, spool) = store.tee(frames);
    drain(&mut tee).await.expect("nothing broke");
    assert_eq!(spool.complete().await, Ok(wanted.len() as u64));

    let mut hanging = spool.reader();
    for _ in 0..8 {
        assert!(hanging.frame().await.expect("more is to come").is_ok());
    }
    let (fast, mut slow) = (spool.reader(), spool.reader());
    let slow = async {
        let (mut read, mut left) = (Vec::new(), slow.size_hint().exact().expect("known"));
        while let Some(frame) = slow.frame().await {
            let data = frame.expect("whole").into_data().expect("no trailers");
            left -= data.len() as u64;
            assert_eq!(slow.size_hint().exact(), Some(left));
            read.extend_from_slice(&data);
            tokio::task::yield_now().await;
        }
        assert!(slow.is_end_stream());
        read
    };
    let (fast, slow) = tokio::join!(fast.collect(), slow);
    assert_eq!(fast.expect("whole").to_bytes(), wanted);
    assert_eq!(slow, wanted);
    drop(hanging);
}

#[test]
fn a_copy_is_read_on_another_thread_than_it_is_made_on() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (mut tee, spool) = store(|_| ()).tee(Frames::of([100_000; 30]));
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            runtime().block_on(async {
                assert_eq!(spool.complete().await, Ok(3_000_000));
                spool.reader().collect().await.expect("whole").to_bytes().len()
            })
        });
        // A thread that waits for the copy keeps this runtime alive for the writer.
        runtime().block_on(async {
            drain(&mut tee).await.expect("nothing broke");
            assert_eq!(spool.complete().await, Ok(3_000_000));
        });
        assert_eq!(reading.join().expect("no panic"), 3_000_000);
    });
}

/// Bytes that are counted as long as anybody holds them.
struct Counted {
    bytes: Vec<u8>,
    live: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.live.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

/// Makes its frames as they are asked for.
struct Endless {
    left: usize,
    live: Arc<AtomicUsize>,
}

impl Body for Endless {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let len = self.left.min(64 << 10);
        self.left -= len;
        self.live.fetch_add(len, Ordering::Relaxed);
        let counted = Counted { bytes: vec![(self.left >> 16) as u8; len], live: Arc::clone(&self.live) };
        Poll::Ready((len > 0).then(|| Ok(Frame::data(Bytes::from_owner(counted)))))
    }
}

#[tokio::test]
async fn a_long_body_takes_a_bounded_amount_of_memory() {
    const LENGTH: usize = 256 << 20;
    let live = Arc::new(AtomicUsize::new(0));
    let (mut tee, spool) = store(|_| ()).tee(Endless { left: LENGTH, live: Arc::clone(&live) });
    let (mut passed, mut most) = (0, 0);
    while let Some(frame) = tee.frame().await {
        passed += frame.expect("nothing broke").data_ref().map_or(0, Bytes::len);
        most = most.max(live.load(Ordering::Relaxed));
        if passed.is_multiple_of(2 << 20) {
            // A client that sends at the disk's pace.
            give_way_until(|| live.load(Ordering::Relaxed) < 1 << 20).await;
        }
    }
    assert_eq!((passed, spool.complete().await), (LENGTH, Ok(LENGTH as u64)));
    assert!(most <= QUEUE_BYTES + (1 << 20), "{most} bytes at once");
    assert!(live.load(Ordering::Relaxed) <= 64 << 10, "only what is kept in memory is left");
    assert_eq!(drain(&mut spool.reader()).await.expect("whole"), LENGTH as u64);
}

#[tokio::test]
async fn a_body_that_outruns_the_disk_takes_a_bounded_amount_of_memory() {
    let live = Arc::new(AtomicUsize::new(0));
    let (mut tee, spool) = store(|_| ()).tee(Endless { left: 256 << 20, live: Arc::clone(&live) });
    let mut most = 0;
    while tee.frame().await.is_some() {
        most = most.max(live.load(Ordering::Relaxed));
    }
    assert!(most <= QUEUE_BYTES + (1 << 20), "{most} bytes at once");
    assert!(matches!(spool.complete().await, Ok(_) | Err(Unspooled::Slow)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// However a body is cut up, and wherever memory ends, the copy is the body.
    #[test]
    fn the_copy_is_the_body_however_it_is_cut(
        lens in prop::collection::vec(prop_oneof![0_usize..100, 0_usize..40_000, 100_000_usize..300_000], 0..24),
        memory_bytes in 0_usize..200_000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let store = store(|store| {
                bound(store, |bounds| bounds.memory_bytes = memory_bytes);
                store.queue_bytes = usize::MAX;
            });
            let frames = Frames::of(lens);
            let wanted = frames.bytes();
            let (mut tee, spool) = store.tee(frames);
            let mut passed = Vec::new();
            while let Some(frame) = tee.frame().await {
                passed.extend_from_slice(frame.expect("nothing broke").data_ref().expect("no trailers"));
            }
            prop_assert_eq!(&passed, &wanted);
            prop_assert_eq!(spool.complete().await, Ok(wanted.len() as u64));
            prop_assert_eq!(spool.reader().collect().await.expect("whole").to_bytes(), wanted);
            Ok(())
        })?;
    }
}

#[tokio::test]
async fn what_was_held_of_a_copy_that_fails_and_what_comes_after_it_are_the_body() {
    fn broken(_: &Path) -> io::Result<File> {
        Err(io::ErrorKind::StorageFull.into())
    }
    type Change = fn(&mut Store);
    let small: [(Change, Unspooled); 4] = [
        (|store| bound(store, |bounds| bounds.body_bytes = 700_000), Unspooled::TooLong),
        (|store| bound(store, |bounds| bounds.disk_bytes = 300_000), Unspooled::NoRoom),
        (|store| store.queue_bytes = 1, Unspooled::Slow),
        (|store| store.open = broken, Unspooled::NoRoom),
    ];
    for (change, why) in small {
        // Also one whose last bytes are what does not fit.
        for pieces in [200, 14] {
            let store = store(change);
            let frames = Frames::of(std::iter::repeat_n(10_000, pieces));
            let wanted = frames.bytes();
            let (mut tee, spool) = store.hold(frames);
            let mut next = None;
            while next.is_none()
                && let Some(frame) = tee.frame().await
            {
                frame.expect("nothing broke");
                next = tee.uncopied();
                tokio::task::yield_now().await;
            }
            let Some(beginning) = spool.part().await else {
                assert_eq!((pieces, spool.complete().await), (14, Ok(140_000)), "{why:?}");
                continue;
            };
            assert_eq!(spool.complete().await, Err(why));
            assert!(spool.reader().frame().await.expect("an error").is_err(), "it is no copy of the whole");
            let mut read = beginning.collect().await.expect("it is there").to_bytes().to_vec();
            read.extend(next.unwrap_or_default());
            while let Some(frame) = tee.frame().await {
                read.extend(frame.expect("nothing broke").into_data().expect("no trailers"));
            }
            assert!(read == wanted, "{why:?}: {} bytes of {}", read.len(), wanted.len());
            drop((tee, spool));
            give_way_until(|| store.disk_used_bytes() == 0).await;
            assert_eq!(store.memory.used_bytes(), 0, "{why:?}");
        }
    }
}
