//! The projects that are measured, and their removal.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::page;
use crate::tool::Tool;

/// The port of projects that publish none.
pub(crate) const FREE_PORT: u16 = 0;

/// The project of a hundred containers, which both tools look at.
pub(crate) const CROWD: &str = "crowd";

/// The name of a project on the engine: two benchmarks at once do not meet.
pub(crate) fn project(name: &str) -> String {
    format!("hoist-bench-{}-{name}", process::id())
}

/// The five services of `examples/shop`, with a rule that rebuilds its gateway.
pub(crate) struct Shop {
    /// Where it is.
    pub(crate) folder: PathBuf,
    /// Where its gateway answers.
    pub(crate) port: u16,
    gateway: String,
    _temporary: TempDir,
}

impl Shop {
    pub(crate) fn new() -> Self {
        let temporary = TempDir::with_prefix("hoist-bench-").expect("a temporary folder");
        let folder = temporary.path().join("shop");
        copy_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/shop"), &folder);
        let manifest = fs::read_to_string(folder.join("compose.yaml")).expect("read the shop's manifest");
        let rule = "    develop: { watch: [{ action: rebuild, path: ./gateway }] }\n";
        let ruled = manifest.replacen("    ports:\n", &format!("{rule}    ports:\n"), 1);
        assert_ne!(manifest, ruled, "the gateway is the one service with ports");
        fs::write(folder.join("compose.yaml"), ruled).expect("write the manifest");
        let gateway = fs::read_to_string(folder.join("gateway/server.js")).expect("read the gateway's code");
        let port = free_port();
        Self { folder, port, gateway, _temporary: temporary }
    }

    /// Runs a tool on it.
    pub(crate) fn run(&self, tool: &Tool, arguments: &[&str]) -> Duration {
        tool.run(&self.folder, self.port, arguments)
    }

    /// Saves the gateway with another name of the shop.
    pub(crate) fn write_gateway(&self, word: &str) {
        let code = self.gateway.replace("shop: \"hoist\"", &format!("shop: \"{word}\""));
        fs::write(self.folder.join("gateway/server.js"), code).expect("save the gateway's code");
    }

    /// Waits until the published port answers with that name.
    pub(crate) fn wait_until_served(&self, word: &str) {
        wait_for_page(self.port, &format!("\"shop\":\"{word}\""));
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        remove_own_projects();
    }
}

/// One Node service that answers with a word: on the embedded engine without an image, on Docker with one that docker
/// compose copies the saved file into before it restarts the container, the quickest way that it has.
pub(crate) struct Pages {
    /// Where it is.
    pub(crate) folder: PathBuf,
    /// Where it answers.
    pub(crate) port: u16,
    _temporary: TempDir,
}

impl Pages {
    pub(crate) fn new(tool: &Tool) -> Self {
        let temporary = TempDir::with_prefix("hoist-bench-").expect("a temporary folder");
        let folder = temporary.path().join("pages");
        fs::create_dir(&folder).expect("create a folder");
        let port = free_port();
        let origin = if tool.name == "hoist" {
            "command: node server.js".to_owned()
        } else {
            let dockerfile = "FROM hoist-test/node:latest\nWORKDIR /app\nCOPY . .\nCMD [\"node\", \"server.js\"]\n";
            fs::write(folder.join("Dockerfile"), dockerfile).expect("write a Dockerfile");
            let rule = "develop: { watch: [{ action: sync+restart, path: ., target: /app, ignore: [Dockerfile] }] }";
            // An attached `up` ends with the last container: one that is restarted must not look like that.
            format!("build: .\n    restart: always\n    {rule}")
        };
        let manifest = format!("services:\n  pages:\n    {origin}\n    ports: [\"{port}:8080\"]\n");
        fs::write(folder.join("compose.yaml"), manifest).expect("write a manifest");
        let pages = Self { folder, port, _temporary: temporary };
        pages.save("hoist");
        pages
    }

    /// Saves the service with another word.
    pub(crate) fn save(&self, word: &str) {
        let end = "process.on('SIGTERM', () => process.exit());";
        let serve = format!("require('http').createServer((_, answer) => answer.end('<{word}>')).listen(8080);");
        let code = format!("{end}\n{serve}\n");
        // In one step, as editors do: neither tool is to copy a file that is half written.
        let next = self.folder.with_extension("next");
        fs::write(&next, code).expect("write the service");
        fs::rename(next, self.folder.join("server.js")).expect("save the service");
    }

    /// Waits until the published port answers with that word.
    pub(crate) fn wait_until_served(&self, word: &str) {
        wait_for_page(self.port, &format!("<{word}>"));
    }
}

/// A port that nobody listens at.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("bind to any port");
    listener.local_addr().expect("a bound listener has an address").port()
}

fn wait_for_page(port: u16, sought: &str) {
    assert!(is_served(port, "/", sought, Duration::from_mins(2)), "`{sought}` is never served");
}

/// Whether a page with these words comes within so long.
pub(crate) fn is_served(port: u16, path: &str, sought: &str, patience: Duration) -> bool {
    comes_true(patience, || page::get(port, path).is_some_and(|body| body.contains(sought)))
}

/// Whether something becomes true within so long.
pub(crate) fn comes_true(patience: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + patience;
    while !is_true() {
        if Instant::now() >= end {
            return false;
        }
        thread::sleep(Duration::from_millis(2));
    }
    true
}

/// A manifest of a thousand services.
pub(crate) struct Thousand {
    /// Where it is.
    pub(crate) folder: PathBuf,
    _temporary: TempDir,
}

impl Thousand {
    pub(crate) fn new() -> Self {
        let mut manifest = String::from("services:\n");
        for number in 0..1000 {
            let _ = write!(
                manifest,
                "  service{number}:
    image: example/service{number}:${{TAG:-latest}}
    command: [serve, --port, '80']
    restart: unless-stopped
    environment:
      NUMBER: '{number}'
      LEVEL: ${{LEVEL:-info}}
    ports: ['127.0.0.1:{}:80']
    volumes: ['data:/data', './config:/config:ro']
    healthcheck: {{ test: [CMD, test, -e, /tmp/ready], interval: 1s }}
",
                10_000 + number
            );
            if number > 0 {
                let _ = writeln!(manifest, "    depends_on: [service{}]", number / 2);
            }
        }
        manifest.push_str("volumes: { data: }\n");
        let temporary = TempDir::with_prefix("hoist-bench-").expect("a temporary folder");
        fs::write(temporary.path().join("compose.yaml"), manifest).expect("write the manifest");
        Self { folder: temporary.path().to_owned(), _temporary: temporary }
    }
}

/// A hundred containers of one project.
pub(crate) struct Crowd {
    /// Where its manifest is.
    pub(crate) folder: PathBuf,
    _temporary: TempDir,
}

impl Crowd {
    pub(crate) fn new() -> Self {
        let temporary = TempDir::with_prefix("hoist-bench-").expect("a temporary folder");
        let folder = temporary.path().join("crowd");
        fs::create_dir(&folder).expect("create a folder");
        let manifest = "services:
  one: { image: hoist-test/busybox, command: sleep 100000, stop_signal: SIGKILL, network_mode: none, scale: 100 }
";
        fs::write(folder.join("compose.yaml"), manifest).expect("write the manifest");
        let crowd = Self { folder, _temporary: temporary };
        let starter = Tool::compose().unwrap_or_else(|_| Tool::hoist());
        starter.run(&crowd.folder, FREE_PORT, &["up", "-d"]);
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        remove_project(&project(CROWD));
    }
}

/// A container that has said forty megabytes in half a million lines.
pub(crate) struct Talk {
    /// Where its manifest is.
    pub(crate) folder: PathBuf,
    _temporary: TempDir,
}

impl Talk {
    /// Started with each of these tools.
    pub(crate) fn new(starters: &[&Tool]) -> Self {
        let temporary = TempDir::with_prefix("hoist-bench-").expect("a temporary folder");
        let folder = temporary.path().join("crowd");
        fs::create_dir(&folder).expect("create a folder");
        let line = "a line of a service that has much to say, eighty characters long with its end..";
        let manifest = format!(
            "services:\n  talk: {{ image: hoist-test/busybox, command: [sh, -c, 'yes \"{line}\" | head -n 500000'] }}\n"
        );
        fs::write(folder.join("compose.yaml"), manifest).expect("write the manifest");
        for starter in starters {
            starter.run(&folder, FREE_PORT, &["up", "-d"]);
            starter.run(&folder, FREE_PORT, &["wait", "talk"]);
        }
        Self { folder, _temporary: temporary }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        remove_project(&project(CROWD));
    }
}

/// Removes what each tool has left of the project that it ran alone.
pub(crate) fn remove_own_projects() {
    for tool in ["hoist", "compose"] {
        remove_project(&project(tool));
    }
}

/// Removes whatever carries a project's label.
fn remove_project(project: &str) {
    for (list, remove) in [
        ("ps -aq", "rm -f -v"),
        ("network ls -q", "network rm"),
        ("volume ls -q", "volume rm -f"),
        ("image ls -q", "image rm -f"),
    ] {
        let script = format!(
            "docker {list} --filter label=com.docker.compose.project={project} | sort -u | xargs -r docker {remove}"
        );
        // What cannot be removed shows by itself.
        let _ = Command::new("sh").args(["-c", &script]).stdout(std::process::Stdio::null()).status();
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("create a folder");
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("read {}: {error}", from.display())) {
        let entry = entry.expect("an entry of a folder");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copy a file");
        }
    }
}
