//! What the engine says of itself and of the machine.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use bollard_stubs::models::{AuthConfig, ContainerSummary, ContainerSummaryStateEnum};
use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::machine;
use super::request::{self, OLDEST, VERSION};
use super::volumes;
use crate::embedded::containers::{Filters, ListOptions};
use crate::embedded::error::Error;
use crate::embedded::spec::Control;

/// The engine's own version.
const OWN: &str = env!("CARGO_PKG_VERSION");

/// What this engine gives beyond Docker's, for clients that ask what an engine can rather than which it is.
const GIVES: [&str; 3] = ["dev.hoist.hands-over-ports=1", "dev.hoist.probes-early=1", "dev.hoist.removes-files=1"];

pub(super) fn routes() -> Router<Engine> {
    let swarm = ["/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs"];
    let routes = swarm.into_iter().fold(Router::new(), |routes, kind| {
        routes.route(kind, any(no_swarm)).route(&format!("{kind}/{{*rest}}"), any(no_swarm))
    });
    routes
        .route("/_ping", get(ping).head(ping))
        .route("/version", get(version))
        .route("/info", get(info))
        .route("/system/df", get(disk_usage))
        .route("/auth", post(log_in))
        .route("/distribution/{*rest}", get(distribution))
        .route("/plugins", get(no_plugins))
        .route("/plugins/{*rest}", any(plugins))
}

/// What every answer says of who gives it.
pub(super) fn headers() -> HeaderMap {
    let text = |text: String| HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""));
    HeaderMap::from_iter([
        (HeaderName::from_static("api-version"), text(VERSION.to_string())),
        (HeaderName::from_static("docker-experimental"), HeaderValue::from_static("false")),
        (HeaderName::from_static("ostype"), HeaderValue::from_static("linux")),
        (HeaderName::from_static("server"), text(format!("Hoist/{OWN} (linux)"))),
    ])
}

async fn ping() -> Response {
    let headers = [
        ("builder-version", "2"),
        ("swarm", "inactive"),
        ("cache-control", "no-cache, no-store, must-revalidate"),
        ("pragma", "no-cache"),
        ("content-type", "text/plain; charset=utf-8"),
    ];
    (headers.map(|(name, text)| (HeaderName::from_static(name), HeaderValue::from_static(text))), "OK").into_response()
}

async fn version() -> Response {
    let architecture = machine::architecture();
    let kernel = machine::kernel();
    let api = VERSION.to_string();
    answer::value(&json!({
        "Platform": { "Name": "hoist" },
        "Components": [{
            "Name": "Engine",
            "Version": OWN,
            "Details": {
                "ApiVersion": api,
                "Arch": architecture,
                "KernelVersion": kernel,
                "MinAPIVersion": OLDEST.to_string(),
                "Os": "linux",
            },
        }],
        "Version": OWN,
        "ApiVersion": api,
        "MinAPIVersion": OLDEST.to_string(),
        "GitCommit": "",
        "GoVersion": "",
        "Os": "linux",
        "Arch": architecture,
        "KernelVersion": kernel,
        "BuildTime": "",
    }))
}

async fn info(State(engine): State<Engine>) -> Answer {
    let all = ListOptions { all: true, ..ListOptions::default() };
    let containers = engine.containers.list(&all).await?;
    let count = |wanted: ContainerSummaryStateEnum| {
        containers.iter().filter(|container| container.state == Some(wanted)).count()
    };
    let running = count(ContainerSummaryStateEnum::RUNNING);
    let paused = count(ContainerSummaryStateEnum::PAUSED);
    let images = engine.images.list(false, &Filters::new()).await?.len();
    let cgroup2 = engine.machine.cgroup2;
    let can = |control| engine.machine.controls.contains(&control);
    let about = json!({
        "ID": machine::id(&engine.layout),
        "Name": machine::host_name(),
        "Containers": containers.len(),
        "ContainersRunning": running,
        "ContainersPaused": paused,
        "ContainersStopped": containers.len() - running - paused,
        "Images": images,
        "Driver": "overlay2",
        "DriverStatus": [["Backing Filesystem", machine::file_system(engine.layout.state())]],
        "Plugins": {
            "Volume": ["local"],
            "Network": ["bridge", "host", "null"],
            "Authorization": null,
            "Log": ["json-file", "none"],
        },
        "LoggingDriver": "json-file",
        "DockerRootDir": engine.layout.state(),
        "Labels": GIVES,
        "ExperimentalBuild": false,
        "ServerVersion": OWN,
        "Runtimes": { "libcontainer": { "path": "libcontainer" } },
        "DefaultRuntime": "libcontainer",
        "Swarm": { "NodeID": "", "NodeAddr": "", "LocalNodeState": "inactive", "ControlAvailable": false, "Error": "" },
        "LiveRestoreEnabled": true,
        "Isolation": "",
        "InitBinary": "hoist",
        "ContainerdCommit": { "ID": "", "Expected": "" },
        "RuncCommit": { "ID": "", "Expected": "" },
        "InitCommit": { "ID": "", "Expected": "" },
        "SecurityOptions": machine::security(&engine.machine),
        "Warnings": machine::warnings(&engine.machine),
    });
    let machine = json!({
        "MemoryLimit": can(Control::Memory),
        "SwapLimit": can(Control::Swap),
        "KernelMemory": false,
        "KernelMemoryTCP": false,
        "CpuCfsPeriod": can(Control::Cpu),
        "CpuCfsQuota": can(Control::Cpu),
        "CPUShares": can(Control::Cpu),
        "CPUSet": can(Control::Cpuset),
        "PidsLimit": can(Control::Pids),
        "OomKillDisable": can(Control::Memory) && !cgroup2,
        "IPv4Forwarding": true,
        "BridgeNfIptables": false,
        "BridgeNfIp6tables": false,
        "SystemTime": Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true),
        "CgroupDriver": "cgroupfs",
        "CgroupVersion": if cgroup2 { "2" } else { "1" },
        "KernelVersion": machine::kernel(),
        "OperatingSystem": machine::operating_system(),
        "OSVersion": machine::operating_system_version(),
        "OSType": "linux",
        "Architecture": std::env::consts::ARCH,
        "NCPU": std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        "MemTotal": machine::memory(),
    });
    let registries = json!({
        "IndexServerAddress": "https://index.docker.io/v1/",
        "RegistryConfig": {
            "InsecureRegistryCIDRs": ["127.0.0.0/8"],
            "IndexConfigs": {
                "docker.io": { "Name": "docker.io", "Mirrors": [], "Secure": true, "Official": true },
            },
            "Mirrors": [],
        },
    });
    let parts = [about, machine, registries].into_iter();
    let whole: serde_json::Map<_, _> = parts.filter_map(|part| part.as_object().cloned()).flatten().collect();
    Ok(answer::value(&whole))
}

/// What takes room on the disk.
async fn disk_usage(State(engine): State<Engine>) -> Answer {
    let all = ListOptions { all: true, size: true, ..ListOptions::default() };
    let containers: Vec<ContainerSummary> = engine.containers.list(&all).await?;
    let mut images = engine.images.list(true, &Filters::new()).await?;
    for image in &mut images {
        let used = containers.iter().filter(|container| container.image_id.as_ref() == Some(&image.id)).count();
        image.containers = i64::try_from(used).unwrap_or(i64::MAX);
    }
    let mut volumes = Vec::new();
    for volume in engine.volumes.list().await? {
        let users = engine.containers.users_of_volume(&volume.name).await.len();
        let size = volumes::size(&engine, &volume).await;
        let mut volume = serde_json::to_value(volume).unwrap_or_default();
        volume["UsageData"] = json!({ "Size": size, "RefCount": users });
        volumes.push(volume);
    }
    let folder = engine.layout.images();
    let layers = tokio::task::spawn_blocking(move || super::disk::size(&folder)).await.unwrap_or_default();
    let cache = engine.builder.size().await;
    let cache: Vec<Value> = if cache == 0 {
        Vec::new()
    } else {
        vec![json!({
            "ID": "builds", "Parent": "", "Parents": [], "Type": "regular", "Description": "all builds", "InUse": false,
            "Shared": false, "Size": cache, "CreatedAt": engine.session.began(), "LastUsedAt": null, "UsageCount": 0,
        })]
    };
    Ok(answer::value(&json!({
        "LayersSize": layers,
        "Images": images,
        "Containers": containers,
        "Volumes": volumes,
        "BuildCache": cache,
        "BuilderSize": 0,
    })))
}

async fn no_swarm() -> Refusal {
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to \
         swarm and try again.",
    )
}

/// Whether a registry takes somebody's credentials (`docker login`).
async fn log_in(State(engine): State<Engine>, body: Body) -> Answer {
    let credentials: AuthConfig = request::json(body).await?;
    let registry = credentials.serveraddress.clone().unwrap_or_default();
    match engine.images.log_in(&registry, credentials).await {
        Ok(()) => Ok(answer::value(&json!({ "Status": "Login Succeeded", "IdentityToken": "" }))),
        Err(Error::Forbidden(message)) => Err(Refusal::new(StatusCode::UNAUTHORIZED, message)),
        Err(error) => Err(error.into()),
    }
}

/// What a registry has under a name, which has slashes in it.
async fn distribution(State(engine): State<Engine>, Path(rest): Path<String>, headers: HeaderMap) -> Answer {
    let name = rest.strip_suffix("/json").ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, "page not found"))?;
    let credentials = request::credentials(&headers)?;
    Ok(answer::value(&engine.images.offered(name, credentials).await?))
}

async fn no_plugins() -> Response {
    answer::value(&json!([]))
}

async fn plugins(Path(name): Path<String>) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("plugin \"{name}\" not found: this engine has no plugins"))
}
