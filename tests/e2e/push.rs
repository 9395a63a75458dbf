//! Images pushed to a registry, by the names that the export gives them.

use base64::Engine as _;

use crate::registry::Registry;
use crate::support::Project;

const MANIFEST: &str = "services:
  web: { build: web }
  db: { image: hoist-test/busybox }
";

fn project() -> Project {
    let project = Project::new(MANIFEST);
    project.write("web/Dockerfile", "FROM hoist-test/busybox\nCOPY page /\n");
    project.write("web/page", project.name());
    project
}

#[test]
fn what_is_built_is_pushed_and_its_digest_is_that_of_the_registry() {
    let registry = Registry::start();
    let project = project();
    let prefix = format!("{}/team", registry.address);
    let output = project.hoist(&["push", "--registry", &prefix, "--tag", "7"]).success();
    let repository = format!("team/{}-web", project.name());
    let pushed = output.stdout.trim_end();
    let (name, digest) = pushed.split_once('@').unwrap_or_else(|| panic!("no digest in:\n{output}"));
    assert_eq!(name, format!("{}/{repository}:7", registry.address));
    assert!(registry.blob(digest).is_file(), "the registry has no {digest}:\n{output}");
    assert_eq!(output.lines().len(), 1, "only what is built is pushed:\n{output}");
    // What the export names is what was pushed.
    let export = project.hoist(&["export", "kubernetes", "--format", "yaml", "--registry", &prefix, "--tag", "7"]);
    assert!(export.stdout.contains(&format!("image: {name}\n")), "{export}");
    project.engine().docker(&["rmi", name]);
}

#[test]
fn a_registry_lets_in_who_has_logged_in_and_tells_others_to() {
    let registry = Registry::guarded();
    let project = project();
    let arguments = ["push", "--registry", &registry.address];
    let refused = project.hoist(&arguments).exits_with(1);
    refused.says(&["cannot push `", "hint: `docker login` says to a registry who you are"]);
    let login = base64::engine::general_purpose::STANDARD.encode("anna:secret");
    let config = serde_json::json!({ "auths": { (registry.address.clone()): { "auth": login } } });
    project.write("docker/config.json", &config.to_string());
    let folder = project.path("docker").display().to_string();
    let project = project.with("DOCKER_CONFIG", &folder);
    let output = project.hoist(&arguments).success();
    assert!(output.stdout.contains("@sha256:"), "{output}");
    project.engine().docker(&["rmi", output.stdout.split('@').next().unwrap_or_default()]);
}

#[test]
fn without_a_registry_nothing_is_pushed_to_a_name_of_somebody_elses() {
    let project = project();
    let output = project.hoist(&["push"]).exits_with(2);
    output.says(&["no registry is named for `", "hint: `--registry registry.example.com/team`"]);
}
