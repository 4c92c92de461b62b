//! The table and the file.

use serde_json::{Map, Value, json};

use super::compare::Verdict;
use crate::machine::Machine;

/// The table of one trace at one load.
#[must_use]
pub fn table(verdict: &Verdict) -> String {
    let mut text = format!(
        "\n{} (load {})\n{:<30} {:>10} {:>7} {:>15} {:>9} {:>9} {:>9} {:>7} {:>9} {:>6}  {}\n",
        verdict.name,
        verdict.load,
        "arm",
        "objective",
        "regret",
        "of seeds",
        "mean s",
        "p99 s",
        "money",
        "shadow",
        "shadowed",
        "moved",
        "setting"
    );
    for row in &verdict.rows {
        let (low, high) = row.regrets.iter().fold((f64::INFINITY, 0.0_f64), |(l, h), r| (l.min(*r), h.max(*r)));
        text += &format!(
            "{:<30} {:>10.4} {:>7.3} {:>15} {:>9.3} {:>9.3} {:>9.4} {:>5.2} % {:>7.1} % {:>4.1} %  {}\n",
            row.name,
            row.objective,
            row.regret,
            format!("{low:.3} to {high:.3}"),
            row.mean_s,
            row.p99_s,
            row.money,
            100.0 * row.shadow_share,
            100.0 * row.shadowed,
            100.0 * row.moved,
            row.setting.as_deref().unwrap_or_default(),
        );
    }
    let learned = verdict.jobs_to_learn.map_or("never".to_owned(), |jobs| jobs.to_string());
    text += &format!(
        "80 % interval holds {:.1} % of {} outcomes; log RMSE {:.3}; jobs to learn {learned}\n",
        100.0 * verdict.coverage80.0,
        verdict.coverage80.1,
        verdict.log_rmse,
    );
    text
}

/// All of it for a machine.
#[must_use]
pub fn json(verdicts: &[Verdict], machine: &Machine) -> Value {
    let traces: Map<String, Value> =
        verdicts.iter().map(|verdict| (verdict.name.clone(), Value::Object(one(verdict)))).collect();
    json!({
        "traces": traces,
        "machine": { "processor": machine.processor, "cores": machine.cores, "kernel": machine.kernel,
                     "commit": machine.commit, "date": machine.date, "command": machine.command },
    })
}

fn one(verdict: &Verdict) -> Map<String, Value> {
    let mut map = Map::new();
    for row in &verdict.rows {
        map.insert(
            row.name.clone(),
            json!({
                "objective": row.objective, "regret": row.regret, "regrets": row.regrets, "mean_s": row.mean_s,
                "p99_s": row.p99_s, "money": row.money, "shadow_share": row.shadow_share,
                "shadowed": row.shadowed, "moved": row.moved, "setting": row.setting,
            }),
        );
    }
    map.insert("load".to_owned(), json!(verdict.load));
    map.insert("coverage80".to_owned(), json!(verdict.coverage80.0));
    map.insert("coverage80_n".to_owned(), json!(verdict.coverage80.1));
    map.insert("log_rmse".to_owned(), json!(verdict.log_rmse));
    map.insert("jobs_to_learn".to_owned(), json!(verdict.jobs_to_learn));
    map
}
