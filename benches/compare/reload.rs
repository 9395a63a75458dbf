//! Reloads: from a save to the new code's answer, by kind of rule; requests that fail meanwhile; what watching costs.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fixture::{self, free_port, project, remove_project};
use crate::tool::{Session, Tool};

/// A save that has not come through by then has been missed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two requests of the load.
const PERIOD: Duration = Duration::from_millis(5);

/// The kinds of rules, each with a service of its own.
pub(crate) const KINDS: [&str; 3] = ["rebuild", "sync+restart", "sync"];

/// Three Node services, one for each kind of rule, and neighbours that are watched and never touched.
pub(crate) struct Reloads {
    /// Where it is.
    pub(crate) folder: PathBuf,
    ports: [u16; 3],
    _temporary: TempDir,
}

/// Reads its word once, as a program does that has to be started again for new code; or with every request, as one does
/// that reloads itself.
const SERVER: &str = "
const fs = require('fs');
const read = () => fs.readFileSync('/app/word', 'utf8');
const word = read();
const answer = process.env.RELOADS ? read : () => word;
const server = require('http').createServer((_, response) => response.end(`<${answer()}>`));
server.listen(8080, () => fs.writeFileSync('/tmp/ready', ''));
process.on('SIGTERM', () => server.close(() => process.exit()));
";

impl Reloads {
    /// With so many neighbours, of so many files each.
    pub(crate) fn new(neighbours: usize, files: usize) -> Self {
        let temporary = TempDir::with_prefix("hoist-bench-").expect("a temporary folder");
        let folder = temporary.path().join("reloads");
        let ports = [free_port(), free_port(), free_port()];
        let mut manifest = String::from("services:\n");
        for (kind, port) in KINDS.iter().zip(ports) {
            let name = name(kind);
            let target = if *kind == "rebuild" { "" } else { ", target: /app" };
            let reloads = if *kind == "sync" { "\n    environment: { RELOADS: '1' }" } else { "" };
            // An attached `up` of docker compose ends with the last container: one that is restarted must not look like it.
            let _ = write!(
                manifest,
                "  {name}:
    build: {name}
    restart: always
    ports: ['{port}:8080']
    healthcheck: {{ test: [CMD, test, -e, /tmp/ready], interval: 1s, start_period: 10s, retries: 20 }}
    develop: {{ watch: [{{ action: {kind}, path: ./{name}{target}, ignore: [Dockerfile] }}] }}{reloads}
"
            );
            let dockerfile = "FROM hoist-test/node:latest\nWORKDIR /app\nCOPY . .\nCMD [\"node\", \"server.js\"]\n";
            write(&folder.join(&name).join("Dockerfile"), dockerfile);
            write(&folder.join(&name).join("server.js"), SERVER);
            write(&folder.join(&name).join("word"), "first");
        }
        for number in 0..neighbours {
            let name = format!("neighbour{number}");
            let rules = format!("{{ watch: [{{ action: rebuild, path: ./{name} }}] }}");
            let _ = writeln!(manifest, "  {name}: {{ build: {name}, stop_signal: SIGKILL, develop: {rules} }}");
            write(
                &folder.join(&name).join("Dockerfile"),
                "FROM hoist-test/busybox\nCOPY . /files\nCMD sleep 1000000\n",
            );
            for file in 0..files {
                write(&folder.join(&name).join(format!("{}/{file}", file % 20)), &format!("{number} {file}"));
            }
        }
        write(&folder.join("compose.yaml"), &manifest);
        Self { folder, ports, _temporary: temporary }
    }

    /// Runs the project attached until all three answer.
    pub(crate) fn start(&self, tool: &Tool) -> Session {
        for kind in 0..KINDS.len() {
            self.save(kind, "first");
        }
        tool.run(&self.folder, 0, &["build"]);
        let session = Session::start(tool, &self.folder, 0);
        session.wait_for_watch();
        for (place, kind) in KINDS.iter().enumerate() {
            assert!(self.is_served(place, "first", Duration::from_mins(3)), "{kind} comes up with {tool}");
        }
        session.settle();
        session
    }

    /// From a save to the answer; `None` when it was missed.
    pub(crate) fn reload(&self, kind: usize, word: &str) -> Option<Duration> {
        let begun = Instant::now();
        self.save(kind, word);
        self.is_served(kind, word, PATIENCE).then(|| begun.elapsed())
    }

    /// In one step, as editors do.
    fn save(&self, kind: usize, word: &str) {
        let next = self.folder.join("next");
        fs::write(&next, word).expect("write a word");
        fs::rename(next, self.folder.join(name(KINDS[kind])).join("word")).expect("save a word");
    }

    fn is_served(&self, kind: usize, word: &str, patience: Duration) -> bool {
        fixture::is_served(self.ports[kind], &format!("<{word}>"), patience)
    }

    /// Two hundred requests a second while the service is reloaded so many times; how many were sent, and how many failed.
    pub(crate) fn under_load(&self, kind: usize, reloads: usize) -> (u32, u32) {
        let (over, sent, failed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut due = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    scope.spawn(|| {
                        sent.fetch_add(1, Ordering::Relaxed);
                        if !is_answered(self.ports[kind]) {
                            failed.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                    due += PERIOD;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                }
            });
            for number in 0..reloads {
                if self.reload(kind, &format!("load-{number}")).is_none() {
                    eprintln!("a save under load was missed");
                }
                // What follows a reload, such as the removal of the container before, is part of it.
                thread::sleep(Duration::from_secs(2));
            }
            over.store(true, Ordering::Relaxed);
        });
        (sent.into_inner(), failed.into_inner())
    }
}

impl Drop for Reloads {
    fn drop(&mut self) {
        for tool in ["hoist", "compose"] {
            remove_project(&project(tool));
        }
    }
}

/// The service of a kind of rule.
pub(crate) fn name(kind: &str) -> String {
    kind.replace('+', "-")
}

fn is_answered(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let patience = Duration::from_secs(10);
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200") && answer.contains('<'))
    };
    ask().unwrap_or(false)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("create a folder");
    fs::write(path, text).expect("write a file");
}
