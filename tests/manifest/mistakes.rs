//! Mistakes that people make: every folder of `tests/mistakes` is a project with one, `table.txt` says on which line it
//! is, and `expected.txt` is what a person sees. `HOIST_RENEW=1` writes it anew, for the eyes to check.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hoist::cli::load::load;
use hoist::ui::problems;

use crate::cases::request;

fn mistakes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes")
}

/// The folders, and every `file:line` that is told of each, in that order.
fn table() -> Vec<(String, String)> {
    let table = fs::read_to_string(mistakes().join("table.txt")).expect("the table is there");
    let row = |line: &str| {
        let mut columns = line.split(" | ").map(str::to_owned);
        columns.next().zip(columns.next()).expect("a folder and a place")
    };
    table.lines().map(row).collect()
}

/// What a person sees, on a screen without colours.
fn report(folder: &Path) -> String {
    let report = match load(&request(folder)) {
        Ok(loaded) => problems::render(&loaded.warnings, &loaded.sources, false),
        Err(failure) => problems::render(&failure.problems, &failure.sources, false),
    };
    report.replace(&folder.display().to_string(), "@CASE@")
}

#[test]
fn every_mistake_is_told_at_its_line_in_the_words_expected() {
    let renew = std::env::var_os("HOIST_RENEW").is_some();
    let mut wrong = Vec::new();
    for (name, place) in table() {
        let report = report(&mistakes().join(&name));
        let told = report.lines().filter_map(|line| line.trim_start().strip_prefix("--> "));
        let told: Vec<&str> = told.filter_map(|place| Some(place.rsplit_once(':')?.0)).collect();
        if told.join(" ") != place {
            wrong.push(format!("{name} is told at {}, not at {place}:\n{report}", told.join(" ")));
        }
        let path = mistakes().join(&name).join("expected.txt");
        if renew {
            fs::write(&path, report).expect("a writable folder");
        } else {
            let expected = fs::read_to_string(&path).unwrap_or_default();
            if expected != report {
                wrong.push(format!("{name}\nexpected\n{expected}gave\n{report}"));
            }
        }
    }
    assert!(wrong.is_empty(), "HOIST_RENEW=1 writes these anew:\n\n{}", wrong.join("\n"));
}

#[test]
fn the_table_has_every_folder_of_mistakes_and_no_other() {
    let entries = fs::read_dir(mistakes()).expect("the mistakes are there");
    let entries = entries.map(|entry| entry.expect("a readable folder"));
    let folders = entries.filter(|entry| entry.path().is_dir());
    let folders: BTreeSet<String> = folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let listed: BTreeSet<String> = table().into_iter().map(|(name, _)| name).collect();
    assert_eq!(folders, listed);
}
