//! What the engine's tests share.

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take that a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer; `what` is said when there is none in time.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(began.elapsed() < DEADLINE, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// An engine of a test's own: the built program, with folders below a temporary one. Dropped, its containers are stopped
/// and it ends, and nothing of it may be left.
pub(crate) struct Daemon {
    home: TempDir,
    process: Option<Child>,
    idle: String,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code, -1 when a signal ended it.
    pub(crate) code: i32,
    /// What it wrote.
    pub(crate) stdout: String,
    /// Likewise.
    pub(crate) stderr: String,
}

impl Ran {
    /// What it wrote, once it has ended well.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// What it complained of, once it has ended with a failure.
    #[track_caller]
    pub(crate) fn fails(self) -> String {
        assert_ne!(self.code, 0, "{self:#?}");
        self.stderr
    }
}

impl Daemon {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_idle("-")
    }

    /// One that ends by itself after so many seconds of idleness; `-` is never.
    pub(crate) fn start_idle(idle: &str) -> Self {
        let home = tempfile::Builder::new().prefix("hoist").tempdir().expect("a temporary folder can be made");
        let mut daemon = Self { home, process: None, idle: idle.to_owned() };
        daemon.run();
        daemon
    }

    /// Starts it again, after it has ended or been killed.
    pub(crate) fn run(&mut self) {
        let mut process = self.command().spawn().expect("the program can be started");
        eventually("the engine answers", || {
            if let Ok(Some(status)) = process.try_wait() {
                panic!("the engine ended at once: {status}\n{}", self.log());
            }
            self.request("GET", "/_ping", "").filter(|answer| answer.ends_with("OK"))
        });
        self.process = Some(process);
    }

    /// The engine's command line.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        command.args(["__engine", "daemon"]).arg(self.home()).arg(&self.idle).stdin(Stdio::null());
        command
    }

    /// The folder that everything of it is below.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.home().join("run/engine.sock")
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the engine was started").id()
    }

    /// What it has said of itself.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home().join("lib/engine.log")).unwrap_or_default()
    }

    /// Runs the `docker` program against it.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Ran {
        self.docker_with(arguments, b"")
    }

    /// Likewise, with something to read.
    pub(crate) fn docker_with(&self, arguments: &[&str], input: &[u8]) -> Ran {
        let mut command = self.docker_command();
        command.args(arguments);
        run(&mut command, input)
    }

    /// The `docker` program, pointed at it.
    pub(crate) fn docker_command(&self) -> Command {
        let mut command = Command::new("docker");
        command
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", self.home().join("docker"))
            .env("DOCKER_BUILDKIT", "0")
            .env_remove("DOCKER_CONTEXT");
        command
    }

    /// The `docker` program with the plugins that build with BuildKit's protocol, told nothing of it.
    pub(crate) fn plugged(&self) -> Command {
        let config = self.home().join("plugged");
        let folder = config.join("cli-plugins");
        fs::create_dir_all(&folder).expect("the temporary folder can be written");
        let compose = std::env::var("HOIST_DOCKER_COMPOSE").ok().filter(|path| !path.is_empty());
        let compose = compose.unwrap_or_else(|| "/opt/peers/docker-config/cli-plugins/docker-compose".to_owned());
        let plugins = Path::new(&compose).parent().expect("it lies in a folder");
        for plugin in ["docker-buildx", "docker-compose"] {
            let (source, link) = (plugins.join(plugin), folder.join(plugin));
            assert!(source.exists(), "these tests need `{plugin}`: `bash tests/setup/compose` fetches it");
            if !link.exists() {
                symlink(source, link).expect("a link can be made");
            }
        }
        let mut command = self.docker_command();
        command.env("DOCKER_CONFIG", config).env("BUILDX_CONFIG", self.home().join("buildx"));
        command.env_remove("DOCKER_BUILDKIT").env("BUILDKIT_PROGRESS", "plain").env_remove("SSH_AUTH_SOCK");
        command
    }

    /// Sends one request and reads the answer to its end: head and body. `None` when nobody answers.
    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.set_read_timeout(Some(DEADLINE)).ok()?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: engine\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// An image `busybox` of the machine's own static busybox, with its commands in `/bin`.
    pub(crate) fn busybox(&self) {
        let tar = self.home().join("busybox.tar");
        fs::write(&tar, busybox_tar()).expect("the temporary folder can be written");
        let tar = tar.to_str().expect("a temporary path is text");
        self.docker(&["import", "--change", "CMD [\"sh\"]", "--change", "ENV PATH=/bin", tar, "busybox"]).ok();
    }

    /// Ends it as `kill -9` does: nothing is cleaned up.
    pub(crate) fn kill(&mut self) {
        let mut process = self.process.take().expect("the engine was started");
        process.kill().expect("it can be killed");
        process.wait().expect("it is ours");
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) -> i32 {
        let mut process = self.process.take().expect("the engine was started");
        let status = eventually("the engine ends", || process.try_wait().expect("it is ours"));
        status.code().unwrap_or(-1)
    }

    /// Stops containers and engine.
    pub(crate) fn stop(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let answer = self.request("POST", "/hoist/stop", r#"{"containers":true}"#);
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            if let Ok(Some(_)) = process.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = process.kill();
        let _ = process.wait();
        assert!(std::thread::panicking(), "the engine does not stop: {answer:?}\n{}", self.log());
    }

    /// What of it is left on the machine: processes, mounts, files of a run.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let home = self.home().to_str().expect("a temporary path is text");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("a process sees its mounts");
        let mounts = mounts.lines().filter(|line| line.contains(home)).map(|line| format!("mounted: {line}"));
        let processes = processes_of(home).into_iter().map(|process| format!("runs: {process}"));
        let run = self.home().join("run");
        let files = fs::read_dir(&run).into_iter().flatten().flatten();
        let files = files.map(|entry| format!("file: {}", entry.path().display()));
        let cgroups = self.cgroups().into_iter().map(|cgroup| format!("cgroup: {}", cgroup.display()));
        mounts.chain(processes).chain(files).chain(cgroups).collect()
    }

    /// The cgroups of its containers.
    pub(crate) fn cgroups(&self) -> Vec<PathBuf> {
        let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
        let ids: Vec<_> = entries(self.home().join("lib/containers")).collect();
        let hierarchies = entries("/sys/fs/cgroup".into()).filter(|path| path.is_dir());
        let hierarchies: Vec<_> = hierarchies.chain([PathBuf::from("/sys/fs/cgroup")]).collect();
        let all = hierarchies.iter().flat_map(|hierarchy| {
            ids.iter().filter_map(|id| id.file_name()).map(move |id| hierarchy.join("hoist").join(id))
        });
        all.filter(|path| path.exists()).collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            // The first failure is told; what of it is left is told too.
            let _ = writeln!(std::io::stderr(), "the engine's log:\n{}\nleft: {:#?}", self.log(), self.leftovers());
            return;
        }
        let left = self.leftovers();
        assert!(left.is_empty(), "the engine has left: {left:#?}\n{}", self.log());
    }
}

/// Runs a command with something to read.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command can be started");
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that reads nothing has gone.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the command can be waited for");
    writer.join().expect("writing does not panic");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The command lines of processes that name a folder, this test's own aside.
pub(crate) fn processes_of(home: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let processes = fs::read_dir("/proc").expect("there is `/proc`").flatten();
    let lines = processes.filter_map(|entry| {
        let pid = entry.file_name().into_string().ok().filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (pid != own && line.contains(home)).then(|| format!("{pid} {line}"))
    });
    lines.collect()
}

/// A root file system: busybox, its commands, `/etc/passwd`, `/tmp`.
fn busybox_tar() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let root = folder.path();
    for name in ["bin", "etc", "tmp", "root"] {
        fs::create_dir(root.join(name)).expect("a folder can be made");
    }
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("these tests need Debian's `busybox-static`");
    let list = Command::new("/bin/busybox").arg("--list").output().expect("busybox runs");
    for name in String::from_utf8_lossy(&list.stdout).lines().filter(|name| *name != "busybox") {
        symlink("busybox", root.join("bin").join(name)).expect("a link can be made");
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")
        .and_then(|()| fs::write(root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n"))
        .expect("files can be written");
    let mut tar = tar::Builder::new(Vec::new());
    tar.follow_symlinks(false);
    tar.append_dir_all(".", root).expect("a tar can be written");
    tar.into_inner().expect("a tar can be written")
}
