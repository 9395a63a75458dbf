//! That kustomize builds the folders and Helm renders the charts: with the programs that `tests/setup/kubernetes` fetches
//! and `HOIST_KUBERNETES_TOOLS` names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

/// The folder of `kubectl` and `python`; says loudly when it is not there.
fn tools() -> Option<PathBuf> {
    let folder = std::env::var_os("HOIST_KUBERNETES_TOOLS").map(PathBuf::from);
    if folder.is_none() {
        println!("\n*** LEFT OUT: set HOIST_KUBERNETES_TOOLS=$(tests/setup/kubernetes) ***\n");
    }
    folder
}

/// The manifests of all examples and of all cases of the export, with their further arguments.
fn manifests() -> Vec<(PathBuf, Vec<String>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for folder in ["examples", "tests/export/cases"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("it is there").flatten() {
            let arguments = std::fs::read_to_string(entry.path().join("arguments")).unwrap_or_default();
            let arguments = arguments.split_whitespace().map(str::to_owned).collect();
            found.push((entry.path().join("compose.yaml"), arguments));
        }
    }
    found.sort();
    found
}

/// Exports; `None` for a manifest that lacks an image.
fn export(manifest: &Path, arguments: &[&str]) -> Option<String> {
    let mut hoist = assert_cmd::Command::cargo_bin("hoist").expect("the binary is built");
    hoist
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .arg("-f")
        .arg(manifest)
        .args(["export", "kubernetes"])
        .args(arguments);
    let output = hoist.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("has no image") {
        return None;
    }
    assert!(output.status.success(), "{}: {said}", manifest.display());
    Some(String::from_utf8(output.stdout).expect("it is text"))
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

#[test]
fn kustomize_builds_both_overlays_of_every_manifest() {
    let Some(tools) = tools() else { return };
    let mut count = 0;
    for (manifest, arguments) in manifests() {
        let folder = TempDir::new().expect("a folder");
        let root = folder.path().join("k8s");
        let target = ["-o", root.to_str().expect("text")];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(target).collect();
        if export(&manifest, &arguments).is_none() {
            continue;
        }
        for environment in ["development", "production"] {
            let overlay = root.join("overlays").join(environment);
            let built = run(Command::new(tools.join("kubectl")).arg("kustomize").arg(&overlay));
            let built = built.unwrap_or_else(|error| panic!("{} {environment}: {error}", manifest.display()));
            let namespace = namespace_of(&built);
            let documents: Vec<Value> = documents(&built);
            for object in &documents {
                let place = object.pointer("/metadata/namespace").and_then(Value::as_str);
                assert!(object["kind"] == "Namespace" || place == Some(namespace.as_str()), "{object}");
                for subject in object["subjects"].as_array().into_iter().flatten() {
                    assert_eq!(subject["namespace"], namespace.as_str(), "{object}");
                }
                let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64);
                assert!(environment == "production" || replicas.is_none_or(|count| count <= 1), "{object}");
            }
            let kinds: BTreeSet<&str> = documents.iter().filter_map(|object| object["kind"].as_str()).collect();
            if environment == "development" {
                assert!(
                    !kinds.contains("HorizontalPodAutoscaler") && !kinds.contains("PodDisruptionBudget"),
                    "{kinds:?}"
                );
            }
        }
        count += 1;
    }
    assert!(count >= 6, "{count} were built");
}

fn documents(text: &str) -> Vec<Value> {
    use serde::Deserialize as _;
    serde_yaml::Deserializer::from_str(text).map(|one| Value::deserialize(one).expect("a document")).collect()
}

fn namespace_of(text: &str) -> String {
    let namespace = documents(text).into_iter().find(|object| object["kind"] == "Namespace").expect("there is one");
    namespace["metadata"]["name"].as_str().expect("it has a name").to_owned()
}

fn render(tools: &Path, chart: &Path, arguments: &[&str]) -> Result<String, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/export/render.py");
    run(Command::new(tools.join("python")).arg(script).arg(chart).args(arguments))
}

#[test]
fn a_chart_renders_to_the_objects_of_the_plain_export() {
    let Some(tools) = tools() else { return };
    let mut count = 0;
    for (manifest, arguments) in manifests() {
        let folder = TempDir::new().expect("a folder");
        let (chart, plain) = (folder.path().join("chart"), folder.path().join("plain.yaml"));
        let path = |path: &Path| path.to_str().expect("text").to_owned();
        // A release is somewhere; the plain export is in the same place.
        let place = ["-n", "place"].map(str::to_owned);
        let arguments: Vec<String> = arguments.into_iter().chain(place).collect();
        let with = |more: &[String]| {
            let all: Vec<&str> = arguments.iter().chain(more).map(String::as_str).collect();
            export(&manifest, &all)
        };
        let Some(stream) = with(&["--format".into(), "yaml".into()]) else { continue };
        std::fs::write(&plain, stream).expect("it can be written");
        with(&["--format".into(), "helm".into(), "-o".into(), path(&chart)]);
        let rendered = render(&tools, &chart, &[&path(&plain)]);
        assert!(rendered.is_ok(), "{}: {}", manifest.display(), rendered.unwrap_err());
        count += 1;
    }
    assert!(count >= 6, "{count} were rendered");
}

const VALUES: &str = "
name: shop
services:
  web:
    image: registry.example.com/web:1
    environment: {GREETING: '{{ hello }}', LEVEL: 'yes', A_TOKEN: x}
    deploy: {replicas: 2, resources: {limits: {memory: 64M}}}
    volumes: ['data:/data:ro']
volumes: {data: }
";

#[test]
fn values_change_what_they_say_and_pods_roll_with_them() {
    let Some(tools) = tools() else { return };
    let folder = TempDir::new().expect("a folder");
    let (manifest, chart) = (folder.path().join("compose.yaml"), folder.path().join("chart"));
    std::fs::write(&manifest, VALUES).expect("it can be written");
    export(&manifest, &["--format", "helm", "-o", chart.to_str().expect("text")]);
    let rendered = |values: Value| {
        let text = render(&tools, &chart, &["-", &values.to_string()]).unwrap_or_else(|error| panic!("{error}"));
        let objects: Vec<Value> = serde_json::from_str(&text).expect("it is JSON");
        move |kind: &str| objects.iter().find(|object| object["kind"] == kind).cloned().expect(kind)
    };
    let plain = rendered(json!({}));
    assert_eq!(plain("ConfigMap")["data"], json!({ "GREETING": "{{ hello }}", "LEVEL": "yes" }));
    let changed = rendered(json!({
        "services": { "web": { "replicas": 7, "image": { "repository": "mirror/web", "tag": "2" } } },
        "config": { "web-env": { "GREETING": "hi", "MORE": "1" } },
        "secrets": { "web-env": { "A_TOKEN": "t" } },
        "volumes": { "data": { "size": "5Gi", "storageClass": "fast" } }
    }));
    let workload = changed("Deployment");
    assert_eq!(workload["spec"]["replicas"], 7);
    assert_eq!(workload.pointer("/spec/template/spec/containers/0/image"), Some(&json!("mirror/web:2")));
    assert_eq!(changed("ConfigMap")["data"], json!({ "GREETING": "hi", "LEVEL": "yes", "MORE": "1" }));
    assert_eq!(changed("Secret")["stringData"], json!({ "A_TOKEN": "t" }));
    let claim = changed("PersistentVolumeClaim");
    assert_eq!(claim.pointer("/spec/resources/requests/storage"), Some(&json!("5Gi")));
    assert_eq!(claim["spec"]["storageClassName"], "fast");
    let digest = |object: &Value| object.pointer("/spec/template/metadata/annotations/checksum~1config").cloned();
    assert!(digest(&workload).is_some() && digest(&workload) != digest(&plain("Deployment")));
    for wrong in [
        json!({ "services": { "web": { "replicas": "two" } } }),
        json!({ "services": { "wbe": { "replicas": 2 } } }),
        json!({ "config": { "web-env": { "LEVEL": 1 } } }),
    ] {
        let said = render(&tools, &chart, &["-", &wrong.to_string()]);
        assert!(said.as_ref().is_err_and(|said| said.contains("refused")), "{wrong}: {said:?}");
    }
}
