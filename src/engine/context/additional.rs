//! `build.additional_contexts`: folders and images that a Dockerfile speaks of as if they were stages of it.
//!
//! No engine's API for builds has them. Here they are stages, put in front of the Dockerfile's own: an image is one that
//! begins with it, a folder one that has its files, which go with the context.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::patterns;
use crate::change::ignore::Patterns;
use crate::engine::EngineError;

/// Where the folders are in the context.
const FOLDERS: &str = ".hoist.contexts";

/// The further contexts of a build.
#[derive(Debug, Default)]
pub(super) struct Additional {
    pub(super) folders: Vec<Folder>,
    /// Their stages, as lines of a Dockerfile.
    stages: String,
    names: Vec<String>,
}

/// A folder that goes with the context.
#[derive(Debug)]
pub(super) struct Folder {
    /// Its path there.
    pub(super) place: String,
    pub(super) root: PathBuf,
    pub(super) patterns: Patterns,
}

impl Additional {
    /// Finds what they name; nothing is read but their ignore files.
    pub(super) fn find(contexts: &BTreeMap<String, String>) -> Result<Self, EngineError> {
        let mut found = Self::default();
        for (name, source) in contexts {
            if !is_stage(name) {
                return Err(refused(
                    name,
                    "has a name that no stage can have: letters, digits, `-`, `_` and `.` can be in it",
                ));
            }
            if let Some(image) = source.strip_prefix("docker-image://") {
                let _ = writeln!(found.stages, "FROM {image} AS {name}");
            } else if let Some(service) = source.strip_prefix("service:") {
                return Err(refused(name, &format!("names the service `{service}`, which is not in the manifest")));
            } else if source.contains("://") || source.contains(':') && !PathBuf::from(source).is_absolute() {
                return Err(refused(
                    name,
                    &format!("is `{source}`, and only folders, `docker-image://` and `service:` are supported"),
                ));
            } else {
                found.folder(name, PathBuf::from(source))?;
            }
            found.names.push(name.to_lowercase());
        }
        Ok(found)
    }

    fn folder(&mut self, name: &str, root: PathBuf) -> Result<(), EngineError> {
        if !root.is_dir() {
            return Err(EngineError::MissingPath { path: root });
        }
        let place = format!("{FOLDERS}/{}", name.to_lowercase());
        let _ = writeln!(self.stages, "FROM scratch AS {name}\nCOPY {place}/ /");
        let patterns = patterns(&[root.join(".dockerignore")])?;
        self.folders.push(Folder { place, root, patterns });
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// A Dockerfile with their stages. Where it has a stage of the same name, the context counts, and the stage has none.
    pub(super) fn join(&self, dockerfile: &str) -> String {
        let mut joined = String::new();
        let mut is_begun = false;
        for line in dockerfile.split_inclusive('\n') {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_stage = words.first().is_some_and(|word| word.eq_ignore_ascii_case("from"));
            if is_stage && !is_begun {
                joined.push_str(&self.stages);
                is_begun = true;
            }
            match &words[..] {
                [rest @ .., _, name] if is_stage && rest.len() > 1 && self.names.contains(&name.to_lowercase()) => {
                    joined.push_str(&rest.join(" "));
                    joined.push('\n');
                }
                _ => joined.push_str(line),
            }
        }
        joined
    }
}

/// Whether a stage can have this name.
fn is_stage(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(|it| it.is_ascii_alphanumeric() || "-_.".contains(it))
}

fn refused(name: &str, why: &str) -> EngineError {
    EngineError::Refused { message: format!("the additional context `{name}` {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(contexts: &[(&str, &str)]) -> Result<Additional, EngineError> {
        Additional::find(&contexts.iter().map(|(name, source)| ((*name).to_owned(), (*source).to_owned())).collect())
    }

    #[test]
    fn an_image_is_a_stage_in_front_of_the_first_one() {
        let images = found(&[("base", "docker-image://alpine:3.20")]).expect("it is an image");
        assert_eq!(
            images.join("# syntax=docker/dockerfile:1\nARG A=1\nFROM base AS app\nRUN true\nFROM app\n"),
            "# syntax=docker/dockerfile:1\nARG A=1\nFROM alpine:3.20 AS base\nFROM base AS app\nRUN true\nFROM app\n"
        );
    }

    #[test]
    fn a_context_counts_more_than_a_stage_of_its_name() {
        let images = found(&[("base", "docker-image://alpine:3.20")]).expect("it is an image");
        assert_eq!(
            images.join("FROM debian AS Base\nFROM base\n"),
            "FROM alpine:3.20 AS base\nFROM debian\nFROM base\n"
        );
    }

    #[test]
    fn what_cannot_be_had_is_refused_by_name() {
        for (source, word) in
            [("https://a/b.git", "only folders"), ("service:nobody", "`nobody`"), ("/no/such", "/no/such")]
        {
            let error = found(&[("base", source)]).expect_err("it cannot be had").to_string();
            assert!(error.contains(word), "{error}");
        }
        let error = found(&[("alpine:3", "docker-image://b")]).expect_err("no stage can have this name").to_string();
        assert!(error.contains("`alpine:3`"), "{error}");
    }
}
