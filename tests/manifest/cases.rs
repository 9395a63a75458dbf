//! Every folder of `cases` is a manifest and what is expected of it: `project.json`, and `warnings.txt` if there are any;
//! or `problems.txt`, as a person sees it. `HOIST_RENEW=1` writes them anew, for the eyes to check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hoist::cli::load::load;
use hoist::manifest::Request;
use hoist::ui::problems;
use serde_json::{Map, Value};

/// What a case may be given besides its files: a word a line, and variables.
const ARGUMENTS: &str = "arguments.txt";
const EXPECTED: [&str; 3] = ["project.json", "warnings.txt", "problems.txt"];

fn folders() -> Vec<PathBuf> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/manifest/cases");
    let entries = fs::read_dir(&cases).expect("the cases are there");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    folders.sort();
    folders
}

/// `-f FILE`, `-p NAME`, `--profile NAME`, `NAME=value` or a service, a line each.
pub(crate) fn request(folder: &Path) -> Request {
    let mut request = Request {
        files: Vec::new(),
        project_directory: None,
        project_name: Some("case".to_owned()),
        profiles: Vec::new(),
        env_files: Vec::new(),
        current_directory: folder.to_path_buf(),
        environment: BTreeMap::from([("HOME".to_owned(), "/home/user".to_owned())]),
        services: Vec::new(),
        steps: hoist::manifest::Steps::default(),
    };
    for line in fs::read_to_string(folder.join(ARGUMENTS)).unwrap_or_default().lines() {
        let separator = if line.starts_with('-') { ' ' } else { '=' };
        match line.split_once(separator) {
            Some(("-f", file)) => request.files.push(file.into()),
            Some(("-p", name)) => request.project_name = (!name.is_empty()).then(|| name.to_owned()),
            Some(("--profile", name)) => request.profiles.push(name.to_owned()),
            Some((name, value)) => {
                request.environment.insert(name.to_owned(), value.to_owned());
            }
            None => request.services.push(line.to_owned()),
        }
    }
    request
}

/// The expected files and their texts.
fn outcome(folder: &Path) -> BTreeMap<&'static str, String> {
    let portable = |text: String| text.replace(&folder.display().to_string(), "@CASE@");
    match load(&request(folder)) {
        Ok(loaded) => {
            let project = written(serde_json::to_value(&loaded.project).expect("a project is JSON"));
            let project = format!("{:#}", project.unwrap_or_default());
            let warnings = problems::render(&loaded.warnings, &loaded.sources, false);
            let texts = [("project.json", project + "\n"), ("warnings.txt", warnings)];
            texts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(name, text)| (name, portable(text))).collect()
        }
        Err(failure) => {
            let report = problems::render(&failure.problems, &failure.sources, false);
            BTreeMap::from([("problems.txt", portable(report))])
        }
    }
}

/// What is neither nothing, empty nor off, so that eyes can check it.
fn written(value: Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Array(items) if items.is_empty() => None,
        Value::Object(map) => {
            let map: Map<String, Value> =
                map.into_iter().filter_map(|(key, value)| Some((key, written(value)?))).collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
        Value::Array(items) => {
            Some(Value::Array(items.into_iter().map(|item| written(item).unwrap_or_default()).collect()))
        }
        value => Some(value),
    }
}

#[test]
fn every_case_gives_what_its_folder_says() {
    let renew = std::env::var_os("HOIST_RENEW").is_some();
    let mut wrong = Vec::new();
    for folder in folders() {
        let outcome = outcome(&folder);
        for name in EXPECTED {
            let path = folder.join(name);
            let expected = fs::read_to_string(&path).ok();
            let actual = outcome.get(name);
            if renew {
                match actual {
                    Some(text) => fs::write(&path, text).expect("a writable case"),
                    None if expected.is_some() => fs::remove_file(&path).expect("a writable case"),
                    None => {}
                }
            } else if expected.as_ref() != actual {
                let show = |text: Option<&String>| text.cloned().unwrap_or_else(|| "(no such file)\n".to_owned());
                wrong.push(format!("{}\nexpected\n{}gave\n{}", path.display(), show(expected.as_ref()), show(actual)));
            }
        }
    }
    assert!(wrong.is_empty(), "HOIST_RENEW=1 writes these anew:\n\n{}", wrong.join("\n"));
}

#[test]
fn every_folder_is_a_case() {
    for folder in folders() {
        let has = |name: &str| folder.join(name).is_file();
        assert!(has("project.json") != has("problems.txt"), "{} says not what is expected", folder.display());
        let own = fs::read_dir(&folder).expect("a readable folder").count();
        assert!(own > EXPECTED.iter().filter(|name| has(name)).count(), "{} has no input", folder.display());
    }
}
