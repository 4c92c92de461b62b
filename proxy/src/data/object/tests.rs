//! One object of the cache while it grows, is read, overflows or breaks.

use proptest::prelude::*;

use super::*;
use crate::metrics::Metrics;
use crate::spool::budget::Budget;

const MOST: u64 = 1 << 20;

pub(in crate::data) fn object(
    length: Option<u64>,
    purpose: Purpose,
    budget: &Arc<Budget>,
    metrics: &Arc<Metrics>,
) -> Result<Object, NoRoom> {
    let terms = Terms {
        lifetime: Duration::from_secs(60),
        guessed: false,
        age: Duration::from_secs(5),
        varies_by: Vec::new(),
        coded: false,
        length,
    };
    let begin = Beginning {
        headers: HeaderMap::new(),
        terms,
        purpose,
        asked_at: Instant::now(),
        most_bytes: MOST,
        name_bytes: 10,
    };
    Object::begin(begin, budget.share(), metrics)
}

fn setting() -> (Arc<Budget>, Arc<Metrics>) {
    (Budget::new(4 << 20), Arc::new(Metrics::new(&[])))
}

/// What can be read now, and how it goes on.
fn read(object: &Object) -> (Vec<u8>, Poll<Next>) {
    let mut bytes = Vec::new();
    loop {
        match object.poll_next(bytes.len() as u64, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Next::Data(data)) => bytes.extend_from_slice(&data),
            other => return (bytes, other),
        }
    }
}

#[test]
fn an_object_takes_its_length_and_gives_it_back() {
    let (budget, metrics) = setting();
    let known = object(Some(200_000), Purpose::Serve, &budget, &metrics).expect("room");
    assert!((201_000..202_000).contains(&budget.used_bytes()), "reserved at once");
    let unknown = object(None, Purpose::Serve, &budget, &metrics).expect("room");
    assert_eq!(unknown.append(&Bytes::from(vec![0; 100_000])), Ok(()));
    assert!((302_000..304_000).contains(&budget.used_bytes()), "{} bytes", budget.used_bytes());
    drop((known, unknown));
    assert_eq!(budget.used_bytes(), 0);
}

#[test]
fn what_does_not_fit_is_not_taken() {
    let (budget, metrics) = setting();
    assert!(object(Some(MOST + 1), Purpose::Serve, &budget, &metrics).is_err());
    let unknown = object(None, Purpose::Serve, &budget, &metrics).expect("room");
    assert_eq!(unknown.append(&Bytes::from(vec![0; MOST as usize])), Ok(()));
    assert_eq!(unknown.append(&Bytes::from_static(b"x")), Err(NoRoom));
    assert_eq!(unknown.len(), MOST);

    let tight = Budget::new(10_000);
    assert!(object(Some(10_000), Purpose::Serve, &tight, &metrics).is_err());
    let unknown = object(None, Purpose::Serve, &tight, &metrics).expect("room");
    assert_eq!(unknown.append(&Bytes::from(vec![0; 5000])), Ok(()));
    assert_eq!(unknown.append(&Bytes::from(vec![0; 5000])), Err(NoRoom));
    drop(unknown);
    assert_eq!(tight.used_bytes(), 0);
}

#[test]
fn tiny_frames_do_not_keep_their_buffers() {
    let (budget, metrics) = setting();
    let object = object(Some(100_000), Purpose::Serve, &budget, &metrics).expect("room");
    for _ in 0..100_000 {
        assert_eq!(object.append(&Bytes::from_static(b"x")), Ok(()));
    }
    object.finish();
    assert_eq!(object.growth.lock().pieces.len(), 2);
    assert_eq!(read(&object).0.len(), 100_000);
}

#[test]
fn a_cut_object_says_so() {
    let (budget, metrics) = setting();
    let object = object(Some(10), Purpose::Serve, &budget, &metrics).expect("room");
    assert_eq!(object.append(&Bytes::from_static(b"hello")), Ok(()));
    assert!(matches!(read(&object), (bytes, Poll::Pending) if bytes == b"hello"));
    object.break_off();
    assert!(matches!(read(&object), (bytes, Poll::Ready(Next::Broken)) if bytes == b"hello"));
}

#[test]
fn warmed_bytes_are_useful_once_or_wasted_once() {
    let (budget, metrics) = setting();
    let warmed = || {
        let object = object(Some(5), Purpose::Warm, &budget, &metrics).expect("room");
        assert_eq!(object.append(&Bytes::from_static(b"hello")), Ok(()));
        object
    };
    let (before, after, never, cut) = (warmed(), warmed(), warmed(), warmed());
    before.mark_read();
    before.finish();
    after.finish();
    after.mark_read();
    after.mark_read();
    never.finish();
    cut.break_off();
    drop((before, after, never, cut));
    let stats = metrics.data.so_far();
    assert_eq!((stats.warmed, stats.warmed_bytes, stats.useful_bytes, stats.wasted_bytes), (3, 20, 10, 10));
}

#[test]
fn an_object_ages_from_when_it_was_asked_for() {
    let (budget, metrics) = setting();
    let object = object(Some(5), Purpose::Serve, &budget, &metrics).expect("room");
    let later = |seconds| object.asked_at + Duration::from_secs(seconds);
    assert_eq!(object.age(later(7)).as_secs(), 12);
    assert!(object.is_fresh(later(54)) && !object.is_fresh(later(55)));
}

proptest! {
    /// However an object comes, and wherever a reader stands, what is read is what came.
    #[test]
    fn what_is_read_is_what_came(lens in prop::collection::vec(0_usize..100_000, 0..8), known: bool) {
        let (budget, metrics) = setting();
        let total: usize = lens.iter().sum();
        let object = object(known.then_some(total as u64), Purpose::Serve, &budget, &metrics).expect("room");
        let mut wanted = Vec::new();
        for (at, len) in lens.into_iter().enumerate() {
            let data: Bytes = (0..len).map(|i| (i * 31 + at) as u8).collect();
            prop_assert_eq!(object.append(&data), Ok(()));
            wanted.extend_from_slice(&data);
            let (read, next) = read(&object);
            prop_assert_eq!(&read, &wanted);
            prop_assert!(next.is_pending());
        }
        object.finish();
        let (read, next) = read(&object);
        prop_assert_eq!(read, wanted);
        prop_assert!(matches!(next, Poll::Ready(Next::End)));
        prop_assert_eq!(object.length(), Some(total as u64));
    }
}
