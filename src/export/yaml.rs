//! Objects as YAML that every reader takes for the same: byte for byte the same for the same objects, and with each
//! string quoted that YAML 1.1, which Kubernetes reads, would take for something else (`yes`, `on`, `1:30`).

use serde_json::{Map, Value};
use serde_saphyr::SerializerOptions;
use thiserror::Error;

use super::Object;

/// An object that could not be written.
#[derive(Debug, Error)]
#[error("cannot write {kind} `{name}` as YAML: {source}")]
pub struct WriteError {
    kind: &'static str,
    name: String,
    source: Cause,
}

#[derive(Debug, Error)]
enum Cause {
    #[error(transparent)]
    Fields(#[from] serde_json::Error),
    #[error(transparent)]
    Text(#[from] serde_saphyr::SerializeError),
}

/// One object as a YAML document that ends with a line end, without a document marker.
pub fn document(object: &Object) -> Result<String, WriteError> {
    metadata_first(object)
        .map_err(Cause::from)
        .and_then(|fields| Ok(serde_saphyr::to_string_with_options(&fields, options())?))
        .map_err(|source| WriteError { kind: object.kind().as_str(), name: object.name().to_owned(), source })
}

/// The fields as people expect them: what it is and what it is called, then what it says.
fn metadata_first(object: &Object) -> Result<Map<String, Value>, serde_json::Error> {
    let Value::Object(mut fields) = serde_json::to_value(object)? else { return Ok(Map::new()) };
    fields.values_mut().for_each(name_first);
    Ok(first(&["apiVersion", "kind", "metadata"], fields))
}

fn name_first(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(name_first);
            *fields = first(&["name"], std::mem::take(fields));
        }
        Value::Array(items) => items.iter_mut().for_each(name_first),
        _ => {}
    }
}

fn first(keys: &[&str], mut fields: Map<String, Value>) -> Map<String, Value> {
    let mut ordered = Map::with_capacity(fields.len());
    for key in keys {
        ordered.extend(fields.shift_remove_entry(*key));
    }
    ordered.extend(fields);
    ordered
}

/// All objects as one stream of documents, divided by `---`.
pub fn stream(objects: &[Object]) -> Result<String, WriteError> {
    let mut text = String::new();
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            text.push_str("---\n");
        }
        text.push_str(&document(object)?);
    }
    Ok(text)
}

/// Long lines stay whole, so that a changed word is a changed line.
fn options() -> SerializerOptions {
    let mut options = SerializerOptions::default();
    options.compact_list_indent = true;
    options.folded_wrap_chars = usize::MAX;
    options.min_fold_chars = usize::MAX;
    options
}
