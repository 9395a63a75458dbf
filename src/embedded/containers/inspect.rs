//! What is known of one container, as `GET /containers/{id}/json` tells it.

use std::collections::HashMap;

use bollard_stubs::models::{
    ContainerConfig, ContainerCreateBody, ContainerInspectResponse, ContainerState, ContainerStateStatusEnum,
    DriverData, EndpointSettings, MountPoint, NetworkSettings, PortMap,
};
use chrono::{DateTime, SecondsFormat, Utc};

use super::files::FILES;
use super::launch;
use super::list;
use super::record::{MountKind, Record, Status};
use super::shared::{Container, Live, Shared};
use crate::embedded::root::Rootfs;

/// A moment that has not been yet.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Everything; with `size` what it has written is counted, which takes time.
pub(super) async fn inspect(shared: &Shared, container: &Container, size: bool) -> ContainerInspectResponse {
    let live = container.live().clone();
    let record = &live.record;
    let sizes = if size { Some(list::sizes(shared, record).await) } else { None };
    let owner = record.network_of().unwrap_or(&record.id);
    let file = |index: usize| {
        let (name, _) = FILES[index];
        Some(shared.layout.container(owner).join(name).to_string_lossy().into_owned())
    };
    let (path, args) =
        record.arguments.split_first().map_or((None, Vec::new()), |(path, args)| (Some(path.clone()), args.to_vec()));
    let execs = shared.execs.ids(&record.id);
    ContainerInspectResponse {
        id: Some(record.id.clone()),
        created: Some(record.created),
        path,
        args: Some(args),
        state: Some(state(&live)),
        image: Some(record.image.clone()),
        resolv_conf_path: file(2),
        hostname_path: file(1),
        hosts_path: file(0),
        log_path: Some(
            record.log_path(&shared.layout).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
        ),
        name: Some(format!("/{}", record.name)),
        restart_count: Some(record.restart_count),
        driver: Some("overlay2".to_owned()),
        platform: Some("linux".to_owned()),
        mount_label: Some(String::new()),
        process_label: Some(String::new()),
        app_armor_profile: Some(String::new()),
        exec_ids: (!execs.is_empty()).then_some(execs),
        host_config: record.body.host_config.clone(),
        graph_driver: Some(layers(shared, record)),
        size_rw: sizes.map(|(written, _)| written),
        size_root_fs: sizes.map(|(written, image)| written + image),
        mounts: Some(mounts(shared, record)),
        config: Some(config(&record.body)),
        network_settings: Some(network_settings(record)),
        ..Default::default()
    }
}

fn state(live: &Live) -> ContainerState {
    let state = &live.record.state;
    let status = state.status;
    ContainerState {
        status: Some(match status {
            Status::Created => ContainerStateStatusEnum::CREATED,
            Status::Running => ContainerStateStatusEnum::RUNNING,
            Status::Paused => ContainerStateStatusEnum::PAUSED,
            Status::Restarting => ContainerStateStatusEnum::RESTARTING,
            Status::Removing => ContainerStateStatusEnum::REMOVING,
            Status::Exited => ContainerStateStatusEnum::EXITED,
        }),
        running: Some(status.is_running()),
        paused: Some(status == Status::Paused),
        restarting: Some(status == Status::Restarting),
        oom_killed: Some(state.oom_killed),
        dead: Some(false),
        pid: Some(live.running.as_ref().map_or(0, |running| i64::from(running.pid()))),
        exit_code: Some(state.exit_code),
        error: Some(state.error.clone()),
        started_at: Some(time(state.started_at)),
        finished_at: Some(time(state.finished_at)),
        health: live.health.clone(),
    }
}

fn time(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| NEVER.to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

fn layers(shared: &Shared, record: &Record) -> DriverData {
    let mut data = HashMap::new();
    let (lower, upper, work) = match launch::rootfs(&shared.layout, record) {
        Rootfs::Layers { lower, upper, work } => (lower, upper, work),
        Rootfs::Machine { upper, work } => (vec!["/".into()], upper, work),
    };
    let lower: Vec<String> = lower.iter().map(|layer| layer.to_string_lossy().into_owned()).collect();
    data.insert("LowerDir".to_owned(), lower.join(":"));
    data.insert("UpperDir".to_owned(), upper.to_string_lossy().into_owned());
    data.insert("WorkDir".to_owned(), work.to_string_lossy().into_owned());
    DriverData { name: "overlay2".to_owned(), data }
}

/// Its volumes, folders and tmpfs.
pub(super) fn mounts(shared: &Shared, record: &Record) -> Vec<MountPoint> {
    let point = |mount: &super::record::MountRecord| {
        let (kind, name, source) = match &mount.kind {
            MountKind::Bind { source, .. } => ("bind", None, source.to_string_lossy().into_owned()),
            MountKind::Volume { name, .. } => {
                let data = shared.layout.volumes().join(name).join("_data");
                ("volume", Some(name.clone()), data.to_string_lossy().into_owned())
            }
            MountKind::Tmpfs => ("tmpfs", None, String::new()),
        };
        let default = if kind == "bind" { "rprivate" } else { "" };
        let propagation = if mount.propagation.is_empty() { default } else { &mount.propagation };
        MountPoint {
            typ: Some(kind.to_owned()),
            driver: name.is_some().then(|| "local".to_owned()),
            name,
            source: Some(source),
            destination: Some(mount.destination.clone()),
            mode: Some(mount.mode.clone()),
            rw: Some(mount.read_write),
            propagation: Some(propagation.to_owned()),
        }
    };
    record.mounts.iter().map(point).collect()
}

/// Where it is, or would be, on its networks.
pub(super) fn networks(record: &Record) -> HashMap<String, EndpointSettings> {
    let mut networks: HashMap<String, EndpointSettings> = record.endpoints.clone().into_iter().collect();
    if let Some(given) = &record.given {
        for (name, settings) in &given.endpoints {
            networks.insert(name.clone(), settings.clone());
        }
    }
    networks
}

fn network_settings(record: &Record) -> NetworkSettings {
    let mut ports = PortMap::new();
    if record.state.status.is_running() {
        for port in record.body.exposed_ports.iter().flatten() {
            ports.insert(port.clone(), None);
        }
    }
    let sandbox = record.given.as_ref().map(|given| given.namespace.to_string_lossy().into_owned());
    ports.extend(record.given.iter().flat_map(|given| given.ports.clone()));
    NetworkSettings {
        sandbox_id: Some(if sandbox.is_some() { record.id.clone() } else { String::new() }),
        sandbox_key: Some(sandbox.unwrap_or_default()),
        ports: Some(ports),
        networks: Some(networks(record)),
    }
}

fn config(body: &ContainerCreateBody) -> ContainerConfig {
    let body = body.clone();
    ContainerConfig {
        hostname: body.hostname.or(Some(String::new())),
        domainname: body.domainname.or(Some(String::new())),
        user: body.user.or(Some(String::new())),
        attach_stdin: body.attach_stdin.or(Some(false)),
        attach_stdout: body.attach_stdout.or(Some(false)),
        attach_stderr: body.attach_stderr.or(Some(false)),
        exposed_ports: body.exposed_ports.filter(|ports| !ports.is_empty()),
        tty: body.tty.or(Some(false)),
        open_stdin: body.open_stdin.or(Some(false)),
        stdin_once: body.stdin_once.or(Some(false)),
        env: body.env.or_else(|| Some(Vec::new())),
        cmd: body.cmd,
        healthcheck: body.healthcheck,
        args_escaped: body.args_escaped,
        image: body.image,
        volumes: body.volumes.filter(|volumes| !volumes.is_empty()),
        working_dir: body.working_dir.or(Some(String::new())),
        entrypoint: body.entrypoint,
        network_disabled: body.network_disabled,
        on_build: body.on_build,
        labels: body.labels.or_else(|| Some(HashMap::new())),
        stop_signal: body.stop_signal,
        stop_timeout: body.stop_timeout,
        shell: body.shell,
    }
}
