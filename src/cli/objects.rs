//! The objects of a project, for `export` and whoever applies them: what the command line says of them, the files that
//! they are to hold, and what became of the manifest.
//!
//! Reads files, git's revision and, when digests are asked for, an engine; writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueEnum};

use super::error::Error;
use super::global::Global;
use super::seal;
use crate::content::Hashes;
use crate::engine::context::inputs_digest;
use crate::engine::docker::Docker;
use crate::export::{self, Export, File, FolderFile, Options, SecretValues, wanted_files};
use crate::plan::spec;
use crate::project::Project;
use crate::project::kubernetes::{SecretStore, ServiceType};

/// The most of a file or a folder that is read, in bytes: more does not fit into an object.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The most files of a folder that is small enough for an object.
const FOLDER_LIMIT: usize = 64;

/// How the objects are made.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Objects")]
pub(super) struct Objects {
    /// Put this before the names of images that the project builds: `registry.example.com/team`
    #[arg(long, value_name = "PREFIX")]
    registry: Option<String>,
    /// Tag images that the project builds with git's revision (`git`), a digest of what they are built from (`digest`),
    /// or this word
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// Name images that are pulled by their digest, which is asked of their registry
    #[arg(long)]
    pin: bool,
    /// The namespace of the objects, which is made too
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// What stands in Secrets: `placeholder`, the `values` of this machine, or nothing: `external-secrets` are fetched
    /// from a store, values that are `sealed` only the cluster can read
    #[arg(long, value_name = "WHAT", default_value = "placeholder", hide_possible_values = true)]
    secrets: Secrets,
    /// The store that external secrets are fetched from, one of the cluster
    #[arg(long, value_name = "NAME")]
    secret_store: Option<String>,
    /// The certificate that secrets are sealed with, in PEM, as `kubeseal --fetch-cert` prints it
    #[arg(long, value_name = "FILE", required_if_eq("secrets", "sealed"))]
    sealing_certificate: Option<PathBuf>,
    /// How published ports are reached: `ClusterIP`, `NodePort` or `LoadBalancer`
    #[arg(long, value_name = "TYPE", hide_possible_values = true)]
    service_type: Option<Type>,
    /// How pods wait for what they depend on: `init` containers, or `none` where programs try again by themselves
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    wait: Option<Wait>,
    /// The image that they wait with; it has `sh`, `nc`, `nslookup` and, where Jobs are waited for, `curl`
    #[arg(long, value_name = "IMAGE")]
    wait_image: Option<String>,
    /// Allow only the connections that the manifest tells of
    #[arg(long)]
    network_policies: bool,
    /// Tags and digests that are known already.
    #[arg(skip)]
    known: Option<Known>,
}

/// Tags and digests of images. They come from git, from a project's files and from registries, and are others there before
/// anything of the manifest is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Known {
    /// The tags of images that the project builds, by service.
    pub(super) tags: BTreeMap<String, String>,
    /// The images that are written with their digest, by how the manifest names them.
    pub(super) pins: BTreeMap<String, String>,
}

/// What goes into Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Secrets {
    /// A word that says that the value is still to be supplied.
    Placeholder,
    /// The values of this machine.
    Values,
    /// Nothing: an operator fetches them.
    #[value(name = "external-secrets")]
    External,
    /// The values of this machine, encrypted for the cluster.
    Sealed,
}

/// How published ports are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Type {
    #[value(name = "ClusterIP", alias = "clusterip")]
    ClusterIp,
    #[value(name = "NodePort", alias = "nodeport")]
    NodePort,
    #[value(name = "LoadBalancer", alias = "loadbalancer")]
    LoadBalancer,
}

/// How pods wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Wait {
    Init,
    None,
}

impl Objects {
    /// Whether values that somebody filled in by hand stand in the files of an earlier export.
    pub(super) fn keeps_supplied(&self) -> bool {
        self.secrets == Secrets::Placeholder
    }

    /// The namespace that is asked for.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Says in which namespace the objects are to be.
    pub(super) fn within(&mut self, namespace: &str) {
        self.namespace = Some(namespace.to_owned());
    }

    /// Finds the tags and digests out, which are used from then on.
    pub(super) async fn learn(&mut self, global: &Global, project: &Project) -> Result<Known, Error> {
        let tags = self.tags(project).await?;
        let pins = if self.pin { pins(global, project).await? } else { BTreeMap::new() };
        self.know(Known { tags: tags.clone(), pins: pins.clone() });
        Ok(Known { tags, pins })
    }

    /// Uses tags and digests that were found out before.
    pub(super) fn know(&mut self, known: Known) {
        self.known = Some(known);
    }

    /// The images that the project builds, by service.
    pub(super) async fn images(&self, global: &Global, project: &Project) -> Result<BTreeMap<String, String>, Error> {
        Ok(export::kubernetes(project, &self.options(global, project).await?).images)
    }

    /// Makes the objects.
    ///
    /// # Errors
    /// When the manifest lacks something, or a digest cannot be had.
    pub(super) async fn make(&self, global: &Global, project: &Project) -> Result<Export, Error> {
        let options = self.options(global, project).await?;
        let mut made = export::kubernetes(project, &options);
        if !made.refusals.is_empty() {
            return Err(refused(&made));
        }
        if let (Secrets::Sealed, Some(path)) = (self.secrets, &self.sealing_certificate) {
            seal_all(&mut made, path)?;
        }
        let violations = export::check(&made.objects, &made.external);
        if violations.is_empty() { Ok(made) } else { Err(unacceptable(&violations)) }
    }

    async fn options(&self, global: &Global, project: &Project) -> Result<Options, Error> {
        let store = self.secret_store.clone().map(|name| SecretStore { name, is_namespaced: false });
        let secrets = match self.secrets {
            Secrets::Placeholder => SecretValues::Placeholder,
            Secrets::Values | Secrets::Sealed => SecretValues::Values,
            Secrets::External => SecretValues::External(store),
        };
        let known = match &self.known {
            Some(known) => known.clone(),
            None => self.clone().learn(global, project).await?,
        };
        Ok(Options {
            registry: self.registry.clone(),
            tags: known.tags,
            pins: known.pins,
            files: read_files(project, &secrets),
            secrets,
            namespace: self.namespace.clone(),
            service_type: self.service_type.map(|it| match it {
                Type::ClusterIp => ServiceType::ClusterIp,
                Type::NodePort => ServiceType::NodePort,
                Type::LoadBalancer => ServiceType::LoadBalancer,
            }),
            waits: self.wait.map(|wait| wait == Wait::Init),
            wait_image: self.wait_image.clone(),
            network_policies: self.network_policies,
        })
    }

    /// The tags of images that the project builds.
    async fn tags(&self, project: &Project) -> Result<BTreeMap<String, String>, Error> {
        let mut tags = BTreeMap::new();
        let hashes = Hashes::of_project(&project.directory);
        let Some(tag) = &self.tag else { return Ok(tags) };
        let revision = if tag == "git" { revision(&project.directory)? } else { tag.clone() };
        for service in project.services.values().filter(|service| service.build.is_some()) {
            let mut own = revision.clone();
            if tag == "digest"
                && let Some(spec) = spec::build(project, service)
            {
                let digest = inputs_digest(&spec, &hashes).await;
                own = digest.map_err(Error::engine(format!("read what `{}` is built from", service.name)))?;
                own.truncate(12);
            }
            tags.insert(service.name.clone(), own);
        }
        Ok(tags)
    }
}

fn refused(export: &Export) -> Error {
    let messages: Vec<&str> = export.refusals.iter().map(|refusal| refusal.message.as_str()).collect();
    Error::Failed {
        message: messages.join("\nerror: "),
        hint: export.refusals.first().map(|refusal| refusal.hint.clone()),
    }
}

fn unacceptable(violations: &[export::Violation]) -> Error {
    let message = violations.iter().fold("a cluster would refuse the objects".to_owned(), |mut text, violation| {
        let _ = write!(text, "\n  {violation}");
        text
    });
    Error::Failed { message, hint: Some("this is a mistake of hoist; please report it with the manifest".into()) }
}

/// Git's short revision of a folder, with `-dirty` when something in it is not committed.
fn revision(folder: &Path) -> Result<String, Error> {
    let git = |words: &[&str]| -> Result<String, Error> {
        let output = Command::new("git").arg("-C").arg(folder).args(words).output();
        let output = output.map_err(Error::io("run `git`"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Failed {
            message: format!("git knows no revision of `{}`: {said}", folder.display()),
            hint: Some("commit something first, or give `--tag digest` or a word of your own".into()),
        })
    };
    let revision = git(&["rev-parse", "--short=12", "HEAD"])?;
    let is_clean = git(&["status", "--porcelain", "--untracked-files=normal", "--", "."])?.is_empty();
    Ok(if is_clean { revision } else { format!("{revision}-dirty") })
}

/// The images that are pulled, by digest.
async fn pins(global: &Global, project: &Project) -> Result<BTreeMap<String, String>, Error> {
    let pulled = project.services.values().filter(|service| service.build.is_none() && service.provider.is_none());
    let images: BTreeSet<&String> = pulled.filter_map(|service| service.image.as_ref()).collect();
    let mut pins = BTreeMap::new();
    if images.is_empty() {
        return Ok(pins);
    }
    let docker = Docker::connect(global.engine.as_deref()).await.map_err(Error::engine("reach an engine"))?;
    for image in images.into_iter().filter(|image| !image.contains('@')) {
        let digest = docker.digest(image).await;
        let digest = digest.map_err(Error::engine(format!("learn the digest of `{image}`")))?;
        pins.insert(image.clone(), format!("{image}@{digest}"));
    }
    Ok(pins)
}

/// Encrypts the Secrets for the cluster.
fn seal_all(export: &mut Export, path: &Path) -> Result<(), Error> {
    let text = fs::read_to_string(path).map_err(Error::io(format!("read `{}`", path.display())))?;
    let failed = |error: seal::SealError| Error::Failed {
        message: format!("cannot seal the secrets: {error}"),
        hint: error.hint().map(str::to_owned),
    };
    let key = seal::key(&text).map_err(failed)?;
    seal::seal(export, &key).map_err(failed)
}

/// Reads the files that the objects are to hold.
fn read_files(project: &Project, secrets: &SecretValues) -> BTreeMap<PathBuf, File> {
    let read = |path: PathBuf| {
        let file = read_file(&path).unwrap_or(File::Missing);
        (path, file)
    };
    wanted_files(project, secrets).into_iter().map(read).collect()
}

fn read_file(path: &Path) -> io::Result<File> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        return Ok(read_folder(path).map_or(File::Folder, File::SmallFolder));
    }
    // Opening a pipe would wait for somebody to write to it.
    if !metadata.is_file() {
        return Ok(File::Special);
    }
    let bytes = read_bytes(path, FILE_LIMIT)?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Ok(File::TooLarge);
    }
    Ok(File::Content { bytes, executable: is_executable(&metadata) })
}

/// One byte more than the limit at the most, so that who asks sees that there is more.
fn read_bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// All files of a folder; nothing when there are too many, too large or other things in it.
fn read_folder(folder: &Path) -> Option<BTreeMap<String, FolderFile>> {
    let mut files = BTreeMap::new();
    let mut left = FILE_LIMIT;
    let mut open = vec![folder.to_owned()];
    let mut seen = 0;
    while let Some(current) = open.pop() {
        for entry in fs::read_dir(&current).ok()? {
            let path = entry.ok()?.path();
            seen += 1;
            // Where a link leads to is not looked at: it may be out of the folder, or back into it.
            let metadata = fs::symlink_metadata(&path).ok()?;
            if metadata.is_dir() && seen <= FOLDER_LIMIT {
                open.push(path);
                continue;
            }
            if !metadata.is_file() || seen > FOLDER_LIMIT {
                return None;
            }
            let bytes = read_bytes(&path, left).ok()?;
            left = left.checked_sub(bytes.len() as u64)?;
            let way = path.strip_prefix(folder).ok()?.to_str()?.replace('\\', "/");
            files.insert(way, FolderFile { bytes, executable: is_executable(&metadata) });
        }
    }
    Some(files)
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}
