//! The loader held against docker compose itself, with manifests made by chance: what both load must print the same, and
//! what docker compose refuses must be refused.
//!
//! `HOIST_PARITY=10000` runs so many of each kind, `HOIST_PARITY_FIRST` begins at another seed, `HOIST_PARITY_REPORT`
//! names a folder that every difference is written to.

#![expect(clippy::print_stdout, reason = "a test that reports counts")]

mod deploy;
#[path = "../support/differences.rs"]
mod differences;
#[path = "../support/loading.rs"]
mod loading;
mod mounts;
mod mutant;
mod oracle;
mod project;
mod random;
mod service;
mod world;
mod yaml;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use differences::{Differences, Kind};
use oracle::{Answer, Oracle};
use project::Case;

/// How many of each kind run when nothing else is asked for.
const USUAL: u64 = 150;
/// How often docker compose is asked again when it prints something else.
const TRIES: usize = 6;

fn number(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// How a case went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Both print the same.
    Same,
    /// Both refuse.
    BothRefuse,
    /// Both load, but print something else.
    Prints,
    /// Only docker compose refuses.
    OnlyTheyRefuse,
    /// Only hoist refuses.
    OnlyWeRefuse,
}

fn environment(case: &Case) -> BTreeMap<String, String> {
    let mut environment = case.variables.clone();
    for (name, value) in [("HOME", "/home/user"), ("PATH", "/usr/bin:/bin"), ("DOCKER_HOST", "tcp://127.0.0.1:1")] {
        environment.insert(name.to_owned(), value.to_owned());
    }
    environment
}

/// Runs a case on both sides; also gives what each said.
fn compare(oracle: &Oracle, case: &Case) -> (Outcome, String, Answer) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let directory = folder.path().canonicalize().expect("it is there").join("proj");
    fs::create_dir(&directory).expect("it is empty");
    case.write(&directory);
    let environment = environment(case);
    let mut theirs = oracle.ask(&directory, &case.arguments, &environment);
    let ours = loading::run(&directory, &case.arguments, environment.clone());
    let own = |line: &&str| !line.starts_with("COMPOSE_EXPERIMENTAL_") && !line.starts_with("PWD=");
    // The order of a list of names has no meaning, and theirs changes from run to run.
    let names = ["--variables", "--images", "--services", "--volumes", "--networks"];
    let unordered = case.arguments.iter().any(|argument| names.contains(&argument.as_str()));
    let tidy = |text: &str| {
        let mut lines: Vec<&str> = text.lines().filter(own).collect();
        if unordered {
            lines.sort_unstable();
        }
        lines.join("\n")
    };
    // Lists that it makes of mappings it prints now in this order, now in that.
    for _ in 0..TRIES {
        match &ours {
            Ok(ours) if theirs.succeeded && tidy(ours) != tidy(&theirs.output) => {
                theirs = oracle.ask(&directory, &case.arguments, &environment);
            }
            _ => break,
        }
    }
    let outcome = match (&ours, theirs.succeeded) {
        (Ok(ours), true) if tidy(ours) == tidy(&theirs.output) => Outcome::Same,
        (Ok(_), true) => Outcome::Prints,
        (Err(_), false) => Outcome::BothRefuse,
        (Ok(_), false) => Outcome::OnlyTheyRefuse,
        (Err(_), true) => Outcome::OnlyWeRefuse,
    };
    (outcome, ours.unwrap_or_else(|report| report), theirs)
}

/// How all cases went.
#[derive(Debug, Default)]
struct Tally {
    outcomes: BTreeMap<Outcome, u64>,
    /// Of those, how many differ as the list says.
    known: BTreeMap<Outcome, u64>,
    /// The cases that differ and are not on the list.
    unknown: Vec<String>,
}

impl Tally {
    fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }
}

/// Runs many cases on all processors.
fn run_all(oracle: &Oracle, make: fn(u64) -> Case) -> Tally {
    let differences = Differences::read();
    let first = number("HOIST_PARITY_FIRST", 0);
    let last = first + number("HOIST_PARITY", USUAL);
    let report = env::var("HOIST_PARITY_REPORT").ok();
    let next = AtomicU64::new(first);
    let counts = Mutex::new(Tally::default());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= last {
                return;
            }
            let case = make(seed);
            let (outcome, ours, theirs) = compare(oracle, &case);
            let known = match outcome {
                Outcome::Same | Outcome::BothRefuse => None,
                Outcome::OnlyTheyRefuse => differences.reason(Kind::Refused, &theirs.errors).or_else(|| {
                    let arguments = case.arguments.join(" ");
                    let by_schema = theirs.errors.contains("validating ");
                    differences.reason(Kind::Unfilled, &arguments).filter(|_| by_schema)
                }),
                Outcome::OnlyWeRefuse => differences.reason(Kind::Loaded, &ours),
                Outcome::Prints => differences.reason(Kind::Printed, &case.arguments.join(" ")),
            };
            let mut tally = counts.lock().expect("no panic");
            *tally.outcomes.entry(outcome).or_insert(0) += 1;
            match (outcome, known) {
                (Outcome::Same | Outcome::BothRefuse, _) => continue,
                (_, Some(_)) => {
                    *tally.known.entry(outcome).or_insert(0) += 1;
                    continue;
                }
                (_, None) => tally.unknown.push(format!("{}: {outcome:?}", case.name)),
            }
            drop(tally);
            if let Some(report) = &report {
                write_report(Path::new(report), &case, outcome, &ours, &theirs);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(work);
        }
    });
    counts.into_inner().expect("no panic")
}

fn write_report(folder: &Path, case: &Case, outcome: Outcome, ours: &str, theirs: &Answer) {
    if matches!(outcome, Outcome::Same | Outcome::BothRefuse) && env::var_os("HOIST_PARITY_ALL").is_none() {
        return;
    }
    let folder = folder.join(format!("{outcome:?}")).join(case.name.replace(' ', "-"));
    fs::create_dir_all(&folder).expect("the report can be written");
    case.write(&folder);
    let said = format!("{:?}\n{:?}\n", case.arguments, case.variables);
    for (name, text) in
        [("arguments", &*said), ("ours", ours), ("theirs", &theirs.output), ("their-errors", &theirs.errors)]
    {
        fs::write(folder.join(format!("_{name}")), text).expect("the report can be written");
    }
}

/// The oracle, or a word about its absence that nobody overlooks.
fn oracle() -> Option<Oracle> {
    let oracle = Oracle::find();
    if oracle.is_none() {
        println!("SKIPPED, NOTHING WAS COMPARED: there is no docker compose {}x on this machine;", oracle::VERSION);
        println!("`bash tests/setup/compose` fetches it, `HOIST_DOCKER_COMPOSE` names one that is elsewhere");
    }
    oracle
}

#[test]
fn valid_manifests_mean_what_docker_compose_makes_of_them() {
    let Some(oracle) = oracle() else { return };
    let tally = run_all(&oracle, project::valid);
    println!("{:?}, by the list {:?}", tally.outcomes, tally.known);
    let all: u64 = tally.outcomes.values().sum();
    assert!(tally.of(Outcome::BothRefuse) * 10 < all, "the generator makes too much that is not valid");
    assert!(tally.unknown.is_empty(), "{} differ: {:#?}", tally.unknown.len(), tally.unknown);
}

#[test]
fn what_docker_compose_refuses_is_refused() {
    let Some(oracle) = oracle() else { return };
    let tally = run_all(&oracle, mutant::mutant);
    println!("{:?}, by the list {:?}; not on it: {:#?}", tally.outcomes, tally.known, tally.unknown);
    let missed = |only: Outcome| tally.of(only) - tally.known.get(&only).copied().unwrap_or(0);
    let refused = tally.of(Outcome::BothRefuse);
    // A small sample may have two by chance.
    assert!(missed(Outcome::OnlyTheyRefuse) * 100 <= refused.max(200), "less than 99 in 100 mistakes are refused");
    let loaded = tally.of(Outcome::Same) + tally.of(Outcome::Prints);
    // Mistakes that docker compose passes over: keys that it does not know, numbers that overflow.
    assert!(missed(Outcome::OnlyWeRefuse) * 20 <= loaded.max(40), "more than 1 in 20 of what loads is refused");
}
