//! Healthchecks that fail whatever the service does.

use crate::lint::image::Image;
use crate::lint::{Subject, dockerfile, warning};
use crate::manifest::problem::Problem;
use crate::project::{HealthTest, Service};

/// A healthcheck whose program is not there, or that is written for a shell and has none.
pub(in crate::lint) fn cannot_run(subject: &Subject<'_>) -> Vec<Problem> {
    let mut found = Vec::new();
    for service in subject.services() {
        let Some(health) = &service.healthcheck else { continue };
        let place = subject.attribute(service, "healthcheck").and_then(|own| own.get("test"));
        let place = place.map(crate::manifest::written::Item::place).or_else(|| subject.place(service, "healthcheck"));
        let problem = match &health.test {
            HealthTest::Command(words) => without_shell(words).or_else(|| missing(subject, service, words.first()?)),
            HealthTest::Shell(line) => missing(subject, service, line.split_whitespace().next().unwrap_or_default()),
            HealthTest::Inherit | HealthTest::Disabled => None,
        };
        if let Some((why, hint)) = problem {
            let message = format!("the healthcheck of `{}` always fails: {why}", service.name);
            found.push(warning(message, place).hint(hint));
        }
    }
    found
}

type Finding = Option<(String, String)>;

/// What only a shell understands, where there is none.
fn without_shell(words: &[String]) -> Finding {
    let first = words.first()?;
    let is_shell = matches!(first.rsplit('/').next(), Some("sh" | "bash" | "ash" | "dash" | "zsh"));
    let hint = || "write `CMD-SHELL` and the whole line in one text".to_owned();
    if words.len() == 1 && first.contains(char::is_whitespace) {
        return Some((format!("`CMD` takes `{first}` for the name of one program"), hint()));
    }
    let operator =
        words.iter().find(|word| matches!(word.as_str(), "||" | "&&" | "|" | ";" | ">" | "2>&1" | ">/dev/null"));
    if is_shell {
        return None;
    }
    // A doubled dollar sign in the file is one here, and none is left of a variable of the file.
    let names = |word: &&String| {
        word.split_once('$')
            .is_some_and(|(_, name)| name.starts_with(|first: char| first.is_alphabetic() || first == '{'))
    };
    let word = operator.or_else(|| words.iter().skip(1).find(names))?;
    Some((format!("`CMD` runs no shell, and `{word}` is handed to `{first}` as it is"), hint()))
}

/// A program that the image is known to lack.
fn missing(subject: &Subject<'_>, service: &Service, program: &str) -> Finding {
    let file = dockerfile::of(subject, service);
    let mentioned = |file: &dockerfile::Dockerfile| file.instructions().iter().any(|(_, rest)| rest.contains(program));
    let base = match &file {
        Some(file) if mentioned(file) || file.copies_from_elsewhere() => return None,
        Some(file) => file.base()?,
        None if service.build.is_some() => return None,
        None => service.image.as_deref()?,
    };
    let lacks = matches!(program, "curl" | "wget") && Image::parse(base).lacks(program);
    let instead = match Image::parse(base).name {
        "postgres" => "`pg_isready`",
        "redis" | "valkey" => "`redis-cli ping`",
        "node" => "a line of `node -e`",
        "python" => "a line of `python -c`",
        _ => "a program that it has",
    };
    lacks.then(|| {
        (format!("`{base}` has no `{program}`"), format!("use {instead}, or install `{program}` in the image"))
    })
}
