//! A YAML value and its text, in one of the many styles that the same value can be written in.

use std::fmt::{Display, Write as _};

use crate::random::Random;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Yaml {
    /// A plain scalar, written as it is.
    Plain(String),
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
    /// A value with a tag such as `!reset`.
    Tagged(&'static str, Box<Yaml>),
}

pub(crate) fn text(text: impl Into<String>) -> Yaml {
    Yaml::Text(text.into())
}

pub(crate) fn plain<'v>(value: impl Display + 'v) -> Yaml {
    let value: Box<dyn Display + 'v> = Box::new(value);
    Yaml::Plain(value.to_string())
}

pub(crate) fn texts<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> Yaml {
    Yaml::List(items.into_iter().map(|item| text(item.as_ref())).collect())
}

pub(crate) fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Yaml)>) -> Yaml {
    Yaml::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

impl Yaml {
    /// The value under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// Every value of the tree, by the steps that lead to it.
    pub(crate) fn paths(&self) -> Vec<Vec<usize>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, path: &mut Vec<usize>, paths: &mut Vec<Vec<usize>>) {
        paths.push(path.clone());
        let children: Vec<&Self> = match self {
            Self::List(items) => items.iter().collect(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
            Self::Tagged(_, value) => vec![value],
            Self::Plain(_) | Self::Text(_) => Vec::new(),
        };
        for (step, child) in children.into_iter().enumerate() {
            path.push(step);
            child.collect(path, paths);
            path.pop();
        }
    }

    pub(crate) fn at(&mut self, path: &[usize]) -> Option<&mut Self> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        match self {
            Self::List(items) => items.get_mut(*step)?.at(rest),
            Self::Map(entries) => entries.get_mut(*step)?.1.at(rest),
            Self::Tagged(_, value) => value.at(rest),
            Self::Plain(_) | Self::Text(_) => None,
        }
    }

    /// The text of a document.
    pub(crate) fn write(&self, random: &mut Random) -> String {
        let mut out = String::new();
        match self {
            Self::Map(entries) if !entries.is_empty() => block_map(entries, 0, random, &mut out),
            other => {
                flow(other, random, &mut out);
                out.push('\n');
            }
        }
        out
    }
}

fn block_map(entries: &[(String, Yaml)], indent: usize, random: &mut Random, out: &mut String) {
    for (key, value) in entries {
        let _ = write!(out, "{:indent$}", "");
        scalar_text(key, random, out);
        out.push(':');
        block_value(value, indent, random, out);
    }
}

/// A value after `key:` or `-`.
fn block_value(value: &Yaml, indent: usize, random: &mut Random, out: &mut String) {
    match value {
        Yaml::Map(entries) if !entries.is_empty() && random.percent(85) => {
            out.push('\n');
            block_map(entries, indent + 2, random, out);
        }
        Yaml::List(items) if !items.is_empty() && random.percent(75) => {
            out.push('\n');
            let indent = indent + if random.percent(50) { 2 } else { 0 };
            for item in items {
                let _ = write!(out, "{:indent$}-", "");
                item_value(item, indent, random, out);
            }
        }
        Yaml::Tagged(tag, value) => {
            let _ = write!(out, " {tag}");
            block_value(value, indent, random, out);
        }
        Yaml::Text(text) if is_block(text) && random.percent(60) => {
            let body = text.trim_end_matches('\n');
            out.push_str(if text.ends_with('\n') { " |\n" } else { " |-\n" });
            for line in body.split('\n') {
                let width = if line.is_empty() { 0 } else { indent + 4 };
                let _ = writeln!(out, "{:width$}{line}", "");
            }
        }
        Yaml::Plain(text) if text.is_empty() => out.push('\n'),
        other => {
            out.push(' ');
            flow(other, random, out);
            out.push_str(if random.percent(4) { "  # said so\n" } else { "\n" });
        }
    }
}

fn item_value(item: &Yaml, indent: usize, random: &mut Random, out: &mut String) {
    match item {
        Yaml::Map(entries) if !entries.is_empty() && random.percent(80) => {
            let mut inner = String::new();
            block_map(entries, indent + 2, random, &mut inner);
            out.push(' ');
            out.push_str(&inner[indent + 2..]);
        }
        other => {
            out.push(' ');
            flow(other, random, out);
            out.push('\n');
        }
    }
}

/// Whether a text can be written as the lines that it is.
fn is_block(text: &str) -> bool {
    let body = text.trim_end_matches('\n');
    text.contains('\n')
        && !body.is_empty()
        && text.len() - body.len() <= 1
        && !body.starts_with([' ', '\n', '\t'])
        && !body.chars().any(|character| character.is_control() && character != '\n')
}

fn flow(value: &Yaml, random: &mut Random, out: &mut String) {
    match value {
        Yaml::Plain(text) if text.is_empty() => out.push('~'),
        Yaml::Plain(text) => out.push_str(text),
        Yaml::Text(text) => scalar_text(text, random, out),
        Yaml::Tagged(tag, value) => {
            let _ = write!(out, "{tag} ");
            flow(value, random, out);
        }
        Yaml::List(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                flow(item, random, out);
            }
            out.push(']');
        }
        Yaml::Map(entries) => {
            out.push('{');
            for (at, (key, item)) in entries.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                scalar_text(key, random, out);
                out.push_str(": ");
                flow(item, random, out);
            }
            out.push('}');
        }
    }
}

/// A text that stays a text.
fn scalar_text(text: &str, random: &mut Random, out: &mut String) {
    let control = text.chars().any(char::is_control);
    if is_plain(text) && random.percent(60) {
        out.push_str(text);
    } else if !control && random.percent(40) {
        let _ = write!(out, "'{}'", text.replace('\'', "''"));
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// Whether a text without quotes is this text in every place.
fn is_plain(text: &str) -> bool {
    let first = text.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '/');
    let inside = |character: char| character.is_ascii_alphanumeric() || "_./-".contains(character);
    let word = text.to_lowercase();
    first && text.chars().all(inside) && !["true", "false", "null"].contains(&&*word)
}
