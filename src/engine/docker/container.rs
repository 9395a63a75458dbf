//! Containers of a Docker engine: made, started, stopped, removed. Decides nothing about when.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerCreateBody, ContainerCreateResponse, NetworkConnectRequest};
use bollard::query_parameters::{
    CreateContainerOptions, KillContainerOptions, RemoveContainerOptions, RenameContainerOptions,
    RestartContainerOptions, StartContainerOptions, StopContainerOptions, UploadToContainerOptions,
};
use bytes::Bytes;

use super::create::{self, DOCKER_CONFIG, Request, Surroundings, whole_seconds};
use super::error::{from_bollard, is_not_found, status_of};
use super::{Docker, holder};
use crate::engine::{EngineError, Made};
use crate::plan::observed::Container;
use crate::plan::spec::{ContainerSpec, CopiedFile, FileContent};
use crate::project::MountSource;

/// How long the removal of a container that somebody else removes too may take.
const REMOVAL_DEADLINE: Duration = Duration::from_secs(10);
/// How long an anonymous volume's name is: an id in hexadecimal.
const ANONYMOUS_NAME: usize = 64;

impl Docker {
    pub(super) async fn create(&self, spec: &ContainerSpec) -> Result<Made, EngineError> {
        let surroundings = Surroundings {
            version: self.facts.version,
            local: self.facts.local,
            socket: self.facts.address.strip_prefix("unix://").map(str::to_owned),
            inherited: self.inherited_volumes(spec).await?,
            entrypoint: self.entrypoint_to_keep(spec).await?,
        };
        let Request { body, mac_address, later, mut warnings } = create::request(spec, &surroundings)?;
        let mut files = spec.copied_files.clone();
        if spec.service.use_api_socket && !spec.service.environment.contains_key(DOCKER_CONFIG) {
            files.extend(self.credentials.as_config().await.map(credentials_file));
        }
        let created = Box::pin(self.make(spec, body, mac_address.as_ref())).await?;
        warnings.extend(created.warnings);
        let completed = async {
            for place in later {
                let request = NetworkConnectRequest {
                    container: created.id.clone(),
                    endpoint_config: Some(create::endpoint(&place, &spec.links)),
                };
                self.client.connect_network(&place.network, request).await.map_err(from_bollard)?;
            }
            if !files.is_empty() {
                let packed = tokio::task::spawn_blocking(move || tar_of(&files)).await;
                let packed = packed.unwrap_or(Err(EngineError::Cancelled))?;
                self.upload_tar(&created.id, "/", packed).await?;
            }
            Ok(Made { container: self.existing(&created.id).await?, warnings })
        }
        .await;
        if completed.is_err() {
            // Half a container would pass for a whole one; that it cannot be removed adds nothing to the first error.
            let _ = self.remove(&created.id, true).await;
        }
        completed
    }

    /// Makes the container, ready to have its program started again where that is to be and can be.
    async fn make(
        &self,
        spec: &ContainerSpec,
        body: ContainerCreateBody,
        mac_address: Option<&String>,
    ) -> Result<ContainerCreateResponse, EngineError> {
        let make = async |body: ContainerCreateBody| {
            let options = CreateContainerOptions {
                name: Some(spec.name.clone()),
                platform: spec.service.platform.clone().unwrap_or_default(),
            };
            let client = match mac_address {
                Some(address) => with_mac_address(&self.client, &body, address.clone())?,
                None => self.client.clone(),
            };
            client.create_container(Some(options), body).await.map_err(from_bollard)
        };
        if let Some(ready) = self.in_shell_of(spec, &body).await? {
            let created = make(ready.body).await?;
            let found = self.has_shell(&created.id, ready.image).await;
            if let Ok(true) = found {
                return Ok(created);
            }
            self.remove(&created.id, true).await?;
            found?;
        }
        make(body).await
    }

    pub(super) async fn start(&self, id: &str) -> Result<Container, EngineError> {
        self.programs.forget(id);
        match self.client.start_container(id, None::<StartContainerOptions>).await {
            Ok(()) => self.existing(id).await,
            Err(error) => Err(self.with_holder(from_bollard(error), id).await),
        }
    }

    pub(super) async fn stop(&self, id: &str, grace: Option<Duration>) -> Result<Option<Container>, EngineError> {
        let seconds = grace.map(|grace| i32::try_from(whole_seconds(grace)).unwrap_or(i32::MAX));
        let options = StopContainerOptions { t: seconds, ..Default::default() };
        match self.patient.stop_container(id, Some(options)).await {
            Ok(()) => self.inspected(id, None).await,
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(from_bollard(error)),
        }
    }

    /// Stops a container with its grace period and starts it again.
    pub(super) async fn restart(&self, id: &str, grace: Option<Duration>) -> Result<Container, EngineError> {
        self.programs.forget(id);
        let seconds = grace.map(|grace| i32::try_from(whole_seconds(grace)).unwrap_or(i32::MAX));
        let options = RestartContainerOptions { t: seconds, ..Default::default() };
        match self.patient.restart_container(id, Some(options)).await {
            Ok(()) => self.existing(id).await,
            Err(error) => Err(self.with_holder(from_bollard(error), id).await),
        }
    }

    pub(super) async fn kill(&self, id: &str, signal: &str) -> Result<(), EngineError> {
        match self.client.kill_container(id, Some(KillContainerOptions { signal: signal.to_owned() })).await {
            // What has exited already needs no signal.
            Err(error) if status_of(&error) == Some(409) => Ok(()),
            result => result.map_err(from_bollard),
        }
    }

    pub(super) async fn remove(&self, id: &str, volumes: bool) -> Result<(), EngineError> {
        let options = RemoveContainerOptions { v: volumes, force: true, link: false };
        match self.patient.remove_container(id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) if status_of(&error) == Some(409) => self.until_gone(id, from_bollard(error)).await,
            Err(error) => Err(from_bollard(error)),
        }
    }

    pub(super) async fn rename(&self, id: &str, name: &str) -> Result<(), EngineError> {
        self.client.rename_container(id, RenameContainerOptions { name: name.to_owned() }).await.map_err(from_bollard)
    }

    pub(super) async fn upload_tar(&self, id: &str, folder: &str, tar: Bytes) -> Result<(), EngineError> {
        let options = UploadToContainerOptions { path: folder.to_owned(), ..Default::default() };
        self.patient.upload_to_container(id, Some(options), bollard::body_full(tar)).await.map_err(from_bollard)
    }

    async fn existing(&self, id: &str) -> Result<Container, EngineError> {
        let gone = || EngineError::NotFound { message: format!("container `{id}` is gone") };
        self.inspected(id, None).await?.ok_or_else(gone)
    }

    /// Another removal of it is under way: waits for that one's end.
    async fn until_gone(&self, id: &str, refusal: EngineError) -> Result<(), EngineError> {
        let gone = async {
            let mut pause = Duration::from_millis(10);
            while self.inspected(id, None).await?.is_some() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(500));
            }
            Ok(())
        };
        tokio::time::timeout(REMOVAL_DEADLINE, gone).await.unwrap_or(Err(refusal))
    }

    /// The anonymous volumes of the replaced container that the new one goes on with, by mount point: those that the
    /// service declares, and those that its image does.
    async fn inherited_volumes(&self, spec: &ContainerSpec) -> Result<BTreeMap<String, String>, EngineError> {
        let Some(old) = &spec.volumes_from else { return Ok(BTreeMap::new()) };
        let Some(inspected) = self.inspection(old).await? else { return Ok(BTreeMap::new()) };
        let anonymous = inspected.mounts.unwrap_or_default().into_iter().filter_map(|mount| {
            let name = mount.name.filter(|name| name.len() == ANONYMOUS_NAME)?;
            (mount.typ.as_deref() == Some("volume")).then_some((mount.destination?, name))
        });
        let (declared, others): (BTreeMap<_, _>, BTreeMap<_, _>) = anonymous.partition(|(destination, _)| {
            let is_anonymous = |source: &MountSource| matches!(source, MountSource::Anonymous { .. });
            spec.service.mounts.iter().any(|mount| mount.target == *destination && is_anonymous(&mount.source))
        });
        let mut inherited = declared;
        if !others.is_empty() {
            let config = self.image_config(&spec.image).await?;
            let of_image = config.and_then(|config| config.volumes).unwrap_or_default();
            inherited.extend(others.into_iter().filter(|(destination, _)| of_image.contains(destination)));
        }
        Ok(inherited)
    }

    /// A cleared command beside the image's own entrypoint.
    async fn entrypoint_to_keep(&self, spec: &ContainerSpec) -> Result<Option<Vec<String>>, EngineError> {
        let cleared = spec.service.command.as_ref().is_some_and(Vec::is_empty) && spec.service.entrypoint.is_none();
        if !cleared {
            return Ok(None);
        }
        Ok(self.image_config(&spec.image).await?.and_then(|config| config.entrypoint))
    }

    async fn image_config(&self, image: &str) -> Result<Option<bollard::models::ImageConfig>, EngineError> {
        Ok(self.image_inspection(image).await?.and_then(|inspected| inspected.config))
    }

    /// Adds to a port conflict who has the port: a container that publishes it, else a process of this machine.
    async fn with_holder(&self, error: EngineError, id: &str) -> EngineError {
        let EngineError::PortTaken { port, holder: None } = error else { return error };
        let containers = self.summaries(None).await.unwrap_or_default();
        let publishes = containers.into_iter().find(|container| {
            let mut ports = container.ports.iter().flatten();
            container.id.as_deref() != Some(id) && ports.any(|published| published.public_port == Some(port))
        });
        let name = publishes.and_then(|container| container.names?.into_iter().next());
        let holder = match name {
            Some(name) => Some(format!("container `{}`", name.trim_start_matches('/'))),
            None if self.facts.local => {
                tokio::task::spawn_blocking(move || holder::process(port)).await.unwrap_or_default()
            }
            None => None,
        };
        EngineError::PortTaken { port, holder }
    }
}

/// A client whose create request says the hardware address beside the networks: an older engine looks for it there, and
/// the newer types that the request is made of have no place for it.
fn with_mac_address(
    client: &bollard::Docker,
    body: &ContainerCreateBody,
    address: String,
) -> Result<bollard::Docker, EngineError> {
    let unwritable = |error: serde_json::Error| EngineError::Refused { message: error.to_string() };
    let mut body = serde_json::to_value(body).map_err(unwritable)?;
    body["MacAddress"] = address.into();
    let bytes = Bytes::from(body.to_string());
    Ok(client.clone().with_request_modifier(move |mut request| {
        *request.body_mut() = bollard::body_full(bytes.clone());
        request
    }))
}

/// The credentials of the docker config where docker's clients in the container look for them.
fn credentials_file(config: String) -> CopiedFile {
    let target = format!("{}/config.json", create::CONFIG_FOLDER);
    CopiedFile { target, content: FileContent::Text(config), mode: 0o444, uid: 0, gid: 0 }
}

/// The files as a tar to be unpacked at the root. Blocks.
fn tar_of(files: &[CopiedFile]) -> Result<Bytes, EngineError> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let content = match &file.content {
            FileContent::Text(text) => text.clone().into_bytes(),
            FileContent::File(path) => read_file(path)?,
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(file.mode);
        header.set_uid(file.uid);
        header.set_gid(file.gid);
        builder
            .append_data(&mut header, file.target.trim_start_matches('/'), content.as_slice())
            .map_err(|error| unpackable(&error))?;
    }
    builder.into_inner().map(Bytes::from).map_err(|error| unpackable(&error))
}

fn read_file(path: &Path) -> Result<Vec<u8>, EngineError> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => EngineError::MissingPath { path: path.to_owned() },
        _ => EngineError::Refused { message: format!("`{}` cannot be read: {error}", path.display()) },
    })
}

fn unpackable(error: &std::io::Error) -> EngineError {
    EngineError::Refused { message: format!("files cannot be packed: {error}") }
}
