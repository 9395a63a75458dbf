//! The manifest's JSON Schema, made from the types that read it, so that an editor knows what the loader knows.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::keys;
use super::raw::manifest::Manifest;

/// The schema, of draft 7, which editors' YAML plug-ins understand best.
#[must_use]
pub fn schema() -> Value {
    let generator = SchemaSettings::draft07().into_generator();
    let mut schema = Value::from(generator.into_root_schema_for::<Manifest>());
    finish(&mut schema, "Manifest");
    if let Some(definitions) = schema.get_mut("definitions").and_then(Value::as_object_mut) {
        for (name, definition) in definitions {
            finish(definition, name);
        }
    }
    if let Some(map) = schema.as_object_mut() {
        map.insert("title".to_owned(), "Compose file, as hoist reads it".into());
    }
    schema
}

/// Adds to a type's schema what its fields do not say: which keys must be there, and that `x-…` is free.
fn finish(schema: &mut Value, name: &str) {
    if let Some(map) = schema.as_object_mut()
        && map.contains_key("properties")
    {
        map.insert("additionalProperties".to_owned(), false.into());
        map.insert("patternProperties".to_owned(), json!({ "^x-": {} }));
        if !keys::required(name).is_empty() {
            map.insert("required".to_owned(), json!(keys::required(name)));
        }
    }
    without_defaults(schema);
}

/// What is meant when a key is missing is said in words; a value of `null` or `""` would only mislead.
fn without_defaults(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("default");
            map.values_mut().for_each(without_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(without_defaults),
        _ => {}
    }
}
