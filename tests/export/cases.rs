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
fn every_example_with_images_is_exported_the_same_each_time() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for example in ["shop", "ledger"] {
        let manifest = examples.join(example).join("compose.yaml");
        let once = || said(hoist(&manifest).arg("--stdout"));
        assert_eq!(once(), once());
    }
}

#[test]
fn a_service_without_an_image_is_an_error_that_says_what_to_write() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/compose.yaml");
    let output = hoist(&manifest).arg("--stdout").output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for service in ["clock", "counter", "greeter", "page"] {
        assert!(said.contains(&format!("the service `{service}` has no image")), "{said}");
    }
    assert!(said.contains("hint: give it an `image`, or a `build`"), "{said}");
    assert_eq!(output.stdout, b"");
}

#[test]
fn strict_fails_when_something_is_lost_and_not_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("compose.yaml");
    let strict = |manifest: &str| {
        fs::write(&path, manifest).expect("a manifest");
        hoist(&path).args(["--stdout", "--strict"]).output().expect("the binary runs").status.code()
    };
    assert_eq!(strict("services: { web: { image: 'a:1', command: [run], user: '1000', develop: {} } }"), Some(0));
    assert_eq!(strict("services: { web: { image: 'a:1', cpuset: '0' } }"), Some(1));
    assert_eq!(strict("services: { web: { image: 'a:1', restart: on-failure } }"), Some(1));
}

#[test]
fn the_report_for_programs_has_every_key_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("compose.yaml");
    let manifest = "services:\n  web:\n    image: a:1\n    cpuset: '0'\n    ports:\n      - '8080:80'\n";
    fs::write(&path, manifest).expect("a manifest");
    let out = folder.path().join("k8s");
    let mut command = hoist(&path);
    command.args(["--report", "json", "-o"]).arg(&out);
    let report: serde_json::Value = serde_json::from_str(&said(&mut command).0).expect("JSON");
    let lines: Vec<String> = report["keys"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| {
            let place = line["place"].as_str().unwrap_or_default();
            let place = place.rsplit_once("compose.yaml:").map_or("", |(_, position)| position);
            format!(
                "{} {} {place}",
                line["key"].as_str().unwrap_or_default(),
                line["fate"].as_str().unwrap_or_default()
            )
        })
        .collect();
    assert_eq!(
        lines,
        ["services.web.cpuset dropped 4:5", "services.web.image carried 3:5", "services.web.ports.80 approximated 6:9"]
    );
}
