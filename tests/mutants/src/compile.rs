//! The binary of the tests with all mutants that compile: what the compiler finds fault with is left out, until it finds
//! nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::core::Core;
use crate::list::Mutant;
use crate::rewrite::{Mark, rewrite};

pub(crate) struct Compiled {
    pub(crate) binary: PathBuf,
    /// The ids of the mutants in it.
    pub(crate) viable: BTreeSet<usize>,
}

/// A line of cargo's output, as far as it matters.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Line {
    executable: Option<PathBuf>,
    message: Option<Message>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Message {
    level: String,
    rendered: Option<String>,
    spans: Vec<Span>,
}

#[derive(Debug, Deserialize)]
struct Span {
    file_name: String,
    byte_start: usize,
    byte_end: usize,
    is_primary: bool,
}

/// Where mutants are in the files that are mutated.
type Marks = BTreeMap<String, Vec<Mark>>;

/// Builds the tests of the core with its mutants.
pub(crate) fn compile(core: &Core, mutants: &[Mutant]) -> Result<Compiled> {
    let mut left_out = BTreeSet::new();
    loop {
        let marks = write(core, mutants, &left_out)?;
        let lines = cargo(core, &["check", "--lib", "--profile", "test"])?;
        let errors: Vec<Message> =
            lines.into_iter().filter_map(|line| line.message).filter(|message| message.level == "error").collect();
        if errors.is_empty() {
            let ids = marks.into_values().flatten().flat_map(|mark| mark.mutants);
            return Ok(Compiled { binary: binary(core)?, viable: ids.collect() });
        }
        let before = left_out.len();
        left_out.extend(errors.iter().flat_map(|error| blamed(error, &marks)));
        if left_out.len() == before {
            bail!("cannot compile the core:\n{}", errors[0].rendered.as_deref().unwrap_or_default());
        }
        eprintln!("{} mutants do not compile", left_out.len());
    }
}

/// Writes the core with all mutants but some.
fn write(core: &Core, mutants: &[Mutant], left_out: &BTreeSet<usize>) -> Result<Marks> {
    let mut by_file: BTreeMap<&str, Vec<&Mutant>> = BTreeMap::new();
    for mutant in mutants.iter().filter(|mutant| !left_out.contains(&mutant.id)) {
        by_file.entry(&mutant.found.file).or_default().push(mutant);
    }
    let (mut texts, mut marks) = (BTreeMap::new(), Marks::new());
    for (file, mutants) in by_file {
        let text = core.sources.get(file).with_context(|| format!("`{file}` is not a part of the core"))?;
        let rewritten = rewrite(text, &mutants).with_context(|| format!("cannot read `{file}`"))?;
        texts.insert(file.to_owned(), rewritten.text);
        marks.insert(file.to_owned(), rewritten.marks);
    }
    core.write(&texts)?;
    Ok(marks)
}

/// The mutants that an error is about: those of the innermost edit around what the compiler points at, or else at what it
/// points at besides, or else those of the last edit before.
fn blamed(error: &Message, marks: &Marks) -> Vec<usize> {
    let (primary, others): (Vec<&Span>, Vec<&Span>) = error.spans.iter().partition(|span| span.is_primary);
    let spans = || primary.iter().chain(&others);
    let around = spans().find_map(|span| {
        let touches = |range: &Range<usize>| range.start <= span.byte_end && span.byte_start <= range.end;
        let inside = marks.get(&span.file_name)?.iter().filter(|mark| touches(&mark.range));
        inside.min_by_key(|mark| mark.range.len())
    });
    let before = || {
        spans().find_map(|span| {
            let before = marks.get(&span.file_name)?.iter().filter(|mark| mark.range.end <= span.byte_start);
            before.max_by_key(|mark| mark.range.end)
        })
    };
    around.or_else(before).map(|mark| mark.mutants.clone()).unwrap_or_default()
}

fn binary(core: &Core) -> Result<PathBuf> {
    eprintln!("compiles the rest");
    let lines = cargo(core, &["test", "--lib", "--no-run"])?;
    lines.into_iter().find_map(|line| line.executable).context("cargo made no binary of the tests")
}

/// What cargo says, which is only an error when it could not begin to compile.
fn cargo(core: &Core, arguments: &[&str]) -> Result<Vec<Line>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).args(["--locked", "--quiet", "--message-format", "json", "--target-dir", "target"]);
    // Without optimisation the simulation takes longer than the compiler saves.
    command.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0").env_remove("RUSTFLAGS");
    command.current_dir(&core.folder).stderr(Stdio::piped());
    let output = command.output().context("cannot start cargo")?;
    let lines: Vec<Line> =
        String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let is_told = lines.iter().any(|line| line.message.as_ref().is_some_and(|message| message.level == "error"));
    if !output.status.success() && !is_told {
        bail!("cargo fails:\n{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Mark, Message, Span, blamed};

    fn error(range: std::ops::Range<usize>) -> Message {
        let span =
            Span { file_name: "src/a.rs".into(), byte_start: range.start, byte_end: range.end, is_primary: true };
        Message { level: "error".into(), rendered: None, spans: vec![span] }
    }

    #[test]
    fn an_error_is_the_fault_of_the_innermost_mutant_around_it_or_of_the_one_before() {
        let mark = |range, id| Mark { range, mutants: vec![id] };
        let marks = BTreeMap::from([("src/a.rs".to_owned(), vec![mark(10..50, 1), mark(20..30, 2)])]);
        assert_eq!(blamed(&error(22..25), &marks), [2]);
        assert_eq!(blamed(&error(40..42), &marks), [1]);
        assert_eq!(blamed(&error(60..62), &marks), [1]);
        assert!(blamed(&error(0..2), &marks).is_empty());
    }
}
