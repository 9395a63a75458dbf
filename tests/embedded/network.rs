//! Networks on the machine's kernel: processes in the namespaces are played by busybox's, entered with `nsenter`.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use bollard_stubs::models::{EndpointSettings, NetworkCreateRequest};
use hoist::embedded::events::Events;
use hoist::embedded::layout::Layout;
use hoist::embedded::network::{Join, Joined, Networks};

/// An engine's networks in a folder of their own; close them before they go.
struct World {
    folder: tempfile::TempDir,
    networks: Networks,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let networks = open(folder.path(), &[]).await;
        Self { folder, networks }
    }

    async fn network(&self, name: &str) -> String {
        self.create(NetworkCreateRequest { name: name.into(), ..Default::default() }).await
    }

    async fn internal(&self, name: &str) -> String {
        self.create(NetworkCreateRequest { name: name.into(), internal: Some(true), ..Default::default() }).await
    }

    async fn create(&self, request: NetworkCreateRequest) -> String {
        self.networks.create(request).await.expect("a network")
    }

    async fn join(&self, join: &Join) -> Joined {
        self.networks.join(join).await.expect("a container on its networks")
    }

    async fn close(self) {
        self.networks.close().await.expect("networks that end");
        let left = mounts_below(self.folder.path());
        assert!(left.is_empty(), "mounts are left: {left:?}");
    }
}

async fn open(folder: &Path, running: &[Join]) -> Networks {
    let opened = Networks::open(&Layout::new(Some(folder)), Events::default(), running).await;
    opened.expect("networks: these tests need root and a kernel with bridges, veth and nftables")
}

fn join(name: &str, networks: &[&str]) -> Join {
    let endpoints = networks.iter().map(|network| ((*network).to_owned(), EndpointSettings::default())).collect();
    Join { id: id(name), name: name.into(), hostname: name.into(), endpoints, ports: HashMap::new(), dns: Vec::new() }
}

/// 64 digits that follow from a name.
fn id(name: &str) -> String {
    let digits: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{digits:0<64}")
}

fn aliased(name: &str, network: &str, alias: &str) -> Join {
    let settings = EndpointSettings { aliases: Some(vec![alias.into()]), ..Default::default() };
    Join { endpoints: HashMap::from([(network.into(), settings)]), ..join(name, &[]) }
}

fn address(joined: &Joined, network: &str) -> Ipv4Addr {
    let text = joined.endpoints[network].ip_address.as_deref().expect("an address");
    text.parse().expect("an IPv4 address")
}

fn inside(joined: &Joined, command: &[&str]) -> Command {
    let mut nsenter = Command::new("nsenter");
    let mut net = std::ffi::OsString::from("--net=");
    net.push(&joined.namespace);
    nsenter.arg(net).arg("/bin/busybox").args(command).stdin(Stdio::null());
    nsenter
}

/// Runs a command inside; what it says and how it ends.
fn run(joined: &Joined, command: &[&str]) -> Output {
    inside(joined, command).output().expect("nsenter and busybox are installed")
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Does something on a thread that is inside a container's network.
fn within<T: Send + 'static>(joined: &Joined, work: impl FnOnce() -> T + Send + 'static) -> T {
    let namespace = std::fs::File::open(&joined.namespace).expect("a namespace");
    let thread = std::thread::spawn(move || {
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("a namespace to enter");
        work()
    });
    thread.join().expect("work that ends")
}

/// A server inside that says a word to whoever connects, and then repeats what it is told.
fn serve(joined: &Joined, port: u16, word: &'static str) {
    let listener = within(joined, move || TcpListener::bind(("0.0.0.0", port))).expect("a free port");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || -> io::Result<()> {
                (&stream).write_all(word.as_bytes())?;
                io::copy(&mut &stream, &mut &stream)?;
                stream.shutdown(Shutdown::Write)
            });
        }
    });
}

/// What a server says first.
fn hears(stream: io::Result<TcpStream>) -> io::Result<String> {
    let mut stream = stream?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut word = [0; 16];
    let length = stream.read(&mut word)?;
    Ok(String::from_utf8_lossy(&word[..length]).into_owned())
}

fn fetch(from: &Joined, to: SocketAddr) -> io::Result<String> {
    within(from, move || hears(TcpStream::connect_timeout(&to, Duration::from_secs(1))))
}

fn pings(joined: &Joined, to: &str) -> bool {
    run(joined, &["ping", "-c", "1", "-W", "1", to]).status.success()
}

fn mounts_below(folder: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").expect("the mount table");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4).map(str::to_owned));
    points.filter(|point| Path::new(point).starts_with(folder)).collect()
}

#[expect(dead_code, reason = "soon")]
fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    std::fs::read_dir(folder).map(|all| all.flatten().map(|entry| entry.path()).collect()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_on_a_network_reach_each_other_by_address_and_by_name() {
    let world = World::new().await;
    world.network("shop").await;
    let web = world.join(&join("web", &["shop"])).await;
    let db = world.join(&aliased("shop-db-1", "shop", "db")).await;
    let to = address(&db, "shop").to_string();
    assert!(pings(&web, &to), "{to} does not answer");
    serve(&db, 5432, "ready");
    assert_eq!(fetch(&web, (address(&db, "shop"), 5432).into()).expect("a connection"), "ready");
    for name in ["shop-db-1", "db", &id("shop-db-1")[..12]] {
        let server = web.nameserver.as_deref().expect("a name server");
        let found = run(&web, &["nslookup", name, server]);
        assert!(text(&found).contains(&to), "{name}: {}", text(&found));
    }
    world.close().await;
}
