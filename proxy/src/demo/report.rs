//! What the demo says: its table for people, and the same as one JSON object for programs.

use std::fmt;

use serde_json::{Map, Value, json};

use super::arm::Arm;
use super::job::Kind;
use super::result::{KindSpeed, Summary};
use super::service::usage::Used;
use super::world::{DELAY_MS, GIB_PRICE, LINK_RATE, PRIVATE_PRICE, PRIVATE_SLOTS, PUBLIC_PRICE, PUBLIC_SLOTS};

/// Waiting for a core above this share of slot time is worth a word.
const CROWDED: f64 = 0.25;

/// All that is reported.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) arms: Vec<Summary>,
    pub(crate) speeds: Vec<KindSpeed>,
    pub(crate) seed: u64,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) cores: usize,
    /// The sidecar's word on its model at the end.
    pub(crate) model: Value,
    /// The first few failures.
    pub(crate) failures: Vec<String>,
    /// Jobs of the warm-up, and how many of them failed.
    pub(crate) warm_up: (usize, usize),
}

/// What a slot second was spent on; the three add up to 1, or to 0 when there was none.
#[derive(Clone, Copy, Debug)]
struct Shares {
    cpu: f64,
    /// Waiting for the simulated device.
    device: f64,
    /// Waiting for a core of this machine.
    core: f64,
}

impl Shares {
    fn of(used: &Used) -> Self {
        let [cpu, device] = [used.cpu_s, used.device_s].map(|seconds| seconds / used.slot_s.max(1e-9));
        let core = if used.slot_s > 0.0 { (1.0 - cpu - device).max(0.0) } else { 0.0 };
        Self { cpu, device, core }
    }

    fn to_json(self) -> Value {
        json!({ "cpu": self.cpu, "device": self.device, "core": self.core })
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [cpu, device, core] = [self.cpu, self.device, self.core].map(|share| 100.0 * share);
        write!(out, "{cpu:.0} % CPU, {device:.0} % simulated device, {core:.0} % waiting for a core")
    }
}

impl Report {
    fn arm(&self, arm: Arm) -> &Summary {
        self.arms.iter().find(|summary| summary.arm == arm).expect("a report holds every arm")
    }

    /// Whether every job, warm-up included, was answered and every answer was right.
    pub(crate) fn is_clean(&self) -> bool {
        self.warm_up.1 == 0 && self.arms.iter().all(|summary| summary.failed == 0)
    }

    /// What slot seconds were spent on, private and public.
    fn shares(&self) -> [Shares; 2] {
        [0, 1].map(|network| {
            let mut used = Used::default();
            self.arms.iter().for_each(|summary| used.add(&summary.used[network]));
            Shares::of(&used)
        })
    }

    /// The table: one row an arm.
    fn write_arms(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "\n{:<16}{:>6}{:>9}{:>9}{:>9}{:>10}{:>10}  {:<18}{:>8}{:>8}{:>8}{:>7}",
            "arm",
            "jobs",
            "mean s",
            "p50 s",
            "p99 s",
            "money",
            "cost",
            "95 % of cost",
            "shadows",
            "adopted",
            "public",
            "failed"
        )?;
        for summary in &self.arms {
            let (low, high) = summary.cost_interval();
            writeln!(
                out,
                "{:<16}{:>6}{:>9.3}{:>9.3}{:>9.3}{:>10.4}{:>10.4}  {:<18}{:>8.0}{:>8}{:>8}{:>7}",
                summary.arm.title(),
                summary.jobs,
                summary.mean_s,
                summary.p50_s,
                summary.p99_s,
                summary.money,
                summary.cost(),
                format!("{low:.4} to {high:.4}"),
                summary.counts.shadows("started"),
                summary.adopted,
                summary.transferred,
                summary.failed,
            )?;
        }
        writeln!(
            out,
            "\nmoney: slot seconds at their price, shadows and cancelled runs included, plus bytes moved; mean of a job"
        )?;
        writeln!(out, "cost: money plus the value of the time the client waited, by urgency")?;
        writeln!(out, "public: jobs that network answered; failed: no answer, or wrong bytes")
    }

    fn write_comparison(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out)?;
        let adumbra = self.arm(Arm::Adumbra);
        for other in self.arms.iter().filter(|summary| summary.arm != Arm::Adumbra) {
            let (difference, (low, high)) = adumbra.cost_less(other);
            let percent = |value: f64| 100.0 * value / other.cost().max(1e-9);
            writeln!(
                out,
                "adumbra's cost against {:<15} {:+.1} %  (95 %: {:+.1} to {:+.1} %)",
                other.arm.title(),
                percent(difference),
                percent(low),
                percent(high)
            )?;
        }
        Ok(())
    }

    fn write_shadows(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let adumbra = self.arm(Arm::Adumbra);
        let list = |entries: Vec<String>| if entries.is_empty() { "none".to_owned() } else { entries.join(", ") };
        let shadows = adumbra.counts.shadows.iter().map(|(name, count)| format!("{name} {count:.0}"));
        let reasons = adumbra.reasons.iter().map(|(reason, count)| format!("{reason} {count}"));
        writeln!(out, "\nshadows (adumbra): {}", list(shadows.collect()))?;
        writeln!(out, "decisions (adumbra): {}", list(reasons.collect()))?;
        if !self.model.is_null() {
            writeln!(out, "model: {}", self.model)?;
        }
        for failure in &self.failures {
            writeln!(out, "failed: {failure}")?;
        }
        Ok(())
    }

    fn write_world(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "\n{:<10}{:>24}{:>24}", "seconds", "private slot / CPU", "public slot / CPU")?;
        for speed in &self.speeds {
            let cell = |(runs, slot, cpu): (usize, f64, f64)| format!("{slot:.3} / {cpu:.3} ({runs})");
            writeln!(out, "{:<10}{:>24}{:>24}", speed.kind.name(), cell(speed.networks[0]), cell(speed.networks[1]))?;
        }
        let [private, public] = self.shares();
        writeln!(out, "slot time: private {private}; public {public}")?;
        if private.core.max(public.core) > CROWDED {
            writeln!(
                out,
                "  much of it waited for a core: this machine was busy, so the times say less about placing"
            )?;
        }
        let load = self.arms.iter().map(|summary| format!("{:.0} %", 100.0 * summary.cpu_load / self.cores as f64));
        let load = load.collect::<Vec<_>>().join(", ");
        writeln!(out, "job CPU on this machine's {} cores, by arm: {load}", self.cores)?;
        writeln!(
            out,
            "private: {PRIVATE_SLOTS} slots at {PRIVATE_PRICE}/s; public: {PUBLIC_SLOTS} slots at {PUBLIC_PRICE}/s"
        )?;
        let mib = LINK_RATE / f64::from(1 << 20);
        writeln!(
            out,
            "the link to public is a relay of {DELAY_MS:.0} ms and {mib:.0} MiB/s each way, at {GIB_PRICE}/GiB"
        )?;
        writeln!(out, "{} rounds, seed {}, {:.0} s in all", self.rounds, self.seed, self.seconds)?;
        writeln!(
            out,
            "{} warm-up jobs went through adumbra first; its model learned from this run alone",
            self.warm_up.0
        )?;
        writeln!(out, "the devices are queueing processes; both networks share this machine's cores")?;
        writeln!(out, "CPU caps are not enforced in this demo (shared lane): a shadow in a slot runs at full speed")
    }

    /// Everything as one object.
    pub(crate) fn to_json(&self) -> Value {
        let adumbra = self.arm(Arm::Adumbra);
        let shadows: Map<String, Value> = ["started", "adopted", "cancelled", "refused"]
            .into_iter()
            .map(|what| (what.to_owned(), whole(adumbra.counts.shadows(what))))
            .collect();
        let decisions: Map<String, Value> = if adumbra.reasons.is_empty() {
            adumbra.counts.decisions.iter().map(|(reason, count)| (reason.clone(), whole(*count))).collect()
        } else {
            adumbra.reasons.iter().map(|(reason, count)| (reason.clone(), json!(count))).collect()
        };
        let arms: Map<String, Value> =
            self.arms.iter().map(|arm| (arm.arm.name().to_owned(), self.arm_json(arm))).collect();
        let [private, public] = self.shares();
        json!({
            "arms": arms,
            "shadows": shadows,
            "decisions": decisions,
            "cpu_share": { "private": private.cpu, "public": public.cpu },
            "slot_shares": { "private": private.to_json(), "public": public.to_json() },
            "speeds": self.speeds.iter().map(speed_json).collect::<Map<_, _>>(),
            "jobs": self.arms.iter().map(|summary| summary.jobs).sum::<usize>(),
            "failed": self.arms.iter().map(|summary| summary.failed).sum::<usize>(),
            "warm_up": { "jobs": self.warm_up.0, "failed": self.warm_up.1 },
            "rounds": self.rounds,
            "seconds": self.seconds,
            "seed": self.seed,
            "cores": self.cores,
            "model": self.model,
            "cpu_caps_enforced": false,
        })
    }

    fn arm_json(&self, summary: &Summary) -> Value {
        let (low, high) = summary.cost_interval();
        let (less, (less_low, less_high)) = self.arm(Arm::Adumbra).cost_less(summary);
        json!({
            "jobs": summary.jobs,
            "mean_s": summary.mean_s,
            "p50_s": summary.p50_s,
            "p99_s": summary.p99_s,
            "money": summary.money,
            "cost": summary.cost(),
            "cost_low": low,
            "cost_high": high,
            "adumbra_cost_less": { "mean": less, "low": less_low, "high": less_high },
            "shadowed": whole(summary.counts.shadows("started")),
            "adopted": summary.adopted,
            "transferred": summary.transferred,
            "failed": summary.failed,
            "slot_s": { "private": summary.used[0].slot_s, "public": summary.used[1].slot_s },
            "cpu_s": { "private": summary.used[0].cpu_s, "public": summary.used[1].cpu_s },
            "cpu_load": summary.cpu_load / self.cores as f64,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_arms(out)?;
        self.write_comparison(out)?;
        self.write_shadows(out)?;
        self.write_world(out)
    }
}

fn whole(count: f64) -> Value {
    json!(count as u64)
}

fn speed_json(speed: &KindSpeed) -> (String, Value) {
    let network = |(runs, slot_s, cpu_s): (usize, f64, f64)| json!({ "runs": runs, "slot_s": slot_s, "cpu_s": cpu_s });
    let kind: Kind = speed.kind;
    (kind.name().to_owned(), json!({ "private": network(speed.networks[0]), "public": network(speed.networks[1]) }))
}
