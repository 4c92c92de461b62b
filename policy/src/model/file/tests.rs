//! What is written is read again as the same, in any order of classes and networks, and whatever else comes is an error or
//! a model that can be scored.

use super::*;
use crate::job::{EXTRACTED, Job};
use crate::learn::{Label, Row, Window, refit};
use crate::model::tree::BadTree;
use crate::testing::{Dice, PRIVATE, PUBLIC, took};

const CLASSES: [(&str, &str); 3] = [("render", "scene"), ("render", ""), ("ocr", "page")];

/// A model of three classes on two networks that asks about several features, some of them missing in some jobs.
fn model() -> Model {
    let mut dice = Dice::new(21);
    let mut window = Window::new(10_000);
    for pair in 0..1500_u64 {
        let class = dice.below(CLASSES.len());
        let bytes = (dice.uniform() * 1e6) as u64;
        let frames = dice.uniform() as f32 * 100.0;
        let home_s = (1.0 + bytes as f64 / 2e5) * [0.5, 2.0, 9.0][class] * (0.3 * dice.normal()).exp()
            + if frames > 60.0 { 5.0 } else { 0.0 };
        for (network, seconds) in [(PRIVATE, home_s), (PUBLIC, home_s * [0.5, 1.0, 2.0][class])] {
            let mut row = Row { pair, cpu_s: Some(seconds / 2.0), ..took(class as u16, network, seconds) };
            row.job.body_bytes = (pair % 5 > 0).then_some(bytes);
            row.job.extracted = [frames, f32::NAN, f32::NAN, f32::NAN];
            if pair % 11 == 0 && network == PUBLIC {
                row.label = Label::LongerThan(seconds / 2.0);
            }
            window.push(row).expect("a label that can be");
        }
    }
    refit(&window, PRIVATE, None).expect("enough labels")
}

fn class_name(class: ClassId) -> Option<ClassName> {
    let (route, class) = CLASSES.get(usize::from(class.0))?;
    Some(ClassName { route: (*route).to_owned(), class: (*class).to_owned() })
}

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn extracts() -> Vec<Extracts> {
    vec![Extracts { route: "render".to_owned(), names: strings(&["x_frames"]) }]
}

fn named() -> Named {
    let (networks, extracts) = (strings(&["private", "public"]), extracts());
    Named::of(&model(), Surroundings { networks: &networks, extracts: &extracts }, class_name, 1_795_521_234)
}

fn probes() -> Vec<Job> {
    let mut dice = Dice::new(4);
    (0..60)
        .map(|i| {
            let mut job = took((i % 4) as u16, PRIVATE, 1.0).job;
            job.body_bytes = (i % 3 > 0).then(|| (dice.uniform() * 1e6) as u64);
            job.extracted = [0; EXTRACTED].map(|_| if i % 7 == 0 { f32::NAN } else { dice.uniform() as f32 * 100.0 });
            job
        })
        .collect()
}

/// Scores what was read wherever it can be asked.
fn score(model: &Model) {
    for job in probes() {
        for network in (0..MAX_NETWORKS).filter_map(NetworkId::new) {
            let prediction = model.predict(&job, network);
            assert!(prediction.mean_s.is_finite() && prediction.mean_s > 0.0, "{prediction:?}");
            assert!(prediction.quantiles_s.is_sorted(), "{prediction:?}");
            assert!(prediction.remaining_s(1.0).is_finite() && prediction.doubt.is_finite(), "{prediction:?}");
        }
        assert!(!model.path(&job).is_empty());
    }
    assert!(model.renumbered_after().version() > 0);
}

impl Model {
    /// What the next model is counted as.
    fn renumbered_after(&self) -> Self {
        self.clone().renumbered(self.version() + 1)
    }
}

/// `text` with the checksum of what it now says, if it has a place for one.
fn sealed(text: &str) -> String {
    super::sealed(text).unwrap_or_else(|| text.to_owned())
}

#[test]
fn what_is_written_is_read_again_as_the_same() {
    let text = write(&named());
    let again = read(&text).expect("what was written can be read");
    assert_eq!(write(&again), text);
    assert_eq!((again.home(), again.made_unix_s(), again.networks().len()), ("private", 1_795_521_234, 2));
    assert_eq!(again.classes()[0].route, "ocr", "in the order of their names");
    assert!(text.len() < 1 << 20 && text.lines().count() > again.model().size().nodes);
    assert!(text.contains("\"feature\":\"body_bytes\"") && text.contains("\"feature\":\"x_0\""), "{text}");
}

#[test]
fn names_and_not_places_say_which_class_and_network_is_meant() {
    let (original, read) = (model(), read(&write(&named())).expect("it is whole"));
    // Another process: networks and classes stand in another order, and there are more of both.
    let (networks, extracts) = (strings(&["public", "third", "private"]), extracts());
    let around = Surroundings { networks: &networks, extracts: &extracts };
    let [public, third, private] = [0, 1, 2].map(|place| NetworkId::new(place).expect("few"));
    let place_of = |name: &ClassName| {
        let place = CLASSES.iter().position(|class| *class == (&name.route, &name.class))?;
        Some(ClassId(40 - place as u16))
    };
    let bound = read.bind(private, around, place_of).expect("it fits");
    for job in probes() {
        let there = Job { class: ClassId(40 - job.class.0), ..job };
        assert_eq!(bound.predict(&there, private), original.predict(&job, PRIVATE));
        assert_eq!(bound.predict(&there, public), original.predict(&job, PUBLIC));
        let unknown = bound.predict(&there, third);
        assert!(unknown.doubt > 0.5 && unknown.mean_s == bound.predict(&there, private).mean_s, "{unknown:?}");
    }
    assert_eq!((bound.learned_until(), bound.rows(), bound.version()), (0, original.rows(), 1));
    // A class that is not there any more is nobody's.
    let without = read.bind(private, around, |name| place_of(name).filter(|class| class.0 != 40)).expect("it fits");
    assert_eq!(without.size().classes, 2);
    assert_eq!(without.ratio(ClassId(40), public), without.ratio(ClassId(7), public));
}

#[test]
fn a_model_for_another_home_or_of_other_numbers_does_not_fit() {
    let read = read(&write(&named())).expect("it is whole");
    let (networks, extracts) = (strings(&["private", "public"]), extracts());
    let around = Surroundings { networks: &networks, extracts: &extracts };
    let refused = read.bind(PUBLIC, around, |_| None).expect_err("another home");
    assert_eq!(refused, Misfit::Home { file: "private".to_owned(), here: "public".to_owned() });
    let other = [Extracts { route: "render".to_owned(), names: strings(&["x_pixels"]) }];
    let refused = read.bind(PRIVATE, Surroundings { extracts: &other, ..around }, |_| None).expect_err("other numbers");
    assert!(refused.to_string().contains("extracted [x_frames] when it was made, and extracts [x_pixels] now"));
    // A route that is new or gone changes nothing that was asked.
    let other = [Extracts { route: "new".to_owned(), names: strings(&["x_pixels"]) }];
    assert!(read.bind(PRIVATE, Surroundings { extracts: &other, ..around }, |_| None).is_ok());
}

/// Replaces the first `from` by `to` in a valid file, with a checksum that fits, and says what becomes of it.
fn check(from: &str, to: &str, expected: &str) {
    let text = write(&named());
    assert!(text.contains(from), "`{from}` is not in the file");
    let error = read(&sealed(&text.replacen(from, to, 1))).expect_err(to);
    let mut said = format!("{error}");
    if let Some(source) = std::error::Error::source(&error) {
        said += &format!(": {source}");
    }
    assert!(said.contains(expected), "`{from}` → `{to}`: {said}");
}

#[test]
fn each_thing_that_can_be_wrong_is_told_apart() {
    let text = write(&named());
    let fails = |text: &str| read(text).expect_err("it is not whole");
    assert!(matches!(fails(""), BadFile::Foreign));
    assert!(matches!(fails("arrival_s,class\n"), BadFile::Foreign));
    assert!(matches!(fails("{\"adumbra_model\":99999999999999999999,"), BadFile::Foreign));
    assert!(matches!(fails(&text.replacen("model\":1", "model\":2", 1)), BadFile::Format(2)));
    assert!(matches!(fails(&" ".repeat(FILE_BYTES_MOST + 1)), BadFile::TooLarge(_)));
    assert!(matches!(fails(&text[..text.len() / 2]), BadFile::Truncated));
    assert!(matches!(fails(&text[..text.len() - 1]), BadFile::Truncated));
    assert!(matches!(
        fails(&text.replacen("\"home\":\"private\"", "\"home\":\"public\"", 1)),
        BadFile::Checksum { .. }
    ));
    check("\"schema\":\"", "\"schema\":\"0", "train it again with this adumbra");
    check("\"version\":1", "\"version\":9007199254740993", "version is 9007199254740993");
    check("\"version\":1", "\"version\":-1", "invalid value");
    check("\"rows\":", "\"rows\":1e3,\"row\":", "invalid type");
    check("\"home\":", "\"hoome\":", "unknown field `hoome`");
    check("\"home\":\"private\"", "\"home\":\"cloud\"", "`home` speaks of network `cloud`");
    check("[\"private\",\"public\"]", "[\"private\",\"private\"]", "`private` is there twice");
    check("[\"private\",\"public\"]", "[\"private\",\"\"]", "is empty or has more");
    check("\"route\":\"render\",\"class\":\"\"", "\"route\":\"a\",\"class\":\"\"", "class 1 is not behind");
    check("{\"network\":\"public\"", "{\"network\":\"cloud\"", "class 0 speaks of network `cloud`");
    check("\"log\":0.0", "\"log\":1e6", "class 0 has a ratio");
    check("\"log_s\":", "\"log_s\":1e9,\"x\":", "unknown field `x`");
    check("\"widened\":", "\"widened\":1e999,\"w\":", "number out of range");
    check("\"covered_before\":", "\"covered_before\":2.0,\"c\":", "unknown field `c`");
    check("\"feature\":\"", "\"feature\":\"x_9\",\"leaf\":0,\"f\":\"", "unknown field `f`");
    check("\"missing\":\"", "\"missing\":\"up", "unknown variant");
}

/// As `check`, for numbers that stand behind a name: the first number after `key` becomes `to`.
fn check_number(key: &str, to: &str, expected: &str) {
    let text = write(&named());
    let at = text.find(key).expect("it is in the file") + key.len();
    let end = at + text[at..].find([',', '}', ']']).expect("the number ends");
    let error = read(&sealed(&format!("{}{to}{}", &text[..at], &text[end..]))).expect_err(to);
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    let said = format!("{error}: {source}");
    assert!(said.contains(expected), "{key}{to}: {said}");
}

#[test]
fn numbers_that_cannot_be_are_told_apart() {
    check_number("\"left\":", "0", "the children of node 0");
    check_number("\"left\":", "4294967295", "the children of node 0");
    check_number("\"up_to\":", "1e39", "node 0: `up_to` is no finite number");
    check_number("\"up_to\":", "null", "node 0: it must have either");
    check_number("\"up_to\":", "NaN", "expected value");
    check_number("{\"leaf\":", "70000", "names a leaf that is not there");
    check_number("\"mean_s\":", "0", "leaf 0 has a time or a resource");
    check_number("\"mean_s\":", "-1", "leaf 0 has a time or a resource");
    check_number("\"mean_s\":", "1e308", "leaf 0 has a time or a resource");
    check_number("\"cpu_s\":", "-3", "leaf 0 has a time or a resource");
    check_number("\"quantiles_s\":[", "1e9", "quantiles that decrease");
    check_number("\"doubt\":", "-0.1", "class 0 has a ratio");
    check_number("\"log_s\":", "1e9", "class 0 has a `log_s`");
    check_number("\"covered_before\":", "1.5", "its calibration");
    check_number("\"labels\":", "-1", "invalid value");
}

#[test]
fn a_tree_that_is_too_deep_too_large_or_short_of_leaves_is_told_apart() {
    let rebuilt = |nodes: &str, leaves: usize| {
        let text = write(&named());
        let (before, _) = text.split_once("\"nodes\":[").expect("it has nodes");
        let leaf = r#"{"mean_s":1,"quantiles_s":[1,1,1,1,1],"labels":1,"censored":0}"#;
        sealed(&format!("{before}\"nodes\":[{nodes}],\n\"leaves\":[{}]\n}}\n", vec![leaf; leaves].join(",")))
    };
    let split = |left: usize| format!(r#"{{"feature":"hour","up_to":1,"missing":"left","left":{left}}}"#);
    let chain = |splits: usize| {
        let mut nodes = vec![split(1)];
        for i in 0..splits {
            nodes.push(format!(r#"{{"leaf":{i}}}"#));
            nodes.push(if i + 1 < splits { split(2 * i + 3) } else { format!(r#"{{"leaf":{splits}}}"#) });
        }
        rebuilt(&nodes.join(","), splits + 1)
    };
    assert!(read(&chain(12)).is_ok());
    assert!(matches!(read(&chain(13)), Err(BadFile::Tree(BadTree::Depth(24)))));
    assert!(matches!(read(&rebuilt("", 0)), Err(BadFile::Tree(BadTree::Nodes(0)))));
    assert!(matches!(read(&rebuilt(r#"{"leaf":0}"#, 2)), Err(BadFile::Leaves { leaves: 2, asked: 1 })));
    let many = vec![r#"{"leaf":0}"#; 5000].join(",");
    assert!(matches!(read(&rebuilt(&many, 5000)), Err(BadFile::Tree(BadTree::Nodes(5000)))));
    // Lists in lists without end are no stack's end.
    assert!(matches!(read(&rebuilt(&"[".repeat(200_000), 1)), Err(BadFile::Malformed(_))));
}

/// A change of a file, as a disk, a person or an enemy may make one.
fn changed(text: &str, dice: &mut Dice) -> Vec<u8> {
    const NUMBERS: [&str; 18] = [
        "0",
        "-0",
        "-1",
        "1",
        "2",
        "0.5",
        "1e-310",
        "1e308",
        "-1e308",
        "1e309",
        "1e39",
        "3.5e38",
        "NaN",
        "null",
        "4294967295",
        "9007199254740993",
        "18446744073709551615",
        "\"1\"",
    ];
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(bytes.len());
        match dice.below(6) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes.truncate(at.max(1)),
            2 => drop(bytes.drain(at..(at + 1 + dice.below(40)).min(bytes.len()))),
            3 => {
                let copied: Vec<u8> = bytes[at..(at + 200).min(bytes.len())].to_vec();
                let to = dice.below(bytes.len());
                drop(bytes.splice(to..to, copied));
            }
            _ => {
                // A number somewhere becomes another.
                let starts = |i: &usize| bytes[*i].is_ascii_digit() && !bytes[*i - 1].is_ascii_alphanumeric();
                let Some(start) = (at.max(1)..bytes.len()).find(starts) else { continue };
                let is_number = |b: &u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'-');
                let end = start + bytes[start..].iter().take_while(|b| is_number(b)).count();
                drop(bytes.splice(start..end, NUMBERS[dice.below(NUMBERS.len())].bytes()));
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

#[test]
fn whatever_becomes_of_a_file_it_is_an_error_or_a_model_that_can_be_scored() {
    let text = write(&named());
    let (mut refused, mut scored) = (0, 0);
    for seed in 0..4000 {
        let mut dice = Dice::new(seed);
        let bytes = changed(&text, &mut dice);
        let Ok(changed) = String::from_utf8(bytes) else { continue };
        // As it is, and as by somebody who knows how to seal it.
        for text in [&changed, &sealed(&changed)] {
            match read(text) {
                Ok(named) => {
                    score(named.model());
                    let again = read(&write(&named)).expect("what was read can be written and read");
                    assert_eq!(write(&again), write(&named), "seed {seed}");
                    scored += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 4000 && scored > 100, "{refused} refused, {scored} scored: the changes reach both");
}
