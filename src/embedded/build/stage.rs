//! A stage: its steps carried out one after the other, or found in the cache.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rustix::fs::{Timespec, Timestamps, futimens};
use tokio::sync::OnceCell;

use super::Named;
use super::cache::{Record, key};
use super::context::Context;
use super::copy;
use super::document;
use super::execute::{Build, given_up};
use super::plan::{self, Base, Step};
use super::scope::{PATH, Scope};
use super::work::{Mounted, Piece, Place, Task, Work};
use crate::dockerfile;
use crate::dockerfile::instruction::{self, Copy, Instruction};
use crate::dockerfile::problem::suggestion;
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
    /// Whether it carries out triggers of its base image, of which the Dockerfile knows nothing.
    triggered: bool,
    no_cache: bool,
}

/// Where something is taken from.
pub(super) enum Taken<'a> {
    /// A stage or an image: its layers, and what they are known by.
    Layers(Vec<Layer>, String),
    /// The context.
    Context(&'a Context),
    /// Another folder of the client.
    Folder(Arc<OnceCell<Context>>),
}

/// A folder that has been received.
pub(super) fn context(folder: &OnceCell<Context>) -> Result<&Context, Error> {
    folder.get().ok_or_else(given_up)
}

/// Makes a stage; those that it needs have been made.
pub(super) async fn make(build: &Build, at: usize, place: usize) -> Result<Outcome, Error> {
    let planned = &build.plan.stages[at];
    let first = build.first_step(place);
    let mut names = Names::of(build, at);
    build.begin(place, first, &planned.text, Some(names.next(&planned.base_text()))).await;
    let begun = Box::pin(begin(build, at, place)).await;
    let (mut stage, triggers) = begun.map_err(|error| located(error, &build.file, planned.line))?;
    build.teller.made(place, short(&stage.key)).await;
    if !triggers.is_empty() {
        build.teller.triggers(place, triggers.len()).await;
    }
    stage.triggered = true;
    for (number, text) in triggers.iter().enumerate() {
        let line = dockerfile::parse_one(planned.line, text);
        let instruction = instruction::read(&line, '\\').map_err(|problem| Error::Invalid(problem.of(&build.file)))?;
        build.teller.trigger(place, (first, number), text).await;
        stage.step(&Step { line, instruction }).await?;
        build.teller.made(place, short(&stage.key)).await;
    }
    stage.triggered = false;
    for (number, step) in planned.steps.iter().enumerate() {
        let text = step.text();
        let name = step.is_work().then(|| names.next(&text));
        build.begin(place, first + 1 + number, &text, name).await;
        stage.step(step).await?;
        build.teller.made(place, short(&stage.key)).await;
    }
    let Stage { document, layers, key, scope, .. } = stage;
    Ok(Outcome { document, layers, key, scope })
}

/// What the steps of a stage are called by a client that draws them: `[name 2/3] RUN …`.
struct Names {
    /// Of the stage, where there are several.
    stage: String,
    all: usize,
    told: usize,
}

impl Names {
    fn of(build: &Build, at: usize) -> Self {
        let planned = &build.plan.stages[at];
        let several = build.plan.stages.len() > 1;
        let stage = if several { format!("{} ", planned.shown(at)) } else { String::new() };
        Self { stage, all: planned.steps.iter().filter(|step| step.is_work()).count() + 1, told: 0 }
    }

    fn next(&mut self, text: &str) -> String {
        self.told += 1;
        format!("[{}{}/{}] {text}", self.stage, self.told, self.all)
    }
}

/// What it begins with, and the triggers of its base image.
async fn begin(build: &Build, at: usize, place: usize) -> Result<(Stage<'_>, Vec<String>), Error> {
    let planned = &build.plan.stages[at];
    let scope =
        |image: &[String]| Scope::new(build.plan.escape, build.arguments.clone(), build.plan.globals.clone(), image);
    build.check_platform(planned.platform.as_deref())?;
    let no_cache = build.options.no_cache
        || build.options.no_cache_for.iter().any(|name| name.eq_ignore_ascii_case(&planned.shown(at)));
    let stage = |document, layers, key, scope| {
        let (cmd_is_own, triggered) = (false, false);
        Stage { build, at, place, scope, document, layers, key, cmd_is_own, triggered, no_cache }
    };
    let scratch = |key| {
        let (mut document, _) = document::inherit(&Document::default(), &build.platform);
        document.config.env = Some(vec![format!("PATH={PATH}")]);
        let environment = document.config.env.clone().unwrap_or_default();
        (stage(document, Vec::new(), key, scope(&environment)), Vec::new())
    };
    let on = |base: &Document, layers: Vec<Layer>, key| {
        let environment = base.config.env.clone().unwrap_or_default();
        let (document, triggers) = document::inherit(base, &build.platform);
        (stage(document, layers, key, scope(&environment)), triggers)
    };
    match &planned.base {
        Base::Stage(base) => {
            let base = build.outcome(*base)?;
            let (document, triggers) = document::inherit(&base.document, &build.platform);
            Ok((stage(document, base.layers.clone(), base.key.clone(), base.scope.clone()), triggers))
        }
        Base::Scratch => Ok(scratch(key(&["scratch", &build.platform]))),
        Base::Image(reference) => match build.named(reference) {
            Some(Named::Product(product)) => {
                let base = &product.outcome;
                Ok(on(&base.document, base.layers.clone(), base.key.clone()))
            }
            Some(Named::Folder(_)) => {
                // Its files are the whole of it.
                let (mut stage, triggers) = scratch(key(&["folder", &build.platform]));
                let (sources, destination) = (vec!["/".to_owned()], "/".to_owned());
                let copy = Copy { from: Some(reference.clone()), sources, destination, ..Copy::default() };
                stage.copy(&Instruction::Copy(copy.clone()), &copy).await?;
                Ok((stage, triggers))
            }
            named => {
                let reference = if let Some(Named::Image(other)) = named { other } else { reference };
                let image = build.image(reference, place, String::new).await?;
                Ok(on(&image.document, image.layers.clone(), key(&["image", &image.id])))
            }
        },
    }
}

impl Stage<'_> {
    /// Carries out a step. What goes wrong is told with its place.
    async fn step(&mut self, step: &Step) -> Result<(), Error> {
        let instruction = self.scope.resolve(step.line.number, &step.instruction);
        let instruction = instruction.map_err(|problem| Error::Invalid(problem.of(&self.build.file)))?;
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
            return self.found_or_worked(next, &told, Task::Folder(folder), Vec::new(), None).await;
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
        let (mut sources, mut spool) = (Vec::new(), None);
        let mut from_files = |files: &Context, pieces: &mut Vec<Piece>| {
            *pieces = copy::pieces(files, copy).map_err(Error::Invalid)?;
            spool = Some(files.spool.clone());
            Ok::<_, Error>(())
        };
        let wants_files = copy.from.is_some() || copy.sources.iter().any(|one| !(copy.add && copy::is_address(one)));
        let mut name = None;
        if wants_files {
            match self.taken(copy.from.as_deref()).await? {
                Taken::Context(files) => from_files(files, &mut copying.pieces)?,
                Taken::Folder(files) => from_files(context(&files)?, &mut copying.pieces)?,
                Taken::Layers(layers, known_by) => {
                    let path = |source: &String| Piece::Tree {
                        source: 0,
                        path: document::absolute("/", source),
                        parents: copy.parents,
                    };
                    copying.pieces = copy.sources.iter().map(path).collect();
                    sources.push(layers);
                    name = Some(known_by);
                }
            }
        } else {
            copying.pieces = copy::heredocs(copy);
        }
        for address in copy.sources.iter().filter(|source| copy.add && copy::is_address(source)) {
            copying.pieces.push(self.build.fetch(address, copy.checksum.as_deref()).await?);
        }
        let digest = copy::digest(&copying.pieces);
        let digest = name.map_or(digest.clone(), |name| key(&[&name, &digest]));
        let told = document::created_by(instruction, &[], &[]);
        let how = format!("{:?}", (&copying.destination, copying.into, copying.unpack, &copying.exclude, copying.mode));
        let owner = copying.owner.clone().unwrap_or_default();
        let next = key(&[&self.key, "copy", &digest, &how, &owner]);
        self.found_or_worked(next, &told, Task::Copy(copying), sources, spool).await
    }

    /// What `--from` means; without it the context.
    pub(super) async fn taken(&self, from: Option<&str>) -> Result<Taken<'_>, Error> {
        let Some(from) = from else { return Ok(Taken::Context(self.build.files.context(self.triggered).await?)) };
        let layers = |outcome: &Outcome| {
            let diff_ids: Vec<&str> = outcome.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
            Taken::Layers(outcome.layers.clone(), key(&diff_ids))
        };
        let image = match self.build.named(from) {
            Some(Named::Folder(folder)) => return Ok(Taken::Folder(self.build.files.folder(folder, from).await?)),
            Some(Named::Product(product)) => return Ok(layers(&product.outcome)),
            Some(Named::Image(image)) => image,
            None => from,
        };
        let plan = &self.build.plan;
        if let Some(stage) = plan::source(&plan.stages, self.at, from, &plan.named) {
            return Ok(layers(&*self.build.outcome(stage)?));
        }
        let names = || suggestion(from, plan::names(&plan.stages[..self.at]));
        let Image { id, layers, .. } = self.build.image(image, self.place, names).await?;
        Ok(Taken::Layers(layers, id))
    }

    /// What the cache has under a key, if its layer is still here.
    pub(super) async fn found(&self, next: &str) -> Option<(Option<Layer>, DateTime<Utc>)> {
        if self.no_cache {
            return None;
        }
        let record = self.build.cache.find(next)?;
        let layer = match record.made {
            Some(diff_id) => Some(self.build.images.layer(&diff_id).await?),
            None => None,
        };
        self.build.teller.cached(self.place).await;
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
        let Document { history, steps, .. } = &mut self.document;
        // The base may be another builder's.
        steps.resize(history.len(), String::new());
        history.push(History { created, created_by, empty_layer, ..History::default() });
        steps.push(self.key.clone());
    }

    /// Has a helper work on the files, unless the cache has what would come of it.
    async fn found_or_worked(
        &mut self,
        next: String,
        told: &str,
        task: Task,
        sources: Vec<Vec<Layer>>,
        spool: Option<PathBuf>,
    ) -> Result<(), Error> {
        let made = match self.found(&next).await {
            Some(found) => found,
            None => self.work(&next, task, sources, spool).await?,
        };
        self.keep(next, told, made);
        Ok(())
    }

    async fn work(
        &self,
        next: &str,
        task: Task,
        sources: Vec<Vec<Layer>>,
        spool: Option<PathBuf>,
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
            spool,
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

/// An error with the place in the Dockerfile in front (see [`super::place`]); one that has a place already stays.
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
