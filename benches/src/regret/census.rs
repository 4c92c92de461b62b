//! Who has how many jobs where, as a sidecar may know it: its own now, those of others by the last report.

use std::collections::VecDeque;

use policy::MAX_NETWORKS;

use super::world::World;

/// A number for each network.
pub(super) type Each = [u32; MAX_NETWORKS];

/// Jobs in flight, by sidecar.
#[derive(Debug)]
pub(super) struct Census {
    own: Vec<Each>,
    /// When each report was made, and what every sidecar had then.
    reports: VecDeque<(f64, Vec<Each>)>,
    delay_s: f64,
}

impl Census {
    pub(super) fn new(world: &World) -> Self {
        let own = vec![[0; MAX_NETWORKS]; world.sidecars.count];
        Self { own, reports: VecDeque::new(), delay_s: world.sidecars.report_delay_s }
    }

    pub(super) fn enters(&mut self, sidecar: usize, network: usize) {
        self.own[sidecar][network] += 1;
    }

    pub(super) fn leaves(&mut self, sidecar: usize, network: usize) {
        self.own[sidecar][network] -= 1;
    }

    pub(super) fn report(&mut self, now_s: f64) {
        self.reports.push_back((now_s, self.own.clone()));
        // The newest that has arrived is needed, and those that are on their way.
        while self.reports.get(1).is_some_and(|(at_s, _)| now_s - at_s >= self.delay_s) {
            self.reports.pop_front();
        }
    }

    /// The newest report that has arrived: what others had on each network, and what `sidecar` had.
    pub(super) fn told(&self, sidecar: usize, now_s: f64) -> Option<(Each, Each)> {
        let mut arrived = self.reports.iter().rev().filter(|(at_s, _)| now_s - at_s >= self.delay_s);
        let (_, then) = arrived.next()?;
        let mut others = [0; MAX_NETWORKS];
        for (_, own) in then.iter().enumerate().filter(|(other, _)| *other != sidecar) {
            others.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        }
        Some((others, then[sidecar]))
    }

    /// Jobs on each network, as far as `sidecar` knows.
    pub(super) fn seen(&self, sidecar: usize, now_s: f64) -> Each {
        let mut seen = self.told(sidecar, now_s).map_or([0; MAX_NETWORKS], |(others, _)| others);
        seen.iter_mut().zip(self.own[sidecar]).for_each(|(sum, own)| *sum += own);
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_known_by_reports_and_own_jobs_at_once() {
        let mut world = World::default();
        (world.sidecars.count, world.sidecars.report_delay_s) = (2, 1.0);
        let mut census = Census::new(&world);
        census.enters(0, 1);
        census.enters(1, 1);
        census.report(0.0);
        census.enters(1, 1);
        assert_eq!(census.seen(0, 0.5)[1], 1, "the report is on its way");
        assert_eq!(census.seen(0, 1.0)[1], 2);
        census.report(1.0);
        assert_eq!(census.seen(0, 1.5)[1], 2, "the newer report is on its way");
        assert_eq!(census.seen(0, 2.0)[1], 3);
        census.leaves(0, 1);
        assert_eq!(census.seen(0, 2.0)[1], 2);
    }
}
