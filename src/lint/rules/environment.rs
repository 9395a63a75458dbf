//! Variables of containers.

use crate::lint::{Subject, warning};
use crate::manifest::problem::{Place, Problem};
use crate::manifest::written::Item;
use crate::project::Service;

/// The variables that are written, with where the value is and whether it stands in a list.
fn written<'a>(subject: &Subject<'a>, service: &Service) -> Vec<(&'a str, &'a str, Place, bool)> {
    let Some(item) = subject.attribute(service, "environment") else { return Vec::new() };
    let mapped = item.entries().filter_map(|(key, value)| Some((key, value.text()?, value.place(), false)));
    let listed = item.items().filter_map(|item| {
        let (key, value) = item.text()?.split_once('=')?;
        Some((key, value, item.place(), true))
    });
    mapped.chain(listed).collect()
}

/// How tokens of well-known services begin.
const TOKENS: &[&str] = &[
    "sk_live_",
    "rk_live_",
    "AKIA",
    "ASIA",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "xoxp-",
    "AIza",
    "-----BEGIN",
];

/// How the names of variables end that hold secrets.
const SECRET: &[&str] = &[
    "PASSWORD",
    "PASSWD",
    "SECRET",
    "TOKEN",
    "API_KEY",
    "APIKEY",
    "PRIVATE_KEY",
    "ACCESS_KEY",
    "SECRET_KEY",
    "ENCRYPTION_KEY",
    "SECRET_KEY_BASE",
];

/// What is in names that only look so.
const HARMLESS: &[&str] = &["ALLOW_", "PUBLIC", "MAX_", "NUM_", "_PARAM_"];

/// What is in values that nobody takes for a secret.
const PLACEHOLDERS: &[&str] = &[
    "pass", "secret", "change", "example", "test", "admin", "root", "postgres", "mysql", "default", "demo", "dev",
    "local", "guest", "user", "dummy", "your", "foo", "bar", "xxx", "1234", "token", "key", "insecure", "unsafe",
    "sample", "replace", "abc", "none", "null", "fake", "mongo", "redis", "minio", "rabbit", "todo", "<", "http",
    "minimum", "chars",
];

fn is_secret(key: &str, value: &str) -> bool {
    let key = key.to_uppercase();
    let lower = value.to_lowercase();
    let is_named = SECRET.iter().any(|part| key.ends_with(part)) && !HARMLESS.iter().any(|part| key.contains(part));
    let is_path = value.starts_with(['/', '.', '~']);
    let is_word = value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'-');
    let is_same = value.bytes().collect::<std::collections::BTreeSet<_>>().len() < 5;
    let is_placeholder = PLACEHOLDERS.iter().any(|part| lower.contains(part)) || key.to_lowercase().contains(&lower);
    is_named && value.len() >= 8 && !is_path && !is_word && !is_same && !is_placeholder
}

/// A secret in the file itself.
pub(in crate::lint) fn plain_secret(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        for (key, value, place, _) in written(subject, service) {
            let is_token = value.len() > 15 && TOKENS.iter().any(|start| value.starts_with(start));
            // What comes from a variable is not in the file.
            if subject.source(place).contains('$') || !(is_token || is_secret(key, value)) {
                continue;
            }
            let message = format!("the value of `{key}` is a secret, and everybody who has the file can read it");
            let hint = format!(
                "take it from the environment, `{key}: ${{{key}}}`, with its value in a `.env` that git ignores"
            );
            found.push(warning(message, Some(place)).hint(hint));
        }
    }
    found
}

/// Quotes that become part of a value.
pub(in crate::lint) fn quoted(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        for (key, value, place, listed) in written(subject, service) {
            let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''));
            let Some(quote) = quote.filter(|quote| listed && value.len() > 1 && value.ends_with(*quote)) else {
                continue;
            };
            let inner = value.trim_matches(quote);
            let message = format!("the quotes are part of the value of `{key}`");
            let problem = warning(message, Some(place)).label(format!("the container sees {value}"));
            found
                .push(problem.hint(format!("write `- {key}={inner}`, or quote the whole item: `- \"{key}={inner}\"`")));
        }
    }
    found
}

/// A file with variables that is not there, which nobody is told of.
pub(in crate::lint) fn missing_file(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        for item in subject.attribute(service, "env_file").into_iter().flat_map(Item::one_or_many) {
            let optional = item.get("required").and_then(Item::text) == Some("false");
            let Some(path) = item.get("path").filter(|_| optional) else { continue };
            let Some(text) = path.text().filter(|text| !text.starts_with('~') && *text != ".env") else { continue };
            let base = subject.sources.get(path.place().file).map(|source| source.base.clone()).unwrap_or_default();
            if !subject.loader.is_file(&std::path::Path::new(&*base).join(text)) {
                let message = format!("`{text}` is not there, so `{}` starts without its variables", service.name);
                found.push(warning(message, Some(path.place())).hint("make the file, or take the entry away"));
            }
        }
    }
    found
}
