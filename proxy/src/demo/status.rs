//! What a sidecar's `/status` counts, read with patience: what is not there counts as nothing.

use std::collections::BTreeMap;

use serde_json::Value;

/// Counters at one moment, or between two.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Shadows by what became of them.
    pub(crate) shadows: BTreeMap<String, f64>,
    /// Decisions by reason.
    pub(crate) decisions: BTreeMap<String, f64>,
}

impl Counts {
    /// The counters in a `/status` document.
    pub(crate) fn read(status: &Value) -> Self {
        Self { shadows: numbers(&status["shadows"]), decisions: numbers(&status["decisions"]) }
    }

    /// What was counted since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        Self { shadows: less(&self.shadows, &earlier.shadows), decisions: less(&self.decisions, &earlier.decisions) }
    }

    /// Adds what another stretch counted.
    pub(crate) fn add(&mut self, other: &Self) {
        for (into, from) in [(&mut self.shadows, &other.shadows), (&mut self.decisions, &other.decisions)] {
            for (name, count) in from {
                *into.entry(name.clone()).or_default() += count;
            }
        }
    }

    /// Shadows that `what` happened to.
    pub(crate) fn shadows(&self, what: &str) -> f64 {
        self.shadows.get(what).copied().unwrap_or_default()
    }
}

fn numbers(object: &Value) -> BTreeMap<String, f64> {
    let fields = object.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect()
}

fn less(now: &BTreeMap<String, f64>, earlier: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    now.iter()
        .map(|(name, count)| (name.clone(), count - earlier.get(name).copied().unwrap_or_default()))
        .filter(|(_, count)| *count > 0.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::Counts;
    use serde_json::{Value, json};

    #[test]
    fn only_what_happened_between_counts() {
        let before = Counts::read(&json!({ "shadows": { "started": 3, "adopted": 1 }, "decisions": { "cheaper": 5 } }));
        let after = Counts::read(
            &json!({ "shadows": { "started": 7, "adopted": 1 }, "decisions": { "cheaper": 6, "full": 2 } }),
        );
        let between = after.since(&before);
        assert_eq!((between.shadows("started"), between.shadows("adopted")), (4.0, 0.0));
        assert_eq!(between.decisions.into_iter().collect::<Vec<_>>(), [("cheaper".into(), 1.0), ("full".into(), 2.0)]);
    }

    #[test]
    fn a_status_of_another_shape_counts_nothing() {
        for status in [Value::Null, json!([1]), json!({ "shadows": 3, "decisions": { "cheaper": "many" } })] {
            assert_eq!(Counts::read(&status), Counts::default());
        }
    }
}
