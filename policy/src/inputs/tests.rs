//! What is expected after what was fetched, by tables and by properties.

use proptest::prelude::*;

use super::*;

fn kind(class: u16, features: &[(&str, &str)]) -> Kind {
    let key = features.iter().flat_map(|(place, value)| place.bytes().chain(value.bytes()));
    let key = key.fold(7, |key: u64, byte| key.wrapping_mul(1099511628211) ^ u64::from(byte));
    let feature = |(place, value): &(&str, &str)| Feature { place: (*place).into(), value: (*value).into() };
    Kind { class: ClassId(class), key: Some(key), features: features.iter().map(feature).collect() }
}

fn fetched(name: &str, share: f64) -> Fetched {
    Fetched { name: name.into(), bytes: Some(10), share }
}

fn names(inputs: &Inputs, kind: &Kind, now_s: f64) -> Vec<String> {
    inputs.expected(kind, now_s).iter().map(|one| one.name.to_string()).collect()
}

#[test]
fn what_every_job_of_a_class_fetches_is_expected_of_the_next() {
    let mut inputs = Inputs::default();
    let next = kind(1, &[("query:n", "one")]);
    for n in 0..4 {
        assert_eq!(names(&inputs, &next, 0.0).len(), usize::from(n > 2), "after {n} jobs");
        inputs.learn(&kind(1, &[("query:n", &format!("n-{n}"))]), &[fetched("http://a/index", 1.0)], 0.0);
    }
    let expected = inputs.expected(&next, 0.0);
    assert_eq!((&*expected[0].name, expected[0].bytes), ("http://a/index", Some(10)));
    assert!(names(&inputs, &kind(2, &[("query:n", "one")]), 0.0).is_empty(), "another class has other habits");
}

#[test]
fn the_same_request_is_expected_to_fetch_the_same_after_one_job() {
    let mut inputs = Inputs::default();
    let (one, other) = (kind(1, &[("query:n", "one")]), kind(1, &[("query:n", "other")]));
    inputs.learn(&one, &[fetched("http://a/x", 1.0), fetched("http://a/y", 1.0)], 0.0);
    assert_eq!(names(&inputs, &one, 0.0), ["http://a/x", "http://a/y"]);
    assert!(names(&inputs, &other, 0.0).is_empty());
}

#[test]
fn a_request_that_was_not_looked_at_whole_has_no_habits_of_its_own() {
    let mut inputs = Inputs::default();
    let job = Kind { key: None, ..kind(1, &[]) };
    inputs.learn(&job, &[fetched("http://a/x", 1.0)], 0.0);
    assert!(names(&inputs, &job, 0.0).is_empty(), "one job of a class proves nothing");
}

#[test]
fn what_is_named_after_the_request_is_expected_of_a_request_that_was_never_made() {
    let mut inputs = Inputs::default();
    for scene in ["alps", "bay", "city"] {
        let name = format!("http://a/scenes/{scene}.bin?v=1");
        inputs.learn(&kind(1, &[("segment:0", "render"), ("query:scene", scene)]), &[fetched(&name, 1.0)], 0.0);
    }
    let new = kind(1, &[("segment:0", "render"), ("query:scene", "desert")]);
    assert_eq!(names(&inputs, &new, 0.0), ["http://a/scenes/desert.bin?v=1"]);
    assert_eq!(inputs.expected(&new, 0.0)[0].bytes, None, "nobody has seen it");
    assert!(names(&inputs, &kind(1, &[("segment:0", "render")]), 0.0).is_empty(), "there is nothing to name it after");
}

#[test]
fn a_value_that_leads_elsewhere_names_nothing() {
    let mut inputs = Inputs::default();
    for scene in ["alps", "bay", "city"] {
        inputs.learn(&kind(1, &[("q", scene)]), &[fetched(&format!("http://a/s/{scene}/x"), 1.0)], 0.0);
    }
    for value in ["..", "a/../b", "x?y", "x#y", "x@evil", "a b", "%2e%2e", "a//b", "", "\u{e9}t\u{e9}"] {
        assert!(names(&inputs, &kind(1, &[("q", value)]), 0.0).is_empty(), "{value}");
    }
    assert_eq!(names(&inputs, &kind(1, &[("q", "deep/one")]), 0.0), ["http://a/s/deep/one/x"]);
    // An origin is never made from a request.
    let mut inputs = Inputs::default();
    for host in ["one", "two", "three"] {
        inputs.learn(&kind(1, &[("q", host)]), &[fetched(&format!("http://{host}/x"), 1.0)], 0.0);
    }
    assert!(names(&inputs, &kind(1, &[("q", "evil")]), 0.0).is_empty());
}

#[test]
fn what_jobs_do_without_and_what_is_old_is_expected_no_longer() {
    let mut inputs = Inputs::default();
    let job = kind(1, &[]);
    (0..20).for_each(|_| inputs.learn(&job, &[fetched("http://a/x", 1.0)], 0.0));
    assert_eq!(names(&inputs, &job, 0.0).len(), 1);
    assert!(names(&inputs, &job, 30.0 * HALF_LIFE_S).is_empty(), "that was a month ago");
    let mut without = 0;
    while !names(&inputs, &job, 0.0).is_empty() {
        inputs.learn(&job, &[], 0.0);
        without += 1;
    }
    assert!((4..20).contains(&without), "{without} jobs did without");
}

#[test]
fn whose_a_fetch_was_becomes_clear_from_who_else_ran() {
    let mut inputs = Inputs::default();
    let ours = kind(0, &[]);
    for n in 0..40_u16 {
        // Each time another stranger runs beside ours, and both fetch.
        let stranger = kind(1 + n % 8, &[]);
        let both = [&ours, &stranger];
        let strange = format!("http://a/{}", n % 8);
        let learned: Vec<(usize, Fetched)> = [("http://a/ours", 0.0), (&strange, 0.0)]
            .iter()
            .flat_map(|(name, _)| {
                let shares = inputs.shares(name, &both, 0.0);
                assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
                shares.into_iter().enumerate().map(|(at, share)| (at, fetched(name, share)))
            })
            .collect();
        for (at, job) in both.into_iter().enumerate() {
            let its: Vec<Fetched> = learned.iter().filter(|(of, _)| *of == at).map(|(_, one)| one.clone()).collect();
            inputs.learn(job, &its, 0.0);
        }
    }
    assert_eq!(names(&inputs, &ours, 0.0), ["http://a/ours"]);
    assert_eq!(names(&inputs, &kind(3, &[]), 0.0), ["http://a/2"]);
}

#[test]
fn one_job_whose_fetches_are_doubtful_proves_nothing() {
    let mut inputs = Inputs::default();
    let job = kind(1, &[]);
    inputs.learn(&job, &[fetched("http://a/x", 0.5), fetched("http://a/y", f64::NAN)], 0.0);
    assert!(names(&inputs, &job, 0.0).is_empty());
}

#[test]
fn classes_and_keys_are_bounded_and_the_latest_stay() {
    let mut inputs = Inputs::default();
    for n in 0..3 * SCOPES_MOST {
        let job = kind(1, &[("q", &format!("{n}"))]);
        inputs.learn(&job, &[fetched("http://a/x", 1.0)], n as f64);
        assert!(inputs.scopes.len() <= SCOPES_MOST);
    }
    let last = format!("{}", 3 * SCOPES_MOST - 1);
    assert!(inputs.scopes.contains_key(&(ClassId(1), kind(1, &[("q", &last)]).key)));
    assert!(!inputs.scopes.contains_key(&(ClassId(1), kind(1, &[("q", "0")]).key)));
}

proptest! {
    #[test]
    fn confidence_is_a_share_and_lists_are_bounded(
        jobs in prop::collection::vec((0_u16..3, prop::collection::vec((0_u8..60, 0.0..=1.0_f64), 0..40)), 0..60),
    ) {
        let mut inputs = Inputs::default();
        for (n, (class, names)) in jobs.iter().enumerate() {
            let its: Vec<Fetched> = names.iter().map(|(name, share)| fetched(&format!("http://a/{name}"), *share)).collect();
            inputs.learn(&kind(*class, &[("q", &format!("{}", n % 5))]), &its, n as f64);
        }
        for class in 0..3 {
            let expected = inputs.expected(&kind(class, &[("q", "3")]), jobs.len() as f64);
            prop_assert!(expected.len() <= INPUTS_MOST);
            prop_assert!(expected.iter().all(|one| (WORTH_FETCHING..=1.0).contains(&one.confidence)));
            prop_assert!(expected.is_sorted_by(|one, other| one.confidence >= other.confidence));
        }
    }

    #[test]
    fn no_name_and_no_value_is_too_odd(name in "\\PC{0,60}", value in "\\PC{0,20}", other in "\\PC{0,20}") {
        let features = |value: &str| vec![Feature { place: "q".into(), value: value.into() }];
        if let Some(pattern) = Pattern::after(&name, &features(&value)) {
            let same = pattern.name(&features(&value));
            prop_assert_eq!(same.as_deref(), Some(&*name));
            let made = pattern.name(&features(&other));
            let origin = |name: &str| name.split("://").nth(1).and_then(|rest| rest.split('/').next()).map(str::to_owned);
            prop_assert!(made.is_none_or(|made| origin(&made) == origin(&name)));
        }
    }
}
