//! Saved files, and what follows from them.

use rustix::process::Signal;

use crate::support::session::Session;
use crate::support::{NODE, Project, free_port, http};

/// A web server of the files beside it.
pub(crate) const SERVER: &str = "FROM hoist-test/busybox
WORKDIR /app
COPY . .
CMD [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/app\"]
";

/// A web server that is built from `web/`, and a neighbour that nothing should touch.
pub(crate) fn served(rules: &str) -> (Project, u16) {
    let port = free_port();
    let project = Project::new(&format!(
        "
services:
  web:
    build: web
    stop_signal: SIGKILL
    ports: ['127.0.0.1:{port}:80']
{rules}
  neighbour: {{ build: neighbour, command: sleep 1000, stop_signal: SIGKILL }}
"
    ));
    project.write("web/Dockerfile", SERVER);
    project.write("web/page", "one");
    project.write("web/.dockerignore", "ignored\nlogs/**\n");
    project.write("neighbour/Dockerfile", "FROM hoist-test/busybox\nCOPY file /file\n");
    project.write("neighbour/file", "");
    (project, port)
}

/// Waits until the page says this, while the run goes on.
pub(crate) fn shows(project: &Project, session: &Session, port: u16, text: &str) {
    project.eventually(&format!("the page says `{text}`"), || {
        session.assert_running();
        http::get(port, "/page").as_deref() == Some(text)
    });
}

#[test]
fn a_saved_file_of_a_build_context_rebuilds_its_service_alone() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    let (web, neighbour) = (project.container("web"), project.container("neighbour"));
    project.write("web/page", "two");
    shows(&project, &session, port, "two");
    let after = project.container("neighbour");
    assert_eq!((after.id, after.started_at), (neighbour.id, neighbour.started_at));
    assert_ne!(project.container("web").id, web.id);
    project.write("web/page", "three");
    shows(&project, &session, port, "three");
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130));
}

#[test]
fn a_file_that_the_build_does_not_see_changes_nothing() {
    let (project, port) = served("");
    // The build sees the folder, though nothing that is in it.
    project.write("web/logs/yesterday", "1");
    let session = project.up();
    shows(&project, &session, port, "one");
    let web = project.container("web");
    let mark = session.mark();
    project.write("web/ignored", "1");
    project.write("web/logs/today", "1");
    project.write("web/.git/index", "1");
    project.write("web/.page.swp", "1");
    project.write("web/page~", "1");
    std::fs::remove_file(project.path("web/.page.swp")).expect("remove a file");
    // The sentinel: its rebuild comes after whatever the files above would have caused.
    project.write("neighbour/file", "sentinel");
    session.wait_from(mark, "neighbour");
    project.eventually("the neighbour is replaced", || {
        project.containers().iter().any(|one| one.service == "neighbour" && one.runs())
            && project.hoist(&["exec", "-T", "neighbour", "cat", "/file"]).stdout == "sentinel"
    });
    assert_eq!(project.container("web").id, web.id, "{}", session.said());
}

#[test]
fn a_failed_build_keeps_the_old_container_and_shows_the_compiler_s_words() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web");
    let broken = format!("{SERVER}RUN echo the compiler says no && false\n");
    project.write("web/Dockerfile", &broken);
    session.wait_for("the compiler says no");
    shows(&project, &session, port, "one");
    assert_eq!(project.container("web").id, before.id);
    project.write("web/Dockerfile", SERVER);
    project.write("web/page", "repaired");
    shows(&project, &session, port, "repaired");
}

/// A server that is started by a script of its sources.
pub(crate) const STARTED: &str = "FROM hoist-test/busybox
WORKDIR /app
COPY . .
CMD [\"sh\", \"/app/run.sh\"]
";
const STARTS: &str = "exec httpd -f -p 80 -h /app\n";
const CRASHES: &str = "echo it broke >&2\nexit 4\n";

/// Its script is saved in a version that crashes, and then in one that works.
fn crashes_and_recovers(rules: &str) {
    let (project, port) = served(rules);
    project.write("web/Dockerfile", STARTED);
    project.write("web/run.sh", STARTS);
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web").id;
    project.write("web/run.sh", CRASHES);
    session.wait_for("exited with code 4");
    session.wait_for("it broke");
    session.wait_for("the version before it serves again");
    shows(&project, &session, port, "one");
    project.eventually("it is the container before, alone", || {
        let all = project.containers();
        let web: Vec<&str> = all.iter().filter(|one| one.service == "web").map(|one| one.id.as_str()).collect();
        web == [before.as_str()]
    });
    assert_eq!(project.hoist(&["exec", "-T", "web", "cat", "/app/run.sh"]).success().stdout, STARTS);
    project.write("web/page", "two");
    project.write("web/run.sh", &format!("# Repaired.\n{STARTS}"));
    shows(&project, &session, port, "two");
}

#[test]
fn a_rebuilt_version_that_crashes_leaves_the_one_before_serving() {
    crashes_and_recovers("    develop: { watch: [{ action: rebuild, path: ./web }] }");
}

#[test]
fn synced_files_with_which_a_service_crashes_are_taken_back() {
    crashes_and_recovers("    develop: { watch: [{ action: sync+restart, path: ./web, target: /app }] }");
}

#[test]
fn a_change_during_a_build_leads_to_what_was_saved_last() {
    let (project, port) = served("");
    project.write("web/Dockerfile", &SERVER.replace("COPY . .", "COPY . .\nRUN sleep 1"));
    let session = project.up();
    shows(&project, &session, port, "one");
    let mark = session.mark();
    project.write("web/page", "two");
    session.wait_from(mark, "web");
    for word in ["three", "four", "five"] {
        project.write("web/page", word);
    }
    shows(&project, &session, port, "five");
    let last = project.container("web");
    project.write("neighbour/file", "sentinel");
    project.eventually("the sentinel is built", || {
        project.hoist(&["exec", "-T", "neighbour", "cat", "/file"]).stdout == "sentinel"
    });
    assert_eq!(project.container("web").id, last.id, "nothing is built after the last: {}", session.said());
}

#[test]
fn ten_thousand_changed_files_give_one_rebuild() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    let mut replaced = vec![project.container("web").id];
    let mark = session.mark();
    // Made aside and moved into place: however slow the machine is, they change at once.
    for number in 0..10_000 {
        project.write(&format!("aside/{}/{number}", number % 100), "changed");
    }
    std::fs::rename(project.path("aside"), project.path("web/src")).expect("move a folder");
    project.write("web/page", "switched");
    project.eventually("the page is new", || {
        session.assert_running();
        let now = project.containers().into_iter().find(|one| one.service == "web" && one.runs());
        replaced.extend(now.map(|one| one.id).filter(|id| !replaced.contains(id)).into_iter().collect::<Vec<_>>());
        http::get(port, "/page").as_deref() == Some("switched")
    });
    project.write("neighbour/file", "sentinel");
    project.eventually("the sentinel is built", || {
        project.hoist(&["exec", "-T", "neighbour", "cat", "/file"]).stdout == "sentinel"
    });
    replaced.extend(Some(project.container("web").id).filter(|id| !replaced.contains(id)));
    assert_eq!(replaced.len(), 2, "one replacement: {}", session.said());
    assert!(session.mark() - mark < 500, "ten thousand files are not ten thousand lines");
}

#[test]
fn sync_copies_files_into_the_running_container() {
    let (project, port) =
        served("    develop: { watch: [{ action: sync, path: ./web, target: /app, ignore: [private] }] }");
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web");
    project.write("web/private", "kept back");
    project.write("web/deep/page", "new");
    project.write("web/page", "two");
    shows(&project, &session, port, "two");
    project.eventually("the new folder is there", || http::get(port, "/deep/page").as_deref() == Some("new"));
    std::fs::remove_file(project.path("web/deep/page")).expect("remove a file");
    project.eventually("what is removed is removed inside", || http::get(port, "/deep/page").is_none());
    assert_eq!(http::get(port, "/private"), None);
    let after = project.container("web");
    assert_eq!((after.id, after.started_at), (before.id, before.started_at));
}

#[test]
fn sync_and_restart_keeps_the_container_and_starts_its_process_again() {
    let (project, port) = served("    develop: { watch: [{ action: sync+restart, path: ./web, target: /app }] }");
    project.write("web/Dockerfile", STARTED);
    project.write("web/run.sh", TELLS);
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web");
    project.write("web/page", "two");
    shows(&project, &session, port, "two");
    restarts(&project, &session);
    assert_eq!(project.container("web").id, before.id);
}

/// Says so before it serves.
pub(crate) const TELLS: &str = "echo it starts\nexec httpd -f -p 80 -h /app\n";

/// Waits until its process has been started a second time.
fn restarts(project: &Project, session: &Session) {
    project.eventually("it was restarted", || {
        session.assert_running();
        session.count("| it starts") == 2
    });
}

#[test]
fn sync_and_exec_runs_the_command_after_the_copy() {
    let (project, port) = served(
        "    develop: { watch: [{ action: sync+exec, path: ./web, target: /app, exec: { command: cp /app/page /app/compiled } }] }",
    );
    let session = project.up();
    shows(&project, &session, port, "one");
    project.write("web/page", "two");
    project.eventually("the copy is new", || {
        session.assert_running();
        http::get(port, "/compiled").as_deref() == Some("two")
    });
}

#[test]
fn restart_restarts_and_copies_nothing() {
    let (project, port) = served("    develop: { watch: [{ action: restart, path: ./web/page }] }");
    project.write("web/Dockerfile", STARTED);
    project.write("web/run.sh", TELLS);
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web");
    project.write("web/page", "two");
    restarts(&project, &session);
    assert_eq!(project.container("web").id, before.id);
    shows(&project, &session, port, "one");
}

#[test]
fn an_initial_sync_brings_what_changed_before_the_start() {
    let (project, port) =
        served("    develop: { watch: [{ action: sync, path: ./web, target: /app, initial_sync: true }] }");
    project.hoist(&["build"]).success();
    project.write("web/page", "newer than the image");
    let session = project.start(&["up", "--no-build"]);
    shows(&project, &session, port, "newer than the image");
    let changes = project.engine().docker(&["diff", &project.container("web").name]).success();
    assert!(changes.lines().contains(&"C /app/page"), "{changes}");
    assert!(!changes.stdout.contains("/app/Dockerfile"), "it was sent although it does not differ: {changes}");
}

#[test]
fn rules_decide_by_path() {
    let (project, port) = served(
        "    develop:
      watch:
        - { action: sync, path: ./web, target: /app, ignore: [Dockerfile, settings] }
        - { action: rebuild, path: ./web/settings }",
    );
    project.write("web/settings", "a");
    let session = project.up();
    shows(&project, &session, port, "one");
    let before = project.container("web");
    project.write("web/page", "synced");
    shows(&project, &session, port, "synced");
    assert_eq!(project.container("web").id, before.id);
    project.write("web/settings", "b");
    project.eventually("it was rebuilt", || http::get(port, "/settings").as_deref() == Some("b"));
    assert_ne!(project.container("web").id, before.id);
}

#[test]
fn without_watching_a_save_does_nothing() {
    let (project, port) = served("");
    let session = project.start(&["up", "--no-watch"]);
    shows(&project, &session, port, "one");
    let before = project.container("web");
    project.write("web/page", "two");
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130));
    assert_eq!(project.container("web").id, before.id);
}

/// Writes the manifest anew, one text in it replaced by another.
pub(crate) fn edit(project: &Project, from: &str, to: &str) {
    let text = std::fs::read_to_string(project.path("compose.yaml")).expect("read the manifest");
    assert!(text.contains(from), "{text}");
    project.write("compose.yaml", &text.replace(from, to));
}

#[test]
fn a_saved_manifest_recreates_the_service_that_it_changes_and_no_other() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    let (web, neighbour) = (project.container("web"), project.container("neighbour"));
    edit(&project, "sleep 1000", "sleep 2000");
    session.wait_for("manifest read anew: changes `neighbour`");
    project.eventually("the neighbour is another", || {
        let all = project.containers();
        all.iter().any(|one| one.service == "neighbour" && one.runs() && one.id != neighbour.id)
    });
    assert_eq!(project.container("web").id, web.id, "{}", session.said());
}

#[test]
fn a_saved_manifest_starts_what_it_adds_and_removes_what_it_has_no_more() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    edit(&project, "  neighbour: { build: neighbour,", "  guest: { image: hoist-test/busybox,");
    project.eventually("the guest is there instead of the neighbour", || {
        session.assert_running();
        let all = project.containers();
        all.iter().any(|one| one.service == "guest" && one.runs()) && all.iter().all(|one| one.service != "neighbour")
    });
}

#[test]
fn a_service_of_another_name_takes_over_the_port_of_the_one_that_it_replaces() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    edit(&project, "  web:\n", "  site:\n");
    session.wait_for("site `compose.yaml` → rebuilt, started");
    shows(&project, &session, port, "one");
}

#[test]
fn an_edited_file_of_variables_recreates_who_has_them() {
    let (project, port) = served("    env_file: web.env");
    project.write("web.env", "WORD=one\n");
    let session = project.up();
    shows(&project, &session, port, "one");
    let neighbour = project.container("neighbour");
    project.write("web.env", "WORD=two\n");
    session.wait_for("manifest read anew: changes `web`");
    project.eventually("the variable is another", || {
        project.hoist(&["exec", "-T", "web", "sh", "-c", "echo $WORD"]).stdout.trim() == "two"
    });
    assert_eq!(project.container("neighbour").id, neighbour.id, "{}", session.said());
}

#[test]
fn a_manifest_that_does_not_load_is_shown_and_everything_goes_on() {
    let (project, port) = served("");
    let session = project.up();
    shows(&project, &session, port, "one");
    let manifest = std::fs::read_to_string(project.path("compose.yaml")).expect("read the manifest");
    let neighbour = project.container("neighbour");
    project.write("compose.yaml", "services: [this is no manifest");
    session.wait_for("compose.yaml:1");
    session.wait_for("does not load");
    project.write("web/page", "two");
    shows(&project, &session, port, "two");
    project.write("compose.yaml", &manifest);
    session.wait_for("read anew: no service changes");
    assert_eq!(project.container("neighbour").id, neighbour.id, "{}", session.said());
}

#[test]
fn ps_tells_whether_what_runs_is_what_lies_in_the_working_tree() {
    let (project, port) = served("");
    let code = || {
        let listed = project.hoist(&["ps", "--format", "json"]).success().stdout;
        let objects = listed.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("an object"));
        let mut web = objects.filter(|object| object["Service"] == "web");
        web.next().and_then(|object| object["Code"].as_str().map(str::to_owned)).unwrap_or_default()
    };
    let session = project.up();
    shows(&project, &session, port, "one");
    assert_eq!(code(), "current");
    project.write("web/Dockerfile", &format!("{SERVER}RUN false\n"));
    project.eventually("the failed build is known", || code().starts_with("stale: build failed"));
    project.write("web/Dockerfile", SERVER);
    project.write("web/page", "two");
    shows(&project, &session, port, "two");
    project.eventually("it is current again", || code() == "current");
    session.signal(Signal::INT);
    session.exit_code();
    project.hoist(&["up", "-d", "--wait"]).success();
    assert_eq!(code(), "current");
    project.write("web/page", "three");
    assert_eq!(code(), "stale: changed while hoist was away");
    project.hoist(&["up", "-d", "--wait"]).success();
    assert_eq!(code(), "current");
}

/// A server in Node that reads its page from a file, once, and says what was installed.
const NODE_SERVER: &str = r#"const fs = require("node:fs");
const page = fs.readFileSync("page", "utf8");
const installed = fs.readFileSync("/installed", "utf8");
require("node:http").createServer((request, response) => {
  response.end(request.url === "/installed" ? installed : page);
}).listen(80);
"#;

#[test]
fn sources_that_a_dockerfile_copies_last_are_synced_and_what_it_installs_from_rebuilds() {
    let port = free_port();
    let project = Project::new(&format!(
        "services: {{ web: {{ build: web, stop_signal: SIGKILL, ports: ['127.0.0.1:{port}:80'] }} }}"
    ));
    let dockerfile = format!(
        "FROM {NODE}\nWORKDIR /app\nCOPY package*.json ./\nRUN cp package.json /installed\nCOPY . .\n\
         CMD [\"node\", \"server.js\"]\n"
    );
    project.write("web/Dockerfile", &dockerfile);
    project.write("web/server.js", NODE_SERVER);
    project.write("web/package.json", "{}");
    project.write("web/page", "one");
    let explained = project.hoist(&["watch", "--explain"]).success();
    explained.says(&["sync + restart  ./web → /app", "rebuild         ./web/package*.json", "./web/Dockerfile"]);
    let session = project.start(&["watch"]);
    shows(&project, &session, port, "one");
    let before = project.container("web");
    project.write("web/page", "two");
    shows(&project, &session, port, "two");
    let synced = project.container("web");
    assert_eq!(synced.id, before.id, "nothing was built: {}", session.said());
    project.write("web/package.json", "{ \"private\": true }");
    project.eventually("it was rebuilt", || {
        session.assert_running();
        http::get(port, "/installed").is_some_and(|installed| installed.contains("private"))
    });
    assert_ne!(project.container("web").id, before.id);
    shows(&project, &session, port, "two");
    // From here on something is made from the sources: the rules are others.
    project.write("web/Dockerfile", &dockerfile.replace("CMD", "RUN cp page built\nCMD"));
    project.eventually("the new step was run", || {
        session.assert_running();
        project.hoist(&["exec", "-T", "web", "cat", "built"]).stdout == "two"
    });
    let built = project.container("web").id;
    project.write("web/page", "three");
    shows(&project, &session, port, "three");
    assert_ne!(project.container("web").id, built, "{}", session.said());
}
