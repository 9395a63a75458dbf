//! `services`: everything that may be written about one service.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::Blank;
use super::based::{Based, Rebase};
use super::build::Build;
use super::deploy::Deploy;
use super::develop::{Develop, Hook};
use super::forms::{Form, KeyValues, Labels, Named, OneOrMany, Options, Short, ShortForm};
use super::health::Healthcheck;
use super::hosts::ExtraHosts;
use super::limits::{BlkioConfig, Device, Gpus, Ulimit};
use super::mount::Mounts;
use super::network::Attachment;
use super::own::{EnvFileOwn, ServiceOwn};
use super::placed::Placed;
use super::port::Ports;
use super::scalars::{
    Command, Count, DistinctScalars, Flag, HostPath, Microseconds, NamedTexts, PlainFlag, PullPolicy, Real, Scalars,
    Size, Span, Texts, Whole, Within,
};
use super::storage::{Grant, ModelUse, Provider};
use crate::manifest::paths;

raw! {
    /// One service: an image, and how its containers run.
    Service {
        /// Profiles that switch it on; always on when there are none.
        profiles: NamedTexts,
        /// Labels for the platform's own use, not visible in the container.
        annotations: Labels,
        /// Show the service's output in `up`.
        attach: Option<Flag>,
        /// How its image is built: a folder, or the details.
        build: Option<Based<Form<Build>>>,
        /// What happens while you work on it.
        develop: Option<Nullable<Develop>>,
        /// Limits of its use of block devices.
        blkio_config: Option<BlkioConfig>,
        /// Capabilities beyond the engine's default, such as `NET_ADMIN`.
        cap_add: NamedTexts,
        /// Capabilities taken from the engine's default.
        cap_drop: NamedTexts,
        /// The cgroup above the container's.
        cgroup_parent: String,
        /// The cgroup namespace: `host` or `private`.
        cgroup: String,
        /// How many processors it may use, on Windows.
        cpu_count: Option<Within<0, { i64::MAX }>>,
        /// The share of the processors that it may use, on Windows.
        cpu_percent: Option<Within<0, 100>>,
        /// The period of the processor quota, in microseconds.
        cpu_period: Option<Whole>,
        /// The processor time within a period, in microseconds.
        cpu_quota: Option<Whole>,
        /// The period of real-time scheduling.
        cpu_rt_period: Option<Microseconds>,
        /// The real-time processor time within a period.
        cpu_rt_runtime: Option<Microseconds>,
        /// How many processors it may use, such as `0.5`.
        cpus: Option<Real>,
        /// The processors that it may use, such as `0-3`.
        cpuset: String,
        /// Its share of the processors, against that of others.
        cpu_shares: Option<Whole>,
        /// Arguments in place of the image's `CMD`.
        command: Command,
        /// Configs that it is given as files.
        configs: Vec<Form<Grant>>,
        /// A container name of its own; it can then run only once.
        container_name: String,
        /// A Windows credential specification.
        credential_spec: Option<CredentialSpec>,
        /// The services that are started first, and what is waited for.
        depends_on: DependsOn,
        /// How many containers run and what they may use.
        deploy: Option<Nullable<Deploy>>,
        /// Rules for devices made later.
        device_cgroup_rules: Texts,
        /// Devices of the host.
        devices: Vec<Form<Device>>,
        /// DNS servers.
        dns: OneOrMany<String>,
        /// Options of the resolver.
        dns_opt: NamedTexts,
        /// Domains that short names are looked up in.
        dns_search: OneOrMany<String>,
        /// The domain of the host name.
        domainname: String,
        /// The program in place of the image's `ENTRYPOINT`.
        entrypoint: Command,
        /// A program that provides it instead of a container.
        provider: Option<Provider>,
        /// Variables of the container. A name without a value takes it from the environment.
        environment: KeyValues,
        /// Files with variables for the container.
        #[serde(skip_serializing)]
        env_file: OneOrMany<Placed<Based<Form<EnvFile>>>>,
        /// Ports for other services only; all ports are open to them anyway.
        expose: Scalars,
        /// Another service whose attributes this one takes over.
        extends: Option<Form<Extends>>,
        /// Containers outside the project that it talks to.
        external_links: Texts,
        /// More lines for `/etc/hosts`: `name=address`.
        extra_hosts: ExtraHosts,
        /// More groups of its user.
        group_add: DistinctScalars,
        /// GPUs that it may use.
        gpus: Option<Gpus>,
        /// The container's host name.
        hostname: String,
        /// A command that tells whether it works.
        healthcheck: Option<Healthcheck>,
        /// The image to run.
        image: String,
        /// Run a small init as process 1, which forwards signals.
        init: Option<Flag>,
        /// Whose IPC namespace it uses: `shareable`, `host`, `service:NAME`.
        ipc: String,
        /// How the container is isolated; depends on the platform.
        isolation: String,
        /// Labels of the container.
        labels: Labels,
        /// Files with labels for the container.
        #[serde(skip_serializing)]
        label_file: OneOrMany<Placed<HostPath>>,
        /// Services that it reaches under another name: `SERVICE:ALIAS`.
        links: NamedTexts,
        /// Where its output goes.
        logging: Option<Logging>,
        /// The memory that it may use.
        mem_limit: Size,
        /// The memory that is kept for it.
        mem_reservation: Size,
        /// Memory and swap together.
        memswap_limit: Size,
        /// How readily its memory is swapped out, from 0 to 100.
        mem_swappiness: Option<Size>,
        /// A fixed hardware address.
        mac_address: String,
        /// Models that it uses.
        models: Named<Nullable<ModelUse>>,
        /// `host`, `none`, `service:NAME` or `container:NAME`, instead of networks.
        network_mode: String,
        /// The networks that it joins.
        #[serde(rename = "networks")]
        networks: Option<Named<Nullable<Attachment>>>,
        /// Never end it when memory runs out.
        oom_kill_disable: Flag,
        /// How readily it is ended when memory runs out, from -1000 to 1000.
        oom_score_adj: Option<Within<-1000, 1000>>,
        /// Whose process ids it sees: `host`, `service:NAME`.
        pid: Option<Nullable<String>>,
        /// How many processes it may have.
        pids_limit: Option<Whole>,
        /// The platform of its image, such as `linux/amd64`.
        platform: String,
        /// Ports published on the host: `HOST:CONTAINER`.
        ports: Ports,
        /// All capabilities and devices of the host.
        privileged: Flag,
        /// When its image is pulled: `always`, `missing`, `never`, `build`, …
        pull_policy: PullPolicy,
        /// When a pulled image is too old.
        #[serde(skip_serializing)]
        pull_refresh_after: String,
        /// A root file system that cannot be written.
        read_only: Flag,
        /// What happens when it exits: `no`, `always`, `on-failure[:N]`, `unless-stopped`.
        restart: String,
        /// The runtime of its containers.
        runtime: String,
        /// How many containers run.
        scale: Option<Count>,
        /// Secrets that it is given as files.
        secrets: Vec<Form<Grant>>,
        /// Security options, such as `no-new-privileges:true`.
        security_opt: Texts,
        /// The size of `/dev/shm`.
        shm_size: Size,
        /// Keep standard input open.
        stdin_open: Flag,
        /// How long it may take to stop before it is killed. 10s when not given.
        stop_grace_period: Option<Span>,
        /// The signal that asks it to stop.
        stop_signal: String,
        /// Options of the container's storage.
        storage_opt: Options,
        /// Kernel parameters.
        sysctls: Labels,
        /// Folders in memory: `/path` or `/path:OPTIONS`.
        tmpfs: OneOrMany<String>,
        /// A terminal for its main process.
        tty: Flag,
        /// Limits of its processes.
        ulimits: BTreeMap<String, Form<Ulimit>>,
        /// Give it the engine's socket and credentials.
        use_api_socket: PlainFlag,
        /// As whom it runs: `name`, `uid` or `uid:gid`.
        user: String,
        /// The user namespace.
        userns_mode: String,
        /// The UTS namespace.
        uts: String,
        /// What is mounted: `SOURCE:TARGET[:ro]`.
        volumes: Mounts,
        /// Services or containers whose volumes it mounts too.
        volumes_from: Texts,
        /// The folder that its command starts in.
        working_dir: String,
        /// Commands run in the container after its start.
        post_start: Vec<Hook>,
        /// Commands run in the container before it stops.
        pre_stop: Vec<Hook>,
        /// What is meant for hoist alone.
        #[serde(rename = "x-hoist", skip_serializing)]
        own: Nullable<ServiceOwn>,
    }
}

/// What may also be null.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Nullable<T>(pub(crate) Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Nullable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NullableVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for NullableVisitor<T> {
            type Value = Nullable<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a value or nothing")
            }

            fn visit_unit<E>(self) -> Result<Nullable<T>, E> {
                Ok(Nullable(None))
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Nullable<T>, D::Error> {
                T::deserialize(deserializer).map(|value| Nullable(Some(value)))
            }
        }

        let visitor = NullableVisitor(std::marker::PhantomData);
        deserializer.deserialize_newtype_struct(crate::manifest::read::NULLABLE, visitor)
    }
}

impl<T: Serialize> Serialize for Nullable<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<T: JsonSchema> JsonSchema for Nullable<T> {
    fn schema_name() -> Cow<'static, str> {
        Cow::Owned(format!("Nullable{}", T::schema_name()))
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let inner = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [inner, { "type": "null" }] })
    }

    fn inline_schema() -> bool {
        true
    }
}

raw! {
    /// A Windows credential specification.
    CredentialSpec {
        /// The config that has it.
        config: String,
        /// The file that has it.
        file: String,
        /// The value of the registry that has it.
        registry: String,
    }
}

raw! {
    /// Where output goes.
    Logging {
        /// The driver.
        driver: String,
        /// Options of the driver.
        options: Options,
    }
}

/// A file with variables.
#[derive(Debug, Clone, PartialEq, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
pub(crate) struct EnvFile {
    /// The file.
    #[serde(default)]
    pub(crate) path: String,
    /// Whether it must be there.
    #[serde(default)]
    pub(crate) required: Option<Flag>,
    /// `raw` for values that are taken as they stand.
    #[serde(default)]
    pub(crate) format: String,
    /// What is meant for hoist alone.
    #[serde(default, rename = "x-hoist", skip_serializing)]
    pub(crate) own: Nullable<EnvFileOwn>,
}

impl ShortForm for EnvFile {
    const EXPECTING: &'static str = "a file or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let Short::Text(text) = short else { return Ok(None) };
        Ok(Some(Self { path: text.to_owned(), ..Self::default() }))
    }
}

impl Rebase for Form<EnvFile> {
    fn rebase(&mut self, base: &str, home: Option<&str>) -> Result<(), String> {
        if self.0.path.is_empty() {
            return Err("the name of the file is empty".to_owned());
        }
        self.0.path = paths::absolute(&self.0.path, base, home);
        Ok(())
    }
}

raw! {
    /// The service whose attributes are taken over.
    Extends {
        /// The file that has it; this one when not given.
        file: String,
        /// The service.
        service: String,
    }
}

impl ShortForm for Extends {
    const EXPECTING: &'static str = "the name of a service or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let Short::Text(text) = short else { return Ok(None) };
        Ok(Some(Self { service: text.to_owned(), ..Self::default() }))
    }
}

/// What a service waits for, by the other service.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct DependsOn(pub(crate) BTreeMap<String, Dependency>);

impl Blank for DependsOn {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, serde::Deserialize, serde::Serialize, JsonSchema)]
pub(crate) struct Dependency {
    /// The state that the other service must have reached.
    #[serde(default)]
    pub(crate) condition: Condition,
    /// Start this service again when the other one is exchanged.
    #[serde(default, skip_serializing_if = "Blank::is_blank")]
    pub(crate) restart: Flag,
    /// Whether the other service must be there.
    #[serde(default = "yes")]
    pub(crate) required: Flag,
}

fn yes() -> Flag {
    Flag(true)
}

impl Default for Dependency {
    fn default() -> Self {
        Self { condition: Condition::Started, restart: Flag(false), required: yes() }
    }
}

/// The state of another service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, serde::Serialize, JsonSchema)]
pub(crate) enum Condition {
    /// Its containers run.
    #[default]
    #[serde(rename = "service_started")]
    Started,
    /// Its healthcheck passes.
    #[serde(rename = "service_healthy")]
    Healthy,
    /// It has exited with code 0.
    #[serde(rename = "service_completed_successfully")]
    Completed,
}

impl<'de> Deserialize<'de> for DependsOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DependsOnVisitor;

        impl<'de> Visitor<'de> for DependsOnVisitor {
            type Value = DependsOn;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of services or a mapping")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DependsOn, A::Error> {
                let mut values = BTreeMap::new();
                while let Some((key, value)) = map.next_entry()? {
                    values.insert(key, value);
                }
                Ok(DependsOn(values))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<DependsOn, A::Error> {
                let mut values = BTreeMap::new();
                while let Some(name) = items.next_element::<String>()? {
                    if values.insert(name.clone(), Dependency::default()).is_some() {
                        return Err(de::Error::custom(format!("`{name}` is in the list twice")));
                    }
                }
                Ok(DependsOn(values))
            }
        }

        deserializer.deserialize_any(DependsOnVisitor)
    }
}

impl Serialize for DependsOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl JsonSchema for DependsOn {
    fn schema_name() -> Cow<'static, str> {
        "DependsOn".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let dependency = generator.subschema_for::<Dependency>();
        json_schema!({ "anyOf": [
            { "type": "array", "items": { "type": "string" }, "uniqueItems": true },
            { "type": "object", "additionalProperties": dependency }
        ] })
    }
}
