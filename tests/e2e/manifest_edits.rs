//! Saved files that the manifest is made from: what it includes, its variables, and what keeps it from loading.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::support::Project;
use crate::support::session::Session;
use crate::watch::{SERVER, edit, served, shows};

const INCLUDING: &str = "
include: [parts/api.yaml]
services:
  web:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: { WORD: '${WORD}' }
  worker:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    env_file: worker.env
";

const API: &str = "
services:
  api:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    environment: { WORD: one }
";

/// The containers of all services but one, and their starts: two equal answers mean that nothing was touched in between.
fn others(project: &Project, service: &str) -> BTreeMap<String, (String, DateTime<Utc>)> {
    let containers = project.containers().into_iter().filter(|one| one.service != service);
    containers.map(|one| (one.service, (one.id, one.started_at))).collect()
}

/// Waits until the one container of a service runs with this value of `WORD`.
fn has_word(project: &Project, session: &Session, service: &str, word: &str) {
    let variable = format!("\"WORD={word}\"");
    project.eventually(&format!("`{service}` has the word `{word}`"), || {
        session.assert_running();
        let mut containers = project.containers();
        containers.retain(|one| one.service == service);
        matches!(containers.as_slice(), [one]
            if one.runs() && one.raw["Config"]["Env"].to_string().contains(&variable))
    });
}

#[test]
fn an_edited_include_or_file_of_variables_recreates_only_the_service_that_it_is_about() {
    let project = Project::new(INCLUDING);
    project.write("parts/api.yaml", API);
    project.write(".env", "WORD=one\n");
    project.write("worker.env", "WORD=one\n");
    let session = project.up();
    session.wait_for("3 containers up in");
    let edited = API.replace("one", "two");
    for (file, text, service) in [
        ("parts/api.yaml", edited.as_str(), "api"),
        (".env", "WORD=two\n", "web"),
        ("worker.env", "WORD=two\n", "worker"),
    ] {
        has_word(&project, &session, service, "one");
        let before = others(&project, service);
        let mark = session.mark();
        project.write(file, text);
        let line = session.wait_from(mark, "manifest read anew");
        assert!(line.ends_with(&format!("changes `{service}`")), "{file}: {line}");
        session.wait_from(mark, &format!("{service} `{file}` → replaced"));
        has_word(&project, &session, service, "two");
        assert_eq!(others(&project, service), before, "{file}: {}", session.said());
    }
}

/// A save elsewhere comes to its effect: the run goes on, and is past what came before.
fn goes_on(project: &Project, session: &Session) {
    project.write("neighbour/file", "sentinel");
    session.wait_for("neighbour `neighbour/file` → rebuilt, replaced");
}

#[test]
fn a_manifest_with_a_new_include_that_is_wrong_loads_once_that_file_alone_is_mended() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    session.wait_for("2 containers up in");
    let web = project.container("web");
    let guest = "services: { guest: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL } }\n";
    project.write("parts/guest.yaml", &guest.replace("command", "comand"));
    edit(&project, "services:\n", "include: [parts/guest.yaml]\nservices:\n");
    session.wait_for("guest.yaml:1");
    session.wait_for("does not load");
    goes_on(&project, &session);
    let neighbour = project.container("neighbour");
    project.write("parts/guest.yaml", guest);
    session.wait_for("manifest read anew: adds `guest`");
    project.eventually("the guest runs", || {
        session.assert_running();
        project.containers().iter().any(|one| one.service == "guest" && one.runs())
    });
    for before in [web, neighbour] {
        let after = project.container(&before.service);
        assert_eq!((after.id, after.started_at), (before.id, before.started_at), "{}", session.said());
    }
}

#[test]
fn a_manifest_with_a_new_file_of_variables_that_is_missing_loads_once_that_is_made() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    session.wait_for("2 containers up in");
    let web = project.container("web");
    edit(&project, "    build: web\n", "    build: web\n    env_file: web.env\n");
    session.wait_for("cannot read the env file `web.env`");
    session.wait_for("does not load");
    goes_on(&project, &session);
    let (after, neighbour) = (project.container("web"), project.container("neighbour"));
    assert_eq!((after.id, after.started_at), (web.id, web.started_at), "{}", session.said());
    project.write("web.env", "WORD=one\n");
    session.wait_for("manifest read anew: changes `web`");
    has_word(&project, &session, "web", "one");
    shows(&project, &session, port, "one");
    let after = project.container("neighbour");
    assert_eq!((after.id, after.started_at), (neighbour.id, neighbour.started_at), "{}", session.said());
}

#[test]
fn a_file_of_variables_that_came_into_the_run_is_still_watched_after_a_dockerfile_was_saved() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    session.wait_for("2 containers up in");
    project.write("web.env", "WORD=one\n");
    edit(&project, "    build: web\n", "    build: web\n    env_file: web.env\n");
    session.wait_for("manifest read anew: changes `web`");
    has_word(&project, &session, "web", "one");
    project.write("web/Dockerfile", &format!("{SERVER}RUN touch /marked\n"));
    session.wait_for("`web/Dockerfile` → rebuilt, replaced");
    let mark = session.mark();
    project.write("web.env", "WORD=two\n");
    session.wait_from(mark, "manifest read anew: changes `web`");
    has_word(&project, &session, "web", "two");
}

#[test]
fn a_service_that_was_out_of_the_manifest_comes_back_with_what_was_saved_meanwhile() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    session.wait_for("2 containers up in");
    let manifest = project.read("compose.yaml");
    let neighbour = "  neighbour:";
    let (web, rest) = manifest.split_once(neighbour).expect("the neighbour is the last service");
    let commented = web.replace("\n  ", "\n#  ");
    project.write("compose.yaml", &format!("{commented}{neighbour}{rest}"));
    session.wait_for("manifest read anew: removes `web`");
    project.eventually("the service is gone", || {
        session.assert_running();
        project.containers().iter().all(|one| one.service != "web")
    });
    project.write("web/page", "two");
    project.write("compose.yaml", &manifest);
    session.wait_for("manifest read anew: adds `web`");
    shows(&project, &session, port, "two");
}
