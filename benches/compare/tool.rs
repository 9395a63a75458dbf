//! The two tools: how each is called, and how each is left to watch.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fmt};

use crate::fixture;

const PATIENCE: Duration = Duration::from_mins(3);

/// A tool that runs Compose projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tool {
    /// `hoist` or `compose`.
    pub(crate) name: &'static str,
    program: PathBuf,
    first: &'static [&'static str],
    watch: &'static [&'static str],
    variables: Vec<(&'static str, OsString)>,
}

impl Tool {
    /// The binary that was just built.
    pub(crate) fn hoist() -> Self {
        Self {
            name: "hoist",
            program: env!("CARGO_BIN_EXE_hoist").into(),
            first: &[],
            watch: &["up"],
            variables: Vec::new(),
        }
    }

    /// docker compose as it was unpacked.
    pub(crate) fn compose() -> Result<Self, String> {
        let peers = env::var_os("HOIST_PEERS").map_or_else(|| PathBuf::from("/opt/peers"), PathBuf::from);
        let config = peers.join("docker-config");
        if !config.join("cli-plugins/docker-compose").exists() {
            return Err(format!("docker compose is not in `{}`; set HOIST_PEERS", peers.display()));
        }
        Ok(Self {
            name: "compose",
            program: "docker".into(),
            first: &["compose"],
            watch: &["up", "--watch"],
            variables: vec![("DOCKER_CONFIG", config.into())],
        })
    }

    /// The same with a further variable.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs a command to its end and returns how long it took.
    pub(crate) fn run(&self, folder: &Path, port: u16, arguments: &[&str]) -> Duration {
        let begun = Instant::now();
        let output = self.command(folder, port, arguments).stdin(Stdio::null()).output();
        let took = begun.elapsed();
        let output = output.unwrap_or_else(|error| panic!("start {self}: {error}"));
        assert!(
            output.status.success(),
            "{self} {}: {}\n{}{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        took
    }

    fn command(&self, folder: &Path, port: u16, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.first).args(arguments).current_dir(folder);
        command.env("NODE_IMAGE", "hoist-test/node:latest").env("SHOP_PORT", port.to_string()).env("NO_COLOR", "1");
        // A name for each, so that neither finds what the other left; the crowd is one for both.
        let project = if folder.ends_with("crowd") { fixture::CROWD } else { self.name };
        command.env("COMPOSE_PROJECT_NAME", fixture::project(project));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)
    }
}

/// A tool that runs the project attached and watches its files.
pub(crate) struct Session {
    child: Child,
    lines: mpsc::Receiver<String>,
    tool: Tool,
}

/// What a process takes, in megabytes of 10⁶ bytes.
pub(crate) struct Memory {
    /// Resident (`VmRSS`).
    pub(crate) resident: f64,
    /// Resident, shared pages divided among those who share them (`Pss`).
    pub(crate) proportional: f64,
    /// Resident, what no file stands behind (`Anonymous`).
    pub(crate) private: f64,
}

impl Memory {
    /// Of a process that runs.
    pub(crate) fn of(pid: u32) -> Self {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            let kibibytes: f64 =
                line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).unwrap_or(f64::NAN);
            kibibytes * 1024.0 / 1e6
        };
        Self {
            resident: field("status", "VmRSS:"),
            proportional: field("smaps_rollup", "Pss:"),
            private: field("smaps_rollup", "Anonymous:"),
        }
    }
}

/// What a process has done so far.
pub(crate) struct Work {
    /// Time on a core.
    pub(crate) processor: Duration,
    /// How often its threads have waited for something.
    pub(crate) wakes: u32,
}

impl Work {
    fn of(pid: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        let (mut nanoseconds, mut wakes) = (0_u64, 0_u32);
        for task in tasks.flatten() {
            let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
            let spent: u64 = read("schedstat").split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
            let status = read("status");
            let waits = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            nanoseconds += spent;
            wakes += waits.and_then(|number| number.trim().parse::<u32>().ok()).unwrap_or(0);
        }
        Self { processor: Duration::from_nanos(nanoseconds), wakes }
    }
}

impl Session {
    /// Starts `up` with watching.
    pub(crate) fn start(tool: &Tool, folder: &Path, port: u16) -> Self {
        let mut command = tool.command(folder, port, tool.watch);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("start {tool}: {error}"));
        let (sender, lines) = mpsc::channel();
        collect(child.stdout.take().expect("standard output is a pipe"), sender.clone());
        collect(child.stderr.take().expect("standard error is a pipe"), sender);
        Self { child, lines, tool: tool.clone() }
    }

    /// Waits until docker compose says that it watches. hoist watches before it starts anything, and needs no waiting.
    pub(crate) fn wait_for_watch(&self) {
        if self.tool.name == "hoist" {
            return;
        }
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| panic!("{} does not watch", self.tool));
            if line.contains("Watch enabled") {
                return;
            }
        }
    }

    /// Lets what follows a save come to rest: health, replaced containers, the tool's own tidying.
    pub(crate) fn settle(&self) {
        self.wait_until_quiet_for(Duration::from_millis(2500));
    }

    /// Waits until it has said nothing for so long.
    pub(crate) fn wait_until_quiet_for(&self, quiet: Duration) {
        while self.lines.recv_timeout(quiet).is_ok() {}
    }

    /// The memory of the process that watches; of docker compose only the plug-in counts, not the docker CLI before it.
    pub(crate) fn memory(&self) -> Memory {
        Memory::of(self.watcher())
    }

    /// What that process has done so far.
    pub(crate) fn work(&self) -> Work {
        Work::of(self.watcher())
    }

    fn watcher(&self) -> u32 {
        let pid = self.child.id();
        if self.tool.name == "compose" { child_of(pid).unwrap_or(pid) } else { pid }
    }

    /// Interrupts it and waits for its end.
    pub(crate) fn end(mut self) {
        self.interrupt();
    }

    fn interrupt(&mut self) {
        let group = format!("-{}", self.child.id());
        // It may have ended by itself.
        let _ = Command::new("kill").args(["-INT", "--", &group]).status();
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if matches!(self.child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.interrupt();
        }
    }
}

/// A process whose parent this is.
fn child_of(parent: u32) -> Option<u32> {
    let of = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `pid (name) state parent …`; the name may hold blanks.
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    let processes = fs::read_dir("/proc").ok()?;
    let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid| of(*pid) == Some(parent))
}

fn collect(stream: impl Read + Send + 'static, sender: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
}
