//! Numbers as decimal digits, appended to bytes.
//!
//! A line is mostly numbers, and the standard library's formatting spends ten times as much on deciding how to write one
//! as writing it takes. Here the form is fixed: whole, or to the millionth.

use super::line::rounded;

/// Below this many, millionths are exact in an f64, and no two of them are the same number.
const EXACT_MILLIONTHS: f64 = (1_u64 << 52) as f64;
/// Below this, so are whole numbers.
const EXACT_WHOLE: f64 = (1_u64 << 53) as f64;

/// Appends `value`.
#[inline]
pub(super) fn whole(value: u64, to: &mut Vec<u8>) {
    if value < 10 {
        to.push(b'0' + value as u8);
    } else {
        long(value, to);
    }
}

/// Two digits, the last of `value`.
#[inline]
pub(super) fn pair(value: u64) -> [u8; 2] {
    const PAIRS: [[u8; 2]; 100] = {
        let mut pairs = [[b'0'; 2]; 100];
        let mut value = 0;
        while value < 100 {
            pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
            value += 1;
        }
        pairs
    };
    PAIRS[(value % 100) as usize]
}

/// Appends `value` to the millionth, without the zeros that say nothing, but always with a point: the digits of what
/// [`rounded`] makes of it.
pub(super) fn millionths(value: f64, to: &mut Vec<u8>) {
    let scaled = (value * 1e6).abs();
    // Not so of what is not a number.
    if scaled < EXACT_MILLIONTHS {
        let below = scaled as i64;
        // As `f64::round` does it, without a call.
        let millionths = below.unsigned_abs() + u64::from(scaled - below as f64 >= 0.5);
        if value < 0.0 && millionths > 0 {
            to.push(b'-');
        }
        whole(millionths / 1_000_000, to);
        decimals(millionths % 1_000_000, to);
    } else {
        shortest(rounded(value), to);
    }
}

/// Appends `value` to the whole number, still as a decimal: `12.0`. What is not a number is `null`.
pub(super) fn rounded_off(value: f64, to: &mut Vec<u8>) {
    let value = value.round();
    if value.abs() < EXACT_WHOLE {
        if value < 0.0 {
            to.push(b'-');
        }
        whole(value.abs() as u64, to);
        to.extend_from_slice(b".0");
    } else {
        shortest(value, to);
    }
}

/// Appends `value`, which has more than one digit.
fn long(mut value: u64, to: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    while value >= 10 {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&pair(value));
        value /= 100;
    }
    if value > 0 {
        at -= 1;
        digits[at] = b'0' + value as u8;
    }
    to.extend_from_slice(&digits[at..]);
}

/// Appends the point and so many millionths, of which there are less than a million.
#[inline]
fn decimals(millionths: u64, to: &mut Vec<u8>) {
    let [[a, b], [c, d], [e, f]] = [millionths / 10_000, millionths / 100, millionths].map(pair);
    to.extend_from_slice(&[b'.', a, b, c, d, e, f]);
    let zeros = [f, e, d, c, b].iter().take_while(|digit| **digit == b'0').count();
    to.truncate(to.len() - zeros);
}

/// The fewest digits that are read back as `value`, for the rare number that is too large for anything else.
#[cold]
fn shortest(value: f64, to: &mut Vec<u8>) {
    serde_json::to_writer(to, &value).expect("memory takes every number");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        write(&mut text);
        String::from_utf8(text).expect("digits")
    }

    #[test]
    fn whole_numbers_are_written_in_full() {
        for value in [0, 9, 10, 99, 100, 109, 1_234_567, u64::MAX] {
            assert_eq!(written(|to| whole(value, to)), value.to_string());
        }
        assert_eq!(pair(7), *b"07");
        assert_eq!(pair(1234), *b"34");
    }

    #[test]
    fn numbers_are_written_to_the_millionth() {
        let check = |value: f64, expected: &str| assert_eq!(written(|to| millionths(value, to)), expected, "{value}");
        check(0.0, "0.0");
        check(1.0, "1.0");
        check(-2.5, "-2.5");
        check(0.000_001_4, "0.000001");
        check(-0.000_000_4, "0.0");
        check(123.456_789_5, "123.45679");
        check(0.1 + 0.2, "0.3");
        check(4_503_599_627.370_495, "4503599627.370495");
        check(1e18, "1e+18");
        check(f64::MAX, "1.7976931348623157e+308");
        check(f64::NAN, "0.0");
        check(f64::NEG_INFINITY, "0.0");
    }

    #[test]
    fn numbers_are_rounded_off_to_whole_ones() {
        let check = |value: f64, expected: &str| assert_eq!(written(|to| rounded_off(value, to)), expected, "{value}");
        check(0.4, "0.0");
        check(-12.5, "-13.0");
        check(8e9 + 1.0, "8000000001.0");
        check(1e300, "1e+300");
        check(f64::INFINITY, "null");
    }
}
