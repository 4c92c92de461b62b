//! A moment as RFC 3339 writes it, in UTC.

use super::digits::{pair, whole};

/// Appends the moment `unix_ms` milliseconds after 1970, such as `2026-01-31T23:59:59.999Z`.
pub(crate) fn rfc3339(unix_ms: u64, to: &mut Vec<u8>) {
    let (seconds, ms) = (unix_ms / 1000, unix_ms % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    // RFC 3339 ends with the year 9999; a clock that is beyond it is still told apart.
    if year > 9999 {
        whole(year / 10_000, to);
    }
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (at, value) in [
        (0, year / 100),
        (2, year),
        (5, month),
        (8, day),
        (11, second / 3600),
        (14, second / 60 % 60),
        (17, second % 60),
        (20, ms / 10),
    ] {
        text[at..at + 2].copy_from_slice(&pair(value));
    }
    text[22] = b'0' + (ms % 10) as u8;
    to.extend_from_slice(&text);
}

/// The date `days` after 1970-01-01. Years are counted from March, so that the leap day is the last of one, in eras of 400
/// years, which are all alike (H. Hinnant, "chrono-compatible low-level date algorithms").
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(unix_ms: u64) -> String {
        let mut text = Vec::new();
        rfc3339(unix_ms, &mut text);
        String::from_utf8(text).expect("ASCII")
    }

    #[test]
    fn moments_are_written_as_date_says() {
        // From GNU date: date -u -d @N +%FT%TZ
        for (unix_s, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, "2000-02-28T23:59:59.000Z"),
            (951_782_400, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000Z"),
            (1_798_761_599, "2026-12-31T23:59:59.000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(written(unix_s * 1000), expected);
        }
        assert_eq!(written(253_402_300_800_000), "10000-01-01T00:00:00.000Z");
        assert_eq!(written(1), "1970-01-01T00:00:00.001Z");
    }
}
