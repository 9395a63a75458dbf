//! Programs that are started again inside their containers, which hoist's own engine does with the containers themselves.

use std::time::{Duration, Instant};

use hoist::engine::Engine as _;
use hoist::engine::docker::Docker;
use hoist::plan::observed::{Container, ContainerState, Health};
use hoist::plan::operation::Restarted;
use hoist::plan::spec::{ContainerSpec, label};
use hoist::project::{HealthTest, Healthcheck, Mount, MountSource};

use crate::world::{World, own_engine, with_docker};

impl World<Docker> {
    /// A container that is to have its program started again.
    fn ready(&self, name: &str, line: &str, change: impl FnOnce(&mut ContainerSpec)) -> ContainerSpec {
        self.container(name, line, |spec| {
            spec.restarts_program = true;
            change(spec);
        })
    }

    async fn again(&self, id: &str, grace: Option<Duration>) -> Container {
        self.engine.restart_container(id, grace, Restarted::Program).await.expect("it starts again")
    }

    /// The container once a file of it has so many lines.
    async fn until_lines(&self, id: &str, file: &str, wanted: usize) {
        let line = format!("while [ \"$(wc -l < {file})\" -lt {wanted} ]; do sleep 0.01; done; wc -l < {file}");
        assert_eq!(self.prints(id, &line).await.trim(), wanted.to_string());
    }
}

type Change<'a> = &'a dyn Fn(&mut ContainerSpec);

fn is_ready(container: &Container) -> bool {
    container.labels.get(label::RESTARTS).is_some_and(|value| value == "program")
}

#[tokio::test]
async fn a_program_starts_again_in_its_container_and_nothing_of_it_is_left() {
    with_docker(async |world| starts_again(world, "hoist-test/busybox").await).await;
}

/// The shell of Debian's images is another one.
#[tokio::test]
async fn a_program_starts_again_behind_debians_shell() {
    with_docker(async |world| {
        let dockerfile = "ARG FROM\nFROM $FROM AS all\nFROM hoist-test/node\nCOPY --from=all /bin /bin\nCOPY dash /bin/dash\n\
                          RUN [\"/bin/busybox\", \"ln\", \"-sf\", \"dash\", \"/bin/sh\"]\n";
        let mut build = world.build("dash", &[("Dockerfile", dockerfile)]);
        std::fs::copy("/bin/dash", world.folder.path().join("dash/dash")).expect("dash, which every Debian has");
        build.build.args = [("FROM".to_owned(), Some(world.image().to_owned()))].into();
        world.built(&build).await.expect("an image");
        starts_again(world, &build.image).await;
    })
    .await;
}

async fn starts_again(world: &World<Docker>, image: &str) {
    let line = "sleep 1000 & : > /tmp/$$; : > /tmp/.hidden; env > /env; ls /tmp >> /seen; echo x >> /starts; \
                    exec sleep 2000";
    let spec = world.ready("a", line, |spec| {
        image.clone_into(&mut spec.image);
        let source = MountSource::Tmpfs { size: None, mode: None, options: None };
        spec.service.mounts = vec![Mount { target: "/tmp".to_owned(), read_only: false, source }];
        spec.service.environment = [("WORD".to_owned(), Some("a b".to_owned()))].into();
    });
    let started = world.started(&spec).await;
    assert_eq!(is_ready(&started), own_engine().is_none());
    assert_eq!(started.command, format!("sh -c {line}"), "who asks sees the program");
    let listed = world.engine.list_containers(Some(&world.project)).await.expect("a list");
    assert!(!listed[0].command.contains("trap"), "{}", listed[0].command);
    world.until_lines(&started.id, "/starts", 1).await;

    let again = world.again(&started.id, None).await;
    assert_eq!(again.state, ContainerState::Running);
    world.until_lines(&started.id, "/starts", 2).await;
    assert_eq!(again.started_at == started.started_at, own_engine().is_none(), "the container goes on");
    let sleeping = world.prints(&started.id, "cat /proc/[0-9]*/cmdline").await;
    assert_eq!(sleeping.matches("sleep\u{0}1000").count(), 1, "{sleeping}");
    let in_memory = world.prints(&started.id, "wc -l < /seen; ls -A /tmp | wc -l").await;
    assert_eq!(in_memory, "2\n2\n", "what is in memory goes with the program");
    let variables = world.prints(&started.id, "sort /env").await;
    assert!(variables.contains("WORD=a b\n"), "{variables}");
    assert!(own_engine().is_some() || !variables.contains("SHLVL=2"), "{variables}");

    let whole = world.engine.restart_container(&started.id, None, Restarted::Container).await.expect("a restart");
    assert!(whole.started_at > again.started_at);
    world.until_lines(&started.id, "/starts", 3).await;
    world.again(&started.id, None).await;
    world.until_lines(&started.id, "/starts", 4).await;
}

#[tokio::test]
async fn a_program_behind_a_shell_ends_as_it_would_without() {
    with_docker(async |world| {
        for (name, line, code) in [("a", "exit 3", 3), ("b", "sh -c 'kill -KILL $$'; exit $?", 137), ("c", "true", 0)] {
            let started = world.started(&world.ready(name, line, |_| {})).await;
            assert_eq!(world.exited(&started.id).await.state, ContainerState::Exited(code), "{line}");
        }
        let once = "echo x >> /starts; [ $(wc -l < /starts) = 2 ] && sleep 1000";
        let over = world.started(&world.ready("e", once, |_| {})).await;
        world.exited(&over.id).await;
        assert_eq!(world.again(&over.id, None).await.state, ContainerState::Running, "it is to run again");
        let line = "trap 'exit 5' TERM; trap 'echo hup >> /signals' HUP; : > /signals; while :; do sleep 0.01; done";
        let started = world.started(&world.ready("d", line, |_| {})).await;
        world.prints(&started.id, "while ! [ -e /signals ]; do sleep 0.01; done").await;
        world.engine.kill_container(&started.id, "HUP").await.expect("a signal");
        world.until_lines(&started.id, "/signals", 1).await;
        world.again(&started.id, None).await;
        world.prints(&started.id, "while [ -s /signals ]; do sleep 0.01; done").await;
        let began = Instant::now();
        let stopped = world.engine.stop_container(&started.id, None).await.expect("it stops").expect("it is there");
        assert_eq!(stopped.state, ContainerState::Exited(5));
        assert!(began.elapsed() < Duration::from_secs(8), "before its grace period is over");
    })
    .await;
}

#[tokio::test]
async fn a_program_that_does_not_end_in_time_ends_with_its_container() {
    with_docker(async |world| {
        let line = "trap '' TERM; echo x >> /starts; while :; do sleep 0.01; done";
        let started = world.started(&world.ready("a", line, |_| {})).await;
        world.until_lines(&started.id, "/starts", 1).await;
        let again = world.again(&started.id, Some(Duration::from_secs(1))).await;
        assert_eq!(again.state, ContainerState::Running);
        assert!(again.started_at > started.started_at);
        world.until_lines(&started.id, "/starts", 2).await;
    })
    .await;
}

#[tokio::test]
async fn what_was_found_of_a_program_before_says_nothing_of_the_one_after() {
    with_docker(async |world| {
        let line = "while :; do sleep 0.1; done";
        let spec = world.ready("a", line, |spec| {
            let test = HealthTest::Shell("! [ -e /ill ]".to_owned());
            let interval = Some(Duration::from_secs(1));
            spec.service.healthcheck = Some(Healthcheck { test, interval, retries: Some(2), ..Healthcheck::default() });
        });
        let started = world.started(&spec).await;
        world.until(&started.id, |container| container.health == Health::Healthy).await;
        world.prints(&started.id, ": > /ill").await;
        let again = world.again(&started.id, None).await;
        assert_eq!(again.health, Health::Starting);
        world.until(&started.id, |container| container.health == Health::Unhealthy).await;
        world.prints(&started.id, "rm /ill").await;
        let again = world.again(&started.id, None).await;
        assert_eq!(again.health, Health::Starting);
        world.until(&started.id, |container| container.health == Health::Healthy).await;
    })
    .await;
}

#[tokio::test]
async fn what_has_to_be_the_first_process_is_started_again_with_its_container() {
    with_docker(async |world| {
        let dotted = [("a.b".to_owned(), Some("c".to_owned()))];
        let changes: [(&str, Change<'_>); 4] = [
            ("a", &|spec| spec.service.init = Some(true)),
            ("b", &|spec| spec.service.tty = true),
            ("c", &|spec| spec.service.stop_signal = Some("SIGINT".to_owned())),
            ("d", &|spec| spec.service.environment = dotted.clone().into()),
        ];
        for (name, change) in changes {
            let started = world.started(&world.ready(name, "exec sleep 1000", change)).await;
            assert!(!is_ready(&started), "{name}");
            let again = world.again(&started.id, Some(Duration::ZERO)).await;
            assert!(again.started_at > started.started_at, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_image_without_a_shell_is_started_again_with_its_container() {
    with_docker(async |world| {
        let files =
            [("Dockerfile", "ARG FROM\nFROM $FROM AS all\nFROM scratch\nCOPY --from=all /bin/busybox /tools/sleep\n")];
        let mut build = world.build("bare", &files);
        build.build.args = [("FROM".to_owned(), Some(world.image().to_owned()))].into();
        world.built(&build).await.expect("an image");
        for name in ["a", "b"] {
            let spec = world.ready(name, "", |spec| {
                spec.image.clone_from(&build.image);
                spec.service.command = Some(["/tools/sleep", "1000"].map(str::to_owned).to_vec());
            });
            let started = world.started(&spec).await;
            assert!(!is_ready(&started));
            let again = world.again(&started.id, Some(Duration::ZERO)).await;
            assert!(again.started_at > started.started_at);
        }
    })
    .await;
}
