//! hoist against docker compose 2.40, in turn, on the same engine and the same project; and hoist's embedded engine against
//! Docker.
//!
//! `cargo bench --bench compare -- [MEASURE…] [--rounds N] [--only hoist|compose]` prints a median for each measure and
//! tool, of ten rounds unless told otherwise, their ratio and whether it is within its target. `HOIST_PEERS` says where docker compose is unpacked
//! (`/opt/peers`), `DOCKER_HOST` which engine serves both.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measures")]

mod embedded;
mod fixture;
mod page;
#[path = "../../tests/parity/random.rs"]
mod random;
mod reload;
mod table;
mod thousand;
mod tool;
mod watched;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use embedded::{Api, Embedded};
use fixture::{Crowd, Pages, Shop, Talk, Thousand};
use table::{Row, Target, Unit};
use tool::{Session, Tool};
use watched::{Reloads, RuledShop, Watched};

/// What is measured, and what is promised of it.
const MEASURES: [(&str, Unit, Target); 41] = [
    ("up", Unit::Milliseconds, Target::Ratio(0.40)),
    ("no-op up", Unit::Milliseconds, Target::Ratio(0.15)),
    ("down", Unit::Milliseconds, Target::Ratio(0.80)),
    ("save to served", Unit::Milliseconds, Target::Ratio(0.45)),
    ("resident memory", Unit::Megabytes, Target::Ratio(0.50)),
    ("proportional memory", Unit::Megabytes, Target::Ratio(0.50)),
    ("private memory", Unit::Megabytes, Target::Nothing),
    ("config 1000", Unit::Milliseconds, Target::Ratio(0.10)),
    ("export 1000", Unit::Milliseconds, Target::Limit(500.0)),
    ("ps 100", Unit::Milliseconds, Target::Ratio(0.50)),
    ("embedded: first byte", Unit::Milliseconds, Target::Ratio(0.20)),
    ("embedded: up", Unit::Milliseconds, Target::Ratio(0.15)),
    ("embedded: save to served", Unit::Milliseconds, Target::Both(0.10, 150.0)),
    ("embedded: 100 at once", Unit::Milliseconds, Target::Ratio(0.30)),
    ("embedded: engine resident", Unit::Megabytes, Target::Limit(30.0)),
    ("embedded: shim resident", Unit::Megabytes, Target::Nothing),
    ("embedded: shim proportional", Unit::Megabytes, Target::Limit(3.0)),
    ("reload shop: rebuild", Unit::Milliseconds, Target::Ratio(0.35)),
    ("reload shop: sync+restart", Unit::Milliseconds, Target::Ratio(0.35)),
    ("reload shop: sync", Unit::Milliseconds, Target::Ratio(0.15)),
    ("reload shop embedded: rebuild", Unit::Milliseconds, Target::Ratio(0.12)),
    ("reload shop embedded: sync+restart", Unit::Milliseconds, Target::Ratio(0.12)),
    ("reload shop embedded: sync", Unit::Milliseconds, Target::Ratio(0.10)),
    ("reload of 50: rebuild", Unit::Milliseconds, Target::Ratio(0.35)),
    ("reload of 50: sync+restart", Unit::Milliseconds, Target::Ratio(0.35)),
    ("reload of 50: sync", Unit::Milliseconds, Target::Ratio(0.15)),
    ("reload of 50 embedded: rebuild", Unit::Milliseconds, Target::Ratio(0.12)),
    ("reload of 50 embedded: sync+restart", Unit::Milliseconds, Target::Ratio(0.12)),
    ("reload of 50 embedded: sync", Unit::Milliseconds, Target::Ratio(0.10)),
    ("failed requests", Unit::Pieces, Target::Ratio(0.50)),
    ("failed requests embedded", Unit::Pieces, Target::Limit(0.0)),
    ("1,000 reloads: missed", Unit::Pieces, Target::Limit(0.0)),
    ("1,000 reloads: others touched", Unit::Pieces, Target::Limit(0.0)),
    ("1,000 reloads: memory gained", Unit::Megabytes, Target::Limit(2.0)),
    ("1,000 reloads: private gained", Unit::Megabytes, Target::Limit(2.0)),
    ("idle: resident memory", Unit::Megabytes, Target::Limit(30.0)),
    ("idle: private memory", Unit::Megabytes, Target::Nothing),
    ("idle: core per second", Unit::Milliseconds, Target::Limit(2.0)),
    ("idle: wakes per second", Unit::Pieces, Target::Limit(1.0)),
    ("logs of 40 MB", Unit::Milliseconds, Target::Ratio(0.20)),
    ("logs embedded of 40 MB", Unit::Milliseconds, Target::Ratio(0.20)),
];

struct Options {
    measures: Vec<String>,
    rounds: usize,
    tools: Vec<Tool>,
}

fn main() -> ExitCode {
    let options = match Options::read(env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("error: {problem}");
            return ExitCode::from(2);
        }
    };
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup/images");
    if !Command::new(images).status().is_ok_and(|status| status.success()) {
        eprintln!("error: no images to run on; does an engine answer?");
        return ExitCode::FAILURE;
    }
    let mut rows: Vec<Row> = MEASURES.iter().map(|&(name, unit, target)| Row::new(name, unit, target)).collect();
    measure(&options, &mut rows);
    println!("\n{}", table::draw(&rows, options.rounds));
    ExitCode::SUCCESS
}

/// What is wanted, a project after the other.
fn measure(options: &Options, rows: &mut [Row]) {
    if options.wants(&["up", "no-op up", "down"]) {
        lifecycle(options, rows);
    }
    if options.wants(&["save to served", "resident memory", "proportional memory", "private memory"]) {
        watching(options, rows);
    }
    if options.wants(&["config 1000"]) {
        repeated(options, row(rows, "config 1000"), &Thousand::new().folder, &["config", "-q"]);
    }
    if options.wants(&["export 1000"]) {
        exported(options, row(rows, "export 1000"));
    }
    if options.wants(&["ps 100"]) {
        let crowd = Crowd::new();
        repeated(options, row(rows, "ps 100"), &crowd.folder, &["ps"]);
    }
    if options.wants_some("embedded") {
        embedded_engine(options, rows);
    }
    if options.wants_some("reload shop") {
        reload::by_kind(options, rows, &RuledShop::new(), "reload shop");
    }
    if options.wants_some("reload of 50") {
        reload::by_kind(options, rows, &Reloads::fifty(), "reload of 50");
    }
    if options.wants_some("failed requests") {
        reload::failed_requests(options, rows);
    }
    if options.wants_some("1,000 reloads") {
        thousand::reloads(options, rows);
    }
    if options.wants_some("idle") {
        idle(options, rows);
    }
    if options.wants(&["logs of 40 MB"]) {
        let talk = Talk::new(&options.tools.iter().take(1).collect::<Vec<_>>());
        repeated(options, row(rows, "logs of 40 MB"), &talk.folder, &["logs", "--no-color"]);
    }
    if options.wants(&["logs embedded of 40 MB"]) {
        logs_on_embedded(options, rows);
    }
}

impl Options {
    fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { measures: Vec::new(), rounds: 10, tools: Vec::new() };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => {
                    let number = arguments.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
                    options.rounds = number.ok_or("`--rounds` takes a number")?;
                }
                "--only" => match arguments.next().as_deref() {
                    Some("hoist") => options.tools.push(Tool::hoist()),
                    Some("compose") => options.tools.push(Tool::compose()?),
                    _ => return Err("`--only` takes `hoist` or `compose`".into()),
                },
                _ => options.measures.push(argument),
            }
        }
        if options.tools.is_empty() {
            options.tools = vec![Tool::hoist(), Tool::compose()?];
        }
        Ok(options)
    }

    fn wants(&self, measures: &[&str]) -> bool {
        let asked = |measure: &str| self.measures.iter().any(|word| measure.contains(word.as_str()));
        self.measures.is_empty() || measures.iter().any(|measure| asked(measure))
    }

    /// Whether a measure is wanted whose name begins so.
    fn wants_some(&self, beginning: &str) -> bool {
        MEASURES.iter().any(|(name, ..)| name.starts_with(beginning) && self.wants(&[name]))
    }

    /// The tools in an order that changes with the round, so that neither always comes first.
    fn turn(&self, round: usize) -> Vec<&Tool> {
        let mut tools: Vec<_> = self.tools.iter().collect();
        if round % 2 == 1 {
            tools.reverse();
        }
        tools
    }
}

fn row<'a>(rows: &'a mut [Row], name: &str) -> &'a mut Row {
    rows.iter_mut().find(|row| row.name == name).expect("every measure has a row")
}

/// `up -d --wait` with images built, the same with nothing to do, and `down`.
fn lifecycle(options: &Options, rows: &mut [Row]) {
    let shop = Shop::new();
    for tool in &options.tools {
        shop.run(tool, &["build"]);
    }
    for round in 0..options.rounds {
        for tool in options.turn(round) {
            let up = shop.run(tool, &["up", "-d", "--wait"]);
            let again = shop.run(tool, &["up", "-d", "--wait"]);
            let down = shop.run(tool, &["down"]);
            row(rows, "up").add(tool, milliseconds(up));
            row(rows, "no-op up").add(tool, milliseconds(again));
            row(rows, "down").add(tool, milliseconds(down));
            eprintln!("{:8} up {up:?}, again {again:?}, down {down:?}", tool.name);
        }
    }
}

/// From a save to the new code's answer on the published port, and the memory of the tool that watches.
fn watching(options: &Options, rows: &mut [Row]) {
    let shop = Shop::new();
    // Two turns each: what the first leaves in the engine's caches serves both.
    let saves = options.rounds.div_ceil(2);
    for turn in 0..2 {
        for tool in options.turn(turn) {
            shop.write_gateway("hoist");
            shop.run(tool, &["build"]);
            let session = Session::start(tool, &shop.folder, shop.port);
            session.wait_for_watch();
            shop.wait_until_served("hoist");
            session.settle();
            for save in 0..saves {
                let word = format!("{}-{turn}-{save}", tool.name);
                let begun = Instant::now();
                shop.write_gateway(&word);
                shop.wait_until_served(&word);
                let took = begun.elapsed();
                eprintln!("{:8} save to served {took:?}", tool.name);
                row(rows, "save to served").add(tool, milliseconds(took));
                session.settle();
            }
            let memory = session.memory();
            row(rows, "resident memory").add(tool, memory.resident);
            row(rows, "proportional memory").add(tool, memory.proportional);
            row(rows, "private memory").add(tool, memory.private);
            session.end();
            shop.run(tool, &["down"]);
        }
    }
}

/// The embedded engine beside Docker: single containers and many by the API, then projects by hoist and docker compose.
fn embedded_engine(options: &Options, rows: &mut [Row]) {
    let engine = Embedded::start();
    let peers = options.tools.iter().map(|tool| match tool.name {
        "hoist" => (engine.tool(), engine.api()),
        _ => (tool.clone(), Api::docker()),
    });
    let peers: Vec<(Tool, Api)> = peers.collect();
    if options.wants(&["embedded: first byte"]) {
        for round in 0..options.rounds * 3 {
            for (tool, api) in in_turn(&peers, round) {
                row(rows, "embedded: first byte").add(tool, milliseconds(api.first_byte()));
            }
        }
    }
    if options.wants(&["embedded: 100 at once"]) {
        for round in 0..options.rounds {
            for (tool, api) in in_turn(&peers, round) {
                let took = api.crowd(100);
                api.clear();
                eprintln!("{:8} 100 containers {took:?}", tool.name);
                row(rows, "embedded: 100 at once").add(tool, milliseconds(took));
            }
        }
    }
    if options.wants(&["embedded: engine resident", "embedded: shim resident", "embedded: shim proportional"]) {
        engine.api().crowd(10);
        let (daemon, shims) = engine.memory();
        let tool = engine.tool();
        row(rows, "embedded: engine resident").add(&tool, daemon.resident);
        for shim in shims {
            row(rows, "embedded: shim resident").add(&tool, shim.resident);
            row(rows, "embedded: shim proportional").add(&tool, shim.proportional);
        }
        engine.api().clear();
    }
    let tools: Vec<&Tool> = peers.iter().map(|(tool, _)| tool).collect();
    if options.wants(&["embedded: up"]) {
        let shop = Shop::new();
        for tool in &tools {
            shop.run(tool, &["build"]);
        }
        for round in 0..options.rounds {
            for (tool, _) in in_turn(&peers, round) {
                let up = shop.run(tool, &["up", "-d", "--wait"]);
                shop.run(tool, &["down"]);
                eprintln!("{:8} up {up:?}", tool.name);
                row(rows, "embedded: up").add(tool, milliseconds(up));
            }
        }
    }
    if options.wants(&["embedded: save to served"]) {
        for tool in tools {
            saves_of_a_page(options, tool, row(rows, "embedded: save to served"));
        }
    }
}

/// One service that answers with a word; the word is saved, and the time until it is served is taken. Each save has a run
/// of its own: docker compose does not always notice a second one.
fn saves_of_a_page(options: &Options, tool: &Tool, row: &mut Row) {
    for _ in 0..options.rounds {
        let pages = Pages::new(tool);
        let session = Session::start(tool, &pages.folder, pages.port);
        session.wait_for_watch();
        pages.wait_until_served("hoist");
        session.settle();
        let begun = Instant::now();
        pages.save("saved");
        pages.wait_until_served("saved");
        let served = begun.elapsed();
        eprintln!("{:8} save to served {served:?}", tool.name);
        row.add(tool, milliseconds(served));
        session.end();
        tool.run(&pages.folder, pages.port, &["down"]);
    }
}

/// What watching fifty services with twenty thousand files takes while nothing happens.
fn idle(options: &Options, rows: &mut [Row]) {
    let project = Reloads::fifty_at_rest();
    for tool in &options.tools {
        let session = project.start(tool);
        thread::sleep(Duration::from_secs(10));
        let (before, begun) = (session.work(), Instant::now());
        thread::sleep(Duration::from_secs(30));
        let (after, seconds) = (session.work(), begun.elapsed().as_secs_f64());
        let processor = milliseconds(after.processor.saturating_sub(before.processor)) / seconds;
        let wakes = f64::from(after.wakes.saturating_sub(before.wakes)) / seconds;
        let memory = session.memory();
        row(rows, "idle: resident memory").add(tool, memory.resident);
        row(rows, "idle: private memory").add(tool, memory.private);
        row(rows, "idle: core per second").add(tool, processor);
        row(rows, "idle: wakes per second").add(tool, wakes);
        project.end(tool, session);
    }
}

/// hoist reads them from its own engine, docker compose from Docker.
fn logs_on_embedded(options: &Options, rows: &mut [Row]) {
    let engine = Embedded::start();
    let tools = options.tools.iter();
    let tools: Vec<Tool> = tools.map(|tool| if tool.name == "hoist" { engine.tool() } else { tool.clone() }).collect();
    let talk = Talk::new(&tools.iter().collect::<Vec<_>>());
    let options = Options { measures: Vec::new(), rounds: options.rounds, tools };
    repeated(&options, row(rows, "logs embedded of 40 MB"), &talk.folder, &["logs", "--no-color"]);
    engine.tool().run(&talk.folder, fixture::FREE_PORT, &["down"]);
}

fn in_turn(peers: &[(Tool, Api)], round: usize) -> impl Iterator<Item = &(Tool, Api)> {
    let order: Vec<usize> = if round % 2 == 1 { (0..peers.len()).rev().collect() } else { (0..peers.len()).collect() };
    order.into_iter().filter_map(|index| peers.get(index))
}

/// A command that changes nothing, again and again.
fn repeated(options: &Options, row: &mut Row, folder: &Path, arguments: &[&str]) {
    for round in 0..options.rounds * 3 {
        for tool in options.turn(round) {
            row.add(tool, milliseconds(tool.run(folder, fixture::FREE_PORT, arguments)));
        }
    }
}

/// A thousand services as Kubernetes objects, a file each: hoist alone, and each time into a folder of its own.
fn exported(options: &Options, row: &mut Row) {
    let thousand = Thousand::new();
    let hoist = Tool::hoist();
    for round in 0..options.rounds * 3 {
        let folder = format!("k8s-{round}");
        let arguments = ["export", "kubernetes", "-o", &folder];
        row.add(&hoist, milliseconds(hoist.run(&thousand.folder, fixture::FREE_PORT, &arguments)));
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
