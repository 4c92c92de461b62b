//! Labels that lie: a minority of any size up to three in ten moves little, whatever it says.

use super::*;
use crate::learn::bounds::bounded;

/// Jobs of four classes on both networks, in pairs, whose size can be seen. `lie` changes what a label says.
fn world(n: usize, seed: u64, mut lie: impl FnMut(&mut Dice, Row) -> Row) -> Vec<Row> {
    let mut dice = Dice::new(seed);
    let mut lies = Dice::new(seed + 1000);
    let mut rows = Vec::new();
    for pair in 0..n as u64 {
        let class = dice.below(4) as u16;
        let bytes = 1e3 + dice.uniform() * 1e6;
        let home_s = f64::from(class + 1) * bytes / 1e5 * (0.4 * dice.normal()).exp();
        let ratio = [0.5, 0.5, 1.0, 2.0][usize::from(class)];
        for (network, seconds) in [(PRIVATE, home_s), (PUBLIC, home_s * ratio * (0.2 * dice.normal()).exp())] {
            let mut row =
                Row { pair, cpu_s: Some(seconds), memory_bytes: Some(bytes), ..took(class, network, seconds) };
            row.job.body_bytes = Some(bytes as u64);
            rows.push(lie(&mut lies, row));
        }
    }
    rows
}

fn honest(_: &mut Dice, row: Row) -> Row {
    row
}

/// The median absolute log error of what `of` takes from the predictions of `rows`.
fn off(rows: &[Row], model: &Model, of: impl Fn(&crate::Prediction) -> f64) -> f64 {
    let error = |row: &Row| (seconds(row) / of(&model.predict(&row.job, row.network))).ln().abs();
    let mut errors: Vec<f64> = rows.iter().map(error).collect();
    errors.sort_by(f64::total_cmp);
    errors[errors.len() / 2]
}

/// A lie of three in ten: what is honest times `factor`, on the networks for which `on` holds.
fn lying(factor: fn(&mut Dice) -> f64, on: fn(NetworkId) -> bool) -> impl FnMut(&mut Dice, Row) -> Row {
    move |dice, row| {
        let lies = dice.uniform() < 0.3 && on(row.network);
        if lies { Row { label: Label::Took((seconds(&row) * factor(dice)).clamp(1e-9, 1e9)), ..row } } else { row }
    }
}

#[test]
fn three_lies_in_ten_move_little() {
    let test = world(2000, 77, honest);
    let error = |model: &Model| off(&test, model, |prediction| prediction.quantiles_s[2]);
    let plain = fit(world(3000, 5, honest));
    let check = |what: &str, most: f64, ratio_most: f64, lie: &mut dyn FnMut(&mut Dice, Row) -> Row| {
        let lied = fit(world(3000, 5, lie));
        let (with, without) = (error(&lied), error(&plain));
        println!("{what}: median error {with:.3}, of an honest model {without:.3}");
        assert!(with < without + most, "{what}: median error {with:.3}, of an honest model {without:.3}");
        for class in (0..4).map(crate::ClassId) {
            let (with, without) = (lied.ratio(class, PUBLIC).log, plain.ratio(class, PUBLIC).log);
            assert!((with - without).abs() < ratio_most, "{what}, {class:?}: {with} {without}");
        }
    };
    let either_way = |dice: &mut Dice| 10_f64.powf(4.0 * dice.uniform() - 2.0);
    check("0.01 to 100 times", 0.03, 0.1, &mut lying(either_way, |_| true));
    check("0.01 or 100 times", 0.05, 0.1, &mut lying(|dice| [0.01, 100.0][dice.below(2)], |_| true));
    check("100 times", 0.13, 0.1, &mut lying(|_| 100.0, |_| true));
    check("a hundredth", 0.13, 0.1, &mut lying(|_| 0.01, |_| true));
    check("a billion times", 0.13, 0.1, &mut lying(|_| 1e9, |_| true));
    check("100 times, away", 0.06, 0.3, &mut lying(|_| 100.0, |network| network == PUBLIC));
}

#[test]
fn one_source_that_floods_a_class_leaves_the_others_as_they_were() {
    let mut window = Window::new(4000);
    let mut flood = |rows: Vec<Row>, times: usize| {
        for row in rows {
            window.push(row).expect("a label that can be");
            for _ in 0..times {
                window.push(took(9, PUBLIC, 1e6)).expect("a label that can be");
            }
        }
        refit(&window, PRIVATE, None).expect("enough labels")
    };
    let before = flood(world(400, 6, honest), 0);
    let after = flood(world(400, 7, honest), 100);
    let test = world(1000, 78, honest);
    let error = |model: &Model| off(&test, model, |prediction| prediction.quantiles_s[2]);
    assert!(error(&after) < error(&before) + 0.05, "{} {}", error(&after), error(&before));
}

#[test]
fn a_resource_that_one_label_lies_about_is_not_the_mean() {
    let rows = world(1000, 8, |dice, row| {
        if dice.uniform() < 0.02 { Row { cpu_s: Some(1e18), memory_bytes: Some(1e18), ..row } } else { row }
    });
    let (lied, plain) = (fit(rows.clone()), fit(world(1000, 8, honest)));
    for row in rows.iter().take(100) {
        let [a, b] = [&lied, &plain].map(|model| model.predict(&row.job, row.network));
        let (a, b) = (a.cpu_s.zip(a.memory_bytes), b.cpu_s.zip(b.memory_bytes));
        let ((a_cpu, a_memory), (b_cpu, b_memory)) = (a.expect("labels said"), b.expect("labels said"));
        assert!((a_cpu / b_cpu).ln().abs() < 1.4 && (a_memory / b_memory).ln().abs() < 1.4, "{a:?} {b:?}");
    }
}

#[test]
fn one_label_says_no_more_than_its_bound() {
    let model = fit(world(1000, 9, honest));
    let row = world(1, 10, honest)[0];
    let expected_s = model.predict(&row.job, row.network).quantiles_s[2];
    let check = |seconds: f64, factor: Option<f64>| {
        let bounded = bounded(&model, &Row { label: Label::Took(seconds), ..row });
        let found = bounded.map(|row| super::seconds(&row) / expected_s);
        match (found, factor) {
            (Some(found), Some(factor)) => {
                assert!((found / factor).ln().abs() < 1e-9, "{seconds}: {found}, not {factor}")
            }
            (found, factor) => assert_eq!(found, factor, "{seconds}"),
        }
    };
    check(expected_s, None);
    check(expected_s * 49.0, None);
    check(expected_s / 49.0, None);
    check(expected_s * 1e4, Some(50.0));
    check(1e308, Some(50.0));
    check(1e-300, Some(0.02));
    for strange in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
        check(strange, None);
    }
    assert_eq!(bounded(&model, &Row { label: Label::LongerThan(1e9), ..row }), None);
}

prop_compose! {
    /// A row of any bits at all.
    fn any_bits()(
        class in any::<u16>(), network in 0_usize..8, took: bool, seconds in any::<u64>(), near in 1e-3..1e3_f64, plain: bool,
        extracted in any::<[f32; EXTRACTED]>(), hour in any::<f32>(), body in any::<Option<u64>>(), pair in any::<u64>(),
        uses in any::<[Option<u64>; 3]>(), use_plain: bool,
    ) -> Row {
        let seconds = if plain { near } else { f64::from_bits(seconds) };
        let [cpu_s, memory_bytes, response_bytes] = uses.map(|bits| bits.map(f64::from_bits).filter(|_| !use_plain));
        Row {
            job: crate::Job { class: crate::ClassId(class % 9), extracted, hour, body_bytes: body, input_bytes: body, ..job() },
            pair: pair % 50,
            network: NetworkId::new(network).expect("below the most networks"),
            label: if took { Label::Took(seconds) } else { Label::LongerThan(seconds) },
            cpu_s,
            memory_bytes,
            response_bytes,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn rows_of_any_bits_are_refused_or_learned_from_without_a_panic(rows in prop::collection::vec(any_bits().boxed(), 60..300)) {
        let mut window = Window::new(250);
        let (mut model, mut watch, mut trial) = (None::<Model>, drift::Watch::default(), trial::Trial::default());
        for row in &rows {
            let row = model.as_ref().and_then(|model| bounded(model, row)).unwrap_or(*row);
            if window.push(row).is_err() {
                continue;
            }
            if let Some(model) = &model {
                let _verdict = trial.observe(model, model, &row);
                if let Some(found) = watch.observe(model, &row, window.taken()) {
                    drift::follow(&mut window, model, &found);
                }
            }
            if window.taken().is_multiple_of(50) {
                model = refit(&window, PRIVATE, model.as_ref()).ok().or(model);
            }
        }
        for row in &rows {
            let Some(model) = &model else { continue };
            let prediction = model.predict(&row.job, row.network);
            prop_assert!(prediction.mean_s.is_finite() && prediction.quantiles_s.is_sorted(), "{:?}", prediction);
            prop_assert!(prediction.cpu_s.is_none_or(f64::is_finite) && prediction.memory_bytes.is_none_or(f64::is_finite));
        }
    }
}
