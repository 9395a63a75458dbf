//! What only a real engine can show.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::time::Duration;

use base64::Engine as _;
use futures_util::StreamExt as _;
use hoist::content::Hashes;
use hoist::engine::docker::{Docker, ExecOptions};
use hoist::engine::{Engine, EngineError, LogOptions, Progress};
use hoist::plan::observed::{ContainerState, Health};
use hoist::plan::spec::{ContainerSpec, CopiedFile, FileContent, NetworkEndpoint, label};
use hoist::project::{
    HealthTest, Healthcheck, Hook, Mount, MountSource, Networking, Port, Protocol, Published, RestartPolicy,
};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::registry;
use crate::world::{DEADLINE, World, with_docker};

const FOREVER: &str = "sleep 1000";

impl World<Docker> {
    /// What a command prints in a container.
    pub(crate) async fn prints(&self, id: &str, line: &str) -> String {
        let hook = Hook { command: ["sh", "-c", line].map(str::to_owned).to_vec(), ..Default::default() };
        let outcome = self.engine.exec(id, &hook).await.expect("an outcome");
        assert_eq!(outcome.code, 0, "{line}: {}", outcome.output);
        outcome.output
    }
}

fn join(spec: &mut ContainerSpec, place: &NetworkEndpoint) {
    spec.service.networking = Networking::default();
    spec.networks.push(place.clone());
}

fn mount(target: &str, source: MountSource) -> Mount {
    Mount { target: target.to_owned(), read_only: false, source }
}

fn hook(line: &str) -> Hook {
    Hook { command: ["sh", "-c", line].map(str::to_owned).to_vec(), ..Default::default() }
}

#[tokio::test]
async fn a_containers_process_sees_what_its_service_says() {
    with_docker(async |world| {
        let spec = world.container("a", FOREVER, |spec| {
            let service = &mut spec.service;
            service.environment.insert("SET".to_owned(), Some("a=b".to_owned()));
            service.environment.insert("OF_THE_IMAGE".to_owned(), None);
            service.working_dir = Some("/bin".to_owned());
            service.user = Some("7:8".to_owned());
            service.hostname = Some("named".to_owned());
            service.read_only = true;
            service.init = Some(true);
            service.stop_grace_period = Some(Duration::from_millis(1500));
            service.restart = RestartPolicy::OnFailure { max_retries: Some(2) };
            service.extra_hosts = vec!["one=10.0.0.1".to_owned(), "two:10.0.0.2".to_owned(), "six=[::6]".to_owned()];
            service.mounts = vec![
                mount("/memory", MountSource::Tmpfs { size: Some(1 << 20), mode: Some(0o1777), options: None }),
                mount("/short", MountSource::Tmpfs { size: None, mode: None, options: Some("size=2m".to_owned()) }),
            ];
        });
        let started = world.started(&spec).await;
        let text = world.prints(&started.id, "/bin/env; pwd; /bin/cat /etc/hosts; /bin/cat /proc/self/status").await;
        assert!(text.contains("SET=a=b\n") && text.contains("HOSTNAME=named\n"), "{text}");
        assert!(!text.contains("OF_THE_IMAGE"), "{text}");
        assert!(text.contains("\n/bin\n"), "{text}");
        assert!(text.contains("Uid:\t7\t") && text.contains("Gid:\t8\t"), "{text}");
        for line in ["10.0.0.1\tone\n", "10.0.0.2\ttwo\n", "::6\tsix\n"] {
            assert!(text.contains(line), "{line} in {text}");
        }
        let mounts = world.prints(&started.id, "/bin/cat /proc/mounts").await;
        assert!(mounts.contains(" / overlay ro,") || mounts.contains(" / ") && mounts.contains("ro"), "{mounts}");
        assert!(mounts.contains("/memory tmpfs") && mounts.contains("size=1024k"), "{mounts}");
        assert!(mounts.contains("/short tmpfs") && mounts.contains("size=2048k"), "{mounts}");
    })
    .await;
}

#[tokio::test]
async fn mounts_show_folders_volumes_and_secrets() {
    with_docker(async |world| {
        let folder = world.folder.path();
        fs::create_dir(folder.join("shared")).expect("a folder");
        fs::write(folder.join("shared/file"), "from the host").expect("a file");
        fs::write(folder.join("secret"), "hush").expect("a file");
        let volume = world.volume("data");
        world.engine.create_volume(&volume).await.expect("a volume");
        let bind = |path, create_host_path| MountSource::Bind {
            path,
            create_host_path,
            propagation: None,
            selinux: None,
            recursion: None,
        };
        let spec = world.container("a", FOREVER, |spec| {
            spec.service.mounts = vec![
                mount("/shared", bind(folder.join("shared"), false)),
                mount("/made", bind(folder.join("made"), true)),
                mount("/colon", bind(folder.join("with:colon"), true)),
                mount("/data", MountSource::Volume { key: "data".to_owned(), nocopy: false, subpath: None }),
            ];
            spec.service.mounts[0].read_only = true;
            spec.volumes = BTreeMap::from([("data".to_owned(), volume.volume.name.clone())]);
            spec.file_mounts = vec![(folder.join("secret"), "/run/secrets/mounted".to_owned())];
            spec.copied_files = vec![CopiedFile {
                target: "/run/secrets/copied".to_owned(),
                content: FileContent::Text("psst".to_owned()),
                mode: 0o400,
                uid: 7,
                gid: 8,
            }];
        });
        let started = world.started(&spec).await;
        let text = world.prints(&started.id, "cat /shared/file /run/secrets/mounted /run/secrets/copied").await;
        assert_eq!(text, "from the hosthushpsst");
        assert!(
            world.prints(&started.id, "ls -ln /run/secrets/copied").await.starts_with("-r--------    1 7        8")
        );
        let refused =
            world.prints(&started.id, "echo x 2>&1 >/shared/x || echo x 2>&1 >/run/secrets/mounted || true").await;
        assert_eq!(refused.matches("ead-only").count(), 2, "{refused}");
        world.prints(&started.id, "echo x >/made/x; echo x >/colon/x; echo x >/data/x").await;
        assert!(folder.join("made/x").exists() && folder.join("with:colon/x").exists());
    })
    .await;
}

#[tokio::test]
async fn a_replacement_goes_on_with_the_anonymous_volumes() {
    Box::pin(with_docker(async |world| {
        let spec = |name: &str| {
            world.container(name, FOREVER, |spec| {
                spec.service.mounts =
                    vec![mount("/written", MountSource::Anonymous { nocopy: false, labels: BTreeMap::new() })];
            })
        };
        let old = world.started(&spec("a")).await;
        // `/declared` is a volume of the image.
        world.prints(&old.id, "echo one >/written/f; echo two >/declared/f").await;
        let replacement = ContainerSpec { volumes_from: Some(old.id.clone()), ..spec("b") };
        let new = world.engine.create_container(&replacement).await.expect("a container").container;
        world.engine.remove_container(&old.id, false).await.expect("a removal");
        world.engine.start_container(&new.id).await.expect("a start");
        assert_eq!(world.prints(&new.id, "cat /written/f /declared/f").await, "one\ntwo\n");
    }))
    .await;
}

#[tokio::test]
async fn a_container_joins_all_its_networks_under_its_aliases() {
    Box::pin(with_docker(async |world| {
        let (one, two) = (world.place("one", &["web", "web"]).await, world.place("two", &["other"]).await);
        let server = world.container("a", "while true; do echo hello | nc -l -p 80; done", |spec| {
            join(spec, &one);
            spec.networks.push(two.clone());
        });
        let server = world.started(&server).await;
        assert_eq!(server.networks, [one.network.clone(), two.network.clone()]);
        for (place, name) in [(&one, "web"), (&two, "other")] {
            let place = NetworkEndpoint { aliases: Vec::new(), ..place.clone() };
            let client = world.container(name, FOREVER, |spec| join(spec, &place));
            let client = world.started(&client).await;
            let line = format!("until nc {name} 80 </dev/null; do sleep 0.1; done");
            assert_eq!(world.prints(&client.id, &line).await.lines().last(), Some("hello"));
        }
        let sharing = world.container("b", "until nc localhost 80 </dev/null; do sleep 0.1; done", |spec| {
            spec.service.networking = Networking::Service("a".to_owned());
            spec.companions.insert("a".into(), server.id.clone());
            spec.service.expose = vec!["1-3".to_owned()];
        });
        let sharing = world.started(&sharing).await;
        assert_eq!(world.exited(&sharing.id).await.state, ContainerState::Exited(0));
    }))
    .await;
}

#[tokio::test]
async fn health_is_observed_as_it_changes() {
    with_docker(async |world| {
        let spec = world.container("a", FOREVER, |spec| {
            spec.service.healthcheck = Some(Healthcheck {
                test: HealthTest::Shell("test -e /healthy".to_owned()),
                interval: Some(Duration::from_millis(50)),
                timeout: Some(Duration::from_secs(5)),
                retries: Some(1000),
                ..Default::default()
            });
        });
        let mut events = world.engine.events(&world.project);
        let started = world.started(&spec).await;
        assert_eq!(started.health, Health::Starting);
        world.prints(&started.id, "echo >/healthy").await;
        let healthy = async {
            while world.engine.container(&started.id).await.expect("an answer").expect("it").health != Health::Healthy {
                events.next().await.expect("an event").expect("an event");
            }
        };
        tokio::time::timeout(DEADLINE, healthy).await.expect("an event tells of the change");
        let listed = world.engine.list_containers(Some(&world.project)).await.expect("a list");
        assert_eq!((listed[0].health, listed[0].state), (Health::Healthy, ContainerState::Running));
    })
    .await;
}

#[tokio::test]
async fn a_list_shows_what_an_inspection_shows() {
    with_docker(async |world| {
        let place = world.place("net", &[]).await;
        let spec = world.container("a", "exit 3", |spec| {
            join(spec, &place);
            spec.service.expose = vec!["90".to_owned()];
        });
        let started = world.started(&spec).await;
        let inspected = world.exited(&started.id).await;
        let listed = world.engine.list_containers(Some(&world.project)).await.expect("a list");
        let [listed] = listed.as_slice() else { panic!("{listed:?}") };
        assert_eq!((&listed.id, &listed.name, listed.state), (&inspected.id, &inspected.name, inspected.state));
        assert_eq!((&listed.labels, &listed.networks), (&inspected.labels, &inspected.networks));
        assert_eq!((&listed.image, &listed.image_id), (&inspected.image, &inspected.image_id));
        let all = world.engine.list_containers(None).await.expect("a list");
        assert!(all.iter().any(|container| container.id == started.id));
    })
    .await;
}

#[tokio::test]
async fn a_port_that_a_process_has_names_the_process() {
    with_docker(async |world| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its number").port();
        let place = world.place("net", &[]).await;
        let spec = world.container("a", FOREVER, |spec| {
            join(spec, &place);
            spec.service.ports.push(Port {
                target: 80,
                published: Published::Port(port),
                host_ip: Some("127.0.0.1".to_owned()),
                protocol: Protocol::Tcp,
                name: None,
                app_protocol: None,
            });
        });
        let made = world.engine.create_container(&spec).await.expect("a container").container;
        let error = world.engine.start_container(&made.id).await.expect_err("the port is taken");
        let EngineError::PortTaken { port: named, holder: Some(holder) } = error else { panic!("{error:?}") };
        assert_eq!(named, port);
        assert!(holder.ends_with(&format!("(process {})", std::process::id())), "{holder}");
    })
    .await;
}

#[tokio::test]
async fn a_terminal_in_a_container_is_a_terminal() {
    with_docker(async |world| {
        let started = world.started(&world.container("a", FOREVER, |_| {})).await;
        let options =
            ExecOptions { hook: hook("read line; echo got $line; stty size; exit 5"), tty: true, stdin: true };
        let mut attached = world.engine.exec_interactive(&started.id, &options).await.expect("a terminal");
        world.engine.resize_exec(&attached.id, 90, 30).await.expect("a size");
        attached.input.write_all(b"hello\n").await.expect("an input");
        let mut text = Vec::new();
        while let Some(chunk) = attached.output.next().await {
            text.extend_from_slice(&chunk.expect("a chunk").bytes);
        }
        let text = String::from_utf8_lossy(&text).replace('\r', "");
        assert!(text.ends_with("got hello\n30 90\n"), "{text}");
        assert_eq!(world.engine.exec_exit_code(&attached.id).await, Ok(5));
    })
    .await;
}

#[tokio::test]
async fn a_one_off_container_reads_its_input_to_the_end() {
    with_docker(async |world| {
        let spec = world.container("a", "wc -c; exit 6", |spec| {
            spec.service.stdin_open = true;
            spec.labels.insert(label::ONE_OFF.to_owned(), "True".to_owned());
        });
        let made = world.engine.create_container(&spec).await.expect("a container").container;
        assert!(made.one_off);
        let mut attached = world.engine.attach(&made.id, true).await.expect("both ends");
        let engine = world.engine.clone();
        let id = made.id.clone();
        let code = tokio::spawn(async move { engine.wait_next_exit(&id).await });
        world.engine.start_container(&made.id).await.expect("a start");
        attached.input.write_all(b"12345").await.expect("an input");
        attached.input.shutdown().await.expect("its end");
        let mut text = Vec::new();
        while let Some(chunk) = attached.output.next().await {
            text.extend_from_slice(&chunk.expect("a chunk").bytes);
        }
        assert_eq!(text, b"5\n");
        assert_eq!(code.await.expect("no panic"), Ok(6));
        assert_eq!(world.engine.wait(&made.id).await, Ok(6));
    })
    .await;
}

#[tokio::test]
async fn files_go_in_and_out_as_tars() {
    with_docker(async |world| {
        let started = world.started(&world.container("a", FOREVER, |_| {})).await;
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(2);
        header.set_mode(0o644);
        builder.append_data(&mut header, "in/file", b"hi".as_slice()).expect("an entry");
        let tar = builder.into_inner().expect("a tar");
        world.engine.upload(&started.id, "/", tar.into()).await.expect("an upload");
        assert_eq!(world.prints(&started.id, "cat /in/file").await, "hi");
        let mut pieces = world.engine.download(&started.id, "/in");
        let mut tar = Vec::new();
        while let Some(piece) = pieces.next().await {
            tar.extend_from_slice(&piece.expect("a piece"));
        }
        let mut archive = tar::Archive::new(tar.as_slice());
        let entries = archive
            .entries()
            .expect("entries")
            .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string());
        assert_eq!(entries.collect::<Vec<_>>(), ["in/", "in/file"]);
        let missing = world.engine.download(&started.id, "/nowhere").next().await.expect("an answer");
        assert!(matches!(missing, Err(EngineError::NotFound { .. })), "{missing:?}");
    })
    .await;
}

#[tokio::test]
async fn files_and_folders_of_a_container_are_removed_whatever_they_are_called() {
    with_docker(async |world| {
        let started = world.started(&world.container("a", FOREVER, |_| {})).await;
        let mut builder = tar::Builder::new(Vec::new());
        for path in ["in/a b&path=c/deep/file", "in/-rf", "in/stays"] {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_size(0);
            builder.append_data(&mut header, path, &b""[..]).expect("an entry");
        }
        let tar = builder.into_inner().expect("a tar");
        world.engine.upload(&started.id, "/", tar.into()).await.expect("an upload");
        let paths = ["/in/a b&path=c", "/in/-rf", "/in/none"].map(str::to_owned);
        world.engine.remove_files(&started.id, &paths).await.expect("they are removed");
        assert_eq!(world.prints(&started.id, "ls -A /in").await.trim(), "stays");
        let many: Vec<String> = (0..2_000).map(|number| format!("/in/folder of many/file {number}")).collect();
        world.engine.remove_files(&started.id, &many).await.expect("there are none");
        let gone = world.engine.remove_files("0123456789ab", &many).await;
        assert!(matches!(gone, Err(EngineError::NotFound { .. })), "{gone:?}");
    })
    .await;
}

#[tokio::test]
async fn logs_can_begin_at_a_fraction_of_a_second() {
    with_docker(async |world| {
        let spec = world.container("a", "echo one; sleep 0.3; echo two", |_| {});
        let started = world.started(&spec).await;
        world.exited(&started.id).await;
        let lines = async |options: LogOptions| {
            let mut log = world.engine.logs(&started.id, &options);
            // An engine may give several lines at once.
            let mut text = String::new();
            while let Some(chunk) = log.next().await {
                text.push_str(&String::from_utf8_lossy(&chunk.expect("a chunk").bytes));
            }
            text.lines().map(|line| line.trim().to_owned()).collect::<Vec<String>>()
        };
        let stamped = lines(LogOptions { timestamps: true, ..Default::default() }).await;
        let (time, _) = stamped[1].split_once(' ').expect("a time");
        let time = chrono::DateTime::parse_from_rfc3339(time).expect("a time");
        let since = Some(format!("{}.{:09}", time.timestamp(), time.timestamp_subsec_nanos()));
        assert_eq!(lines(LogOptions { since: since.clone(), ..Default::default() }).await, ["two"]);
        assert_eq!(lines(LogOptions { tail: Some(1), ..Default::default() }).await, ["two"]);
        assert!(lines(LogOptions { until: Some("1.5".to_owned()), ..Default::default() }).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_build_under_way_is_cancelled_at_once() {
    with_docker(async |world| {
        let dockerfile = format!("FROM {}\nRUN sleep 600\n", world.image());
        let spec = world.build("fails", &[("Dockerfile", &dockerfile)]);
        let (progress, mut news) = mpsc::channel(100);
        let cancel = CancellationToken::new();
        let (engine, token) = (world.engine.clone(), cancel.clone());
        let building = tokio::spawn(async move { engine.build(&spec, progress, token).await });
        while let Some(piece) = tokio::time::timeout(DEADLINE, news.recv()).await.expect("the step begins") {
            if format!("{piece:?}").contains("RUN sleep") {
                break;
            }
        }
        cancel.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(1), building).await.expect("at once");
        assert_eq!(ended.expect("no panic"), Err(EngineError::Cancelled));
    })
    .await;
}

#[tokio::test]
async fn a_large_context_is_streamed_and_a_huge_file_left_out_of_it_is_not_read() {
    with_docker(async |world| {
        let spec =
            world.build("large", &[("Dockerfile", "FROM scratch\nCOPY kept /kept\n"), (".dockerignore", "huge\n")]);
        let root = world.folder.path().join("large");
        fs::File::create(root.join("kept")).and_then(|file| file.set_len(40 << 20)).expect("40 MiB");
        fs::File::create(root.join("huge")).and_then(|file| file.set_len(1 << 42)).expect("4 TiB of nothing");
        let image = world.built(&spec).await.expect("an image");
        assert_eq!(
            image.labels[label::INPUTS],
            hoist::engine::context::inputs_digest(&spec, &Hashes::default()).await.expect("a digest")
        );
    })
    .await;
}

#[tokio::test]
async fn arguments_target_and_a_dockerfile_from_elsewhere_reach_the_build() {
    with_docker(async |world| {
        let dockerfile = "ARG WHICH=none\nFROM scratch AS one\nARG WHICH\nLABEL which=$WHICH\nFROM scratch AS two\nLABEL which=never\n";
        let mut spec = world.build("a", &[("f", "1")]);
        fs::write(world.folder.path().join("Elsewhere"), dockerfile).expect("a file");
        spec.build.dockerfile = "../Elsewhere".to_owned();
        spec.build.target = Some("one".to_owned());
        spec.build.args.insert("WHICH".to_owned(), Some("this".to_owned()));
        spec.build.args.insert("UNSET".to_owned(), None);
        assert_eq!(world.built(&spec).await.expect("an image").labels["which"], "this");
        spec.build.dockerfile_inline = Some("FROM scratch\nLABEL which=inline\n".to_owned());
        spec.build.target = None;
        assert_eq!(world.built(&spec).await.expect("an image").labels["which"], "inline");
    })
    .await;
}

#[tokio::test]
async fn the_classic_builder_tells_as_much() {
    with_docker(async |world| {
        let engine = world.engine.clone().without_buildkit();
        let dockerfile = format!("FROM {}\nCOPY nowhere /x\n", world.image());
        let spec = world.build("fails", &[("Dockerfile", &dockerfile)]);
        let (progress, mut news) = mpsc::channel(100);
        let error = engine.build(&spec, progress, CancellationToken::new()).await.expect_err("a failing step");
        let EngineError::CommandFailed { message, .. } = error else { panic!("{error:?}") };
        assert!(message.contains("] COPY nowhere /x: ") && message.contains("nowhere"), "{message}");
        let mut steps = BTreeSet::new();
        while let Some(piece) = news.recv().await {
            steps.insert(format!("{piece:?}"));
        }
        let from = format!("] FROM {}", world.image());
        assert!(steps.iter().any(|step| step.contains(&from)), "{steps:?}");
    })
    .await;
}

#[tokio::test]
async fn a_pull_uses_the_credentials_of_the_docker_config() {
    with_docker(async |world| {
        let address = registry::start(&world.project);
        let image = format!("{address}/{}:1", world.project);
        let login = base64::engine::general_purpose::STANDARD.encode(registry::LOGIN);
        let config = serde_json::json!({ "auths": { &address: { "auth": login } } });
        fs::write(world.folder.path().join("config.json"), config.to_string()).expect("a file");
        let pull = async |engine: &Docker| {
            let (progress, mut news) = mpsc::channel(100);
            let pulled = engine.pull(&image, None, progress, CancellationToken::new()).await;
            (pulled, news.recv().await)
        };
        let (refused, _) = pull(&world.engine).await;
        assert!(matches!(refused, Err(EngineError::Refused { .. } | EngineError::NotFound { .. })), "{refused:?}");
        let engine = world.engine.clone().with_docker_config(world.folder.path());
        let (pulled, news) = pull(&engine).await;
        assert_eq!(pulled.expect("an image").labels["pulled"], world.project);
        assert!(matches!(news, Some(Progress::Bytes { .. })), "{news:?}");
        // A build that takes from there asks back for the same credentials.
        world.engine.remove_image(&image).await.expect("a removal");
        let spec = world.build("a", &[("Dockerfile", &format!("FROM {image}\nLABEL built=yes\n"))]);
        let (progress, _) = mpsc::channel(1);
        let built = engine.build(&spec, progress, CancellationToken::new()).await.expect("an image");
        assert_eq!((built.labels["pulled"].as_str(), built.labels["built"].as_str()), (world.project.as_str(), "yes"));
        world.engine.remove_image(&image).await.expect("a removal");
    })
    .await;
}

#[tokio::test]
async fn an_engine_that_is_not_there_is_told_at_once_with_what_was_tried() {
    let asked = tokio::time::timeout(Duration::from_secs(3), Docker::connect(Some("unix:///nowhere/engine.sock")));
    let error = asked.await.expect("at once").expect_err("no engine");
    let EngineError::Unreachable { message } = error else { panic!("{error:?}") };
    assert_eq!(message, "no container engine answers; tried\n  unix:///nowhere/engine.sock (--engine): no such socket");
}
