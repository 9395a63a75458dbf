//! The maps behind the engine of maps, and what happens to a container in them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::command;
use crate::engine::{EngineError, LogChunk};
use crate::plan::observed::{
    Container, ContainerId, ContainerState, Health, Image, ObservedNetwork, ObservedVolume, PublishedPort,
};
use crate::plan::spec::{ContainerSpec, FileContent, label};
use crate::project::{HealthTest, MountSource, Published, RestartPolicy};

/// The first port that is given out where any will do.
const FIRST_EPHEMERAL: u16 = 32768;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) containers: BTreeMap<ContainerId, Stored>,
    pub(super) images: BTreeMap<String, StoredImage>,
    pub(super) networks: BTreeMap<String, ObservedNetwork>,
    pub(super) volumes: BTreeMap<String, ObservedVolume>,
    /// References that a pull finds.
    pub(super) offered: BTreeSet<String>,
    /// Everything that happened: the project and the container.
    pub(super) events: Vec<(String, ContainerId)>,
    pub(super) failing_builds: BTreeMap<String, VecDeque<EngineError>>,
    pub(super) failing_starts: BTreeMap<String, VecDeque<EngineError>>,
    pub(super) builds: BTreeMap<String, usize>,
    pub(super) unreachable: bool,
    /// A followed log ends with its container, whatever is left in it.
    pub(super) cuts_followed_logs: bool,
    /// Stands for time and makes ids distinct: goes up by one with every use.
    count: u64,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) container: Container,
    pub(super) spec: ContainerSpec,
    pub(super) log: Vec<LogChunk>,
    pub(super) files: BTreeMap<String, Vec<u8>>,
    restarts: u32,
}

#[derive(Debug, Clone)]
pub(super) struct StoredImage {
    pub(super) image: Image,
    /// Its `CMD`.
    pub(super) command: Vec<String>,
}

impl State {
    /// An image by reference or id.
    pub(super) fn image(&self, reference: &str) -> Option<&StoredImage> {
        let by_name = self.images.get(reference).or_else(|| self.images.get(reference.strip_suffix(":latest")?));
        by_name.or_else(|| self.images.values().find(|stored| stored.image.id == reference))
    }

    pub(super) fn existing(&mut self, id: &str) -> Result<&mut Stored, EngineError> {
        let missing = || EngineError::NotFound { message: format!("no such container: {id}") };
        self.containers.get_mut(id).ok_or_else(missing)
    }

    pub(super) fn next_id(&mut self, kind: &str) -> String {
        format!("{kind}-{:012}", self.tick())
    }

    pub(super) fn create(&mut self, spec: &ContainerSpec) -> Result<Container, EngineError> {
        let missing = |what: &str, name: &str| EngineError::NotFound { message: format!("no such {what}: {name}") };
        let image = self.image(&spec.image).ok_or_else(|| missing("image", &spec.image))?;
        let image_id = image.image.id.clone();
        let command = spec.service.command.clone().unwrap_or_else(|| image.command.clone());
        self.name_must_be_free(&spec.name)?;
        if let Some(place) = spec.networks.iter().find(|place| !self.networks.contains_key(&place.network)) {
            return Err(missing("network", &place.network));
        }
        if let Some(service) = spec.service.companions().find(|service| !spec.companions.contains_key(*service)) {
            return Err(missing("container of service", service));
        }
        for mount in &spec.service.mounts {
            if let MountSource::Bind { path, create_host_path: false, .. } = &mount.source
                && !path.exists()
            {
                return Err(EngineError::MissingPath { path: path.clone() });
            }
        }
        if let Some((path, _)) = spec.file_mounts.iter().find(|(path, _)| !path.exists()) {
            return Err(EngineError::MissingPath { path: path.clone() });
        }
        for volume in spec.volumes.values() {
            self.volumes.entry(volume.clone()).or_default();
        }
        let id = self.next_id("container");
        let container = Container {
            id: id.clone(),
            name: spec.name.clone(),
            service: spec.labels.get(label::SERVICE).cloned().unwrap_or_default(),
            number: spec.labels.get(label::NUMBER).and_then(|number| number.parse().ok()).unwrap_or(1),
            one_off: spec.labels.get(label::ONE_OFF).is_some_and(|value| value == "True"),
            config_hash: spec.labels.get(label::CONFIG_HASH).cloned(),
            replaces: spec.labels.get(label::REPLACE).cloned(),
            image: spec.image.clone(),
            image_id,
            state: ContainerState::Created,
            health: Health::None,
            process: None,
            created_at: self.tick(),
            started_at: 0,
            finished_at: 0,
            ports: Vec::new(),
            writes_volumes: !spec.volumes.is_empty(),
            networks: spec.networks.iter().map(|place| place.network.clone()).collect(),
            labels: spec.labels.clone(),
            command: command.join(" "),
            status: "Created".to_owned(),
        };
        let files = spec.copied_files.iter().map(|file| {
            let content = match &file.content {
                FileContent::Text(text) => text.clone().into_bytes(),
                FileContent::File(path) => std::fs::read(path).unwrap_or_default(),
            };
            (file.target.trim_start_matches('/').to_owned(), content)
        });
        let mut spec = spec.clone();
        spec.service.command = Some(command);
        let stored =
            Stored { container: container.clone(), spec, log: Vec::new(), files: files.collect(), restarts: 0 };
        self.containers.insert(id.clone(), stored);
        self.happened(&id);
        Ok(container)
    }

    pub(super) fn start(&mut self, id: &str) -> Result<Container, EngineError> {
        let stored = self.existing(id)?;
        if stored.container.state.is_running() {
            return Ok(stored.container.clone());
        }
        let service = stored.container.service.clone();
        if let Some(error) = self.failing_starts.get_mut(&service).and_then(VecDeque::pop_front) {
            return Err(error);
        }
        let ports = self.publish(id)?;
        let now = self.tick();
        let stored = self.existing(id)?;
        let ran = command::run(stored.spec.service.command.as_deref().unwrap_or_default());
        stored.container.state = ContainerState::Running;
        stored.container.started_at = now;
        stored.container.ports = ports;
        "Up".clone_into(&mut stored.container.status);
        let image_has_check = stored.spec.service.healthcheck.is_none();
        let own_check = stored.spec.service.healthcheck.as_ref();
        let own_check = own_check.is_some_and(|check| check.test != HealthTest::Disabled);
        stored.log.extend(
            ran.output.into_iter().map(|(stderr, line)| LogChunk { stderr, bytes: Bytes::from(format!("{line}\n")) }),
        );
        let image = stored.container.image_id.clone();
        let has_check =
            own_check || image_has_check && self.image(&image).is_some_and(|stored| stored.image.has_healthcheck);
        let stored = self.existing(id)?;
        stored.container.health = if has_check { Health::Starting } else { Health::None };
        let container = stored.container.clone();
        self.happened(id);
        if let Some(code) = ran.code {
            // Once, whatever the restart policy says: a command that exits at once would go round for ever here.
            self.exit(id, code, false);
        }
        Ok(container)
    }

    /// Ends a container's process; what its restart policy wants happens only when it ended `by_itself`.
    pub(super) fn exit(&mut self, id: &str, code: i64, by_itself: bool) {
        let now = self.tick();
        let Some(stored) = self.containers.get_mut(id) else { return };
        if !stored.container.state.is_running() {
            return;
        }
        stored.container.state = ContainerState::Exited(code);
        stored.container.finished_at = now;
        stored.container.ports.clear();
        stored.container.status = format!("Exited ({code})");
        let again = match stored.spec.service.restart {
            RestartPolicy::No => false,
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
            RestartPolicy::OnFailure { max_retries } => {
                code != 0 && max_retries.is_none_or(|most| stored.restarts < most)
            }
        };
        if by_itself && again {
            stored.restarts += 1;
        }
        self.happened(id);
        if by_itself && again {
            // A port that somebody took in between keeps it down, as on a real engine.
            let _ = self.start(id);
        }
    }

    pub(super) fn set_health(&mut self, id: &str, health: Health) {
        if let Some(stored) = self.containers.get_mut(id) {
            stored.container.health = health;
            self.happened(id);
        }
    }

    pub(super) fn remove(&mut self, id: &str) {
        if self.containers.contains_key(id) {
            self.happened(id);
            self.containers.remove(id);
        }
    }

    pub(super) fn rename(&mut self, id: &str, name: &str) -> Result<(), EngineError> {
        self.existing(id)?;
        self.name_must_be_free(name)?;
        name.clone_into(&mut self.existing(id)?.container.name);
        self.happened(id);
        Ok(())
    }

    fn name_must_be_free(&self, name: &str) -> Result<(), EngineError> {
        match self.containers.values().find(|stored| stored.container.name == name) {
            Some(other) => Err(EngineError::Refused {
                message: format!("the name `{name}` is in use by container {}", other.container.id),
            }),
            None => Ok(()),
        }
    }

    fn publish(&mut self, id: &str) -> Result<Vec<PublishedPort>, EngineError> {
        let taken: BTreeMap<u16, String> = self
            .containers
            .values()
            .flat_map(|stored| {
                let name = &stored.container.name;
                stored.container.ports.iter().map(move |port| (port.host_port, name.clone()))
            })
            .collect();
        let wanted = self.existing(id)?.spec.service.ports.clone();
        let mut published: Vec<PublishedPort> = Vec::new();
        for port in wanted {
            let free =
                |number: &u16| !taken.contains_key(number) && published.iter().all(|other| other.host_port != *number);
            let host_port = match port.published {
                Published::Port(number) => match taken.get(&number) {
                    Some(name) => {
                        let holder = Some(format!("container `{name}`"));
                        return Err(EngineError::PortTaken { port: number, holder });
                    }
                    None => number,
                },
                Published::Range(first, last) => {
                    (first..=last).find(free).ok_or(EngineError::PortTaken { port: first, holder: None })?
                }
                Published::Ephemeral => (FIRST_EPHEMERAL..=u16::MAX)
                    .find(free)
                    .ok_or(EngineError::PortTaken { port: FIRST_EPHEMERAL, holder: None })?,
            };
            published.push(PublishedPort {
                host_ip: port.host_ip.clone().unwrap_or_else(|| "0.0.0.0".to_owned()),
                host_port,
                target: port.target,
                protocol: port.protocol.as_str().to_owned(),
            });
        }
        Ok(published)
    }

    fn happened(&mut self, id: &str) {
        let Some(stored) = self.containers.get(id) else { return };
        let project = stored.container.labels.get(label::PROJECT).cloned().unwrap_or_default();
        self.events.push((project, id.to_owned()));
    }

    pub(super) fn tick(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}
