//! Exports into a folder: what is written, what is left alone.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const MANIFEST: &str = "
name: shop
services:
  web:
    image: example/web
    ports: ['80']
    environment: {API_TOKEN: abcdef, OTHER_TOKEN: ghijkl}
";

fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("compose.yaml"), MANIFEST).expect("it can be written");
    folder
}

/// What an export that succeeds says on standard error.
fn export(folder: &Path, arguments: &[&str]) -> String {
    let mut hoist = Command::cargo_bin("hoist").expect("the binary is built");
    hoist.env_clear().current_dir(folder).args(["export", "kubernetes"]).args(arguments);
    let output = hoist.output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && output.stdout.is_empty(), "{said}");
    said
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_object_is_a_file_and_a_second_export_changes_none() {
    let project = project();
    let said = export(project.path(), &[]);
    assert!(said.starts_with("4 objects in `k8s`, 4 changed\n"), "{said}");
    assert_eq!(
        names(&project.path().join("k8s")),
        ["web-deployment.yaml", "web-env-secret.yaml", "web-service.yaml", "web-serviceaccount.yaml"]
    );
    let said = export(project.path(), &[]);
    assert!(said.starts_with("4 objects in `k8s`, 0 changed\n"), "{said}");
}

#[test]
fn what_somebody_filled_into_a_secret_stays_and_is_not_asked_for_again() {
    let project = project();
    let said = export(project.path(), &["-o", "out"]);
    assert!(said.contains("Secret `web-env`: API_TOKEN, OTHER_TOKEN\n"), "{said}");
    let secret = project.path().join("out/web-env-secret.yaml");
    let text = fs::read_to_string(&secret).expect("it is written");
    assert!(!text.contains("abcdef"), "{text}");
    fs::write(&secret, text.replace("API_TOKEN: REPLACE_ME", "API_TOKEN: filled-in")).expect("it can be written");
    let said = export(project.path(), &["-o", "out"]);
    assert!(said.contains("Secret `web-env`: OTHER_TOKEN\n"), "{said}");
    let text = fs::read_to_string(&secret).expect("it is there");
    assert!(text.contains("API_TOKEN: filled-in"), "{text}");
}

#[cfg(unix)]
#[test]
fn values_are_written_when_asked_for_and_only_their_owner_reads_them() {
    use std::os::unix::fs::PermissionsExt as _;

    let project = project();
    let said = export(project.path(), &["--secrets", "values"]);
    assert!(!said.contains("supplied"), "{said}");
    let secret = project.path().join("k8s/web-env-secret.yaml");
    assert!(fs::read_to_string(&secret).expect("it is written").contains("API_TOKEN: abcdef"));
    assert_eq!(fs::metadata(&secret).expect("it is there").permissions().mode() & 0o777, 0o600);
}

#[cfg(unix)]
#[test]
fn files_of_others_stay_and_a_link_is_replaced_instead_of_followed() {
    let project = project();
    let outside = project.path().join("outside.yaml");
    fs::write(&outside, "mine\n").expect("it can be written");
    let folder = project.path().join("k8s");
    fs::create_dir(&folder).expect("a new folder");
    fs::write(folder.join("kustomization.yaml"), "resources: []\n").expect("it can be written");
    fs::write(folder.join("old-service.yaml"), "metadata:\n  labels:\n    app.kubernetes.io/managed-by: hoist\n")
        .expect("it can be written");
    std::os::unix::fs::symlink(&outside, folder.join("web-service.yaml")).expect("a link");
    let said = export(project.path(), &[]);
    assert!(said.contains("left from an earlier export, not of the project now: `k8s/old-service.yaml`"), "{said}");
    assert!(!said.contains("kustomization"), "{said}");
    assert_eq!(fs::read_to_string(&outside).expect("it is there"), "mine\n");
    assert!(!fs::symlink_metadata(folder.join("web-service.yaml")).expect("it is there").is_symlink());
    assert_eq!(names(&folder).len(), 6);
}
