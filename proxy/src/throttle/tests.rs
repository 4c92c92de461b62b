//! Rates: what passes, when, and what lifting them does.

use std::collections::VecDeque;
use std::convert::Infallible;

use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;

use super::*;

/// Frames one after the other, always ready.
#[derive(Debug)]
struct Frames(VecDeque<Frame<Bytes>>);

impl Frames {
    fn of(lens: &[usize]) -> Self {
        Self(lens.iter().map(|len| Frame::data(Bytes::from(vec![1; *len]))).collect())
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.get_mut().0.pop_front().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads a body to its end; says when how many bytes came.
async fn arrivals<B: Body<Data = Bytes, Error = Infallible> + Unpin>(body: &mut Throttled<B>) -> Vec<(Instant, usize)> {
    let mut arrivals = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        arrivals.push((Instant::now(), frame.data_ref().map_or(0, Bytes::len)));
    }
    arrivals
}

/// The most bytes in any one second.
fn peak(arrivals: &[(Instant, usize)]) -> usize {
    let in_second = |from: Instant| {
        let till = from + Duration::from_secs(1);
        arrivals.iter().filter(|(at, _)| (from..till).contains(at)).map(|(_, bytes)| bytes).sum()
    };
    arrivals.iter().map(|(at, _)| in_second(*at)).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_passes_at_the_rate() {
    let throttle = Throttle::new(1000.0);
    let mut body = Throttled::new(Frames::of(&[5000]), Arc::clone(&throttle));
    let started = Instant::now();
    let arrivals = arrivals(&mut body).await;
    let took = started.elapsed().as_secs_f64();
    assert!((4.85..5.0).contains(&took), "{took} s");
    assert!(peak(&arrivals) <= 1050, "{} bytes in a second", peak(&arrivals));
    assert!(arrivals.iter().all(|(_, bytes)| *bytes <= 50));
    assert_eq!(throttle.passed(), 5000);
}

#[tokio::test(start_paused = true)]
async fn what_fits_into_the_burst_does_not_wait() {
    let throttle = Throttle::new(1000.0);
    let started = Instant::now();
    let mut body = Throttled::new(Frames::of(&[30, 20]), throttle);
    assert_eq!(arrivals(&mut body).await.len(), 2);
    assert_eq!(started.elapsed(), Duration::ZERO);
    assert!(body.turn.timer.is_none(), "a timer only runs when it is needed");
}

#[tokio::test(start_paused = true)]
async fn an_idle_body_saves_up_one_burst_and_no_more() {
    let throttle = Throttle::new(1000.0);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let started = Instant::now();
    arrivals(&mut Throttled::new(Frames::of(&[1100]), throttle)).await;
    assert!(started.elapsed() >= Duration::from_millis(990));
}

#[tokio::test(start_paused = true)]
async fn two_bodies_share_one_cap_fairly() {
    let throttle = Throttle::new(1000.0);
    let mut up = Throttled::new(Frames::of(&[2000]), Arc::clone(&throttle));
    let mut down = Throttled::new(Frames::of(&[2000]), Arc::clone(&throttle));
    let started = Instant::now();
    let (up, down) = tokio::join!(arrivals(&mut up), arrivals(&mut down));
    let took = started.elapsed().as_secs_f64();
    assert!((3.85..4.0).contains(&took), "{took} s");
    let halfway = started + Duration::from_secs(2);
    for one in [&up, &down] {
        let early: usize = one.iter().filter(|(at, _)| *at < halfway).map(|(_, bytes)| bytes).sum();
        assert!((900..=1200).contains(&early), "{early} bytes of 2000 in the first half");
    }
    let both = [up, down].concat();
    assert!(peak(&both) <= 1150);
}

#[tokio::test(start_paused = true)]
async fn lifting_wakes_every_waiter_and_holds_for_good() {
    let throttle = Throttle::new(10.0);
    let started = Instant::now();
    let read = |throttle: Arc<Throttle>| {
        tokio::spawn(async move {
            let mut body = Throttled::new(Frames::of(&[100_000, 100_000]), throttle);
            arrivals(&mut body).await
        })
    };
    let (one, two) = (read(Arc::clone(&throttle)), read(Arc::clone(&throttle)));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(throttle.passed() <= 40);
    throttle.lift();
    for body in [one, two] {
        let arrivals = body.await.expect("no panic");
        assert_eq!(arrivals.iter().map(|(_, bytes)| bytes).sum::<usize>(), 200_000);
    }
    assert_eq!(started.elapsed(), Duration::from_secs(3));
    assert_eq!(throttle.passed(), 400_000);
    assert!(throttle.turns.lock().waiting.is_empty());
    arrivals(&mut Throttled::new(Frames::of(&[100_000]), throttle)).await;
    assert_eq!(started.elapsed(), Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_goes_away_gives_its_turn_back() {
    let throttle = Throttle::new(100.0);
    let mut first = Throttled::new(Frames::of(&[1000]), Arc::clone(&throttle));
    let started = Instant::now();
    // A burst passes, the next piece waits for its turn and is never sent.
    assert!(first.frame().await.is_some());
    assert!(tokio::time::timeout(Duration::from_millis(1), first.frame()).await.is_err());
    drop(first);
    assert!(throttle.turns.lock().waiting.is_empty());
    arrivals(&mut Throttled::new(Frames::of(&[10]), throttle)).await;
    assert!(started.elapsed() <= Duration::from_millis(102));
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_told() {
    let told = Arc::new(AtomicU64::new(0));
    let teller = Arc::clone(&told);
    let tell = move |bytes| {
        teller.fetch_add(bytes, Ordering::Relaxed);
    };
    let throttle = Throttle::observed(1000.0, Arc::new(tell));
    arrivals(&mut Throttled::new(Frames::of(&[450]), Arc::clone(&throttle))).await;
    assert_eq!((told.load(Ordering::Relaxed), throttle.passed()), (450, 450));
    throttle.lift();
    arrivals(&mut Throttled::new(Frames::of(&[450]), Arc::clone(&throttle))).await;
    assert_eq!((told.load(Ordering::Relaxed), throttle.passed()), (450, 900), "what was lifted is told of no more");
}

#[tokio::test(start_paused = true)]
async fn bytes_are_told_of_where_there_never_was_a_cap() {
    let told = Arc::new(AtomicU64::new(0));
    let teller = Arc::clone(&told);
    let tell = move |bytes| {
        teller.fetch_add(bytes, Ordering::Relaxed);
    };
    let throttle = Throttle::observed(f64::INFINITY, Arc::new(tell));
    arrivals(&mut Throttled::new(Frames::of(&[450]), throttle)).await;
    assert_eq!(told.load(Ordering::Relaxed), 450);
}

#[tokio::test(start_paused = true)]
async fn hints_count_what_is_held() {
    let mut body = Throttled::new(Full::new(Bytes::from(vec![0; 250])), Throttle::new(1000.0));
    for remaining in [250, 200, 150, 100, 50] {
        assert_eq!(body.size_hint().exact(), Some(remaining));
        assert!(!body.is_end_stream());
        assert!(body.frame().await.is_some());
    }
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.is_end_stream());
}

#[tokio::test(start_paused = true)]
async fn trailers_and_odd_rates_pass() {
    for rate in [f64::INFINITY, f64::NAN, -1.0, 0.0, 1e300] {
        let trailers = Frame::trailers(HeaderMap::new());
        let frames = Frames([Frame::data(Bytes::new()), Frame::data(Bytes::from_static(b"ab")), trailers].into());
        let collected = Throttled::new(frames, Throttle::new(rate)).collect().await.expect("nothing fails");
        assert!(collected.trailers().is_some(), "at {rate}");
        assert_eq!(collected.to_bytes(), "ab");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever the frames and the rate: everything passes, in order of time, and no second sees too much.
    #[test]
    fn no_second_sees_more_than_its_share(
        lens in prop::collection::vec(0_usize..5000, 1..30),
        rate in 50_u32..5000,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        runtime.block_on(async {
            let mut body = Throttled::new(Frames::of(&lens), Throttle::new(f64::from(rate)));
            let arrivals = arrivals(&mut body).await;
            let total: usize = lens.iter().sum();
            prop_assert_eq!(arrivals.iter().map(|(_, bytes)| bytes).sum::<usize>(), total);
            let burst = (rate / 10).max(1) as usize;
            prop_assert!(peak(&arrivals) <= (rate as usize * 21).div_ceil(20) + burst);
            Ok(())
        })?;
    }
}
