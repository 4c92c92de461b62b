//! Times, sizes, shares, money and plain numbers.
//!
//! Every quantity has an upper bound, far above any use, so that no sum of two of them can overflow.

use std::time::Duration;

use policy::Level;
use policy::units::Urgency;
use toml::de::DeValue;

use super::{Bad, Form, text};

/// The longest time, seconds: a year.
const MAX_S: f64 = 365.0 * 86_400.0;
/// The most bytes: a pebibyte.
const MAX_BYTES: f64 = (1_u64 << 50) as f64;
/// The most cores.
const MAX_CORES: f64 = 4096.0;
/// The most of anything that is counted or priced.
const MAX_NUMBER: f64 = 1e9;

/// A time that may be nothing.
pub(crate) const DURATION: Form<Duration> = Form {
    name: "a duration",
    unit: "",
    write: "a number with `ms`, `s`, `m` or `h` in quotes",
    example: "\"250ms\"",
    reader: duration,
};

/// A time that is not nothing.
pub(crate) const LONG: Form<Duration> = Form {
    name: "a duration above 0",
    reader: |value| match duration(value)? {
        Duration::ZERO => Err(Bad::Why("it is no time at all")),
        duration => Ok(duration),
    },
    ..DURATION
};

/// A number of bytes that may be 0.
pub(crate) const BYTES: Form<usize> = Form {
    name: "a size",
    unit: "bytes",
    write: "a number of bytes, or one with `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB` in quotes",
    example: "\"64KiB\"",
    reader: |value| Ok(bytes(value)? as usize),
};

/// A number of bytes above 0.
pub(crate) const SOME_BYTES: Form<usize> =
    Form { name: "a size above 0", reader: |value| Ok(above_zero(bytes(value)?)? as usize), ..BYTES };

/// Bytes in each second, 0 allowed.
pub(crate) const BYTES_PER_SECOND: Form<f64> =
    Form { name: "a size", unit: "bytes per second", write: BYTES.write, example: "\"8MiB\"", reader: bytes };

/// Bytes in each second, more than 0.
pub(crate) const SOME_BYTES_PER_SECOND: Form<f64> =
    Form { name: "a size above 0", reader: |value| above_zero(bytes(value)?), ..BYTES_PER_SECOND };

/// A part of a whole.
pub(crate) const SHARE: Form<f64> = Form {
    name: "a share",
    unit: "",
    write: "a percentage in quotes, or a number from 0 to 1",
    example: "\"10%\"",
    reader: share,
};

/// A part of one core, or several.
pub(crate) const CORES: Form<f64> = Form {
    name: "a share of a core",
    unit: "",
    write: "a percentage of one core in quotes, or a number of cores; it may be more than one",
    example: "\"25%\"",
    reader: cores,
};

/// An amount of the currency that all prices are in.
pub(crate) const MONEY: Form<f64> = Form {
    name: "a price",
    unit: "currency",
    write: "a number from 0 up, without quotes",
    example: "0.3",
    reader: |value| number(value, MAX_NUMBER),
};

/// How often, in each second.
pub(crate) const RATE: Form<f64> =
    Form { name: "a rate", unit: "per second", write: MONEY.write, example: "10", reader: MONEY.reader };

/// What a second is worth: one number, or one for each urgency.
pub(crate) const TIME_VALUE: Form<[f64; Urgency::LEVELS]> = Form {
    name: "one price or 8",
    unit: "currency per second",
    write: "one number, or a list of one for each urgency from 0 to 7",
    example: "[3.2, 1.6, 1.2, 0.8, 0.6, 0.4, 0.2, 0.1]",
    reader: time_value,
};

/// How much shadow each urgency buys: one level, or one for each urgency.
pub(crate) const LEVELS: Form<[Level; Urgency::LEVELS]> = Form {
    name: "one level or 8",
    unit: "",
    write: "`off`, `low`, `medium` or `high` in quotes, or a list of one for each urgency from 0 to 7",
    example: "[\"high\", \"high\", \"high\", \"medium\", \"medium\", \"low\", \"low\", \"off\"]",
    reader: levels,
};

/// A whole number, 0 allowed.
pub(crate) const COUNT: Form<u32> = Form {
    name: "a whole number",
    unit: "",
    write: "a whole number from 0 up, without quotes",
    example: "10",
    reader: count,
};

/// A whole number above 0.
pub(crate) const MORE: Form<u32> = Form {
    name: "a whole number above 0",
    write: "a whole number from 1 up, without quotes",
    reader: |value| match count(value)? {
        0 => Err(Bad::Why("it is less than 1")),
        number => Ok(number),
    },
    ..COUNT
};

/// A number of threads.
pub(crate) const WORKERS: Form<u32> = Form {
    name: "a number of threads",
    write: "a whole number from 0 to 1024, without quotes",
    example: "2",
    reader: |value| match count(value)? {
        number if number > 1024 => Err(Bad::Why("it is more than 1024")),
        number => Ok(number),
    },
    ..COUNT
};

/// A level of urgency.
pub(crate) const LEVEL: Form<Urgency> = Form {
    name: "an urgency",
    unit: "",
    write: "a whole number from 0 to 7, without quotes",
    example: "3",
    reader: |value| {
        let level = u8::try_from(count(value)?).ok().and_then(Urgency::new);
        level.ok_or(Bad::Why("it is more than 7"))
    },
};

fn duration(value: &DeValue<'_>) -> Result<Duration, Bad> {
    if value.is_integer() || value.is_float() {
        return Err(Bad::Why("the unit is missing"));
    }
    let (number, unit) = number_and_unit(text(value)?)?;
    let unit_s = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "" => return Err(Bad::Why("the unit is missing")),
        _ => return Err(Bad::Why("the unit is not `ms`, `s`, `m` or `h`")),
    };
    let seconds = number * unit_s;
    if seconds > MAX_S {
        return Err(Bad::Why("it is more than a year"));
    }
    // Millisecond steps in floating point would leave 0.1 s one nanosecond off what was written.
    Ok(Duration::from_nanos((seconds * 1e9).round() as u64))
}

fn bytes(value: &DeValue<'_>) -> Result<f64, Bad> {
    let DeValue::String(text) = value else { return number(value, MAX_BYTES) };
    let (number, unit) = number_and_unit(text)?;
    let unit_bytes = match unit {
        "" | "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return Err(Bad::Why("the unit is not `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`")),
    };
    let bytes = (number * unit_bytes).round();
    if bytes > MAX_BYTES { Err(Bad::Why("it is more than a pebibyte")) } else { Ok(bytes) }
}

fn share(value: &DeValue<'_>) -> Result<f64, Bad> {
    let share = match value.as_str() {
        None => number(value, MAX_NUMBER)?,
        Some(text) => match number_and_unit(text)? {
            (number, "%") => number / 100.0,
            _ => return Err(Bad::Why("it does not end in `%`")),
        },
    };
    if share > 1.0 { Err(Bad::Why("it is more than the whole")) } else { Ok(share) }
}

fn cores(value: &DeValue<'_>) -> Result<f64, Bad> {
    let cores = match value.as_str() {
        None => number(value, MAX_NUMBER)?,
        Some(text) => match number_and_unit(text)? {
            (number, "%") => number / 100.0,
            _ => return Err(Bad::Why("it does not end in `%`")),
        },
    };
    match cores {
        _ if cores < 0.001 => Err(Bad::Why("it is less than a thousandth of a core")),
        _ if cores > MAX_CORES => Err(Bad::Why("it is more than any machine has")),
        _ => Ok(cores),
    }
}

fn levels(value: &DeValue<'_>) -> Result<[Level; Urgency::LEVELS], Bad> {
    let named = |word: &str| Level::named(word).ok_or(Bad::Why("a level is none of `off`, `low`, `medium`, `high`"));
    let Some(values) = value.as_array() else { return named(text(value)?).map(|level| [level; Urgency::LEVELS]) };
    let read = values.iter().map(|value| named(text(value.get_ref())?));
    let levels = read.collect::<Result<Vec<_>, _>>()?;
    levels.try_into().map_err(|_| Bad::Why("there are not 8 levels in it"))
}

fn time_value(value: &DeValue<'_>) -> Result<[f64; Urgency::LEVELS], Bad> {
    let Some(values) = value.as_array() else {
        return number(value, MAX_NUMBER).map(|value| [value; Urgency::LEVELS]);
    };
    let read = values.iter().map(|value| number(value.get_ref(), MAX_NUMBER));
    let values = read.collect::<Result<Vec<_>, _>>().map_err(|_| Bad::Why("not all of it are numbers from 0 up"))?;
    values.try_into().map_err(|_| Bad::Why("there are not 8 numbers in it"))
}

fn count(value: &DeValue<'_>) -> Result<u32, Bad> {
    let DeValue::Integer(number) = value else { return Err(Bad::Type) };
    match i128::from_str_radix(number.as_str(), number.radix()) {
        Ok(negative) if negative < 0 => Err(Bad::Why("it is less than 0")),
        Ok(number) if number <= MAX_NUMBER as i128 => Ok(number as u32),
        _ => Err(Bad::Why("it is more than a thousand million")),
    }
}

/// A number that is finite, not negative and at most `most`.
fn number(value: &DeValue<'_>, most: f64) -> Result<f64, Bad> {
    let number = match value {
        DeValue::Float(number) => number.as_str().parse::<f64>().map_err(|_| Bad::Why("it is not a number"))?,
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => number as f64,
            Err(_) => return Err(Bad::Why("it is too large")),
        },
        _ => return Err(Bad::Type),
    };
    match number {
        _ if number.is_nan() => Err(Bad::Why("it is not a number")),
        _ if number < 0.0 => Err(Bad::Why("it is less than 0")),
        _ if number > most => Err(Bad::Why("it is too large")),
        // A written `-0.0` is nothing like a negative price.
        _ => Ok(number.abs()),
    }
}

fn above_zero(bytes: f64) -> Result<f64, Bad> {
    if bytes >= 1.0 { Ok(bytes) } else { Err(Bad::Why("it is less than a byte")) }
}

/// `"1.5 MiB"` as 1.5 and `"MiB"`.
fn number_and_unit(text: &str) -> Result<(f64, &str), Bad> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = (&text[..end], text[end..].trim_start());
    if text.starts_with('-') {
        return Err(Bad::Why("it is less than 0"));
    }
    if number.is_empty() {
        return Err(Bad::Why("it does not start with a number"));
    }
    match number.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((number, unit)),
        _ => Err(Bad::Why("its number cannot be read")),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;

    #[track_caller]
    fn check<T: PartialEq + Debug>(form: &Form<T>, toml: &str, expected: Option<T>) {
        let value = DeValue::parse(toml).expect("tests write TOML");
        assert_eq!(form.read(value.get_ref()).ok(), expected, "{toml}");
    }

    #[test]
    fn durations_have_a_unit() {
        check(&DURATION, "'250ms'", Some(Duration::from_millis(250)));
        check(&DURATION, "'1.5s'", Some(Duration::from_millis(1500)));
        check(&DURATION, "'0.1s'", Some(Duration::from_millis(100)));
        check(&DURATION, "'5m'", Some(Duration::from_secs(300)));
        check(&DURATION, "'1 h'", Some(Duration::from_secs(3600)));
        check(&DURATION, "'0s'", Some(Duration::ZERO));
        check(&LONG, "'0s'", None);
        check(&LONG, "'0.0000001ms'", None);
        check(&DURATION, "'1h30m'", None);
        check(&DURATION, "'1.2.3s'", None);
        check(&DURATION, "'.'", None);
        check(&DURATION, "'5S'", None);
        check(&DURATION, "5", None);
    }

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        check(&BYTES, "'64KiB'", Some(65_536));
        check(&BYTES, "'1.5 MiB'", Some(1_572_864));
        check(&BYTES, "'10MB'", Some(10_000_000));
        check(&BYTES, "'1kB'", Some(1000));
        check(&BYTES, "'7'", Some(7));
        check(&BYTES, "4096", Some(4096));
        check(&BYTES, "0x1000", Some(4096));
        check(&BYTES, "'10mb'", None);
        check(&BYTES, "'99999999GiB'", None);
        check(&BYTES, "-1", None);
        check(&SOME_BYTES, "0", None);
        check(&SOME_BYTES_PER_SECOND, "'4MiB'", Some(4_194_304.0));
    }

    #[test]
    fn shares_are_percentages_or_fractions() {
        check(&SHARE, "'10%'", Some(0.1));
        check(&SHARE, "'0.5 %'", Some(0.005));
        check(&SHARE, "0.25", Some(0.25));
        check(&SHARE, "1", Some(1.0));
        check(&SHARE, "'100.1%'", None);
        check(&SHARE, "2", None);
        check(&SHARE, "nan", None);
        check(&SHARE, "'0.5'", None);
    }

    #[test]
    fn cores_are_percentages_of_one_or_a_number() {
        check(&CORES, "'25%'", Some(0.25));
        check(&CORES, "'150%'", Some(1.5));
        check(&CORES, "2", Some(2.0));
        check(&CORES, "0", None);
        check(&CORES, "'0%'", None);
        check(&CORES, "5000", None);
        check(&CORES, "'2'", None);
    }

    #[test]
    fn levels_are_one_for_all_or_one_for_each_urgency() {
        use Level::{High, Low, Medium, Off};
        check(&LEVELS, "'low'", Some([Low; 8]));
        let all = "['high', 'high', 'high', 'medium', 'medium', 'low', 'low', 'off']";
        check(&LEVELS, all, Some([High, High, High, Medium, Medium, Low, Low, Off]));
        check(&LEVELS, "['high']", None);
        check(&LEVELS, "'most'", None);
        check(&LEVELS, "[1, 2, 3, 4, 5, 6, 7, 8]", None);
        check(&LEVELS, "3", None);
    }

    #[test]
    fn money_is_finite_and_not_negative() {
        check(&MONEY, "1", Some(1.0));
        check(&MONEY, "1e-3", Some(0.001));
        check(&MONEY, "-0.0", Some(0.0));
        check(&MONEY, "inf", None);
        check(&MONEY, "-inf", None);
        check(&MONEY, "-1e-9", None);
        check(&MONEY, "99999999999999999999999999999999999999999999", None);
        check(&TIME_VALUE, "2", Some([2.0; 8]));
        check(&TIME_VALUE, "[8, 7, 6, 5, 4, 3, 2, 1]", Some([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]));
        check(&TIME_VALUE, "[8, 7, 6, 5, 4, 3, 2, 'x']", None);
        check(&TIME_VALUE, "[]", None);
    }

    #[test]
    fn counts_are_whole() {
        check(&COUNT, "0", Some(0));
        check(&COUNT, "1_000", Some(1000));
        check(&COUNT, "1.0", None);
        check(&COUNT, "4294967296", None);
        check(&MORE, "0", None);
        check(&LEVEL, "7", Urgency::new(7));
        check(&LEVEL, "8", None);
        check(&LEVEL, "263", None);
    }
}
