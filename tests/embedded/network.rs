//! Networks on the machine's kernel: processes in the namespaces are played by busybox's, entered with `nsenter`.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use bollard_stubs::models::{
    EndpointIpamConfig, EndpointSettings, Ipam, IpamConfig, NetworkCreateRequest, PortBinding,
};
use hoist::embedded::error::Error;
use hoist::embedded::events::Events;
use hoist::embedded::layout::Layout;
use hoist::embedded::network::{Join, Joined, Networks};
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, QCLASS, QTYPE, Question, RCODE, TYPE};

use crate::support::eventually;

/// An engine's networks in a folder of their own; close them before they go.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) networks: Networks,
}

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let networks = open(folder.path(), &[]).await;
        Self { folder, networks }
    }

    pub(crate) async fn network(&self, name: &str) -> String {
        self.create(NetworkCreateRequest { name: name.into(), ..Default::default() }).await
    }

    async fn internal(&self, name: &str) -> String {
        self.create(NetworkCreateRequest { name: name.into(), internal: Some(true), ..Default::default() }).await
    }

    async fn create(&self, request: NetworkCreateRequest) -> String {
        self.networks.create(request).await.expect("a network")
    }

    pub(crate) async fn join(&self, join: &Join) -> Joined {
        self.networks.join(join).await.expect("a container on its networks")
    }

    pub(crate) async fn close(self) {
        self.networks.close().await.expect("networks that end");
        let left = mounts_below(self.folder.path());
        assert!(left.is_empty(), "mounts are left: {left:?}");
    }
}

async fn open(folder: &Path, running: &[Join]) -> Networks {
    let opened = Networks::open(&Layout::new(Some(folder)), Events::default(), running).await;
    opened.expect("networks: these tests need root and a kernel with bridges, veth and nftables")
}

pub(crate) fn join(name: &str, networks: &[&str]) -> Join {
    let endpoints = networks.iter().map(|network| ((*network).to_owned(), EndpointSettings::default())).collect();
    Join { id: id(name), name: name.into(), hostname: name.into(), endpoints, ..Join::default() }
}

/// 64 digits that follow from a name.
pub(crate) fn id(name: &str) -> String {
    format!("{:0<64}", hoist::embedded::id::hexadecimal(name.as_bytes()))
}

pub(crate) fn aliased(name: &str, network: &str, alias: &str) -> Join {
    let settings = EndpointSettings { aliases: Some(vec![alias.into()]), ..Default::default() };
    Join { endpoints: HashMap::from([(network.into(), settings)]), ..join(name, &[]) }
}

pub(crate) fn address(joined: &Joined, network: &str) -> Ipv4Addr {
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
pub(crate) fn within<T: Send + 'static>(joined: &Joined, work: impl FnOnce() -> T + Send + 'static) -> T {
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
pub(crate) fn hears(stream: io::Result<TcpStream>) -> io::Result<String> {
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

fn fixed(name: &str, network: &str, address: &str) -> Join {
    let ipam = EndpointIpamConfig { ipv4_address: Some(address.into()), ..Default::default() };
    let settings = EndpointSettings { ipam_config: Some(ipam), ..Default::default() };
    Join { endpoints: HashMap::from([(network.into(), settings)]), ..join(name, &[]) }
}

pub(crate) fn publishing(join: Join, port: &str, at: &str, host: &str) -> Join {
    let binding = PortBinding { host_ip: Some(at.into()), host_port: Some(host.into()) };
    Join { ports: HashMap::from([(port.into(), Some(vec![binding]))]), ..join }
}

pub(crate) fn host_port(joined: &Joined, port: &str) -> u16 {
    let bindings = joined.ports[port].as_ref().expect("a published port");
    bindings[0].host_port.as_deref().expect("a port").parse().expect("a number")
}

/// A query as a resolver sends it; the addresses of the answer, or the code of the refusal.
pub(crate) fn resolve(from: &Joined, name: &str, kind: TYPE) -> Result<Vec<String>, RCODE> {
    let server = SocketAddr::new(from.nameserver.as_deref().expect("a name server").parse().expect("an address"), 53);
    let mut query = Packet::new_query(11);
    let question = Question::new(Name::new(name).expect("a name"), QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false);
    query.questions.push(question);
    let query = query.build_bytes_vec().expect("a query");
    let answer = within(from, move || -> io::Result<Vec<u8>> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.send_to(&query, server)?;
        let mut buffer = vec![0; 4096];
        let length = socket.recv(&mut buffer)?;
        buffer.truncate(length);
        Ok(buffer)
    });
    let answer = answer.expect("an answer");
    let packet = Packet::parse(&answer).expect("a packet");
    if packet.rcode() != RCODE::NoError {
        return Err(packet.rcode());
    }
    let said = packet.answers.iter().map(|record| match &record.rdata {
        RData::A(a) => Ipv4Addr::from(a.address).to_string(),
        RData::PTR(name) => name.0.to_string(),
        other => format!("{other:?}"),
    });
    Ok(said.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_of_other_networks_are_out_of_reach() {
    let world = World::new().await;
    world.network("one").await;
    world.network("two").await;
    let one = world.join(&join("a", &["one"])).await;
    let two = world.join(&join("b", &["two"])).await;
    let both = world.join(&join("c", &["one", "two"])).await;
    serve(&two, 80, "two");
    let to = SocketAddr::from((address(&two, "two"), 80));
    assert!(fetch(&one, to).is_err(), "another network is within reach");
    assert!(!pings(&one, &to.ip().to_string()));
    assert_eq!(fetch(&both, to).expect("a connection"), "two");
    assert_eq!(resolve(&both, "b", TYPE::A), Ok(vec![to.ip().to_string()]));
    assert_ne!(resolve(&one, "b", TYPE::A), Ok(vec![to.ip().to_string()]));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machine_and_containers_reach_each_other_except_from_an_internal_network() {
    let world = World::new().await;
    world.network("open").await;
    world.internal("shut").await;
    let open = world.join(&join("a", &["open"])).await;
    let shut = world.join(&join("b", &["shut"])).await;
    serve(&open, 80, "inside");
    let heard = hears(TcpStream::connect((address(&open, "open"), 80)));
    assert_eq!(heard.expect("a connection from the machine"), "inside");
    let listener = TcpListener::bind("0.0.0.0:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"machine");
        }
    });
    let host: std::net::IpAddr = open.host.as_deref().expect("an address").parse().expect("an address");
    assert_eq!(fetch(&open, (host, port).into()).expect("a connection to the machine"), "machine");
    assert!(fetch(&shut, (host, port).into()).is_err(), "an internal network has a way out");
    assert_eq!(resolve(&shut, "example.com", TYPE::A), Err(RCODE::NameError));
    world.close().await;
}

/// A machine of its own beyond this one: a namespace joined by a veth pair, which answers to `198.18.77.2`.
struct Elsewhere {
    name: String,
    joined: Joined,
}

impl Elsewhere {
    fn new(number: u8) -> Self {
        let name = format!("elsewhere{number}-{}", std::process::id());
        let own = Self { joined: Joined { namespace: Path::new("/run/netns").join(&name), ..Joined::default() }, name };
        let (veth, net) = (format!("ew{number}x{}", std::process::id()), format!("198.18.{number}"));
        for command in [
            format!("netns add {}", own.name),
            format!("link add {veth} type veth peer name side netns {}", own.name),
            format!("addr add {net}.1/30 dev {veth}"),
            format!("link set {veth} up"),
            format!("-n {} addr add {net}.2/30 dev side", own.name),
            format!("-n {} link set side up", own.name),
            format!("-n {} link set lo up", own.name),
        ] {
            let done = Command::new("ip").args(command.split(' ')).output().expect("ip is installed");
            assert!(done.status.success(), "{command}: {}", text(&done));
        }
        own
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_reach_other_machines_under_this_ones_address() {
    let elsewhere = Elsewhere::new(77);
    let world = World::new().await;
    world.network("open").await;
    world.internal("shut").await;
    let open = world.join(&join("a", &["open"])).await;
    let shut = world.join(&join("b", &["shut"])).await;
    serve(&elsewhere.joined, 80, "far");
    let to = SocketAddr::from(([198, 18, 77, 2], 80));
    // It has no route back to the container, so an answer shows that the machine lent its address.
    assert_eq!(fetch(&open, to).expect("a connection to another machine"), "far");
    assert!(fetch(&shut, to).is_err(), "an internal network has a way out");
    // And nobody outside gets in by asking the machine to pass it on.
    serve(&open, 80, "inside");
    let container = address(&open, "open");
    let route = format!("-n {} route add {container}/32 via 198.18.77.1", elsewhere.name);
    assert!(Command::new("ip").args(route.split(' ')).status().expect("ip is installed").success());
    assert!(fetch(&elsewhere.joined, (container, 80).into()).is_err(), "another machine gets in");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_take_turns_and_absent_names_are_told_apart() {
    let world = World::new().await;
    world.network("shop").await;
    let web = world.join(&join("web", &["shop"])).await;
    let mut replicas = BTreeSet::new();
    for number in 1..=3 {
        let joined = world.join(&aliased(&format!("api-{number}"), "shop", "api")).await;
        replicas.insert(address(&joined, "shop").to_string());
    }
    let mut first = BTreeSet::new();
    for _ in 0..200 {
        let found = resolve(&web, "api", TYPE::A).expect("addresses");
        assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), replicas);
        first.extend(found.first().cloned());
    }
    assert_eq!(first, replicas, "one of them is never the first");
    assert_eq!(resolve(&web, "api", TYPE::AAAA), Ok(Vec::new()));
    world.networks.leave(&id("api-1")).await.expect("a container that leaves");
    assert_eq!(resolve(&web, "api", TYPE::A).map(|found| found.len()), Ok(2));
    world.networks.rename(&id("api-2"), "other").await;
    assert_eq!(resolve(&web, "other", TYPE::A).map(|found| found.len()), Ok(1));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn published_ports_carry_connections_and_datagrams_both_ways() {
    let world = World::new().await;
    world.network("shop").await;
    let web = world.join(&publishing(join("web", &["shop"]), "80/tcp", "", "")).await;
    serve(&web, 80, "hello");
    for address in ["127.0.0.1", "::1"] {
        let at = SocketAddr::new(address.parse().expect("an address"), host_port(&web, "80/tcp"));
        let mut stream = TcpStream::connect(at).expect("a published port");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a deadline");
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).expect("a greeting");
        // More than fits in any buffer, then the end of one direction: the rest of the other still comes.
        let sent: Vec<u8> = (0..8_u32 << 20).map(|number| u8::try_from(number % 251).unwrap_or(0)).collect();
        let mut writer = stream.try_clone().expect("a second handle");
        let all = sent.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&all).expect("a reader");
            writer.shutdown(Shutdown::Write).expect("an end");
        });
        let mut back = Vec::with_capacity(sent.len());
        stream.read_to_end(&mut back).expect("everything back");
        writing.join().expect("everything sent");
        assert!(back == sent, "{} of {} bytes came back", back.len(), sent.len());
    }
    let dns = world.join(&publishing(join("dns", &["shop"]), "53/udp", "127.0.0.1", "")).await;
    let socket = within(&dns, || UdpSocket::bind("0.0.0.0:53")).expect("a free port");
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], from);
        }
    });
    for number in 0..3_u8 {
        let client = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        client.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
        client.send_to(&[number; 700], ("127.0.0.1", host_port(&dns, "53/udp"))).expect("a datagram");
        let mut buffer = [0; 1500];
        assert_eq!(client.recv(&mut buffer).expect("an answer"), 700);
        assert!(buffer[..700].iter().all(|byte| *byte == number));
    }
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_where_nobody_listens_inside_resets_the_connection() {
    let world = World::new().await;
    world.network("shop").await;
    let web = world.join(&publishing(join("web", &["shop"]), "80/tcp", "127.0.0.1", "")).await;
    let heard = hears(TcpStream::connect(("127.0.0.1", host_port(&web, "80/tcp"))));
    assert!(heard.is_err(), "{heard:?}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_port_is_an_error_that_names_who_has_it_and_leaves_nothing() {
    let world = World::new().await;
    world.network("shop").await;
    let holder = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = holder.local_addr().expect("an address").port();
    let wish = publishing(join("web", &["shop"]), "80/tcp", "127.0.0.1", &port.to_string());
    let Err(Error::Failed(words)) = world.networks.join(&wish).await else { panic!("the port is taken") };
    assert!(words.starts_with("driver failed programming external connectivity on endpoint web ("), "{words}");
    assert!(words.contains(&format!("listen tcp4 127.0.0.1:{port}: bind: address already in use")), "{words}");
    assert!(words.contains(&format!("(process {})", std::process::id())), "{words}");
    let network = world.networks.inspect("shop").await.expect("a network");
    assert_eq!(network.containers, Some(HashMap::new()));
    drop(holder);
    let web = world.join(&wish).await;
    let other = Join { name: "other".into(), id: id("other"), ..wish.clone() };
    let Err(Error::Failed(words)) = world.networks.join(&other).await else { panic!("the port is taken") };
    let expected = format!("Bind for 127.0.0.1:{port} failed: port is already allocated (by the container web)");
    assert!(words.contains(&expected), "{words}");
    assert_eq!(host_port(&web, "80/tcp"), port);
    world.networks.leave(&wish.id).await.expect("a container that leaves");
    world.join(&other).await;
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_asked_for_are_given_once() {
    let world = World::new().await;
    let config = IpamConfig {
        subnet: Some("10.123.45.0/24".into()),
        gateway: Some("10.123.45.254".into()),
        ..Default::default()
    };
    let ipam = Ipam { config: Some(vec![config]), ..Default::default() };
    let request =
        NetworkCreateRequest { name: "own".into(), ipam: Some(ipam), enable_ipv6: Some(true), ..Default::default() };
    world.create(request.clone()).await;
    let web = world.join(&fixed("web", "own", "10.123.45.67")).await;
    assert_eq!(address(&web, "own"), Ipv4Addr::new(10, 123, 45, 67));
    assert_eq!(web.nameserver.as_deref(), Some("10.123.45.254"));
    let again = world.networks.join(&fixed("db", "own", "10.123.45.67")).await;
    assert_eq!(again, Err(Error::Forbidden("Address already in use".into())));
    assert!(matches!(world.networks.join(&fixed("db", "own", "10.9.9.9")).await, Err(Error::Invalid(_))));
    let db = world.join(&join("db", &["own"])).await;
    let v6 = db.endpoints["own"].global_ipv6_address.clone().expect("an IPv6 address");
    assert!(run(&web, &["ping6", "-c", "1", "-W", "2", &v6]).status.success(), "{v6} does not answer");
    let conflict = world.networks.create(request.clone()).await;
    assert_eq!(conflict, Err(Error::Conflict("network with name own already exists".into())));
    let overlap = world.networks.create(NetworkCreateRequest { name: "second".into(), ..request }).await;
    assert!(matches!(&overlap, Err(Error::Forbidden(words)) if words.contains("Pool overlaps")), "{overlap:?}");
    world.close().await;
}

/// Interfaces go in their own time, and those of the container before may still be there.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_asks_for_an_address_gets_it_right_after_the_one_that_had_it() {
    let world = World::new().await;
    let config = IpamConfig { subnet: Some("10.123.46.0/24".into()), ..Default::default() };
    let ipam = Ipam { config: Some(vec![config]), ..Default::default() };
    world.create(NetworkCreateRequest { name: "own".into(), ipam: Some(ipam), ..Default::default() }).await;
    let other = world.join(&join("other", &["own"])).await;
    for name in ["web", "web", "next", "web"] {
        let joined = world.join(&fixed(name, "own", "10.123.46.67")).await;
        serve(&joined, 80, name);
        assert_eq!(fetch(&other, "10.123.46.67:80".parse().expect("an address")).expect("a connection"), name);
        world.networks.leave(&id(name)).await.expect("it leaves");
    }
    world.join(&join("guest", &["own"])).await;
    world.join(&fixed("web", "own", "10.123.46.67")).await;
    world.networks.leave(&id("web")).await.expect("it leaves");
    let settings = fixed("guest", "own", "10.123.46.67").endpoints["own"].clone();
    world.networks.disconnect(&id("guest"), "own").await.expect("off its network");
    let settings = world.networks.connect(&id("guest"), "own", &settings).await.expect("the address");
    assert_eq!(settings.ip_address.as_deref(), Some("10.123.46.67"));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_container_comes_to_a_network_and_goes() {
    let world = World::new().await;
    world.network("one").await;
    world.network("two").await;
    let web = world.join(&join("web", &["one"])).await;
    let db = world.join(&join("db", &["two"])).await;
    serve(&db, 80, "db");
    let to = SocketAddr::from((address(&db, "two"), 80));
    let settings = world.networks.connect(&id("web"), "two", &EndpointSettings::default()).await.expect("a place");
    assert!(settings.ip_address.is_some());
    assert_eq!(fetch(&web, to).expect("a connection"), "db");
    let refused = world.networks.remove("two").await;
    assert!(matches!(&refused, Err(Error::Forbidden(words)) if words.contains("active endpoints")), "{refused:?}");
    // Off the first one, names are still answered and the way out is the other's.
    world.networks.disconnect(&id("web"), "one").await.expect("a container off a network");
    assert_eq!(resolve(&web, "db", TYPE::A), Ok(vec![to.ip().to_string()]));
    let traffic = world.networks.traffic(&id("web")).await;
    assert!(traffic["eth1"].sent.1 > 0 && traffic["eth1"].received.0 > 0, "{traffic:?}");
    world.networks.disconnect(&id("web"), "two").await.expect("a container off a network");
    assert!(fetch(&web, to).is_err());
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_died_finds_the_networks_of_what_runs() {
    let World { folder, networks } = World::new().await;
    networks.create(NetworkCreateRequest { name: "shop".into(), ..Default::default() }).await.expect("a network");
    let wish = publishing(join("web", &["shop"]), "80/tcp", "127.0.0.1", "");
    let web = networks.join(&wish).await.expect("a container");
    let db = networks.join(&join("db", &["shop"])).await.expect("a container");
    let lost = networks.join(&join("lost", &["shop"])).await.expect("a container");
    serve(&web, 80, "still here");
    drop(networks);
    // A process that dies leaves its ports at once; here its tasks have to notice.
    eventually("the ports are free", || TcpListener::bind(("127.0.0.1", host_port(&web, "80/tcp"))).ok());
    let networks = open(folder.path(), &[wish.clone(), join("db", &["shop"])]).await;
    assert_eq!(fetch(&db, (address(&web, "shop"), 80).into()).expect("a connection"), "still here");
    assert_eq!(resolve(&db, "web", TYPE::A), Ok(vec![address(&web, "shop").to_string()]));
    let heard = hears(TcpStream::connect(("127.0.0.1", host_port(&web, "80/tcp"))));
    assert_eq!(heard.expect("a published port"), "still here");
    assert!(!lost.namespace.exists(), "the namespace of a container that is gone is left");
    let shop = networks.inspect("shop").await.expect("a network");
    assert_eq!(shop.containers.map(|all| all.len()), Some(2));
    let next = networks.join(&join("next", &["shop"])).await.expect("a container");
    assert_ne!(address(&next, "shop"), address(&db, "shop"));
    World { folder, networks }.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn comings_and_goings_leave_nothing() {
    let world = World::new().await;
    world.network("shop").await;
    let stay = world.join(&join("stay", &["shop"])).await;
    let folder = Layout::new(Some(world.folder.path())).namespaces();
    let (files, mounts) = (entries(&folder), mounts_below(world.folder.path()));
    let sockets = open_files();
    let (mut joining, mut leaving) = (Duration::ZERO, Duration::ZERO);
    for round in 0..100 {
        let names = [0, 1, 2].map(|number| format!("c{round}-{number}"));
        let wishes = names.each_ref().map(|name| publishing(join(name, &["shop"]), "80/tcp", "127.0.0.1", ""));
        let began = Instant::now();
        let [a, b, c] = wishes.each_ref().map(|wish| world.networks.join(wish));
        let joined = tokio::join!(a, b, c);
        assert!(joined.0.is_ok() && joined.1.is_ok() && joined.2.is_ok(), "{joined:?}");
        joining += began.elapsed();
        let began = Instant::now();
        for wish in &wishes {
            world.networks.leave(&wish.id).await.expect("a container that leaves");
        }
        leaving += began.elapsed();
    }
    // A few milliseconds each when the machine does nothing else.
    assert!(joining / 300 < Duration::from_millis(250), "a join took {:?}", joining / 300);
    assert!(leaving / 300 < Duration::from_millis(250), "a leave took {:?}", leaving / 300);
    assert_eq!(entries(&folder), files);
    assert_eq!(mounts_below(world.folder.path()), mounts);
    eventually("no socket is left", || (open_files() <= sockets + 8).then_some(()));
    // The uplink and the one that stays.
    eventually("no interface is left", || (veths(&folder) == 2).then_some(()));
    assert!(stay.namespace.exists());
    world.close().await;
}

/// How many veth pairs end in the hub.
fn veths(folder: &Path) -> usize {
    let hub = format!("--net={}", folder.join("hub").display());
    let left = Command::new("nsenter").arg(hub).args(["ip", "-o", "link", "show", "type", "veth"]).output();
    text(&left.expect("nsenter and ip are installed")).lines().count()
}

/// How many files this process has open; other tests run beside.
fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_stops_leaves_nothing_on_the_machine() {
    let world = World::new().await;
    world.network("shop").await;
    world.join(&join("web", &["shop"])).await;
    let ours = || {
        let rules = Command::new("nft").args(["list", "ruleset"]).output().expect("nft is installed");
        let links = Command::new("ip").args(["-o", "link"]).output().expect("ip is installed");
        let routes = Command::new("ip").arg("route").output().expect("ip is installed");
        format!("{}{}{}", text(&rules), text(&links), text(&routes))
    };
    let host = world.networks.host_address().to_string();
    let before = Command::new("ip").args(["-o", "addr"]).output().expect("ip is installed");
    let before = text(&before);
    let line = before.lines().find(|line| line.contains(&format!(" {host}/"))).expect("the uplink");
    let uplink = line.split_whitespace().nth(1).expect("its name").to_owned();
    assert!(ours().contains(&uplink));
    let table = uplink.replacen("hoist", "hoist_", 1);
    assert!(ours().contains(&table), "the machine has no rules for the way out");
    world.close().await;
    assert!(!ours().contains(&uplink), "{}", ours());
    assert!(!ours().contains(&table));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_networks_that_are_always_there_stay() {
    let world = World::new().await;
    let names: BTreeSet<_> =
        world.networks.list().await.expect("networks").into_iter().filter_map(|each| each.name).collect();
    assert_eq!(names, ["bridge", "host", "none"].map(str::to_owned).into());
    for name in ["bridge", "host", "none"] {
        assert!(matches!(world.networks.remove(name).await, Err(Error::Forbidden(_))));
    }
    assert_eq!(world.networks.remove("nope").await, Err(Error::NotFound("network nope not found".into())));
    let alone = world.join(&join("alone", &[])).await;
    assert_eq!(alone.nameserver, None);
    assert!(pings(&alone, "127.0.0.1"), "loopback is off");
    // On `bridge` containers have no names, as with Docker.
    let web = world.join(&join("web", &["bridge"])).await;
    world.join(&join("db", &["bridge"])).await;
    assert_ne!(resolve(&web, "db", TYPE::A).map(|found| found.is_empty()), Ok(false));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_containers_join_at_once() {
    let world = World::new().await;
    world.network("shop").await;
    let wishes: Vec<Join> = (0..100).map(|number| aliased(&format!("c{number}"), "shop", "all")).collect();
    let began = Instant::now();
    let joining = wishes.iter().map(|wish| world.networks.join(wish));
    let joined: Vec<Joined> = futures_util::future::try_join_all(joining).await.expect("all of them");
    assert!(began.elapsed() < Duration::from_secs(30), "100 joins at once took {:?}", began.elapsed());
    let addresses: BTreeSet<_> = joined.iter().map(|each| address(each, "shop")).collect();
    assert_eq!(addresses.len(), 100);
    assert!(pings(&joined[0], &address(&joined[99], "shop").to_string()));
    // Too many for a datagram: the answer says to ask by a connection, which has them all.
    let server = joined[0].nameserver.clone().expect("a name server");
    let found = run(&joined[0], &["nslookup", "all", &server]);
    assert!(found.status.success() || resolve(&joined[0], "all", TYPE::A).is_ok(), "{}", text(&found));
    let all = within(&joined[0], move || -> io::Result<usize> {
        let mut query = Packet::new_query(5);
        let name = Name::new("all").map_err(io::Error::other)?;
        query.questions.push(Question::new(name, QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN), false));
        let query = query.build_bytes_vec().map_err(io::Error::other)?;
        let mut stream = TcpStream::connect((server.as_str(), 53))?;
        stream.write_all(&[&[0, u8::try_from(query.len()).unwrap_or(0)], query.as_slice()].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
        Ok(Packet::parse(&answer).map_err(io::Error::other)?.answers.len())
    });
    assert_eq!(all.expect("an answer"), 100);
    world.close().await;
}
