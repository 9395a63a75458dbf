//! Files that are copied into containers: new ones that crash, ones that are removed, modes and links.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use rustix::process::Signal;

use crate::support::engine::is_embedded;
use crate::support::session::Session;
use crate::support::{NODE, Project, free_port, http};
use crate::watch::{STARTED, TELLS, served, shows};

const SYNC: &str = "    develop: { watch: [{ action: sync, path: ./web, target: /app }] }";

/// Starts a server after it has loaded every file of a folder.
const LOADS_ALL: &str = "for part in /app/parts/*; do . \"$part\"; done\nexec httpd -f -p 80 -h /app\n";

#[test]
fn a_new_file_with_which_a_service_crashes_is_taken_back_out_of_it() {
    let (project, port) = served("    develop: { watch: [{ action: sync+restart, path: ./web, target: /app }] }");
    project.write("web/Dockerfile", STARTED);
    project.write("web/run.sh", LOADS_ALL);
    project.write("web/parts/one.sh", "echo one is loaded\n");
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web").id;
    project.write("web/parts/two.sh", "echo it broke >&2\nexit 4\n");
    session.wait_for("exited with code 4");
    session.wait_for("it broke");
    session.wait_for("the version before it serves again");
    shows(&project, &session, port, "one");
    assert_eq!(project.container("web").id, before, "{}", session.said());
    // Where an engine removes nothing from a container that does not run, an empty file may be left.
    let inside = || project.hoist(&["exec", "-T", "web", "cat", "/app/parts/two.sh"]).stdout;
    assert_eq!(inside(), "", "{}", session.said());
    project.write("web/parts/two.sh", "echo two is loaded\n");
    project.write("web/page", "two");
    session.wait_for("| two is loaded");
    shows(&project, &session, port, "two");
    project.eventually("it has the file", || inside() == "echo two is loaded\n");
    assert_eq!(project.container("web").id, before, "{}", session.said());
}

#[test]
fn a_program_restarts_in_its_container_where_an_engine_would_take_long() {
    let check = "    healthcheck: { test: 'wget -q -O - http://127.0.0.1/page', interval: 60s }";
    let rule = "    develop: { watch: [{ action: sync+restart, path: ./web, target: /app }] }";
    let (project, port) = served(&format!("{check}\n{rule}"));
    project.write("web/Dockerfile", STARTED);
    project.write("web/run.sh", TELLS);
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web");
    let command = project.hoist(&["ps", "--no-trunc", "web"]).stdout;
    assert!(command.contains("\"sh /app/run.sh\""), "{command}");
    for (number, page) in ["two", "three", "four"].iter().enumerate() {
        project.write("web/page", page);
        project.eventually("the save comes to its end", || {
            session.assert_running();
            session.count("→ synced, restarted, healthy") == number + 1
        });
        shows(&project, &session, port, page);
    }
    let after = project.container("web");
    assert_eq!(after.id, before.id, "{}", session.said());
    assert_eq!(after.started_at == before.started_at, !is_embedded(), "{}", session.said());
    assert_eq!(session.count("| it starts"), 4, "each line once: {}", session.said());
    project.hoist(&["restart", "web"]).success();
    assert_ne!(project.container("web").started_at, after.started_at, "a person means the container");
}

/// Loads a file again and again while it serves.
const LOADS_ON: &str = "httpd -p 80 -h /app\nwhile :; do . /app/part; sleep 0.05; done\n";

#[test]
fn a_program_that_exits_over_a_copied_file_runs_on_with_the_one_before() {
    let (project, port) = served(SYNC);
    project.write("web/Dockerfile", STARTED);
    project.write("web/run.sh", LOADS_ON);
    project.write("web/part", ":\n");
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web").id;
    // The second save finds the container as fast as an engine can make it.
    for (page, code) in [("two", 4), ("three", 5)] {
        project.write("web/part", &format!("echo it broke with {code} >&2\nexit {code}\n"));
        session.wait_for(&format!("exited with code {code}"));
        session.wait_for(&format!("it broke with {code}"));
        session.wait_for("the version before it serves again");
        project.write("web/part", ":\n");
        project.write("web/page", page);
        shows(&project, &session, port, page);
        assert_eq!(project.container("web").id, before, "{}", session.said());
    }
}

/// A file is removed while the container has exited by a signal, with this code; then it is made to run again.
fn removes_while_exited(signal: &str, code: i32, run_again: impl Fn(&Project, &Session)) {
    let command = "sh -c 'trap \"exit 0\" TERM; httpd -p 80 -h /app; while :; do sleep 0.05; done'";
    let (project, port) = served(&format!("    command: {command}\n{SYNC}"));
    project.write("web/deep/page", "to be removed");
    let session = project.up();
    shows(&project, &session, port, "one");
    session.wait_for("2 containers up in");
    assert_eq!(http::get(port, "/deep/page").as_deref(), Some("to be removed"));
    let before = project.container("web").id;
    project.engine().docker(&["kill", "--signal", signal, &before]).success();
    session.wait_for(&format!("web-1 exited with code {code}"));
    fs::remove_file(project.path("web/deep/page")).expect("remove a file");
    run_again(&project, &session);
    project.eventually("it serves without the file", || {
        session.assert_running();
        http::get(port, "/page").as_deref() == Some("one") && http::get(port, "/deep/page").is_none()
    });
    assert_eq!(project.container("web").id, before, "{}", session.said());
}

#[test]
fn a_file_removed_while_its_service_has_failed_is_gone_when_the_save_starts_it_again() {
    removes_while_exited("KILL", 137, |_, _| {});
}

#[test]
fn a_file_removed_while_its_service_has_ended_is_gone_once_a_person_starts_it_again() {
    removes_while_exited("TERM", 0, |project, session| {
        // The sentinel: it is built after what the removal leads to at once.
        project.write("neighbour/file", "sentinel");
        session.wait_for("neighbour `neighbour/file` → rebuilt, replaced");
        project.hoist(&["start", "web"]).success();
    });
}

#[test]
fn an_image_without_a_program_that_removes_files_still_gets_saves_after_a_file_was_renamed() {
    let (project, port) = served(SYNC);
    project.write(
        "web/Dockerfile",
        "FROM hoist-test/busybox AS tools
FROM scratch
COPY --from=tools /bin/busybox /srv/httpd
COPY . /app
CMD [\"/srv/httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/app\"]
",
    );
    project.write("web/old", "moved");
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web");
    fs::rename(project.path("web/old"), project.path("web/new")).expect("rename a file");
    session.wait_for("`web/new`");
    project.write("web/page", "two");
    shows(&project, &session, port, "two");
    project.eventually("the file has its new name", || http::get(port, "/new").as_deref() == Some("moved"));
    let after = project.container("web");
    assert_eq!((after.id, after.started_at), (before.id, before.started_at), "{}", session.said());
}

#[test]
fn modes_and_symbolic_links_arrive_as_they_are() {
    let (project, port) = served(SYNC);
    project.write("web/tool", "#!/bin/sh\necho it runs\n");
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web").id;
    let inside = |arguments: &[&str]| project.hoist(&[&["exec", "-T", "web"][..], arguments].concat());
    assert_ne!(inside(&["/app/tool"]).code, Some(0), "it is no program yet");
    fs::set_permissions(project.path("web/tool"), fs::Permissions::from_mode(0o755)).expect("make it a program");
    project.eventually("it is a program", || {
        session.assert_running();
        inside(&["/app/tool"]).stdout == "it runs\n"
    });
    symlink("page", project.path("web/link")).expect("make a link");
    project.eventually("the link is a link", || inside(&["readlink", "/app/link"]).stdout == "page\n");
    assert_eq!(http::get(port, "/link").as_deref(), Some("one"));
    project.write("web/page", "two");
    shows(&project, &session, port, "two");
    assert_eq!(http::get(port, "/link").as_deref(), Some("two"));
    assert_eq!(project.container("web").id, before, "{}", session.said());
}

/// A server that reads its variables from a file by itself, once.
const READS_VARIABLES: &str = r#"const page = require("node:fs").readFileSync(".env", "utf8");
require("node:http").createServer((request, response) => response.end(page)).listen(80);
"#;

#[test]
fn a_file_of_variables_that_a_dockerfile_copies_is_synced_even_beside_the_manifest() {
    for folder in ["web", "."] {
        let port = free_port();
        let project = Project::new(&format!(
            "services: {{ web: {{ build: {folder}, stop_signal: SIGKILL, ports: ['127.0.0.1:{port}:80'] }} }}"
        ));
        let dockerfile = format!("FROM {NODE}\nWORKDIR /app\nCOPY . .\nCMD [\"node\", \"server.js\"]\n");
        project.write(&format!("{folder}/Dockerfile"), &dockerfile);
        project.write(&format!("{folder}/server.js"), READS_VARIABLES);
        project.write(&format!("{folder}/.env"), "WORD=one\n");
        let session = project.up();
        shows(&project, &session, port, "WORD=one\n");
        let before = project.container("web").id;
        project.write(&format!("{folder}/.env"), "WORD=two\n");
        shows(&project, &session, port, "WORD=two\n");
        assert_eq!(project.container("web").id, before, "nothing was built for {folder}: {}", session.said());
    }
}

#[test]
fn files_that_are_put_back_with_what_rebuilds_take_the_copied_ones_along_also_between_runs() {
    let (project, port) = served(
        "    develop: { watch: [{ action: sync, path: ./web/page, target: /app/page }, { action: rebuild, path: ./web/Dockerfile }] }",
    );
    let dockerfile = fs::read_to_string(project.path("web/Dockerfile")).expect("a Dockerfile");
    let session = project.up();
    shows(&project, &session, port, "one");
    project.write("web/page", "two");
    shows(&project, &session, port, "two");
    project.write("web/Dockerfile", &format!("{dockerfile}RUN exit 3\n"));
    session.wait_for("build failed");
    // In one burst, as a stash that is put away.
    project.write("web/Dockerfile", &dockerfile);
    project.write("web/page", "one");
    shows(&project, &session, port, "one");
    let mark = session.mark();
    project.write("web/page", "two");
    session.wait_from(mark, "→ synced");
    shows(&project, &session, port, "two");
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130), "{}", session.said());
    project.write("web/page", "one");
    let session = project.up();
    shows(&project, &session, port, "one");
}
