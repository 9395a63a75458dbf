//! `deploy` and `develop`.

use crate::service::hook;
use crate::world::{Make, World};
use crate::yaml::{Yaml, map, plain, text, texts};

pub(crate) fn deploy(world: &mut World) -> Yaml {
    if world.random.percent(3) {
        return plain("");
    }
    world.mapping(
        &[
            ("mode", |world| world.pick(&["replicated", "global", "replicated-job"])),
            ("endpoint_mode", |world| world.pick(&["vip", "dnsrr"])),
            ("replicas", |world| world.whole(0, 4)),
            ("labels", |world| world.list_or_dict(false)),
            ("update_config", |world| world.mapping(UPDATE, 50)),
            ("rollback_config", |world| world.mapping(UPDATE, 50)),
            ("resources", resources),
            ("restart_policy", |world| {
                world.mapping(
                    &[
                        ("condition", |world| world.pick(&["none", "on-failure", "any"])),
                        ("delay", World::duration),
                        ("max_attempts", |world| world.whole(1, 5)),
                        ("window", World::duration),
                    ],
                    60,
                )
            }),
            ("placement", |world| {
                world.mapping(
                    &[
                        ("constraints", |world| world.some(&["node.role==manager", "disktype=ssd"])),
                        ("preferences", |_| Yaml::List(vec![map([("spread", text("node.labels.zone"))])])),
                        ("max_replicas_per_node", |world| world.whole(1, 5)),
                    ],
                    60,
                )
            }),
        ],
        35,
    )
}

const UPDATE: &[(&str, Make)] = &[
    ("parallelism", |world| world.whole(0, 5)),
    ("delay", World::duration),
    ("failure_action", |world| world.pick(&["continue", "rollback", "pause"])),
    ("monitor", World::duration),
    ("max_failure_ratio", World::real),
    ("order", |world| world.pick(&["start-first", "stop-first"])),
];

fn resources(world: &mut World) -> Yaml {
    world.mapping(
        &[
            ("limits", |world| {
                world.mapping(
                    &[("cpus", World::real), ("memory", World::size), ("pids", |world| world.whole(1, 500))],
                    60,
                )
            }),
            ("reservations", |world| {
                world.mapping(
                    &[
                        ("cpus", World::real),
                        ("memory", World::size),
                        ("devices", |world| Yaml::List(vec![device_request(world, true)])),
                        ("generic_resources", |_| {
                            let spec = map([("kind", text("gpu")), ("value", plain(2))]);
                            Yaml::List(vec![map([("discrete_resource_spec", spec)])])
                        }),
                    ],
                    50,
                )
            }),
        ],
        70,
    )
}

pub(crate) fn device_request(world: &mut World, capabilities: bool) -> Yaml {
    let mut entries = Vec::new();
    if world.random.percent(40) {
        entries.push(("driver".to_owned(), world.pick(&["nvidia", "cdi"])));
    }
    if world.random.percent(40) {
        entries.push(("options".to_owned(), world.list_or_dict(false)));
    }
    if capabilities || world.random.percent(60) {
        entries.push(("capabilities".to_owned(), texts(["gpu", "compute"])));
    }
    match world.random.below(4) {
        0 => entries.push(("count".to_owned(), world.whole(1, 3))),
        1 => entries.push(("count".to_owned(), text("all"))),
        2 => entries.push(("device_ids".to_owned(), texts(["0", "3"]))),
        _ => {}
    }
    Yaml::Map(entries)
}

pub(crate) fn develop(world: &mut World) -> Yaml {
    if world.random.percent(5) {
        return plain("");
    }
    let count = world.random.between(1, 2);
    let rules = (0..count).map(|_| rule(world)).collect();
    map([("watch", Yaml::List(rules))])
}

fn rule(world: &mut World) -> Yaml {
    let action = world.random.pick(&["rebuild", "sync", "restart", "sync+restart", "sync+exec"]);
    let mut entries =
        vec![("path".to_owned(), world.pick(&["./src", "lib", ".", "../up"])), ("action".to_owned(), text(action))];
    if action.starts_with("sync") {
        entries.push(("target".to_owned(), world.pick(&["/app", "/app/src/"])));
        if world.random.percent(30) {
            entries.push(("initial_sync".to_owned(), plain("true")));
        }
    }
    if action == "sync+exec" {
        let value = hook(world);
        entries.push(("exec".to_owned(), value));
    }
    if world.random.percent(30) {
        let value = world.one_or_many(&["node_modules/", "**/*.tmp"]);
        entries.push(("ignore".to_owned(), value));
    }
    if world.random.percent(30) {
        let value = world.one_or_many(&["*.js", "a/**"]);
        entries.push(("include".to_owned(), value));
    }
    Yaml::Map(world.extensions(entries))
}
