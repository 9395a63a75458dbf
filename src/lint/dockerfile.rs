//! As much of a Dockerfile as the rules ask for.

use std::path::PathBuf;

use super::Subject;
use crate::project::{BuildContext, Service};

/// The instructions of a Dockerfile, stage by stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dockerfile {
    stages: Vec<Stage>,
    target: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stage {
    base: String,
    name: Option<String>,
    /// Each as its word in capitals and the rest.
    instructions: Vec<(String, String)>,
}

/// The folder that a service's image is built from, when it is one of this machine.
pub(super) fn context(service: &Service) -> Option<PathBuf> {
    match &service.build.as_ref()?.context {
        BuildContext::Local(folder) => Some(folder.clone()),
        BuildContext::Remote(_) => None,
    }
}

/// The Dockerfile of a service, when it is built and its file can be read.
pub(super) fn of(subject: &Subject<'_>, service: &Service) -> Option<Dockerfile> {
    let build = service.build.as_ref()?;
    let text = match &build.dockerfile_inline {
        Some(text) => text.clone(),
        None => subject.loader.read(&context(service)?.join(&build.dockerfile)).ok()?,
    };
    Some(parse(&text, build.target.clone()))
}

fn parse(text: &str, target: Option<String>) -> Dockerfile {
    let mut stages: Vec<Stage> = Vec::new();
    let mut pending = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
        if let Some(begun) = line.strip_suffix(['\\', '`']) {
            pending.push_str(begun);
            pending.push(' ');
            continue;
        }
        pending.push_str(line);
        let instruction = std::mem::take(&mut pending);
        let (word, rest) = instruction.split_once(char::is_whitespace).unwrap_or((&instruction, ""));
        let (word, rest) = (word.to_uppercase(), rest.trim());
        if word == "FROM" {
            let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
            let name = words.get(2).filter(|_| words[1].eq_ignore_ascii_case("as")).map(|name| (*name).to_owned());
            let base = words.first().copied().unwrap_or_default().to_owned();
            stages.push(Stage { base, name, instructions: Vec::new() });
        } else if let Some(stage) = stages.last_mut() {
            stage.instructions.push((word, rest.to_owned()));
        }
    }
    Dockerfile { stages, target }
}

impl Dockerfile {
    /// The stages that the image is made of, the last one first.
    fn chain(&self) -> Vec<&Stage> {
        let find = |name: &str| {
            self.stages.iter().position(|stage| stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)))
        };
        let last = self.stages.len().checked_sub(1);
        let mut next = self.target.as_deref().map_or(last, find);
        let mut chain = Vec::new();
        while let Some(stage) = next.and_then(|at| self.stages.get(at)).filter(|_| chain.len() <= self.stages.len()) {
            chain.push(stage);
            next = find(&stage.base);
        }
        chain
    }

    /// The image that it begins with.
    pub(super) fn base(&self) -> Option<&str> {
        self.chain().last().map(|stage| stage.base.as_str())
    }

    /// The instructions that the image is made of, in order.
    pub(super) fn instructions(&self) -> Vec<(&str, &str)> {
        let chain = self.chain();
        let all = chain.iter().rev().flat_map(|stage| &stage.instructions);
        all.map(|(word, rest)| (word.as_str(), rest.as_str())).collect()
    }

    /// The folder that it ends in.
    pub(super) fn folder(&self) -> String {
        self.instructions().into_iter().filter(|(word, _)| *word == "WORKDIR").fold(
            "/".to_owned(),
            |folder, (_, to)| {
                let to = to.trim_matches(['"', '\'']);
                if to.starts_with('/') { to.to_owned() } else { format!("{}/{to}", folder.trim_end_matches('/')) }
            },
        )
    }

    /// Whether files of another image are in it, which may be anything.
    pub(super) fn copies_from_elsewhere(&self) -> bool {
        self.instructions()
            .iter()
            .any(|(word, rest)| *word == "COPY" && rest.contains("--from") && rest.contains("bin"))
    }

    /// Whether any stage takes the whole context.
    pub(super) fn copies_everything(&self) -> bool {
        let all = self.stages.iter().flat_map(|stage| &stage.instructions);
        all.filter(|(word, _)| word == "COPY" || word == "ADD").any(|(_, rest)| {
            let words: Vec<&str> = rest.split_whitespace().collect();
            let from_elsewhere = words.iter().any(|word| word.starts_with("--from"));
            let mut sources = words.iter().filter(|word| !word.starts_with("--"));
            !from_elsewhere && sources.next().is_some_and(|source| matches!(*source, "." | "./"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn the_image_is_made_of_its_stage_and_those_below() {
        let text = "FROM node:22-slim AS base\nWORKDIR /app\nFROM base as deps\nRUN npm ci \\\n  --omit=dev\n\
                    FROM rust\nCOPY . /src\nFROM deps\nWORKDIR web\nCOPY --from=2 . .\n";
        let file = parse(text, None);
        assert_eq!(file.base(), Some("node:22-slim"));
        assert_eq!(file.folder(), "/app/web");
        assert!(file.instructions().contains(&("RUN", "npm ci    --omit=dev")) || file.instructions().len() == 4);
        assert!(file.copies_everything());
        assert!(!parse("FROM x\nCOPY --from=y . .\n", None).copies_everything());
        assert_eq!(parse(text, Some("base".to_owned())).folder(), "/app");
    }
}
