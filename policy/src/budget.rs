//! What may be spent on shadows on one network: in flight, of its capacity, per second, bytes per second.
//!
//! Token buckets that are refilled when they are looked at, so a budget needs no timer. Each holds one second's worth. A
//! shadow that says it will send more than the byte bucket holds is let in when the bucket is full and leaves it in debt:
//! else no big body could ever be shadowed, and the mean rate holds all the same. There is no queue: a shadow that has to
//! wait for its permit starts too late to say anything.

/// Why no permit was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoPermit {
    /// As many shadows run there as may.
    InFlight,
    /// As many were started in this second as may.
    Rate,
    /// The byte budget is spent.
    Bytes,
    /// The network's live work needs the room.
    LiveWork,
    /// Every worker that runs shadows there is busy, or not up.
    Worker,
    /// Shadows have their share of the network's capacity.
    Share,
    /// It would be held to less memory than anything can run in.
    Memory,
}

/// How full a network is, shadows included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// What is in flight there.
    pub in_flight: u32,
    /// How much can be; 0 if nobody knows, and then neither a share nor room is asked for.
    pub capacity: u32,
}

/// A network's shadow budget. Every shadow spends one permit; there is no queue for them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShadowBudget {
    in_flight_most: u32,
    in_flight: u32,
    /// Of the network's capacity, 0..=1.
    share: f64,
    starts: Bucket,
    bytes: Bucket,
}

impl ShadowBudget {
    /// A full budget. A rate of 0 forbids shadows; an infinite one does not bound them.
    #[must_use]
    pub fn new(in_flight: u32, per_second: f64, bytes_per_second: f64) -> Self {
        let starts = Bucket::full(per_second, if per_second > 0.0 { per_second.max(1.0) } else { 0.0 });
        let bytes = Bucket::full(bytes_per_second, bytes_per_second);
        Self { in_flight_most: in_flight, in_flight: 0, share: 1.0, starts, bytes }
    }

    /// The same, and no more of the network's capacity than this share, rounded up to a whole shadow.
    #[must_use]
    pub const fn within(self, share: f64) -> Self {
        Self { share, ..self }
    }

    /// This budget in place of the one `before`: what was spent of that one is spent, and its shadows are in flight.
    #[must_use]
    pub fn following(self, before: &Self) -> Self {
        Self {
            in_flight: before.in_flight,
            starts: self.starts.following(&before.starts),
            bytes: self.bytes.following(&before.bytes),
            ..self
        }
    }

    /// How many shadows must go, for the network has less room than what is in flight there takes: they are the first to.
    #[must_use]
    pub fn to_shed(&self, load: Load) -> u32 {
        if load.capacity == 0 { 0 } else { load.in_flight.saturating_sub(load.capacity).min(self.in_flight) }
    }

    /// Spends a permit for a shadow that will send `bytes`, or says what was lacking. Without a slot that
    /// live work does not need, there is none.
    pub fn spend(&mut self, bytes: u64, load: Load, now_s: f64) -> Result<(), NoPermit> {
        self.lacking(bytes, load, now_s).map_or(Ok(()), Err)?;
        self.starts.take(1.0, now_s);
        self.bytes.take(bytes as f64, now_s);
        self.in_flight += 1;
        Ok(())
    }

    /// Whether `spend` would give a permit.
    #[must_use]
    pub fn would_spend(&self, bytes: u64, load: Load, now_s: f64) -> bool {
        self.lacking(bytes, load, now_s).is_none()
    }

    /// A shadow has ended; its permit's place in flight is free again.
    pub fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Bytes that shadows moved beyond what they announced.
    pub fn moved(&mut self, bytes: u64, now_s: f64) {
        self.bytes.take(bytes as f64, now_s);
    }

    /// Shadows in flight.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// What a permit asked for now would lack: the cheapest question first, the same answer for every caller.
    fn lacking(&self, bytes: u64, load: Load, now_s: f64) -> Option<NoPermit> {
        if load.capacity > 0 && load.in_flight >= load.capacity {
            return Some(NoPermit::LiveWork);
        }
        if self.in_flight >= self.in_flight_most {
            return Some(NoPermit::InFlight);
        }
        // A share that is not a number is none.
        let has_share = f64::from(self.in_flight) < (self.share * f64::from(load.capacity)).ceil();
        if load.capacity > 0 && !has_share {
            return Some(NoPermit::Share);
        }
        if !self.starts.has(1.0, now_s) {
            return Some(NoPermit::Rate);
        }
        (!self.bytes.has(bytes as f64, now_s)).then_some(NoPermit::Bytes)
    }
}

/// A token bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Bucket {
    per_s: f64,
    most: f64,
    /// Below zero when it is in debt.
    level: f64,
    at_s: f64,
}

impl Bucket {
    /// A full bucket; a rate or size that cannot be is 0.
    fn full(per_s: f64, most: f64) -> Self {
        let (per_s, most) = (per_s.max(0.0), most.max(0.0));
        Self { per_s, most, level: most, at_s: f64::NEG_INFINITY }
    }

    /// This bucket, from which as much has been taken as from the one `before`.
    fn following(self, before: &Self) -> Self {
        let taken = before.most - before.level;
        let taken = if taken.is_finite() { taken.max(0.0) } else { 0.0 };
        Self { level: self.most - taken, at_s: before.at_s, ..self }
    }

    /// What it holds at `now_s`. A clock that steps back refills nothing and takes nothing.
    fn level(&self, now_s: f64) -> f64 {
        if self.per_s.is_infinite() {
            return f64::INFINITY;
        }
        let elapsed_s = now_s - self.at_s;
        let refill = if elapsed_s > 0.0 { self.per_s * elapsed_s } else { 0.0 };
        (self.level + if refill.is_nan() { 0.0 } else { refill }).min(self.most)
    }

    /// Whether `amount` may be taken: it is there, or the bucket is full. From one in debt not even nothing may be: who has
    /// nothing to send may be answered much.
    fn has(&self, amount: f64, now_s: f64) -> bool {
        let level = self.level(now_s);
        (amount == 0.0 && level >= 0.0) || (level > 0.0 && level >= amount.min(self.most))
    }

    /// Takes `amount`, into debt if need be.
    fn take(&mut self, amount: f64, now_s: f64) {
        if self.per_s.is_infinite() {
            return;
        }
        self.level = self.level(now_s) - amount;
        self.at_s = if now_s.is_finite() { self.at_s.max(now_s) } else { self.at_s };
    }
}

impl NoPermit {
    /// The word for it, a metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InFlight => "in_flight",
            Self::Rate => "rate",
            Self::Bytes => "bytes",
            Self::LiveWork => "live_work",
            Self::Worker => "worker",
            Self::Share => "share",
            Self::Memory => "memory",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ROOM: Load = Load { in_flight: 0, capacity: 0 };
    const FULL: Load = Load { in_flight: 4, capacity: 4 };

    #[test]
    fn shadows_stay_under_their_share_of_the_capacity_and_are_the_first_to_go() {
        let check = |share, capacity, expected: u32| {
            let mut budget = ShadowBudget::new(64, 100.0, 1e9).within(share);
            let load = Load { in_flight: 0, capacity };
            let started = (0..64).take_while(|_| budget.spend(0, load, 0.0) == Ok(())).count();
            assert_eq!(started, expected as usize, "{share} of {capacity}");
            if expected < 64 {
                assert_eq!(budget.spend(0, load, 0.0), Err(NoPermit::Share));
            }
        };
        check(0.5, 8, 4);
        check(0.25, 8, 2);
        check(0.25, 1, 1);
        check(0.1, 8, 1);
        check(0.0, 8, 0);
        check(0.5, 0, 64);
        check(f64::NAN, 8, 0);
        let mut budget = ShadowBudget::new(64, 100.0, 1e9);
        assert_eq!(budget.spend(0, ROOM, 0.0), Ok(()));
        assert_eq!(budget.spend(0, ROOM, 0.0), Ok(()));
        let to_shed = |in_flight, capacity| budget.to_shed(Load { in_flight, capacity });
        assert_eq!((to_shed(4, 4), to_shed(5, 4), to_shed(9, 4), to_shed(9, 0)), (0, 1, 2, 0));
    }

    #[test]
    fn each_bound_bites_and_says_so() {
        let check = |budget: ShadowBudget, bytes, load, expected| {
            let mut budget = budget;
            assert_eq!(budget.would_spend(bytes, load, 0.0), expected == Ok(()));
            assert_eq!(budget.spend(bytes, load, 0.0), expected);
        };
        let budget = ShadowBudget::new(2, 5.0, 1000.0);
        check(budget, 1000, ROOM, Ok(()));
        check(budget, 0, FULL, Err(NoPermit::LiveWork));
        check(ShadowBudget::new(0, 5.0, 1000.0), 0, ROOM, Err(NoPermit::InFlight));
        check(ShadowBudget::new(2, 0.0, 1000.0), 0, ROOM, Err(NoPermit::Rate));
        check(ShadowBudget::new(2, 5.0, 0.0), 1, ROOM, Err(NoPermit::Bytes));
        check(ShadowBudget::new(2, 5.0, 0.0), 0, ROOM, Ok(()));
        check(ShadowBudget::new(2, f64::INFINITY, f64::INFINITY), u64::MAX, ROOM, Ok(()));
        check(ShadowBudget::new(2, f64::NAN, 10.0), 0, ROOM, Err(NoPermit::Rate));
    }

    #[test]
    fn a_place_in_flight_is_free_again_after_the_end() {
        let mut budget = ShadowBudget::new(1, 100.0, 1e9);
        assert_eq!(budget.spend(0, ROOM, 0.0), Ok(()));
        assert_eq!(budget.spend(0, ROOM, 1.0), Err(NoPermit::InFlight));
        budget.ended();
        budget.ended();
        assert_eq!(budget.in_flight(), 0);
        assert_eq!(budget.spend(0, ROOM, 2.0), Ok(()));
    }

    #[test]
    fn a_budget_that_follows_another_has_what_that_one_had_left() {
        let mut before = ShadowBudget::new(4, 10.0, 1000.0);
        assert_eq!(before.spend(600, ROOM, 1.0), Ok(()));
        assert_eq!(before.spend(300, ROOM, 1.0), Ok(()));
        let mut after = ShadowBudget::new(3, 10.0, 2000.0).within(0.5).following(&before);
        assert_eq!(after.in_flight(), 2);
        assert!(!after.would_spend(1101, ROOM, 1.0) && after.would_spend(1100, ROOM, 1.0), "900 of 2,000 are spent");
        assert_eq!(after.spend(1, ROOM, 1.0), Ok(()));
        assert_eq!(after.spend(0, ROOM, 1.0), Err(NoPermit::InFlight));
        let poorer = ShadowBudget::new(4, 1.0, 100.0).following(&before);
        assert!(!poorer.would_spend(0, ROOM, 1.0), "it is in debt");
        let unbound = ShadowBudget::new(4, f64::INFINITY, f64::INFINITY).following(&before);
        assert!(unbound.would_spend(u64::MAX, ROOM, 1.0));
        let bound_again = ShadowBudget::new(4, 2.0, 100.0).following(&unbound);
        assert!(bound_again.would_spend(100, ROOM, 1.0));
    }

    #[test]
    fn a_body_larger_than_the_bucket_is_paid_off_in_time() {
        let mut budget = ShadowBudget::new(9, 100.0, 1000.0);
        assert_eq!(budget.spend(5000, ROOM, 0.0), Ok(()));
        assert_eq!(budget.spend(1, ROOM, 3.9), Err(NoPermit::Bytes));
        assert_eq!(budget.spend(1, ROOM, 4.1), Ok(()));
        budget.moved(100_000, 4.1);
        assert_eq!(budget.spend(1, ROOM, 100.0), Err(NoPermit::Bytes));
        assert_eq!(budget.spend(0, ROOM, 100.0), Err(NoPermit::Bytes));
    }

    #[test]
    fn less_than_one_start_a_second_still_starts_one() {
        let mut budget = ShadowBudget::new(9, 0.5, 1e9);
        assert_eq!(budget.spend(0, ROOM, 0.0), Ok(()));
        assert_eq!(budget.spend(0, ROOM, 1.0), Err(NoPermit::Rate));
        assert_eq!(budget.spend(0, ROOM, 2.0), Ok(()));
    }

    proptest! {
        #[test]
        fn starts_never_exceed_rate_times_time_and_one_second_more(
            per_second in 0.1..20.0_f64,
            steps in prop::collection::vec(0.0..0.5_f64, 1..200),
        ) {
            let mut budget = ShadowBudget::new(u32::MAX, per_second, f64::INFINITY);
            let (mut now_s, mut starts) = (0.0, 0);
            for step in steps {
                now_s += step;
                starts += u32::from(budget.spend(10, ROOM, now_s).is_ok());
            }
            prop_assert!(f64::from(starts) <= per_second * now_s + per_second.max(1.0) + 1e-6);
        }

        #[test]
        fn no_float_panics(rate: f64, bytes_rate: f64, now_s: f64, later_s: f64, bytes: u64) {
            let mut budget = ShadowBudget::new(3, rate, bytes_rate);
            let would = budget.would_spend(bytes, ROOM, now_s);
            prop_assert_eq!(budget.spend(bytes, ROOM, now_s).is_ok(), would);
            budget.moved(bytes, later_s);
            prop_assert!(budget.in_flight() <= 1);
        }
    }
}
