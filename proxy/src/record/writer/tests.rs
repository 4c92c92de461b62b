//! What is written of random records, against what a line means, said as plainly as can be and written by `serde_json`.

use std::sync::Arc;

use policy::{Action, ClassId, Level, NetworkId, NetworkSet, Progress, ProgressSource, Reason, ShadowMode, Urgency};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::generation::Generation;
use crate::record::Outcome;
use crate::record::line::{Line, PredictionLine, ProgressLine, TermsLine, network_name, rounded};
use crate::record::tests::{generation, record};

/// What a line of `record` says.
fn line<'a>(record: &'a Record, classes: &Classes) -> Line<'a> {
    let mut time = Vec::new();
    rfc3339(record.unix_ms, &mut time);
    let generation = &*record.generation;
    let name = |network| network_name(generation, network);
    let known = |networks: NetworkSet| {
        networks.iter().filter(|network| network.index() < generation.config.networks.len()).map(name).collect()
    };
    let ids = || (0..policy::MAX_NETWORKS).filter_map(NetworkId::new);
    let class = classes.name(record.job.class).map_or_else(String::new, |(_, class)| class.into());
    Line {
        id: format!("{:016x}", record.id),
        time: String::from_utf8(time).expect("ASCII"),
        route: record.route.and_then(|route| generation.config.routes.get(route)).map(|r| r.name.as_str().into()),
        class: class.into(),
        urgency: record.job.urgency.level(),
        mode: mode_word(record.job.mode).into(),
        plan: record.plan.into(),
        level: record.level.as_str().into(),
        plan_reason: record.plan_reason.as_str().into(),
        eligible: known(record.eligible),
        worth: rounded(record.worth),
        shadows: known(record.shadows),
        progress: ids()
            .filter(|id| id.index() < generation.config.networks.len())
            .filter_map(|id| Some((name(id), record.progress[id]?)))
            .map(|(name, p)| (name, ProgressLine { share: rounded(p.share), source: p.source.as_str().into() }))
            .collect(),
        target: name(record.target),
        action: action_word(record.action).into(),
        reason: record.reason.as_str().into(),
        predictions: ids().filter_map(|id| Some((name(id), PredictionLine::from(&record.predictions[id]?)))).collect(),
        costs: ids()
            .filter(|id| id.index() < generation.config.networks.len() && record.costs[*id].is_finite())
            .map(|id| (name(id), rounded(record.costs[id])))
            .collect(),
        model: record.model_version,
        status: record.status,
        outcome: record.outcome.as_str().into(),
        took_s: rounded(record.took_s),
        head_s: rounded(record.head_s),
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
        possibly_running: record.possibly_running,
        inputs: record.inputs.map(inputs_line),
        planned: name(record.planned),
        ran_s: record.ran_s.map(rounded),
        waited_s: rounded(record.waited_s),
        terms: record.terms.as_ref().map(TermsLine::from),
        tree_path: Vec::new(),
    }
}

/// What JSON says, whatever the order of its keys.
fn said(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What `explain` makes of it.
fn read(text: &str) -> serde_json::Value {
    let line: Line<'_> = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    serde_json::to_value(&line).expect("JSON")
}

/// Names may be anything: what has to be escaped is more likely than not to be in one.
fn any_name() -> impl Strategy<Value = String> {
    let odd = select(vec!['"', '\\', '/', '\n', '\0', '\u{7f}', '\u{2028}', 'é', ',', '}']);
    prop::collection::vec(prop_oneof![any::<char>(), odd, prop::char::range('a', 'z')], 0..12)
        .prop_map(|name| name.into_iter().collect())
}

fn any_number() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::num::f64::ANY,
        0.0..10.0,
        -1e-5..1e-5,
        1e6..1e17,
        (0..10_000_000_i64).prop_map(|halves| halves as f64 / 2e6),
        select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN, -0.0]),
    ]
}

prop_compose! {
    fn any_prediction()(
        mean_s in any_number(),
        quantiles_s in prop::array::uniform5(any_number().boxed()),
        doubt in any_number(),
        [cpu_s, memory_bytes, response_bytes] in prop::array::uniform3(prop::option::of(any_number().boxed())),
    ) -> Prediction {
        Prediction { mean_s, quantiles_s, doubt, cpu_s, memory_bytes, response_bytes }
    }
}

prop_compose! {
    fn any_generation()(
        networks in prop::collection::vec(any_name(), 1..4),
        route in any_name(),
    ) -> Arc<Generation> {
        let mut config = generation().config.clone();
        let network = config.networks[0].clone();
        // No two networks of one configuration have one name.
        let named = |(place, name)| config::value::Network { name: format!("{name}{place}"), ..network.clone() };
        config.networks = networks.into_iter().enumerate().map(named).collect();
        config.routes[0].name = route;
        Arc::new(Generation { config, networks: Vec::new() })
    }
}

prop_compose! {
    fn any_progress()(share in any_number(), source in select(ProgressSource::ALL.to_vec())) -> Progress {
        Progress { share, at_s: 0.0, source }
    }
}

prop_compose! {
    fn any_record()(
        (id, unix_ms, model_version, request_bytes, response_bytes) in any::<(u64, u64, u64, u64, u64)>(),
        (status, possibly_running, eligible, shadows) in any::<(u16, u8, u8, u8)>(),
        [worth, took_s, head_s] in prop::array::uniform3(any_number().boxed()),
        ran_s in prop::option::of(any_number().boxed()),
        predictions in prop::collection::vec(prop::option::of(any_prediction().boxed()), policy::MAX_NETWORKS),
        costs in prop::collection::vec(any_number().boxed(), policy::MAX_NETWORKS),
        route in prop::option::of(0..3_usize),
        class in 0..4_u16,
        urgency in 0..8_u8,
        mode in select(vec![ShadowMode::Off, ShadowMode::Observe, ShadowMode::On]),
        action in select(vec![Action::Keep, Action::Adopt, Action::Send]),
        [reason, plan_reason] in prop::array::uniform2(select(Reason::ALL.to_vec())),
        progress in prop::collection::vec(prop::option::of(any_progress()), policy::MAX_NETWORKS),
        level in select(Level::ALL.to_vec()),
        outcome in select(vec![Outcome::Answered, Outcome::Refused, Outcome::ClientGone]),
        target in 0..policy::MAX_NETWORKS,
    ) -> Record {
        let set = |bits: u8| NetworkSet::ALL.iter().filter(|network| bits & (1 << network.index()) != 0).collect();
        let mut job = crate::record::tests::job(ClassId(class));
        job.urgency = Urgency::new(urgency).expect("a level");
        job.mode = mode;
        Record {
            id, unix_ms, route, job, level, plan_reason, worth, action, reason, model_version, status, outcome, took_s, head_s, ran_s,
            request_bytes, response_bytes, possibly_running,
            inputs: status.is_multiple_of(2).then(|| inputs(status, request_bytes, took_s)),
            eligible: set(eligible),
            shadows: set(shadows),
            progress: PerNetwork(progress.try_into().expect("one for each network")),
            target: crate::record::tests::network(target),
            predictions: PerNetwork(predictions.try_into().expect("one for each network")),
            costs: PerNetwork(costs.try_into().expect("one for each network")),
            ..record(0, 0.0)
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_what_a_line_says(
        generations in prop::array::uniform2(any_generation().boxed()),
        records in prop::collection::vec((0..2_usize, any_record().boxed()), 1..4),
        classes in prop::collection::vec(any_name(), 0..3),
        tree_path in prop::collection::vec(any_name(), 0..3),
    ) {
        let register = Classes::default();
        classes.iter().for_each(|class| { register.id("render", class); });
        let mut writer = Writer::new(&register);
        for (of, mut record) in records {
            record.generation = Arc::clone(&generations[of]);
            let written = writer.text(&record, &tree_path);
            let line = Line { tree_path: tree_path.clone(), ..line(&record, &register) };
            let expected = serde_json::to_string(&line).expect("JSON");
            prop_assert_eq!(said(&written), said(&expected));
            prop_assert!(!written.contains('\n'), "one line");
            prop_assert_eq!(read(&written), read(&expected));
        }
    }
}

fn inputs_line(inputs: crate::record::Inputs) -> crate::record::line::InputsLine {
    let crate::record::Inputs { expected_bytes, warm_bytes, read, saved_s } = inputs;
    crate::record::line::InputsLine {
        expected_bytes,
        warm_bytes,
        hits: read.hits,
        misses: read.misses,
        hit_bytes: read.hit_bytes,
        missed_bytes: read.missed_bytes,
        saved_s: saved_s.map(rounded),
    }
}

fn inputs(count: u16, bytes: u64, seconds: f64) -> crate::record::Inputs {
    let read = policy::inputs::gain::Read { hits: count.into(), misses: 1, hit_bytes: bytes, missed_bytes: 7 };
    let saved_s = count.is_multiple_of(4).then_some(seconds);
    crate::record::Inputs { expected_bytes: bytes / 2, warm_bytes: bytes / 3, read, saved_s }
}
