//! What is counted of the configuration: how often it was read again, and what came of it.

use super::Metrics;
use super::family::{Axis, Family, Head, Level, Scraped};
use super::words::{ConfigReload, Word};
use prometheus_client::registry::Unit;

#[derive(Debug)]
pub(super) struct ConfigCounters {
    reloads: Family<1>,
    successful: Level,
    succeeded: Level,
}

impl ConfigCounters {
    pub(super) fn new() -> Self {
        let reloads = Head::new("adumbra_config_reloads", "Readings of a changed configuration, by what came of them");
        Self {
            reloads: Family::counters(reloads, [&Axis::of::<ConfigReload>("outcome")]),
            successful: Level::new(Head::new(
                "adumbra_config_last_reload_successful",
                "1 if what the file says now is in force, 0 if it was refused",
            )),
            succeeded: Level::new(Head::in_unit(
                "adumbra_config_last_reload_success_timestamp",
                Unit::Seconds,
                "When the configuration in force was read, Unix time",
            )),
        }
    }

    pub(super) fn families(&self) -> [&dyn Scraped; 3] {
        [&self.reloads, &self.successful, &self.succeeded]
    }
}

impl Metrics {
    /// The file was read again, or SIGHUP came.
    pub(crate) fn config_reloaded(&self, outcome: ConfigReload) {
        self.config.reloads.add([outcome.place()], 1);
        self.config.successful.set(u64::from(outcome != ConfigReload::Refused));
    }

    /// A configuration that was read at this Unix time is in force.
    pub(crate) fn config_in_force(&self, unix_s: u64) {
        self.config.succeeded.set(unix_s);
    }

    /// Whether what the file says is in force.
    pub(crate) fn config_is(&self, successful: bool) {
        self.config.successful.set(u64::from(successful));
    }

    /// How often a reading came to this.
    #[cfg(test)]
    pub(crate) fn config_reloads(&self, outcome: ConfigReload) -> u64 {
        self.config.reloads.value([outcome.place()])
    }
}
