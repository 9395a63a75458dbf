//! Problems of a manifest for programs: as JSON, and as SARIF 2.1.0, which code hosts and editors read.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::lint::page::{self, PAGES};
use crate::manifest::problem::{Place, Problem, Sources};

/// Every problem as an object, in the order given.
#[must_use]
pub fn json(problems: &[&Problem], sources: &Sources) -> Value {
    let one = |problem: &&Problem| {
        let related = problem.related.iter().map(|related| {
            let mut object = place(related.place, sources);
            object.insert("message".into(), related.label.as_str().into());
            Value::Object(object)
        });
        let mut object = Map::new();
        object.insert("code".into(), problem.code.into());
        object.insert("severity".into(), severity(problem).into());
        object.insert("message".into(), problem.message.as_str().into());
        object.insert("path".into(), problem.path.as_deref().into());
        object.extend(problem.place.map(|at| place(at, sources)).unwrap_or_default());
        object.insert("label".into(), problem.label.as_deref().into());
        object.insert("related".into(), related.collect());
        object.insert("notes".into(), problem.notes.clone().into());
        object.insert("hint".into(), problem.hint.as_deref().into());
        object.retain(|_, value| !(value.is_null() || value.as_array().is_some_and(Vec::is_empty)));
        Value::Object(object)
    };
    problems.iter().map(one).collect()
}

fn severity(problem: &Problem) -> &'static str {
    if problem.is_error() { "error" } else { "warning" }
}

/// A place as a file with the lines and columns of its two ends, counted from 1.
fn place(place: Place, sources: &Sources) -> Map<String, Value> {
    let mut object = Map::new();
    let Some(source) = sources.get(place.file) else { return object };
    object.insert("file".into(), source.shown.as_str().into());
    let end = Place { start: place.end, ..place };
    for (line, column, position) in [
        ("line", "column", sources.position(place)),
        ("end_line", "end_column", sources.position(end).or_else(|| sources.position(place))),
    ] {
        if let Some(position) = position {
            object.insert(line.into(), position.line.into());
            object.insert(column.into(), position.column.into());
        }
    }
    object
}

/// A run of the linter as SARIF.
#[must_use]
pub fn sarif(problems: &[&Problem], sources: &Sources) -> Value {
    let rules = PAGES.iter().map(|page| {
        let text = page.whole();
        json!({
            "id": page.code,
            "shortDescription": { "text": page.title() },
            "help": { "text": super::page::render(&text, false), "markdown": text },
            "defaultConfiguration": { "level": "warning" }
        })
    });
    let results = problems.iter().map(|problem| result(problem, sources));
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "hoist",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>()
            } },
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>()
        }]
    })
}

fn result(problem: &Problem, sources: &Sources) -> Value {
    let mut text = problem.message.clone();
    for more in problem.notes.iter().chain(&problem.hint) {
        text.push('\n');
        text.push_str(more);
    }
    let mut object = Map::new();
    if let Some(index) = problem.code.and_then(|code| PAGES.iter().position(|page: &page::Page| page.code == code)) {
        object.insert("ruleId".into(), problem.code.into());
        object.insert("ruleIndex".into(), index.into());
    }
    object.insert("level".into(), severity(problem).into());
    object.insert("message".into(), json!({ "text": text }));
    let locations: Vec<Value> =
        problem.place.and_then(|place| location(place, sources, problem.path.as_deref(), None)).into_iter().collect();
    object.insert("locations".into(), locations.into());
    let related: Vec<Value> =
        problem.related.iter().filter_map(|other| location(other.place, sources, None, Some(&other.label))).collect();
    if !related.is_empty() {
        object.insert("relatedLocations".into(), related.into());
    }
    Value::Object(object)
}

fn location(at: Place, sources: &Sources, path: Option<&str>, message: Option<&str>) -> Option<Value> {
    let found = place(at, sources);
    let file = found.get("file")?.as_str()?;
    let mut location = Map::new();
    location.insert(
        "physicalLocation".into(),
        json!({
            "artifactLocation": { "uri": uri(file) },
            "region": {
                "startLine": found.get("line")?,
                "startColumn": found.get("column")?,
                "endLine": found.get("end_line")?,
                "endColumn": found.get("end_column")?
            }
        }),
    );
    if let Some(path) = path {
        location.insert("logicalLocations".into(), json!([{ "fullyQualifiedName": path }]));
    }
    if let Some(message) = message {
        location.insert("message".into(), json!({ "text": message }));
    }
    Some(Value::Object(location))
}

/// A path as a URI: relative when the path is, `file://` when it is absolute.
fn uri(path: &str) -> String {
    let mut text = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_becomes_a_uri() {
        assert_eq!(uri("my app/compose.yaml"), "my%20app/compose.yaml");
        assert_eq!(uri("/srv/é.yaml"), "file:///srv/%C3%A9.yaml");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
    }
}
