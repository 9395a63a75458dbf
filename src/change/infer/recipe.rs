//! What of a Dockerfile decides how saved files reach a container: which paths of the context are copied last and where
//! to, which are built from, and what the image runs.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::dockerfile::instruction::{self, Command, Copy, Instruction};
use crate::dockerfile::{self, words};
use crate::project::Build;

/// What a Dockerfile says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Recipe {
    /// Files that are copied after everything that is done with files, in order.
    pub(super) copies: Vec<Copied>,
    /// Files that something is made from.
    pub(super) early: Vec<Early>,
    /// Absolute paths that something else than the context is copied to, each with the line.
    pub(super) covered: Vec<(usize, String)>,
    /// The image that the target begins with.
    pub(super) base: String,
    pub(super) entrypoint: Option<Vec<String>>,
    pub(super) cmd: Option<Vec<String>>,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) user: Option<String>,
    pub(super) volumes: Vec<String>,
}

/// A path of the context that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) line: usize,
    /// Relative to the context, which itself is empty; may have stars.
    pub(super) source: String,
    /// Absolute.
    pub(super) target: String,
    /// Whether a file is copied into `target`, not to it.
    pub(super) into: bool,
    /// Whether its owner or mode is another one in the image.
    pub(super) owner: bool,
}

/// A path of the context that something is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Early {
    /// Where it is copied or mounted.
    pub(super) line: usize,
    /// What is made from it, when it is in the stages of the image itself.
    pub(super) used: Option<usize>,
    pub(super) path: String,
}

struct Stage {
    name: Option<String>,
    image: String,
    steps: Vec<(usize, Instruction)>,
}

/// The paths that a Dockerfile copies, as far as they have no variables: what has to be known is which are folders.
pub(super) fn copied(text: &str) -> BTreeSet<String> {
    let Ok(file) = dockerfile::parse(text) else { return BTreeSet::new() };
    let copies = file.lines.iter().filter_map(|line| match instruction::read(line, file.escape) {
        Ok(Instruction::Copy(copy)) if copy.from.is_none() => Some(copy.sources),
        _ => None,
    });
    let plain = copies.flatten().map(|source| words::unquote(&source, file.escape));
    plain.filter(|source| !is_address(source)).map(|source| relative(&source)).collect()
}

/// Reads a Dockerfile; the error says why nothing can be told from it.
pub(super) fn read(text: &str, build: &Build) -> Result<Recipe, String> {
    let file = dockerfile::parse(text).map_err(|problem| format!("the Dockerfile cannot be read: {problem}"))?;
    let mut globals = BTreeMap::new();
    let mut stages: Vec<Stage> = Vec::new();
    for line in &file.lines {
        let read = instruction::read(line, file.escape);
        let read = read.map_err(|problem| format!("the Dockerfile cannot be read: {problem}"))?;
        match (read, stages.last_mut()) {
            (Instruction::From(from), _) => {
                let lookup = |name: &str| globals.get(name).cloned();
                let image = words::expand(&from.image, file.escape, &lookup).unwrap_or_default();
                stages.push(Stage { name: from.name, image, steps: Vec::new() });
            }
            (Instruction::Arg(list), None) => declare(&list, build, file.escape, None, &mut globals),
            (_, None) => return Err("the Dockerfile begins with no FROM".to_owned()),
            (step, Some(stage)) => stage.steps.push((line.number, step)),
        }
    }
    let target = target(&stages, build.target.as_deref())?;
    let chain = chain(&stages, target, build);
    let mut recipe = Walk::new(file.escape, build, &globals).walk(&stages, &chain)?;
    for other in others(&stages, &chain, build) {
        let walked = Walk::new(file.escape, build, &globals).walk(&stages, &self::chain(&stages, other, build))?;
        let copies = walked.copies.into_iter().map(|copy| Early { line: copy.line, used: None, path: copy.source });
        recipe.early.extend(copies);
        recipe.early.extend(walked.early.into_iter().map(|early| Early { used: None, ..early }));
    }
    Ok(recipe)
}

fn target(stages: &[Stage], named: Option<&str>) -> Result<usize, String> {
    let last = stages.len().checked_sub(1).ok_or("the Dockerfile begins with no FROM")?;
    let Some(name) = named.filter(|name| !name.is_empty()) else { return Ok(last) };
    let found = find(stages, name).or_else(|| name.parse().ok().filter(|number| *number < stages.len()));
    found.ok_or_else(|| format!("the Dockerfile has no stage `{name}`"))
}

/// The newest stage of a name.
fn find(stages: &[Stage], name: &str) -> Option<usize> {
    stages.iter().rposition(|stage| stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)))
}

/// The stages that one is made of, the lowest first.
fn chain(stages: &[Stage], of: usize, build: &Build) -> Vec<usize> {
    let mut chain = vec![of];
    while let Some(at) = chain.last().copied()
        && let Some(below) = named(stages, at, &stages[at].image, build)
    {
        chain.push(below);
    }
    chain.reverse();
    chain
}

/// The stage before one that a name means; `None` for an image or another context.
fn named(stages: &[Stage], before: usize, name: &str, build: &Build) -> Option<usize> {
    let before = &stages[..before];
    find(before, name).filter(|_| !build.additional_contexts.contains_key(name))
}

/// The other stages that those of an image take files from.
fn others(stages: &[Stage], chain: &[usize], build: &Build) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    let mut open: Vec<usize> = chain.to_vec();
    while let Some(at) = open.pop() {
        for (_, step) in &stages[at].steps {
            let names: Vec<String> = match step {
                Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
                Instruction::Run(run) => run.mounts.iter().filter_map(|mount| option(mount, &["from"])).collect(),
                _ => continue,
            };
            for name in names {
                let number = || name.parse().ok().filter(|number| *number < at);
                if let Some(stage) = named(stages, at, &name, build).or_else(number)
                    && found.insert(stage)
                {
                    open.extend(self::chain(stages, stage, build));
                }
            }
        }
    }
    found
}

/// An option of a `--mount`.
fn option(mount: &str, names: &[&str]) -> Option<String> {
    let options = mount.split(',').filter_map(|option| option.split_once('='));
    options.filter(|(name, _)| names.contains(name)).map(|(_, value)| value.to_owned()).next()
}

/// Takes up build arguments: what the build is given, what stands before the stages, the default.
fn declare(
    list: &[(String, Option<String>)],
    build: &Build,
    escape: char,
    globals: Option<&BTreeMap<String, String>>,
    known: &mut BTreeMap<String, String>,
) {
    for (name, default) in list {
        let given = build.args.get(name).cloned().flatten();
        let default = default.as_ref().and_then(|default| expand(default, escape, known));
        let global = || globals.and_then(|globals| globals.get(name)).cloned();
        match given.or(default).or_else(global) {
            Some(value) => drop(known.insert(name.clone(), value)),
            None => drop(known.remove(name)),
        }
    }
}

/// A word with its variables; `None` when one of them may come from elsewhere.
fn expand(word: &str, escape: char, known: &BTreeMap<String, String>) -> Option<String> {
    let is_known = Cell::new(true);
    let lookup = |name: &str| {
        let value = known.get(name).cloned();
        is_known.set(is_known.get() && value.is_some());
        value
    };
    words::expand(word, escape, &lookup).ok().filter(|_| is_known.get())
}

/// What is known while one goes through the instructions.
struct Walk<'a> {
    escape: char,
    build: &'a Build,
    globals: &'a BTreeMap<String, String>,
    arguments: BTreeMap<String, String>,
    /// `None` while it is the base image's.
    folder: Option<String>,
    /// Whether `CMD` is of the stage at hand, which an `ENTRYPOINT` of it leaves alone.
    cmd_is_own: bool,
    /// Folders that are certain to be there.
    folders: BTreeSet<String>,
    recipe: Recipe,
}

impl<'a> Walk<'a> {
    fn new(escape: char, build: &'a Build, globals: &'a BTreeMap<String, String>) -> Self {
        let (arguments, folders, recipe) = (BTreeMap::new(), BTreeSet::new(), Recipe::default());
        Self { escape, build, globals, arguments, folder: None, cmd_is_own: false, folders, recipe }
    }

    fn walk(mut self, stages: &[Stage], chain: &[usize]) -> Result<Recipe, String> {
        let base = &stages[chain[0]].image;
        self.recipe.base.clone_from(base);
        self.folders.insert("/".to_owned());
        if base == "scratch" {
            self.folder = Some("/".to_owned());
        }
        for at in chain {
            self.arguments.clear();
            self.cmd_is_own = false;
            for (line, step) in &stages[*at].steps {
                self.step(*line, step)?;
            }
        }
        Ok(self.recipe)
    }

    fn step(&mut self, line: usize, step: &Instruction) -> Result<(), String> {
        match step {
            Instruction::Arg(list) => {
                let mut known = self.known();
                declare(list, self.build, self.escape, Some(self.globals), &mut known);
                let values = list.iter().filter_map(|(name, _)| Some((name.clone(), known.get(name)?.clone())));
                self.arguments.extend(values);
            }
            Instruction::Env(pairs) => {
                let known = self.known();
                for (name, value) in pairs {
                    match expand(value, self.escape, &known) {
                        Some(value) => drop(self.recipe.variables.insert(name.clone(), value)),
                        None => drop(self.recipe.variables.remove(name)),
                    }
                }
            }
            Instruction::Workdir(path) => {
                let path = self.expand(path, line)?;
                self.folder = self.absolute(&path);
                self.folders.extend(self.folder.clone());
            }
            Instruction::Run(run) => self.run(line, &run.mounts),
            Instruction::Copy(copy) => self.copy(line, copy)?,
            Instruction::Onbuild(_) => return Err(format!("the Dockerfile has an ONBUILD (line {line})")),
            Instruction::User(user) => self.recipe.user = Some(self.expand(user, line)?),
            Instruction::Volume(list) => self.recipe.volumes.extend(list.iter().map(|path| absolute("/", path))),
            Instruction::Entrypoint(command) => {
                self.recipe.entrypoint = Some(command_words(command));
                // The command of the stage below was meant for its entrypoint.
                if !self.cmd_is_own {
                    self.recipe.cmd = None;
                }
            }
            Instruction::Cmd(command) => {
                self.recipe.cmd = Some(command_words(command));
                self.cmd_is_own = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn run(&mut self, line: usize, mounts: &[String]) {
        let made = std::mem::take(&mut self.recipe.copies);
        let made = made.into_iter().map(|copy| Early { line: copy.line, used: Some(line), path: copy.source });
        self.recipe.early.extend(made);
        for mount in mounts {
            let is_bind = option(mount, &["type"]).is_none_or(|kind| kind == "bind");
            if is_bind && option(mount, &["from"]).is_none() {
                let source = option(mount, &["source", "src"]).unwrap_or_default();
                // What has a variable in it may be anything.
                let path = if source.contains('$') { String::new() } else { relative(&source) };
                self.recipe.early.push(Early { line, used: Some(line), path });
            }
        }
    }

    fn copy(&mut self, line: usize, copy: &Copy) -> Result<(), String> {
        let destination = self.expand(&copy.destination, line)?;
        let target = self.absolute(&destination).ok_or_else(|| {
            format!("the Dockerfile copies to `{destination}` in a folder of its base image (line {line})")
        })?;
        if copy.from.is_some() {
            self.recipe.covered.push((line, target));
            return Ok(());
        }
        let into = copy.sources.len() + copy.heredocs.len() > 1
            || destination.ends_with('/')
            || destination.ends_with("/.")
            || self.is_folder(&target);
        if into {
            self.folders.insert(target.clone());
        }
        for made in &copy.heredocs {
            let path = if into { absolute(&target, &made.name) } else { target.clone() };
            self.recipe.covered.push((line, path));
        }
        // Such copies change files on the way, or leave some out.
        let changes = copy.parents || copy.chmod.is_some() || !copy.exclude.is_empty();
        for source in &copy.sources {
            let source = self.expand(source, line)?;
            if copy.add && is_address(&source) {
                continue;
            }
            let path = relative(&source);
            if changes || (copy.add && is_archive(&path)) {
                self.recipe.early.push(Early { line, used: None, path });
            } else {
                let (target, owner) = (target.clone(), copy.chown.is_some());
                self.recipe.copies.push(Copied { line, source: path, target, into, owner });
            }
        }
        Ok(())
    }

    /// Whether a path is certain to be a folder: the one that the instructions work in, one that something was copied into,
    /// one above such a one.
    fn is_folder(&self, path: &str) -> bool {
        self.folders.iter().any(|folder| Path::new(folder).starts_with(path))
    }

    /// Variables take the place of arguments.
    fn known(&self) -> BTreeMap<String, String> {
        let mut known = self.arguments.clone();
        known.extend(self.recipe.variables.clone());
        known
    }

    fn expand(&self, word: &str, line: usize) -> Result<String, String> {
        let unknown = || format!("the Dockerfile has a variable that only the build knows (line {line})");
        expand(word, self.escape, &self.known()).ok_or_else(unknown)
    }

    fn absolute(&self, path: &str) -> Option<String> {
        if path.starts_with('/') { Some(absolute("/", path)) } else { Some(absolute(self.folder.as_deref()?, path)) }
    }
}

fn command_words(command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text.clone()],
    }
}

fn is_address(source: &str) -> bool {
    source.contains("://") || source.starts_with("git@")
}

/// What `ADD` may unpack.
fn is_archive(path: &str) -> bool {
    [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"]
        .iter()
        .any(|ending| path.to_ascii_lowercase().ends_with(ending))
}

/// An absolute path, by its words alone.
fn absolute(folder: &str, path: &str) -> String {
    let below = if path.starts_with('/') { "" } else { folder };
    let mut parts: Vec<&str> = Vec::new();
    for part in below.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A path of the context, which nothing leads out of.
fn relative(source: &str) -> String {
    absolute("/", source).trim_start_matches('/').to_owned()
}
