//! How many jobs a network will have in flight while a job runs there, not just when it comes.
//!
//! A series of means over short buckets, smoothed with a damped trend (Holt's method with Gardner and McKenzie's damping,
//! 1985): level and trend of the load, a few numbers, updated in constant time as jobs come and go. A trend that is not
//! damped runs away on the first burst; a damped one is right on ramps and soon believes that they end.
//!
//! What is in flight this instant is mostly chance, and chance passes as fast as jobs do: over the time of a job about two
//! thirds of it is left on average. So the outlook goes from what is there now back to the level and on along the trend.
//! With a short history it says what is there now, and nothing else.
//!
//! Seasons are left out on purpose: a job's horizon is seconds to minutes, and over minutes a day is a ramp
//! (`docs/decisions/`). Waiting is not forecast either: in a queue, first come first served, who comes later waits behind.

/// The length of a bucket, seconds.
const BUCKET_S: f64 = 5.0;
/// Weights of a new bucket in the level and in the trend, and how much of the trend is left after one.
const LEVEL_WEIGHT: f64 = 0.2;
const TREND_WEIGHT: f64 = 0.03;
const DAMPING: f64 = 0.95;
/// Buckets before anything but the present is said.
const HISTORY_LEAST: u32 = 24;
/// After so many buckets without a word, what is known is no longer true.
const SILENCE_MOST: f64 = 120.0;
/// The mean over a unit of time of what decays with that unit.
const LEFT_OF_NOW: f64 = 0.632;

/// The load of one network over time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Forecast {
    level: f64,
    trend: f64,
    buckets: u32,
    /// The value that holds since `since_s`, and what the present bucket has come to.
    value: f64,
    since_s: f64,
    bucket_from_s: f64,
    sum: f64,
    begun: bool,
}

/// What is expected of a load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Outlook {
    /// Where it is, chance left out; `None` with a short history.
    pub level: Option<f64>,
    /// Where it is going, per second.
    pub per_s: f64,
}

impl Forecast {
    /// From `now_s` on the load is `value`.
    pub fn observe(&mut self, value: f64, now_s: f64) {
        if !value.is_finite() || !now_s.is_finite() {
            return;
        }
        self.advance(now_s);
        self.value = value.max(0.0);
    }

    /// A job more than there were.
    pub fn began(&mut self, now_s: f64) {
        self.observe(self.value + 1.0, now_s);
    }

    /// A job less.
    pub fn ended(&mut self, now_s: f64) {
        self.observe(self.value - 1.0, now_s);
    }

    /// What is expected, by what was observed until `now_s`.
    #[must_use]
    pub fn outlook(mut self, now_s: f64) -> Outlook {
        self.advance(now_s);
        if self.buckets < HISTORY_LEAST {
            return Outlook::default();
        }
        Outlook { level: Some(self.level), per_s: self.trend / BUCKET_S }
    }

    fn advance(&mut self, now_s: f64) {
        if !self.begun || now_s - self.since_s > SILENCE_MOST * BUCKET_S || now_s < self.bucket_from_s {
            *self = Self { value: self.value, since_s: now_s, bucket_from_s: now_s, begun: true, ..Self::default() };
            return;
        }
        while now_s >= self.bucket_from_s + BUCKET_S {
            let end_s = self.bucket_from_s + BUCKET_S;
            self.sum += self.value * (end_s - self.since_s);
            self.close(self.sum / BUCKET_S);
            (self.sum, self.since_s, self.bucket_from_s) = (0.0, end_s, end_s);
        }
        self.sum += self.value * (now_s - self.since_s).max(0.0);
        self.since_s = self.since_s.max(now_s);
    }

    fn close(&mut self, mean: f64) {
        self.buckets = self.buckets.saturating_add(1);
        if self.buckets == 1 {
            (self.level, self.trend) = (mean, 0.0);
            return;
        }
        // At first as a plain mean, so that the first bucket is not believed for long.
        let weight = LEVEL_WEIGHT.max(1.0 / f64::from(self.buckets));
        let expected = self.level + DAMPING * self.trend;
        let level = expected + weight * (mean - expected);
        self.trend = DAMPING * self.trend + TREND_WEIGHT * (level - self.level - DAMPING * self.trend);
        self.level = level;
    }
}

impl Outlook {
    /// The mean load over the next `horizon_s` seconds, where it is `now`.
    #[must_use]
    pub fn over(&self, now: f64, horizon_s: f64) -> f64 {
        let Some(level) = self.level.filter(|level| level.is_finite()) else { return now };
        let expected = level + LEFT_OF_NOW * (now - level) + self.per_s * damped_s(horizon_s);
        if expected.is_finite() { expected.max(0.0) } else { now }
    }
}

/// Seconds of the present trend that the middle of a horizon is ahead, damping counted.
fn damped_s(horizon_s: f64) -> f64 {
    let fades_s = BUCKET_S / (1.0 - DAMPING);
    let units = horizon_s / fades_s;
    if units.is_nan() || units <= 1e-6 {
        return 0.0;
    }
    // The mean over the horizon of the trend's integral, each a plain exponential.
    fades_s * (1.0 - (1.0 - (-units).exp()) / units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Dice;

    /// A day's load: 20 jobs in flight on average, twice that in the afternoon and next to none at night, and chance.
    fn day(now_s: f64) -> f64 {
        20.0 - 18.0 * (std::f64::consts::TAU * now_s / 86_400.0).cos()
    }

    /// What a day is foretold over `horizon_s` seconds: root mean square errors of the outlook and of persistence.
    fn errors(horizon_s: f64, load: impl Fn(f64) -> f64, noisy: bool) -> (f64, f64) {
        let (mut forecast, mut dice) = (Forecast::default(), Dice::new(3));
        let (mut ours, mut persistence, mut n) = (0.0, 0.0, 0.0);
        for second in 0..2 * 86_400_i32 {
            let now_s = f64::from(second);
            let mean = load(now_s);
            let now = if noisy { (mean + mean.sqrt() * dice.normal()).max(0.0) } else { mean };
            forecast.observe(now, now_s);
            if second > 600 && second % 60 == 0 {
                let truth = (0..10).map(|i| load(now_s + (f64::from(i) + 0.5) / 10.0 * horizon_s)).sum::<f64>() / 10.0;
                ours += (forecast.outlook(now_s).over(now, horizon_s) - truth).powi(2);
                persistence += (now - truth).powi(2);
                n += 1.0;
            }
        }
        ((ours / n).sqrt(), (persistence / n).sqrt())
    }

    #[test]
    fn a_day_is_foretold_better_than_by_what_is_there_now() {
        for horizon_s in [10.0, 60.0, 600.0] {
            let (ours, persistence) = errors(horizon_s, day, true);
            println!("over {horizon_s} s of a noisy day: {ours:.3} jobs in flight, persistence {persistence:.3}");
            assert!(ours < 0.8 * persistence, "over {horizon_s} s: {ours} and {persistence}");
        }
        let (ours, persistence) = errors(600.0, day, false);
        assert!(ours < persistence, "the ramp alone: {ours} and {persistence}");
    }

    #[test]
    fn a_burst_is_not_carried_on_for_ever() {
        let burst = |now_s: f64| if (3000.0..3060.0).contains(&now_s) { 60.0 } else { 5.0 };
        let mut forecast = Forecast::default();
        for second in 0..3060 {
            forecast.observe(burst(f64::from(second)), f64::from(second));
        }
        let at_its_end = forecast.outlook(3060.0).over(60.0, 600.0);
        assert!(at_its_end < 90.0, "{at_its_end} jobs foretold at the end of a burst of 60");
        for second in 3060..4200 {
            forecast.observe(5.0, f64::from(second));
        }
        let later = forecast.outlook(4200.0).over(5.0, 60.0);
        assert!((later - 5.0).abs() < 1.5, "{later} jobs foretold twenty minutes after it");
    }

    #[test]
    fn a_short_history_a_long_silence_and_no_figures_say_what_is_there_now() {
        let mut forecast = Forecast::default();
        let check = |forecast: &Forecast, now_s| assert_eq!(forecast.outlook(now_s).over(7.0, 60.0), 7.0);
        check(&forecast, 0.0);
        for second in 0..100 {
            forecast.observe(f64::from(second), f64::from(second));
        }
        check(&forecast, 100.0);
        for second in 100..400 {
            forecast.observe(f64::from(second), f64::from(second));
            forecast.observe(f64::NAN, f64::from(second));
            forecast.observe(3.0, f64::INFINITY);
        }
        assert_ne!(forecast.outlook(400.0).over(7.0, 60.0), 7.0);
        check(&forecast, 4000.0);
        check(&forecast, -1.0);
        let odd = Outlook { level: Some(5.0), per_s: f64::NAN };
        assert_eq!(odd.over(7.0, 60.0), 7.0);
        assert!(Outlook { level: Some(5.0), per_s: -9.0 }.over(1.0, 1e9) >= 0.0);
    }
}
