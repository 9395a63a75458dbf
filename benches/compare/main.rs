//! hoist against docker compose 2.40, in turn, on the same engine and the same project.
//!
//! `cargo bench --bench compare -- [MEASURE…] [--rounds N] [--only hoist|compose]` prints a median for each measure and
//! tool, their ratio and whether it is within its target. `HOIST_PEERS` says where docker compose is unpacked
//! (`/opt/peers`), `DOCKER_HOST` which engine serves both.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark prints what it measures")]

mod fixture;
mod page;
mod table;
mod tool;

use std::env;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use fixture::{Crowd, Shop, Thousand};
use table::{Row, Unit};
use tool::{Session, Tool};

/// What is measured: its name, and hoist ÷ docker compose at most.
const MEASURES: [(&str, Unit, f64); 8] = [
    ("up", Unit::Milliseconds, 0.40),
    ("no-op up", Unit::Milliseconds, 0.15),
    ("down", Unit::Milliseconds, 0.80),
    ("save to served", Unit::Milliseconds, 0.45),
    ("resident memory", Unit::Megabytes, 0.50),
    ("proportional memory", Unit::Megabytes, 0.50),
    ("config 1000", Unit::Milliseconds, 0.10),
    ("ps 100", Unit::Milliseconds, 0.50),
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
    if options.wants(&["up", "no-op up", "down"]) {
        lifecycle(&options, &mut rows);
    }
    if options.wants(&["save to served", "resident memory", "proportional memory"]) {
        watching(&options, &mut rows);
    }
    if options.wants(&["config 1000"]) {
        repeated(&options, row(&mut rows, "config 1000"), &Thousand::new().folder, &["config", "-q"]);
    }
    if options.wants(&["ps 100"]) {
        let crowd = Crowd::new();
        repeated(&options, row(&mut rows, "ps 100"), &crowd.folder, &["ps"]);
    }
    println!("\n{}", table::draw(&rows, options.rounds));
    ExitCode::SUCCESS
}

impl Options {
    fn read(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self { measures: Vec::new(), rounds: 7, tools: Vec::new() };
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
            eprintln!("{:8} resident {:.1} MB, proportional {:.1} MB", tool.name, memory.resident, memory.proportional);
            row(rows, "resident memory").add(tool, memory.resident);
            row(rows, "proportional memory").add(tool, memory.proportional);
            session.end();
            shop.run(tool, &["down"]);
        }
    }
}

/// A command that changes nothing, again and again.
fn repeated(options: &Options, row: &mut Row, folder: &Path, arguments: &[&str]) {
    for round in 0..options.rounds * 3 {
        for tool in options.turn(round) {
            row.add(tool, milliseconds(tool.run(folder, fixture::FREE_PORT, arguments)));
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
