//! What holds for the export of every project.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hoist::export::{Options, SecretValues, check, kubernetes, stream};
use hoist::project::cluster::{Cluster, Mode, Update};
use hoist::project::kubernetes::{Autoscale, Entry, Kubernetes, Schedule, ServiceType, Tls, WorkloadKind};
use hoist::project::{
    Condition, Dependency, FileGrant, FileObject, FileSource, HealthTest, Healthcheck, Mount, MountSource, Networking,
    Port, Protocol, Published, RestartPolicy, Service, Volume,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::support::{exported, project, service};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[a-zA-Z0-9_./:@$() -]{0,20}", Just("http://a_b:80/x".to_owned())]
}

/// Names as a manifest allows them.
fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c_.-]{1,3}", "[a-zA-Z0-9._-]{1,90}", "[0-9]{1,3}"]
}

fn mount() -> impl Strategy<Value = Mount> {
    let source = prop_oneof![
        Just(MountSource::Anonymous { nocopy: false, labels: BTreeMap::new() }),
        name().prop_map(|key| MountSource::Volume { key, nocopy: false, subpath: None }),
        (option::of(1_u64..1 << 40), option::of(text())).prop_map(|(size, options)| MountSource::Tmpfs {
            size,
            mode: None,
            options
        }),
        text().prop_map(|path| MountSource::Bind {
            path: format!("/{path}").into(),
            create_host_path: true,
            propagation: None,
            selinux: None,
            recursion: None,
        }),
    ];
    ("/[a-z:/]{0,8}", any::<bool>(), source).prop_map(|(target, read_only, source)| Mount { target, read_only, source })
}

fn port() -> impl Strategy<Value = Port> {
    (any::<u16>(), any::<bool>(), option::of(text()), option::of(text())).prop_map(
        |(target, udp, name, app_protocol)| Port {
            target,
            published: Published::Ephemeral,
            host_ip: None,
            protocol: if udp { Protocol::Udp } else { Protocol::Tcp },
            name,
            app_protocol,
        },
    )
}

fn grant() -> impl Strategy<Value = FileGrant> {
    (name(), "/[a-z/]{0,6}", option::of(any::<u32>())).prop_map(|(key, target, mode)| FileGrant {
        key,
        target,
        uid: None,
        gid: None,
        mode,
    })
}

fn healthcheck() -> impl Strategy<Value = Healthcheck> {
    let test = prop_oneof![
        Just(HealthTest::Inherit),
        Just(HealthTest::Disabled),
        vec(text(), 0..3).prop_map(HealthTest::Command),
        text().prop_map(HealthTest::Shell),
        Just(HealthTest::Shell("curl -f http://localhost:80/ || exit 1".to_owned())),
    ];
    let period = || option::of(any::<u64>().prop_map(Duration::from_millis));
    (test, period(), period(), option::of(any::<u32>()), period(), period()).prop_map(
        |(test, interval, timeout, retries, start_period, start_interval)| Healthcheck {
            test,
            interval,
            timeout,
            retries,
            start_period,
            start_interval,
        },
    )
}

/// What `x-hoist.kubernetes` may say: the manifest's own checks have let it through.
fn settings() -> impl Strategy<Value = Kubernetes> {
    let kind = prop_oneof![
        Just(None),
        Just(Some(WorkloadKind::Deployment)),
        Just(Some(WorkloadKind::StatefulSet)),
        Just(Some(WorkloadKind::DaemonSet)),
        Just(Some(WorkloadKind::Job)),
        Just(Some(WorkloadKind::CronJob)),
    ];
    let hosts = vec(prop_oneof![Just("a.example.com".to_owned()), Just("b.example.com/x/y".to_owned())], 0..3);
    let entry = prop_oneof![
        Just(None),
        Just(Some(Entry::Ingress { class: Some("nginx".to_owned()), annotations: BTreeMap::new() })),
        Just(Some(Entry::Gateway { name: "public".to_owned(), namespace: None, listener: None })),
    ];
    let scale = option::of((1_u32..4, 1_u32..9)).prop_map(|scale| {
        scale.map(|(min, more)| Autoscale { min: Some(min), max: min + more, cpu: Some(80), memory: None })
    });
    let schedule = option::of(Just(Schedule {
        cron: "@daily".to_owned(),
        time_zone: None,
        concurrency: hoist::project::kubernetes::Concurrency::Forbid,
    }));
    (kind, hosts, entry, scale, schedule, option::of(any::<u16>()), any::<bool>()).prop_map(
        |(kind, hosts, entry, autoscale, schedule, port, tls)| Kubernetes {
            kind,
            hosts,
            entry,
            autoscale,
            schedule,
            port: port.filter(|port| *port > 0),
            tls: if tls { Tls::Own } else { Tls::Off },
            ..Kubernetes::default()
        },
    )
}

/// What `deploy` may say.
fn cluster() -> impl Strategy<Value = Cluster> {
    let mode = prop_oneof![Just(Mode::Replicated), Just(Mode::Global), Just(Mode::ReplicatedJob)];
    let update = option::of((0_u32..4, any::<bool>()).prop_map(|(parallelism, is_start_first)| Update {
        parallelism,
        is_start_first,
        ..Update::default()
    }));
    (mode, update, vec(text(), 0..2), option::of(any::<u32>()), any::<bool>()).prop_map(
        |(mode, update, constraints, max_per_node, never_restarts)| Cluster {
            mode,
            update,
            constraints,
            max_per_node,
            never_restarts,
            ..Cluster::default()
        },
    )
}

fn any_service() -> impl Strategy<Value = Service> {
    (plain_service(), settings(), cluster(), option::of(name())).prop_map(|(service, kubernetes, cluster, shared)| {
        Service {
            kubernetes,
            cluster,
            networking: shared.map_or_else(|| service.networking.clone(), Networking::Service),
            ..service
        }
    })
}

fn plain_service() -> impl Strategy<Value = Service> {
    let words = || option::of(vec(text(), 0..3));
    let restart = prop_oneof![
        Just(RestartPolicy::No),
        Just(RestartPolicy::Always),
        option::of(any::<u32>()).prop_map(|max_retries| RestartPolicy::OnFailure { max_retries }),
    ];
    let container = (words(), words(), btree_map(text(), option::of(text()), 0..4), option::of(healthcheck()), restart);
    let around = (
        vec(port(), 0..4),
        vec(text(), 0..3),
        vec(mount(), 0..4),
        vec(grant(), 0..3),
        vec(grant(), 0..3),
        btree_map(name(), prop_oneof![Just(Condition::Healthy), Just(Condition::Completed)], 0..3),
    );
    let rest = (
        btree_map(text(), text(), 0..3),
        option::of(text()),
        option::of(text()),
        option::of(text()),
        vec(text(), 0..3),
        any::<u32>(),
    );
    (name(), container, around, rest).prop_map(|(name, container, around, rest)| {
        let (command, entrypoint, environment, healthcheck, restart) = container;
        let (ports, expose, mounts, secrets, configs, depends_on) = around;
        let (labels, user, hostname, platform, extra_hosts, replicas) = rest;
        let depends_on = depends_on
            .into_iter()
            .map(|(name, condition)| (name, Dependency { condition, required: false, restart: false }))
            .collect();
        Service {
            command,
            entrypoint,
            environment,
            healthcheck,
            restart,
            ports,
            expose,
            mounts,
            secrets,
            configs,
            depends_on,
            labels,
            user,
            hostname,
            platform,
            extra_hosts,
            replicas,
            container_name: Some(format!("{name}_1")),
            ..service(&name)
        }
    })
}

fn files(value: FileSource) -> impl Strategy<Value = BTreeMap<String, FileObject>> {
    btree_map(name(), (text(), any::<bool>()), 0..4).prop_map(move |objects| {
        objects
            .into_iter()
            .map(|(key, (name, external))| {
                let source = if external { FileSource::External } else { value.clone() };
                (key, FileObject { name, source })
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_project_gives_objects_that_break_a_rule(
        services in vec(any_service(), 0..6),
        secrets in files(FileSource::Content("hidden".to_owned())),
        configs in files(FileSource::Content("on".to_owned())),
        volumes in btree_map(name(), any::<bool>(), 0..4),
    ) {
        let mut project = project(services);
        project.secrets = secrets;
        project.configs = configs;
        project.volumes = volumes
            .into_iter()
            .map(|(key, external)| (key.clone(), Volume { name: format!("shop_{key}"), external, ..Volume::default() }))
            .collect();
        let plain = Options::new(SecretValues::Placeholder);
        let full = Options {
            network_policies: true,
            namespace: Some("shop".to_owned()),
            service_type: Some(ServiceType::LoadBalancer),
            ..Options::new(SecretValues::Values)
        };
        let fetched = Options { waits: Some(false), ..Options::new(SecretValues::External(None)) };
        for options in [plain, full, fetched] {
            let export = kubernetes(&project, &options);
            prop_assert_eq!(check(&export.objects, &export.external), []);
            let text = stream(&export.objects).expect("every object can be written");
            prop_assert_eq!(&text, &stream(&kubernetes(&project, &options).objects).expect("as before"));
        }
    }

    #[test]
    fn a_secret_is_nowhere_in_what_is_written_unless_asked_for(value in "[a-z]{12}", key in "[A-Z]{1,4}_(PASSWORD|TOKEN|KEY)") {
        let mut web = service("web");
        web.environment = [
            (key, Some(value.clone())),
            ("ADDRESS".to_owned(), Some(format!("redis://:{value}@cache:6379/0"))),
        ].into();
        web.secrets = vec![FileGrant {
            key: "s".to_owned(),
            target: "/run/secrets/s".to_owned(),
            uid: None,
            gid: None,
            mode: None,
        }];
        let mut project = project([web]);
        let source = FileSource::Environment { variable: "X".to_owned(), value: value.clone() };
        project.secrets = [("s".to_owned(), FileObject { name: "s".to_owned(), source })].into();
        let hidden = exported(&project, SecretValues::Placeholder);
        prop_assert!(!stream(&hidden.objects).expect("written").contains(&value));
        prop_assert_eq!(hidden.supplies.len(), 3);
        let shown = exported(&project, SecretValues::Values);
        prop_assert!(stream(&shown.objects).expect("written").contains(&value));
        prop_assert_eq!(shown.supplies, []);
    }
}

#[test]
fn a_thousand_services_are_exported_in_the_time_of_a_keystroke() {
    let services = (0..1000).map(|number| {
        let mut one = service(&format!("service-{number}"));
        let other = format!("service-{}", (number + 1) % 1000);
        one.environment =
            (0..10).map(|key| (format!("VARIABLE_{key}"), Some(format!("http://{other}:{}/", 8000 + key)))).collect();
        one.depends_on = [(other, Dependency { condition: Condition::Healthy, required: true, restart: false })].into();
        one
    });
    let project = project(services);
    let begun = Instant::now();
    let export = exported(&project, SecretValues::Placeholder);
    let violations = check(&export.objects, &export.external);
    let text = stream(&export.objects).expect("every object can be written");
    let took = begun.elapsed();
    assert_eq!((export.objects.len(), violations.len()), (4000, 0));
    println!("{} bytes in {took:?}", text.len());
    // Half a second when optimised; here without optimisation and beside other tests.
    assert!(took < Duration::from_secs(60), "{took:?}");
}
