//! Ports, mounts, devices and the files that a service is given.

use crate::world::{Make, World};
use crate::yaml::{Yaml, map, plain, text};

pub(crate) fn ports(world: &mut World) -> Yaml {
    let count = world.random.between(1, 3);
    let mut items = Vec::new();
    for _ in 0..count {
        // Ports of the host that no other service publishes.
        let host = 1024 + world.random.below(60_000);
        let target = 1 + world.random.below(9_000);
        items.push(match world.random.below(11) {
            0 => plain(target),
            1 => text(format!("{host}:{target}")),
            2 => text(format!("{host}:{target}/udp")),
            3 => text(format!("127.0.0.1:{host}:{target}")),
            4 => text(format!("{}-{}:{}-{}", host, host + 2, target, target + 2)),
            5 => text(format!("[::1]:{host}:{target}/TCP")),
            6 => text(format!("127.0.0.1::{target}")),
            7 => text(format!("{target}-{}", target + 2)),
            8 => text(format!("{}-{}:{target}", host, host + 5)),
            _ => {
                let Yaml::Map(mut entries) = world.mapping(PORT, 40) else { continue };
                entries.push((
                    "target".to_owned(),
                    if world.random.percent(50) { plain(target) } else { text(target.to_string()) },
                ));
                if world.random.percent(60) {
                    let published = if world.random.percent(50) { plain(host) } else { text(host.to_string()) };
                    entries.push(("published".to_owned(), published));
                }
                Yaml::Map(entries)
            }
        });
    }
    Yaml::List(items)
}

const PORT: &[(&str, Make)] = &[
    ("name", |world| world.pick(&["http", "metrics"])),
    ("mode", |world| world.pick(&["host", "ingress"])),
    ("host_ip", |world| world.pick(&["127.0.0.1", "0.0.0.0", "::1"])),
    ("protocol", |world| world.pick(&["tcp", "udp", "sctp"])),
    ("app_protocol", |world| world.pick(&["http", "https"])),
];

pub(crate) fn mounts(world: &mut World) -> Yaml {
    let count = world.random.between(1, 3);
    let mut items = Vec::new();
    for number in 0..count {
        let target = format!("{}{number}", world.random.pick(&["/data", "/srv/a", "/x/../y", "/t//u"]));
        let slash = world.random.pick(&["", "", "/"]);
        let target = format!("{target}{slash}");
        items.push(if world.random.percent(50) { short(world, &target) } else { long(world, &target) });
    }
    Yaml::List(items)
}

fn short(world: &mut World, target: &str) -> Yaml {
    let options =
        world.random.pick(&["", "", ":ro", ":rw", ":z", ":Z,ro", ":nocopy", ":cached", ":rshared", ":ro,rslave"]);
    let source = match world.random.below(9) {
        0 => return text(target),
        1..=3 => {
            let name = volume(world);
            return text(format!("{name}:{target}{options}"));
        }
        4 => "./src",
        5 => "../up/x",
        6 => "~/home/x",
        7 => ".",
        _ => "/var/run/docker.sock",
    };
    text(format!("{source}:{target}{options}"))
}

fn volume(world: &mut World) -> String {
    let name = world.random.pick(&["data", "db-data", "cache_1"]).to_owned();
    world.volumes.insert(name.clone());
    name
}

fn long(world: &mut World, target: &str) -> Yaml {
    let (kind, source, block): (&str, Option<String>, Option<(&str, Yaml)>) = match world.random.below(7) {
        0 | 1 => (
            "bind",
            Some(world.random.pick(&["./src", "sub/dir", "/abs/dir", "~/x", "../y"]).to_owned()),
            Some(("bind", world.mapping(BIND, 45))),
        ),
        2 | 3 => ("volume", Some(volume(world)), Some(("volume", world.mapping(VOLUME, 45)))),
        4 => ("tmpfs", None, Some(("tmpfs", world.mapping(TMPFS, 60)))),
        5 => {
            ("image", Some("busybox:1".to_owned()), Some(("image", world.mapping(&[("subpath", |_| text("etc"))], 60))))
        }
        _ if world.random.percent(50) => ("npipe", Some("\\\\.\\pipe\\docker_engine".to_owned()), None),
        _ => ("cluster", Some("group:mygroup".to_owned()), None),
    };
    let mut entries = vec![("type".to_owned(), text(kind))];
    entries.extend(source.map(|source| ("source".to_owned(), text(source))));
    entries.push(("target".to_owned(), text(target)));
    if let (Some((name, block)), true) = (block, world.random.percent(60)) {
        entries.push((name.to_owned(), block));
    }
    if world.random.percent(30) {
        entries.push(("read_only".to_owned(), world.flag()));
    }
    if world.random.percent(15) {
        entries.push(("consistency".to_owned(), world.pick(&["cached", "consistent"])));
    }
    Yaml::Map(world.extensions(entries))
}

const BIND: &[(&str, Make)] = &[
    ("propagation", |world| world.pick(&["rprivate", "shared", "rslave"])),
    ("create_host_path", World::flag),
    ("recursive", |world| world.pick(&["enabled", "disabled", "writable", "readonly"])),
    ("selinux", |world| world.pick(&["z", "Z"])),
];

const VOLUME: &[(&str, Make)] = &[
    ("nocopy", World::flag),
    ("subpath", |world| world.pick(&["a/b", "x"])),
    ("labels", |world| world.list_or_dict(false)),
];

const TMPFS: &[(&str, Make)] = &[
    ("size", |world| if world.random.percent(50) { plain(65536) } else { world.size() }),
    ("mode", |world| plain(world.random.pick(&["0755", "0o755", "1777", "493"]))),
];

pub(crate) fn device(world: &mut World, path: &str) -> Yaml {
    match world.random.below(4) {
        0 => text(path),
        1 => text(format!("{path}:{path}:rwm")),
        2 => text(format!("{path}:/dev/other{}", path.len())),
        _ => {
            let mut entries = vec![("source", text(path))];
            entries.push(("target", text(path)));
            if world.random.percent(60) {
                entries.push(("permissions", text("rw")));
            }
            map(entries)
        }
    }
}

/// Uses of secrets or configs.
pub(crate) fn grants(world: &mut World, section: &str) -> Yaml {
    let names = world.random.some(&["token", "cert.pem", "app_conf"]);
    let mut items = Vec::new();
    for name in names {
        let known = if section == "secrets" { &mut world.secrets } else { &mut world.configs };
        known.insert(name.to_owned());
        items.push(if world.random.percent(50) {
            text(name)
        } else {
            let mut entries = vec![("source".to_owned(), text(name))];
            if let Yaml::Map(more) = world.mapping(GRANT, 45) {
                entries.extend(more);
            }
            if world.random.percent(40) {
                let target = format!("{}-{name}", world.random.pick(&["/etc/x", "plain", "/run/y"]));
                entries.push(("target".to_owned(), text(target)));
            }
            Yaml::Map(entries)
        });
    }
    Yaml::List(items)
}

const GRANT: &[(&str, Make)] =
    &[
        ("uid", |world| world.pick(&["103", "0"])),
        ("gid", |world| world.pick(&["103", "0"])),
        ("mode", |world| {
            if world.random.percent(30) { text("0440") } else { plain(world.random.pick(&["0440", "0o400", "292"])) }
        }),
    ];
