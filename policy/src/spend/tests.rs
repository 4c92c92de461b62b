//! Caps, windows and what is in flight, by table and by property.

use proptest::prelude::*;

use super::*;

const CAPS: SpendCaps = SpendCaps { per_hour: 5.0, per_day: 20.0 };
/// A minute that has just begun.
const START_S: f64 = 1_700_000_040.0;

fn bill(per_s: f64, expected: f64) -> Bill {
    Bill { per_s, per_byte: 0.0, expected }
}

#[test]
fn a_window_rolls_and_frees_what_is_older() {
    let mut account = Spend::new(CAPS);
    account.spend(3.0, START_S);
    account.spend(1.5, START_S + 1800.0);
    assert_eq!(account.left(START_S + 1800.0), Some(0.5));
    // The whole sixtieth minute still counts, so no sixty minutes ever hold more than the cap.
    assert_eq!(account.left(START_S + 3659.0), Some(0.5));
    assert_eq!(account.left(START_S + 3660.0), Some(3.5));
    assert_eq!(account.left(START_S + 1800.0 + 3660.0), Some(5.0));
}

#[test]
fn a_day_holds_when_every_hour_does() {
    let mut account = Spend::new(CAPS);
    for hour in 0..5 {
        account.spend(4.5, START_S + 4000.0 * f64::from(hour));
    }
    let later_s = START_S + 5.0 * 4000.0;
    assert_eq!(account.left(later_s), Some(-2.5));
    let spent = account.spent(later_s);
    assert_eq!((spent.hour, spent.day), (0.0, 22.5));
    assert_eq!(account.left(START_S + 86_400.0 + 60.0), Some(2.0), "the first has gone by");
    assert_eq!(account.left(START_S + 300_000.0), Some(5.0));
}

#[test]
fn what_is_in_flight_counts_as_expected_and_as_run_up() {
    let mut account = Spend::new(CAPS);
    let (known, unknown) = (bill(0.1, 2.0), bill(0.1, 0.0));
    account.commit(&known, START_S);
    account.commit(&known, START_S);
    assert_eq!(account.left(START_S), Some(1.0));
    account.commit(&known, START_S);
    assert_eq!(account.left(START_S), Some(-1.0), "the burst is stopped before its first job is paid");
    let minute = account.settle(&known, START_S, 0.5, START_S + 5.0);
    assert_eq!((minute, account.left(START_S + 5.0)), (minute, Some(0.5)));
    account.settle(&known, START_S, 0.5, START_S + 6.0);
    account.settle(&known, START_S, 0.5, START_S + 6.0);
    assert_eq!(account.left(START_S + 6.0), Some(3.5));
    account.commit(&unknown, START_S + 10.0);
    let left = account.left(START_S + 30.0).expect("there is a cap");
    assert!((left - 1.5).abs() < 1e-6, "twenty seconds at 0.1: {left}");
}

#[test]
fn without_a_cap_nothing_is_short_and_all_is_counted() {
    let mut account = Spend::new(SpendCaps::NONE);
    account.spend(1e9, START_S);
    assert_eq!((account.left(START_S), account.spent(START_S).day), (None, 1e9));
    account.cap(SpendCaps { per_day: 2e9, ..SpendCaps::NONE });
    assert_eq!(account.left(START_S), Some(1e9));
}

#[test]
fn what_was_spent_before_a_restart_still_counts_whatever_its_clock_said() {
    let now = minute(START_S);
    let left = |at_minute| {
        let mut account = Spend::new(CAPS);
        account.restore(at_minute, 4.0, START_S);
        (account.spent(START_S).hour, account.spent(START_S).day)
    };
    assert_eq!(left(now), (4.0, 4.0));
    assert_eq!(left(now - 60), (4.0, 4.0));
    assert_eq!(left(now - 61), (0.0, 4.0));
    assert_eq!(left(now - 1441), (0.0, 0.0));
    assert_eq!(left(now + 1_000_000), (4.0, 4.0), "it frees itself within an hour, not in two years");
    assert_eq!(left(0), (0.0, 0.0));
}

#[test]
fn a_clock_that_steps_back_forgets_nothing() {
    let mut account = Spend::new(CAPS);
    account.spend(3.0, START_S);
    account.spend(1.0, START_S - 86_400.0);
    assert_eq!(account.left(START_S - 86_400.0), Some(1.0));
    assert_eq!(account.left(START_S), Some(1.0));
}

#[test]
fn a_copy_made_of_the_minutes_is_the_same_account() {
    let mut account = Spend::new(CAPS);
    for step in 0..3000 {
        account.spend(0.001 * f64::from(step), START_S + 60.0 * f64::from(step));
    }
    let now_s = START_S + 60.0 * 3000.0;
    account.spent(now_s);
    let mut copy = Spend::new(CAPS);
    for (minute, money) in account.minutes() {
        copy.restore(minute, money, now_s);
    }
    let (a, b) = (account.spent(now_s), copy.spent(now_s));
    assert!((a.hour - b.hour).abs() < 1e-9 && (a.day - b.day).abs() < 1e-6, "{a:?} {b:?}");
}

proptest! {
    /// The rule of the gate: what is not short of money is sent. Nothing the clock or the prices do takes more than the cap
    /// and what was in flight.
    #[test]
    fn no_hour_takes_more_than_its_cap_and_what_was_in_flight(
        jobs in prop::collection::vec((0.0..400.0_f64, 0.0..2.0_f64, 1..8_usize), 1..120),
    ) {
        let mut account = Spend::new(CAPS);
        let mut now_s = START_S;
        let mut paid: Vec<(f64, f64)> = Vec::new();
        for (step_s, price, at_once) in jobs {
            now_s += step_s;
            let bill = bill(price, price);
            let sent = (0..at_once)
                .filter(|_| {
                    let goes = account.left(now_s).is_some_and(|left| left > 0.0);
                    if goes { account.commit(&bill, now_s); }
                    goes
                })
                .count();
            now_s += 1.0;
            for _ in 0..sent {
                account.settle(&bill, now_s - 1.0, price, now_s);
                paid.push((now_s, price));
            }
        }
        for (end_s, last) in &paid {
            let hour: f64 = paid.iter().filter(|(at_s, _)| *at_s <= *end_s && *at_s > end_s - 3600.0).map(|(_, p)| p).sum();
            // One job is let in with next to nothing left.
            prop_assert!(hour <= 5.0 + 2.0, "{hour} with {last}");
        }
    }

    #[test]
    fn no_float_breaks_the_sums(
        amounts in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>()), 1..20),
    ) {
        let mut account = Spend::new(CAPS);
        for (money, time, per_s) in amounts {
            let bill = bill(per_s, money);
            account.commit(&bill, time);
            account.settle(&bill, time, bill.after(money, time), time);
            account.restore(minute(time), money, START_S);
            let spent = account.spent(time);
            prop_assert!(spent.hour.is_finite() && spent.day >= 0.0 && spent.committed.is_finite(), "{spent:?}");
        }
    }
}
