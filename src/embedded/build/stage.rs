//! A stage: its steps carried out one after the other, or found in the cache.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustix::fs::{Timespec, Timestamps, futimens};

use super::cache::{Record, key};
use super::copy;
use super::dockerfile;
use super::document;
use super::execute::Build;
use super::instruction::{self, Copy, Instruction};
use super::plan::{self, Base, Step};
use super::problem::suggestion;
use super::scope::{PATH, Scope};
use super::work::{Mounted, Piece, Place, Task, Work};
use crate::embedded::error::Error;
use crate::embedded::id;
use crate::embedded::images::{Document, DocumentRootfs, History, Image, Layer};
use crate::embedded::root::{self, Rootfs};

/// What a stage has become.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) document: Document,
    /// Lowest first.
    pub(super) layers: Vec<Layer>,
    /// Of all that it was made from.
    pub(super) key: String,
    scope: Scope,
}

/// A stage while it is made.
pub(super) struct Stage<'a> {
    pub(super) build: &'a Build,
    /// Its number in the Dockerfile.
    pub(super) at: usize,
    /// Its place among the needed ones.
    pub(super) place: usize,
    pub(super) scope: Scope,
    pub(super) document: Document,
    pub(super) layers: Vec<Layer>,
    pub(super) key: String,
    cmd_is_own: bool,
}

/// Makes a stage; those that it needs have been made.
pub(super) async fn make(build: &Build, at: usize, place: usize) -> Result<Outcome, Error> {
    let planned = &build.plan.stages[at];
    let mut number = build.first_step(place);
    build.step(place, number, &planned.text).await;
    let begun = begin(build, at, place).await;
    let (mut stage, triggers) = begun.map_err(|error| located(error, &build.file, planned.line))?;
    build.teller.say(place, format!(" ---> {}\n", short(&stage.key))).await;
    if !triggers.is_empty() {
        build.teller.say(place, format!("# Executing {} build triggers\n", triggers.len())).await;
    }
    for text in triggers {
        let line = dockerfile::parse_one(planned.line, &text);
        let instruction = instruction::read(&line, '\\').map_err(|problem| problem.of(&build.file))?;
        build.teller.say(place, format!(" ---> {text}\n")).await;
        stage.step(&Step { line, instruction }).await?;
    }
    for step in &planned.steps {
        number += 1;
        build.step(place, number, &step.text()).await;
        stage.step(step).await?;
        build.teller.say(place, format!(" ---> {}\n", short(&stage.key))).await;
    }
    let Stage { document, layers, key, scope, .. } = stage;
    Ok(Outcome { document, layers, key, scope })
}

/// What it begins with, and the triggers of its base image.
async fn begin(build: &Build, at: usize, place: usize) -> Result<(Stage<'_>, Vec<String>), Error> {
    let planned = &build.plan.stages[at];
    let scope =
        |image: &[String]| Scope::new(build.plan.escape, build.arguments.clone(), build.plan.globals.clone(), image);
    build.check_platform(planned.platform.as_deref())?;
    let stage =
        |document, layers, key, scope| Stage { build, at, place, scope, document, layers, key, cmd_is_own: false };
    match &planned.base {
        Base::Stage(base) => {
            let base = build.outcome(*base)?;
            let (document, triggers) = document::inherit(&base.document, &build.platform);
            Ok((stage(document, base.layers.clone(), base.key.clone(), base.scope.clone()), triggers))
        }
        Base::Scratch => {
            let (mut document, _) = document::inherit(&Document::default(), &build.platform);
            document.config.env = Some(vec![format!("PATH={PATH}")]);
            let environment = document.config.env.clone().unwrap_or_default();
            Ok((stage(document, Vec::new(), key(&["scratch", &build.platform]), scope(&environment)), Vec::new()))
        }
        Base::Image(reference) => {
            let image = build.image(reference, place, String::new).await?;
            let environment = image.document.config.env.clone().unwrap_or_default();
            let (document, triggers) = document::inherit(&image.document, &build.platform);
            Ok((stage(document, image.layers.clone(), key(&["image", &image.id]), scope(&environment)), triggers))
        }
    }
}

impl Stage<'_> {
    /// Carries out a step. What goes wrong is told with its place.
    async fn step(&mut self, step: &Step) -> Result<(), Error> {
        let instruction = self.scope.resolve(step.line.number, &step.instruction);
        let instruction = instruction.map_err(|problem| problem.of(&self.build.file))?;
        // On the heap: what a step waits for is more than a thread's stack should hold at every level.
        let done = Box::pin(self.carry_out(step, &instruction)).await;
        done.map_err(|error| located(error, &self.build.file, step.line.number))
    }

    async fn carry_out(&mut self, step: &Step, instruction: &Instruction) -> Result<(), Error> {
        match instruction {
            Instruction::Run(run) => return Box::pin(self.run(step, run)).await,
            Instruction::Copy(copy) => return Box::pin(self.copy(instruction, copy)).await,
            Instruction::Env(_) => self.document.config.env = Some(self.scope.environment()),
            Instruction::Maintainer(name) => self.document.author.clone_from(name),
            _ => {}
        }
        document::apply(&mut self.document.config, instruction, &mut self.cmd_is_own).map_err(Error::Invalid)?;
        let told = document::created_by(instruction, &document::shell(&self.document.config), &[]);
        if let Instruction::Workdir(_) = instruction {
            let folder = self.document.config.working_dir.clone().unwrap_or_default();
            let next = key(&[&self.key, "workdir", &folder]);
            return self.found_or_worked(next, &told, Task::Folder(folder), Vec::new()).await;
        }
        // The value of an argument counts where a command sees it, or a text that it is part of.
        if !matches!(instruction, Instruction::Arg(_)) {
            self.key = key(&[&self.key, &told]);
        }
        self.remember(&told, Utc::now(), true);
        Ok(())
    }

    /// `COPY` and `ADD`.
    async fn copy(&mut self, instruction: &Instruction, copy: &Copy) -> Result<(), Error> {
        let folder = self.document.config.working_dir.clone().unwrap_or_default();
        let mut copying = copy::copying(copy, &folder).map_err(Error::Invalid)?;
        let mut sources = Vec::new();
        let digest = match &copy.from {
            None => {
                copying.pieces = copy::pieces(&self.build.context, copy).map_err(Error::Invalid)?;
                for address in copy.sources.iter().filter(|source| copy.add && copy::is_address(source)) {
                    copying.pieces.push(self.build.fetch(address, copy.checksum.as_deref()).await?);
                }
                copy::digest(&copying.pieces)
            }
            Some(from) => {
                let (layers, name) = self.source(from).await?;
                let path = |source: &String| Piece::Tree {
                    source: 0,
                    path: document::absolute("/", source),
                    parents: copy.parents,
                };
                copying.pieces = copy.sources.iter().map(path).collect();
                sources.push(layers);
                key(&[&name, &copy::digest(&copying.pieces)])
            }
        };
        let told = document::created_by(instruction, &[], &[]);
        let how = format!("{:?}", (&copying.destination, copying.into, copying.unpack, &copying.exclude, copying.mode));
        let owner = copying.owner.clone().unwrap_or_default();
        let next = key(&[&self.key, "copy", &digest, &how, &owner]);
        self.found_or_worked(next, &told, Task::Copy(copying), sources).await
    }

    /// The layers that `--from` means, and what they are known by.
    pub(super) async fn source(&self, from: &str) -> Result<(Vec<Layer>, String), Error> {
        if let Some(stage) = plan::source(&self.build.plan.stages, self.at, from) {
            let outcome = self.build.outcome(stage)?;
            let diff_ids: Vec<&str> = outcome.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
            return Ok((outcome.layers.clone(), key(&diff_ids)));
        }
        let names = || suggestion(from, plan::names(&self.build.plan.stages[..self.at]));
        let Image { id, layers, .. } = self.build.image(from, self.place, names).await?;
        Ok((layers, id))
    }

    /// What the cache has under a key, if its layer is still here.
    pub(super) async fn found(&self, next: &str) -> Option<(Option<Layer>, DateTime<Utc>)> {
        if self.build.options.no_cache {
            return None;
        }
        let record = self.build.cache.find(next)?;
        let layer = match record.made {
            Some(diff_id) => Some(self.build.images.layer(&diff_id).await?),
            None => None,
        };
        self.build.teller.say(self.place, " ---> Using cache\n").await;
        Some((layer, record.created))
    }

    /// Goes on from what a step has made.
    pub(super) fn keep(&mut self, next: String, told: &str, (layer, created): (Option<Layer>, DateTime<Utc>)) {
        self.key = next;
        self.remember(told, created, layer.is_none());
        if let Some(layer) = layer {
            self.document.rootfs.diff_ids.push(layer.diff_id.clone());
            self.layers.push(layer);
        }
    }

    fn remember(&mut self, told: &str, created: DateTime<Utc>, empty_layer: bool) {
        let created = Some(self.build.epoch.unwrap_or(created));
        let created_by = told.to_owned();
        self.document.history.push(History { created, created_by, empty_layer, ..History::default() });
    }

    /// Has a helper work on the files, unless the cache has what would come of it.
    async fn found_or_worked(
        &mut self,
        next: String,
        told: &str,
        task: Task,
        sources: Vec<Vec<Layer>>,
    ) -> Result<(), Error> {
        let made = match self.found(&next).await {
            Some(found) => found,
            None => self.work(&next, task, sources).await?,
        };
        self.keep(next, told, made);
        Ok(())
    }

    async fn work(
        &self,
        next: &str,
        task: Task,
        sources: Vec<Vec<Layer>>,
    ) -> Result<(Option<Layer>, DateTime<Utc>), Error> {
        let room = Room::new(self.build)?;
        let mounted = |layers: &[Layer], name: &str| -> Result<Mounted, Error> {
            Ok(Mounted { rootfs: room.rootfs(layers, name, None)?, at: room.path.join(format!("{name}-root")) })
        };
        let mut from = Vec::new();
        for (number, layers) in sources.iter().enumerate() {
            from.push(mounted(layers, &format!("from-{number}"))?);
        }
        let work = Work {
            place: Place::Mounted(mounted(&self.layers, "step")?),
            sources: from,
            spool: Some(self.build.context.spool.clone()),
            tasks: vec![task],
            epoch: self.build.epoch.map_or(0, |epoch| epoch.timestamp()),
        };
        self.build.help(&work).await?;
        let made = self.take_in(&room.upper("step"), next).await?;
        room.leave().await?;
        Ok(made)
    }

    /// Makes a layer of what was written, and a record of it.
    pub(super) async fn take_in(&self, upper: &Path, next: &str) -> Result<(Option<Layer>, DateTime<Utc>), Error> {
        let written = fs::read_dir(upper).is_ok_and(|mut entries| entries.next().is_some());
        let layer = if written { Some(self.build.images.add_layer(upper).await?) } else { None };
        let created = Utc::now();
        let made = layer.as_ref().map(|layer| layer.diff_id.clone());
        self.build.cache.keep(next, &Record { made, created })?;
        Ok((layer, created))
    }
}

/// A folder for what a step needs while it is carried out. What is left of it goes with the build's own.
#[derive(Debug)]
pub(super) struct Room {
    /// Also names the container of a `RUN`, so that a daemon that comes back finds it.
    pub(super) id: String,
    pub(super) path: PathBuf,
    /// The time of a root that no layer has.
    epoch: i64,
}

impl Room {
    pub(super) fn new(build: &Build) -> Result<Self, Error> {
        let id = id::random();
        let path = build.staging.join(&id);
        fs::create_dir(&path).map_err(Error::io(format!("make `{}`", path.display())))?;
        Ok(Self { id, path, epoch: build.epoch.map_or(0, |epoch| epoch.timestamp()) })
    }

    /// Where is written.
    pub(super) fn upper(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}-upper"))
    }

    /// Layers (lowest first) below a written one, and `lowest` below them all.
    pub(super) fn rootfs(&self, layers: &[Layer], name: &str, lowest: Option<PathBuf>) -> Result<Rootfs, Error> {
        let upper = self.upper(name);
        let work = self.path.join(format!("{name}-work"));
        let like = layers.last().map(|layer| layer.folder.as_path());
        let made = fs::create_dir(&upper).and_then(|()| fs::create_dir(&work)).and_then(|()| self.like(&upper, like));
        made.map_err(Error::io(format!("make `{}`", upper.display())))?;
        let lower = layers.iter().rev().map(|layer| layer.folder.clone()).chain(lowest).collect();
        Ok(Rootfs::Layers { lower, upper, work })
    }

    /// The root folder of a file system is that of its topmost layer: it must look like the one below.
    fn like(&self, upper: &Path, below: Option<&Path>) -> std::io::Result<()> {
        let below = below.map(fs::metadata).transpose()?;
        let (mode, time) = below
            .as_ref()
            .map_or((0o755, (self.epoch, 0)), |below| (below.mode() & 0o7777, (below.mtime(), below.mtime_nsec())));
        if let Some(below) = below {
            chown(upper, Some(below.uid()), Some(below.gid()))?;
        }
        fs::set_permissions(upper, fs::Permissions::from_mode(mode))?;
        let time = Timespec { tv_sec: time.0, tv_nsec: time.1 };
        futimens(fs::File::open(upper)?, &Timestamps { last_access: time, last_modification: time })?;
        Ok(())
    }

    pub(super) async fn leave(self) -> Result<(), Error> {
        root::remove(&self.path).await
    }
}

/// The beginning of a key or digest, as Docker shows ids.
pub(super) fn short(key: &str) -> &str {
    key.get(..12).unwrap_or(key)
}

/// An error with the place in the Dockerfile in front; one that has a place already stays.
fn located(error: Error, file: &str, line: usize) -> Error {
    let place = format!("{file}:{line}");
    let with = |text: String| if text.contains(&place) { text } else { format!("{place}: {text}") };
    match error {
        Error::NotFound(text) => Error::NotFound(with(text)),
        Error::Conflict(text) => Error::Conflict(with(text)),
        Error::Invalid(text) => Error::Invalid(with(text)),
        Error::Forbidden(text) => Error::Forbidden(with(text)),
        Error::Unsupported(text) => Error::Unsupported(with(text)),
        Error::Failed(text) => Error::Failed(with(text)),
        Error::NotModified => Error::NotModified,
    }
}

/// The parts of an image's document that a build fills in at its end.
pub(super) fn finish(mut document: Document, layers: &[Layer], created: DateTime<Utc>) -> Document {
    document.created = Some(created);
    let diff_ids = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    document.rootfs = DocumentRootfs { kind: "layers".into(), diff_ids };
    document
}

/// A stage's outcome as others wait for it.
pub(super) type Made = Option<Arc<Outcome>>;
