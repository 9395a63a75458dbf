//! Golden objects: a folder a case, with a manifest, the objects that are made of it, and what the export says.
//!
//! `HOIST_RENEW=1 cargo test --test export` writes what is expected anew, for review.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/cases")
}

fn hoist(manifest: &Path) -> Command {
    let mut hoist = Command::cargo_bin("hoist").expect("the binary is built");
    hoist.env_clear().arg("-f").arg(manifest).args(["export", "kubernetes"]);
    hoist
}

/// Standard output and standard error of an export that succeeds.
fn said(command: &mut Command) -> (String, String) {
    let output = command.output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it prints text");
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    (stdout, stderr)
}

fn compare(path: &Path, found: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("HOIST_RENEW").is_some() {
        fs::write(path, found).expect("the case's folder can be written");
    } else if fs::read_to_string(path).unwrap_or_default() != found {
        wrong.push(format!("{} is not what is now made:\n{found}", path.display()));
    }
}

#[test]
fn every_case_gives_the_objects_and_the_report_expected() {
    let mut wrong = Vec::new();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder()).expect("the cases are there") {
        let case = entry.expect("a case").path();
        let arguments = fs::read_to_string(case.join("arguments")).unwrap_or_default();
        let mut command = hoist(&case.join("compose.yaml"));
        let (stdout, stderr) = said(command.arg("--stdout").args(arguments.split_whitespace()));
        compare(&case.join("objects.yaml"), &stdout, &mut wrong);
        compare(&case.join("report.txt"), &stderr, &mut wrong);
        names.insert(case);
    }
    assert!(names.len() >= 6 && wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_example_is_exported_the_same_each_time() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for entry in fs::read_dir(examples).expect("the examples are there") {
        let manifest = entry.expect("an example").path().join("compose.yaml");
        let once = || said(hoist(&manifest).arg("--stdout"));
        assert_eq!(once(), once());
        count += 1;
    }
    assert!(count > 0, "there is an example");
}
