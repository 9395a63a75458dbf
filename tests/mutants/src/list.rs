//! The mutants that cargo-mutants thinks of, which it lists without building anything.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// One change of the source.
#[derive(Debug, Clone)]
pub(crate) struct Mutant {
    /// What the environment variable chooses it with; from 1 on, as 0 is none.
    pub(crate) id: usize,
    /// Its file, the change and the function; a number follows where a function has the same change at several places.
    /// No line is in it, so that it stays the same when something above is edited.
    pub(crate) name: String,
    /// Its line, for who looks it up.
    pub(crate) line: usize,
    pub(crate) found: Found,
}

/// A mutant as cargo-mutants tells it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Found {
    pub(crate) file: String,
    name: String,
    pub(crate) genre: Genre,
    pub(crate) replacement: String,
    pub(crate) span: Span,
}

#[cfg(test)]
impl Found {
    pub(crate) fn new(genre: Genre, replacement: &str, span: Span) -> Self {
        Self { file: "src/a.rs".into(), name: String::new(), genre, replacement: replacement.into(), span }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) enum Genre {
    FnValue,
    BinaryOperator,
    UnaryOperator,
    MatchArm,
    MatchArmGuard,
    StructField,
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Span {
    pub(crate) start: Place,
    pub(crate) end: Place,
}

/// Both count from 1, the column in characters.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Place {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// The mutants of the files of a checkout.
pub(crate) fn list(program: &Path, checkout: &Path, globs: &[String]) -> Result<Vec<Mutant>> {
    let mut command = Command::new(program);
    command.current_dir(checkout).args(["mutants", "--list", "--json", "--no-config"]);
    command.args(globs.iter().flat_map(|glob| ["--file", glob]));
    let output = match command.output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "no program `{}`\nhint: install it with `cargo install cargo-mutants --locked`, or say where it is with \
             `--cargo-mutants PATH`",
            program.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot start `{}`", program.display())),
    };
    if !output.status.success() {
        bail!("`{}` fails:\n{}", program.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    let found: Vec<Found> = serde_json::from_slice(&output.stdout).context("cannot read the list of mutants")?;
    if found.is_empty() {
        bail!("there is nothing to mutate in {}", globs.join(", "));
    }
    Ok(named(found))
}

/// Numbers them, and makes their names differ without their places.
fn named(found: Vec<Found>) -> Vec<Mutant> {
    let mut seen = BTreeMap::new();
    let mut mutants = Vec::with_capacity(found.len());
    for (at, found) in found.into_iter().enumerate() {
        let change = found.name.split_once(": ").map_or(found.name.as_str(), |(_, change)| change);
        let name = format!("{}: {change}", found.file);
        let count = *seen.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
        let name = if count == 1 { name } else { format!("{name} ({count})") };
        mutants.push(Mutant { id: at + 1, name, line: found.span.start.line, found });
    }
    mutants
}

#[cfg(test)]
mod tests {
    use super::{Found, Genre, Place, Span, named};

    #[test]
    fn the_same_change_at_two_places_of_a_function_has_two_names_without_lines() {
        let found = |line: usize| {
            let place = Place { line, column: 5 };
            let name = format!("src/a.rs:{line}:5: replace && with || in b");
            let span = Span { start: place, end: place };
            Found { file: "src/a.rs".into(), name, genre: Genre::BinaryOperator, replacement: "||".into(), span }
        };
        let mutants = named(vec![found(3), found(4)]);
        let names: Vec<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
        assert_eq!(names, ["src/a.rs: replace && with || in b", "src/a.rs: replace && with || in b (2)"]);
    }
}
