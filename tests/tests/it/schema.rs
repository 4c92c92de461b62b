//! The JSON schema that `adumbra check --schema` prints takes what the parser takes, and refuses what it can know to be wrong.

use serde_json::Value;
use tests::binary::{program, workspace};

fn schema() -> Value {
    let printed = std::process::Command::new(program()).args(["check", "--schema"]).output().expect("the binary runs");
    assert!(printed.status.success());
    serde_json::from_slice(&printed.stdout).expect("the schema is JSON")
}

/// The first thing in `value` that `schema` does not take, as far as this schema goes.
fn wrong(value: &Value, schema: &Value, at: &str) -> Option<String> {
    if let Some(choices) = schema["anyOf"].as_array() {
        return choices.iter().all(|choice| wrong(value, choice, at).is_some()).then(|| at.to_owned());
    }
    if let Some(words) = schema["enum"].as_array() {
        return (!words.contains(value)).then(|| at.to_owned());
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        other => panic!("{at} has no type: {other}"),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_number = kind == "integer" && kinds.contains(&"number");
    if !is_number && !kinds.contains(&kind) {
        return Some(format!("{at}: {kind}, not {kinds:?}"));
    }
    if let (Some(list), Some(least)) = (value.as_array(), schema["minItems"].as_u64())
        && (list.len() as u64) < least
    {
        return Some(format!("{at}: {} are fewer than {least}", list.len()));
    }
    let entry = |(place, value): (usize, &Value)| wrong(value, &schema["items"], &format!("{at}[{place}]"));
    let listed = value.as_array().and_then(|list| list.iter().enumerate().find_map(entry));
    let known = |(key, value): (&String, &Value)| {
        let at = format!("{at}.{key}");
        match (&schema["properties"][key], &schema["additionalProperties"]) {
            (Value::Null, Value::Bool(false)) => Some(at),
            (Value::Null, others) => wrong(value, others, &at),
            (schema, _) => wrong(value, schema, &at),
        }
    };
    let missing = |table: &serde_json::Map<String, Value>| {
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let missing = required.iter().filter_map(Value::as_str).find(|key| !table.contains_key(*key));
        missing.map(|key| format!("{at}.{key} is missing"))
    };
    let in_table = value.as_object().and_then(|table| missing(table).or_else(|| table.iter().find_map(known)));
    listed.or(in_table)
}

fn read(toml: &str) -> Value {
    serde_json::to_value(toml.parse::<toml::Table>().expect("it is TOML")).expect("it has no dates")
}

#[test]
fn every_configuration_that_comes_with_it_fits() {
    let schema = schema();
    let mut found = 0;
    let mut directories = vec![workspace().join("deploy")];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).expect("a file");
                assert_eq!(wrong(&read(&text), &schema, ""), None, "{}", path.display());
                found += 1;
            }
        }
    }
    assert!(found >= 4, "{found} files");
    assert_eq!(
        wrong(&read(&tests::Setup::two("http://a", "http://b").every("match.headers.x-a = 'b'").text()), &schema, ""),
        None
    );
}

#[test]
fn what_cannot_be_meant_does_not_fit() {
    let schema = schema();
    let smallest = "home = 'a'\nlisten.jobs = '127.0.0.1:1'\nnetworks.a.upstreams = ['http://h']\n";
    let check = |rest: &str, expected: &str| {
        let found = wrong(&read(&format!("{smallest}{rest}")), &schema, "").unwrap_or_default();
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{rest}: {found}");
    };
    check("", "");
    check("workres = 3", ".workres");
    check("workers = '3'", ".workers");
    check("drain = 3", ".drain");
    check("networks.a.capacty = 3", ".networks.a.capacty");
    check("networks.a.protocol = 'http3'", ".networks.a.protocol");
    check("networks.a.price.slot_second = 'dear'", ".networks.a.price.slot_second");
    check("[[routes]]\nshadow = 'on'", ".routes[0].name is missing");
    check("[[routes]]\nname = 'a'\nextract.x_a = 3", ".routes[0].extract.x_a");
    check("shadow.levels.by_urgency = 'high'\n", "");
    check("shadow.levels.by_urgency = ['high']\n", ".shadow.levels.by_urgency");
    check("shadow.levels.by_urgency = ['highest']\n", ".shadow.levels.by_urgency");
    check("data.origins = 'http://a'", ".data.origins");
}
