//! Services that have something in common: what one of them is saved, built or failed for, and what the others get of it.

use rustix::process::Signal;

use crate::support::{Project, free_port};
use crate::watch::shows;

#[test]
fn of_two_services_with_one_context_a_save_reaches_the_one_whose_rule_has_it() {
    let port = free_port();
    let project = Project::new(&format!(
        "
services:
  api:
    build: app
    command: sleep 1000
    stop_signal: SIGKILL
    develop: {{ watch: [{{ action: rebuild, path: ./app/api }}] }}
  web:
    build: app
    command: httpd -f -p 80 -h /app/pages
    stop_signal: SIGKILL
    ports: ['127.0.0.1:{port}:80']
    develop: {{ watch: [{{ action: rebuild, path: ./app/pages }}] }}
"
    ));
    project.write("app/Dockerfile", "FROM hoist-test/busybox\nCOPY . /app\n");
    project.write("app/api/code", "one");
    project.write("app/pages/page", "one");
    let session = project.up();
    shows(&project, &session, port, "one");
    session.wait_for("2 containers up in");
    let api = project.container("api");
    project.write("app/pages/page", "two");
    shows(&project, &session, port, "two");
    session.wait_for("web `app/pages/page` → rebuilt, replaced");
    let after = project.container("api");
    assert_eq!((after.id, after.started_at), (api.id, api.started_at), "{}", session.said());
    // The other way round, after one has an image of newer files than the other.
    let web = project.container("web");
    project.write("app/api/code", "two");
    session.wait_for("api `app/api/code` → rebuilt, replaced");
    project.eventually("the new code is there", || {
        project.hoist(&["exec", "-T", "api", "cat", "/app/api/code"]).stdout == "two"
    });
    let after = project.container("web");
    assert_eq!((after.id, after.started_at), (web.id, web.started_at), "{}", session.said());
}

#[test]
fn services_of_one_build_and_one_image_are_built_once_and_a_third_of_that_image_waits_for_it() {
    let project = Project::new(
        "
services:
  admin: { image: '${COMPOSE_PROJECT_NAME}-shared', command: sleep 1000, stop_signal: SIGKILL }
  back: { build: app, image: '${COMPOSE_PROJECT_NAME}-shared', command: sleep 1000, stop_signal: SIGKILL }
  front: { build: app, image: '${COMPOSE_PROJECT_NAME}-shared', command: sleep 1000, stop_signal: SIGKILL }
",
    );
    project.write("app/Dockerfile", "FROM hoist-test/busybox\nCOPY note /note\n");
    project.write("app/note", project.name());
    let output = project.hoist(&["up", "-d"]).success();
    assert_eq!(output.stderr.matches(" building (").count(), 1, "{output}");
    assert_eq!(output.stderr.matches(" pulling (").count(), 0, "{output}");
    let image = project.engine().image(&format!("{}-shared", project.name())).expect("it is built");
    for service in ["admin", "back", "front"] {
        let container = project.container(service);
        assert!(container.runs(), "{service}: {output}");
        assert_eq!(container.image, image, "{service}: {output}");
    }
}

#[test]
fn who_depends_with_restart_follows_a_hot_reload_and_who_depends_without_does_not() {
    let project = Project::new(
        "
services:
  api: { build: api, command: sleep 1000, stop_signal: SIGKILL }
  follower:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: { api: { condition: service_started, restart: true } }
  other:
    image: hoist-test/busybox
    command: sleep 1000
    stop_signal: SIGKILL
    depends_on: [api]
",
    );
    project.write("api/Dockerfile", "FROM hoist-test/busybox\nCOPY code /code\n");
    project.write("api/code", "one");
    let session = project.up();
    session.wait_for("3 containers up in");
    let (api, follower, other) = (project.container("api"), project.container("follower"), project.container("other"));
    project.write("api/code", "two");
    project.eventually("the follower started again", || {
        session.assert_running();
        let now = project.container("follower");
        now.runs() && now.started_at > follower.started_at
    });
    let (replaced, again) = (project.container("api"), project.container("follower"));
    assert_ne!(replaced.id, api.id, "{}", session.said());
    assert!(again.started_at >= replaced.started_at, "after its dependency: {}", session.said());
    let left = project.container("other");
    assert_eq!((left.id, left.started_at), (other.id, other.started_at), "{}", session.said());
}

#[test]
fn what_runs_already_goes_on_beside_a_first_build_that_fails_and_a_save_mends_it() {
    let project = Project::new(
        "
services:
  broken: { build: broken, command: sleep 1000, stop_signal: SIGKILL }
  web: { image: hoist-test/busybox, command: sleep 1000, stop_signal: SIGKILL }
",
    );
    project.write("broken/Dockerfile", "FROM hoist-test/busybox\nRUN echo the compiler says no && false\n");
    project.hoist(&["up", "-d", "web"]).success();
    let web = project.container("web");
    let session = project.start(&["up"]);
    session.wait_for("broken build failed");
    project.write("broken/Dockerfile", "FROM hoist-test/busybox\nRUN echo the compiler says yes\n");
    project.eventually("what is mended runs", || {
        session.assert_running();
        project.containers().iter().any(|one| one.service == "broken" && one.runs())
    });
    let after = project.container("web");
    assert!(after.runs(), "{}", session.said());
    assert_eq!((after.id, after.started_at), (web.id, web.started_at), "{}", session.said());
    session.signal(Signal::INT);
    assert_eq!(session.exit_code(), Some(130), "{}", session.said());
}
