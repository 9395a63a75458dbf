//! The linter: each page's wrong example is found fault with, its right one is not, and what is allowed is silent.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use hoist::lint::page::PAGES;
use serde_json::Value;

fn hoist(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::cargo_bin("hoist").expect("the binary");
    command.current_dir(folder).args(arguments).env_clear().env("HOME", "/nowhere").output().expect("it runs")
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

/// The codes found, with how often.
fn codes(folder: &Path) -> BTreeMap<String, usize> {
    let output = hoist(folder, &["config", "--check", "--format", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut codes = BTreeMap::new();
    for problem in found.as_array().expect("a list") {
        let code = problem["code"].as_str().or(problem["message"].as_str()).unwrap_or_default();
        *codes.entry(code.to_owned()).or_default() += 1;
    }
    codes
}

/// The files of the example under a heading of a page.
fn example<'a>(page: &'a str, heading: &str) -> Vec<(&'static str, String)> {
    let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect("the heading");
    let names =
        [("yaml", "compose.yaml"), ("dockerfile", "Dockerfile"), ("dockerignore", ".dockerignore"), ("env", ".env")];
    let blocks = section.split("\n```").skip(1).step_by(2);
    let file = |block: &'a str| {
        let (kind, text) = block.split_once('\n').expect("a block");
        let (_, name) = names.iter().find(|(known, _)| *known == kind).expect("a known kind");
        (*name, format!("{text}\n"))
    };
    blocks.map(file).collect()
}

#[test]
fn every_page_has_a_wrong_example_that_is_found_and_a_right_one_that_is_not() {
    for page in PAGES {
        for (heading, is_wrong) in [("Wrong", true), ("Right", false)] {
            let files = example(page.text, heading);
            let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
            let folder = folder(&files);
            let mut found = codes(folder.path());
            // It is about the start of the image, not about what the example mounts.
            let own = found.remove(page.code).unwrap_or_default() > 0;
            assert_eq!(own, is_wrong, "{} {heading}: {found:?}", page.code);
            let others = ["H016", "H012", "H004"].map(|code| found.remove(code)).into_iter().flatten().count();
            assert!(found.is_empty() && others <= 1, "{} {heading} has more: {found:?}", page.code);
        }
    }
}

#[test]
fn a_comment_silences_its_line_or_the_one_below() {
    let text = "\
services:
  # hoist: allow H002
  a:
    # hoist: allow H002, because it does not matter
    image: nginx
  b:
    image: nginx # hoist: allow h2 H002
";
    let folder = folder(&[("compose.yaml", text)]);
    // The first comment is about the line with `a`, and `h2` is no code.
    assert_eq!(codes(folder.path()), BTreeMap::from([("H026".to_owned(), 2)]));
}

#[test]
fn an_extension_silences_a_service_or_the_whole_manifest() {
    let text = "\
x-hoist: { allow: [H015] }
services:
  a:
    x-hoist: { allow: [H002] }
    image: nginx
    links: [b]
  b:
    image: nginx
";
    let folder = folder(&[("compose.yaml", text)]);
    assert_eq!(codes(folder.path()), BTreeMap::from([("H002".to_owned(), 1)]));
}

#[test]
fn errors_and_warnings_come_in_one_run_and_decide_the_exit_code() {
    let both = folder(&[("compose.yaml", "services:\n  a:\n    image: nginx\n    prots: [1]\n")]);
    let output = hoist(both.path(), &["config", "--check"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(2));
    let (error, warning) = (text.find("error: unknown key `prots`"), text.find("warning[H002]"));
    assert!(error.is_some_and(|error| warning.is_some_and(|warning| error < warning)), "{text}");

    let doubtful = folder(&[("compose.yaml", "services:\n  a:\n    image: nginx\n")]);
    assert_eq!(hoist(doubtful.path(), &["config", "--check"]).status.code(), Some(0));
    assert_eq!(hoist(doubtful.path(), &["config", "--check", "--strict"]).status.code(), Some(1));
    assert_eq!(hoist(doubtful.path(), &["config", "--check", "-D"]).status.code(), Some(1));

    let good = folder(&[("compose.yaml", "services:\n  a:\n    image: nginx:1.27\n")]);
    assert_eq!(hoist(good.path(), &["config", "--check", "-D"]).status.code(), Some(0));
    let sarif = hoist(doubtful.path(), &["config", "--check", "--format", "sarif"]);
    let sarif: Value = serde_json::from_slice(&sarif.stdout).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"][0]["ruleId"], "H002");
    let region = &sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"];
    assert_eq!(
        (&region["startLine"], &region["startColumn"], &region["endColumn"]),
        (&3.into(), &12.into(), &17.into())
    );
}

#[test]
fn a_rule_is_explained_and_a_wrong_code_gets_the_right_one() {
    let folder = folder(&[]);
    let output = hoist(folder.path(), &["explain", "h001"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.starts_with("H001: ") && text.contains("# hoist: allow H001"), "{text}");
    let list = hoist(folder.path(), &["explain"]);
    assert_eq!(String::from_utf8_lossy(&list.stdout).lines().count(), PAGES.len());
    let wrong = hoist(folder.path(), &["explain", "H01"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("did you mean `H001`?"));
}

#[test]
fn a_manifest_of_windows_lines_in_two_files_keeps_its_places() {
    let files = [
        ("compose.yaml", "services:\r\n  a:\r\n    image: nginx\r\n"),
        ("compose.override.yaml", "services:\n  a:\n    privileged: true\n"),
    ];
    let folder = folder(&files);
    let output = hoist(folder.path(), &["config", "--check", "--format", "json"]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let place = |at: usize| (found[at]["file"].as_str(), found[at]["line"].as_u64(), found[at]["path"].as_str());
    assert_eq!(place(0), (Some("compose.yaml"), Some(3), Some("services.a.image")));
    assert_eq!(place(1), (Some("compose.override.yaml"), Some(3), Some("services.a.privileged")));
}
