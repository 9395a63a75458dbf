//! The table of what becomes of every attribute: that the page made from it is current, that it leaves none out, and that
//! it tells the truth.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use hoist::cli::export::print_reference;
use hoist::export::reference::{Row, find, is_row, rows};
use hoist::export::{Export, Fate, SecretValues};
use serde_json::Value;

use crate::support::{exported, loaded};

#[test]
fn the_checked_in_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/kubernetes.md");
    if std::env::var_os("HOIST_RENEW").is_some() {
        fs::write(&path, print_reference()).expect("a writable page");
    }
    let checked_in = fs::read_to_string(&path).unwrap_or_default();
    assert!(checked_in == print_reference(), "HOIST_RENEW=1 writes {} anew", path.display());
}

/// The attributes of a type of the schema.
fn attributes(schema: &Value, definition: &str) -> Vec<String> {
    let properties = if definition.is_empty() {
        schema.pointer("/properties")
    } else {
        schema.pointer(&format!("/definitions/{definition}/properties"))
    };
    properties.and_then(Value::as_object).map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn every_attribute_of_a_manifest_has_a_row_and_every_row_an_attribute() {
    let schema = hoist::manifest::schema::schema();
    let mut missing = Vec::new();
    for (definition, prefix) in [
        ("", ""),
        ("Service", "services.*."),
        ("Volume", "volumes.*."),
        ("ServiceKubernetes", "services.*.x-hoist.kubernetes."),
        ("ProjectKubernetes", "x-hoist.kubernetes."),
    ] {
        let sections = ["services", "networks", "volumes", "secrets", "configs", "x-hoist"];
        for attribute in attributes(&schema, definition) {
            let key = format!("{prefix}{attribute}");
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            let is_section = prefix.is_empty() && sections.contains(&attribute.as_str());
            if !is_section && attribute != "x-hoist" && find(&path).is_none() {
                missing.push(key);
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    let page = print_reference();
    let lines = page.lines().filter(|line| line.starts_with("| `")).count();
    assert_eq!(lines, rows().len(), "a row is about nothing that a manifest has");
    assert!(is_row(&["services".to_owned(), "web".to_owned(), "image".to_owned()]));
}

/// The export of a project with one service, which has this beside its image.
fn with(attribute: &str) -> Export {
    let volumes = if attribute.contains("data:") { "volumes: { data: {} }\n" } else { "" };
    let image = if attribute.contains("image:") && !attribute.contains("wait_image") { "" } else { "    image: a:1\n" };
    let manifest = format!("name: shop\nservices:\n  web:\n{image}{attribute}\n{volumes}");
    exported(&loaded(&manifest), SecretValues::Values)
}

fn as_values(export: &Export) -> BTreeSet<String> {
    export.objects.iter().map(|object| serde_json::to_string(object).expect("an object is JSON")).collect()
}

/// An attribute of a service as lines of a manifest: `deploy.mode: global`, indented.
fn lines(row: &Row) -> String {
    let way: Vec<&str> = row.key.split('.').skip(2).collect();
    let mut text = String::new();
    for (depth, part) in way.iter().enumerate() {
        let indent = " ".repeat(4 + 2 * depth);
        let value = if depth + 1 == way.len() { format!(" {}", row.example) } else { String::new() };
        text.push_str(&format!("{indent}{part}:{value}\n"));
    }
    text
}

#[test]
fn what_the_table_says_of_an_attribute_is_what_an_export_does() {
    let plain = as_values(&with(""));
    let mut wrong = Vec::new();
    let mut tried = 0;
    for row in rows().iter().filter(|row| !row.example.is_empty()) {
        let export = with(&lines(row));
        let changes = as_values(&export) != plain;
        let key = row.key.replacen('*', "web", 1);
        let is_dropped = export.losses.iter().any(|loss| loss.fate == Fate::Dropped && loss.key.starts_with(&key));
        let holds = match row.fate {
            Fate::Carried => changes && !is_dropped,
            Fate::Approximated => changes,
            Fate::Dropped => !changes && is_dropped,
            Fate::Local => !changes && !is_dropped,
        };
        if !holds {
            wrong.push(format!("{}: {:?}, changes objects: {changes}, told: {:?}", row.key, row.fate, export.losses));
        }
        tried += 1;
    }
    assert!(wrong.is_empty() && tried > 70, "{tried} tried\n{}", wrong.join("\n"));
}
