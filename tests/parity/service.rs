//! Services with any of the attributes that the specification knows.

use std::collections::BTreeSet;

use crate::mounts::{device, grants, mounts, ports};
use crate::world::{Make, World};
use crate::yaml::{Yaml, map, plain, text, texts};

/// Every attribute of a service.
pub(crate) const ATTRIBUTES: &[(&str, Make)] = &[
    ("annotations", |world| world.list_or_dict(false)),
    ("attach", World::flag),
    ("blkio_config", blkio),
    ("build", build),
    ("cap_add", |world| world.some(&["NET_ADMIN", "SYS_TIME", "ALL"])),
    ("cap_drop", |world| world.some(&["MKNOD", "CHOWN", "ALL"])),
    ("cgroup", |world| world.pick(&["host", "private"])),
    ("cgroup_parent", |world| world.pick(&["m-executor-abcd", "/docker"])),
    ("command", command),
    ("configs", |world| grants(world, "configs")),
    ("container_name", |world| text(format!("own-{}", world.random.below(100_000)))),
    ("cpu_count", |world| world.whole(1, 8)),
    ("cpu_percent", |world| world.whole(1, 100)),
    ("cpu_period", |world| world.whole(1000, 100_000)),
    ("cpu_quota", |world| world.whole(1000, 100_000)),
    ("cpu_rt_period", |world| world.pick(&["400000", "1000"])),
    ("cpu_rt_runtime", |world| world.pick(&["95000", "400"])),
    ("cpu_shares", |world| world.whole(2, 2048)),
    ("cpus", World::real),
    ("cpuset", |world| world.pick(&["0-3", "0,1", "1"])),
    ("credential_spec", credential_spec),
    ("depends_on", depends_on),
    ("deploy", crate::deploy::deploy),
    ("develop", crate::deploy::develop),
    ("device_cgroup_rules", |world| world.some(&["c 1:3 mr", "a 7:* rmw"])),
    ("devices", |world| {
        Yaml::List(
            world
                .random
                .some(&["/dev/ttyUSB0", "/dev/sda", "/dev/snd"])
                .into_iter()
                .map(|path| device(world, path))
                .collect(),
        )
    }),
    ("dns", |world| world.one_or_many(&["8.8.8.8", "1.1.1.1", "2001:4860::8888"])),
    ("dns_opt", |world| world.some(&["use-vc", "no-tld-query", "ndots:2"])),
    ("dns_search", |world| world.one_or_many(&["example.com", "dc1.example.com"])),
    ("domainname", |world| world.pick(&["example.com", "local"])),
    ("entrypoint", command),
    ("env_file", env_file),
    ("environment", |world| world.list_or_dict(true)),
    ("expose", |world| {
        Yaml::List(world.random.some(&["3000", "8000-8010", "53/udp", "\u{0}9000"]).into_iter().map(number).collect())
    }),
    ("external_links", |world| world.some(&["redis", "database:mysql", "pg:postgresql"])),
    ("extra_hosts", extra_hosts),
    ("gpus", gpus),
    ("group_add", |world| {
        Yaml::List(world.random.some(&["mail", "audio", "\u{0}1000", "1001"]).into_iter().map(number).collect())
    }),
    ("healthcheck", healthcheck),
    ("hostname", |world| world.pick(&["host1", "my.host", "h-2"])),
    ("image", |world| {
        world.pick(&[
            "busybox",
            "nginx:1.27",
            "ghcr.io/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "localhost:5000/x/y:z",
            "${IMAGE:-redis}:7",
            "Postgres",
        ])
    }),
    ("init", World::flag),
    ("ipc", |world| world.pick(&["shareable", "host", "private"])),
    ("isolation", |world| world.pick(&["default", "hyperv"])),
    ("label_file", |world| {
        let name = file(world, "labels", "com.example.one=1\ncom.example.two=\"b c\"\n");
        if world.random.percent(50) { text(name) } else { texts([name]) }
    }),
    ("labels", |world| world.list_or_dict(false)),
    ("links", |world| match world.other() {
        Some(other) if world.random.percent(50) => texts([format!("{other}:alias")]),
        Some(other) => texts([other]),
        None => Yaml::List(Vec::new()),
    }),
    ("logging", |world| {
        world.mapping(&[("driver", |world| world.pick(&["json-file", "none"])), ("options", World::options)], 80)
    }),
    ("mac_address", |world| world.pick(&["92:d0:c6:0a:29:33", "02:42:ac:11:65:43"])),
    ("mem_limit", World::size),
    ("mem_reservation", World::size),
    ("mem_swappiness", |world| world.whole(0, 100)),
    ("memswap_limit", |world| if world.random.percent(20) { plain(-1) } else { world.size() }),
    ("models", models),
    ("networks", networks),
    ("network_mode", |world| match world.other() {
        Some(other) if world.random.percent(40) => text(format!("service:{other}")),
        _ => world.pick(&["host", "none", "bridge", "container:abc"]),
    }),
    ("oom_kill_disable", World::flag),
    ("oom_score_adj", |world| plain(world.random.pick(&["-1000", "0", "500", "1000"]))),
    ("pid", |world| match world.other() {
        Some(other) if world.random.percent(40) => text(format!("service:{other}")),
        _ => world.pick(&["host", "container:abc"]),
    }),
    ("pids_limit", |world| if world.random.percent(20) { plain(-1) } else { world.whole(1, 500) }),
    ("platform", |world| world.pick(&["linux/amd64", "linux/arm64"])),
    ("ports", ports),
    ("post_start", |world| Yaml::List(vec![hook(world)])),
    ("pre_stop", |world| Yaml::List(vec![hook(world)])),
    ("privileged", World::flag),
    ("profiles", |world| world.some(&["dev", "test.1", "Debug_2"])),
    ("provider", |_| {
        map([("type", text("awesomecloud")), ("options", map([("type", text("mysql")), ("size", plain(10))]))])
    }),
    ("pull_policy", |world| {
        world.pick(&[
            "always",
            "never",
            "build",
            "if_not_present",
            "missing",
            "daily",
            "weekly",
            "every_2h",
            "every_1w",
        ])
    }),
    ("pull_refresh_after", |world| world.pick(&["24h", "1d"])),
    ("read_only", World::flag),
    ("restart", |world| world.pick(&["no", "always", "on-failure", "on-failure:3", "unless-stopped"])),
    ("runtime", |world| world.pick(&["runc", "nvidia"])),
    ("scale", |world| world.whole(0, 3)),
    ("secrets", |world| grants(world, "secrets")),
    ("security_opt", |world| world.some(&["label=user:USER", "no-new-privileges:true", "seccomp=unconfined"])),
    ("shm_size", World::size),
    ("stdin_open", World::flag),
    ("stop_grace_period", World::duration),
    ("stop_signal", |world| world.pick(&["SIGTERM", "SIGUSR1", "9"])),
    ("storage_opt", |world| map([("size", world.pick(&["1G", "120m"]))])),
    ("sysctls", |world| match world.random.below(2) {
        0 => map([("net.core.somaxconn", plain(1024)), ("net.ipv4.tcp_syncookies", text("0"))]),
        _ => texts(["net.core.somaxconn=1024", "net.ipv4.tcp_syncookies=0"]),
    }),
    ("tmpfs", |world| world.one_or_many(&["/run", "/tmp:size=64m", "/cache:mode=755,uid=1"])),
    ("tty", World::flag),
    ("ulimits", ulimits),
    ("use_api_socket", |_| plain("true")),
    ("user", |world| world.pick(&["1000:1000", "root", "1000", "nobody:nogroup"])),
    ("userns_mode", |world| world.pick(&["host", "keep-id"])),
    ("uts", |_| text("host")),
    ("volumes", mounts),
    ("volumes_from", |world| match world.other() {
        Some(other) if world.random.percent(70) => texts([format!("{other}:ro"), "container:abc:rw".to_owned()]),
        _ => texts(["container:abc"]),
    }),
    ("working_dir", |world| world.pick(&["/app", "/srv/x y", "C:\\app"])),
];

/// Attributes of which only one may be there.
const EXCLUSIVE: &[&[&str]] = &[
    &["network_mode", "networks"],
    &["network_mode", "mac_address"],
    &["container_name", "scale", "deploy"],
    &["cpus", "deploy"],
    &["mem_limit", "deploy"],
    &["mem_reservation", "deploy"],
    &["pids_limit", "deploy"],
    &["provider", "build"],
    &["gpus", "deploy"],
];

/// A service of its own; `chance` is how likely each attribute is.
pub(crate) fn service(world: &mut World, chance: usize) -> Yaml {
    let mut attributes: Vec<(&str, Make)> =
        ATTRIBUTES.iter().filter(|_| world.random.percent(chance)).copied().collect();
    for group in EXCLUSIVE {
        let mut seen = false;
        attributes.retain(|(name, _)| {
            let within = group.contains(name);
            let keep = !within || !seen;
            seen |= within;
            keep
        });
    }
    let has = |name: &str| attributes.iter().any(|(attribute, _)| *attribute == name);
    if !has("image") && !has("build") && !has("provider") {
        let image = ATTRIBUTES.iter().find(|(name, _)| *name == "image");
        attributes.extend(image);
    }
    let mut entries: Vec<(String, Yaml)> = Vec::new();
    for (name, make) in attributes {
        let value = make(world);
        let at = world.random.below(entries.len() + 1);
        entries.insert(at, (name.to_owned(), value));
    }
    Yaml::Map(world.extensions(entries))
}

/// A text, or a number where the text begins with a null byte.
fn number(item: &str) -> Yaml {
    item.strip_prefix('\u{0}').map_or_else(|| text(item), plain)
}

/// A file beside the manifest; gives its path.
fn file(world: &mut World, kind: &str, content: &str) -> String {
    let path = format!("{}{kind}{}.env", world.random.pick(&["", "./", "sub/", "./sub/"]), world.random.below(3));
    let plain = path.trim_start_matches("./").to_owned();
    world.files.insert(plain, content.to_owned());
    path
}

fn command(world: &mut World) -> Yaml {
    match world.random.below(7) {
        0 => world.pick(&[
            "sleep 10",
            "sh -c 'echo \"a b\"; exit 3'",
            "a\\ b c",
            "python -m http.server",
            "  two  blanks ",
            "a\nb",
        ]),
        1 => plain(""),
        2 => Yaml::List(Vec::new()),
        3 => text(""),
        _ => {
            let count = world.random.between(1, 4);
            Yaml::List((0..count).map(|_| text(world.any_text())).collect())
        }
    }
}

pub(crate) fn hook(world: &mut World) -> Yaml {
    let mut entries = vec![("command".to_owned(), text("echo hi there"))];
    if let Yaml::Map(more) = world.mapping(
        &[
            ("user", |world| world.pick(&["root", "1000"])),
            ("privileged", World::flag),
            ("working_dir", |world| world.pick(&["/app", "/"])),
            ("environment", |world| world.list_or_dict(true)),
        ],
        50,
    ) {
        entries.extend(more);
    }
    Yaml::Map(entries)
}

fn limits(world: &mut World, key: &str) -> Yaml {
    let value =
        if key == "rate" && world.random.percent(60) { world.size() } else { plain(world.random.between(10, 1000)) };
    Yaml::List(vec![map([("path", text("/dev/sda")), (key, value)])])
}

fn blkio(world: &mut World) -> Yaml {
    let limits = world.mapping(
        &[
            ("weight", |world| plain(world.random.between(10, 1000))),
            ("weight_device", |world| limits(world, "weight")),
            ("device_read_bps", |world| limits(world, "rate")),
            ("device_read_iops", |world| limits(world, "rate")),
            ("device_write_bps", |world| limits(world, "rate")),
            ("device_write_iops", |world| limits(world, "rate")),
        ],
        50,
    );
    match limits {
        // No keys of its own are allowed here.
        Yaml::Map(entries) => Yaml::Map(entries.into_iter().filter(|(key, _)| key != "x-own").collect()),
        other => other,
    }
}

fn build(world: &mut World) -> Yaml {
    if world.random.percent(30) {
        return world.pick(&[
            ".",
            "./dir",
            "dir/sub",
            "https://github.com/a/b.git#main:sub",
            "git@github.com:a/b.git",
            "~/x",
            "/abs/dir",
        ]);
    }
    let inline = world.random.percent(15);
    let built = world.mapping(BUILD, 25);
    let Yaml::Map(mut entries) = built else { return built };
    entries.insert(0, ("context".to_owned(), world.pick(&[".", "./dir", "../up", "dir"])));
    let dockerfile = if inline {
        ("dockerfile_inline", text("FROM a\nRUN b\n"))
    } else {
        ("dockerfile", world.pick(&["Dockerfile", "dev.Dockerfile", "../x/Dockerfile", "/abs/Dockerfile"]))
    };
    if inline || world.random.percent(50) {
        entries.push((dockerfile.0.to_owned(), dockerfile.1));
    }
    Yaml::Map(entries)
}

const BUILD: &[(&str, Make)] = &[
    ("args", |world| world.list_or_dict(true)),
    ("ssh", |world| match world.random.below(4) {
        0 => texts(["default"]),
        1 => texts(["default", "mine=./key"]),
        2 => map([("mine", text("./key"))]),
        _ => texts(["mine=/abs/key"]),
    }),
    ("labels", |world| world.list_or_dict(false)),
    ("cache_from", |world| world.some(&["alpine:latest", "type=local,src=path/to/cache"])),
    ("cache_to", |world| world.some(&["user/app:cache", "type=local,dest=path"])),
    ("no_cache", World::flag),
    ("additional_contexts", |world| match world.random.below(2) {
        0 => texts(["resources=./res", "app=docker-image://my-app:latest", "src=https://github.com/a/b.git"]),
        _ => map([("resources", text("./res")), ("abs", text("/abs/x")), ("up", text("../up"))]),
    }),
    ("network", |world| world.pick(&["host", "none", "custom"])),
    ("provenance", |world| if world.random.percent(50) { world.flag() } else { text("mode=max") }),
    ("sbom", |world| if world.random.percent(50) { world.flag() } else { text("generator=x") }),
    ("pull", World::flag),
    ("target", |world| world.pick(&["prod", "dev"])),
    ("shm_size", World::size),
    ("extra_hosts", extra_hosts),
    ("isolation", |world| world.pick(&["default", "hyperv"])),
    ("privileged", World::flag),
    ("entitlements", |world| world.some(&["network.host", "security.insecure"])),
    ("secrets", |world| grants(world, "secrets")),
    ("tags", |world| world.some(&["myimage:mytag", "registry/user/repo:tag"])),
    ("ulimits", |_| map([("nofile", map([("soft", plain(20)), ("hard", plain(30))])), ("nproc", plain(5))])),
    ("platforms", |_| texts(["linux/amd64", "linux/arm64"])),
];

fn credential_spec(world: &mut World) -> Yaml {
    match world.random.below(3) {
        0 => map([("file", text("my-spec.json"))]),
        1 => map([("registry", text("my-spec"))]),
        _ => {
            world.configs.insert("spec".to_owned());
            map([("config", text("spec"))])
        }
    }
}

fn depends_on(world: &mut World) -> Yaml {
    let mut others = BTreeSet::new();
    for _ in 0..2 {
        others.extend(world.other());
    }
    if world.random.percent(40) {
        return texts(others);
    }
    let mut entries = Vec::new();
    for other in others {
        let mut value = vec![(
            "condition".to_owned(),
            world.pick(&["service_started", "service_healthy", "service_completed_successfully"]),
        )];
        if world.random.percent(30) {
            value.push(("restart".to_owned(), plain(world.random.pick(&["true", "false"]))));
        }
        if world.random.percent(30) {
            value.push(("required".to_owned(), plain(world.random.pick(&["true", "false"]))));
        }
        entries.push((other, Yaml::Map(world.extensions(value))));
    }
    Yaml::Map(entries)
}

const ENV_TEXTS: &[&str] = &[
    "A=1\nB = two \nexport C=3\n",
    "Q=\"double \\n ${A} $$x\"\nS='single ${A}'\n",
    "M=\"two\nlines\"\nN=${M:-none}\n# comment\nE=\nT=x # tail\n",
    "D=${UNSET:-dflt}\nF=${A:+alt}\nOUT\nG=a#b\n",
    "J={\"a\": 1}\nU=http://x.y/?a=b&c=d\nP=p@ss$$word\n",
];

fn env_file(world: &mut World) -> Yaml {
    let form = world.random.below(5);
    // Without quotes and blanks a line means the same in every format.
    let content = if form == 4 { "A=1\nB=\"2\nC=$X # tail\n" } else { world.random.pick(ENV_TEXTS) };
    let one = file(world, if form == 4 { "raw" } else { "e" }, content);
    match form {
        0 => text(one),
        1 => texts([one]),
        2 => Yaml::List(vec![map([("path", text(one)), ("required", world.flag())])]),
        3 => Yaml::List(vec![text(one), map([("path", text("./missing.env")), ("required", plain("false"))])]),
        _ => Yaml::List(vec![map([("path", text(one)), ("format", text("raw"))])]),
    }
}

fn extra_hosts(world: &mut World) -> Yaml {
    match world.random.below(4) {
        0 => map([("somehost", text("162.242.195.82")), ("other", text("::1"))]),
        1 => map([("somehost", texts(["10.0.0.1", "10.0.0.2"]))]),
        2 => world.some(&["somehost=162.242.195.82", "myhostv6=[::1]", "gw=host-gateway", "six=fd00::1"]),
        _ => world.some(&["somehost:162.242.195.82", "myhostv6:::1", "gw:host-gateway"]),
    }
}

fn gpus(world: &mut World) -> Yaml {
    if world.random.percent(40) {
        return text("all");
    }
    Yaml::List(vec![crate::deploy::device_request(world, false)])
}

fn healthcheck(world: &mut World) -> Yaml {
    world.mapping(
        &[
            ("test", |world| match world.random.below(5) {
                0 => text("curl -f http://localhost || exit 1"),
                1 => texts(["CMD", "true"]),
                2 => texts(["NONE"]),
                3 => text(world.any_text()),
                _ => texts(["CMD-SHELL", "exit 0"]),
            }),
            ("interval", World::duration),
            ("timeout", World::duration),
            ("retries", |world| world.whole(0, 10)),
            ("start_period", World::duration),
            ("start_interval", World::duration),
            ("disable", |world| plain(world.random.pick(&["true", "false"]))),
        ],
        45,
    )
}

fn models(world: &mut World) -> Yaml {
    let name = world.random.pick(&["llm", "embed"]).to_owned();
    world.models.insert(name.clone());
    if world.random.percent(40) {
        return texts([name]);
    }
    let value = world.mapping(&[("endpoint_var", |_| text("LLM_URL")), ("model_var", |_| text("LLM_MODEL"))], 60);
    Yaml::Map(vec![(name, value)])
}

fn networks(world: &mut World) -> Yaml {
    let names = world.random.some(&["front", "back-1", "default"]);
    world.networks.extend(names.iter().filter(|name| **name != "default").map(|name| (*name).to_owned()));
    if world.random.percent(40) {
        return texts(names);
    }
    let mut entries = Vec::new();
    for name in names {
        let value = if world.random.percent(30) { plain("") } else { world.mapping(ATTACHMENT, 35) };
        entries.push((name, value));
    }
    map(entries)
}

const ATTACHMENT: &[(&str, Make)] = &[
    ("aliases", |world| world.some(&["alias1", "alias-2"])),
    ("interface_name", |_| text("eth7")),
    ("ipv4_address", |world| world.pick(&["172.16.238.10", "10.1.2.3"])),
    ("ipv6_address", |_| text("2001:3984:3989::10")),
    ("link_local_ips", |world| world.some(&["57.123.22.11", "57.123.22.13"])),
    ("mac_address", |_| text("02:42:ac:11:65:43")),
    ("driver_opts", World::options),
    ("priority", |world| plain(world.random.between(0, 1000))),
    ("gw_priority", |world| plain(world.random.between(0, 10))),
];

pub(crate) fn ulimits(world: &mut World) -> Yaml {
    let mut entries = Vec::new();
    for name in world.random.some(&["nofile", "nproc", "memlock", "core"]) {
        let value = match world.random.below(3) {
            0 => map([("soft", world.whole(1, 5000)), ("hard", world.whole(5000, 9000))]),
            1 => plain(-1),
            _ => world.whole(1, 9000),
        };
        entries.push((name, value));
    }
    map(entries)
}
