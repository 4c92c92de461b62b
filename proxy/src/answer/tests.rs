//! An answer that is kept for whoever adopts it: order, bounds, and both ends going away.

use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;
use http_body::Body;
use http_body_util::BodyExt;
use proptest::prelude::*;
use tokio::task::yield_now;

use super::*;

fn data(len: usize) -> Frame<Bytes> {
    Frame::data(Bytes::from(vec![7; len]))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::ETAG, HeaderValue::from_static("\"a\""))])
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_finished_answer_is_read_to_its_end() {
    let (mut sink, mut source) = pipe(1 << 20);
    sink.put(data(10)).await.expect("the source is there");
    sink.put(data(5)).await.expect("the source is there");
    assert!(!source.is_whole());
    assert!(!source.is_end_stream());
    assert_eq!((source.size_hint().lower(), source.size_hint().exact()), (15, None));
    sink.put(Frame::trailers(trailers())).await.expect("the source is there");
    sink.finish();
    assert!(source.is_whole());
    assert_eq!(source.held(), 15);
    assert_eq!(source.size_hint().exact(), None, "trailers need chunks");
    assert_eq!(source.frame().await.expect("a frame").expect("whole").into_data().expect("data").len(), 10);
    assert_eq!(source.held(), 5);
    let rest = source.collect().await.expect("the answer is whole");
    assert_eq!(rest.trailers(), Some(&trailers()));
    assert_eq!(rest.to_bytes().len(), 5);
}

#[tokio::test]
async fn the_length_is_exact_once_whole() {
    let (mut sink, mut source) = pipe(100);
    sink.put(data(10)).await.expect("the source is there");
    sink.finish();
    assert_eq!(source.size_hint().exact(), Some(10));
    assert!(source.frame().await.is_some());
    assert!(source.is_end_stream());
    assert!(source.frame().await.is_none());
    assert!(source.is_whole());
}

#[tokio::test]
async fn an_unfinished_answer_ends_in_an_error_after_what_was_put() {
    let (mut sink, mut source) = pipe(100);
    sink.put(data(10)).await.expect("the source is there");
    drop(sink);
    assert!(!source.is_whole());
    assert!(source.frame().await.expect("a frame").is_ok());
    assert!(!source.is_end_stream());
    assert!(matches!(source.frame().await, Some(Err(BodyError::Cancelled))));
}

#[tokio::test]
async fn a_sink_dropped_while_the_source_waits_wakes_it() {
    let (sink, mut source) = pipe(100);
    let reading = tokio::spawn(async move { source.frame().await });
    yield_now().await;
    drop(sink);
    assert!(matches!(reading.await.expect("no panic"), Some(Err(BodyError::Cancelled))));
}

#[tokio::test]
async fn put_waits_while_the_pipe_is_full() {
    let (mut sink, mut source) = pipe(1000);
    sink.put(data(990)).await.expect("the source is there");
    let mut second = std::pin::pin!(sink.put(data(5000)));
    assert!(poll_once(second.as_mut()).is_pending(), "990 bytes and a frame's own cost are over the bound");
    assert!(source.frame().await.is_some());
    second.await.expect("the source is there");
    assert_eq!(source.held(), 5000, "one frame may go over the bound");
}

#[tokio::test]
async fn a_bound_of_nothing_still_passes_frames_one_by_one() {
    let (mut sink, mut source) = pipe(0);
    sink.put(data(1)).await.expect("an empty pipe takes one frame");
    assert!(poll_once(std::pin::pin!(sink.put(data(1)))).is_pending());
    assert!(source.frame().await.is_some());
    sink.put(data(1)).await.expect("the source is there");
}

#[tokio::test]
async fn tiny_frames_cannot_hold_many_times_the_bound() {
    let (mut sink, source) = pipe(64 << 10);
    let mut frames = 0;
    while poll_once(std::pin::pin!(sink.put(data(1)))).is_ready() {
        frames += 1;
    }
    assert!(frames <= (64 << 10) / FRAME_BYTES, "{frames} frames");
    assert_eq!(source.held(), frames);
}

#[tokio::test]
async fn a_dropped_source_wakes_whoever_puts() {
    let (mut sink, source) = pipe(1);
    sink.put(data(10)).await.expect("the source is there");
    let putting = tokio::spawn(async move { (sink.put(data(1)).await, sink) });
    yield_now().await;
    drop(source);
    let (put, mut sink) = putting.await.expect("no panic");
    assert_eq!(put, Err(Unread));
    assert_eq!(sink.put(data(1)).await, Err(Unread));
}

#[tokio::test]
async fn a_put_that_is_given_up_leaves_nothing_behind() {
    let (mut sink, mut source) = pipe(1);
    sink.put(data(3)).await.expect("the source is there");
    assert!(poll_once(std::pin::pin!(sink.put(data(4)))).is_pending());
    sink.put(data(5)).now_or_pending();
    assert!(source.frame().await.is_some());
    sink.put(data(6)).await.expect("the source is there");
    sink.finish();
    assert_eq!(source.collect().await.expect("whole").to_bytes().len(), 6);
}

trait NowOrPending {
    fn now_or_pending(self);
}

impl<F: Future> NowOrPending for F {
    fn now_or_pending(self) {
        assert!(poll_once(std::pin::pin!(self)).is_pending());
    }
}

/// One of the things that can happen next to a pipe.
#[derive(Clone, Copy, Debug)]
enum Step {
    Put(usize),
    Read,
    Finish,
    DropSink,
    DropSource,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0_usize..300).prop_map(Step::Put),
        8 => Just(Step::Read),
        1 => Just(Step::Finish),
        1 => Just(Step::DropSink),
        1 => Just(Step::DropSource),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    /// In every order of steps, what is read is what was put, in order, and the end tells the truth.
    #[test]
    fn every_order_of_steps_is_sound(steps in steps(), bound in 1_usize..600) {
        let (sink, source) = pipe(bound);
        let (mut sink, mut source) = (Some(sink), Some(source));
        let (mut put, mut read, mut finished) = (Vec::new(), 0, false);
        for step in steps {
            match step {
                Step::Put(len) => {
                    let Some(sink) = &mut sink else { continue };
                    let held = source.as_ref().map(Source::held);
                    match poll_once(std::pin::pin!(sink.put(data(len)))) {
                        Poll::Ready(Ok(())) => { prop_assert!(held < Some(bound)); put.push(len); }
                        Poll::Ready(Err(Unread)) => prop_assert!(source.is_none()),
                        Poll::Pending => prop_assert!(source.is_some() && read < put.len()),
                    }
                }
                Step::Read => {
                    let Some(source) = &mut source else { continue };
                    match poll_once(std::pin::pin!(source.frame())) {
                        Poll::Ready(Some(Ok(frame))) => {
                            prop_assert_eq!(frame.into_data().map(|d| d.len()).ok(), put.get(read).copied());
                            read += 1;
                        }
                        Poll::Ready(None) => prop_assert!(finished && read == put.len()),
                        Poll::Ready(Some(Err(_))) => prop_assert!(sink.is_none() && !finished && read == put.len()),
                        Poll::Pending => prop_assert!(sink.is_some() && read == put.len()),
                    }
                }
                Step::Finish => if let Some(sink) = sink.take() { sink.finish(); finished = true; },
                Step::DropSink => sink = None,
                Step::DropSource => source = None,
            }
            if let Some(source) = &source {
                prop_assert_eq!(source.is_whole(), finished);
                prop_assert_eq!(source.held(), put[read..].iter().sum::<usize>());
            }
        }
    }
}

/// Two threads, each with its own runtime, pass many answers of changing shapes; no wake-up may be lost.
#[test]
fn the_two_ends_may_live_on_different_threads() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for round in 0..300_usize {
        let (mut sink, source) = pipe(1 + round * 7 % 900);
        let lens = (0..40).map(|i| (i * 131 + round * 17) % 500).collect::<Vec<_>>();
        let total = lens.iter().sum::<usize>();
        let read = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                runtime().block_on(async {
                    for len in lens {
                        sink.put(data(len)).await.expect("the source is there");
                    }
                    sink.finish();
                });
            });
            scope.spawn(|| {
                let collected = runtime().block_on(source.collect()).expect("the answer is whole");
                read.store(collected.to_bytes().len(), Ordering::Relaxed);
            });
        });
        assert_eq!(read.into_inner(), total, "round {round}");
    }
}

/// The same, with either end going away in the middle: the other must come to its end.
#[test]
fn an_end_that_goes_away_never_leaves_the_other_waiting() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for round in 0..300_usize {
        let (mut sink, mut source) = pipe(100);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                runtime().block_on(async {
                    let frames = if round % 2 == 0 { usize::MAX } else { round % 13 };
                    for _ in 0..frames {
                        if sink.put(data(50)).await == Err(Unread) {
                            break;
                        }
                    }
                });
            });
            scope.spawn(move || {
                runtime().block_on(async {
                    let frames = if round % 2 == 0 { round % 11 } else { usize::MAX };
                    for _ in 0..frames {
                        let Some(Ok(_)) = source.frame().await else { break };
                    }
                });
            });
        });
    }
}
