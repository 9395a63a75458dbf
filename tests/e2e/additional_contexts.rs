//! Builds with further contexts: folders, images, and what other services build.

use crate::support::Project;
use crate::support::session::Session;

const MANIFEST: &str = "services:
  web:
    build:
      context: web
      additional_contexts:
        shared: ./shared
        tools: docker-image://hoist-test/busybox
        base: service:base
    command: cat /base /shared.txt /web /tool
    network_mode: none
  base:
    profiles: [base]
    build: base
";

fn project() -> Project {
    let project = Project::new(MANIFEST);
    project.write("web/Dockerfile", "ARG FROM_BASE=base\nFROM scratch AS tools\nFROM $FROM_BASE\nCOPY --from=shared /kept /\nCOPY web /\nCOPY --from=tools /bin/busybox /tool\nRUN echo tool > /tool\n");
    project.write("web/web", "of the web\n");
    project.write("web/.dockerignore", "*\n!web\n");
    project.write("base/Dockerfile", "FROM hoist-test/busybox\nCOPY base /\n");
    project.write("base/base", "of the base\n");
    project.write("shared/kept/shared.txt", "of all\n");
    project.write("shared/kept/secret.txt", "of nobody\n");
    project.write("shared/.dockerignore", "**/secret.txt\n");
    project
}

/// The same, with a container that stays.
fn staying() -> (Project, Session) {
    let project = project();
    let stays = "command: sleep 1000\n    stop_signal: SIGKILL";
    project.write("compose.yaml", &MANIFEST.replace("command: cat /base /shared.txt /web /tool", stays));
    let session = project.up();
    session.wait_for("1 container up in");
    (project, session)
}

/// Waits until a file of the container says this, while the run goes on.
fn reads(project: &Project, session: &Session, file: &str, text: &str) {
    project.eventually(&format!("`{file}` says `{text}`"), || {
        session.assert_running();
        project.hoist(&["exec", "-T", "web", "cat", file]).stdout == text
    });
}

#[test]
fn a_dockerfile_takes_from_folders_images_and_other_services() {
    let project = project();
    let output = project.hoist(&["up"]).success();
    for word in ["of the base", "of all", "of the web", "tool"] {
        assert!(output.stdout.contains(word), "{output}");
    }
    let listed = project.hoist(&["run", "--rm", "-T", "web", "ls", "/"]).success();
    assert!(!listed.stdout.contains("secret"), "its own ignore file counts: {listed}");
    assert_eq!(project.containers().iter().filter(|it| it.service == "base").count(), 0, "it is only built");
}

#[test]
fn what_is_built_with_an_image_is_built_again_when_that_is_another_one() {
    let project = project();
    project.hoist(&["build"]).success();
    project.hoist(&["up", "--no-build"]).success().says(&["of the base"]);
    project.write("shared/kept/shared.txt", "of all of us\n");
    project.hoist(&["up"]).success().says(&["image built", "of all of us"]);
    project.write("base/base", "of another base\n");
    project.hoist(&["build", "base"]).success();
    project.hoist(&["build", "web"]).success();
    project.hoist(&["up"]).success().says(&["of another base"]);
}

#[test]
fn a_save_in_a_further_folder_of_a_build_rebuilds_its_service() {
    let (project, session) = staying();
    let before = project.container("web").id;
    project.write("shared/kept/shared.txt", "of all of us\n");
    reads(&project, &session, "/shared.txt", "of all of us\n");
    assert_ne!(project.container("web").id, before, "{}", session.said());
}

#[test]
fn a_save_in_the_context_of_a_service_that_does_not_run_rebuilds_it_and_then_what_is_built_with_it() {
    let (project, session) = staying();
    let base = format!("{}-base", project.name());
    let before = project.engine().image(&base);
    assert!(before.is_some(), "the base is built: {}", session.said());
    project.write("base/base", "of another base\n");
    reads(&project, &session, "/base", "of another base\n");
    assert_ne!(project.engine().image(&base), before, "its own image is the new one too");
    assert!(project.containers().iter().all(|one| one.service == "web"), "it is only built");
    project.write("base/base", "of a third base\n");
    reads(&project, &session, "/base", "of a third base\n");
}

#[test]
fn contexts_that_cannot_be_had_are_named() {
    let project = project();
    for (source, words) in [
        ("https://example.org/a.tar", "only folders, `docker-image://` and `service:` are supported"),
        ("service:nobody", "names the service `nobody`, which is not in the manifest"),
        ("service:web", "is to be built with itself"),
        ("./missing", "missing"),
    ] {
        project.write("compose.yaml", &MANIFEST.replace("./shared", source));
        project.hoist(&["up", "-d"]).fails().says(&[words]);
        assert!(project.containers().is_empty());
    }
}
