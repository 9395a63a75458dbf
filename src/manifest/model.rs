//! The canonical model: completed sections as JSON, as `config --format json` has always printed it.

use serde::Serialize;
use serde_json::{Map, Value};

use super::raw::Blank;
use super::sections::Sections;

/// The model of a project, sections that are empty left out.
pub(super) fn model(name: &str, sections: &Sections) -> Value {
    let mut model = Map::new();
    model.insert("name".to_owned(), name.into());
    model.insert("services".to_owned(), json(&sections.services));
    insert(&mut model, "models", &sections.models);
    insert(&mut model, "networks", &sections.networks);
    insert(&mut model, "volumes", &sections.volumes);
    insert(&mut model, "secrets", &sections.secrets);
    insert(&mut model, "configs", &sections.configs);
    model.extend(sections.extensions.iter().map(|(key, value)| (key.clone(), value.clone())));
    Value::Object(model)
}

fn insert<T: Serialize + Blank>(model: &mut Map<String, Value>, key: &str, section: &T) {
    if !section.is_blank() {
        model.insert(key.to_owned(), json(section));
    }
}

fn json<T: Serialize>(value: &T) -> Value {
    // Only keys that are no text could fail, and there are none.
    serde_json::to_value(value).unwrap_or_default()
}
