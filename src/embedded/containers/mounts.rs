//! Pure: the many ways to ask for volumes, folders and tmpfs → one list of mounts.

use std::path::{Component, Path, PathBuf};

use bollard_stubs::models::{ContainerCreateBody, HostConfig, Mount, MountType};

use super::record::{MountKind, MountRecord};
use crate::embedded::error::Error;
use crate::embedded::volumes::check_name;

/// A mount as it was asked for, before its volume is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    /// Its volume's name is empty when it is anonymous.
    pub(super) mount: MountRecord,
    /// Labels and driver options of a volume that is made for it.
    pub(super) labels: Vec<(String, String)>,
    pub(super) driver: Option<String>,
    pub(super) options: Vec<(String, String)>,
}

/// All mounts that a request asks for; `inherited` are those of `volumes_from`, which all others take precedence of, as
/// they do of the image's volumes.
pub(super) fn plan(
    body: &ContainerCreateBody,
    host: &HostConfig,
    inherited: Vec<MountRecord>,
) -> Result<Vec<Planned>, Error> {
    let mut asked: Vec<Planned> = Vec::new();
    let words = host.binds.iter().flatten().map(|text| bind(text));
    let forms = host.mounts.iter().flatten().map(mount);
    for planned in words.chain(forms) {
        let planned = planned?;
        if asked.iter().any(|other| other.mount.destination == planned.mount.destination) {
            return Err(Error::Invalid(format!("Duplicate mount point: {}", planned.mount.destination)));
        }
        asked.push(planned);
    }
    let tmpfs: Vec<String> = host.tmpfs.iter().flatten().filter_map(|(place, _)| clean(place)).collect();
    let is_free = |asked: &[Planned], place: &str| {
        !tmpfs.iter().any(|other| other == place) && !asked.iter().any(|other| other.mount.destination == place)
    };
    for mount in inherited {
        if is_free(&asked, &mount.destination) {
            asked.push(Planned { mount, labels: Vec::new(), driver: None, options: Vec::new() });
        }
    }
    let mut declared: Vec<&String> = body.volumes.iter().flatten().collect();
    declared.sort();
    for place in declared {
        let destination = destination(place, place)?;
        if is_free(&asked, &destination) {
            asked.push(volume(String::new(), destination, String::new(), true));
        }
    }
    Ok(asked)
}

/// `source:destination[:mode]`, or a destination alone for an anonymous volume.
fn bind(text: &str) -> Result<Planned, Error> {
    let invalid = || Error::Invalid(format!("invalid volume specification: '{text}'"));
    let parts: Vec<&str> = text.split(':').collect();
    let (source, place, mode) = match parts.as_slice() {
        [place] => ("", *place, ""),
        [source, place] if !source.is_empty() => (*source, *place, ""),
        [source, place, mode] if !source.is_empty() => (*source, *place, *mode),
        _ => return Err(invalid()),
    };
    let destination = destination(place, text)?;
    let flags = Mode::parse(mode)?;
    if source.starts_with('/') {
        let source = clean(source).ok_or_else(invalid)?;
        if flags.no_copy {
            return Err(Error::Invalid(format!("invalid mode: {mode}")));
        }
        return Ok(Planned {
            mount: MountRecord {
                kind: MountKind::Bind { source: PathBuf::from(source), make: true },
                destination,
                mode: mode.to_owned(),
                read_write: flags.read_write,
                propagation: flags.propagation,
                recursive: true,
            },
            labels: Vec::new(),
            driver: None,
            options: Vec::new(),
        });
    }
    if !source.is_empty() {
        check_name(source)?;
    }
    let mode = if mode.is_empty() && !source.is_empty() { "z".to_owned() } else { mode.to_owned() };
    let mut planned = volume(source.to_owned(), destination, mode, flags.read_write);
    if let MountKind::Volume { no_copy, .. } = &mut planned.mount.kind {
        *no_copy = flags.no_copy;
    }
    Ok(planned)
}

/// The options after the second colon.
struct Mode {
    read_write: bool,
    no_copy: bool,
    propagation: String,
}

impl Mode {
    fn parse(mode: &str) -> Result<Self, Error> {
        let mut parsed = Self { read_write: true, no_copy: false, propagation: String::new() };
        let mut access = None;
        for word in mode.split(',').filter(|word| !word.is_empty()) {
            match word {
                "ro" | "rw" if access.is_none() => {
                    access = Some(word);
                    parsed.read_write = word == "rw";
                }
                "nocopy" => parsed.no_copy = true,
                // No SELinux here, and no file system between us and the machine whose consistency could be chosen.
                "z" | "Z" | "cached" | "delegated" | "consistent" | "default" => {}
                "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" if parsed.propagation.is_empty() => {
                    word.clone_into(&mut parsed.propagation);
                }
                _ => return Err(Error::Invalid(format!("invalid mode: {mode}"))),
            }
        }
        Ok(parsed)
    }
}

/// The form with named fields (`docker run --mount`).
fn mount(asked: &Mount) -> Result<Planned, Error> {
    let kind = asked.typ.ok_or_else(|| Error::Invalid("mount type unknown".into()))?;
    let invalid = |why: &str| Error::Invalid(format!("invalid mount config for type \"{kind}\": {why}"));
    let target = asked.target.as_deref().unwrap_or_default();
    if target.is_empty() {
        return Err(invalid("field Target must not be empty"));
    }
    let destination =
        clean(target).ok_or_else(|| invalid("invalid mount path: the target must be an absolute path"))?;
    if destination == "/" {
        return Err(invalid("invalid specification: destination can't be '/'"));
    }
    let read_write = asked.read_only != Some(true);
    let source = asked.source.as_deref().unwrap_or_default();
    match kind {
        MountType::BIND => {
            let options = asked.bind_options.clone().unwrap_or_default();
            if source.is_empty() {
                return Err(invalid("field Source must not be empty"));
            }
            let source = clean(source)
                .ok_or_else(|| invalid(&format!("invalid mount path: '{source}' mount path must be absolute")))?;
            Ok(Planned {
                mount: MountRecord {
                    kind: MountKind::Bind {
                        source: PathBuf::from(source),
                        make: options.create_mountpoint == Some(true),
                    },
                    destination,
                    mode: String::new(),
                    read_write,
                    propagation: options.propagation.map(|word| word.to_string()).unwrap_or_default(),
                    recursive: options.non_recursive != Some(true),
                },
                labels: Vec::new(),
                driver: None,
                options: Vec::new(),
            })
        }
        MountType::VOLUME => {
            if !source.is_empty() {
                check_name(source)?;
            }
            let options = asked.volume_options.clone().unwrap_or_default();
            let driver = options.driver_config.unwrap_or_default();
            let mut planned = volume(source.to_owned(), destination, String::new(), read_write);
            if let MountKind::Volume { no_copy, subpath, .. } = &mut planned.mount.kind {
                *no_copy = options.no_copy == Some(true);
                *subpath = options.subpath.filter(|path| !path.is_empty()).map(|path| inner(&path)).transpose()?;
            }
            planned.labels = options.labels.unwrap_or_default().into_iter().collect();
            planned.driver = driver.name;
            planned.options = driver.options.unwrap_or_default().into_iter().collect();
            Ok(planned)
        }
        MountType::TMPFS => {
            if !source.is_empty() {
                return Err(invalid("field Source must not be specified"));
            }
            let (mode, propagation) = (String::new(), String::new());
            let mount =
                MountRecord { kind: MountKind::Tmpfs, destination, mode, read_write, propagation, recursive: false };
            Ok(Planned { mount, labels: Vec::new(), driver: None, options: Vec::new() })
        }
        _ => Err(Error::Invalid(format!("mount type \"{kind}\" unknown"))),
    }
}

fn volume(name: String, destination: String, mode: String, read_write: bool) -> Planned {
    let anonymous = name.is_empty();
    Planned {
        mount: MountRecord {
            kind: MountKind::Volume { name, subpath: None, no_copy: false, anonymous },
            destination,
            mode,
            read_write,
            propagation: String::new(),
            recursive: true,
        },
        labels: Vec::new(),
        driver: None,
        options: Vec::new(),
    }
}

/// A path inside that something can be mounted at.
fn destination(place: &str, asked: &str) -> Result<String, Error> {
    let place = clean(place).ok_or_else(|| {
        Error::Invalid(format!(
            "invalid volume specification: '{asked}': invalid mount path: '{place}' mount path must be absolute"
        ))
    })?;
    if place == "/" {
        return Err(Error::Invalid(format!(
            "invalid volume specification: '{asked}': invalid specification: destination can't be '/'"
        )));
    }
    Ok(place)
}

/// A folder inside a volume, without a way out of it.
fn inner(path: &str) -> Result<String, Error> {
    let parts = Path::new(path).components();
    let plain = parts.into_iter().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if plain {
        Ok(path.to_owned())
    } else {
        Err(Error::Invalid(format!("invalid subpath: {path} is not inside the volume")))
    }
}

/// An absolute path without `.`, `..`, doubled or trailing slashes; `None` when it is relative or holds a NUL.
pub(super) fn clean(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// The source and access of a `volumes_from` entry: `name[:ro|rw]`.
pub(super) fn volumes_from(text: &str) -> Result<(&str, Option<bool>), Error> {
    let (name, mode) = text.split_once(':').unwrap_or((text, ""));
    if name.is_empty() {
        return Err(Error::Invalid(format!("invalid volumes-from specification: '{text}'")));
    }
    match mode {
        "" | "z" | "Z" => Ok((name, None)),
        "rw" => Ok((name, Some(true))),
        "ro" => Ok((name, Some(false))),
        _ => Err(Error::Invalid(format!("invalid mode for volumes-from: {mode}"))),
    }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::{ContainerCreateBody, HostConfig, Mount, MountType, MountVolumeOptions};

    use super::{clean, plan, volumes_from};
    use crate::embedded::containers::record::{MountKind, MountRecord};

    fn binds(texts: &[&str]) -> HostConfig {
        HostConfig { binds: Some(texts.iter().map(|text| (*text).to_owned()).collect()), ..Default::default() }
    }

    fn shown(body: &ContainerCreateBody, host: &HostConfig) -> String {
        let show = |mount: &MountRecord| {
            let source = match &mount.kind {
                MountKind::Bind { source, .. } => source.display().to_string(),
                MountKind::Volume { name, .. } if name.is_empty() => "?".to_owned(),
                MountKind::Volume { name, .. } => name.clone(),
                MountKind::Tmpfs => "tmpfs".to_owned(),
            };
            let access = if mount.read_write { "rw" } else { "ro" };
            format!("{source}→{} {access}{}", mount.destination, mount.propagation)
        };
        match plan(body, host, Vec::new()) {
            Ok(planned) => planned.iter().map(|planned| show(&planned.mount)).collect::<Vec<_>>().join("; "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn binds_come_in_all_of_dockers_forms() {
        let none = ContainerCreateBody::default();
        assert_eq!(shown(&none, &binds(&["/a:/b"])), "/a→/b rw");
        assert_eq!(shown(&none, &binds(&["/a/../c/:/b/:ro,Z,rslave"])), "/c→/b rorslave");
        assert_eq!(shown(&none, &binds(&["data:/b:nocopy"])), "data→/b rw");
        assert_eq!(shown(&none, &binds(&["/b"])), "?→/b rw");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let none = ContainerCreateBody::default();
        assert_eq!(shown(&none, &binds(&["/a:/b:xx"])), "invalid mode: xx");
        assert_eq!(shown(&none, &binds(&["a:b:c:d"])), "invalid volume specification: 'a:b:c:d'");
        assert!(shown(&none, &binds(&["/a:/"])).contains("destination can't be '/'"));
        assert!(shown(&none, &binds(&["../x:/b"])).contains("includes invalid characters"));
        assert_eq!(shown(&none, &binds(&["/a:/b", "c1:/b"])), "Duplicate mount point: /b");
        let escaping = Mount {
            typ: Some(MountType::VOLUME),
            source: Some("data".into()),
            target: Some("/b".into()),
            volume_options: Some(MountVolumeOptions { subpath: Some("../x".into()), ..Default::default() }),
            ..Default::default()
        };
        let host = HostConfig { mounts: Some(vec![escaping]), ..Default::default() };
        assert_eq!(shown(&none, &host), "invalid subpath: ../x is not inside the volume");
    }

    #[test]
    fn the_images_volumes_come_last() {
        let body = ContainerCreateBody { volumes: Some(vec!["/data".into(), "/more".into()]), ..Default::default() };
        assert_eq!(shown(&body, &binds(&["mine:/data"])), "mine→/data rw; ?→/more rw");
    }

    #[test]
    fn paths_are_cleaned_and_cannot_climb() {
        assert_eq!(clean("/a//b/./../c/").as_deref(), Some("/a/c"));
        assert_eq!(clean("/../..").as_deref(), Some("/"));
        assert_eq!(clean("a"), None);
    }

    #[test]
    fn volumes_of_others_are_named_with_their_access() {
        assert_eq!(volumes_from("db:ro"), Ok(("db", Some(false))));
        assert_eq!(volumes_from("db"), Ok(("db", None)));
        assert!(volumes_from("db:x").is_err());
    }
}
