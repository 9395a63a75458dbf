//! What these tests share: an engine's folders, an image of busybox, waiting for output.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bollard_stubs::models::{ContainerCreateBody, HostConfig};
use hoist::embedded::error::Error;
use hoist::embedded::layout::Layout;
use hoist::embedded::process::{self, Attached, ContainerProcess, ExecProcess, Exit, LogFile, Running, Seccomp};
use hoist::embedded::root::Rootfs;
use hoist::embedded::spec::{self, Namespace, NetworkNamespace, Request};
use tempfile::TempDir;

/// Longest that anything here may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// An engine's folders with a root file system of busybox.
pub(super) struct Home {
    pub(super) folder: TempDir,
    pub(super) layout: Layout,
}

impl Home {
    pub(super) fn new() -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests run containers: as root only");
        hoist::embedded::set_program(env!("CARGO_BIN_EXE_hoist").into());
        let folder = tempfile::Builder::new().prefix("hp").tempdir().expect("a folder can be made");
        let layout = Layout::new(Some(folder.path()));
        std::fs::create_dir_all(layout.mounts()).expect("a folder can be made");
        let none = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", layout.mounts(), "tmpfs", none, c"mode=0700").expect("a tmpfs can be mounted");
        rustix::mount::mount_change(layout.mounts(), rustix::mount::MountPropagationFlags::PRIVATE)
            .expect("it is there");
        let home = Self { folder, layout };
        home.busybox();
        home
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn image(&self) -> PathBuf {
        self.path("image")
    }

    pub(super) fn busybox(&self) {
        let image = self.image();
        for folder in ["bin", "etc", "tmp", "home/jo"] {
            std::fs::create_dir_all(image.join(folder)).expect("a folder can be made");
        }
        std::fs::copy("/bin/busybox", image.join("bin/busybox"))
            .expect("a static busybox is installed (busybox-static)");
        for name in [
            "sh", "cat", "echo", "sleep", "id", "env", "ls", "stty", "tty", "yes", "head", "true", "false", "kill",
            "mkdir", "touch", "ps", "grep", "dd", "tail", "mount", "chmod", "pwd", "seq", "unshare", "ln", "rm",
            "hostname", "trap", "wc", "test", "readlink",
        ] {
            std::os::unix::fs::symlink("busybox", image.join("bin").join(name)).expect("a link can be made");
        }
        std::fs::write(image.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\njo:x:1000:1000::/home/jo:/bin/sh\n")
            .expect("a file");
        std::fs::write(image.join("etc/group"), "root:x:0:\njo:x:1000:\nextra:x:77:jo\n").expect("a file");
        std::fs::write(image.join("etc/data"), "no program").expect("a file");
        std::fs::write(image.join("bin/garbage"), "\u{1}no format").expect("a file");
        std::fs::set_permissions(image.join("bin/garbage"), std::fs::Permissions::from_mode(0o755))
            .expect("it is there");
    }

    /// A container of the image that runs these.
    pub(super) fn container(&self, arguments: &[&str]) -> ContainerProcess {
        self.with(arguments, &HostConfig::default())
    }

    pub(super) fn with(&self, arguments: &[&str], host: &HostConfig) -> ContainerProcess {
        let id = hoist::embedded::id::random();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.into()).collect();
        let machine = hoist::embedded::root::machine::detect().expect("the machine tells");
        let request = Request {
            id: &id,
            body: &ContainerCreateBody { hostname: Some("box".into()), ..Default::default() },
            host,
            arguments: &arguments,
            binds: &[],
            root: self.layout.mounts().join(&id[..16]),
            network: NetworkNamespace::Host,
            pid: Namespace::Own,
            ipc: Namespace::Own,
            cgroup: Namespace::Own,
            machine: &machine,
        };
        let (spec, _) = spec::container(&request).expect("the request makes sense");
        ContainerProcess {
            spec,
            rootfs: Rootfs::Layers {
                lower: vec![self.image()],
                upper: self.path(&format!("{}-upper", &id[..16])),
                work: self.path(&format!("{}-work", &id[..16])),
            },
            user: String::new(),
            group_add: Vec::new(),
            propagated: Vec::new(),
            shared_memory_of: None,
            populate: Vec::new(),
            terminal: false,
            stdin: false,
            stdin_once: false,
            init: false,
            log: Some(LogFile { path: self.path(&format!("{}.log", &id[..16])), max_size: None, max_files: 1 }),
            seccomp: Seccomp::Default,
            hold_output: false,
            id,
        }
    }

    pub(super) async fn start(&self, container: &ContainerProcess) -> Running {
        process::start(&self.layout, container).await.expect("the container starts")
    }

    /// Runs to its end: what it wrote, and how it ended.
    pub(super) async fn run(&self, container: &ContainerProcess) -> (String, Exit) {
        let running = self.start(container).await;
        let exit = end(&running).await;
        (output(container), exit)
    }

    pub(super) async fn refusal(&self, container: &ContainerProcess) -> Error {
        process::start(&self.layout, container).await.expect_err("it cannot start")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        rustix::mount::unmount(self.layout.mounts(), rustix::mount::UnmountFlags::DETACH).expect("it is mounted");
    }
}

pub(super) async fn end(running: &Running) -> Exit {
    tokio::time::timeout(PATIENCE, running.wait()).await.expect("the container ends")
}

/// What a container's log holds.
pub(super) fn output(container: &ContainerProcess) -> String {
    let log = container.log.as_ref().expect("it has a log");
    let text = std::fs::read_to_string(&log.path).expect("the log is there");
    text.lines().map(|line| record(line)["log"].as_str().expect("a text").to_owned()).collect()
}

pub(super) fn record(line: &str) -> serde_json::Value {
    serde_json::from_str(line).expect("a line of JSON")
}

pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let by = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < by, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads what an attachment says until it has said this.
pub(super) async fn until(attached: &mut Attached, words: &str) -> String {
    let mut text = String::new();
    let reading = async {
        while !text.contains(words) {
            let output = attached.output.recv().await.unwrap_or_else(|| panic!("{words:?} has not come: {text:?}"));
            text.push_str(&String::from_utf8_lossy(&output.bytes));
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, reading).await;
    assert!(in_time.is_ok(), "{words:?} has not come: {text:?}");
    text
}

/// All that an attachment says until its end.
pub(super) async fn rest(attached: &mut Attached) -> String {
    let mut bytes = Vec::new();
    while let Some(output) = tokio::time::timeout(PATIENCE, attached.output.recv()).await.expect("it ends") {
        bytes.extend_from_slice(&output.bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn command(arguments: &[&str]) -> ExecProcess {
    ExecProcess {
        arguments: arguments.iter().map(|&argument| argument.into()).collect(),
        environment: vec!["A=1".into()],
        working_directory: String::new(),
        user: String::new(),
        terminal: None,
        stdin: false,
        privileged: false,
    }
}

pub(super) fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// The control groups that a container has.
pub(super) fn groups(id: &str) -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the machine tells its mounts");
    let cgroups = mounts.lines().filter(|line| line.contains(" cgroup"));
    let folders =
        cgroups.filter_map(|line| line.split(' ').nth(1)).map(|place| Path::new(place).join("hoist").join(id));
    folders.filter(|folder| folder.exists()).collect()
}
