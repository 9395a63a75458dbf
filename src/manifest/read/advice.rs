//! What to write instead of a value of the wrong form, for the value that is there.

use crate::manifest::node::{Map, Node, Value};
use crate::manifest::problem::Problem;

/// What a variable or a label is set to.
pub(crate) const ONE_VALUE: &str = "one value";

/// What to write instead of the value of a key.
pub(super) fn for_value(key: &str, expected: &str, node: &Node) -> Option<String> {
    let (wants_list, wants_mapping) = (expected.contains("a list"), expected.contains("a mapping"));
    match &node.value {
        Value::Scalar(_) if node.is_null() && expected.contains("`condition`") => {
            Some("write `condition: service_started` below it, or names alone: `depends_on: [db]`".to_owned())
        }
        Value::Scalar(_) if node.is_null() => example(key).filter(|_| wants_mapping),
        Value::Scalar(scalar) => {
            let text = &*scalar.text;
            if wants_list && scalar.plain && text.starts_with('-') && !text.starts_with("- ") {
                return Some(format!("write a space after each `-`: `- {}`", first_item(text)));
            }
            if wants_mapping
                && scalar.plain
                && let Some((name, rest)) = split(text)
            {
                return Some(format!("write a space after the colon: `{name}: {rest}`"));
            }
            if key == "healthcheck" {
                return Some(format!("name the command with `test`: `test: {}`", shortened(text)));
            }
            if expected.contains("`KEY=value`") && text.contains('=') {
                return Some(format!("write it as an item of a list: `- {}`", shortened(text)));
            }
            let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
            if wants_list && !wants_mapping && !is_number {
                return Some(format!("write a list: `{key}: [\"{}\"]`", shortened(text)));
            }
            example(key)
        }
        Value::Map(map) if wants_list => Some(match scalar_entry(map) {
            Some((name, value)) if is_short(key) => format!("write each as an item of a list: `- \"{name}:{value}\"`"),
            _ => "begin each of them with `- `".to_owned(),
        }),
        Value::List(_) if wants_mapping && !wants_list => {
            Some(example(key).unwrap_or_else(|| "write names and values, without `- `".to_owned()))
        }
        Value::List(_) | Value::Map(_) if expected == ONE_VALUE => {
            Some("put it in quotes if it is meant as text".to_owned())
        }
        Value::List(_) | Value::Map(_) => example(key),
    }
}

/// What to write instead of an item of a list.
pub(super) fn for_item(expected: &str, node: &Node) -> Option<String> {
    let (name, value) = scalar_entry(node.as_map()?)?;
    Some(if expected.contains("`KEY=value`") {
        format!("write `- {name}={value}`, or `{name}: {value}` without `- ` for all of them")
    } else {
        format!("put it in quotes: `- \"{name}: {value}\"`")
    })
}

/// A short form that a space after its colon has made a mapping: `- 8080: 80`.
pub(super) fn text_with_a_space(name: &str, fields: &[&str], map: &Map) -> Option<Problem> {
    if !matches!(name, "Port" | "Mount" | "Device" | "Grant" | "EnvFile") {
        return None;
    }
    let [entry] = map.entries.as_slice() else { return None };
    let value = entry.value.as_text().filter(|_| !fields.contains(&&*entry.key))?;
    let looks_short = entry.key.contains(['/', '.']) || entry.key.parse::<u32>().is_ok() || value.starts_with('/');
    looks_short.then(|| {
        Problem::error(format!("the space after `{}:` makes this a mapping", entry.key))
            .at(entry.key_place)
            .hint(format!("take the space away: `- \"{}:{value}\"`", entry.key))
    })
}

/// Lists whose items are a name and a value with a colon.
fn is_short(key: &str) -> bool {
    matches!(key, "ports" | "volumes" | "devices" | "links" | "extra_hosts")
}

fn scalar_entry(map: &Map) -> Option<(&str, &str)> {
    let entry = map.entries.first()?;
    Some((&entry.key, entry.value.as_text()?))
}

/// `image:nginx`, but no address such as `http://x`.
fn split(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once(':')?;
    let is_word =
        !name.is_empty() && name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    let rest = rest.split_whitespace().next()?;
    (is_word && !name.starts_with(|first: char| first.is_ascii_digit()) && !rest.starts_with('/'))
        .then_some((name, rest))
}

fn first_item(text: &str) -> &str {
    text.trim_start_matches('-').split(" -").next().unwrap_or(text).trim()
}

fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(50) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

/// What the attribute looks like.
fn example(key: &str) -> Option<String> {
    let example = match key {
        "ports" => "ports: [\"8080:80\"]",
        "expose" => "expose: [\"3000\"]",
        "volumes" => "volumes: [\"./site:/srv\"]",
        "environment" => "environment: {MODE: fast}",
        "env_file" => "env_file: .env.local",
        "labels" => "labels: {team: web}",
        "depends_on" => "depends_on: [db]",
        "networks" => "networks: [backend]",
        "secrets" => "secrets: [token]",
        "configs" => "configs: [settings]",
        "profiles" => "profiles: [debug]",
        "healthcheck" => "healthcheck: {test: [\"CMD\", \"curl\", \"-f\", \"http://localhost\"]}",
        "deploy" => "deploy: {replicas: 2}",
        "build" => "build: ./web",
        "args" => "args: {VERSION: \"1\"}",
        "develop" => "develop: {watch: [{path: ./src, action: rebuild}]}",
        "logging" => "logging: {driver: json-file}",
        "extends" => "extends: {file: common.yaml, service: base}",
        "replicas" => "replicas: 2",
        "scale" => "scale: 2",
        "retries" => "retries: 3",
        "command" => "command: [\"sh\", \"-c\", \"echo hello\"]",
        "entrypoint" => "entrypoint: [\"sh\", \"-c\"]",
        "test" => "test: [\"CMD\", \"curl\", \"-f\", \"http://localhost\"]",
        "extra_hosts" => "extra_hosts: [\"db=10.0.0.5\"]",
        "tmpfs" => "tmpfs: [/run]",
        "ulimits" => "ulimits: {nofile: 65536}",
        "sysctls" => "sysctls: {net.core.somaxconn: 1024}",
        _ => return None,
    };
    Some(format!("write, for example, `{example}`"))
}
