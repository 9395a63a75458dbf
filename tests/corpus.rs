//! The loader held against what docker compose makes of hundreds of small and real manifests. The material is no part of
//! the project: it lies at `../shared/corpus` beside it, or where `HOIST_CORPUS` says, and the test says so when it is not
//! there.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a test that reports counts")]

#[path = "support/differences.rs"]
mod differences;
#[path = "support/loading.rs"]
mod loading;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use differences::{Differences, Kind};
use loading::run;
use serde_json::Value;

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let path = std::env::var_os("HOIST_CORPUS").map_or(beside, PathBuf::from);
    path.is_dir().then_some(path)
}

fn environment_of(case: &Value, directory: &Path) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> = [
        ("HOME", "/home/user".to_owned()),
        ("PATH", "/usr/bin:/bin".to_owned()),
        ("PWD", directory.display().to_string()),
        ("DOCKER_CONFIG", "/elsewhere/dockercfg".to_owned()),
        ("DOCKER_HOST", "tcp://127.0.0.1:1".to_owned()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value))
    .collect();
    for (key, value) in case["env"].as_object().into_iter().flatten() {
        environment.insert(key.clone(), value.as_str().unwrap_or_default().to_owned());
    }
    environment
}

fn write_files(case: &Value, directory: &Path) {
    let latin = case["files_encoding"] == "latin1";
    for (path, text) in case["files"].as_object().into_iter().flatten() {
        let path = directory.join(path);
        let text = text.as_str().unwrap_or_default();
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes = if latin {
            text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
        } else {
            text.as_bytes().to_vec()
        };
        fs::write(path, bytes).unwrap();
    }
}

/// `None` when the case agrees, else what differs.
fn difference(case: &Value, differences: &Differences) -> Option<String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let project = root.join(case["dir"].as_str().unwrap_or("proj"));
    fs::create_dir_all(&project).unwrap();
    write_files(case, &project);
    let directory = case["cwd"].as_str().map_or_else(|| project.clone(), |folder| project.join(folder));
    let root = root.display().to_string();
    let place = |text: &str| text.replace("@W@", &root).replace("/tmp/vecwork", &root);
    let arguments: Vec<String> = match case["args"].as_array() {
        Some(arguments) => arguments.iter().map(|argument| place(argument.as_str().unwrap_or_default())).collect(),
        None => ["config", "--format", "json"].map(str::to_owned).to_vec(),
    };
    let result = run(&directory, &arguments, environment_of(case, &directory));
    let newer = case.get("head_rc").is_some();
    let code = if newer { &case["head_rc"] } else { &case["rc"] };
    let expected = if newer { &case["head_expect"] } else { &case["expect"] };
    match (result, code == 0) {
        (Err(_), false) => None,
        (Ok(_), false)
            if case["error"].as_str().is_some_and(|error| differences.reason(Kind::Refused, error).is_some()) =>
        {
            None
        }
        (Ok(text), false) => Some(format!("should fail: {}\ngave {text}", case["error"])),
        (Err(report), true) => Some(format!("should load\n{report}")),
        (Ok(text), true) if case.get("expect_text").is_some() => {
            let lines = |text: &str| -> Vec<String> {
                let own = |line: &&str| !line.starts_with("COMPOSE_EXPERIMENTAL");
                text.lines().filter(own).map(|line| line.trim_start().to_owned()).collect()
            };
            let expected = place(case["expect_text"].as_str().unwrap_or_default());
            (lines(&expected) != lines(&text)).then(|| format!("expected\n{expected}gave\n{text}"))
        }
        (Ok(text), true) => {
            let expected: Value = serde_json::from_str(&place(&expected.to_string())).unwrap();
            let actual: Value = serde_json::from_str(&text).unwrap();
            (!same(&expected, &actual)).then(|| format!("expected {expected}\ngave     {actual}"))
        }
    }
}

/// Equal as JSON, where 2 is 2.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

#[test]
fn small_manifests_mean_what_docker_compose_makes_of_them() {
    let Some(corpus) = corpus() else {
        println!("SKIPPED: there is no corpus beside the project and HOIST_CORPUS is not set");
        return;
    };
    let mut files: Vec<PathBuf> =
        fs::read_dir(corpus.join("vectors")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let differences = Differences::read();
    let mut report = String::new();
    let mut wrong = Vec::new();
    for file in files {
        let group = file.file_stem().unwrap().to_string_lossy().into_owned();
        let cases: Vec<Value> =
            fs::read_to_string(&file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut good = 0;
        for case in &cases {
            let name = format!("{group}/{}", case["id"].as_str().unwrap());
            let difference = difference(case, &differences);
            let expected = differences.reason(Kind::Case, &name);
            good += usize::from(difference.is_none());
            let files = case["files"].as_object().unwrap().values().filter_map(Value::as_str).collect::<Vec<_>>();
            match (difference, expected) {
                (None, None) | (Some(_), Some(_)) => {}
                (None, Some(_)) => wrong.push(format!("{name} agrees now: take it out of the list")),
                (Some(difference), None) => {
                    wrong.push(format!("--- {name}\n{}\n{difference}\n", files.join("\n=====\n")));
                }
            }
        }
        let _ = writeln!(report, "{good:4} of {:4}  {group}", cases.len());
    }
    println!("{report}");
    assert!(wrong.is_empty(), "{} differ and are not listed:\n{}", wrong.len(), wrong.join("\n"));
}

/// One real manifest against what docker compose says of it.
fn real_difference(corpus: &Path, name: &str, path: &str, verdict: &str) -> Option<String> {
    let tree = corpus.join("real").canonicalize().unwrap();
    let file = tree.join(path);
    let expected =
        |suffix: &str| fs::read_to_string(corpus.join("real-expected").join(format!("{name}.{suffix}"))).ok();
    let directory = file.parent().unwrap();
    let mut environment = environment_of(&Value::Null, directory);
    for line in expected("env").unwrap_or_default().lines() {
        if let Some((key, value)) = line.split_once('=') {
            environment.insert(key.to_owned(), value.to_owned());
        }
    }
    let arguments = ["-f", file.to_str().unwrap(), "config", "--format", "json"].map(str::to_owned);
    let result = run(directory, &arguments, environment);
    match (result, verdict.starts_with("ok")) {
        (Err(_), false) => None,
        (Ok(_), false) => Some(format!("should fail: {}", expected("error").unwrap_or_default())),
        (Err(report), true) => Some(format!("should load\n{report}")),
        (Ok(text), true) => {
            let wanted = expected("json")?.replace("@TREE@", &tree.display().to_string());
            let wanted: Value = serde_json::from_str(&wanted).unwrap();
            let actual: Value = serde_json::from_str(&text).unwrap();
            (!same(&wanted, &actual)).then(|| first_difference("", &wanted, &actual))
        }
    }
}

fn first_difference(path: &str, wanted: &Value, actual: &Value) -> String {
    match (wanted, actual) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            let parts = keys.into_iter().filter_map(|key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) if same(a, b) => None,
                (Some(a), Some(b)) => Some(first_difference(&format!("{path}.{key}"), a, b)),
                (Some(a), None) => Some(format!("{path}.{key}: missing {a}\n")),
                (None, Some(b)) => Some(format!("{path}.{key}: too much {b}\n")),
                (None, None) => None,
            });
            parts.collect()
        }
        _ => format!("{path}: expected {wanted} gave {actual}\n"),
    }
}

#[test]
fn real_manifests_mean_what_docker_compose_makes_of_them() {
    let Some(corpus) = corpus() else {
        println!("SKIPPED: there is no corpus beside the project and HOIST_CORPUS is not set");
        return;
    };
    let index = fs::read_to_string(corpus.join("real-index.tsv")).unwrap();
    let differences = Differences::read();
    let mut wrong = Vec::new();
    let (mut good, mut all) = (0, 0);
    for line in index.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [name, path, _, _, verdict, ..] = columns[..] else { continue };
        all += 1;
        let difference = real_difference(&corpus, name, path, verdict);
        let expected = differences.reason(Kind::Case, &format!("real/{name}"));
        good += usize::from(difference.is_none());
        match (difference, expected) {
            (None, None) | (Some(_), Some(_)) => {}
            (None, Some(_)) => wrong.push(format!("{name} agrees now: take it out of the list")),
            (Some(difference), None) => {
                wrong.push(format!("--- {name}\n{}\n", difference.chars().take(3000).collect::<String>()));
            }
        }
    }
    println!("{good} of {all} real manifests agree");
    assert!(wrong.is_empty(), "{} differ and are not listed:\n{}", wrong.len(), wrong.join("\n"));
}

/// A manifest as plain data, merge keys unfolded; `None` when it is not for this reader, which keeps tags as keys.
fn plain(text: &str) -> Option<Value> {
    if text.contains("!reset") || text.contains("!override") {
        return None;
    }
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).ok()?;
    value.apply_merge().ok()?;
    serde_json::to_value(value).ok()
}

#[test]
fn the_schema_accepts_what_the_specifications_schema_accepts() {
    let Some(corpus) = corpus() else {
        println!("SKIPPED: there is no corpus beside the project and HOIST_CORPUS is not set");
        return;
    };
    let specification = fs::read_to_string(corpus.join("spec/compose-spec.json")).unwrap();
    let specification = jsonschema::validator_for(&serde_json::from_str(&specification).unwrap()).unwrap();
    let own = jsonschema::validator_for(&hoist::manifest::schema::schema()).unwrap();
    let mut texts = Vec::new();
    for file in fs::read_dir(corpus.join("vectors")).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let files = case["files"].as_object().unwrap();
            let manifests = files.iter().filter(|(name, _)| [".yaml", ".yml"].iter().any(|end| name.ends_with(end)));
            texts.extend(manifests.map(|(name, text)| (name.clone(), text.as_str().unwrap().to_owned())));
        }
    }
    for line in fs::read_to_string(corpus.join("real-index.tsv")).unwrap().lines().skip(1) {
        let path = line.split('\t').nth(1).unwrap_or_default();
        texts.push((path.to_owned(), fs::read_to_string(corpus.join("real").join(path)).unwrap_or_default()));
    }
    let mut refused = Vec::new();
    let mut accepted = 0;
    for (name, text) in &texts {
        let Some(manifest) = plain(text).filter(Value::is_object) else { continue };
        if specification.is_valid(&manifest) {
            accepted += 1;
            refused
                .extend(own.iter_errors(&manifest).map(|error| format!("{name}: {}: {error}", error.instance_path())));
        }
    }
    println!("{accepted} manifests are valid by the specification");
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
