//! What the engine knows of a project: lists and inspections, all asked at the same time. Changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bollard::models::{ContainerInspectResponse, ContainerSummary, ImageInspect};
use bollard::query_parameters::{
    InspectContainerOptions, InspectNetworkOptions, ListContainersOptions, ListNetworksOptions, ListVolumesOptions,
};
use futures_util::{StreamExt as _, TryStreamExt as _, future, stream};

use super::error::{from_bollard, is_not_found};
use super::{Docker, inspect};
use crate::engine::{EngineError, Wanted};
use crate::plan::observed::{Abilities, Container, Image, Observed, ObservedNetwork, ObservedVolume};
use crate::plan::spec::label;

/// How many inspections are under way at once.
const PARALLEL: usize = 16;

impl Docker {
    /// The containers of a project, or of every project, as one list gives them: without the times of their last start
    /// and exit.
    pub async fn list_containers(&self, project: Option<&str>) -> Result<Vec<Container>, EngineError> {
        let filter = project.map_or_else(|| label::PROJECT.to_owned(), of_project);
        let mut containers: Vec<Container> =
            self.summaries(Some(filter)).await?.into_iter().map(inspect::summary).collect();
        let key = |container: &Container| (container.service.clone(), container.number, container.name.clone());
        containers.sort_by_key(key);
        Ok(containers)
    }

    pub(super) async fn summaries(&self, label: Option<String>) -> Result<Vec<ContainerSummary>, EngineError> {
        let filters = label.map(|label| HashMap::from([("label".to_owned(), vec![label])]));
        let options = ListContainersOptions { all: true, filters, ..Default::default() };
        self.client.list_containers(Some(options)).await.map_err(from_bollard)
    }

    pub(super) async fn observed(&self, project: &str, wanted: &Wanted) -> Result<Observed, EngineError> {
        let (containers, images, networks, volumes, abilities) = future::try_join5(
            self.observed_containers(project),
            self.images(wanted.images.iter().cloned().collect()),
            self.networks(project, &wanted.networks),
            self.volumes(project, &wanted.volumes),
            self.abilities(),
        )
        .await?;
        let mut images = images;
        let running: BTreeSet<String> = containers.values().map(|container| container.image_id.clone()).collect();
        let known: BTreeMap<String, Image> = images.values().map(|image| (image.id.clone(), image.clone())).collect();
        let unknown = running.iter().filter(|id| !id.is_empty() && !known.contains_key(*id)).cloned().collect();
        images.extend(self.images(unknown).await?);
        images.extend(known);
        Ok(Observed { containers, networks, volumes, images, abilities })
    }

    /// What the engine says once that it can do beyond the Docker Engine API.
    pub(super) async fn abilities(&self) -> Result<Abilities, EngineError> {
        let ask = || async {
            let labels = self.client.info().await.map_err(from_bollard)?.labels.unwrap_or_default();
            let has = |name: &str| labels.iter().any(|label| label.strip_prefix(name) == Some("=1"));
            Ok(Abilities {
                hands_over_ports: has("dev.hoist.hands-over-ports"),
                probes_early: has("dev.hoist.probes-early"),
                // It is asked for by hand, on a socket.
                removes_files: has("dev.hoist.removes-files") && self.address().starts_with("unix://"),
            })
        };
        self.abilities.get_or_try_init(ask).await.copied()
    }

    async fn observed_containers(&self, project: &str) -> Result<BTreeMap<String, Container>, EngineError> {
        let summaries = self.summaries(Some(of_project(project))).await?;
        let listed = summaries.into_iter().filter_map(|summary| Some((summary.id?, summary.status)));
        let inspected = stream::iter(listed)
            .map(|(id, status)| async move { self.inspected(&id, status).await })
            .buffer_unordered(PARALLEL);
        let found: Vec<Option<Container>> = inspected.try_collect().await?;
        Ok(found.into_iter().flatten().map(|container| (container.id.clone(), container)).collect())
    }

    /// A container that vanishes between the list and the inspection is simply not there.
    pub(super) async fn inspected(&self, id: &str, status: Option<String>) -> Result<Option<Container>, EngineError> {
        let inspection = self.inspection(id).await?;
        Ok(inspection.map(|inspection| self.container_of(inspection, status)))
    }

    /// A container out of what the engine says of it.
    pub(super) fn container_of(&self, mut inspection: ContainerInspectResponse, status: Option<String>) -> Container {
        self.programs.correct(&mut inspection);
        inspect::container(inspection, status)
    }

    /// What the engine says of a container; `None` when it is not there.
    pub(super) async fn inspection(&self, id: &str) -> Result<Option<ContainerInspectResponse>, EngineError> {
        found(self.client.inspect_container(id, None::<InspectContainerOptions>).await)
    }

    pub(super) async fn inspected_image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        Ok(self.image_inspection(reference).await?.map(inspect::image))
    }

    /// What the engine says of an image; `None` when it is not there.
    pub(super) async fn image_inspection(&self, reference: &str) -> Result<Option<ImageInspect>, EngineError> {
        found(self.client.inspect_image(reference).await)
    }

    async fn images(&self, references: BTreeSet<String>) -> Result<BTreeMap<String, Image>, EngineError> {
        let inspected = stream::iter(references)
            .map(|reference| async move {
                let image = self.inspected_image(&reference).await?;
                Ok::<_, EngineError>(image.map(|image| (reference, image)))
            })
            .buffer_unordered(PARALLEL);
        let found: Vec<Option<(String, Image)>> = inspected.try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn networks(
        &self,
        project: &str,
        wanted: &[String],
    ) -> Result<BTreeMap<String, ObservedNetwork>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![of_project(project)])]);
        let listed = self.client.list_networks(Some(ListNetworksOptions { filters: Some(filters) })).await;
        let named = |network: bollard::models::Network| {
            let created_at = network.created.map_or(0, inspect::nanoseconds);
            let labels = inspect::ordered(network.labels);
            Some((network.name?, ObservedNetwork { id: network.id?, created_at, labels }))
        };
        let mut networks: BTreeMap<String, ObservedNetwork> =
            listed.map_err(from_bollard)?.into_iter().filter_map(named).collect();
        let missing: BTreeSet<&String> = wanted.iter().filter(|name| !networks.contains_key(*name)).collect();
        for found in future::try_join_all(missing.into_iter().map(|name| self.network(name))).await? {
            networks.extend(found);
        }
        Ok(networks)
    }

    /// A network by its exact name; the API would take the beginning of an id too.
    pub(super) async fn network(&self, name: &str) -> Result<Option<(String, ObservedNetwork)>, EngineError> {
        match self.client.inspect_network(name, None::<InspectNetworkOptions>).await {
            Ok(network) if network.name.as_deref() == Some(name) => {
                let id = network.id.unwrap_or_default();
                let created_at = network.created.map_or(0, inspect::nanoseconds);
                let labels = inspect::ordered(network.labels);
                Ok(Some((name.to_owned(), ObservedNetwork { id, created_at, labels })))
            }
            Ok(_) => Ok(None),
            Err(error) if is_not_found(&error) => Ok(None),
            Err(error) => Err(from_bollard(error)),
        }
    }

    async fn volumes(&self, project: &str, wanted: &[String]) -> Result<BTreeMap<String, ObservedVolume>, EngineError> {
        let filters = HashMap::from([("label".to_owned(), vec![of_project(project)])]);
        let listed = self.client.list_volumes(Some(ListVolumesOptions { filters: Some(filters) })).await;
        let listed = listed.map_err(from_bollard)?.volumes.unwrap_or_default();
        let named = |volume: bollard::models::Volume| {
            (volume.name, ObservedVolume { labels: volume.labels.into_iter().collect() })
        };
        let mut volumes: BTreeMap<String, ObservedVolume> = listed.into_iter().map(named).collect();
        let missing: BTreeSet<&String> = wanted.iter().filter(|name| !volumes.contains_key(*name)).collect();
        for found in future::try_join_all(missing.into_iter().map(|name| self.client_volume(name))).await? {
            volumes.extend(found.map(named));
        }
        Ok(volumes)
    }

    async fn client_volume(&self, name: &str) -> Result<Option<bollard::models::Volume>, EngineError> {
        found(self.client.inspect_volume(name).await)
    }
}

/// What was asked about; `None` when it is not there.
fn found<T>(asked: Result<T, bollard::errors::Error>) -> Result<Option<T>, EngineError> {
    match asked {
        Ok(there) => Ok(Some(there)),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => Err(from_bollard(error)),
    }
}

fn of_project(project: &str) -> String {
    format!("{}={project}", label::PROJECT)
}
