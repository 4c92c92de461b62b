//! Whose a fetch is, by what it says and by when it comes.

use policy::ClassId;

use super::*;

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let value = |text: &str| HeaderValue::from_str(text).expect("a header value");
    fields.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
}

fn kind(class: u16) -> Kind {
    Kind { class: ClassId(class), key: None, features: Vec::new() }
}

fn url(path: &str) -> Uri {
    format!("http://data.example{path}").parse().expect("a URL")
}

/// What a job is taken to have fetched: paths and hundredths.
fn seen(job: &Attendance) -> Vec<(String, u32)> {
    let path = |name: &str| name.strip_prefix("http://data.example").expect("ours").to_owned();
    job.seen().iter().map(|one| (path(&one.fetched.name), (one.fetched.share * 100.0).round() as u32)).collect()
}

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CHILD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01";

#[test]
fn a_fetch_is_whose_name_or_trace_it_says_and_else_shared_among_those_that_run_here() {
    let roll = Arc::new(Roll::default());
    let enter = |name: &str, fields: &[(&'static str, &str)]| {
        let job = roll.enter(kind(0), vec![name.into()], &headers(fields));
        job.begins_here();
        job
    };
    let (named, traced, silent) = (enter("1f-1", &[]), enter("1f-2", &[("traceparent", TRACE)]), enter("1f-3", &[]));
    let elsewhere = roll.enter(kind(0), vec!["1f-4".into()], &HeaderMap::new());
    roll.fetched(&headers(&[("baggage", "a=b, adumbra-dispatch=1f-1-s1")]), &url("/named"), Some(1), false);
    roll.fetched(&headers(&[("traceparent", CHILD)]), &url("/traced"), Some(1), false);
    roll.fetched(&HeaderMap::new(), &url("/any"), Some(1), false);
    assert_eq!(seen(&named), [("/named".to_owned(), 100), ("/any".to_owned(), 33)]);
    assert_eq!(seen(&traced), [("/traced".to_owned(), 100), ("/any".to_owned(), 33)]);
    assert_eq!(seen(&silent), [("/any".to_owned(), 33)]);
    assert_eq!(seen(&elsewhere), []);
    drop((named, traced, elsewhere));
    roll.fetched(&HeaderMap::new(), &url("/alone"), Some(1), false);
    assert_eq!(seen(&silent)[1], ("/alone".to_owned(), 100));
    drop(silent);
    assert!(roll.by_name.lock().is_empty());
}

#[test]
fn a_job_with_two_names_is_one_candidate_and_what_it_fetches_is_learned() {
    let roll = Arc::new(Roll::default());
    for _ in 0..4 {
        let job = roll.enter(kind(7), vec!["near-1".into(), "far-1".into()], &HeaderMap::new());
        job.begins_here();
        roll.fetched(&HeaderMap::new(), &url("/index"), Some(5), false);
        assert_eq!(seen(&job), [("/index".to_owned(), 100)]);
        job.learn();
    }
    let expected = roll.expected(&kind(7));
    assert_eq!((expected.len(), &*expected[0].name, expected[0].bytes), (1, "http://data.example/index", Some(5)));
}

#[test]
fn what_one_sidecar_tells_another_hears() {
    let (here, there) = (Arc::new(Roll::default()), Arc::new(Roll::default()));
    let ran = there.enter(kind(0), vec!["a-1".into()], &HeaderMap::new());
    ran.begins_here();
    assert_eq!(ran.tells(), None);
    for (path, bytes, hit) in [("/a,b?c=1", Some(12), true), ("/d", None, false)] {
        there.fetched(&HeaderMap::new(), &url(path), bytes, hit);
    }
    let mut said = HeaderMap::new();
    said.insert(INPUTS, ran.tells().expect("two inputs"));
    let asked = here.enter(kind(0), vec!["b-1".into()], &HeaderMap::new());
    asked.hears(&said);
    assert_eq!(asked.seen(), ran.seen());
    for (told, heard) in [("", 0), ("x", 0), ("<http://a/x", 0), ("<http://a/x>", 1), ("<http://a/x>; bytes=y, <", 1)] {
        assert_eq!(told_in(told).len(), heard, "{told}");
    }
    assert_eq!(told_in(&"<http://a/x>, ".repeat(40)).len(), INPUTS_MOST);
}
