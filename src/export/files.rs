//! Files of the manifest inside objects: `configs`, `secrets`, and single files that are bound into a container.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapProjection, ConfigMapVolumeSource, KeyToPath, ProjectedVolumeSource, Secret, SecretProjection,
    SecretVolumeSource, Volume, VolumeMount, VolumeProjection,
};

use crate::project::{BuildContext, FileGrant, FileObject, FileSource, Mount, MountSource, Project, Service};

use super::name::{data_key, files_object, label};
use super::pod::{Mounts, Parts, metadata};
use super::secrecy::is_secret_file;
use super::{Context, Export, Kind, Object, PLACEHOLDER, Reference, SecretValues, Supply, image, service_key};

/// The most that a `ConfigMap` or Secret holds, in bytes.
pub(super) const OBJECT_LIMIT: usize = 1024 * 1024;

/// What the edge found at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum File {
    /// A file small enough for an object.
    Content {
        /// All of it.
        bytes: Vec<u8>,
        /// Whether anybody may execute it.
        executable: bool,
    },
    /// A file of more than 1 MiB.
    TooLarge,
    /// A folder that is too large for an object, or has something else than files in it.
    Folder,
    /// A folder small enough for an object: all of its files, by their way from there.
    SmallFolder(BTreeMap<String, FolderFile>),
    /// A socket, a device or the like.
    Special,
    /// Nothing, or nothing that can be read.
    Missing,
}

/// A file of a small folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderFile {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Whether anybody may execute it.
    pub executable: bool,
}

/// The files whose content an export needs, absolute. Secrets are asked for only when their values are to be written.
#[must_use]
pub fn wanted_files(project: &Project, secrets: &SecretValues) -> BTreeSet<PathBuf> {
    let mut wanted = BTreeSet::new();
    for service in project.services.values() {
        wanted.extend(service.build.as_ref().and_then(image::dockerfile));
        for mount in &service.mounts {
            if let MountSource::Bind { path, .. } = &mount.source {
                wanted.insert(path.clone());
            }
        }
        let mut granted: Vec<&FileObject> =
            service.configs.iter().filter_map(|grant| project.configs.get(&grant.key)).collect();
        if *secrets == SecretValues::Values {
            granted.extend(service.secrets.iter().filter_map(|grant| project.secrets.get(&grant.key)));
        }
        for object in granted {
            if let FileSource::File(path) = &object.source {
                wanted.insert(path.clone());
            }
        }
    }
    wanted
}

/// Writes the objects of the configs and secrets that services are given.
pub(super) fn shared(context: &Context<'_>, export: &mut Export) {
    let project = context.project;
    let granted = |grants: fn(&Service) -> &Vec<FileGrant>| -> BTreeSet<&str> {
        project.services.values().flat_map(grants).map(|grant| grant.key.as_str()).collect()
    };
    for key in granted(|service| &service.configs) {
        if let (Some(object), Some(name)) = (project.configs.get(key), context.names.configs.get(key)) {
            match content(context, Sort::Config, object) {
                Content::Known(bytes) => {
                    let entries = BTreeMap::from([(data_key(key), bytes)]);
                    export.objects.push(config_map(context, name, None, entries));
                }
                Content::External => external(Kind::ConfigMap, key, object, export),
                Content::Absent(reason) => export.dropped(format!("configs.{key}"), reason),
            }
        }
    }
    for key in granted(|service| &service.secrets) {
        if let (Some(object), Some(name)) = (project.secrets.get(key), context.names.secrets.get(key)) {
            match content(context, Sort::Secret, object) {
                Content::Known(bytes) => {
                    if context.options.secrets != SecretValues::Values {
                        export.supplies.push(Supply {
                            kind: Kind::Secret,
                            object: name.clone(),
                            key: Some(data_key(key)),
                        });
                    }
                    let entries = BTreeMap::from([(data_key(key), bytes)]);
                    export.objects.push(secret(context, name, None, entries));
                }
                Content::External => external(Kind::Secret, key, object, export),
                Content::Absent(reason) => export.dropped(format!("secrets.{key}"), reason),
            }
        }
    }
}

/// What somebody else makes is referred to by the name that it has outside.
fn external(kind: Kind, key: &str, object: &FileObject, export: &mut Export) {
    let name = label(&object.name);
    export.external.insert(Reference { kind, name: name.clone() });
    export.supplies.push(Supply { kind, object: name, key: Some(data_key(key)) });
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Config,
    Secret,
}

enum Content {
    Known(Vec<u8>),
    External,
    Absent(&'static str),
}

fn content(context: &Context<'_>, sort: Sort, object: &FileObject) -> Content {
    if object.source == FileSource::External {
        return Content::External;
    }
    if sort == Sort::Secret && context.options.secrets != SecretValues::Values {
        return Content::Known(PLACEHOLDER.as_bytes().to_vec());
    }
    match &object.source {
        FileSource::Content(text) => bounded(text.as_bytes()),
        FileSource::Environment { value, .. } => bounded(value.as_bytes()),
        FileSource::External => Content::External,
        FileSource::File(path) => match context.options.files.get(path) {
            Some(File::Content { bytes, .. }) => bounded(bytes),
            Some(File::TooLarge) => Content::Absent(TOO_LARGE),
            Some(File::Folder | File::SmallFolder(_)) => {
                Content::Absent("it is a folder, and an object holds single files")
            }
            Some(File::Special) => Content::Absent("it is not a plain file"),
            Some(File::Missing) | None => Content::Absent("its file cannot be read"),
        },
    }
}

const TOO_LARGE: &str = "it is larger than the 1 MiB that an object holds; put it into the image or on a volume";

fn bounded(bytes: &[u8]) -> Content {
    if bytes.len() > OBJECT_LIMIT { Content::Absent(TOO_LARGE) } else { Content::Known(bytes.to_vec()) }
}

/// Mounts the configs and secrets that a service is given.
pub(super) fn grants(
    context: &Context<'_>,
    service: &Service,
    parts: &mut Parts,
    mounts: &mut Mounts,
    export: &mut Export,
) {
    let project = context.project;
    let sorts = [
        (Sort::Config, "configs", &service.configs, &project.configs, &context.names.configs),
        (Sort::Secret, "secrets", &service.secrets, &project.secrets, &context.names.secrets),
    ];
    for (sort, attribute, grants, objects, names) in sorts {
        for grant in grants {
            let (Some(object), Some(name)) = (objects.get(&grant.key), names.get(&grant.key)) else { continue };
            let manifest_key = service_key(service, &format!("{attribute}.{}", grant.key));
            let name = match content(context, sort, object) {
                Content::Known(_) => name.clone(),
                Content::External => label(&object.name),
                Content::Absent(_) => {
                    export.dropped(manifest_key, format!("`{attribute}.{}` could not be carried over", grant.key));
                    continue;
                }
            };
            if grant.uid.is_some() || grant.gid.is_some() {
                export.dropped(manifest_key.clone(), "a mounted file belongs to root; only its mode can be chosen");
            }
            let key = data_key(&grant.key);
            let item = KeyToPath { path: key.clone(), key: key.clone(), mode: Some(mode(grant.mode.unwrap_or(0o444))) };
            let volume = match sort {
                Sort::Config => config_volume(&name, vec![item]),
                Sort::Secret => secret_volume(&name, vec![item]),
            };
            let mount = single_file(&grant.target, key);
            parts.mount(&manifest_key, &format!("{attribute}-{name}"), volume, mount, mounts, export);
        }
    }
}

/// Mounts the single files that are bound into a service: a `ConfigMap` or Secret holds their content. Everything else
/// that is bound is of use only where the folder is.
pub(super) fn binds(
    context: &Context<'_>,
    service: &Service,
    parts: &mut Parts,
    mounts: &mut Mounts,
    export: &mut Export,
) {
    let mut plain = Bundle::new(Sort::Config);
    let mut confidential = Bundle::new(Sort::Secret);
    for mount in &service.mounts {
        let MountSource::Bind { path, .. } = &mount.source else { continue };
        let key = service_key(service, &format!("volumes.{}", mount.target));
        let (bytes, executable) = match context.options.files.get(path) {
            Some(File::Content { bytes, executable }) => (bytes, *executable),
            Some(File::SmallFolder(files)) if !is_built_in(service, path) && !files.is_empty() => {
                folder(context, service, mount, files, parts, mounts, export);
                continue;
            }
            other => {
                export.dropped(key, absent_bind(path, other));
                continue;
            }
        };
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let bundle = if is_secret_file(&file_name, bytes) { &mut confidential } else { &mut plain };
        if bundle.size + bytes.len() > OBJECT_LIMIT {
            export.dropped(key, "together with the service's other files it is more than the 1 MiB of an object");
            continue;
        }
        if !mount.read_only {
            export.approximated(key, "a copy of the file is mounted, and it cannot be written");
        }
        bundle.add(&file_name, bytes, executable, mount);
    }
    let name = files_object(&context.names.service(&service.name));
    plain.write(context, service, &name, parts, mounts, export);
    confidential.write(context, service, &name, parts, mounts, export);
}

/// Whether a folder is part of what the service's image is built from: then it is bound in to be worked on.
fn is_built_in(service: &Service, path: &Path) -> bool {
    service.build.as_ref().is_some_and(|build| match &build.context {
        BuildContext::Local(folder) => path.starts_with(folder),
        BuildContext::Remote(_) => false,
    })
}

/// Mounts a small folder: its files are in a `ConfigMap`, those that look like secrets in a Secret.
fn folder(
    context: &Context<'_>,
    service: &Service,
    mount: &Mount,
    files: &BTreeMap<String, FolderFile>,
    parts: &mut Parts,
    mounts: &mut Mounts,
    export: &mut Export,
) {
    let key = service_key(service, &format!("volumes.{}", mount.target));
    if !mount.read_only {
        export.approximated(key.clone(), "a copy of the folder is mounted, and it cannot be written");
    }
    let base = label(&format!("{}-{}", files_object(&context.names.service(&service.name)), mount.target));
    let mut entries: BTreeMap<Sort, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    let mut items: BTreeMap<Sort, Vec<KeyToPath>> = BTreeMap::new();
    for (number, (path, file)) in files.iter().enumerate() {
        let sort = if is_secret_file(path, &file.bytes) { Sort::Secret } else { Sort::Config };
        let entries = entries.entry(sort).or_default();
        let mut name = data_key(&path.replace('/', "_"));
        if entries.contains_key(&name) {
            name = data_key(&format!("{number}-{name}"));
        }
        entries.insert(name.clone(), file.bytes.clone());
        let mode = file.executable.then(|| mode(0o755));
        items.entry(sort).or_default().push(KeyToPath { key: name, path: path.clone(), mode });
    }
    let mut sources = Vec::new();
    for (sort, entries) in entries {
        let items = items.remove(&sort);
        let mut source = VolumeProjection::default();
        match sort {
            Sort::Config => {
                source.config_map = Some(ConfigMapProjection { name: base.clone(), items, optional: None });
                export.objects.push(config_map(context, &base, Some(service), entries));
            }
            Sort::Secret => {
                source.secret = Some(SecretProjection { name: base.clone(), items, optional: None });
                let object = hidden(context, &base, service, entries, export);
                export.objects.push(object);
            }
        }
        sources.push(source);
    }
    let projected = ProjectedVolumeSource { sources: Some(sources), default_mode: None };
    let volume = Volume { projected: Some(projected), ..Volume::default() };
    let mounted = VolumeMount { mount_path: mount.target.clone(), read_only: Some(true), ..VolumeMount::default() };
    parts.mount(&key, &format!("folder{}", mount.target), volume, mounted, mounts, export);
}

/// A Secret of files: their content, or that it is to be supplied.
fn hidden(
    context: &Context<'_>,
    name: &str,
    service: &Service,
    mut entries: BTreeMap<String, Vec<u8>>,
    supplied: &mut Export,
) -> Object {
    if context.options.secrets != SecretValues::Values {
        for (key, value) in &mut entries {
            *value = PLACEHOLDER.as_bytes().to_vec();
            let supply = Supply { kind: Kind::Secret, object: name.to_owned(), key: Some(key.clone()) };
            supplied.supplies.push(supply);
        }
    }
    secret(context, name, Some(service), entries)
}

fn absent_bind(path: &Path, found: Option<&File>) -> &'static str {
    if path.ends_with("docker.sock") || path.ends_with("podman.sock") {
        return "a cluster's nodes have no engine socket for pods";
    }
    match found {
        Some(File::TooLarge) => TOO_LARGE,
        Some(File::Folder | File::SmallFolder(_)) => {
            "a folder of this machine, for development only: what is needed belongs into the image, what is kept into a \
             volume"
        }
        Some(File::Special) => "a socket or device of this machine",
        Some(File::Content { .. } | File::Missing) | None => "nothing that can be read is there",
    }
}

/// The bound files of a service that go into one object.
struct Bundle<'a> {
    sort: Sort,
    size: usize,
    entries: BTreeMap<String, Vec<u8>>,
    items: Vec<KeyToPath>,
    mounts: Vec<(&'a str, String)>,
}

impl<'a> Bundle<'a> {
    fn new(sort: Sort) -> Self {
        Self { sort, size: 0, entries: BTreeMap::new(), items: Vec::new(), mounts: Vec::new() }
    }

    fn add(&mut self, file_name: &str, bytes: &[u8], executable: bool, mount: &'a Mount) {
        let plain = data_key(file_name);
        let mut key = plain.clone();
        let mut number = 2;
        while self.entries.get(&key).is_some_and(|taken| taken != bytes) {
            key = format!("{number}-{plain}");
            number += 1;
        }
        if self.entries.insert(key.clone(), bytes.to_vec()).is_none() {
            self.size += bytes.len();
            let mode = executable.then(|| mode(0o755));
            self.items.push(KeyToPath { key: key.clone(), path: key.clone(), mode });
        }
        self.mounts.push((&mount.target, key));
    }

    fn write(
        self,
        context: &Context<'_>,
        service: &Service,
        name: &str,
        parts: &mut Parts,
        mounts: &mut Mounts,
        export: &mut Export,
    ) {
        if self.entries.is_empty() {
            return;
        }
        let (volume, base) = match self.sort {
            Sort::Config => (config_volume(name, self.items), "files"),
            Sort::Secret => (secret_volume(name, self.items), "secret-files"),
        };
        for (target, key) in self.mounts {
            let manifest_key = service_key(service, &format!("volumes.{target}"));
            parts.mount(&manifest_key, base, volume.clone(), single_file(target, key), mounts, export);
        }
        let object = match self.sort {
            Sort::Config => config_map(context, name, Some(service), self.entries),
            Sort::Secret => hidden(context, name, service, self.entries, export),
        };
        export.objects.push(object);
    }
}

fn single_file(target: &str, key: String) -> VolumeMount {
    VolumeMount { mount_path: target.to_owned(), sub_path: Some(key), read_only: Some(true), ..VolumeMount::default() }
}

fn config_volume(name: &str, items: Vec<KeyToPath>) -> Volume {
    let source =
        ConfigMapVolumeSource { name: name.to_owned(), items: Some(items), ..ConfigMapVolumeSource::default() };
    Volume { config_map: Some(source), ..Volume::default() }
}

fn secret_volume(name: &str, items: Vec<KeyToPath>) -> Volume {
    let source =
        SecretVolumeSource { secret_name: Some(name.to_owned()), items: Some(items), ..SecretVolumeSource::default() };
    Volume { secret: Some(source), ..Volume::default() }
}

/// Permissions as Kubernetes takes them: only the nine bits, so always in range.
fn mode(mode: u32) -> i32 {
    i32::try_from(mode & 0o777).unwrap_or(0o444)
}

/// A `ConfigMap`; what is not text goes into its `binaryData`.
pub(super) fn config_map(
    context: &Context<'_>,
    name: &str,
    service: Option<&Service>,
    entries: BTreeMap<String, Vec<u8>>,
) -> Object {
    let (text, binary) = by_encoding(entries);
    ConfigMap {
        metadata: metadata(context, name, service),
        data: (!text.is_empty()).then_some(text),
        binary_data: (!binary.is_empty()).then_some(binary),
        immutable: None,
    }
    .into()
}

/// A Secret; text stands in it as text (`stringData`), so that it can be filled in by hand.
pub(super) fn secret(
    context: &Context<'_>,
    name: &str,
    service: Option<&Service>,
    entries: BTreeMap<String, Vec<u8>>,
) -> Object {
    let (text, binary) = by_encoding(entries);
    Secret {
        metadata: metadata(context, name, service),
        string_data: (!text.is_empty()).then_some(text),
        data: (!binary.is_empty()).then_some(binary),
        type_: Some("Opaque".to_owned()),
        immutable: None,
    }
    .into()
}

type Encoded = (BTreeMap<String, String>, BTreeMap<String, ByteString>);

fn by_encoding(entries: BTreeMap<String, Vec<u8>>) -> Encoded {
    let mut encoded = Encoded::default();
    for (key, bytes) in entries {
        match String::from_utf8(bytes) {
            Ok(text) => drop(encoded.0.insert(key, text)),
            Err(error) => drop(encoded.1.insert(key, ByteString(error.into_bytes()))),
        }
    }
    encoded
}
