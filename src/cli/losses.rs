//! What became of the manifest in an export: in words for people, as JSON for programs, every key with its place.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::export::reference::{self, Entry};
use crate::export::{Export, Fate, Kind, Supply};
use crate::manifest::Loaded;

/// A key, what became of it, and where it is written.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Line {
    /// The key, as it stands in the manifest.
    key: String,
    /// What became of it.
    fate: Fate,
    /// The fields that it became.
    #[serde(skip_serializing_if = "str::is_empty")]
    becomes: &'static str,
    /// What is lost, and why.
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    /// `compose.yaml:3:5`; nothing for what is not written anywhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<String>,
}

/// All of an export.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Report<'e> {
    keys: Vec<Line>,
    /// What must be supplied before the objects are applied.
    supplies: &'e [Supply],
    /// Why services are not held to the restricted Pod Security Standard.
    unrestricted: &'e BTreeMap<String, String>,
}

impl<'e> Report<'e> {
    /// Of an export of a manifest.
    pub(super) fn new(export: &'e Export, loaded: &Loaded) -> Self {
        let written: Vec<Vec<String>> =
            loaded.written.keys().into_iter().map(|(path, _)| path).filter(|path| reference::is_row(path)).collect();
        let entries = reference::report(export, written.iter().map(Vec::as_slice));
        let mut places = Places { loaded, lines: BTreeMap::new() };
        let line = |Entry { key, fate, becomes, reason }| {
            let place = places.of(&key);
            Line { key, fate, becomes, reason, place }
        };
        Self {
            keys: entries.into_iter().map(line).collect(),
            supplies: &export.supplies,
            unrestricted: &export.unrestricted,
        }
    }

    /// Whether something of the manifest is not in the objects as it was said.
    pub(super) fn has_loss(&self) -> bool {
        self.keys.iter().any(|line| line.fate.is_loss())
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        // Nothing in it can fail to be JSON.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// For people: what is lost, by its reason, and what is to be done.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for fate in [Fate::Dropped, Fate::Approximated] {
            self.write_fate(&mut text, fate);
        }
        self.write_unrestricted(&mut text);
        self.write_supplies(&mut text);
        let count = |fate| self.keys.iter().filter(|line| line.fate == fate).count();
        let counts = [Fate::Carried, Fate::Approximated, Fate::Dropped, Fate::Local];
        let counts: Vec<String> = counts.into_iter().map(|fate| format!("{} {}", count(fate), fate.as_str())).collect();
        let _ = writeln!(text, "keys of the manifest: {}", counts.join(", "));
        text
    }

    /// Keys with the same reason stand together, each with its place.
    fn write_fate(&self, text: &mut String, fate: Fate) {
        let mut reasons: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
        for line in self.keys.iter().filter(|line| line.fate == fate) {
            reasons.entry(&line.reason).or_default().push(line);
        }
        if !reasons.is_empty() {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{}:", fate.as_str());
        }
        let mut reasons: Vec<_> = reasons.into_iter().collect();
        reasons.sort_by(|a, b| a.1[0].key.cmp(&b.1[0].key));
        for (reason, lines) in reasons {
            let _ = writeln!(text, "  {reason}");
            for line in lines {
                let place = line.place.as_ref().map(|place| format!("  {place}")).unwrap_or_default();
                let _ = writeln!(text, "    {}{place}", line.key);
            }
        }
    }

    fn write_unrestricted(&self, text: &mut String) {
        let mut reasons: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (service, reason) in self.unrestricted {
            reasons.entry(reason).or_default().push(service);
        }
        if !reasons.is_empty() {
            text.push_str("not held to the restricted Pod Security Standard:\n");
        }
        for (reason, services) in reasons {
            let _ = writeln!(text, "  {}: {reason}", services.join(", "));
        }
    }

    fn write_supplies(&self, text: &mut String) {
        let mut objects: BTreeMap<(Kind, &str), Vec<&str>> = BTreeMap::new();
        for supply in self.supplies {
            objects.entry((supply.kind, &supply.object)).or_default().extend(supply.key.as_deref());
        }
        if !objects.is_empty() {
            text.push_str("to be supplied before the objects are applied:\n");
        }
        for ((kind, name), keys) in objects {
            let keys = if keys.is_empty() { String::new() } else { format!(": {}", keys.join(", ")) };
            let _ = writeln!(text, "  {} `{name}`{keys}", kind.as_str());
        }
    }
}

/// Where keys are written. A manifest has thousands, so each file is divided into lines once.
struct Places<'l> {
    loaded: &'l Loaded,
    /// Where the lines of each file begin.
    lines: BTreeMap<u32, Vec<usize>>,
}

impl Places<'_> {
    fn of(&mut self, key: &str) -> Option<String> {
        let place = self.loaded.written.find(key)?;
        let source = self.loaded.sources.get(place.file)?;
        let begins = || {
            let ends = source.text.match_indices('\n').map(|(at, _)| at + 1);
            std::iter::once(0).chain(ends).collect::<Vec<usize>>()
        };
        let lines = self.lines.entry(place.file).or_insert_with(begins);
        let start = place.start as usize;
        let line = lines.partition_point(|begin| *begin <= start);
        let before = source.text.get(*lines.get(line.checked_sub(1)?)?..start)?;
        Some(format!("{}:{line}:{}", source.shown, before.chars().count() + 1))
    }
}

/// The page of what every attribute becomes, from the manifest's schema and the export's table.
pub(super) fn reference_page() -> String {
    let schema = crate::manifest::schema::schema();
    let mut attributes = Vec::new();
    collect(&schema, &schema, "", &mut attributes, 0);
    reference::page(&attributes)
}

/// The attributes of a schema and of what stands below them, by their way: `services.*.image`.
fn collect(
    root: &serde_json::Value,
    schema: &serde_json::Value,
    way: &str,
    found: &mut Vec<(String, String)>,
    depth: usize,
) {
    use serde_json::Value;
    // A manifest is not deeper than that; a type may hold itself.
    if depth > 12 {
        return;
    }
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let definition = root.pointer(name.trim_start_matches('#'));
        return definition.into_iter().for_each(|definition| collect(root, definition, way, found, depth + 1));
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        for schema in schema.get(choice).and_then(Value::as_array).into_iter().flatten() {
            collect(root, schema, way, found, depth + 1);
        }
    }
    let below = |key: &str| if way.is_empty() { key.to_owned() } else { format!("{way}.{key}") };
    for (key, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let way = below(key);
        if found.iter().all(|(known, _)| *known != way) {
            let meaning = property.get("description").and_then(Value::as_str).unwrap_or_default();
            found.push((way.clone(), meaning.to_owned()));
        }
        collect(root, property, &way, found, depth + 1);
    }
    if let Some(inner) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
        let way = below("*");
        if found.iter().all(|(known, _)| *known != way) {
            found.push((way.clone(), String::new()));
        }
        collect(root, inner, &way, found, depth + 1);
    }
}
