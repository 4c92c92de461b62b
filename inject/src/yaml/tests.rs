//! Texts and what they say, where they are cut, and that what is written is read as the same.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn value(text: &str) -> Value {
    load(text).expect("YAML").map_or(Value::Null, |loaded| loaded.root.value())
}

#[test]
fn words_mean_what_kubectl_takes_them_for() {
    let check = |text: &str, expected: Value| assert_eq!(value(text), expected, "{text}");
    check("yes", json!(true));
    check("\"yes\"", json!("yes"));
    check("!!str yes", json!("yes"));
    check("off", json!(false));
    check("~", json!(null));
    check("0644", json!(420));
    check("0o644", json!(420));
    check("0x1F", json!(31));
    check("1_000", json!(1000));
    check("-5", json!(-5));
    check("1.50", json!(1.5));
    check("1e3", json!(1000.0));
    check("1.2.3", json!("1.2.3"));
    check("100m", json!("100m"));
    check("2024-01-02", json!("2024-01-02"));
    check("0_", json!(0));
    check("+", json!("+"));
    check(".", json!("."));
    check("nan", json!("nan"));
}

#[test]
fn aliases_and_merges_are_written_out() {
    let text = "a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\nc: *x\n";
    assert_eq!(value(text), json!({"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 3}, "c": {"p": 1, "q": 2}}));
}

#[test]
fn a_billion_laughs_are_an_error() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = level - 1;
        text += &format!(
            "a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}, *a{before}]\n"
        );
    }
    assert!(matches!(load(&text), Err(YamlError::Long { .. })));
}

#[test]
fn what_is_nested_ten_thousand_deep_is_an_error() {
    let flow = "[".repeat(10_000) + &"]".repeat(10_000);
    assert!(matches!(load(&flow), Err(YamlError::Deep { .. } | YamlError::Syntax { .. })));
    let mapping = "{a: ".repeat(10_000) + "1" + &"}".repeat(10_000);
    assert!(load(&mapping).is_err());
    let block: String = (0..10_000).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(matches!(load(&block), Err(YamlError::Deep { .. })));
    let dashes = "- ".repeat(10_000);
    assert!(matches!(load(&dashes), Err(YamlError::Deep { .. })));
}

#[test]
fn errors_have_lines() {
    assert_eq!(load("a: 1\nb: [\n").map(|_| ()).map_err(|error| error.line() >= 2), Err(true));
    assert_eq!(load("a: 1\n[x]: 2\n").map(|_| ()).map_err(|error| error.line()), Err(2));
    assert_eq!(load("a: 1\n...\nb: 2\n").map(|_| ()), Err(YamlError::Several { line: 3 }));
}

#[test]
fn documents_are_cut_at_their_separators_and_nowhere_else() {
    let text = "# first\na: 1\n---\nb: |\n  ---\n  text\n--- # third\nc: 1\n---x: 1\n";
    let pieces: Vec<_> = split(text).into_iter().map(|piece| (piece.text, piece.lines_before)).collect();
    let third = "--- # third\nc: 1\n---x: 1\n";
    assert_eq!(pieces, [("# first\na: 1\n", 0), ("---\nb: |\n  ---\n  text\n", 2), (third, 6)]);
    assert!(split("---\n# nothing\n\n")[0].is_empty());
    assert_eq!(split("%YAML 1.2\n---\na: 1\n").len(), 1);
    assert!(split("").is_empty());
}

#[test]
fn what_is_written_looks_like_what_people_write() {
    let value = json!({"image": "r.example/a:1", "name": "x", "args": ["no", "10", "a b"], "empty": {}, "list": [{"b": 1, "name": "m"}, [1]]});
    let text = "name: x\nargs:\n- \"no\"\n- \"10\"\n- \"a b\"\nempty: {}\nimage: r.example/a:1\nlist:\n- name: m\n  b: 1\n- - 1\n";
    assert_eq!(write(&value, 0), text);
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~äλ\n\t:#'\"\\\\-]{0,8}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop_oneof![
            Just("yes"),
            Just("0644"),
            Just("~"),
            Just("1e3"),
            Just("---"),
            Just("a: b"),
            Just("x #y"),
            Just("null")
        ]
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[a-z./ :#]{0,6}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(value in anything(), indent in 0_usize..5) {
        let text = write(&value, indent);
        let read = load(&text).map(|loaded| loaded.map(|loaded| loaded.root.value()));
        prop_assert_eq!(read, Ok(Some(value)), "{}", text);
    }

    #[test]
    fn pieces_together_are_the_text(text in "(---|\\.\\.\\.|%Y|a: 1|  - b|# c|\r|\n|\n|\n| ){0,30}") {
        let pieces: String = split(&text).iter().map(|piece| piece.text).collect();
        prop_assert_eq!(pieces, text);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "[ \n:\\-\\[\\]{}&*!|>'\"#%a,?~<]{0,60}") {
        let _loaded = load(&text).is_ok();
    }
}
