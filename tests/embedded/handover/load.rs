//! A service that is exchanged again and again while others use it.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{DEADLINE, Daemon, eventually};

/// How often the service is exchanged.
const EXCHANGES: usize = 20;
/// Clients that keep a connection, and clients that open one for each request; how often each of them asks.
const CLIENTS: usize = 10;
const PERIOD: Duration = Duration::from_millis(100);

/// Answers after up to 30 ms, speaks another protocol after an upgrade, echoes on a second port, and goes at once when it is
/// told to.
const SERVER: &str = r"
const http = require('http'), net = require('net');
if (process.env.BROKEN) { console.error('it is broken'); process.exit(1); }
const server = http.createServer((request, response) => {
    if (request.url === '/health') return response.end('well');
    let body = '';
    request.on('data', data => body += data).on('end', () =>
        setTimeout(() => response.end(process.env.VERSION + ' ' + body), Math.random() * 30));
});
server.on('upgrade', (request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
    socket.on('error', () => {}).pipe(socket);
});
setTimeout(() => server.listen(8080), Number(process.env.SLOW || 0));
net.createServer(socket => socket.on('error', () => {}).pipe(socket)).listen(9000);
process.on('SIGTERM', () => process.exit(0));
";

/// A project of one service on an engine of its own.
struct Shop {
    daemon: Daemon,
    ports: [u16; 2],
}

impl Shop {
    fn open() -> Self {
        let daemon = Daemon::start();
        fs::write(daemon.home().join("server.js"), SERVER).expect("the temporary folder can be written");
        Self { daemon, ports: [free_port(), free_port()] }
    }

    /// Asks the engine for something that it has to do.
    #[track_caller]
    fn asks(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.daemon.request(method, path, body).expect("the engine answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
        serde_json::from_str(body).unwrap_or_default()
    }

    /// Makes a container of the service; its id.
    fn make(&self, name: &str, environment: &[&str], replaces: Option<&str>) -> String {
        let bindings = |port: u16| json!([{ "HostIp": "127.0.0.1", "HostPort": port.to_string() }]);
        let mut labels = json!({ "com.docker.compose.project": "shop", "com.docker.compose.service": "web" });
        if let Some(replaces) = replaces {
            labels["com.docker.compose.replace"] = json!(replaces);
        }
        let body = json!({
            "Image": "hoist/machine",
            "Cmd": ["node", "/root/server.js"],
            "Env": environment,
            "Labels": labels,
            "ExposedPorts": { "8080/tcp": {}, "9000/tcp": {} },
            "Healthcheck": {
                "Test": ["CMD", "/bin/busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/health"],
                "Interval": 2_000_000_000_u64,
                "Timeout": 10_000_000_000_u64,
                "Retries": 10,
            },
            "HostConfig": {
                "PortBindings": { "8080/tcp": bindings(self.ports[0]), "9000/tcp": bindings(self.ports[1]) },
                "Binds": [format!("{}:/root/server.js:ro", self.daemon.home().join("server.js").display())],
            },
        });
        let made = self.asks("POST", &format!("/containers/create?name={name}"), &body.to_string());
        made["Id"].as_str().expect("an id").to_owned()
    }

    fn start(&self, id: &str) {
        self.asks("POST", &format!("/containers/{id}/start"), "");
    }

    fn stop(&self, id: &str) {
        self.asks("POST", &format!("/containers/{id}/stop"), "");
    }

    fn state(&self, id: &str) -> Value {
        self.asks("GET", &format!("/containers/{id}/json"), "")["State"].clone()
    }

    fn is_well(&self, id: &str) {
        eventually("it is healthy", || (self.state(id)["Health"]["Status"] == "healthy").then_some(()));
    }

    /// It is what is left of the old one.
    fn promote(&self, old: &str, new: &str) {
        self.asks("DELETE", &format!("/containers/{old}"), "");
        self.asks("POST", &format!("/containers/{new}/rename?name=web"), "");
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Those who use the service, until they are told to stop.
struct Crowd {
    end: Arc<AtomicBool>,
    answers: Arc<Answers>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Answers {
    times: Mutex<Vec<Duration>>,
    failures: Mutex<Vec<String>>,
    /// What was echoed over connections that are no HTTP, and how often one of them ended.
    echoes: AtomicUsize,
    ends: AtomicUsize,
}

impl Crowd {
    fn gather(ports: [u16; 2]) -> Self {
        let mut crowd = Self { end: Arc::default(), answers: Arc::default(), clients: Vec::new() };
        for number in 0..CLIENTS * 2 {
            let keeps = number < CLIENTS;
            crowd.add(move |end, answers| ask_again_and_again(ports[0], keeps, number, end, answers));
        }
        crowd.add(move |end, answers| echo(end, answers, || TcpStream::connect(("127.0.0.1", ports[1]))));
        crowd.add(move |end, answers| echo(end, answers, || upgraded(ports[0])));
        crowd
    }

    fn add(&mut self, client: impl FnOnce(&AtomicBool, &Answers) + Send + 'static) {
        let (end, answers) = (Arc::clone(&self.end), Arc::clone(&self.answers));
        self.clients.push(thread::spawn(move || client(&end, &answers)));
    }

    /// Waits until so many more requests have been answered, so that there is somebody before and after what is tested.
    fn is_served(&self, more: usize) {
        let count = || self.answers.times.lock().expect("no panic").len();
        let before = count();
        eventually("requests are answered", || (count() >= before + more).then_some(()));
    }

    /// Ends it; what it has met with, in words, and the failures.
    fn disperses(self) -> (String, Vec<String>) {
        self.end.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client does not panic");
        }
        let mut times = std::mem::take(&mut *self.answers.times.lock().expect("no panic"));
        times.sort();
        let at =
            |share: usize| times.get((times.len() * share / 1000).min(times.len() - 1)).copied().unwrap_or_default();
        let mut words = format!("{} requests", times.len());
        let _ = write!(words, ", p50 {:?}, p99 {:?}, longest {:?}", at(500), at(990), at(1000));
        let [echoes, ends] = [&self.answers.echoes, &self.answers.ends].map(|count| count.load(Ordering::Relaxed));
        let _ = write!(words, "; {echoes} echoes, {ends} connections ended");
        assert!(echoes > 0, "nothing was echoed");
        let failures = std::mem::take(&mut *self.answers.failures.lock().expect("no panic"));
        (words, failures)
    }
}

/// A request every so often; the time counts from when it was due.
fn ask_again_and_again(port: u16, keeps: bool, number: usize, end: &AtomicBool, answers: &Answers) {
    let mut due = Instant::now() + PERIOD * u32::try_from(number).unwrap_or(0) / 20;
    let mut kept = None;
    while !end.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let asked = ask(&mut kept, port, keeps);
        let took = due.elapsed();
        match asked {
            Ok(()) => answers.times.lock().expect("no panic").push(took),
            Err(error) => {
                kept = None;
                let words = format!("{} after {took:?}: {error}", if keeps { "kept" } else { "new" });
                answers.failures.lock().expect("no panic").push(words);
            }
        }
        due = (due + PERIOD).max(Instant::now());
    }
}

fn ask(kept: &mut Option<BufReader<TcpStream>>, port: u16, keeps: bool) -> io::Result<()> {
    let mut stream = if let Some(stream) = kept.take() {
        stream
    } else {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        BufReader::new(stream)
    };
    let keep = if keeps { "keep-alive" } else { "close" };
    let request = format!("POST /a HTTP/1.1\r\nHost: a\r\nConnection: {keep}\r\nContent-Length: 5\r\n\r\nhello");
    stream.get_mut().write_all(request.as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    if !line.starts_with("HTTP/1.1 200") {
        return Err(io::Error::other(format!("{line:?}")));
    }
    let mut chunked = false;
    while line != "\r\n" {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        chunked |= line.eq_ignore_ascii_case("transfer-encoding: chunked\r\n");
    }
    if chunked {
        return Err(io::Error::other("the answer is small and comes whole"));
    }
    let mut body = [0; 7];
    stream.read_exact(&mut body)?;
    if &body[1..] != b" hello" {
        return Err(io::Error::other(format!("{:?}", String::from_utf8_lossy(&body))));
    }
    if keeps {
        *kept = Some(stream);
    } else if stream.read(&mut [0])? != 0 {
        return Err(io::Error::other("more than was asked for"));
    }
    Ok(())
}

/// Words over a connection that is no HTTP, for as long as that lasts; it may end with its container, and never says
/// anything else.
fn echo(end: &AtomicBool, answers: &Answers, connect: impl Fn() -> io::Result<TcpStream>) {
    let mut number = 0_u64;
    while !end.load(Ordering::Relaxed) {
        let Ok(mut stream) = connect() else { continue };
        while !end.load(Ordering::Relaxed) {
            number += 1;
            let mut back = [0; 8];
            let said = stream.write_all(&number.to_be_bytes()).and_then(|()| stream.read_exact(&mut back));
            match said {
                Ok(()) if back == number.to_be_bytes() => {
                    answers.echoes.fetch_add(1, Ordering::Relaxed);
                }
                Ok(()) => {
                    answers.failures.lock().expect("no panic").push(format!("{number} came back as {back:?}"));
                }
                Err(_) => break,
            }
            thread::sleep(Duration::from_millis(5));
        }
        answers.ends.fetch_add(1, Ordering::Relaxed);
    }
}

fn upgraded(port: u16) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(b"GET /up HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if head.starts_with(b"HTTP/1.1 101") { Ok(stream) } else { Err(io::Error::other("no upgrade")) }
}

/// Plays a number of exchanges under load; how long each took.
fn exchanges(shop: &Shop, mut exchange: impl FnMut(&Shop, &str, &str) -> String) {
    let mut current = shop.make("web", &["VERSION=0"], None);
    shop.start(&current);
    shop.is_well(&current);
    let crowd = Crowd::gather(shop.ports);
    crowd.is_served(40);
    let begun = Instant::now();
    for number in 0..EXCHANGES {
        current = exchange(shop, &current, &format!("VERSION={}", number % 10));
        crowd.is_served(20);
    }
    let took = begun.elapsed();
    let (words, failures) = crowd.disperses();
    eprintln!("{EXCHANGES} exchanges in {took:?}: {words}");
    assert!(failures.is_empty(), "{} failures: {:#?}\n{}", failures.len(), failures, shop.daemon.log());
}

#[test]
fn no_request_fails_when_the_new_container_starts_beside_the_old_one() {
    let shop = Shop::open();
    exchanges(&shop, |shop, old, version| {
        let new = shop.make("web-next", &[version], Some(old));
        shop.start(&new);
        shop.is_well(&new);
        shop.stop(old);
        shop.promote(old, &new);
        new
    });
}

#[test]
fn no_request_fails_when_the_old_container_stops_before_the_new_one_starts() {
    let shop = Shop::open();
    exchanges(&shop, |shop, old, version| {
        let new = shop.make("web-next", &[version], Some("web"));
        shop.stop(old);
        shop.start(&new);
        shop.is_well(&new);
        shop.promote(old, &new);
        new
    });
}

#[test]
fn no_request_fails_when_new_containers_crash_at_their_start() {
    let shop = Shop::open();
    let mut beside = false;
    exchanges(&shop, |shop, old, version| {
        beside = !beside;
        let new = shop.make("web-next", &[version, "BROKEN=1"], Some(old));
        if !beside {
            shop.stop(old);
        }
        shop.start(&new);
        eventually("it has crashed", || (shop.state(&new)["Status"] == "exited").then_some(()));
        shop.asks("DELETE", &format!("/containers/{new}"), "");
        if !beside {
            shop.start(old);
            shop.is_well(old);
        }
        old.to_owned()
    });
}

#[test]
fn no_request_fails_when_a_container_is_restarted() {
    let shop = Shop::open();
    exchanges(&shop, |shop, container, _| {
        shop.asks("POST", &format!("/containers/{container}/restart"), "");
        shop.is_well(container);
        container.to_owned()
    });
}
