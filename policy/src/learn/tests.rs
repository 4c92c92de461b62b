//! Whole fits: against a variance tree written here, and against what real labels are like: few values, missing figures,
//! stopped jobs, lies and floods.

mod poison;

use proptest::prelude::*;

use super::*;
use crate::Model;
use crate::job::EXTRACTED;
use crate::model::features::{FEATURES, Features, features};
use crate::model::tree::{DEPTH_MOST, NODES_MOST};
use crate::testing::{Dice, PRIVATE, PUBLIC, job, took};

fn window(rows: impl IntoIterator<Item = Row>) -> Window {
    let mut window = Window::new(200_000);
    for row in rows {
        window.push(row).expect("a label that can be");
    }
    window
}

fn fit(rows: impl IntoIterator<Item = Row>) -> Model {
    refit(&window(rows), PRIVATE, None).expect("enough labels")
}

/// A label at home with these extracted figures.
fn with(extracted: [f32; EXTRACTED], seconds: f64) -> Row {
    let mut row = took(0, PRIVATE, seconds);
    row.job.extracted = extracted;
    row
}

fn seconds(row: &Row) -> f64 {
    let (Label::Took(seconds) | Label::LongerThan(seconds)) = row.label;
    seconds
}

fn log_rmse(rows: &[Row], predict: impl Fn(&Row) -> f64) -> f64 {
    let sum: f64 = rows.iter().map(|row| (seconds(row) / predict(row)).ln().powi(2)).sum();
    (sum / rows.len() as f64).sqrt()
}

fn median_of(model: &Model) -> impl Fn(&Row) -> f64 + '_ {
    |row| model.predict(&row.job, row.network).quantiles_s[2]
}

#[test]
fn too_few_labels_are_said_to_be_too_few() {
    let rows =
        (0..39).map(|_| took(0, PRIVATE, 1.0)).chain([Row { label: Label::LongerThan(1.0), ..took(0, PRIVATE, 1.0) }]);
    assert_eq!(refit(&window(rows), PRIVATE, None).err(), Some(Refused::TooFew { have: 39, need: 40 }));
}

#[test]
fn one_time_for_all_jobs_is_predicted_as_it_is() {
    let model = fit((0..40).map(|_| took(3, PRIVATE, 2.5)));
    let prediction = model.predict(&took(3, PRIVATE, 1.0).job, PRIVATE);
    assert!((prediction.mean_s - 2.5).abs() < 1e-9 && (prediction.quantiles_s[2] - 2.5).abs() < 1e-9);
    assert_eq!(model.size().nodes, 1);
}

#[test]
fn three_binary_features_that_decide_the_label_are_found() {
    // Where linfa-trees alone, grown deep, is right half of the time.
    let mut dice = Dice::new(1);
    let rows: Vec<Row> = (0..2000)
        .map(|_| {
            let bits: [bool; 3] = std::array::from_fn(|_| dice.uniform() < 0.5);
            let x = bits.map(|bit| f32::from(u8::from(bit)));
            let log = f64::from(x[0]) * 2.0 + f64::from(x[1]) + if bits[0] != bits[2] { 0.5 } else { 0.0 };
            with([x[0], x[1], x[2], dice.uniform() as f32], log.exp())
        })
        .collect();
    let model = fit(rows.clone());
    assert!(log_rmse(&rows, median_of(&model)) < 0.01, "{}", log_rmse(&rows, median_of(&model)));
    assert!(model.size().leaves <= 10, "{:?}", model.size());
}

#[test]
fn features_of_few_values_and_of_tiny_differences_are_found() {
    let mut dice = Dice::new(2);
    let rows: Vec<Row> = (0..3000)
        .map(|_| {
            let (level, tiny) = (dice.below(5) as f32, dice.below(2) as f32 * 1e-7);
            let log = f64::from(level) * 0.7 + if tiny > 0.0 { 0.4 } else { 0.0 } + 0.05 * dice.normal();
            with([level, tiny, f32::NAN, f32::NAN], log.exp())
        })
        .collect();
    let error = log_rmse(&rows, median_of(&fit(rows.clone())));
    assert!(error < 0.06, "{error}");
}

#[test]
fn a_missing_figure_goes_where_such_jobs_were_seen_to_go() {
    // Jobs that do not state x_0 take as long as those with a large one: neither as the small ones nor as a mean of both.
    let mut dice = Dice::new(3);
    let rows: Vec<Row> = (0..3000)
        .map(|i| {
            let x = dice.uniform() as f32;
            let (stated, log) = if i % 3 == 0 { (f32::NAN, 2.0) } else { (x, if x > 0.5 { 2.0 } else { 0.0 }) };
            with([stated, f32::NAN, f32::NAN, f32::NAN], (log + 0.1 * dice.normal()).exp())
        })
        .collect();
    let model = fit(rows.clone());
    assert!(log_rmse(&rows, median_of(&model)) < 0.12);
    let predict = |x| median_of(&model)(&with([x, f32::NAN, f32::NAN, f32::NAN], 1.0));
    assert!((predict(f32::NAN).ln() - 2.0).abs() < 0.1 && predict(0.2).ln().abs() < 0.1);
    assert_eq!(predict(f32::INFINITY), predict(f32::NAN), "a figure that cannot be is missing");
    // A figure that was never missing while learning: some answer, and no panic.
    assert!(median_of(&fit(rows.into_iter().filter(|r| !r.job.extracted[0].is_nan())))(&took(0, PRIVATE, 1.0)) > 0.0);
}

/// A plain variance tree on the same features, for comparison: the best split by squared error, as far as leaves allow.
enum Cart {
    Leaf(f64),
    Split(usize, f32, Box<[Cart; 2]>),
}

impl Cart {
    fn grow(rows: &mut [(Features, f64)], least: usize, depth: usize) -> Self {
        let mean = rows.iter().map(|row| row.1).sum::<f64>() / rows.len() as f64;
        let Some((feature, at)) = Self::best(rows, least).filter(|_| depth > 0) else { return Self::Leaf(mean) };
        rows.sort_by(|a, b| a.0[feature].total_cmp(&b.0[feature]));
        let (left, right) = rows.split_at_mut(rows.partition_point(|row| row.0[feature] <= at));
        Self::Split(feature, at, Box::new([Self::grow(left, least, depth - 1), Self::grow(right, least, depth - 1)]))
    }

    fn best(rows: &mut [(Features, f64)], least: usize) -> Option<(usize, f32)> {
        let total: f64 = rows.iter().map(|row| row.1).sum();
        let n = rows.len() as f64;
        let mut best = (total * total / n + 1e-9, None);
        for feature in 0..FEATURES {
            rows.sort_by(|a, b| a.0[feature].total_cmp(&b.0[feature]));
            let mut left = 0.0;
            for i in 1..rows.len() {
                left += rows[i - 1].1;
                let (a, b) = (rows[i - 1].0[feature], rows[i].0[feature]);
                if i < least || rows.len() - i < least || a.is_nan() || b.is_nan() || a == b {
                    continue;
                }
                let k = i as f64;
                let explained = left * left / k + (total - left).powi(2) / (n - k);
                if explained > best.0 {
                    best = (explained, Some((feature, a + (b - a) / 2.0)));
                }
            }
        }
        best.1
    }

    fn predict(&self, x: &Features) -> f64 {
        match self {
            Self::Leaf(mean) => *mean,
            Self::Split(feature, at, sides) => sides[usize::from(x[*feature] > *at)].predict(x),
        }
    }
}

#[test]
fn it_predicts_as_well_as_a_variance_tree() {
    let make = |seed, n: usize| -> Vec<Row> {
        let mut dice = Dice::new(seed);
        (0..n)
            .map(|_| {
                let x: [f32; EXTRACTED] = std::array::from_fn(|_| dice.uniform() as f32);
                let steps = if x[1] > 0.6 { 0.8 } else { 0.0 } + if x[2] > 0.3 && x[0] < 0.5 { 0.5 } else { 0.0 };
                let log = 1.5 * f64::from(x[0]) + steps + 0.3 * dice.normal();
                with(x, log.exp())
            })
            .collect()
    };
    let (train, test) = (make(11, 6000), make(12, 3000));
    let model = fit(train.clone());
    let ours = log_rmse(&test, median_of(&model));
    let mut rows: Vec<_> = train.iter().map(|row| (features(&row.job, 0.0), seconds(row).ln())).collect();
    let cart = Cart::grow(&mut rows, super::grow::leaf_least(train.len()), DEPTH_MOST);
    let theirs = log_rmse(&test, |row| cart.predict(&features(&row.job, 0.0)).exp());
    println!("log RMSE: {ours:.4} by classification, {theirs:.4} by variance, noise 0.3");
    assert!(ours < 1.03 * theirs, "{ours} against {theirs}");
    assert!(model.size().nodes <= NODES_MOST && model.size().depth <= DEPTH_MOST);
}

#[test]
fn classes_are_features_too() {
    let mut dice = Dice::new(4);
    let times = [0.1, 0.5, 2.0, 8.0, 30.0];
    let rows: Vec<Row> = (0..2000)
        .map(|_| {
            let class = dice.below(times.len());
            took(class as u16, PRIVATE, times[class] * (0.1 * dice.normal()).exp())
        })
        .collect();
    assert!(log_rmse(&rows, median_of(&fit(rows.clone()))) < 0.12);
}

/// Jobs of two classes on both networks, unpaired: public is twice as fast for class 0, one and a half times as slow for 1.
fn two_networks(n: usize, seed: u64, paired: bool) -> Vec<Row> {
    let mut dice = Dice::new(seed);
    let mut rows = Vec::new();
    for i in 0..n {
        let class = dice.below(2) as u16;
        let size = [4.0, 10.0][class as usize] * (0.5 * dice.normal()).exp();
        let public_s = size * [0.5, 1.5][class as usize] * (0.05 * dice.normal()).exp();
        let sides = [(PRIVATE, size), (PUBLIC, public_s)];
        let chosen = if paired { 0..2 } else { i % 2..i % 2 + 1 };
        for (network, seconds) in &sides[chosen] {
            rows.push(Row { pair: i as u64, ..took(class, *network, *seconds) });
        }
    }
    rows
}

#[test]
fn ratios_are_learned_class_by_class() {
    let check = |rows: Vec<Row>, tolerance: f64| {
        let model = fit(rows);
        for (class, expected) in [(0, 0.5_f64), (1, 1.5)] {
            let ratio = model.ratio(crate::ClassId(class), PUBLIC);
            assert!((ratio.log - expected.ln()).abs() < tolerance, "class {class}: {}", ratio.log.exp());
            let job = took(class, PRIVATE, 1.0).job;
            let (private, public) = (model.predict(&job, PRIVATE), model.predict(&job, PUBLIC));
            assert!((public.mean_s / private.mean_s - ratio.log.exp()).abs() < 1e-9);
            assert_eq!((private.doubt, public.doubt), (0.0, ratio.doubt));
        }
        model
    };
    check(two_networks(3000, 5, false), 0.08);
    // Thirty pairs say as much as a hundred times as many labels that are not.
    let paired = check(two_networks(60, 6, true), 0.08);
    let ratio = paired.ratio(crate::ClassId(0), PUBLIC);
    assert!(ratio.pairs > 15 && ratio.doubt < 0.15, "{ratio:?}");
}

#[test]
fn a_class_of_few_labels_is_drawn_to_its_network_and_doubted() {
    let mut rows = two_networks(2000, 7, false);
    rows.extend((0..3).map(|_| took(9, PUBLIC, 0.01)));
    let model = fit(rows);
    let (known, stranger) = (model.ratio(crate::ClassId(0), PUBLIC), model.ratio(crate::ClassId(9), PUBLIC));
    assert!(stranger.log.abs() < 0.5, "{stranger:?}");
    assert!(stranger.doubt > 2.0 * known.doubt, "{stranger:?} {known:?}");
    assert!(model.ratio(crate::ClassId(77), PUBLIC).doubt > known.doubt);
}

#[test]
fn doubt_is_the_spread_of_the_ratio_from_job_to_job() {
    for spread in [0.05, 0.5] {
        let model = crate::testing::model(&[(4.0, 3.0)], 0.5, spread);
        let doubt = model.ratio(crate::ClassId(0), PUBLIC).doubt;
        assert!((doubt / spread).ln().abs() < 0.45, "{doubt} for {spread}");
    }
}

#[test]
fn stopped_shadows_do_not_bias_the_prediction() {
    // Half of the jobs are shadows on the public network that are stopped after 5 s; the network is like home.
    let mut dice = Dice::new(8);
    let mut truth = 0.0;
    let n = 4000;
    let rows: Vec<Row> = (0..n)
        .map(|i| {
            let seconds = 4.0 * (0.8 * dice.normal()).exp();
            truth += seconds / f64::from(n);
            match i % 2 {
                0 => took(0, PRIVATE, seconds),
                _ if seconds > 5.0 => Row { label: Label::LongerThan(5.0), ..took(0, PUBLIC, 1.0) },
                _ => took(0, PUBLIC, seconds),
            }
        })
        .collect();
    let ended = rows.iter().filter(|row| matches!(row.label, Label::Took(_)));
    let (sum, count) = ended.fold((0.0, 0.0), |(sum, count), row| (sum + seconds(row), count + 1.0));
    let model = fit(rows.clone());
    let at = |network| model.predict(&took(0, PRIVATE, 1.0).job, network).mean_s / truth;
    assert!((at(PRIVATE) - 1.0).abs() < 0.08, "{}", at(PRIVATE));
    assert!((at(PUBLIC) - 1.0).abs() < 0.15, "{}", at(PUBLIC));
    assert!(sum / count / truth < 0.85, "leaving stopped jobs out would have been {}", sum / count / truth);
}

#[test]
fn a_mean_is_not_the_exponential_of_a_mean_logarithm() {
    let mut dice = Dice::new(9);
    let model = fit((0..4000).map(|_| took(0, PRIVATE, dice.normal().exp())));
    let prediction = model.predict(&took(0, PRIVATE, 1.0).job, PRIVATE);
    assert!((prediction.mean_s - 0.5_f64.exp()).abs() < 0.12, "{prediction:?}");
    assert!((prediction.quantiles_s[2] - 1.0).abs() < 0.08, "{prediction:?}");
}

#[test]
fn the_interval_holds_what_it_says_on_what_comes_next() {
    let make = |seed, n: usize| -> Vec<Row> {
        let mut dice = Dice::new(seed);
        let mut row = || {
            let x = dice.uniform() as f32;
            with([x, dice.uniform() as f32, f32::NAN, f32::NAN], (2.0 * f64::from(x) + 0.5 * dice.normal()).exp())
        };
        (0..n).map(|_| row()).collect()
    };
    let seeds = 20..30_u64;
    let covered = seeds.clone().map(|seed| {
        let model = fit(make(seed, 3000));
        let next = make(seed + 100, 4000);
        let inside = |row: &&Row| {
            let [low, .., high] = model.predict(&row.job, PRIVATE).quantiles_s;
            (low..=high).contains(&seconds(row))
        };
        next.iter().filter(inside).count() as f64 / next.len() as f64
    });
    // One calibration on 600 outcomes is off by 1.6 % by chance; ten of them by 0.5 %.
    let mean = covered.sum::<f64>() / 10.0;
    assert!((0.78..0.82).contains(&mean), "seeds {seeds:?}: {mean}");
}

#[test]
fn a_lying_minority_moves_little() {
    let mut dice = Dice::new(10);
    let honest = two_networks(3000, 13, false);
    let lied: Vec<Row> = honest
        .iter()
        .map(|row| if dice.uniform() < 0.1 { Row { label: Label::Took(1e9), ..*row } } else { *row })
        .collect();
    let (honest_model, lied_model) = (fit(honest), fit(lied));
    let job = took(0, PRIVATE, 1.0).job;
    for network in [PRIVATE, PUBLIC] {
        let (a, b) = (honest_model.predict(&job, network), lied_model.predict(&job, network));
        assert!((b.quantiles_s[2] / a.quantiles_s[2]).ln().abs() < 0.3, "{a:?} {b:?}");
    }
    let ratio = |model: &Model| model.ratio(crate::ClassId(0), PUBLIC).log;
    assert!((ratio(&honest_model) - ratio(&lied_model)).abs() < 0.15);
}

#[test]
fn one_absurd_label_is_not_the_mean() {
    let rows = (0..60).map(|i| took(0, PRIVATE, if i == 7 { 1e9 } else { 1.0 + f64::from(i % 5) * 0.1 }));
    let mean_s = fit(rows).predict(&took(0, PRIVATE, 1.0).job, PRIVATE).mean_s;
    assert!(mean_s < 2.0, "{mean_s}");
}

#[test]
fn the_same_window_gives_the_same_model() {
    let model = || format!("{:?}", fit(two_networks(2000, 14, true)));
    assert_eq!(model(), model());
}

#[test]
fn a_challenger_must_not_lose_on_the_newest_outcomes() {
    let mut window = window(two_networks(2000, 15, true));
    let champion = refit(&window, PRIVATE, None).expect("a first model");
    assert_eq!((champion.version(), champion.learned_until()), (1, window.taken()));
    // More of the same: as good, so it comes in.
    for row in two_networks(500, 16, true) {
        window.push(row).expect("a label that can be");
    }
    let second = refit(&window, PRIVATE, Some(&champion)).expect("as good as the first");
    assert_eq!(second.version(), 2);
    // A window whose older part is lies and whose newest part is true: what is grown from the lies loses.
    let lies = two_networks(2000, 17, true).into_iter().map(|row| Row { label: Label::Took(77.0), ..row });
    let mut lied = Window::new(200_000);
    for row in lies.chain(two_networks(300, 18, true)) {
        lied.push(row).expect("a label that can be");
    }
    let refused = refit(&lied, PRIVATE, Some(&champion)).expect_err("it is worse");
    assert!(matches!(refused, Refused::Worse { challenger, champion } if challenger > champion), "{refused}");
}

#[test]
fn few_labels_do_not_push_out_a_model_of_many_unless_they_know_better() {
    // As after a restart: the model was kept, the window was not.
    let champion = fit(two_networks(2000, 15, true));
    let fresh = |n, seed, factor: f64| {
        let slower = |row: Row| Row { label: Label::Took(seconds(&row) * factor), ..row };
        window(two_networks(n, seed, true).into_iter().map(slower))
    };
    let champion = champion.seen_until(0);
    let refused = refit(&fresh(100, 20, 1.0), PRIVATE, Some(&champion)).expect_err("it has seen little");
    assert!(matches!(refused, Refused::Thin { challenger: 200, champion: 4000 } | Refused::Worse { .. }), "{refused}");
    assert!(refit(&fresh(1200, 21, 1.0), PRIVATE, Some(&champion)).is_ok(), "it has seen more than half");
    assert!(refit(&fresh(100, 22, 3.0), PRIVATE, Some(&champion)).is_ok(), "all takes three times as long now");
}

#[test]
fn a_model_follows_a_change() {
    let mut window = window((0..1000).map(|_| took(0, PRIVATE, 1.0)));
    let champion = refit(&window, PRIVATE, None).expect("a first model");
    for _ in 0..2000 {
        window.push(took(0, PRIVATE, 8.0)).expect("a label that can be");
    }
    let next = refit(&window, PRIVATE, Some(&champion)).expect("better on what is new");
    assert!((next.predict(&took(0, PRIVATE, 1.0).job, PRIVATE).quantiles_s[2] - 8.0).abs() < 1e-9);
}

#[test]
fn resources_are_predicted_where_labels_said() {
    let rows = (0..100).map(|i| Row {
        cpu_s: (i % 2 == 0).then_some(3.0),
        memory_bytes: Some(1e9),
        ..took(0, PRIVATE, 2.0 + f64::from(i % 7) * 0.01)
    });
    let prediction = fit(rows).predict(&took(0, PRIVATE, 1.0).job, PRIVATE);
    assert!((prediction.cpu_s.expect("half of the labels said") - 3.0).abs() < 1e-9);
    assert!((prediction.memory_bytes.expect("every label said") - 1e9).abs() < 1.0);
    assert_eq!(prediction.response_bytes, None);
}

#[test]
fn a_path_can_be_read() {
    let mut dice = Dice::new(19);
    let rows: Vec<Row> = (0..500)
        .flat_map(|i| {
            let bytes = 1000 + (dice.uniform() * 1e6) as u64;
            let seconds = bytes as f64 / 1e5 * (0.1 * dice.normal()).exp();
            [(PRIVATE, seconds), (PUBLIC, seconds / 2.0)].map(|(network, seconds)| {
                let mut row = took(0, network, seconds);
                (row.job.body_bytes, row.pair) = (Some(bytes), i);
                row
            })
        })
        .collect();
    let job = crate::Job { body_bytes: Some(500_000), ..job() };
    let path = fit(rows).path(&job);
    assert!(path[0].starts_with("body_bytes ") && path[0].ends_with("(it is 500000)"), "{path:#?}");
    assert!(path.iter().any(|line| line.starts_with("home would take ")), "{path:#?}");
    assert!(path.iter().any(|line| line.starts_with("network 1: takes 0.50 times as long as home")), "{path:#?}");
}

prop_compose! {
    fn any_row()(
        class in 0_u16..6, network in 0_usize..3, took: bool, seconds in prop_oneof![3 => 1e-3..1e3_f64, 1 => 1e-9..1e9_f64],
        extracted in any::<[f32; EXTRACTED]>(), body in any::<Option<u64>>(), pair in 0_u64..40, cpu_s in prop::option::of(0.0..1e18_f64),
    ) -> Row {
        Row {
            job: crate::Job { class: crate::ClassId(class), extracted, body_bytes: body, ..job() },
            pair,
            network: NetworkId::new(network).expect("below the most networks"),
            label: if took { Label::Took(seconds) } else { Label::LongerThan(seconds) },
            cpu_s,
            memory_bytes: None,
            response_bytes: None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_can_be_a_row_gives_a_model_that_is_sound(rows in prop::collection::vec(any_row().boxed(), 40..400)) {
        let window = window(rows.iter().copied());
        if let Ok(model) = refit(&window, PRIVATE, None) {
            for row in &rows {
                for network in (0..4).filter_map(NetworkId::new) {
                    let prediction = model.predict(&row.job, network);
                    prop_assert!(prediction.mean_s.is_finite() && prediction.mean_s > 0.0, "{:?}", prediction);
                    prop_assert!(prediction.quantiles_s.is_sorted() && prediction.doubt.is_finite(), "{:?}", prediction);
                }
            }
            prop_assert!(refit(&window, PRIVATE, Some(&model)).is_ok() || !model.path(&rows[0].job).is_empty());
        }
    }
}

#[test]
fn an_hour_says_nothing_until_the_hours_have_come_round() {
    // Jobs become slower for two hours, or are slow every night.
    let asks_the_hour = |rows: Vec<Row>| {
        let model = fit(rows.clone());
        rows.iter().any(|row| model.path(&row.job).iter().any(|line| line.starts_with("hour")))
    };
    let at = |hour: f64, seconds: f64| {
        let row = took(0, PRIVATE, seconds);
        Row { job: crate::Job { hour: hour as f32, ..row.job }, ..row }
    };
    assert!(!asks_the_hour((0..1000).map(|i| at(9.0 + f64::from(i) / 500.0, 1.0 + f64::from(i / 100))).collect()));
    let night = |hour: f64| if (8.0..20.0).contains(&hour) { 1.0 } else { 5.0 };
    let hours = (0..1000).map(|i| f64::from(i) / 10.0 % 24.0);
    assert!(asks_the_hour(hours.map(|hour| at(hour, night(hour))).collect()));
}

#[test]
fn a_class_that_was_never_seen_is_like_some_class_and_not_like_the_jobs_of_the_commonest() {
    let mut dice = Dice::new(23);
    let rows = (0..2000).map(|i| {
        // One class of short jobs makes nine tenths of them; eight of long ones the rest.
        let class = if i % 10 == 0 { 1 + (i / 10 % 8) as u16 } else { 0 };
        took(class, PRIVATE, if class == 0 { 0.1 } else { 20.0 } * (0.2 * dice.normal()).exp())
    });
    let model = fit(rows.collect::<Vec<_>>());
    let stranger = model.predict(&took(77, PRIVATE, 1.0).job, PRIVATE);
    assert!(stranger.quantiles_s[0] < 0.2 && stranger.median_s() > 10.0, "{stranger:?}");
    assert!(model.predict(&took(0, PRIVATE, 1.0).job, PRIVATE).median_s() < 0.2);
}
