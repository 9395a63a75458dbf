//! The `docker` program as the builder's client.

use std::fs;

use crate::support::Daemon;

#[test]
fn docker_builds_tags_and_runs_what_it_built() {
    let daemon = Daemon::start();
    daemon.busybox();
    let context = daemon.home().join("context");
    fs::create_dir_all(context.join("src")).expect("a folder");
    fs::write(context.join("src/a"), "hello\n").expect("a file");
    fs::write(context.join(".dockerignore"), "secret\n").expect("a file");
    fs::write(context.join("secret"), "no\n").expect("a file");
    let text = "FROM busybox AS build\nARG who\nWORKDIR /app\nCOPY . .\nRUN cat src/a > out && echo $who >> out && ls >> out\n\
                FROM busybox\nCOPY --from=build /app/out /\nCMD [\"cat\", \"/out\"]\n";
    fs::write(context.join("Dockerfile"), text).expect("a file");
    let context = context.to_str().expect("a temporary path is text");
    let built = daemon.docker(&["build", "--build-arg", "who=you", "-t", "app:1", "-t", "app:2", context]).ok();
    for line in [
        "Step 5/8 : RUN cat src/a > out",
        "Successfully built ",
        "Successfully tagged app:1",
        "Successfully tagged app:2",
    ] {
        assert!(built.contains(line), "{line}\n{built}");
    }
    assert_eq!(daemon.docker(&["run", "--rm", "app:1"]).ok(), "hello\nyou\nDockerfile\nout\nsrc\n");
    let id = daemon.docker(&["build", "-q", "--build-arg", "who=you", context]).ok();
    assert_eq!(id, daemon.docker(&["inspect", "-f", "{{.Id}}", "app:2"]).ok());
    let history = daemon.docker(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "app:1"]).ok();
    assert_eq!(history.lines().next(), Some("CMD [\"cat\",\"/out\"]"), "{history}");
}

#[test]
fn docker_ends_with_the_code_of_the_step_that_failed() {
    let daemon = Daemon::start();
    daemon.busybox();
    let ran = daemon.docker_with(&["build", "-"], b"FROM busybox\nRUN echo said; exit 42\n");
    assert_eq!(ran.code, 42, "{ran:?}");
    assert!(ran.stdout.contains("said\n"), "{ran:?}");
    let problem = "Dockerfile:2: The command '/bin/sh -c echo said; exit 42' returned a non-zero code: 42";
    assert!(ran.stderr.contains(problem), "{ran:?}");
}
