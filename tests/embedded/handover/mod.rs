//! Ports that pass from one container to the next: what comes meanwhile waits or goes where somebody is ready.

mod load;

use std::collections::BTreeSet;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use hoist::embedded::network::{Health, Join, Joined, Port, Protocol, Successor};
use simple_dns::TYPE;

use crate::network::{World, address, aliased, host_port, id, join, publishing, resolve, within};
use crate::support::DEADLINE;

const HTTP: Port = Port { number: 80, protocol: Protocol::Tcp };

/// One that publishes a port of the machine, the next free one when it is empty.
fn wants(name: &str, port: &str, replaces: Option<&str>) -> Join {
    Join {
        replaces: replaces.map(id),
        has_ports: true,
        ..publishing(join(name, &["shop"]), "80/tcp", "127.0.0.1", port)
    }
}

/// It listens, as the engine would have seen.
fn listens(world: &World, name: &str) {
    world.networks.hear(&id(name), BTreeSet::from([HTTP]), true);
}

fn successor(wish: &Join) -> Successor {
    Successor { id: wish.id.clone(), ports: wish.ports.clone() }
}

/// A server of HTTP/1.1 inside that names itself and keeps connections. With a pause it says that it has heard, and answers
/// after that.
fn names_itself(joined: &Joined, name: &'static str, pause: Duration) {
    let listener = within(joined, || TcpListener::bind("0.0.0.0:80")).expect("a free port");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(&stream, name, pause));
        }
    });
}

fn answer(stream: &TcpStream, name: &str, pause: Duration) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line != "\r\n" {
            continue;
        }
        if !pause.is_zero() {
            write!(&*stream, "HTTP/1.1 102 Processing\r\n\r\n")?;
            std::thread::sleep(pause);
        }
        write!(&*stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{name}", name.len())?;
    }
}

/// A client's connection that is kept.
struct Kept(BufReader<TcpStream>);

impl Kept {
    fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("a published port");
        stream.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        Self(BufReader::new(stream))
    }

    fn asks(&mut self) -> io::Result<()> {
        self.0.get_mut().write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    }

    /// The length in the next head; none in one that says that the answer is still to come.
    fn head(&mut self) -> io::Result<Option<usize>> {
        let mut length = None;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(number) = line.strip_prefix("Content-Length: ") {
                length = Some(number.trim().parse().map_err(io::Error::other)?);
            }
        }
        Ok(length)
    }

    /// The body of the next answer.
    fn hears(&mut self) -> io::Result<String> {
        let length = loop {
            if let Some(length) = self.head()? {
                break length;
            }
        };
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        String::from_utf8(body).map_err(io::Error::other)
    }

    fn get(&mut self) -> String {
        self.asks().and_then(|()| self.hears()).expect("an answer")
    }
}

fn asks(port: u16) -> String {
    Kept::to(port).get()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_passes_to_the_replacement_when_that_listens_and_kept_connections_with_it() {
    let world = World::new().await;
    world.network("shop").await;
    let old = world.join(&wants("old", "", None)).await;
    names_itself(&old, "old", Duration::ZERO);
    listens(&world, "old");
    let port = host_port(&old, "80/tcp");
    let mut kept = Kept::to(port);
    assert_eq!(kept.get(), "old");
    let new = world.join(&wants("new", &port.to_string(), Some("old"))).await;
    assert_eq!(host_port(&new, "80/tcp"), port);
    assert_eq!((asks(port), kept.get()), ("old".into(), "old".into()), "the new one does not listen");
    names_itself(&new, "new", Duration::ZERO);
    listens(&world, "new");
    assert_eq!((asks(port), kept.get()), ("new".into(), "new".into()));
    world.networks.retire(&id("old"), &[]).await;
    world.networks.leave(&id("old")).await.expect("a container that leaves");
    assert_eq!((asks(port), kept.get()), ("new".into(), "new".into()));
    world.networks.leave(&id("new")).await.expect("a container that leaves");
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the port is free");
    assert!(kept.asks().and_then(|()| kept.hears()).is_err(), "a kept connection ends with its port");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_healthcheck_the_port_passes_when_that_succeeds_and_back_when_the_new_one_is_gone() {
    let world = World::new().await;
    world.network("shop").await;
    let old = world.join(&wants("old", "", None)).await;
    names_itself(&old, "old", Duration::ZERO);
    listens(&world, "old");
    let port = host_port(&old, "80/tcp");
    let new = world.join(&Join { checked: true, ..wants("new", &port.to_string(), Some("old")) }).await;
    names_itself(&new, "new", Duration::ZERO);
    listens(&world, "new");
    assert_eq!(asks(port), "old");
    world.networks.tell_health(&id("new"), Health::Passed);
    assert_eq!(asks(port), "new");
    let mut kept = Kept::to(port);
    assert_eq!(kept.get(), "new");
    world.networks.retire(&id("new"), &[]).await;
    world.networks.leave(&id("new")).await.expect("a container that leaves");
    assert_eq!((asks(port), kept.get()), ("old".into(), "old".into()));
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_nobody_is_ready_waits_and_what_is_under_way_is_finished_first() {
    let world = World::new().await;
    world.network("shop").await;
    let old = world.join(&wants("old", "", None)).await;
    names_itself(&old, "old", Duration::from_millis(200));
    listens(&world, "old");
    let port = host_port(&old, "80/tcp");
    let (mut asking, mut kept) = (Kept::to(port), Kept::to(port));
    assert_eq!(kept.get(), "old");
    asking.asks().expect("a request");
    assert_eq!(asking.head().expect("word that it is heard"), None);
    let wish = wants("new", &port.to_string(), Some("old"));
    let begun = Instant::now();
    world.networks.retire(&id("old"), &[successor(&wish)]).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "an exchange of 200 ms was waited for {:?}", begun.elapsed());
    assert_eq!(asking.hears().expect("an answer"), "old");
    world.networks.leave(&id("old")).await.expect("a container that leaves");
    let waits: Vec<_> = (0..20).map(|_| std::thread::spawn(move || asks(port))).collect();
    kept.asks().expect("a request");
    let new = world.join(&wish).await;
    names_itself(&new, "new", Duration::ZERO);
    listens(&world, "new");
    for waiting in waits {
        assert_eq!(waiting.join().expect("no panic"), "new");
    }
    assert_eq!(kept.hears().expect("an answer"), "new");
    assert_eq!(asking.get(), "new");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_are_turned_away_when_nobody_will_come() {
    let world = World::new().await;
    world.network("shop").await;
    let old = world.join(&wants("old", "", None)).await;
    let port = host_port(&old, "80/tcp");
    let wish = wants("new", &port.to_string(), Some("old"));
    world.networks.retire(&id("old"), &[successor(&wish)]).await;
    world.networks.leave(&id("old")).await.expect("a container that leaves");
    let mut kept = Kept::to(port);
    let waiting = std::thread::spawn(move || kept.asks().and_then(|()| kept.hears()));
    assert!(!waiting.is_finished());
    world.networks.give_up(&id("new"), true).await;
    world.networks.give_up(&id("old"), true).await;
    assert!(waiting.join().expect("no panic").is_err());
    assert!(TcpListener::bind(("127.0.0.1", port)).is_ok(), "the port is free");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_port_belongs_to_whoever_starts_with_it() {
    let world = World::new().await;
    world.network("shop").await;
    let old = world.join(&wants("old", "", None)).await;
    let port = host_port(&old, "80/tcp");
    let wish = wants("new", &port.to_string(), Some("old"));
    let other = wants("other", &port.to_string(), None);
    let taken = world.networks.join(&other).await.expect_err("the port is taken");
    assert!(taken.to_string().contains("port is already allocated (by the container old)"), "{taken}");
    world.networks.retire(&id("old"), &[successor(&wish)]).await;
    world.networks.leave(&id("old")).await.expect("a container that leaves");
    let other = world.join(&other).await;
    names_itself(&other, "other", Duration::ZERO);
    assert_eq!(asks(port), "other");
    let taken = world.networks.join(&wish).await.expect_err("the port is taken");
    assert!(taken.to_string().contains("port is already allocated (by the container other)"), "{taken}");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_http_stays_with_the_old_container_until_that_ends_it() {
    let world = World::new().await;
    world.network("shop").await;
    let old = world.join(&wants("old", "", None)).await;
    let listener = within(&old, || TcpListener::bind("0.0.0.0:80")).expect("a free port");
    let accepting = std::thread::spawn(move || listener.accept().expect("a connection").0);
    listens(&world, "old");
    let port = host_port(&old, "80/tcp");
    let mut client = TcpStream::connect(("127.0.0.1", port)).expect("a published port");
    client.set_read_timeout(Some(DEADLINE)).expect("a deadline");
    let mut server = accepting.join().expect("no panic");
    server.write_all(b"220 hello\r\n").expect("written");
    let mut line = [0; 11];
    client.read_exact(&mut line).expect("a greeting");
    let new = world.join(&wants("new", &port.to_string(), Some("old"))).await;
    names_itself(&new, "new", Duration::ZERO);
    listens(&world, "new");
    assert_eq!(asks(port), "new");
    let begun = Instant::now();
    world.networks.retire(&id("old"), &[]).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "nobody waits for what may never end");
    client.write_all(b"EHLO me\r\n").expect("written");
    let mut asked = [0; 9];
    server.read_exact(&mut asked).expect("still the old one");
    server.write_all(b"221 bye\r\n").expect("written");
    drop(server);
    let mut rest = String::new();
    client.read_to_string(&mut rest).expect("all that it said");
    assert_eq!(rest, "221 bye\r\n");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_started_anew_inside_is_waited_for() {
    let world = World::new().await;
    world.network("shop").await;
    let web = world.join(&wants("web", "", None)).await;
    let port = host_port(&web, "80/tcp");
    listens(&world, "web");
    let waiting = std::thread::spawn(move || asks(port));
    names_itself(&web, "web", Duration::ZERO);
    assert_eq!(waiting.join().expect("no panic"), "web");
    world.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_a_port_and_those_that_are_not_well_are_left_out() {
    let world = World::new().await;
    world.network("shop").await;
    let replica = |name: &str, port: &str| Join {
        group: Some("shop/api".into()),
        checked: true,
        endpoints: aliased(name, "shop", "api").endpoints,
        ..wants(name, port, None)
    };
    let first = world.join(&replica("api-1", "")).await;
    let port = host_port(&first, "80/tcp");
    names_itself(&first, "api-1", Duration::ZERO);
    let mut addresses = vec![address(&first, "shop").to_string()];
    for name in ["api-2", "api-3"] {
        let joined = world.join(&replica(name, &port.to_string())).await;
        names_itself(&joined, name, Duration::ZERO);
        addresses.push(address(&joined, "shop").to_string());
    }
    let answers = || (0..30).map(|_| asks(port)).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>();
    world.networks.tell_health(&id("api-1"), Health::Passed);
    world.networks.tell_health(&id("api-3"), Health::Passed);
    assert_eq!(answers(), ["api-1", "api-3"]);
    let named = |from: &Joined| resolve(from, "api", TYPE::A).map(|all| all.into_iter().collect::<BTreeSet<_>>());
    let of = |all: &[usize]| Ok(all.iter().map(|index| addresses[*index].clone()).collect());
    assert_eq!(named(&first), of(&[0, 2]));
    world.networks.tell_health(&id("api-2"), Health::Passed);
    assert_eq!(answers(), ["api-1", "api-2", "api-3"]);
    world.networks.retire(&id("api-3"), &[]).await;
    assert_eq!(answers(), ["api-1", "api-2"]);
    assert_eq!(named(&first), of(&[0, 1]));
    world.networks.leave(&id("api-3")).await.expect("a container that leaves");
    world.networks.tell_health(&id("api-1"), Health::Waiting);
    assert_eq!(answers(), ["api-2"]);
    let stranger = Join { group: Some("shop/web".into()), ..wants("web", &port.to_string(), None) };
    assert!(world.networks.join(&stranger).await.is_err(), "another service has the port");
    world.close().await;
}
