//! What is on record of a container: written whole, beside its files, before anyone is told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bollard_stubs::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, PortMap, RestartPolicy, RestartPolicyNameEnum,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::embedded::error::Error;
use crate::embedded::layout::Layout;
use crate::embedded::network::Port;

/// The label that names, by id or name, the container whose place this one is to take.
pub(super) const REPLACES: &str = "com.docker.compose.replace";
/// Labels of what replicas have in common, and of a container that is none of them.
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// The name of the file.
const FILE: &str = "container.json";
/// Beyond this no record of ours is; a larger one is damaged.
const LARGEST: u64 = 16 << 20;

/// Everything about a container that outlives the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    /// 64 hexadecimal digits.
    pub(super) id: String,
    /// Without a slash.
    pub(super) name: String,
    pub(super) created: DateTime<Utc>,
    /// What was asked for, with the image's defaults merged in. The networks are in `endpoints`.
    pub(super) body: ContainerCreateBody,
    /// Entrypoint and command.
    pub(super) arguments: Vec<String>,
    /// `sha256:…`.
    pub(super) image: String,
    /// Folders of the image's layers, topmost first; `None` for the machine's own root.
    pub(super) lower: Option<Vec<PathBuf>>,
    pub(super) mounts: Vec<MountRecord>,
    /// By name of the network, what was asked for.
    pub(super) endpoints: BTreeMap<String, EndpointSettings>,
    /// The id of the container whose place it is to take ([`REPLACES`]).
    #[serde(default)]
    pub(super) replaces: Option<String>,
    /// What its networks have given it; `None` when it does not run or is on none.
    pub(super) given: Option<Given>,
    pub(super) state: State,
    pub(super) restart_count: i64,
    /// Somebody has stopped it: `unless-stopped` leaves it alone.
    pub(super) stopped_by_hand: bool,
}

/// Where a container that runs is on its networks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Given {
    /// The file of its network namespace.
    pub(super) namespace: PathBuf,
    /// By name of the network: addresses and names.
    pub(super) endpoints: BTreeMap<String, EndpointSettings>,
    /// As published.
    pub(super) ports: PortMap,
}

/// Where a container is in its life, as far as it is on record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) status: Status,
    /// Of the last start.
    pub(super) started_at: Option<DateTime<Utc>>,
    /// Of the last end.
    pub(super) finished_at: Option<DateTime<Utc>>,
    pub(super) exit_code: i64,
    /// Why it does not run, where it is not plain.
    pub(super) error: String,
    pub(super) oom_killed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Status {
    /// Never started.
    #[default]
    Created,
    /// It runs, or is about to.
    Running,
    /// All its processes are frozen.
    Paused,
    /// It ended and will be started again.
    Restarting,
    Exited,
    /// Its files are being removed.
    Removing,
}

impl Status {
    /// Docker takes one that will be started again for one that runs.
    pub(super) fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
            Self::Removing => "removing",
        }
    }
}

/// A volume, folder or tmpfs of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MountRecord {
    pub(super) kind: MountKind,
    /// Inside; absolute and clean.
    pub(super) destination: String,
    /// `z,ro`, as it was asked for.
    pub(super) mode: String,
    pub(super) read_write: bool,
    /// Empty for `rprivate`.
    pub(super) propagation: String,
    /// With what is mounted below it.
    pub(super) recursive: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum MountKind {
    /// A folder or file of the machine.
    Bind {
        source: PathBuf,
        /// Make a folder of it when it is not there.
        make: bool,
    },
    Volume {
        name: String,
        /// A folder inside it.
        subpath: Option<String>,
        /// Leave it empty even if the image has files at its place.
        no_copy: bool,
        /// Nobody has named it: it goes with the container.
        anonymous: bool,
    },
    Tmpfs,
}

impl Record {
    pub(super) fn host(&self) -> &HostConfig {
        static NONE: std::sync::LazyLock<HostConfig> = std::sync::LazyLock::new(HostConfig::default);
        self.body.host_config.as_ref().unwrap_or(&NONE)
    }

    /// One of its labels, unless it is empty.
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.body.labels.as_ref()?.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What all replicas of its service have in common; `None` for one that is no replica.
    pub(super) fn group(&self) -> Option<String> {
        let is_one_off = self.label(ONE_OFF).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        let (project, service) = (self.label(PROJECT)?, self.label(SERVICE)?);
        (!is_one_off).then(|| format!("{project}/{service}"))
    }

    /// The ports that it is known to have: exposed by its image, or published.
    pub(super) fn ports(&self) -> BTreeSet<Port> {
        let published = self.host().port_bindings.iter().flatten().map(|(key, _)| key);
        published.chain(self.body.exposed_ports.iter().flatten()).filter_map(|key| Port::read(key)).collect()
    }

    /// `bridge`, `host`, `none`, `container:…`, or a network.
    pub(super) fn network_mode(&self) -> &str {
        self.host().network_mode.as_deref().unwrap_or("bridge")
    }

    /// The container whose network it uses.
    pub(super) fn network_of(&self) -> Option<&str> {
        self.network_mode().strip_prefix("container:")
    }

    pub(super) fn has_terminal(&self) -> bool {
        self.body.tty == Some(true)
    }

    pub(super) fn auto_remove(&self) -> bool {
        self.host().auto_remove == Some(true)
    }

    pub(super) fn restart_policy(&self) -> RestartPolicy {
        self.host()
            .restart_policy
            .clone()
            .unwrap_or(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: Some(0) })
    }

    /// Seconds between its stop signal and the end of patience; negative for ever.
    pub(super) fn grace(&self) -> i64 {
        self.body.stop_timeout.unwrap_or(10)
    }

    pub(super) fn hostname(&self) -> String {
        let short = || self.id.get(..12).unwrap_or(&self.id).to_owned();
        self.body.hostname.clone().filter(|name| !name.is_empty()).unwrap_or_else(short)
    }

    /// The file with its output; `None` when none is kept.
    pub(super) fn log_path(&self, layout: &Layout) -> Option<PathBuf> {
        let kind = self.host().log_config.as_ref().and_then(|log| log.typ.as_deref());
        (kind != Some("none")).then(|| layout.container(&self.id).join(format!("{}-json.log", self.id)))
    }

    /// Writes it in place of the one before; whoever reads meets the old one or the new one, whole.
    pub(super) async fn write(&self, layout: &Layout) -> Result<(), Error> {
        let failed = |error: &dyn std::fmt::Display| {
            Error::Failed(format!("cannot write the record of container {}: {error}", self.id))
        };
        let text = serde_json::to_vec(self).map_err(|error| failed(&error))?;
        let folder = layout.container(&self.id);
        let written = tokio::task::spawn_blocking(move || {
            let temporary = folder.join("container.json.new");
            std::fs::write(&temporary, text)?;
            std::fs::rename(&temporary, folder.join(FILE))
        });
        written.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}

/// All records. One that is damaged is moved aside (`container.json.damaged`) and told of; a folder without one, whose
/// making or removal was cut short, is returned for removal.
pub(super) fn load(folder: &Path) -> Result<(Vec<Record>, Vec<PathBuf>), Error> {
    let (mut records, mut rest) = (Vec::new(), Vec::new());
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((records, rest)),
        Err(error) => return Err(Error::io(format!("read {}", folder.display()))(error)),
    };
    for entry in entries {
        let entry = entry.map_err(Error::io(format!("read {}", folder.display())))?;
        let path = entry.path().join(FILE);
        match read(&path, &entry.file_name().to_string_lossy()) {
            Ok(Some(record)) => records.push(record),
            Ok(None) if entry.path().join("container.json.damaged").exists() => {}
            Ok(None) => rest.push(entry.path()),
            Err(reason) => {
                tracing::warn!("the record {} is damaged and moved aside: {reason}", path.display());
                if let Err(error) = std::fs::rename(&path, path.with_extension("json.damaged")) {
                    tracing::warn!("cannot move {} aside: {error}", path.display());
                }
            }
        }
    }
    records.sort_by_key(|record| record.created);
    Ok((records, rest))
}

fn read(path: &Path, id: &str) -> Result<Option<Record>, String> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > LARGEST => return Err(format!("{} bytes", metadata.len())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        _ => {}
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let record: Record = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if record.id == id { Ok(Some(record)) } else { Err("it is another container's".to_owned()) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::{MountKind, MountRecord, Record, State, load};
    use crate::embedded::layout::Layout;

    pub(crate) fn record(id: &str, name: &str) -> Record {
        Record {
            id: id.to_owned(),
            name: name.to_owned(),
            created: chrono::DateTime::UNIX_EPOCH,
            body: bollard_stubs::models::ContainerCreateBody::default(),
            arguments: vec!["true".to_owned()],
            image: "sha256:1".to_owned(),
            lower: None,
            mounts: vec![MountRecord {
                kind: MountKind::Tmpfs,
                destination: "/t".to_owned(),
                mode: String::new(),
                read_write: true,
                propagation: String::new(),
                recursive: false,
            }],
            endpoints: std::collections::BTreeMap::default(),
            replaces: None,
            given: None,
            state: State::default(),
            restart_count: 0,
            stopped_by_hand: false,
        }
    }

    #[test]
    fn replicas_are_known_by_their_labels() {
        let group = |labels: &[(&str, &str)]| {
            let mut record = record("a1", "web");
            let labels = labels.iter().map(|(name, value)| (format!("com.docker.compose.{name}"), (*value).to_owned()));
            record.body.labels = Some(labels.collect());
            record.group()
        };
        let shop = [("project", "shop"), ("service", "web")];
        assert_eq!(group(&shop).as_deref(), Some("shop/web"));
        assert_eq!(group(&[shop[0], shop[1], ("oneoff", "True")]), None);
        assert_eq!(group(&shop[..1]), None);
    }

    #[tokio::test]
    async fn a_damaged_record_is_moved_aside_and_the_others_are_read() {
        let home = tempfile::tempdir().expect("a folder");
        let layout = Layout::new(Some(home.path()));
        for id in ["a1", "b2", "c3"] {
            std::fs::create_dir_all(layout.container(id)).expect("made");
        }
        let mut good = record("a1", "web");
        good.body.exposed_ports = Some(vec!["80/tcp".to_owned()]);
        good.body.volumes = Some(Vec::new());
        good.write(&layout).await.expect("written");
        std::fs::write(layout.container("b2").join("container.json"), "{").expect("written");
        let (records, rest) = load(&layout.containers()).expect("read");
        assert_eq!(records, [good]);
        assert_eq!(rest, [layout.container("c3")]);
        assert!(layout.container("b2").join("container.json.damaged").exists());
        let (_, rest) = load(&layout.containers()).expect("read");
        assert_eq!(rest, [layout.container("c3")], "what was damaged is kept for people to look at");
    }
}
