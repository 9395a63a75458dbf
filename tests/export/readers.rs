//! That other readers of YAML take the objects for what they are.

use std::io::Write as _;
use std::process::{Command, Stdio};

use hoist::export::{Export, SecretValues, stream};
use hoist::project::{FileGrant, FileObject, FileSource};
use serde_json::Value;

use crate::support::{exported, project, service};

/// What a reader of YAML 1.1, of YAML 1.2 or of neither takes for something else when it is not quoted.
const NASTY: [&str; 72] = [
    "yes",
    "Yes",
    "no",
    "on",
    "off",
    "y",
    "Y",
    "n",
    "N",
    "true",
    "null",
    "~",
    "",
    " ",
    "0",
    "007",
    "0o7",
    "0x1F",
    "0b11",
    "1_000",
    "1:30",
    "22:22:22",
    "190:20:30",
    "1.5",
    "1e3",
    "1E+3",
    ".5",
    "5.",
    ".inf",
    "-.Inf",
    ".nan",
    "+1",
    "-0",
    "2020-01-01",
    "2020-01-01T00:00:00Z",
    "=",
    "<<",
    "<",
    "-",
    "--",
    "---",
    "...",
    "--- a",
    "- a",
    "? a",
    ": a",
    "a: b",
    "a:",
    "a #b",
    "#a",
    "'a'",
    "\"a\"",
    "a'b",
    "[a",
    "{a",
    "a]",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "%a",
    "@a",
    "`a",
    "\\n",
    "a\nb",
    "a\n\n",
    "\n a\n  b\n",
    "\ttab\n",
    "a \n b \n",
    "line\u{2028}separator\u{85}next",
    "\u{7}bell\u{feff}ö😀",
];

/// Every text of up to three of these.
fn short_texts() -> Vec<String> {
    const LETTERS: [char; 12] = [' ', '\n', '\t', '\r', ':', '#', '-', 'a', '1', '"', '.', '\u{85}'];
    let mut texts = vec![String::new()];
    let mut from = 0;
    for _ in 0..3 {
        let to = texts.len();
        for index in from..to {
            texts.extend(LETTERS.map(|letter| format!("{}{letter}", texts[index])));
        }
        from = to;
    }
    texts
}

fn nasty() -> Export {
    let mut web = service("web");
    web.environment = NASTY
        .map(str::to_owned)
        .into_iter()
        .chain(short_texts())
        .enumerate()
        .map(|(number, text)| (format!("V{number}"), Some(text)))
        .chain(["y", "on", "No", "null", "e1"].map(|key| (key.to_owned(), Some("x".to_owned()))))
        .collect();
    web.command = Some(NASTY.map(str::to_owned).into_iter().chain(short_texts()).collect());
    web.labels = [("on".to_owned(), "off".to_owned()), ("1.5".to_owned(), "1.5".to_owned())].into();
    web.configs =
        vec![FileGrant { key: "yes".to_owned(), target: "/yes".to_owned(), uid: None, gid: None, mode: None }];
    let mut project = project([web, service("y"), service("null")]);
    let source = FileSource::Content(NASTY.join("\n"));
    project.configs = [("yes".to_owned(), FileObject { name: "yes".to_owned(), source })].into();
    exported(&project, SecretValues::Values)
}

/// The objects as a Python program reads them with `PyYAML`, which, like Kubernetes, reads YAML 1.1.
fn with_pyyaml(text: &str) -> Option<Value> {
    let program = "import sys, json, yaml\nprint(json.dumps(list(yaml.safe_load_all(sys.stdin.buffer.read()))))";
    let mut python = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    python.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("python3 reads its input");
    let output = python.wait_with_output().expect("python3 ends");
    let complaint = String::from_utf8_lossy(&output.stderr);
    if complaint.contains("No module named") {
        return None;
    }
    assert!(output.status.success(), "{complaint}");
    Some(serde_json::from_slice(&output.stdout).expect("it prints JSON"))
}

#[test]
fn a_reader_of_yaml_1_1_reads_the_objects_as_they_are() {
    let export = nasty();
    let text = stream(&export.objects).expect("every object can be written");
    let Some(read) = with_pyyaml(&text) else {
        println!("SKIPPED: no python3 with PyYAML here");
        return;
    };
    assert_eq!(read, serde_json::to_value(&export.objects).expect("objects are JSON"));
}

#[test]
fn a_reader_of_yaml_1_2_reads_the_objects_as_they_are() {
    use serde::Deserialize as _;

    let export = nasty();
    let text = stream(&export.objects).expect("every object can be written");
    let read: Vec<Value> = serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).expect("a document"))
        .collect();
    assert_eq!(Value::from(read), serde_json::to_value(&export.objects).expect("objects are JSON"));
}
