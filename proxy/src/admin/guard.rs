//! What guards decisions, on `/status`: the comparison with the fixed rule, and money.

use policy::watchdog::Standing;
use serde::Serialize;

use super::{NetworkStatus, Seen};
use crate::record::rounded;
use crate::spend::Kept;

/// The comparison.
#[derive(Debug, Serialize)]
pub(super) struct GuardPage {
    /// Who places jobs: `policy`, or `rule` while that is the cheaper one.
    in_force: &'static str,
    /// The share of blocks that the other one has now.
    share: f64,
    policy_blocks: u64,
    rule_blocks: u64,
    /// What the policy costs more than the rule, as a share, and how far that may be off; `null` if that is not known.
    policy_dearer_by: Option<f64>,
    give_or_take: Option<f64>,
    fallbacks: u64,
    returns: u64,
}

impl GuardPage {
    pub(super) fn of(seen: &Seen<'_>) -> Self {
        let Standing { fell_back, share, policy_blocks, rule_blocks, dearer, margin, fallbacks, returns } =
            seen.standing;
        let known = margin.is_finite();
        Self {
            in_force: if fell_back { "rule" } else { "policy" },
            share: rounded(share),
            policy_blocks,
            rule_blocks,
            policy_dearer_by: known.then(|| rounded(dearer)),
            give_or_take: known.then(|| rounded(margin)),
            fallbacks,
            returns,
        }
    }
}

/// Where it is kept what was spent.
#[derive(Debug, Serialize)]
pub(super) struct SpendKeptPage<'a> {
    /// Whose spending is counted and capped.
    scope: &'static str,
    /// `memory`: it is forgotten with the process.
    kept_in: &'a str,
    /// What stands against writing it down now.
    failing: Option<&'a str>,
    /// Lines that could not be read at the start.
    unreadable_lines: u64,
}

impl<'a> SpendKeptPage<'a> {
    pub(super) fn of(kept: &'a Kept) -> Self {
        Self {
            scope: "what this sidecar sends; others on the same network count, and are capped, for themselves",
            kept_in: kept.file.as_deref().unwrap_or("memory"),
            failing: kept.failing.as_deref(),
            unreadable_lines: kept.unreadable_lines,
        }
    }
}

/// What was spent on one network.
#[derive(Debug, Serialize)]
pub(super) struct SpendPage {
    last_hour: f64,
    last_day: f64,
    committed: f64,
    per_hour: Option<f64>,
    per_day: Option<f64>,
    left: Option<f64>,
}

impl SpendPage {
    pub(super) fn of(status: &NetworkStatus) -> Self {
        let figure = |figure: f64| figure.is_finite().then_some(figure);
        Self {
            last_hour: rounded(status.spent.hour),
            last_day: rounded(status.spent.day),
            committed: rounded(status.spent.committed),
            per_hour: figure(status.caps.per_hour),
            per_day: figure(status.caps.per_day),
            left: figure(status.spend_left()).map(rounded),
        }
    }
}
