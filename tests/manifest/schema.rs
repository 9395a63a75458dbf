//! The checked-in schema is the one that the types give, and it is a schema.

use std::fs;
use std::path::Path;

use hoist::cli::schema::print_schema;

#[test]
fn the_checked_in_schema_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/hoist.schema.json");
    if std::env::var_os("HOIST_RENEW").is_some() {
        fs::write(&path, print_schema()).expect("a writable schema");
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == print_schema(), "HOIST_RENEW=1 writes {} anew", path.display());
}

#[test]
fn every_property_says_what_it_is_for() {
    fn look(path: &str, schema: &serde_json::Value, silent: &mut Vec<String>) {
        if let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) {
            let without = properties.iter().filter(|(_, property)| property.get("description").is_none());
            silent.extend(without.map(|(name, _)| format!("{path}/{name}")));
        }
        if let Some(map) = schema.as_object() {
            for (key, value) in map {
                look(&format!("{path}/{key}"), value, silent);
            }
        }
        if let Some(items) = schema.as_array() {
            for item in items {
                look(path, item, silent);
            }
        }
    }
    let mut silent = Vec::new();
    look("", &hoist::manifest::schema::schema(), &mut silent);
    assert!(silent.is_empty(), "{silent:?}");
}

#[test]
fn a_typical_manifest_is_valid_and_a_typing_mistake_is_not() {
    let schema = hoist::manifest::schema::schema();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let read = |text: &str| -> serde_json::Value { serde_yaml::from_str(text).expect("YAML") };
    let right =
        "services: {web: {build: ., ports: ['80:80', {target: 90}], depends_on: [db], x-own: 1}, db: {image: x}}";
    assert!(validator.is_valid(&read(right)));
    assert!(!validator.is_valid(&read("services: {web: {imagee: x}}")));
    assert!(!validator.is_valid(&read("services: {web: {image: x, depends_on: {db: {condition: service_ready}}}}")));
}
