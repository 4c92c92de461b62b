//! `adumbra check --schema`: what a configuration can say, as a JSON schema, so that an editor completes keys, shows what they
//! mean and marks what is wrong while one writes.
//!
//! It is made of the rows of the reference, which are made by the readers themselves, so it cannot allow a key that there is
//! not. It is laxer than `adumbra check`: what goes together is not in it, nor what a text must look like.

use config::{Accepts, KeyRow, Presence};
use serde_json::{Map, Value, json};

/// The schema, as text.
pub(super) fn text() -> String {
    let mut root = table("");
    for row in config::keys() {
        let path = row.path();
        let mut node = &mut root;
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            let last = steps.peek().is_none();
            if last && row.presence == Presence::Required {
                require(node, step);
            }
            let about = if last && row.is_table() { row.about } else { "" };
            node = child(node, step, about);
        }
        if !row.is_table() {
            *node = leaf(row);
        }
    }
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), "http://json-schema.org/draft-07/schema#".into());
    schema.insert("title".to_owned(), "A configuration of adumbra".into());
    if let Value::Object(root) = root {
        schema.extend(root);
    }
    // Made of text, numbers and lists, there is nothing in it that could not be written.
    serde_json::to_string_pretty(&Value::Object(schema)).unwrap_or_default() + "\n"
}

fn table(about: &str) -> Value {
    let mut table = json!({ "type": "object", "properties": {}, "additionalProperties": false });
    if !about.is_empty() {
        table["description"] = about.into();
    }
    table
}

/// What stands at a step of a path: `NAME` is for every name, and `[]` says that there is a list.
fn child<'n>(node: &'n mut Value, step: &str, about: &str) -> &'n mut Value {
    let (slot, is_list) = match (step, step.strip_suffix("[]")) {
        ("NAME", _) => (&mut node["additionalProperties"], false),
        (_, Some(list)) => (&mut node["properties"][list], true),
        (key, None) => (&mut node["properties"][key], false),
    };
    if !slot.is_object() {
        *slot = if is_list { json!({ "type": "array", "items": table(about) }) } else { table(about) };
    }
    if is_list { &mut slot["items"] } else { slot }
}

fn require(node: &mut Value, key: &str) {
    match &mut node["required"] {
        Value::Array(required) => required.push(key.into()),
        none => *none = json!([key]),
    }
}

fn leaf(row: &KeyRow) -> Value {
    let mut leaf = values(&row.accepts);
    let unit = if row.unit.is_empty() { String::new() } else { format!(", in {}", row.unit) };
    leaf["description"] = format!("{} ({}{unit}) {}", row.about, row.takes, row.note).trim_end().into();
    if let Presence::Default(value) = row.presence
        && let Ok(value) = as_json(value)
    {
        leaf["default"] = value;
    }
    if let Ok(example) = as_json(&row.example) {
        leaf["examples"] = json!([example]);
    }
    leaf
}

fn values(accepts: &Accepts) -> Value {
    let Accepts { text, words, whole, number, flag, list, is_listed } = accepts;
    let entry = (!words.is_empty()).then(|| json!({ "enum": words }));
    let mut types = Vec::new();
    types.extend(text.then_some("string"));
    types.extend(match (whole, number) {
        (_, true) => Some("number"),
        (true, false) => Some("integer"),
        (false, false) => None,
    });
    types.extend(flag.then_some("boolean"));
    let one = entry.unwrap_or_else(|| match types[..] {
        [only] => json!({ "type": only }),
        _ => json!({ "type": types }),
    });
    match (list, is_listed) {
        (_, true) => json!({ "type": "array", "items": one }),
        (true, false) => {
            json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 8, "maxItems": 8 }] })
        }
        (false, false) => one,
    }
}

/// A simple value of TOML, which but for its quotes is one of JSON.
fn as_json(toml: &str) -> serde_json::Result<Value> {
    serde_json::from_str(&toml.replace('\'', "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Value {
        serde_json::from_str(&text()).expect("the schema is JSON")
    }

    #[test]
    fn every_key_has_values_that_it_takes() {
        for row in config::keys().iter().filter(|row| !row.is_table()) {
            let leaf = leaf(row);
            assert!(leaf["type"] != json!([]), "nothing fits {}: {leaf}", row.path());
            assert!(leaf["examples"].is_array(), "{}", row.path());
        }
    }

    #[test]
    fn it_says_what_the_readers_take() {
        let schema = schema();
        let at = |path: &str| schema.pointer(path).unwrap_or_else(|| panic!("{path}"));
        assert_eq!(at("/required"), &json!(["home"]));
        assert_eq!(at("/additionalProperties"), false);
        let network = "/properties/networks/additionalProperties/properties";
        assert_eq!(at(&format!("{network}/protocol/enum")), &json!(["auto", "http1", "http2"]));
        assert_eq!(at(&format!("{network}/capacity/type")), "integer");
        assert_eq!(at(&format!("{network}/price/properties/slot_second/type")), "number");
        assert_eq!(at(&format!("{network}/upstreams/items/type")), "string");
        assert_eq!(at(&format!("{network}/shadows/properties/share/type")), &json!(["string", "number"]));
        let route = "/properties/routes/items";
        assert_eq!(at(&format!("{route}/required")), &json!(["name"]));
        assert_eq!(at(&format!("{route}/properties/shadow/enum")), &json!(["off", "observe", "on"]));
        assert_eq!(at(&format!("{route}/properties/match/properties/headers/additionalProperties/type")), "string");
        assert_eq!(at("/properties/drain/default"), "30s");
        assert_eq!(at("/properties/drain/type"), "string");
        assert_eq!(at("/properties/shadow/properties/enabled/type"), "boolean");
        let level = at("/properties/shadow/properties/levels/properties/by_urgency/anyOf/1/items/enum");
        assert_eq!(level, &json!(["off", "low", "medium", "high"]));
    }
}
