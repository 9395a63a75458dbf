//! The values of a chart: their defaults and their schema, gathered while its templates are made.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// A value or a group of values, by name.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Group(BTreeMap<String, Part>),
    Leaf { value: Value, schema: Value },
}

/// All values of a chart.
#[derive(Debug, Default)]
pub(super) struct Values {
    parts: BTreeMap<String, Part>,
}

impl Values {
    /// Adds a value under a path of names and gives the expression that reads it; `None` when there is another one.
    pub(super) fn add(&mut self, path: &[&str], value: Value, schema: Value) -> Option<String> {
        let (last, groups) = path.split_last().unwrap_or((&"", &[]));
        let mut parts = &mut self.parts;
        for name in groups {
            let part = parts.entry((*name).to_owned()).or_insert_with(|| Part::Group(BTreeMap::new()));
            let Part::Group(inner) = part else { return None };
            parts = inner;
        }
        let leaf = Part::Leaf { value, schema };
        let there = parts.entry((*last).to_owned()).or_insert_with(|| leaf.clone());
        (*there == leaf).then(|| expression(path))
    }

    /// A value that was added.
    pub(super) fn get(&self, path: &[&str]) -> Option<&Value> {
        let (last, groups) = path.split_last()?;
        let mut parts = &self.parts;
        for name in groups {
            let Part::Group(inner) = parts.get(*name)? else { return None };
            parts = inner;
        }
        match parts.get(*last)? {
            Part::Leaf { value, .. } => Some(value),
            Part::Group(_) => None,
        }
    }

    /// The values as the export has them.
    pub(super) fn defaults(&self) -> Value {
        defaults(&self.parts)
    }

    /// The JSON Schema of the values.
    pub(super) fn schema(&self) -> Value {
        let mut schema = schema(&self.parts);
        schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        // A chart that has this one as a part hands its global values down.
        schema["properties"]["global"] = json!({ "type": "object" });
        schema
    }
}

fn defaults(parts: &BTreeMap<String, Part>) -> Value {
    let one = |(name, part): (&String, &Part)| {
        let value = match part {
            Part::Group(parts) => defaults(parts),
            Part::Leaf { value, .. } => value.clone(),
        };
        (name.clone(), value)
    };
    Value::Object(parts.iter().map(one).collect())
}

fn schema(parts: &BTreeMap<String, Part>) -> Value {
    let one = |(name, part): (&String, &Part)| {
        let schema = match part {
            Part::Group(parts) => schema(parts),
            Part::Leaf { schema, .. } => schema.clone(),
        };
        (name.clone(), schema)
    };
    let properties: Map<String, Value> = parts.iter().map(one).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

/// How a template reads the value at a path.
pub(super) fn expression(path: &[&str]) -> String {
    path.iter().fold("index .Values".to_owned(), |mut text, name| {
        // Names are of a cluster or of this program: no quotes, no backslashes.
        let _ = write!(text, " \"{name}\"");
        text
    })
}

/// The digest of values as Helm's `toJson | sha256sum` gives it.
pub(super) fn digest(values: &Value) -> String {
    let mut text = String::new();
    go_json(values, &mut text);
    Sha256::digest(text.as_bytes()).iter().fold(String::new(), |mut digits, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// JSON as Go writes it: keys sorted, and nothing that HTML could take for its own.
fn go_json(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                text.push(if index == 0 { '{' } else { ',' });
                go_json(&Value::String(key.clone()), text);
                text.push(':');
                go_json(value, text);
            }
            text.push_str(if fields.is_empty() { "{}" } else { "}" });
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                text.push(if index == 0 { '[' } else { ',' });
                go_json(item, text);
            }
            text.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        value => {
            for character in value.to_string().chars() {
                match character {
                    '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                        let _ = write!(text, "\\u{:04x}", u32::from(character));
                    }
                    character => text.push(character),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Values, go_json};

    #[test]
    fn json_is_written_as_go_does() {
        let mut text = String::new();
        go_json(&json!([{ "b": "a<b>&c\n", "a": 1 }, {}, []]), &mut text);
        assert_eq!(text, r#"[{"a":1,"b":"a\u003cb\u003e\u0026c\n"},{},[]]"#);
    }

    #[test]
    fn a_value_has_its_place_in_defaults_and_schema() {
        let mut values = Values::default();
        let expression = values.add(&["services", "web", "replicas"], json!(2), json!({ "type": "integer" }));
        assert_eq!(expression.as_deref(), Some(r#"index .Values "services" "web" "replicas""#));
        assert_eq!(values.add(&["services", "web", "replicas"], json!(3), json!({ "type": "integer" })), None);
        assert_eq!(values.defaults(), json!({ "services": { "web": { "replicas": 2 } } }));
        let schema = values.schema();
        assert_eq!(schema["properties"]["services"]["properties"]["web"]["properties"]["replicas"]["type"], "integer");
        assert_eq!(schema["properties"]["services"]["additionalProperties"], false);
    }
}
