//! `adumbra model diff`.
//!
//! Two trees may ask other questions and say the same, so what counts is what they predict. It is compared on probes: jobs
//! of each class that both know, with figures on both sides of the numbers that either tree asks about.

use std::fmt::Write as _;
use std::path::PathBuf;

use policy::job::EXTRACTED;
use policy::model::describe;
use policy::model::file::{ClassName, Named};
use policy::{ClassId, Job, NetworkId, NetworkSet, ShadowMode, Urgency};

use super::super::words::table;
use super::{CliError, class_word, moment, read};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A model
    #[arg(value_name = "FILE")]
    before: PathBuf,
    /// Another
    #[arg(value_name = "FILE")]
    after: PathBuf,
}

/// Probes of each class.
const PROBES: u64 = 64;
/// Lines of changed questions that are shown.
const QUESTIONS_MOST: usize = 20;
/// A ratio or a prediction that differs by less than this factor has not changed.
const NOTABLE: f64 = 1.02;
/// The middle of the quantiles.
const MEDIAN: usize = 2;

pub(super) fn run(args: &Args) -> Result<String, CliError> {
    Ok(compared(&read(&args.before)?, &read(&args.after)?))
}

fn compared(a: &Named, b: &Named) -> String {
    let mut text = String::new();
    for (what, named) in [("before", a), ("after", b)] {
        let (model, calibration) = (named.model(), named.model().calibration());
        let size = model.size();
        writeln!(
            text,
            "{what:<8}version {}, {}: {} rows, {} classes, {} leaves; held-out log error {:.3}",
            model.version(),
            moment(named.made_unix_s()),
            model.rows(),
            named.classes().len(),
            size.leaves,
            calibration.log_error,
        )
        .expect("a string takes text");
    }
    if a.model().says_the_same_as(b.model()) && a.classes() == b.classes() && a.networks() == b.networks() {
        return text + "\nthey say the same of every job\n";
    }
    text += &only("classes", a.classes().iter().map(class_word), b.classes().iter().map(class_word));
    text += &only("networks", a.networks().iter().cloned(), b.networks().iter().cloned());
    if a.home() != b.home() {
        text += &format!("\nhome was {}, and is {}: their times cannot be compared\n", a.home(), b.home());
        return text;
    }
    text += "\nquestions\n";
    let questions = describe::changed_questions(a.model(), b.model(), QUESTIONS_MOST);
    for line in &questions {
        text += &format!("  {line}\n");
    }
    if questions.is_empty() {
        text += "  the same\n";
    }
    text + &predictions(a, b)
}

/// What only one of the two has.
fn only(what: &str, a: impl Iterator<Item = String>, b: impl Iterator<Item = String>) -> String {
    let (a, b): (Vec<String>, Vec<String>) = (a.collect(), b.collect());
    let mut text = String::new();
    for (when, these, those) in [("no longer", &a, &b), ("new", &b, &a)] {
        let missing: Vec<&str> = these.iter().filter(|name| !those.contains(name)).map(String::as_str).collect();
        if !missing.is_empty() {
            text += &format!("\n{what}, {when}: {}\n", missing.join(", "));
        }
    }
    text
}

/// Ratios and predicted medians that differ, class by class.
fn predictions(a: &Named, b: &Named) -> String {
    let mut rows = vec![["class", "network", "ratio", "predicted median", "at the most"].map(str::to_owned).to_vec()];
    let mut same = 0;
    for class in a.classes() {
        let Some((here, there)) = place(a, class).zip(place(b, class)) else { continue };
        for name in a.networks() {
            let networks = [a, b].map(|named| named.networks().iter().position(|other| other == name));
            let [Some(x), Some(y)] = networks.map(|place| place.and_then(NetworkId::new)) else { continue };
            let ratios = [a.model().ratio(here, x).log, b.model().ratio(there, y).log].map(f64::exp);
            let mut changes: Vec<f64> = (0..PROBES)
                .map(|seed| {
                    let probe = |class| Job { class, ..probe(seed) };
                    let of = |named: &Named, class, network| {
                        named.model().predict(&probe(class), network).quantiles_s[MEDIAN]
                    };
                    of(b, there, y) / of(a, here, x)
                })
                .collect();
            changes.sort_by(|p, q| p.ln().abs().total_cmp(&q.ln().abs()));
            let (typical, most) = (changes[changes.len() / 2], changes[changes.len() - 1]);
            let is_notable = |factor: f64| factor.ln().abs() > NOTABLE.ln();
            if !is_notable(most) && !is_notable(ratios[1] / ratios[0]) {
                same += 1;
                continue;
            }
            rows.push(vec![
                class_word(class),
                name.clone(),
                format!("{:.2} → {:.2}", ratios[0], ratios[1]),
                format!("× {typical:.2}"),
                format!("× {most:.2}"),
            ]);
        }
    }
    let mut text = format!("\npredictions of {PROBES} probes a class\n");
    if rows.len() > 1 {
        text += &table(&rows);
    }
    text + &format!("  {same} of class and network predicted as before, within a factor of {NOTABLE}\n")
}

fn place(named: &Named, class: &ClassName) -> Option<ClassId> {
    named.classes().iter().position(|other| other == class).map(|place| ClassId(place as u16))
}

/// The probe with this number: figures spread over the magnitudes that requests have, some of them missing; always the same.
fn probe(seed: u64) -> Job {
    let draw = |what: u64| {
        // SplitMix64.
        let mut z = (seed * 8 + what).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let magnitude = |what, most: f64| (draw(what) < 0.9).then(|| 10_f64.powf(draw(what + 100) * most));
    let mut extracted = [f32::NAN; EXTRACTED];
    for (place, value) in extracted.iter_mut().enumerate() {
        *value = magnitude(place as u64, 9.0).map_or(f32::NAN, |number| number as f32);
    }
    Job {
        class: ClassId(0),
        urgency: Urgency::new((draw(5) * 8.0) as u8).unwrap_or_default(),
        mode: ShadowMode::On,
        residency: NetworkSet::ALL,
        repeatable: true,
        spoolable: true,
        hold: false,
        last_hop: false,
        located: None,
        leaves_twin: false,
        body_bytes: magnitude(6, 8.0).map(|bytes| bytes as u64),
        input_bytes: None,
        hour: (draw(7) * 24.0) as f32,
        extracted,
        draw: 0.5,
    }
}
