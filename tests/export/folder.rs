//! Exports into a folder: what is written, what is merged, what is left alone.

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
    environment: {API_TOKEN: abcdef, OTHER_TOKEN: ghijkl, LOG_LEVEL: debug}
    deploy: {replicas: 2}
";

fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder.path().join("compose.yaml"), MANIFEST);
    folder
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).expect("it can be written");
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Replaces a text in a file, in which it must be.
fn edit(path: &Path, old: &str, new: &str) {
    let text = read(path);
    assert!(text.contains(old), "`{old}` is not in:\n{text}");
    write(path, &text.replace(old, new));
}

/// Exit code, standard output and standard error.
fn hoist(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut hoist = Command::cargo_bin("hoist").expect("the binary is built");
    hoist.env_clear().current_dir(folder).arg("export").args(arguments);
    let output = hoist.output().expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// What an export that succeeds says on standard error.
fn export(folder: &Path, arguments: &[&str]) -> String {
    let (code, out, said) = hoist(folder, &[&["kubernetes"], arguments].concat());
    assert_eq!((code, out.as_str()), (Some(0), ""), "{said}");
    said
}

fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).expect("it is inside").display().to_string());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn an_object_is_a_file_of_the_base_and_a_second_export_changes_none() {
    let project = project();
    let said = export(project.path(), &[]);
    assert!(said.starts_with("6 objects in `k8s`; files: 12 written\n"), "{said}");
    let expected = [
        ".hoist/last",
        ".hoist/options",
        "base/kustomization.yaml",
        "base/web-deployment.yaml",
        "base/web-env-configmap.yaml",
        "base/web-env-secret.yaml",
        "base/web-service.yaml",
        "overlays/development/kustomization.yaml",
        "overlays/development/namespace.yaml",
        "overlays/production/kustomization.yaml",
        "overlays/production/namespace.yaml",
        "overlays/production/web-env-configmap.yaml",
    ];
    let mut found = files(&project.path().join("k8s"));
    assert!(expected.iter().all(|path| found.contains(&(*path).to_owned())), "{found:?}");
    let said = export(project.path(), &[]);
    assert!(said.starts_with("6 objects in `k8s`; nothing is new\n"), "{said}");
    assert_eq!(files(&project.path().join("k8s")), std::mem::take(&mut found));
}

#[test]
fn what_somebody_filled_into_a_secret_stays_and_is_not_asked_for_again() {
    let project = project();
    let said = export(project.path(), &["-o", "out"]);
    assert!(said.contains("Secret `web-env`: API_TOKEN, OTHER_TOKEN\n"), "{said}");
    let secret = project.path().join("out/base/web-env-secret.yaml");
    assert!(!read(&secret).contains("abcdef"));
    edit(&secret, "API_TOKEN: REPLACE_ME", "API_TOKEN: filled-in");
    edit(&project.path().join("compose.yaml"), "API_TOKEN: abcdef,", "API_TOKEN: abcdef, B_TOKEN: x,");
    let said = export(project.path(), &["-o", "out"]);
    assert!(said.contains("Secret `web-env`: B_TOKEN, OTHER_TOKEN\n"), "{said}");
    let text = read(&secret);
    assert!(text.contains("API_TOKEN: filled-in\n") && text.contains("B_TOKEN: REPLACE_ME\n"), "{text}");
}

#[cfg(unix)]
#[test]
fn values_are_written_when_asked_for_and_only_their_owner_reads_them() {
    use std::os::unix::fs::PermissionsExt as _;

    let project = project();
    let said = export(project.path(), &["--secrets", "values"]);
    assert!(!said.contains("supplied"), "{said}");
    let secret = project.path().join("k8s/base/web-env-secret.yaml");
    assert!(read(&secret).contains("API_TOKEN: abcdef"));
    for path in [secret, project.path().join("k8s/.hoist/last")] {
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

#[test]
fn edits_stay_and_what_is_new_comes_to_them() {
    let project = project();
    export(project.path(), &[]);
    let base = project.path().join("k8s/base");
    edit(&base.join("web-deployment.yaml"), "replicas: 2", "replicas: 5 # Fridays");
    write(&base.join("mine.yaml"), "kind: Mine\n");
    edit(&base.join("kustomization.yaml"), "resources:\n", "resources:\n- mine.yaml\n");
    fs::remove_file(base.join("web-service.yaml")).expect("it is there");
    edit(&project.path().join("compose.yaml"), "example/web", "example/web:2\n    working_dir: /app");
    let said = export(project.path(), &[]);
    assert!(said.contains("1 merged with your edits") && said.contains("1 left with your edits"), "{said}");
    assert!(said.contains("deleted by you, so not written again: `k8s/base/web-service.yaml`"), "{said}");
    let text = read(&base.join("web-deployment.yaml"));
    assert!(text.contains("replicas: 5 # Fridays") && text.contains("image: example/web:2"), "{text}");
    assert!(text.contains("workingDir: /app"), "{text}");
    assert!(!base.join("web-service.yaml").exists() && base.join("mine.yaml").exists());
}

#[test]
fn a_conflict_is_shown_with_both_sides_and_ends_when_it_is_resolved() {
    let project = project();
    export(project.path(), &[]);
    let file = project.path().join("k8s/base/web-deployment.yaml");
    edit(&file, "image: example/web", "image: mirror/web");
    edit(&project.path().join("compose.yaml"), "example/web", "example/web:2");
    let (code, _, said) = hoist(project.path(), &["kubernetes"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("conflict: you and the manifest changed the same lines of `k8s/base/web-deployment.yaml`"));
    assert!(said.contains("error: 1 file wants a decision of yours\nhint: "), "{said}");
    let text = read(&file);
    for side in ["<<<<<<< yours\n", "image: mirror/web\n", "image: example/web:2\n", ">>>>>>> new export\n"] {
        assert!(text.contains(side) && said.contains(side.trim()), "`{side}` in\n{said}\n{text}");
    }
    let (code, _, said) = hoist(project.path(), &["--check", "k8s"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("error: `k8s/base/web-deployment.yaml` has the marks of a conflict\n"), "{said}");
    let (code, _, said) = hoist(project.path(), &["kubernetes"]);
    assert_eq!((code, read(&file)), (Some(1), text.clone()), "it is left as it is: {said}");
    let resolved: Vec<&str> = text.lines().filter(|line| !line.contains("example/web")).collect();
    let is_mark = |line: &&str| ["<<<<<<<", "|||||||", "=======", ">>>>>>>"].iter().any(|mark| line.starts_with(mark));
    let resolved: Vec<&str> = resolved.into_iter().filter(|line| !is_mark(line)).collect();
    write(&file, &(resolved.join("\n") + "\n"));
    let said = export(project.path(), &[]);
    assert!(said.contains("1 left with your edits"), "{said}");
    assert!(read(&file).contains("image: mirror/web\n"));
    assert_eq!(hoist(project.path(), &["--check", "k8s"]).0, Some(0));
}

#[test]
fn an_object_that_is_gone_is_removed_unless_it_was_edited() {
    let project = project();
    let manifest = project.path().join("compose.yaml");
    write(&manifest, &format!("{MANIFEST}  a: {{image: a, ports: ['1']}}\n  b: {{image: b, ports: ['1']}}\n"));
    export(project.path(), &[]);
    let base = project.path().join("k8s/base");
    edit(&base.join("b-deployment.yaml"), "replicas: 1", "replicas: 4");
    write(&manifest, MANIFEST);
    let said = export(project.path(), &[]);
    let told = "no longer of the project, but with edits of yours, so left: `k8s/base/b-deployment.yaml`\n";
    assert!(said.contains(told), "{said}");
    for gone in ["a-deployment.yaml", "a-service.yaml", "b-service.yaml", "b-serviceaccount.yaml"] {
        assert!(!base.join(gone).exists(), "{gone}");
    }
    assert!(base.join("b-deployment.yaml").exists());
    assert!(!read(&base.join("kustomization.yaml")).contains("- b-deployment.yaml"));
    assert!(!export(project.path(), &[]).contains("b-deployment.yaml"), "it is told once");
}

#[cfg(unix)]
#[test]
fn what_is_in_the_way_is_left_as_it_is_and_links_are_not_followed() {
    let project = project();
    let outside = project.path().join("outside");
    fs::create_dir(&outside).expect("a folder");
    write(&outside.join("mine.yaml"), "mine\n");
    let base = project.path().join("k8s/base");
    fs::create_dir_all(&base).expect("a folder");
    write(&base.join("web-service.yaml"), "not of hoist\n");
    std::os::unix::fs::symlink(outside.join("mine.yaml"), base.join("web-deployment.yaml")).expect("a link");
    std::os::unix::fs::symlink(&outside, project.path().join("k8s/overlays")).expect("a link");
    let (code, _, said) = hoist(project.path(), &["kubernetes"]);
    assert_eq!(code, Some(1), "{said}");
    for path in ["k8s/base/web-service.yaml", "k8s/base/web-deployment.yaml", "k8s/overlays/production/namespace.yaml"]
    {
        assert!(said.contains(&format!("in the way, and not from an export, so left as it is: `{path}`")), "{said}");
    }
    assert_eq!(read(&base.join("web-service.yaml")), "not of hoist\n");
    assert_eq!(
        (files(&outside), read(&outside.join("mine.yaml"))),
        (vec!["mine.yaml".to_owned()], "mine\n".to_owned())
    );
    assert!(base.join("web-env-configmap.yaml").exists());
}

#[test]
fn a_folder_follows_the_manifest_until_that_changes_whatever_a_person_edits() {
    let project = project();
    export(project.path(), &["--registry", "registry.example.com/team", "--secrets", "values", "-o", "out"]);
    let options = read(&project.path().join("out/.hoist/options"));
    assert!(options.ends_with("--registry=registry.example.com/team\n--secrets=values\n"), "{options}");
    edit(&project.path().join("out/base/web-deployment.yaml"), "replicas: 2", "replicas: 5");
    for check in [&["--check", "out"][..], &["kubernetes", "--check", "out"]] {
        let (code, out, said) = hoist(project.path(), check);
        assert_eq!((code, out.as_str(), said.as_str()), (Some(0), "", ""));
    }
    edit(&project.path().join("compose.yaml"), "'80'", "'81'");
    let (code, out, said) = hoist(project.path(), &["--check", "out"]);
    assert_eq!(code, Some(1));
    assert!(out.contains("+++ base/web-service.yaml (as it would be now)\n"), "{out}");
    assert!(out.contains("-    port: 80\n") || out.contains("-  - port: 80\n") || out.contains("port: 80\n"), "{out}");
    assert!(said.starts_with("error: `out` does not follow the manifest\nhint: "), "{said}");
    assert!(!out.contains("abcdef"), "a secret is not shown: {out}");
}

#[test]
fn a_folder_without_an_export_cannot_be_checked() {
    let project = project();
    let (code, _, said) = hoist(project.path(), &["--check", "k8s"]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("error: there is no export in `k8s`\nhint: "), "{said}");
    export(project.path(), &[]);
    let last = project.path().join("k8s/.hoist/last");
    write(&last, &format!("../../evil\n|x\n{}", read(&last)));
    let (code, _, said) = hoist(project.path(), &["kubernetes"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("is not the record of an export: line 1: not the path of a file in the folder"), "{said}");
}
