//! The whole specification, where a choice matters.

use super::*;

/// A machine like most, without one capability.
pub(super) fn machine() -> Machine {
    let all = Machine {
        cgroup2: false,
        capabilities: Vec::new(),
        apparmor: false,
        controls: [Control::Memory, Control::Swap, Control::Cpu, Control::Cpuset, Control::Pids].into(),
        limits: [("nofile".to_owned(), 4096)].into(),
        oom_score_adj: 0,
        devices: vec![
            device("/dev/fuse", false, 10, 229),
            device("/dev/pts/0", false, 136, 0),
            device("/dev/snd/timer", false, 116, 33),
            device("/dev/vda", true, 254, 0),
        ],
    };
    let without = |name: &&str| *name != "CAP_SYS_RESOURCE";
    Machine { capabilities: capabilities::ALL.into_iter().filter(without).map(str::to_owned).collect(), ..all }
}

fn device(path: &str, block: bool, major: u32, minor: u32) -> Device {
    Device { path: path.into(), block, major, minor, mode: 0o660, uid: 0, gid: 0 }
}

/// A request to change and make a specification of.
struct Asked {
    body: ContainerCreateBody,
    host: HostConfig,
    binds: Vec<ResolvedBind>,
    network: NetworkNamespace,
    ipc: Namespace,
    machine: Machine,
}

fn asked() -> Asked {
    Asked {
        body: ContainerCreateBody::default(),
        host: HostConfig::default(),
        binds: Vec::new(),
        network: NetworkNamespace::Path("/run/hoist/netns/one".into()),
        ipc: Namespace::Own,
        machine: machine(),
    }
}

impl Asked {
    fn made(&self) -> Result<(Spec, Vec<String>), Error> {
        container(&Request {
            id: "0123456789abcdef0123",
            body: &self.body,
            host: &self.host,
            arguments: &["/bin/true".to_owned()],
            binds: &self.binds,
            root: "/run/hoist/mounts/one".into(),
            network: self.network.clone(),
            pid: Namespace::Own,
            ipc: self.ipc.clone(),
            cgroup: Namespace::Host,
            machine: &self.machine,
        })
    }

    fn spec(&self) -> Spec {
        self.made().expect("a request without fault").0
    }

    fn refused(&self) -> String {
        self.made().expect_err("a request with a fault").to_string()
    }

    fn warned(&self) -> Vec<String> {
        self.made().expect("a request without fault").1
    }

    fn environment(&self) -> Vec<String> {
        self.spec().process().as_ref().and_then(|process| process.env().clone()).unwrap_or_default()
    }

    fn resources(&self) -> serde_json::Value {
        let spec = serde_json::to_value(self.spec()).expect("a specification is JSON");
        let mut resources = spec["linux"]["resources"].clone();
        resources.as_object_mut().expect("resources").remove("devices");
        resources
    }

    /// A line a mount.
    fn mounts(&self) -> Vec<String> {
        let spec = self.spec();
        let line = |mount: &libcontainer::oci_spec::runtime::Mount| {
            let source = mount.source().as_deref().map(Path::display);
            let options = mount.options().clone().unwrap_or_default().join(",");
            format!("{} {} {options}", mount.destination().display(), source.expect("a source"))
        };
        spec.mounts().iter().flatten().map(line).collect()
    }
}

pub(super) fn bind(source: &str, destination: &str, read_only: bool) -> ResolvedBind {
    let bind = Bind { source: source.into(), destination: destination.into(), read_only };
    ResolvedBind { bind, propagation: String::new(), recursive: true }
}

#[test]
fn a_container_that_asks_for_nothing_is_as_docker_makes_it() {
    let asked = asked();
    let (spec, warnings) = asked.made().expect("a request without fault");
    assert_eq!(warnings, Vec::<String>::new());
    assert_eq!(spec.hostname().as_deref(), Some("0123456789ab"));
    let linux = spec.linux().as_ref().expect("linux");
    let kinds = linux.namespaces().iter().flatten().map(|namespace| namespace.typ().to_string());
    assert_eq!(kinds.collect::<Vec<_>>(), ["mnt", "net", "uts", "pid", "ipc"]);
    assert_eq!(linux.cgroups_path().as_deref(), Some(Path::new("/hoist/0123456789abcdef0123")));
    assert!(linux.masked_paths().iter().flatten().any(|path| path == "/proc/kcore"));
    assert!(linux.readonly_paths().iter().flatten().any(|path| path == "/proc/sys"));
    assert_eq!(linux.rootfs_propagation().as_deref(), Some("private"));
    let process = spec.process().as_ref().expect("process");
    assert_eq!(process.no_new_privileges(), Some(false));
    assert_eq!(process.cwd(), Path::new("/"));
    assert!(process.rlimits().as_ref().is_none_or(Vec::is_empty));
    assert_eq!(
        asked.mounts(),
        [
            "/proc proc nosuid,noexec,nodev",
            "/dev tmpfs nosuid,strictatime,mode=755,size=65536k",
            "/dev/pts devpts nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5",
            "/sys sysfs nosuid,noexec,nodev,ro",
            "/sys/fs/cgroup cgroup nosuid,noexec,nodev,relatime,ro",
            "/dev/mqueue mqueue nosuid,noexec,nodev",
            "/dev/shm shm nosuid,noexec,nodev,mode=1777,size=67108864",
        ]
    );
}

#[test]
fn variables_replace_dockers_and_can_take_them_away() {
    let mut asked = asked();
    assert_eq!(asked.environment(), [PATH, "HOSTNAME=0123456789ab"]);
    asked.body.tty = Some(true);
    asked.body.hostname = Some("web".into());
    asked.body.env = Some(["PATH=/bin", "A=1", "A=2", "TERM", "NEVER", "=odd"].map(str::to_owned).into());
    assert_eq!(asked.environment(), ["PATH=/bin", "HOSTNAME=web", "A=2"]);
}

#[test]
fn what_is_asked_to_be_mounted_comes_after_the_usual_parents_first() {
    let mut asked = asked();
    asked.binds = vec![bind("/v/inner", "/data/in/", true), bind("/v", "/data", false)];
    asked.host.tmpfs = Some([("/run".to_owned(), "size=64m,exec".to_owned())].into());
    assert_eq!(
        asked.mounts()[7..],
        ["/data /v rbind", "/run tmpfs noexec,nosuid,nodev,size=64m,exec", "/data/in /v/inner rbind,ro,rro"]
    );
}

#[test]
fn a_mount_that_is_asked_for_takes_the_place_of_a_usual_one() {
    let mut asked = asked();
    asked.binds = vec![bind("/v", "/dev/shm", false)];
    let shm: Vec<_> = asked.mounts().into_iter().filter(|line| line.starts_with("/dev/shm")).collect();
    assert_eq!(shm, ["/dev/shm /v rbind"]);
    asked.binds = vec![bind("/dev", "/dev", false)];
    let below: Vec<_> = asked.mounts().into_iter().filter(|line| line.starts_with("/dev")).collect();
    assert_eq!(below, ["/dev /dev rbind"]);
}

#[test]
fn a_mount_at_no_place_is_refused() {
    for (place, why) in [("data", "must be absolute"), ("/", "can't be '/'"), ("/a/../b", "must not contain '..'")] {
        let mut asked = asked();
        asked.binds = vec![bind("/v", place, false)];
        assert!(asked.refused().contains(why), "{place}: {}", asked.refused());
    }
    let mut asked = asked();
    asked.host.tmpfs = Some([("/run".to_owned(), "lowerdir=/".to_owned())].into());
    assert_eq!(asked.refused(), "invalid tmpfs option \"lowerdir=/\"");
}

#[test]
fn nothing_below_a_bind_is_a_device_where_devices_are_not_filtered() {
    let mut asked = asked();
    asked.machine.cgroup2 = true;
    asked.binds = vec![bind("/v", "/data", false)];
    asked.host.tmpfs = Some([("/run".to_owned(), "dev".to_owned())].into());
    assert_eq!(asked.mounts()[7..], ["/data /v rbind,nodev", "/run tmpfs noexec,nosuid,nodev"]);
}

#[test]
fn a_privileged_container_sees_and_writes_what_the_machine_does() {
    let mut asked = asked();
    asked.host.privileged = Some(true);
    let spec = asked.spec();
    let linux = spec.linux().as_ref().expect("linux");
    assert!(linux.masked_paths().as_ref().is_none_or(Vec::is_empty));
    assert!(linux.readonly_paths().as_ref().is_none_or(Vec::is_empty));
    assert!(asked.mounts().contains(&"/sys sysfs nosuid,noexec,nodev,rw".to_owned()));
    assert_eq!(seccomp_of(&asked.host), Ok(super::super::process::Seccomp::Unconfined));
}

#[test]
fn limits_become_numbers_of_the_cgroups() {
    let mut asked = asked();
    asked.host.memory = Some(64 << 20);
    asked.host.nano_cpus = Some(1_500_000_000);
    asked.host.pids_limit = Some(100);
    asked.host.cpuset_cpus = Some("0-1".into());
    assert_eq!(
        asked.resources(),
        serde_json::json!({
            "memory": { "limit": 67_108_864, "swap": 134_217_728 },
            "cpu": { "quota": 150_000, "period": 100_000, "cpus": "0-1" },
            "pids": { "limit": 100 },
        })
    );
    assert_eq!(asked.warned(), Vec::<String>::new());
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let refused = |host: HostConfig| Asked { host, ..asked() }.refused();
    let host = HostConfig::default;
    assert_eq!(refused(HostConfig { memory: Some(1024), ..host() }), "Minimum memory limit allowed is 6MB");
    assert!(
        refused(HostConfig { memory_swap: Some(1 << 30), ..host() }).starts_with("You should always set the Memory")
    );
    assert!(refused(HostConfig { memory_swappiness: Some(101), ..host() }).contains("range is 0-100"));
    assert!(refused(HostConfig { cpu_period: Some(5), ..host() }).starts_with("CPU cfs period"));
    assert!(refused(HostConfig { cpu_quota: Some(5), ..host() }).starts_with("CPU cfs quota"));
    assert!(
        refused(HostConfig { nano_cpus: Some(1), cpu_quota: Some(5000), ..host() }).starts_with("Conflicting options")
    );
    assert!(refused(HostConfig { oom_score_adj: Some(5000), ..host() }).contains("[-1000, 1000]"));
    assert!(refused(HostConfig { shm_size: Some(-1), ..host() }).contains("SHM size"));
}

#[test]
fn what_the_machine_cannot_limit_is_said_and_left_out() {
    let mut asked = asked();
    asked.machine.controls.clear();
    asked.host.pids_limit = Some(100);
    asked.host.memory = Some(64 << 20);
    assert_eq!(asked.resources(), serde_json::json!({}));
    assert_eq!(asked.warned().len(), 2);
    assert!(asked.warned()[0].starts_with("Your kernel does not support memory limit capabilities"));
}

#[test]
fn a_limit_above_the_engines_own_is_the_engines_own() {
    let mut asked = asked();
    let limit = |soft, hard| {
        let limit =
            bollard_stubs::models::ResourcesUlimits { name: Some("nofile".into()), soft: Some(soft), hard: Some(hard) };
        Some(vec![limit])
    };
    asked.host.ulimits = limit(100_000, 200_000);
    let numbers = |asked: &Asked| {
        let spec = asked.spec();
        let limits = spec.process().as_ref().and_then(|process| process.rlimits().clone()).unwrap_or_default();
        limits.iter().map(|limit| (limit.soft(), limit.hard())).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&asked), [(4096, 4096)]);
    assert_eq!(asked.warned().len(), 1);
    asked.machine.capabilities.push("CAP_SYS_RESOURCE".into());
    assert_eq!(numbers(&asked), [(100_000, 200_000)]);
    asked.host.ulimits = limit(5, 4);
    assert!(asked.refused().contains("less than or equal to hard limit: 5 > 4"));
}

#[test]
fn the_machines_own_network_and_name_are_not_namespaces() {
    let mut asked = asked();
    asked.network = NetworkNamespace::Host;
    asked.ipc = Namespace::Host;
    asked.host.uts_mode = Some("host".into());
    let spec = asked.spec();
    let linux = spec.linux().as_ref().expect("linux");
    let kinds = linux.namespaces().iter().flatten().map(|namespace| namespace.typ().to_string());
    assert_eq!(kinds.collect::<Vec<_>>(), ["mnt", "pid"]);
    assert_eq!(spec.hostname(), &None);
    assert!(asked.mounts().contains(&"/dev/shm /dev/shm rbind,nosuid,noexec,nodev".to_owned()));
}

#[test]
fn only_settings_of_a_namespace_can_be_set() {
    let mut asked = asked();
    let set = |name: &str| Some([(name.to_owned(), "1".to_owned())].into());
    for allowed in ["net.ipv4.ip_forward", "kernel.shmmax", "fs.mqueue.msg_max"] {
        asked.host.sysctls = set(allowed);
        assert!(asked.made().is_ok(), "{allowed}");
    }
    for refused in ["kernel.core_pattern", "vm.swappiness", "net.../x", "net..x", "kernel.hostname"] {
        asked.host.sysctls = set(refused);
        assert!(asked.refused().contains("is not allowed"), "{refused}");
    }
    asked.network = NetworkNamespace::Host;
    asked.host.sysctls = set("net.ipv4.ip_forward");
    assert!(asked.refused().ends_with("in host network namespace"));
}

#[test]
fn security_options_are_read_in_both_forms() {
    let mut asked = asked();
    let options = |list: &[&str]| Some(list.iter().map(ToString::to_string).collect());
    asked.host.security_opt = options(&["no-new-privileges:true", "seccomp=unconfined", "apparmor=unconfined"]);
    let spec = asked.spec();
    assert_eq!(
        spec.process().as_ref().and_then(libcontainer::oci_spec::runtime::Process::no_new_privileges),
        Some(true)
    );
    assert_eq!(seccomp_of(&asked.host), Ok(super::super::process::Seccomp::Unconfined));
    asked.host.security_opt = options(&["nonsense"]);
    assert_eq!(asked.refused(), "invalid --security-opt 2: \"nonsense\"");
    asked.host.security_opt = options(&["apparmor=mine"]);
    assert_eq!(asked.warned(), ["AppArmor is not on this machine: apparmor=mine has no effect"]);
}

#[test]
fn what_the_engine_passes_over_is_said() {
    let mut asked = asked();
    asked.host.userns_mode = Some("keep-id".into());
    asked.host.runtime = Some("nvidia".into());
    assert_eq!(asked.warned().len(), 2);
}

#[test]
fn the_cgroup_namespace_is_dockers_choice() {
    let host = HostConfig::default();
    assert_eq!(cgroup_namespace(&host, &machine()), Namespace::Host);
    assert_eq!(cgroup_namespace(&host, &Machine { cgroup2: true, ..machine() }), Namespace::Own);
    let private = HostConfig { cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE), ..host };
    assert_eq!(cgroup_namespace(&private, &machine()), Namespace::Own);
}
