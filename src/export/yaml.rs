//! Objects as YAML that every reader takes for the same, byte for byte the same for the same objects.
//!
//! Readers differ most in what they take an unquoted word for: to YAML 1.1, which Kubernetes reads, `yes` is a boolean
//! and `1:30` a number. So only text that no reader can mistake stands bare; lines stand in a literal block when that
//! needs no indentation indicator, which not all readers agree upon; everything else stands in quotes.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use thiserror::Error;

use super::Object;

/// An object that could not be written.
#[derive(Debug, Error)]
#[error("cannot write {kind} `{name}`: {source}")]
pub struct WriteError {
    kind: &'static str,
    name: String,
    source: serde_json::Error,
}

/// One object as a YAML document that ends with a line end, without a document marker.
pub fn document(object: &Object) -> Result<String, WriteError> {
    let mut text = Text::plain();
    text.write(&node(object)?);
    Ok(text.0)
}

/// One object, its fields in the order in which they are written.
pub(super) fn node(object: &Object) -> Result<Node, WriteError> {
    let fields = metadata_first(object).map_err(|source| WriteError {
        kind: object.kind().as_str(),
        name: object.name().to_owned(),
        source,
    })?;
    Ok(Value::Object(fields).into())
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

/// A value as YAML that ends with a line end.
pub(super) fn value(value: Value) -> String {
    let mut text = Text::plain();
    text.write(&value.into());
    text.0
}

/// What is written: a value, with places in it that somebody else fills in.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// What is no list and no map, or an empty one.
    Scalar(Value),
    /// A list that is not empty.
    List(Vec<Node>),
    /// A map that is not empty.
    Map(Vec<Entry>),
    /// What a template puts there.
    Hole(Hole),
}

/// An entry of a map.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// Its key.
    pub(super) key: String,
    /// Its value.
    pub(super) node: Node,
    /// The entry is there only where this expression of a template is neither empty nor false.
    pub(super) guard: Option<String>,
}

/// An expression of a template in the place of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hole {
    /// It prints a scalar, quoted where that is needed.
    Scalar(String),
    /// It is a map or a list, which is printed below its key.
    Block(String),
}

impl From<Value> for Node {
    fn from(value: Value) -> Self {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                let entry = |(key, value): (String, Value)| Entry { key, node: value.into(), guard: None };
                Self::Map(fields.into_iter().map(entry).collect())
            }
            Value::Array(items) if !items.is_empty() => Self::List(items.into_iter().map(Self::from).collect()),
            value => Self::Scalar(value),
        }
    }
}

/// The fields as people expect them: what it is and what it is called, then what it says.
fn metadata_first(object: &Object) -> Result<Map<String, Value>, serde_json::Error> {
    let Value::Object(fields) = identity_first(serde_json::to_value(object)?) else { return Ok(Map::new()) };
    Ok(fields)
}

/// The same for an object that is a value already.
pub(super) fn identity_first(object: Value) -> Value {
    let Value::Object(mut fields) = object else { return object };
    fields.values_mut().for_each(name_first);
    Value::Object(first(&["apiVersion", "kind", "metadata"], fields))
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

/// YAML that grows.
pub(super) struct Text(String, Syntax);

/// What else the text is, beside YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Syntax {
    Plain,
    /// A template, in which braces have a meaning.
    Template,
}

impl Text {
    fn plain() -> Self {
        Self(String::new(), Syntax::Plain)
    }

    /// A document of a template: what its holes are filled with makes it YAML.
    pub(super) fn template(node: &Node) -> String {
        let mut text = Self(String::new(), Syntax::Template);
        text.write(node);
        text.0
    }

    fn write(&mut self, node: &Node) {
        match node {
            Node::Map(entries) => self.map(entries, 0, false),
            Node::List(items) => self.list(items, 0, false),
            node => self.scalar(node, 0),
        }
    }

    /// Writes a map's entries, the first one on the line that was begun when `inline`.
    fn map(&mut self, entries: &[Entry], indent: usize, inline: bool) {
        for (index, entry) in entries.iter().enumerate() {
            if let Some(guard) = &entry.guard {
                self.pad(indent);
                let _ = writeln!(self.0, "{{{{- if {guard} }}}}");
            }
            if index > 0 || !inline || entry.guard.is_some() {
                self.pad(indent);
            }
            self.own(|text| write_key(text, &entry.key));
            self.0.push(':');
            match &entry.node {
                Node::Map(entries) => {
                    self.0.push('\n');
                    self.map(entries, indent + 2, false);
                }
                Node::List(items) => {
                    self.0.push('\n');
                    self.list(items, indent, false);
                }
                Node::Hole(Hole::Block(_)) => self.scalar(&entry.node, indent + 2),
                node => {
                    self.0.push(' ');
                    self.scalar(node, indent + 2);
                }
            }
            if entry.guard.is_some() {
                self.pad(indent);
                self.0.push_str("{{- end }}\n");
            }
        }
    }

    fn list(&mut self, items: &[Node], indent: usize, inline: bool) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 || !inline {
                self.pad(indent);
            }
            self.0.push_str("- ");
            match item {
                Node::Map(entries) => self.map(entries, indent + 2, true),
                Node::List(items) => self.list(items, indent + 2, true),
                item => self.scalar(item, indent + 2),
            }
        }
    }

    /// Writes what is no list and no map, or an empty one, and ends the line.
    fn scalar(&mut self, node: &Node, indent: usize) {
        match node {
            Node::Scalar(value) => return self.own(|text| write_scalar(text, value, indent)),
            Node::Hole(Hole::Scalar(expression)) => {
                let _ = write!(self.0, "{{{{ {expression} }}}}");
            }
            Node::Hole(Hole::Block(expression)) => {
                let _ = write!(self.0, " {{{{- toYaml ({expression}) | nindent {indent} }}}}");
            }
            Node::List(_) | Node::Map(_) => {}
        }
        self.0.push('\n');
    }

    fn pad(&mut self, indent: usize) {
        pad(&mut self.0, indent);
    }

    /// Writes what comes from an object, so that a template takes none of it for its own.
    fn own(&mut self, write: impl FnOnce(&mut String)) {
        let from = self.0.len();
        write(&mut self.0);
        if self.1 == Syntax::Template && self.0[from..].contains("{{") {
            let escaped = self.0[from..].replace("{{", "{{ \"{{\" }}");
            self.0.truncate(from);
            self.0.push_str(&escaped);
        }
    }
}

fn pad(text: &mut String, indent: usize) {
    text.extend(std::iter::repeat_n(' ', indent));
}

fn write_key(text: &mut String, key: &str) {
    if is_plain(key) { text.push_str(key) } else { write_quoted(text, key) }
}

/// Writes a value that is no list and no map, or an empty one, and ends the line.
fn write_scalar(text: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(string) if is_plain(string) => text.push_str(string),
        Value::String(string) if is_block(string) => return write_block(text, string, indent),
        Value::String(string) => write_quoted(text, string),
        Value::Object(_) => text.push_str("{}"),
        Value::Array(_) => text.push_str("[]"),
        Value::Null | Value::Bool(_) | Value::Number(_) => {
            // Writing to a `String` cannot fail.
            let _ = write!(text, "{value}");
        }
    }
    text.push('\n');
}

/// Whether every reader takes this text, unquoted, for just this text.
fn is_plain(string: &str) -> bool {
    const WORDS: [&str; 9] = ["y", "yes", "n", "no", "on", "off", "true", "false", "null"];
    let mut characters = string.chars();
    let begins_well = match characters.next() {
        // No number and no date is written with other letters than these.
        Some('0'..='9') => {
            string.contains(|letter: char| letter.is_ascii_alphabetic() && !"abcdefotxzABCDEFOTXZ".contains(letter))
        }
        Some('-') => string.trim_start_matches('-').starts_with(|letter: char| letter.is_ascii_alphabetic()),
        Some(first) => first.is_ascii_alphabetic() || "_/$(".contains(first),
        None => false,
    };
    begins_well
        && !string.ends_with([' ', ':'])
        && !string.contains(": ")
        && !string.contains(" #")
        && string.chars().all(|character| matches!(character, ' '..='~') || character.is_alphanumeric())
        && !WORDS.contains(&string.to_ascii_lowercase().as_str())
}

/// Whether a text of several lines can stand as it is in a literal block without an indentation indicator.
fn is_block(string: &str) -> bool {
    string.contains('\n')
        && !string.starts_with([' ', '\t', '\n'])
        && !string.trim_end_matches('\n').ends_with([' ', '\t'])
        && string.chars().all(|character| character == '\n' || character == '\t' || is_printable(character))
}

fn write_block(text: &mut String, string: &str, indent: usize) {
    let body = string.trim_end_matches('\n');
    let ends = string.len() - body.len();
    text.push_str(match ends {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    for line in body.split('\n') {
        if !line.is_empty() {
            pad(text, indent);
            text.push_str(line);
        }
        text.push('\n');
    }
    text.extend(std::iter::repeat_n('\n', ends.saturating_sub(1)));
}

/// Single quotes leave `"` and `\` as they are, but can hold nothing that has to be escaped.
fn write_quoted(text: &mut String, string: &str) {
    if string.contains(['"', '\\']) && string.chars().all(is_printable) {
        text.push('\'');
        text.push_str(&string.replace('\'', "''"));
        text.push('\'');
        return;
    }
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            character if is_printable(character) => text.push(character),
            character => {
                let code = u32::from(character);
                // Writing to a `String` cannot fail.
                let _ = if code > 0xFFFF { write!(text, "\\U{code:08X}") } else { write!(text, "\\u{code:04X}") };
            }
        }
    }
    text.push('"');
}

/// Whether readers of every version accept a character as it is, within a line.
fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{A0}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
        && !matches!(character, '\u{2028}' | '\u{2029}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Entry, Hole, Node, Text, is_plain, value};

    fn written(json: &Value) -> String {
        value(json.clone())
    }

    #[test]
    fn a_template_has_its_holes_and_takes_nothing_of_an_object_for_its_own() {
        let entry =
            |key: &str, node, guard: Option<&str>| Entry { key: key.to_owned(), node, guard: guard.map(str::to_owned) };
        let node = Node::Map(vec![
            entry("a", Node::Hole(Hole::Scalar(".Values.a | quote".to_owned())), None),
            entry("b", Node::Map(vec![entry("c", Node::Hole(Hole::Block(".Values.c".to_owned())), None)]), None),
            entry("d", json!(["{{ x }}"]).into(), Some(".Values.d")),
        ]);
        assert_eq!(
            Text::template(&node),
            "a: {{ .Values.a | quote }}\nb:\n  c: {{- toYaml (.Values.c) | nindent 4 }}\n\
             {{- if .Values.d }}\nd:\n- \"{{ \"{{\" }} x }}\"\n{{- end }}\n"
        );
    }

    #[test]
    fn what_a_reader_could_mistake_is_quoted() {
        for text in ["yes", "On", "n", "1:30", "0o7", "1_000", "2020-01-01", "1e3", "-1", ".5", "~", "", "a: b", "a #b"]
        {
            assert!(!is_plain(text), "{text}");
        }
        for text in ["nginx:1.27-alpine", "1Gi", "-c", "--port=80", "/bin/sh", "echo $(date)", "größe"] {
            assert!(is_plain(text), "{text}");
        }
    }

    #[test]
    fn lists_stand_under_their_key_and_maps_in_lists_begin_on_its_dash() {
        let value = json!({ "a": [{ "b": 1, "c": [true, "x"] }, []], "d": {}, "e": [["f"]] });
        assert_eq!(written(&value), "a:\n- b: 1\n  c:\n  - true\n  - x\n- []\nd: {}\ne:\n- - f\n");
    }

    #[test]
    fn quotes_inside_decide_which_stand_outside() {
        assert_eq!(written(&json!({ "a": "{\"b\": 'c'}" })), "a: '{\"b\": ''c''}'\n");
        assert_eq!(written(&json!({ "a": "\"\u{7}" })), "a: \"\\\"\\u0007\"\n");
    }

    #[test]
    fn lines_stand_in_a_block_and_keep_their_ends() {
        assert_eq!(written(&json!({ "a": "x\ny" })), "a: |-\n  x\n  y\n");
        assert_eq!(written(&json!({ "a": "x\n\n\ty\n" })), "a: |\n  x\n\n  \ty\n");
        assert_eq!(written(&json!({ "a": "x\n\n" })), "a: |+\n  x\n\n");
        assert_eq!(written(&json!({ "a": "\tx\n" })), "a: \"\\tx\\n\"\n");
    }
}
