//! Small projects and worlds for the tests of the pure core.

use std::collections::{BTreeMap, BTreeSet};

use super::goal::{BuildPolicy, Goal, Until, Up};
use super::observed::{Container, ContainerState, Health, Image, Observed, ObservedNetwork};
use super::spec::{self, label};
use crate::project::{
    Build, BuildContext, Condition, Dependency, HealthTest, Healthcheck, Network, NetworkAttachment, Networking,
    Project, RestartPolicy, Service, config_hash,
};

/// A project `shop` of these services on its default network.
pub(crate) fn project(services: impl IntoIterator<Item = Service>) -> Project {
    let network = Network { name: "shop_default".into(), ..Network::default() };
    Project {
        name: "shop".into(),
        directory: "/shop".into(),
        files: vec!["/shop/compose.yaml".into()],
        environment_files: Vec::new(),
        services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        disabled: BTreeMap::new(),
        networks: BTreeMap::from([("default".into(), network)]),
        volumes: BTreeMap::new(),
        secrets: BTreeMap::new(),
        configs: BTreeMap::new(),
        models: BTreeMap::new(),
        kubernetes: crate::project::ProjectKubernetes::default(),
    }
}

/// A service with an image of its own name.
pub(crate) fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        image: Some(format!("{name}:1")),
        replicas: 1,
        networking: Networking::Networks(BTreeMap::from([("default".into(), NetworkAttachment::default())])),
        ..Service::default()
    }
}

/// What the tests of the core say of a service.
pub(crate) trait ServiceExt: Sized {
    /// Depends on another one.
    fn needs(self, other: &str, condition: Condition) -> Self;
    /// Depends on another one and restarts with it.
    fn restarts_with(self, other: &str) -> Self;
    /// Has a healthcheck.
    fn checked(self) -> Self;
    /// Is built.
    fn built(self) -> Self;
    /// Has a restart policy.
    fn restart(self, policy: RestartPolicy) -> Self;
    /// Runs so often.
    fn times(self, replicas: u32) -> Self;
    /// Has all capabilities.
    fn privileged(self) -> Self;
}

impl ServiceExt for Service {
    fn needs(mut self, other: &str, condition: Condition) -> Self {
        self.depends_on.insert(other.into(), Dependency { condition, required: true, restart: false });
        self
    }

    fn restarts_with(mut self, other: &str) -> Self {
        let dependency = Dependency { condition: Condition::Started, required: true, restart: true };
        self.depends_on.insert(other.into(), dependency);
        self
    }

    fn checked(mut self) -> Self {
        let test = HealthTest::Shell("true".into());
        self.healthcheck = Some(Healthcheck { test, ..Healthcheck::default() });
        self
    }

    fn built(mut self) -> Self {
        self.image = None;
        self.build = Some(Build {
            context: BuildContext::Local(format!("/shop/{}", self.name).into()),
            dockerfile: "Dockerfile".into(),
            ..Build::default()
        });
        self
    }

    fn restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }

    fn times(mut self, replicas: u32) -> Self {
        self.replicas = replicas;
        self
    }

    fn privileged(mut self) -> Self {
        self.privileged = true;
        self
    }
}

/// An `up` of the whole project.
pub(crate) fn up(project: &Project, until: Until) -> Up {
    Up {
        services: project.services.keys().cloned().collect::<BTreeSet<_>>(),
        models: BTreeSet::new(),
        build: BuildPolicy::Needed,
        force_recreate: false,
        no_recreate: false,
        remove_orphans: false,
        grace: None,
        until,
    }
}

/// `up -d`.
pub(crate) fn goal_up(project: &Project) -> Goal {
    Goal::Up(up(project, Until::Started))
}

/// A container of the service as `up` would have made it, with the id `<service>-<number>`.
pub(crate) fn container(project: &Project, service: &str, number: u32, state: ContainerState) -> Container {
    let of = &project.services[service];
    Container {
        id: format!("{service}-{number}"),
        name: project.container_name(of, number),
        service: service.into(),
        number,
        one_off: false,
        config_hash: Some(config_hash(project, of)),
        replaces: None,
        image: project.image_of(of),
        image_id: format!("sha256:{service}"),
        state,
        health: Health::None,
        process: None,
        created_at: 1,
        started_at: if state == ContainerState::Created { 0 } else { 2 },
        finished_at: 0,
        ports: Vec::new(),
        networks: spec::container(project, of, number, "", None).networks.into_iter().map(|it| it.network).collect(),
        writes_volumes: false,
        labels: BTreeMap::new(),
        command: String::new(),
        status: String::new(),
    }
}

/// The image of a service.
pub(crate) fn image(service: &str) -> Image {
    Image {
        tagged_at: 0,
        id: format!("sha256:{service}"),
        identity: format!("identity of {service}"),
        labels: BTreeMap::new(),
        has_healthcheck: false,
    }
}

/// An engine that has the networks and the images, and no container.
pub(crate) fn prepared(project: &Project) -> Observed {
    let mut observed = Observed::default();
    for (key, network) in &project.networks {
        let labels = spec::network(project, key, network).labels;
        assert!(labels.contains_key(label::PROJECT));
        observed.networks.insert(network.name.clone(), ObservedNetwork { id: "n".into(), created_at: 0, labels });
    }
    for service in project.services.values() {
        let image = image(&service.name);
        observed.images.insert(project.image_of(service), image.clone());
        observed.images.insert(image.id.clone(), image);
    }
    observed
}

/// The same engine with these containers.
pub(crate) fn with(mut observed: Observed, containers: impl IntoIterator<Item = Container>) -> Observed {
    observed.containers.extend(containers.into_iter().map(|container| (container.id.clone(), container)));
    observed
}
