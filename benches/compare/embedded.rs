//! The embedded engine against Docker: containers by the API itself, and projects by hoist on the one and docker compose on
//! the other.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tempfile::TempDir;

use crate::fixture;
use crate::tool::{Memory, Tool};

const PATIENCE: Duration = Duration::from_secs(30);
const LABEL: &str = "dev.hoist.bench";

/// An embedded engine of the benchmark's own.
pub(crate) struct Embedded {
    home: TempDir,
}

impl Embedded {
    /// Starts one and makes the images there.
    pub(crate) fn start() -> Self {
        let engine = Self { home: TempDir::with_prefix("hoist-bench-").expect("a temporary folder") };
        engine.hoist(&["engine", "start"]);
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup/images");
        let made = Command::new(images).env("DOCKER_HOST", format!("unix://{}", engine.socket().display())).status();
        assert!(made.is_ok_and(|status| status.success()), "make the images on the embedded engine");
        engine
    }

    /// hoist, on this engine.
    pub(crate) fn tool(&self) -> Tool {
        Tool::hoist().with("HOIST_HOME", self.home.path()).with("HOIST_ENGINE", "embedded")
    }

    /// Where its API is.
    pub(crate) fn api(&self) -> Api {
        Api { socket: self.socket() }
    }

    /// What the engine and each of its shims take.
    pub(crate) fn memory(&self) -> (Memory, Vec<Memory>) {
        let home = self.home.path().to_str().expect("a temporary path is text");
        let lock = fs::read_to_string(self.home.path().join("run/engine.lock")).expect("read the engine's lock");
        let engine: u32 = lock.trim().parse().expect("the lock holds a process id");
        let processes = fs::read_dir("/proc").expect("read /proc");
        let pids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        let shims = pids.filter(|pid| {
            let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.contains("__engine\0container\0") && line.contains(home)
        });
        (Memory::of(engine), shims.map(Memory::of).collect())
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("run/engine.sock")
    }

    fn hoist(&self, arguments: &[&str]) {
        self.tool().run(self.home.path(), fixture::FREE_PORT, arguments);
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.hoist(&["engine", "stop"]);
    }
}

/// An engine's API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    socket: PathBuf,
}

impl Api {
    /// Docker's.
    pub(crate) fn docker() -> Self {
        let host = env::var("DOCKER_HOST").unwrap_or_default();
        Self { socket: host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock").into() }
    }

    /// From the request that makes a container to the first byte of what it prints.
    pub(crate) fn first_byte(&self) -> Duration {
        let begun = Instant::now();
        let id = self.create(&["echo", "here"]);
        let mut output = self.open("POST", &format!("/containers/{id}/attach?stream=1&stdout=1"), "", true);
        read_head(&mut output);
        self.call("POST", &format!("/containers/{id}/start"), "");
        // The first byte of the frame that holds the output.
        output.read_exact(&mut [0]).expect("the container prints something");
        let took = begun.elapsed();
        self.call("DELETE", &format!("/containers/{id}?force=1"), "");
        took
    }

    /// Makes and starts so many containers at once, and returns when all run.
    pub(crate) fn crowd(&self, size: usize) -> Duration {
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..size {
                scope.spawn(|| {
                    let id = self.create(&["sleep", "1000"]);
                    self.call("POST", &format!("/containers/{id}/start"), "");
                });
            }
        });
        let took = begun.elapsed();
        assert_eq!(self.ids(false).len(), size, "all run");
        took
    }

    /// Removes all containers that a benchmark has made.
    pub(crate) fn clear(&self) {
        thread::scope(|scope| {
            for id in self.ids(true) {
                scope.spawn(move || self.call("DELETE", &format!("/containers/{id}?force=1"), ""));
            }
        });
    }

    /// When each container of a project started last, by its id, with the service that it is of.
    pub(crate) fn starts(&self, project: &str) -> BTreeMap<String, (String, String)> {
        let filter = format!("%7B%22label%22%3A%5B%22com.docker.compose.project%3D{project}%22%5D%7D");
        let list = self.call("GET", &format!("/containers/json?filters={filter}"), "");
        let after = |text: &str, key: &str| {
            let rest = text.split_once(&format!("\"{key}\":\""))?.1;
            Some(rest.split('"').next()?.to_owned())
        };
        let ids: Vec<String> =
            list.split("{\"Id\":").filter_map(|rest| after(&format!("\"Id\":{rest}"), "Id")).collect();
        let started = ids.into_iter().filter_map(|id| {
            // One that is gone meanwhile has not been started again.
            let told = self.ask("GET", &format!("/containers/{id}/json"), "");
            let of = (after(&told, "com.docker.compose.service")?, after(&told, "StartedAt")?);
            Some((id, of))
        });
        started.collect()
    }

    fn ids(&self, all: bool) -> Vec<String> {
        let answer = self.call(
            "GET",
            &format!("/containers/json?all={all}&filters=%7B%22label%22%3A%5B%22{LABEL}%22%5D%7D"),
            "",
        );
        answer.split("\"Id\":\"").skip(1).filter_map(|rest| Some(rest.split('"').next()?.to_owned())).collect()
    }

    fn create(&self, command: &[&str]) -> String {
        let command = format!("[{}]", command.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(","));
        let body = format!(r#"{{"Image":"hoist-test/busybox:latest","Cmd":{command},"Labels":{{"{LABEL}":""}}}}"#);
        let answer = self.call("POST", "/containers/create", &body);
        let id = answer.split("\"Id\":\"").nth(1).and_then(|rest| rest.split('"').next());
        id.unwrap_or_else(|| panic!("no container: {answer}")).to_owned()
    }

    /// Sends a request and returns the whole answer, which is a good one.
    fn call(&self, method: &str, path: &str, body: &str) -> String {
        let answer = self.ask(method, path, body);
        assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        answer
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = self.open(method, path, body, false);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("read an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn open(&self, method: &str, path: &str, body: &str, upgrade: bool) -> UnixStream {
        let mut stream = UnixStream::connect(&self.socket).expect("the engine listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("set a deadline");
        let connection = if upgrade { "Upgrade\r\nUpgrade: tcp" } else { "close" };
        let length = body.len();
        let request = format!(
            "{method} /v1.41{path} HTTP/1.1\r\nHost: engine\r\nConnection: {connection}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("send a request");
        stream
    }
}

fn read_head(stream: &mut UnixStream) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("read an answer's head");
        head.push(byte[0]);
    }
}
