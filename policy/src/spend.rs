//! What may still be spent on a network: caps per hour and per day that hold whatever the predictions say.
//!
//! The windows roll: what counts is the last sixty minutes and the last 24 hours, kept by the minute, the one that has begun
//! included. With calendar hours twice the cap could go within a few minutes on either side of the hour, and a day would mean
//! another thing in each time zone. The price is a fixed 1,441 numbers for each network, and that a cap frees itself bit by
//! bit and not at a time one can name.
//!
//! What is on its way counts, too: a dispatch commits what it is expected to cost when it is sent, and no less than it has
//! run up since, so a burst cannot take the cap many times over before its first job is paid. A job that was let in is never
//! stopped for money, so the cap can be overshot, but by no more than what is in flight turns out to cost beyond what was
//! expected.
//!
//! Time is Unix time: what was spent must mean the same after a restart.

/// Caps on what is spent on one network, in the currency of the prices. Infinite where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpendCaps {
    /// In any sixty minutes.
    pub per_hour: f64,
    /// In any 24 hours.
    pub per_day: f64,
}

impl SpendCaps {
    /// No cap.
    pub const NONE: Self = Self { per_hour: f64::INFINITY, per_day: f64::INFINITY };

    /// Whether there is any.
    #[must_use]
    pub fn any(&self) -> bool {
        self.per_hour.is_finite() || self.per_day.is_finite()
    }
}

impl Default for SpendCaps {
    fn default() -> Self {
        Self::NONE
    }
}

/// What a dispatch costs, as far as it can be told when it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bill {
    /// For each second that it holds a slot: the slot, and the CPU and memory it is predicted to use.
    pub per_s: f64,
    /// For each byte that crosses.
    pub per_byte: f64,
    /// All of it, as expected.
    pub expected: f64,
}

impl Bill {
    /// What it comes to after `held_s` seconds on a slot and so many bytes.
    #[must_use]
    pub fn after(&self, held_s: f64, bytes: f64) -> f64 {
        amount(amount(self.per_s) * amount(held_s)) + amount(amount(self.per_byte) * amount(bytes))
    }
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// In the last sixty minutes.
    pub hour: f64,
    /// In the last 24 hours.
    pub day: f64,
    /// What is in flight is counted with.
    pub committed: f64,
}

const MINUTES_PER_HOUR: u64 = 60;
const MINUTES_PER_DAY: u64 = 24 * 60;
/// The minutes of a day, and the one that has begun.
const MINUTES: usize = MINUTES_PER_DAY as usize + 1;
/// No single amount beyond this is believed: sums of it must stay numbers.
const AMOUNT_MOST: f64 = 1e15;

/// The account of one network.
#[derive(Clone, Debug)]
pub struct Spend {
    caps: SpendCaps,
    /// By minute, at its number modulo the length.
    minutes: Box<[f64; MINUTES]>,
    /// The latest minute that was seen; nothing is written before it.
    newest: u64,
    hour: f64,
    day: f64,
    flying: Flying,
}

/// What is in flight.
#[derive(Clone, Copy, Debug, Default)]
struct Flying {
    count: u64,
    expected: f64,
    /// What all of it runs up in a second, and the same times when each was sent: their sum so far is a product away.
    per_s: f64,
    per_s_sent: f64,
}

impl Spend {
    /// An account on which nothing was spent.
    #[must_use]
    pub fn new(caps: SpendCaps) -> Self {
        let minutes = Box::new([0.0; MINUTES]);
        Self { caps, minutes, newest: 0, hour: 0.0, day: 0.0, flying: Flying::default() }
    }

    /// Other caps hold from now on; what was spent stays spent.
    pub fn cap(&mut self, caps: SpendCaps) {
        self.caps = caps;
    }

    /// A dispatch is sent.
    pub fn commit(&mut self, bill: &Bill, unix_s: f64) {
        let flying = &mut self.flying;
        flying.count += 1;
        flying.expected += amount(bill.expected);
        flying.per_s += amount(bill.per_s);
        flying.per_s_sent += amount(bill.per_s) * known_time(unix_s);
    }

    /// A dispatch that was sent at `sent_unix_s` is over and has cost `money`. Says under which minute that stands.
    pub fn settle(&mut self, bill: &Bill, sent_unix_s: f64, money: f64, unix_s: f64) -> u64 {
        let flying = &mut self.flying;
        flying.count = flying.count.saturating_sub(1);
        flying.expected -= amount(bill.expected);
        flying.per_s -= amount(bill.per_s);
        flying.per_s_sent -= amount(bill.per_s) * known_time(sent_unix_s);
        if flying.count == 0 {
            // What rounding has left.
            *flying = Flying::default();
        }
        self.spend(money, unix_s)
    }

    /// Money is spent that was not committed. Says under which minute that stands.
    pub fn spend(&mut self, money: f64, unix_s: f64) -> u64 {
        self.advance(minute(unix_s));
        self.add(self.newest, money);
        self.newest
    }

    /// Takes in what was spent in a minute before a restart. One that is yet to come was written by a clock that was wrong,
    /// and counts as this one; one that is too old does not count.
    pub fn restore(&mut self, at_minute: u64, money: f64, unix_s: f64) {
        self.advance(minute(unix_s));
        let at_minute = at_minute.min(self.newest);
        if self.newest - at_minute <= MINUTES_PER_DAY {
            self.add(at_minute, money);
        }
    }

    /// What was spent by now.
    pub fn spent(&mut self, unix_s: f64) -> Spent {
        self.advance(minute(unix_s));
        Spent { hour: self.hour, day: self.day, committed: self.committed(unix_s) }
    }

    /// What may still be sent for, with what is in flight taken off; not above zero once a cap is reached. `None` without caps.
    pub fn left(&mut self, unix_s: f64) -> Option<f64> {
        if !self.caps.any() {
            return None;
        }
        let Spent { hour, day, committed } = self.spent(unix_s);
        Some((self.caps.per_hour - hour).min(self.caps.per_day - day) - committed)
    }

    /// The caps that hold.
    #[must_use]
    pub fn caps(&self) -> SpendCaps {
        self.caps
    }

    /// The minutes in which something was spent, oldest first.
    pub fn minutes(&self) -> impl Iterator<Item = (u64, f64)> {
        let first = self.newest.saturating_sub(MINUTES_PER_DAY);
        (first..=self.newest).map(|at| (at, self.minutes[place(at)])).filter(|(_, money)| *money > 0.0)
    }

    fn committed(&self, unix_s: f64) -> f64 {
        let run_up = self.flying.per_s * known_time(unix_s) - self.flying.per_s_sent;
        self.flying.expected.max(run_up).max(0.0)
    }

    /// It is at least this minute now. A clock that steps back changes nothing: what is spent then counts as of the newest
    /// minute there was.
    fn advance(&mut self, now: u64) {
        if now <= self.newest {
            return;
        }
        for passed in (self.newest + 1..=now).rev().take(MINUTES) {
            self.minutes[place(passed)] = 0.0;
        }
        self.newest = now;
        // Summed anew, once a minute: taking off what has passed would let rounding add up.
        self.day = self.minutes.iter().sum();
        let from = now.saturating_sub(MINUTES_PER_HOUR);
        self.hour = (from..=now).map(|at| self.minutes[place(at)]).sum();
    }

    fn add(&mut self, at_minute: u64, money: f64) {
        let money = amount(money);
        self.minutes[place(at_minute)] += money;
        self.day += money;
        if self.newest - at_minute <= MINUTES_PER_HOUR {
            self.hour += money;
        }
    }
}

/// The minute of a time.
#[must_use]
pub fn minute(unix_s: f64) -> u64 {
    (known_time(unix_s) / 60.0) as u64
}

fn place(minute: u64) -> usize {
    (minute % MINUTES as u64) as usize
}

fn known_time(unix_s: f64) -> f64 {
    // The year 5138: more is no time, and its minutes must stay whole numbers.
    if unix_s.is_finite() { unix_s.clamp(0.0, 1e11) } else { 0.0 }
}

fn amount(money: f64) -> f64 {
    if money > 0.0 { money.min(AMOUNT_MOST) } else { 0.0 }
}

#[cfg(test)]
mod tests;
