//! Writes a record as a line: JSON, straight from the record into the bytes that go to the disk.
//!
//! There is a line for every job, so what one costs is part of what adumbra costs. [`Line`] is the same for reading; to make
//! one of every record, with its maps and strings, only to write it out costs more than all else that is done for a job.
//! A property holds the two to each other.
//!
//! [`Line`]: super::Line

use policy::prediction::LEVELS;
use policy::{PerNetwork, Prediction, Progress};

use super::json::{Json, key, quoted};
use super::line::{action_word, mode_word};
use super::names::Names;
use super::time::rfc3339;
use super::{Inputs, Record};
use crate::generation::Classes;

/// Writes lines, and remembers names from one to the next.
#[derive(Debug)]
pub(super) struct Writer<'c> {
    names: Names<'c>,
}

impl<'c> Writer<'c> {
    /// Writes records whose classes are in `classes`.
    pub(super) fn new(classes: &'c Classes) -> Self {
        Self { names: Names::new(classes) }
    }

    /// Appends `record` to `text`, without a line's end; with the job's path through the tree, if it has steps.
    pub(super) fn write(&mut self, record: &Record, tree_path: &[String], text: &mut Vec<u8>) {
        self.names.turn_to(&record.generation);
        let mut json = Json { to: text };
        json.raw("{");
        self.arrival(record, &mut json);
        self.plan(record, &mut json);
        self.decision(record, &mut json);
        end(record, &mut json);
        json.raw(key!("planned"));
        json.value(self.names.network(record.planned));
        spent(record, &mut json);
        if !tree_path.is_empty() {
            json.raw(concat!(key!("tree_path"), "["));
            tree_path.iter().for_each(|step| json.value(&quoted(step)));
            json.end(b']');
        }
        json.last(b'}');
    }

    /// As [`Writer::write`], by itself.
    pub(super) fn text(&mut self, record: &Record, tree_path: &[String]) -> String {
        let mut text = Vec::new();
        self.write(record, tree_path, &mut text);
        String::from_utf8(text).expect("names are strings, and the rest is ASCII")
    }

    fn arrival(&mut self, record: &Record, json: &mut Json<'_>) {
        json.raw(concat!(key!("id"), "\""));
        json.to.extend_from_slice(&hex(record.id));
        json.raw(concat!("\",", key!("time"), "\""));
        rfc3339(record.unix_ms, json.to);
        json.raw(concat!("\",", key!("route")));
        json.value(self.names.route(record.route));
        json.raw(key!("class"));
        json.value(self.names.class(record.job.class));
        json.raw(key!("urgency"));
        json.whole(record.job.urgency.level().into());
        json.raw(key!("mode"));
        json.word(mode_word(record.job.mode));
    }

    fn plan(&self, record: &Record, json: &mut Json<'_>) {
        json.raw(key!("plan"));
        json.word(record.plan);
        json.raw(key!("level"));
        json.word(record.level.as_str());
        json.raw(key!("plan_reason"));
        json.word(record.plan_reason.as_str());
        json.raw(concat!(key!("eligible"), "["));
        let known = self.names.known();
        record.eligible.and(known).iter().for_each(|network| json.value(self.names.network(network)));
        json.end(b']');
        json.raw(key!("worth"));
        json.millionths(record.worth);
        json.raw(concat!(key!("shadows"), "["));
        record.shadows.and(known).iter().for_each(|network| json.value(self.names.network(network)));
        json.end(b']');
        json.raw(concat!(key!("progress"), "{"));
        for network in known.iter() {
            let Some(Progress { share, source, .. }) = record.progress[network] else { continue };
            json.raw(self.names.network(network));
            json.raw(concat!(":{", key!("share")));
            json.millionths(share);
            json.raw(key!("source"));
            json.word(source.as_str());
            json.end(b'}');
        }
        json.end(b'}');
    }

    fn decision(&self, record: &Record, json: &mut Json<'_>) {
        json.raw(key!("target"));
        json.value(self.names.network(record.target));
        json.raw(key!("action"));
        json.word(action_word(record.action));
        json.raw(key!("reason"));
        json.word(record.reason.as_str());
        json.raw(concat!(key!("predictions"), "{"));
        self.predictions(&record.predictions, json);
        json.end(b'}');
        json.raw(concat!(key!("costs"), "{"));
        self.costs(&record.costs, json);
        json.end(b'}');
        json.raw(key!("model"));
        json.whole(record.model_version);
    }

    /// Only those that were made.
    fn predictions(&self, predictions: &PerNetwork<Option<Prediction>>, json: &mut Json<'_>) {
        for network in policy::NetworkSet::ALL.iter() {
            let Some(prediction) = &predictions[network] else { continue };
            json.raw(self.names.network(network));
            json.raw(":{");
            self::prediction(prediction, json);
            json.end(b'}');
        }
    }

    /// Only those that were computed.
    fn costs(&self, costs: &PerNetwork<f64>, json: &mut Json<'_>) {
        for network in self.names.known().iter().filter(|network| costs[*network].is_finite()) {
            json.raw(self.names.network(network));
            json.raw(":");
            json.millionths(costs[network]);
        }
    }
}

fn prediction(prediction: &Prediction, json: &mut Json<'_>) {
    const QUANTILES: [&str; LEVELS.len()] = [key!("p10_s"), key!("p25_s"), key!("p50_s"), key!("p75_s"), key!("p90_s")];
    json.raw(key!("mean_s"));
    json.millionths(prediction.mean_s);
    for (key, quantile_s) in QUANTILES.iter().zip(prediction.quantiles_s) {
        json.raw(key);
        json.millionths(quantile_s);
    }
    json.raw(key!("doubt"));
    json.millionths(prediction.doubt);
    if let Some(cpu_s) = prediction.cpu_s {
        json.raw(key!("cpu_s"));
        json.millionths(cpu_s);
    }
    if let Some(memory_bytes) = prediction.memory_bytes {
        json.raw(key!("memory_bytes"));
        json.rounded_off(memory_bytes);
    }
    if let Some(response_bytes) = prediction.response_bytes {
        json.raw(key!("response_bytes"));
        json.rounded_off(response_bytes);
    }
}

fn end(record: &Record, json: &mut Json<'_>) {
    json.raw(key!("status"));
    json.whole(record.status.into());
    json.raw(key!("outcome"));
    json.word(record.outcome.as_str());
    json.raw(key!("took_s"));
    json.millionths(record.took_s);
    json.raw(key!("head_s"));
    json.millionths(record.head_s);
    json.raw(key!("request_bytes"));
    json.whole(record.request_bytes);
    json.raw(key!("response_bytes"));
    json.whole(record.response_bytes);
    json.raw(key!("possibly_running"));
    json.whole(record.possibly_running.into());
    let Some(Inputs { expected_bytes, warm_bytes, read, saved_s }) = record.inputs else { return };
    let figures = [
        (concat!(key!("inputs"), "{", key!("expected_bytes")), expected_bytes),
        (key!("warm_bytes"), warm_bytes),
        (key!("hits"), read.hits.into()),
        (key!("misses"), read.misses.into()),
        (key!("hit_bytes"), read.hit_bytes),
        (key!("missed_bytes"), read.missed_bytes),
    ];
    for (key, figure) in figures {
        json.raw(key);
        json.whole(figure);
    }
    if let Some(saved_s) = saved_s {
        json.raw(key!("saved_s"));
        json.millionths(saved_s);
    }
    json.end(b'}');
}

fn spent(record: &Record, json: &mut Json<'_>) {
    json.raw(key!("ran_s"));
    match record.ran_s {
        Some(ran_s) => json.millionths(ran_s),
        None => json.value("null"),
    }
    json.raw(key!("waited_s"));
    json.millionths(record.waited_s);
    json.raw(key!("terms"));
    let Some(terms) = &record.terms else { return json.value("null") };
    let figures = [
        (concat!("{", key!("waiting")), terms.waiting),
        (key!("moving"), terms.moving),
        (key!("running"), terms.running),
        (key!("resources"), terms.resources),
        (key!("congestion"), terms.congestion),
        (key!("crossing"), terms.crossing),
    ];
    for (key, figure) in figures {
        json.raw(key);
        json.millionths(figure);
    }
    json.end(b'}');
}

/// 16 hex digits.
fn hex(id: u64) -> [u8; 16] {
    let bytes = id.to_be_bytes();
    std::array::from_fn(|place| {
        let nibble = bytes[place / 2] >> (4 * (1 - place % 2)) & 0xf;
        b"0123456789abcdef"[usize::from(nibble)]
    })
}

#[cfg(test)]
mod tests;
