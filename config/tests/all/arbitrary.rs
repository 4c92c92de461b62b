//! Whatever the text is, the answer is a configuration or at least one error that can be shown.

use config::{MAX_TEXT, keys, parse};
use proptest::prelude::*;
use proptest::sample::select;

use crate::EXAMPLE;

/// Parses, shows what is wrong, and checks that every place is one of the text.
fn check(text: &str) -> Result<(), TestCaseError> {
    let Err(errors) = parse(text, "any\u{1b}name") else { return Ok(()) };
    prop_assert!(errors.count() > 0 && errors.iter().len() > 0);
    for error in &errors {
        let line = text.split('\n').nth(error.line - 1);
        let width = line.map(|line| line.chars().count());
        prop_assert!(width.is_some_and(|width| error.column <= width + 1), "{error} in {text:?}");
        prop_assert!(!error.help().is_empty());
    }
    let (plain, coloured) = (errors.render(false), errors.render(true));
    prop_assert!(!plain.contains('\u{1b}'), "{plain:?}");
    prop_assert!(coloured.contains('\u{1b}'), "no colour");
    Ok(())
}

fn value() -> impl Strategy<Value = String> {
    let values: &'static [&'static str] = &[
        "1",
        "-1",
        "nan",
        "inf",
        "1e400",
        "-0.0",
        "0x7fffffffffffffffffff",
        "true",
        "[]",
        "[[]]",
        "{}",
        "'10%'",
        "'101%'",
        "'5m'",
        "'9e9h'",
        "'1.1.1ms'",
        "'http://[::1]:1/'",
        "'http://é'",
        "'1970'",
        "1979-05-27",
        "'x:y'",
        "'segment:1'",
        "'/a*'",
        "''",
        "'\u{7f}'",
        "\"\\u0000\"",
        "['a', 'a']",
        "[{}, {}]",
        "[1, 'a', 2.0]",
        "{ a = { b = 1 } }",
        "99999999999999999999999999",
    ];
    select(values).prop_map(str::to_owned)
}

/// A key that there is, with names filled in.
fn key() -> impl Strategy<Value = String> {
    select(keys()).prop_map(|row| row.path().replace("NAME", "private").replace("[]", ""))
}

proptest! {
    #[test]
    fn any_text_is_answered(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn any_toml_like_text_is_answered(text in "([a-z\\[\\]{}=.,'\"# \n\r\t0-9é-]|networks|listen|routes|home|match){0,80}") {
        check(&text)?;
    }

    #[test]
    fn the_example_with_another_piece_in_it_is_answered(at in 0..EXAMPLE.len(), cut in 0..40_usize, piece in ".{0,8}") {
        let start = EXAMPLE.floor_char_boundary(at);
        let end = EXAMPLE.ceil_char_boundary((at + cut).min(EXAMPLE.len()));
        check(&format!("{}{piece}{}", &EXAMPLE[..start], &EXAMPLE[end.max(start)..]))?;
    }

    #[test]
    fn any_keys_with_any_values_are_answered(lines in prop::collection::vec((key(), value()), 0..12)) {
        let text: Vec<_> = lines.into_iter().map(|(key, value)| format!("{key} = {value}")).collect();
        check(&text.join("\n"))?;
    }

    #[test]
    fn any_value_in_the_example_is_answered(line in 0..EXAMPLE.lines().count(), value in value()) {
        let mut lines: Vec<String> = EXAMPLE.lines().map(str::to_owned).collect();
        if let Some((key, _)) = lines[line].split_once(" = ") {
            lines[line] = format!("{key} = {value}");
        }
        check(&lines.join("\n"))?;
    }
}

#[test]
fn a_file_that_is_too_long_is_refused_unread() {
    let errors = parse(&"#".repeat(MAX_TEXT + 1), "long").expect_err("it is too long");
    assert_eq!(errors.to_string().lines().next(), Some("error: the file has more than 1048576 bytes"));
    parse(&format!("{EXAMPLE}{}", "#".repeat(MAX_TEXT - EXAMPLE.len())), "long")
        .unwrap_or_else(|errors| panic!("{errors}"));
}

#[test]
fn ten_thousand_mistakes_are_counted_and_a_hundred_shown() {
    let text: String = (0..10_000).map(|number| format!("key{number} = 1\n")).collect();
    let errors = parse(&text, "many").expect_err("no key is known");
    assert_eq!((errors.count(), errors.iter().len()), (10_003, 100));
    assert!(errors.to_string().ends_with("many: 10003 errors, of which 9903 are not shown"));
}
