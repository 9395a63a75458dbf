//! Projects whose files are saved while a tool watches them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::fixture::{self, FREE_PORT, Shop, free_port, remove_own_projects};
use crate::tool::{Session, Tool};

/// A save that has not come through by then has been missed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The kinds of rules.
pub(crate) const KINDS: [&str; 3] = ["rebuild", "sync+restart", "sync"];

/// A project that begins with a service for each kind of rule; each answers with the word that was saved last.
pub(crate) trait Watched {
    /// Where it is.
    fn folder(&self) -> &Path;

    /// The port that its manifest takes from a variable.
    fn port(&self) -> u16 {
        FREE_PORT
    }

    /// How many services can be saved.
    fn size(&self) -> usize {
        KINDS.len()
    }

    /// Saves a service with another word.
    fn save(&self, service: usize, word: &str);

    /// Whether a service answers with a word within so long.
    fn is_served(&self, service: usize, word: &str, patience: Duration) -> bool;

    /// Runs the project attached until all answer.
    fn start(&self, tool: &Tool) -> Session {
        for service in 0..self.size() {
            self.save(service, "first");
        }
        tool.run(self.folder(), self.port(), &["build"]);
        let session = Session::start(tool, self.folder(), self.port());
        session.wait_for_watch();
        for service in 0..self.size() {
            assert!(self.is_served(service, "first", Duration::from_mins(3)), "service {service} comes up with {tool}");
        }
        session.settle();
        session
    }

    /// Ends what was started.
    fn end(&self, tool: &Tool, session: Session) {
        session.end();
        tool.run(self.folder(), self.port(), &["down"]);
    }

    /// From a save to the answer; `None` when it was missed.
    fn reload(&self, service: usize, word: &str) -> Option<Duration> {
        let begun = Instant::now();
        self.save(service, word);
        self.is_served(service, word, PATIENCE).then(|| begun.elapsed())
    }
}

/// The shop with a rule of each kind: its gateway is built anew, its users are copied and started again, its inventory reads
/// its list with every request.
pub(crate) struct RuledShop {
    shop: Shop,
    served: [Served; 3],
}

/// A file of the shop, and where its word is seen.
struct Served {
    file: &'static str,
    /// With `WORD` in the place of the word.
    text: String,
    port: u16,
    page: &'static str,
}

impl RuledShop {
    pub(crate) fn new() -> Self {
        let shop = Shop::new();
        let (users, inventory) = (free_port(), free_port());
        let manifest = format!(
            "services:
  users:
    ports: ['{users}:8080']
  inventory:
    ports: ['{inventory}:8080']
    develop: {{ watch: [{{ action: sync, path: ./inventory, target: /app, ignore: [Dockerfile] }}] }}
"
        );
        write(&shop.folder.join("compose.override.yaml"), &manifest);
        let changed = |file: &str, from: &str, to: &str| {
            let code = fs::read_to_string(shop.folder.join(file)).expect("read a service's code");
            assert!(code.contains(from), "{file} has `{from}`");
            code.replacen(from, to, 1)
        };
        let read = "body: JSON.parse(fs.readFileSync(\"items.json\")) }";
        write(&shop.folder.join("inventory/server.js"), &changed("inventory/server.js", "body: items }", read));
        let gateway = changed("gateway/server.js", "shop: \"hoist\"", "shop: \"WORD\"");
        let people = changed("users/server.js", "\"Ada\"", "\"WORD\"");
        let items = r#"[{ "sku": "kettle", "name": "WORD", "stock": 12 }]"#.to_owned();
        let served = [
            Served { file: "gateway/server.js", text: gateway, port: shop.port, page: "/" },
            Served { file: "users/server.js", text: people, port: users, page: "/users" },
            Served { file: "inventory/items.json", text: items, port: inventory, page: "/items" },
        ];
        Self { shop, served }
    }
}

impl Watched for RuledShop {
    fn folder(&self) -> &Path {
        &self.shop.folder
    }

    fn port(&self) -> u16 {
        self.shop.port
    }

    fn save(&self, service: usize, word: &str) {
        let Served { file, text, .. } = &self.served[service];
        save(self.folder(), &self.folder().join(file), &text.replace("WORD", word));
    }

    fn is_served(&self, service: usize, word: &str, patience: Duration) -> bool {
        let Served { port, page, .. } = self.served[service];
        fixture::is_served(port, page, &format!("\"{word}\""), patience)
    }
}

/// Node services, one kind of rule after the other, and neighbours that are watched and never touched.
pub(crate) struct Reloads {
    folder: PathBuf,
    /// Those that are not neighbours.
    pub(crate) services: Vec<Service>,
    _temporary: TempDir,
}

/// A service that answers with its files.
pub(crate) struct Service {
    /// Its name.
    pub(crate) name: String,
    /// The kind of its rule.
    pub(crate) kind: &'static str,
    /// Where it answers.
    pub(crate) port: u16,
    /// Where its files are.
    pub(crate) files: PathBuf,
}

/// Answers with the path and the content of each file: as they were when it began, as a program does that has to be started
/// again for new code; or as they are at each request, as one does that reloads itself.
const SERVER: &str = "
const fs = require('fs');
const below = folder => fs.readdirSync(folder, { withFileTypes: true }).flatMap(entry => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? below(path) : [`<${path.slice(11)} ${fs.readFileSync(path, 'utf8')}>`];
});
// A file may go while they are read.
const read = () => { for (;;) try { return below('/app/files').join(''); } catch {} };
const first = read();
const answer = process.env.RELOADS ? read : () => first;
const server = require('http').createServer((_, response) => response.end(answer()));
server.listen(8080, () => fs.writeFileSync('/tmp/ready', ''));
process.on('SIGTERM', () => server.close(() => process.exit()));
";

const HEALTHCHECK: &str =
    "healthcheck: { test: [CMD, test, -e, /tmp/ready], interval: 1s, start_period: 10s, retries: 20 }";

impl Reloads {
    /// A service for each kind of rule.
    pub(crate) fn three() -> Self {
        Self::new(3, 0, HEALTHCHECK)
    }

    /// Three services for each kind of rule, of many files.
    pub(crate) fn nine() -> Self {
        Self::new(9, 20, HEALTHCHECK)
    }

    /// Fifty services and twenty thousand files.
    pub(crate) fn fifty() -> Self {
        Self::new(3, 0, HEALTHCHECK).beside(47, 20_000)
    }

    /// The same without healthchecks: the engine tells of each, which would wake a tool that does nothing by itself.
    pub(crate) fn fifty_at_rest() -> Self {
        Self::new(3, 0, "").beside(47, 20_000)
    }

    fn new(size: usize, files: usize, healthcheck: &str) -> Self {
        let temporary = TempDir::with_prefix("hoist-bench-").expect("a temporary folder");
        let folder = temporary.path().join("reloads");
        let services: Vec<Service> = (0..size).map(|number| Service::new(&folder, number, files)).collect();
        let mut manifest = String::from("services:\n");
        for Service { name, kind, port, .. } in &services {
            let target = if *kind == "rebuild" { "" } else { ", target: /app" };
            let reloads = if *kind == "sync" { "environment: { RELOADS: '1' }" } else { "" };
            // An attached `up` of docker compose ends with the last container: one that is restarted must not look like it.
            let _ = write!(
                manifest,
                "  {name}:
    build: {name}
    restart: always
    ports: ['{port}:8080']
    develop: {{ watch: [{{ action: {kind}, path: ./{name}{target}, ignore: [Dockerfile] }}] }}
    {reloads}
    {healthcheck}
"
            );
        }
        write(&folder.join("compose.yaml"), &manifest);
        Self { folder, services, _temporary: temporary }
    }

    /// With so many neighbours, of so many files together.
    fn beside(self, neighbours: usize, files: usize) -> Self {
        let path = self.folder.join("compose.yaml");
        let mut manifest = fs::read_to_string(&path).expect("read the manifest");
        for number in 0..neighbours {
            let name = format!("neighbour{number}");
            let rules = format!("{{ watch: [{{ action: rebuild, path: ./{name} }}] }}");
            let _ = writeln!(manifest, "  {name}: {{ build: {name}, stop_signal: SIGKILL, develop: {rules} }}");
            let folder = self.folder.join(name);
            write(&folder.join("Dockerfile"), "FROM hoist-test/busybox\nCOPY . /files\nCMD sleep 1000000\n");
            for file in 0..files.div_ceil(neighbours) {
                write(&folder.join(format!("{}/{file}", file % 20)), &format!("{number} {file}"));
            }
        }
        write(&path, &manifest);
        self
    }
}

impl Service {
    fn new(project: &Path, number: usize, files: usize) -> Self {
        let kind = KINDS[number % KINDS.len()];
        let name = format!("{}{number}", kind.replace('+', "-"));
        let folder = project.join(&name);
        let dockerfile = "FROM hoist-test/node:latest\nWORKDIR /app\nCOPY . .\nCMD [\"node\", \"server.js\"]\n";
        write(&folder.join("Dockerfile"), dockerfile);
        write(&folder.join("server.js"), SERVER);
        write(&folder.join("files/word"), "first");
        for file in 0..files {
            write(&folder.join(format!("files/folder{}/file{file}", file % 5)), "first");
        }
        Self { name, kind, port: free_port(), files: folder.join("files") }
    }
}

impl Watched for Reloads {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn size(&self) -> usize {
        self.services.len()
    }

    fn save(&self, service: usize, word: &str) {
        save(&self.folder, &self.services[service].files.join("word"), word);
    }

    fn is_served(&self, service: usize, word: &str, patience: Duration) -> bool {
        fixture::is_served(self.services[service].port, "/", &format!("<word {word}>"), patience)
    }
}

impl Drop for Reloads {
    fn drop(&mut self) {
        remove_own_projects();
    }
}

/// Saves a file in one step, as editors do: by way of one in the project's folder, which no rule is for.
pub(crate) fn save(project: &Path, path: &Path, text: &str) {
    let next = project.join("next");
    fs::write(&next, text).expect("write a file");
    fs::rename(next, path).expect("save a file");
}

/// Writes a file, and the folders above it.
pub(crate) fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("create a folder");
    fs::write(path, text).expect("write a file");
}
