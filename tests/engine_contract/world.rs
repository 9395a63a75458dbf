//! A place of its own for each test: an engine, a project's name, and the clean-up behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use hoist::engine::docker::Docker;
use hoist::engine::memory::Memory;
use hoist::engine::{Engine, EngineError, LogOptions, Wanted};
use hoist::log::{self, Origin};
use hoist::plan::observed::{Container, ContainerState, Image};
use hoist::plan::spec::{BuildSpec, ContainerSpec, NetworkEndpoint, NetworkSpec, VolumeSpec, label};
use hoist::project::{Build, BuildContext, Network, Networking, Service, Volume};
use hoist::ui::Message;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long anything may take before a test gives up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// The programs that containers of tests need.
const PROGRAMS: [&str; 16] = [
    "sh", "rm", "sleep", "cat", "env", "ls", "nc", "stty", "wc", "tar", "dd", "base64", "stat", "find", "sort",
    "readlink",
];

static COUNT: AtomicU32 = AtomicU32::new(0);

/// An engine and a project in it.
pub(crate) struct World<E> {
    pub(crate) engine: E,
    pub(crate) project: String,
    image: String,
    pub(crate) folder: TempDir,
}

/// Runs a test on an engine of maps.
pub(crate) async fn with_memory(test: impl AsyncFnOnce(&World<Memory>)) {
    run(Memory::new(), test).await;
}

/// Runs a test on the real engine.
pub(crate) async fn with_docker(test: impl AsyncFnOnce(&World<Docker>)) {
    let embedded = own_engine();
    match Docker::connect(embedded.as_deref()).await {
        Ok(docker) => run(docker, test).await,
        Err(error) => panic!("{error}\nhint: `tests/setup/engine` makes sure that an engine answers"),
    }
}

/// The address of the engine that `tests/setup/engine embedded` has started, when `HOIST_TEST_ENGINE` asks for that one.
pub(crate) fn own_engine() -> Option<String> {
    std::env::var_os("HOIST_TEST_ENGINE").filter(|engine| engine == "embedded")?;
    let home = std::env::var_os("HOIST_TEST_HOME").unwrap_or_else(|| "/var/lib/hoist-test-engine".into());
    Some(format!("unix://{}", Path::new(&home).join("embedded/run/engine.sock").display()))
}

/// The lines of a container as they are passed on to whoever reads them.
pub(crate) async fn followed<E: Engine>(world: &World<E>, id: &str, options: LogOptions) -> Vec<String> {
    let (sink, mut messages) = mpsc::channel(64);
    let origin = Origin { service: "a".to_owned(), number: 1 };
    let following = log::follow(world.engine.clone(), id.to_owned(), origin, options, sink, CancellationToken::new());
    let receiving = async {
        let mut texts = Vec::new();
        while let Some(message) = messages.recv().await {
            let Message::Lines(lines) = message else { panic!("{message:?}") };
            texts.extend(lines.into_iter().map(|line| line.text));
        }
        texts
    };
    let (ended, texts) =
        tokio::time::timeout(DEADLINE, async { tokio::join!(following, receiving) }).await.expect("the log ends");
    ended.expect("the log ends well");
    texts
}

async fn run<E: Engine>(engine: E, test: impl AsyncFnOnce(&World<E>)) {
    let project = format!("engine-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = tempfile::tempdir().expect("a folder");
    let mut world = World { engine, project, image: String::new(), folder };
    world.image = world.busybox().await;
    let outcome = AssertUnwindSafe(tokio::time::timeout(2 * DEADLINE, test(&world))).catch_unwind().await;
    world.clean_up().await;
    match outcome {
        Ok(ended) => ended.expect("the test takes too long"),
        Err(panic) => resume_unwind(panic),
    }
}

impl<E: Engine> World<E> {
    /// A container of the project that runs this line, without a network; `change` alters it.
    pub(crate) fn container(&self, name: &str, line: &str, change: impl FnOnce(&mut ContainerSpec)) -> ContainerSpec {
        let mut spec = ContainerSpec {
            name: format!("{}-{name}-1", self.project),
            image: self.image.clone(),
            service: Service {
                name: name.to_owned(),
                command: Some(["sh", "-c", line].map(str::to_owned).to_vec()),
                networking: Networking::None,
                ..Default::default()
            },
            labels: self.labels(&[(label::SERVICE, name), (label::NUMBER, "1"), (label::CONFIG_HASH, "hash")]),
            networks: Vec::new(),
            volumes: BTreeMap::new(),
            file_mounts: Vec::new(),
            copied_files: Vec::new(),
            volumes_from: None,
            companions: BTreeMap::new(),
            links: Vec::new(),
            restarts_program: false,
            directory: PathBuf::from("/"),
            left_out: Vec::new(),
        };
        change(&mut spec);
        spec
    }

    /// Makes and starts a container.
    pub(crate) async fn started(&self, spec: &ContainerSpec) -> Container {
        let container = self.engine.create_container(spec).await.expect("a container").container;
        self.engine.start_container(&container.id).await.expect("a start")
    }

    /// The container once it has exited.
    pub(crate) async fn exited(&self, id: &str) -> Container {
        self.until(id, |container| matches!(container.state, ContainerState::Exited(_))).await
    }

    /// The container once it is as wanted.
    pub(crate) async fn until(&self, id: &str, wanted: impl Fn(&Container) -> bool) -> Container {
        let waiting = async {
            loop {
                let container = self.engine.container(id).await.expect("an answer").expect("the container");
                if wanted(&container) {
                    return container;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("the container becomes as wanted")
    }

    pub(crate) fn network(&self, key: &str) -> NetworkSpec {
        let network = Network { name: format!("{}_{key}", self.project), ..Default::default() };
        NetworkSpec { network, labels: self.labels(&[(label::NETWORK, key)]) }
    }

    pub(crate) fn volume(&self, key: &str) -> VolumeSpec {
        let volume = Volume { name: format!("{}_{key}", self.project), ..Default::default() };
        VolumeSpec { volume, labels: self.labels(&[(label::VOLUME, key)]) }
    }

    /// Makes a network and returns a container's place in it.
    pub(crate) async fn place(&self, key: &str, aliases: &[&str]) -> NetworkEndpoint {
        let spec = self.network(key);
        self.engine.create_network(&spec).await.expect("a network");
        NetworkEndpoint {
            network: spec.network.name,
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            ipv4_address: None,
            ipv6_address: None,
            mac_address: None,
            link_local_ips: Vec::new(),
            interface_name: None,
            driver_opts: BTreeMap::new(),
            gateway_priority: None,
        }
    }

    /// A build of these files; the folder lives as long as the world.
    pub(crate) fn build(&self, name: &str, files: &[(&str, &str)]) -> BuildSpec {
        let root = self.folder.path().join(name);
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            fs::write(path, content).expect("a file");
        }
        self.build_of(name, &root)
    }

    /// A build of a folder.
    pub(crate) fn build_of(&self, name: &str, root: &Path) -> BuildSpec {
        BuildSpec {
            service: name.to_owned(),
            image: format!("{}-{name}", self.project),
            build: Build {
                context: BuildContext::Local(root.to_owned()),
                dockerfile: "Dockerfile".to_owned(),
                dockerfile_inline: None,
                args: BTreeMap::new(),
                target: None,
                ..Build::default()
            },
            labels: self.labels(&[]),
            platform: None,
            pull: false,
            no_cache: false,
            secrets: BTreeMap::new(),
            aside: BTreeSet::new(),
        }
    }

    /// Builds, and throws the progress away.
    pub(crate) async fn built(&self, spec: &BuildSpec) -> Result<Image, EngineError> {
        let (progress, _) = mpsc::channel(1);
        self.engine.build(spec, progress, CancellationToken::new()).await
    }

    /// The image's reference that containers of the world run.
    pub(crate) fn image(&self) -> &str {
        &self.image
    }

    fn labels(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = [(label::PROJECT, self.project.as_str())];
        own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    async fn busybox(&self) -> String {
        let root = self.folder.path().join("busybox");
        fs::create_dir_all(root.join("bin")).expect("a folder");
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox, from Debian's busybox-static");
        for program in PROGRAMS {
            symlink("busybox", root.join("bin").join(program)).expect("a link");
        }
        fs::write(root.join("Dockerfile"), "FROM scratch\nCOPY bin /bin\nENV OF_THE_IMAGE=1\nVOLUME /declared\n")
            .expect("a file");
        let mut spec = self.build_of("busybox", &root);
        "hoist-test/contract".clone_into(&mut spec.image);
        spec.labels = BTreeMap::new();
        self.built(&spec).await.expect("the image of the tests");
        spec.image
    }

    async fn clean_up(&self) {
        let observed = self.engine.observe(&self.project, &Wanted::default()).await.expect("what is left");
        for id in observed.containers.keys() {
            let _ = self.engine.remove_container(id, true).await;
        }
        for name in observed.networks.keys() {
            let _ = self.engine.remove_network(name).await;
        }
        for name in observed.volumes.keys() {
            let _ = self.engine.remove_volume(name).await;
        }
        for name in ["a", "b", "fails", "large"] {
            let _ = self.engine.remove_image(&format!("{}-{name}", self.project)).await;
        }
    }
}
