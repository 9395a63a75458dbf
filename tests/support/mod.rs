//! What the scenarios stand on: a project in a folder of its own, the built binary run in it, and what the engine says
//! afterwards. Nothing here waits without a deadline, and nothing of a project outlives its scenario.

pub(crate) mod engine;
pub(crate) mod http;
mod process;
pub(crate) mod session;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, process as std_process, thread};

use tempfile::TempDir;

use engine::{Container, Engine};
use session::Session;

pub(crate) use process::Output;

/// The image of most services: a shell and its tools.
pub(crate) const BUSYBOX: &str = "hoist-test/busybox:latest";

/// The image of the examples.
pub(crate) const NODE: &str = "hoist-test/node:latest";

/// How long anything may take before a scenario fails; generous, since machines of builders are slow.
pub(crate) const DEADLINE: Duration = Duration::from_secs(90);

/// A project in a temporary folder, with a name of its own on the engine. Everything that carries the name is removed at
/// the end; when the scenario failed, what it did and what was there is written to a folder first.
pub(crate) struct Project {
    name: String,
    folder: TempDir,
    /// Where its runs leave their journals.
    state: TempDir,
    engine: Engine,
    variables: Vec<(String, String)>,
    transcript: Mutex<String>,
}

impl Project {
    /// A project with this manifest, on the engine that the docker CLI finds.
    pub(crate) fn new(manifest: &str) -> Self {
        Self::on(Engine::shared(), manifest)
    }

    /// A project with this manifest on a certain engine.
    pub(crate) fn on(engine: Engine, manifest: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("hoist-e2e-{}-{}", std_process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = TempDir::with_prefix("hoist-e2e-").expect("a temporary folder");
        let state = TempDir::with_prefix("hoist-e2e-state-").expect("a temporary folder");
        let project = Self { name, folder, state, engine, variables: Vec::new(), transcript: Mutex::default() };
        project.write("compose.yaml", manifest);
        project
    }

    /// A copy of an example of the repository.
    pub(crate) fn example(example: &str) -> Self {
        Self::example_on(Engine::shared(), example)
    }

    /// A copy of an example on a certain engine.
    pub(crate) fn example_on(engine: Engine, example: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(example);
        let project = Self::on(engine, "");
        copy_folder(&source, project.folder.path());
        project.with("NODE_IMAGE", NODE)
    }

    /// Sets an environment variable for every command that follows.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The project's name on the engine.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The engine that it runs on.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// A path inside the project's folder.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Writes a file of the project, and the folders above it.
    pub(crate) fn write(&self, relative: &str, content: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("create a folder");
        fs::write(&path, content).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
    }

    /// Reads a file of the project.
    pub(crate) fn read(&self, relative: &str) -> String {
        let path = self.path(relative);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
    }

    /// Runs the binary to its end.
    pub(crate) fn hoist(&self, arguments: &[&str]) -> Output {
        let output = process::run(self.command(arguments), DEADLINE);
        self.note(&output);
        output
    }

    /// Starts the binary and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Session {
        Session::start(self.command(arguments))
    }

    /// Starts an attached `up` and waits until it says that everything is up.
    pub(crate) fn up(&self) -> Session {
        let session = self.start(&["up"]);
        self.eventually("every service runs", || {
            let containers = self.containers();
            session.assert_running();
            !containers.is_empty() && containers.iter().all(|container| container.status != "created")
        });
        session
    }

    /// Runs a shell script in the project's folder.
    pub(crate) fn shell(&self, script: &str) -> Output {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        self.prepare(&mut command);
        let output = process::run(command, DEADLINE);
        self.note(&output);
        output
    }

    /// Runs docker compose 2.40 in the project's folder, when the peers are unpacked.
    pub(crate) fn compose(&self, arguments: &[&str]) -> Output {
        let output = process::run(self.compose_command(arguments), DEADLINE);
        self.note(&output);
        output
    }

    /// Starts docker compose 2.40 and leaves it running.
    pub(crate) fn start_compose(&self, arguments: &[&str]) -> Session {
        Session::start(self.compose_command(arguments))
    }

    fn compose_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("compose").args(arguments).env("DOCKER_CONFIG", peers().join("docker-config"));
        self.prepare(&mut command);
        command
    }

    /// All containers of the project, by name.
    pub(crate) fn containers(&self) -> Vec<Container> {
        self.engine.containers(&self.name)
    }

    /// The one container of a service; while one replaces the other, this waits for the end of that.
    pub(crate) fn container(&self, service: &str) -> Container {
        let mut found = Vec::new();
        self.eventually(&format!("`{service}` has one container"), || {
            found = self.containers();
            found.retain(|container| container.service == service);
            found.len() == 1
        });
        found.remove(0)
    }

    /// Waits until something holds, and fails with its name when it does not in time.
    pub(crate) fn eventually(&self, what: &str, holds: impl FnMut() -> bool) {
        let waited = Instant::now();
        assert!(
            process::poll(DEADLINE, holds),
            "not so after {:?}: {what}\n{}",
            waited.elapsed(),
            self.engine.state(&self.name)
        );
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        for (name, _) in env::vars() {
            if name.starts_with("COMPOSE_") || name.starts_with("HOIST_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.folder.path()).env("COMPOSE_PROJECT_NAME", &self.name).env("NO_COLOR", "1");
        command.env("XDG_STATE_HOME", self.state.path());
        self.engine.point(command);
        // Last, since a scenario may name another engine.
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    fn note(&self, output: &Output) {
        self.transcript.lock().expect("nothing panics while it writes").push_str(&output.to_string());
    }

    /// Writes what was done and what is there to a folder that outlives the scenario.
    fn keep_evidence(&self) {
        let scenario = thread::current().name().unwrap_or("scenario").replace("::", "-");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failed").join(scenario);
        let transcript = self.transcript.lock().map(|text| text.clone()).unwrap_or_default();
        let written = fs::create_dir_all(&folder)
            .and_then(|()| fs::write(folder.join("commands.txt"), &transcript))
            .and_then(|()| fs::write(folder.join("state.txt"), self.engine.state(&self.name)))
            .and_then(|()| fs::write(folder.join("logs.txt"), self.engine.logs(&self.name)));
        match written {
            Ok(()) => eprintln!("{transcript}\nthe scenario's commands, states and logs are in {}", folder.display()),
            Err(error) => eprintln!("{transcript}\n{}: {error}", folder.display()),
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if thread::panicking() {
            self.keep_evidence();
        }
        self.engine.remove_project(&self.name);
    }
}

/// The binary that the scenarios drive: the one just built, or the one that `HOIST_BINARY` names.
pub(crate) fn binary() -> PathBuf {
    env::var_os("HOIST_BINARY").map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_hoist")), PathBuf::from)
}

/// Whether docker compose 2.40 is there to compare with; says loudly when it is not.
pub(crate) fn peers_are_here() -> bool {
    let here = peers().join("docker-config/cli-plugins/docker-compose").exists();
    if !here {
        eprintln!("\n*** LEFT OUT: docker compose is not in {} (set HOIST_PEERS) ***\n", peers().display());
    }
    here
}

fn peers() -> PathBuf {
    env::var_os("HOIST_PEERS").map_or_else(|| PathBuf::from("/opt/peers"), PathBuf::from)
}

/// A TCP port of this machine that nothing listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind to any port");
    listener.local_addr().expect("a bound listener has an address").port()
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("read {}: {error}", from.display())) {
        let entry = entry.expect("an entry of a folder");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("create a folder");
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copy a file");
        }
    }
}
