//! Models that make plans certain, grown from labels as any other.

use policy::learn::{Label, Row, Window, refit};
use policy::{ClassId, Job, Model, NetworkId, NetworkSet, ShadowMode, Urgency};

/// Jobs of any class take `seconds` at home, and nobody knows how much longer or shorter elsewhere: a shadow is worth its
/// bill.
#[must_use]
pub fn open(seconds: f64) -> Model {
    // Classes of the sidecar are counted from 0, so none of them is this one: all of them are strangers.
    grown((0..100).map(|pair| row(900, pair, private(), seconds)), None)
}

/// The same, but jobs differ from one another by up to a factor of e from `seconds`: a rate says more than the prediction.
#[must_use]
pub fn open_and_wide(seconds: f64) -> Model {
    let spread = |pair: u64| (2.0 * (pair as f64 / 99.0) - 1.0).exp();
    grown((0..100).map(|pair| row(900, pair, private(), seconds * spread(pair * 37 % 100))), None)
}

/// Jobs of any class take `home_s` at home and `away_s` on the second network, and that is known well.
#[must_use]
pub fn settled(home_s: f64, away_s: f64) -> Model {
    grown(pairs(home_s, away_s), None)
}

/// The same, but by so few jobs that ran on both that more of them are worth having.
#[must_use]
pub fn hardly_settled(home_s: f64, away_s: f64) -> Model {
    grown(pairs(home_s, away_s).take(2 * 16 * 8), None)
}

/// As [`settled`], but the next version after `before`, which it has beaten.
#[must_use]
pub fn next_settled(before: &Model, home_s: f64, away_s: f64) -> Model {
    grown(pairs(home_s, away_s), Some(before))
}

/// The network that is home.
#[must_use]
pub fn private() -> NetworkId {
    NetworkId::new(0).expect("there is a first network")
}

/// The other.
#[must_use]
pub fn public() -> NetworkId {
    NetworkId::new(1).expect("there is a second network")
}

fn pairs(home_s: f64, away_s: f64) -> impl Iterator<Item = Row> {
    (0..400).flat_map(move |pair| {
        let class = (pair % 8) as u16;
        [row(class, pair, private(), home_s), row(class, pair, public(), away_s)]
    })
}

fn grown(rows: impl Iterator<Item = Row>, before: Option<&Model>) -> Model {
    let mut window = Window::new(20_000);
    for row in rows {
        window.push(row).expect("a row of a test can be true");
    }
    refit(&window, private(), before).expect("there are labels enough, and they speak against the model before")
}

fn row(class: u16, pair: u64, network: NetworkId, seconds: f64) -> Row {
    let job = Job {
        class: ClassId(class),
        urgency: Urgency::default(),
        mode: ShadowMode::On,
        residency: NetworkSet::only(private()).with(public()),
        repeatable: true,
        spoolable: true,
        hold: false,
        last_hop: false,
        located: None,
        leaves_twin: false,
        body_bytes: None,
        input_bytes: None,
        hour: 12.0,
        extracted: [f32::NAN; policy::job::EXTRACTED],
        draw: 0.5,
    };
    // Spread a little, or every quantile would be the same.
    let seconds = seconds * (1.0 + 0.02 * ((pair % 7) as f64 - 3.0));
    Row { job, pair, network, label: Label::Took(seconds), cpu_s: None, memory_bytes: None, response_bytes: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_model_doubts_and_a_settled_one_does_not() {
        let job = row(3, 0, private(), 1.0).job;
        let open = open(1000.0);
        assert!((open.predict(&job, private()).mean_s / 1000.0 - 1.0).abs() < 0.1);
        assert!(open.predict(&job, public()).doubt > 0.5);
        let settled = settled(10.0, 2.0);
        assert!((settled.predict(&job, private()).mean_s / 10.0 - 1.0).abs() < 0.1);
        assert!((settled.predict(&job, public()).mean_s / 2.0 - 1.0).abs() < 0.2);
        assert!(settled.predict(&job, public()).doubt < 0.25);
    }
}
