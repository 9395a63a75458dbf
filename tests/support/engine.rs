//! The engine as the docker CLI sees it: what is there, and what is to go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Once;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::process::{self, Output};
use super::{BUSYBOX, DEADLINE, NODE, binary};

const PROJECT: &str = "com.docker.compose.project";

/// An engine that answers.
#[derive(Clone)]
pub(crate) struct Engine {
    /// Where it listens; `None` is where the docker CLI looks by itself.
    host: Option<String>,
    /// The folder of an engine of hoist's own.
    home: Option<PathBuf>,
    /// Commands are not told where it is, and have to find it.
    is_found: bool,
}

/// Whether the scenarios are to run on hoist's own engine (`HOIST_TEST_ENGINE=embedded`) in place of Docker's.
pub(crate) fn is_embedded() -> bool {
    std::env::var_os("HOIST_TEST_ENGINE").is_some_and(|engine| engine == "embedded")
}

/// Where `tests/setup/engine embedded` keeps it.
fn shared_home() -> PathBuf {
    let home = std::env::var_os("HOIST_TEST_HOME").unwrap_or_else(|| "/var/lib/hoist-test-engine".into());
    PathBuf::from(home).join("embedded")
}

/// A container as the engine describes it.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// Its id.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// The service that it belongs to.
    pub(crate) service: String,
    /// `created`, `running`, `exited`, ….
    pub(crate) status: String,
    /// `starting`, `healthy`, `unhealthy`; empty without a healthcheck.
    pub(crate) health: String,
    /// The code that it exited with.
    pub(crate) exit_code: i64,
    /// The id of its image.
    pub(crate) image: String,
    /// When it started last.
    pub(crate) started_at: DateTime<Utc>,
    /// When it ended last.
    pub(crate) finished_at: DateTime<Utc>,
    /// All that the engine says.
    pub(crate) raw: Value,
}

impl Engine {
    /// The engine that the docker CLI finds, or hoist's own, with the images that the scenarios run on.
    pub(crate) fn shared() -> Self {
        static READY: Once = Once::new();
        let engine = if is_embedded() { Self::at_home(&shared_home()) } else { Self::of_docker(None) };
        READY.call_once(|| {
            let version = engine.docker(&["version", "--format", "{{.Server.Version}}"]);
            let script = if is_embedded() { "tests/setup/engine embedded" } else { "tests/setup/engine" };
            assert_eq!(version.code, Some(0), "no engine answers; `{script}` starts one:\n{version}");
            if engine.docker(&["image", "inspect", BUSYBOX, NODE]).code != Some(0) {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup/images");
                process::run(Command::new(script), DEADLINE).success();
            }
        });
        engine
    }

    fn of_docker(host: Option<String>) -> Self {
        Self { host, home: None, is_found: false }
    }

    /// Hoist's own engine with its folders below this one.
    fn at_home(home: &Path) -> Self {
        let socket = home.join("run/engine.sock");
        Self { host: Some(format!("unix://{}", socket.display())), home: Some(home.to_owned()), is_found: false }
    }

    /// Runs the docker CLI.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.args(arguments);
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        // What an older CLI would use of a builder that the engine does not have.
        if self.home.is_some() {
            command.env("DOCKER_BUILDKIT", "0");
        }
        process::run(command, DEADLINE)
    }

    /// Makes a command talk to this engine.
    pub(crate) fn point(&self, command: &mut Command) {
        if let Some(home) = &self.home {
            command.env("HOIST_HOME", home);
        }
        if let Some(host) = self.host.as_ref().filter(|_| !self.is_found) {
            command.env("DOCKER_HOST", host);
        }
    }

    /// All containers of a project, by name.
    pub(crate) fn containers(&self, project: &str) -> Vec<Container> {
        let ids = self.ids(project, &["ps", "-aq", "--no-trunc"]);
        if ids.is_empty() {
            return Vec::new();
        }
        let mut arguments = vec!["container", "inspect"];
        arguments.extend(ids.iter().map(String::as_str));
        // One that goes away in between makes the command fail; the rest is printed all the same.
        let output = self.docker(&arguments);
        let described: Vec<Value> = serde_json::from_str(&output.stdout).unwrap_or_default();
        let mut containers: Vec<_> = described.into_iter().filter_map(Container::read).collect();
        containers.sort_by(|a, b| a.name.cmp(&b.name));
        containers
    }

    /// The names of a project's networks.
    pub(crate) fn networks(&self, project: &str) -> Vec<String> {
        self.ids(project, &["network", "ls", "--format", "{{.Name}}"])
    }

    /// The names of a project's volumes.
    pub(crate) fn volumes(&self, project: &str) -> Vec<String> {
        self.ids(project, &["volume", "ls", "--format", "{{.Name}}"])
    }

    /// The id of an image, or `None` when it is not there.
    pub(crate) fn image(&self, reference: &str) -> Option<String> {
        let output = self.docker(&["image", "inspect", "--format", "{{.Id}}", reference]);
        (output.code == Some(0)).then(|| output.stdout.trim().to_owned())
    }

    /// The project's containers as a table, for people.
    pub(crate) fn state(&self, project: &str) -> String {
        let format = "{{.Names}}\t{{.State}}\t{{.Status}}\t{{.Image}}\t{{.Ports}}";
        let table = self.docker(&["ps", "-a", "--filter", &of(project), "--format", format]);
        format!("{}networks: {:?}\nvolumes: {:?}\n", table.stdout, self.networks(project), self.volumes(project))
    }

    /// The last lines of every container of a project, for people.
    pub(crate) fn logs(&self, project: &str) -> String {
        let containers = self.containers(project);
        containers.iter().map(|one| self.docker(&["logs", "--tail", "100", &one.id]).to_string()).collect()
    }

    /// Removes all that carries a project's label, and the images that were built for it.
    pub(crate) fn remove_project(&self, project: &str) {
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-f", "-v"][..]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
            (&["image", "ls", "-q"], &["image", "rm", "-f"]),
        ] {
            let ids = self.ids(project, list);
            if !ids.is_empty() {
                let arguments: Vec<&str> = remove.iter().copied().chain(ids.iter().map(String::as_str)).collect();
                self.docker(&arguments);
            }
        }
    }

    fn ids(&self, project: &str, list: &[&str]) -> Vec<String> {
        let filter = of(project);
        let arguments: Vec<&str> = list.iter().copied().chain(["--filter", filter.as_str()]).collect();
        self.docker(&arguments).stdout.lines().map(str::to_owned).collect()
    }
}

fn of(project: &str) -> String {
    format!("label={PROJECT}={project}")
}

impl Container {
    fn read(raw: Value) -> Option<Self> {
        let text = |pointer: &str| raw.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let time = |pointer: &str| text(pointer).parse::<DateTime<Utc>>().unwrap_or_default();
        let labels = raw.pointer("/Config/Labels")?;
        let service = labels.get("com.docker.compose.service").and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Self {
            id: text("/Id"),
            name: text("/Name").trim_start_matches('/').to_owned(),
            service,
            status: text("/State/Status"),
            health: text("/State/Health/Status"),
            exit_code: raw.pointer("/State/ExitCode").and_then(Value::as_i64).unwrap_or_default(),
            image: text("/Image"),
            started_at: time("/State/StartedAt"),
            finished_at: time("/State/FinishedAt"),
            raw,
        })
    }

    /// Whether it runs.
    pub(crate) fn runs(&self) -> bool {
        self.status == "running"
    }

    /// A label of it.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.raw["Config"]["Labels"][name].as_str().unwrap_or_default()
    }
}

/// An engine of the scenario's own, that may be stopped and started: of the kind that the scenarios run on.
pub(crate) struct PrivateEngine {
    folder: TempDir,
    daemon: Option<Child>,
    is_embedded: bool,
}

impl PrivateEngine {
    /// Starts one with the busybox image; `None`, loudly, where that cannot be.
    pub(crate) fn start() -> Option<Self> {
        let mut engine = Self::folder(is_embedded())?;
        engine.resume();
        engine.load_busybox();
        Some(engine)
    }

    /// One of hoist's own, whatever the scenarios run on.
    pub(crate) fn start_embedded() -> Option<Self> {
        let mut engine = Self::folder(true)?;
        engine.resume();
        engine.load_busybox();
        Some(engine)
    }

    /// A place for an engine of hoist's own that nobody has started: a command that needs it does.
    pub(crate) fn unstarted() -> Option<Self> {
        Self::folder(true)
    }

    fn folder(is_embedded: bool) -> Option<Self> {
        let root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        let installed = is_embedded || Command::new("dockerd").arg("--version").stdout(Stdio::null()).status().is_ok();
        if !root || !installed {
            eprintln!("\n*** LEFT OUT: a private engine needs root, and dockerd if it is to be Docker's ***\n");
            return None;
        }
        let folder = TempDir::with_prefix("hoist-engine-").expect("a temporary folder");
        Some(Self { folder, daemon: None, is_embedded })
    }

    /// How to reach it.
    pub(crate) fn handle(&self) -> Engine {
        if self.is_embedded {
            return Engine::at_home(self.folder.path());
        }
        Engine::of_docker(Some(format!("unix://{}", self.path("engine.sock").display())))
    }

    /// The same engine, where hoist is not told to use it and has to find it.
    pub(crate) fn found(&self) -> Engine {
        Engine { is_found: true, ..self.handle() }
    }

    /// Starts its daemon again.
    pub(crate) fn resume(&mut self) {
        let log = fs::File::create(self.path("log")).expect("create a log");
        let mut command = if self.is_embedded { self.own_daemon() } else { self.dockers_daemon() };
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.daemon = Some(command.spawn().expect("start the engine"));
        let answers = process::poll(DEADLINE, || self.handle().docker(&["version"]).code == Some(0));
        assert!(answers, "{}", fs::read_to_string(self.path("log")).unwrap_or_default());
    }

    fn own_daemon(&self) -> Command {
        let mut command = Command::new(binary());
        command.args(["engine", "serve"]).env("HOIST_HOME", self.folder.path());
        command
    }

    fn dockers_daemon(&self) -> Command {
        // A network of its own: a second engine in the machine's would take the first one's bridge and rules away.
        let mut command = Command::new("unshare");
        command
            .args(["--net", "--", "dockerd", "--host"])
            .arg(format!("unix://{}", self.path("engine.sock").display()))
            .arg("--data-root")
            .arg(self.path("data"))
            .arg("--exec-root")
            .arg(self.path("run"))
            .arg("--pidfile")
            .arg(self.path("pid"))
            .args(["--shutdown-timeout", "2"]);
        command
    }

    /// Ends its daemon as a service manager would; Docker's takes its containers with it.
    pub(crate) fn stop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let pid = daemon.id().to_string();
            // It may have ended by itself.
            let _ = Command::new("kill").arg(&pid).status();
            if process::wait(&mut daemon, Duration::from_mins(1)).is_none() {
                let _ = daemon.kill();
                let _ = daemon.wait();
            }
        }
    }

    /// Ends its daemon as `kill -9` does; an embedded one's containers go on.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().expect("it can be killed");
            daemon.wait().expect("it is ours");
        }
    }

    /// Holds its daemon still: it takes requests and answers none.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let daemon = self.daemon.as_ref().expect("it runs");
        kill_process(Pid::from_child(daemon), signal).expect("it is ours");
    }

    fn load_busybox(&self) {
        let archive = self.path("busybox.tar");
        let archive = archive.to_str().expect("a temporary path is text");
        Engine::shared().docker(&["save", "-o", archive, BUSYBOX]).success();
        self.handle().docker(&["load", "-i", archive]).success();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if self.is_embedded {
            // With its containers, which would go on otherwise; whoever has started it.
            let mut command = Command::new(binary());
            command.args(["engine", "stop"]).env("HOIST_HOME", self.folder.path());
            process::run(command, DEADLINE);
        }
        self.stop();
    }
}
