//! What every engine has to do, each function a sentence of it.

use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use futures_util::StreamExt as _;
use hoist::content::Hashes;
use hoist::engine::context::inputs_digest;
use hoist::engine::{Engine, EngineError, LogOptions, Progress, Wanted};
use hoist::plan::observed::{ContainerState, Image};
use hoist::plan::spec::label;
use hoist::project::{Hook, Mount, MountSource, Networking, Port, Protocol, Published};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::world::{DEADLINE, World, followed};

const FOREVER: &str = "sleep 1000";

pub(crate) async fn a_container_is_made_started_stopped_and_removed<E: Engine>(world: &World<E>) {
    let spec = world.container("a", FOREVER, |_| {});
    let made = world.engine.create_container(&spec).await.expect("a container").container;
    assert_eq!((made.state, made.started_at), (ContainerState::Created, 0));
    assert_eq!((made.service.as_str(), made.number, made.one_off), ("a", 1, false));
    assert_eq!(made.config_hash.as_deref(), Some("hash"));
    assert_eq!(made.name, spec.name);
    assert!(made.created_at > 0);

    let started = world.engine.start_container(&made.id).await.expect("a start");
    assert_eq!(started.state, ContainerState::Running);
    assert!(started.started_at > 0);
    world.engine.start_container(&made.id).await.expect("starting what runs succeeds");

    let stopped = world.engine.stop_container(&made.id, Some(Duration::ZERO)).await.expect("a stop");
    let stopped = stopped.expect("it is still there");
    assert!(matches!(stopped.state, ContainerState::Exited(_)), "{:?}", stopped.state);
    assert!(stopped.finished_at >= started.started_at);
    world.engine.stop_container(&made.id, None).await.expect("stopping what is stopped succeeds");

    world.engine.remove_container(&made.id, true).await.expect("a removal");
    assert_eq!(world.engine.container(&made.id).await, Ok(None));
    assert_eq!(world.engine.stop_container(&made.id, None).await, Ok(None));
}

pub(crate) async fn a_name_is_given_once_and_can_be_changed<E: Engine>(world: &World<E>) {
    let spec = world.container("a", FOREVER, |_| {});
    let first = world.engine.create_container(&spec).await.expect("a container").container;
    let second = world.engine.create_container(&spec).await.expect_err("the name is taken");
    assert!(matches!(&second, EngineError::Refused { message } if message.contains(&spec.name)), "{second}");
    let other = format!("{}-other", spec.name);
    world.engine.rename_container(&first.id, &other).await.expect("another name");
    world.engine.create_container(&spec).await.expect("the name is free again");
    assert_eq!(world.engine.container(&first.id).await.expect("an answer").expect("it").name, other);
}

pub(crate) async fn only_the_projects_own_and_what_was_asked_for_is_observed<E: Engine>(world: &World<E>) {
    let place = world.place("net", &["a"]).await;
    world.engine.create_volume(&world.volume("data")).await.expect("a volume");
    let spec = world.container("a", FOREVER, |spec| {
        spec.service.networking = Networking::default();
        spec.networks.push(place.clone());
    });
    let own = world.started(&spec).await;
    let foreign = world.container("b", FOREVER, |spec| {
        spec.labels.insert(label::PROJECT.to_owned(), format!("{}-foreign", world.project));
    });
    let foreign = world.engine.create_container(&foreign).await.expect("a container").container;

    let wanted = Wanted {
        images: vec![world.image().to_owned(), "hoist-test/never-made".to_owned()],
        networks: vec!["hoist-test-never-made".to_owned()],
        volumes: vec!["hoist-test-never-made".to_owned()],
    };
    let observed = world.engine.observe(&world.project, &wanted).await;
    world.engine.remove_container(&foreign.id, true).await.expect("a removal");
    let observed = observed.expect("what there is");

    assert_eq!(observed.containers.keys().collect::<Vec<_>>(), [&own.id]);
    assert_eq!(observed.containers[&own.id].networks, [place.network.as_str()]);
    assert_eq!(observed.networks.keys().collect::<Vec<_>>(), [&place.network]);
    assert_eq!(observed.networks[&place.network].labels[label::NETWORK], "net");
    assert_eq!(observed.volumes.keys().collect::<Vec<_>>(), [&format!("{}_data", world.project)]);
    assert_eq!(observed.images[world.image()], observed.images[&own.image_id]);
    assert!(!observed.images.contains_key("hoist-test/never-made"));
}

pub(crate) async fn exit_codes_and_output_are_kept<E: Engine>(world: &World<E>) {
    let spec = world.container("a", "echo out; echo err >&2; exit 3", |_| {});
    let started = world.started(&spec).await;
    let exited = world.exited(&started.id).await;
    assert_eq!(exited.state, ContainerState::Exited(3));
    assert!(exited.finished_at > 0);
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut log = world.engine.logs(&started.id, &LogOptions::default());
    while let Some(chunk) = log.next().await {
        let chunk = chunk.expect("a chunk");
        if chunk.stderr { &mut errors } else { &mut output }.extend_from_slice(&chunk.bytes);
    }
    assert_eq!((output.as_slice(), errors.as_slice()), (b"out\n".as_slice(), b"err\n".as_slice()));
}

pub(crate) async fn a_followed_log_ends_with_its_container<E: Engine>(world: &World<E>) {
    let spec = world.container("a", "echo one; sleep 1000", |_| {});
    let started = world.started(&spec).await;
    let options = LogOptions { follow: true, tail: Some(10), ..Default::default() };
    let mut log = world.engine.logs(&started.id, &options);
    let first = tokio::time::timeout(DEADLINE, log.next()).await.expect("soon").expect("a chunk").expect("a chunk");
    assert_eq!(first.bytes.as_ref(), b"one\n");
    world.engine.kill_container(&started.id, "SIGKILL").await.expect("a kill");
    assert!(tokio::time::timeout(DEADLINE, log.next()).await.expect("the log ends").is_none());
}

pub(crate) async fn what_a_followed_container_writes_last_is_passed_on<E: Engine>(world: &World<E>) {
    let spec = world.container("a", "echo one; echo two", |_| {});
    let started = world.started(&spec).await;
    assert_eq!(followed(world, &started.id, LogOptions { follow: true, ..Default::default() }).await, ["one", "two"]);
}

pub(crate) async fn events_tell_from_the_call_on_which_containers_changed<E: Engine>(world: &World<E>) {
    let mut events = world.engine.events(&world.project);
    // The stream is read only afterwards: nothing is lost in between.
    let made =
        world.engine.create_container(&world.container("a", FOREVER, |_| {})).await.expect("a container").container;
    let heard = tokio::time::timeout(DEADLINE, events.next()).await.expect("an event").expect("an event");
    assert_eq!(heard.expect("no error").id, made.id);
    world.engine.start_container(&made.id).await.expect("a start");
    let heard = tokio::time::timeout(DEADLINE, events.next()).await.expect("an event").expect("an event");
    assert_eq!(heard.expect("no error").id, made.id);
}

pub(crate) async fn making_twice_and_removing_twice_succeed<E: Engine>(world: &World<E>) {
    let (network, volume) = (world.network("net"), world.volume("data"));
    for _ in 0..2 {
        world.engine.create_network(&network).await.expect("a network");
        world.engine.create_volume(&volume).await.expect("a volume");
    }
    for _ in 0..2 {
        world.engine.remove_network(&network.network.name).await.expect("a removal");
        world.engine.remove_volume(&volume.volume.name).await.expect("a removal");
        world.engine.remove_container("hoist-test-never-made", true).await.expect("a removal");
        world.engine.remove_image("hoist-test/never-made").await.expect("a removal");
    }
}

pub(crate) async fn what_is_not_there_is_said<E: Engine>(world: &World<E>) {
    let is_missing = |error: &EngineError| matches!(error, EngineError::NotFound { .. });
    let spec = world.container("a", FOREVER, |spec| "hoist-test/never-made".clone_into(&mut spec.image));
    let error = world.engine.create_container(&spec).await.expect_err("no image");
    assert!(is_missing(&error), "{error:?}");
    let error = world.engine.start_container("hoist-test-never-made").await.expect_err("no container");
    assert!(is_missing(&error), "{error:?}");
    assert_eq!(world.engine.container("hoist-test-never-made").await, Ok(None));
    assert_eq!(world.engine.image("hoist-test/never-made").await, Ok(None));
    let error = world.engine.logs("hoist-test-never-made", &LogOptions::default()).next().await;
    assert!(is_missing(&error.expect("an answer").expect_err("no container")));
}

pub(crate) async fn a_missing_host_path_is_named_before_anything_is_made<E: Engine>(world: &World<E>) {
    let path = world.folder.path().join("nowhere");
    let bind = MountSource::Bind {
        path: path.clone(),
        create_host_path: false,
        propagation: None,
        selinux: None,
        recursion: None,
    };
    let spec = world.container("a", FOREVER, |spec| {
        spec.service.mounts.push(Mount { target: "/x".to_owned(), read_only: false, source: bind });
    });
    let missing = EngineError::MissingPath { path: path.clone() };
    assert_eq!(world.engine.create_container(&spec).await, Err(missing.clone()));
    let spec = world.container("a", FOREVER, |spec| spec.file_mounts.push((path, "/run/secrets/x".to_owned())));
    assert_eq!(world.engine.create_container(&spec).await, Err(missing));
    assert!(!world.folder.path().join("nowhere").exists());
    let observed = world.engine.observe(&world.project, &Wanted::default()).await.expect("what there is");
    assert!(observed.containers.is_empty());
}

pub(crate) async fn a_taken_port_names_its_holder<E: Engine>(world: &World<E>) {
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
    let place = world.place("net", &[]).await;
    let publish = |name: &str| {
        world.container(name, FOREVER, |spec| {
            spec.service.networking = Networking::default();
            spec.networks.push(place.clone());
            spec.service.ports.push(Port {
                target: 80,
                published: Published::Port(port),
                host_ip: Some("127.0.0.1".to_owned()),
                protocol: Protocol::Tcp,
                name: None,
                app_protocol: None,
            });
        })
    };
    let first = world.started(&publish("a")).await;
    assert_eq!((first.ports[0].host_port, first.ports[0].target), (port, 80));
    let second = world.engine.create_container(&publish("b")).await.expect("a container").container;
    let error = world.engine.start_container(&second.id).await.expect_err("the port is taken");
    assert_eq!(error, EngineError::PortTaken { port, holder: Some(format!("container `{}`", first.name)) });
}

pub(crate) async fn a_command_in_a_container_gives_its_code_and_output<E: Engine>(world: &World<E>) {
    let started = world.started(&world.container("a", FOREVER, |_| {})).await;
    let hook = |line: &str| Hook { command: ["sh", "-c", line].map(str::to_owned).to_vec(), ..Default::default() };
    let outcome = world.engine.exec(&started.id, &hook("echo hello; exit 4")).await.expect("an outcome");
    assert_eq!((outcome.code, outcome.output.as_str()), (4, "hello\n"));
    world.engine.stop_container(&started.id, Some(Duration::ZERO)).await.expect("a stop");
    let error = world.engine.exec(&started.id, &hook("true")).await.expect_err("it does not run");
    assert!(matches!(&error, EngineError::Refused { message } if message.contains("is not running")), "{error}");
}

pub(crate) async fn a_killed_container_has_exited<E: Engine>(world: &World<E>) {
    let started = world.started(&world.container("a", FOREVER, |_| {})).await;
    world.engine.kill_container(&started.id, "SIGKILL").await.expect("a kill");
    assert_eq!(world.exited(&started.id).await.state, ContainerState::Exited(137));
    world.engine.kill_container(&started.id, "SIGKILL").await.expect("killing what has exited succeeds");
}

pub(crate) async fn the_same_inputs_build_the_same_image<E: Engine>(world: &World<E>) {
    let files = [("Dockerfile", "FROM scratch\nCOPY f /f\n"), ("f", "1"), (".dockerignore", "*.log")];
    let (a, b) = (world.build("a", &files), world.build("b", &files));
    fs::write(world.folder.path().join("b/x.log"), "left out").expect("a file");
    let first = world.built(&a).await.expect("an image");
    let second = world.built(&b).await.expect("an image");
    assert_eq!(first.identity, second.identity);
    assert_eq!(first.labels[label::INPUTS], inputs_digest(&a, &Hashes::default()).await.expect("a digest"));
    assert_eq!(first.labels[label::INPUTS], second.labels[label::INPUTS]);
    assert_eq!(first.labels[label::PROJECT], world.project);
    assert!(!first.has_healthcheck);
    // The second build has given the image another name, and the engine notes when it last did so.
    let found = world.engine.image(&a.image).await.expect("the engine answers").expect("the image is there");
    assert_eq!(Image { tagged_at: first.tagged_at, ..found }, first);
}

pub(crate) async fn another_input_builds_another_image<E: Engine>(world: &World<E>) {
    let files = [("Dockerfile", "FROM scratch\nCOPY f /f\nHEALTHCHECK CMD true\n"), ("f", "1")];
    let spec = world.build("a", &files);
    let first = world.built(&spec).await.expect("an image");
    assert!(first.has_healthcheck);
    fs::write(world.folder.path().join("a/f"), "2").expect("a file");
    let second = world.built(&spec).await.expect("an image");
    assert_ne!(first.identity, second.identity);
    assert_ne!(first.labels[label::INPUTS], second.labels[label::INPUTS]);
}

pub(crate) async fn a_failed_step_is_named_with_its_output<E: Engine>(world: &World<E>) {
    let dockerfile = format!("FROM {}\nRUN echo no; echo luck; exit 7\n", world.image());
    let spec = world.build("fails", &[("Dockerfile", &dockerfile)]);
    let (progress, mut news) = mpsc::channel(1000);
    let error = world.engine.build(&spec, progress, CancellationToken::new()).await.expect_err("the step fails");
    let EngineError::CommandFailed { message, output } = error else { panic!("{error:?}") };
    assert!(
        message.starts_with("[2/") && message.contains("] RUN echo no; echo luck; exit 7: exit code 7"),
        "{message}"
    );
    assert_eq!(output, ["no", "luck"]);
    let mut heard = Vec::new();
    while let Some(piece) = news.recv().await {
        heard.push(piece);
    }
    assert!(heard.contains(&Progress::Output("luck".to_owned())), "{heard:?}");
    let is_step =
        |piece: &Progress| matches!(piece, Progress::Step(step) if step.ends_with("] RUN echo no; echo luck; exit 7"));
    assert!(heard.iter().any(is_step), "{heard:?}");
}

pub(crate) async fn a_missing_context_is_named<E: Engine>(world: &World<E>) {
    let nowhere = world.folder.path().join("nowhere");
    let error = world.built(&world.build_of("fails", &nowhere)).await;
    assert_eq!(error, Err(EngineError::MissingPath { path: nowhere }));
    let spec = world.build("fails", &[("f", "1")]);
    let dockerfile = world.folder.path().join("fails/Dockerfile");
    assert_eq!(world.built(&spec).await, Err(EngineError::MissingPath { path: dockerfile }));
}

pub(crate) async fn a_cancelled_build_says_so<E: Engine>(world: &World<E>) {
    let spec = world.build("a", &[("Dockerfile", "FROM scratch\nCOPY f /f\n"), ("f", "1")]);
    let cancel = CancellationToken::new();
    cancel.cancel();
    let (progress, _) = mpsc::channel(1);
    assert_eq!(world.engine.build(&spec, progress, cancel).await, Err(EngineError::Cancelled));
}

pub(crate) async fn an_image_in_use_is_not_removed<E: Engine>(world: &World<E>) {
    let dockerfile = format!("FROM {}\nCOPY f /f\n", world.image());
    let spec = world.build("a", &[("Dockerfile", &dockerfile), ("f", &world.project)]);
    world.built(&spec).await.expect("an image");
    let container = world.container("a", FOREVER, |container| container.image.clone_from(&spec.image));
    let made = world.engine.create_container(&container).await.expect("a container").container;
    let error = world.engine.remove_image(&spec.image).await.expect_err("a container has it");
    assert!(matches!(error, EngineError::Refused { .. }), "{error:?}");
    world.engine.remove_container(&made.id, true).await.expect("a removal");
    world.engine.remove_image(&spec.image).await.expect("a removal");
    assert_eq!(world.engine.image(&spec.image).await, Ok(None));
}
