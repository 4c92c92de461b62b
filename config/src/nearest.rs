//! What was probably meant by a name that is not known.

/// Nothing that is longer, in bytes, is a slip.
const LONGEST: usize = 64;

/// The one of `known` that a slip of the fingers turns into `given`, if any does.
pub(crate) fn nearest<S: AsRef<str>>(given: &str, known: impl IntoIterator<Item = S>) -> Option<S> {
    // A third of the letters may be wrong: `capcity`, `window-min`, `upstream`; more of them is another word.
    let most = (given.chars().count() / 3).max(1);
    if given.len() > LONGEST {
        return None;
    }
    let given = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&given, &name.as_ref().to_lowercase()), name))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &str, expected: Option<&str>) {
        assert_eq!(nearest(given, ["capacity", "upstreams", "window_min", "window_max", "ca"]), expected, "{given}");
    }

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        check("capcity", Some("capacity"));
        check("upstream", Some("upstreams"));
        check("window-min", Some("window_min"));
        check("Window_Max", Some("window_max"));
        check("windwo_max", Some("window_max"));
        check("threads", None);
        check("", None);
        check("é", None);
    }
}
