//! A whole project: one manifest or several, what they include and extend, env files, variables, and how it is asked for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::service::{ATTRIBUTES, service};
use crate::world::{Make, World};
use crate::yaml::{Yaml, map, plain, text, texts};

/// A case: files in a folder, a command line and the process's variables.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) arguments: Vec<String>,
    pub(crate) variables: BTreeMap<String, String>,
    /// The main manifest as a tree.
    pub(crate) tree: Yaml,
}

impl Case {
    /// Writes the files below a folder.
    pub(crate) fn write(&self, folder: &Path) {
        for (path, text) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("folders can be made");
            fs::write(path, text).expect("files can be written");
        }
    }
}

/// A valid project, of one manifest when nothing is laid over it.
pub(crate) fn valid(seed: u64) -> Case {
    made(seed, true)
}

/// A project; `more` may lay a second manifest over it and ask for more than the whole.
pub(crate) fn made(seed: u64, more: bool) -> Case {
    let layered = more;
    let mut world = World::new(seed);
    let services = services(&mut world);
    let tree = manifest(&mut world, services);
    let mut tree = interpolated(&mut world, tree);
    let mut arguments = Vec::new();
    let mut more = BTreeMap::new();
    if layered && world.random.percent(25) {
        with_override(&mut world, &tree, &mut more, &mut arguments);
    }
    if world.random.percent(12) {
        with_include(&mut world, &mut tree, &mut more);
    }
    if world.random.percent(20) {
        with_extends(&mut world, &mut tree, &mut more);
    }
    if world.random.percent(20) {
        more.insert(".env".to_owned(), "FROM_ENV=dot\nTAG=\"1.2\"\nOUT=outer # tail\n".to_owned());
    }
    if world.random.percent(25) {
        world.variables.insert("OUT".to_owned(), "from-process".to_owned());
    }
    arguments.extend(command(&mut world, layered));
    let mut files = world.files.clone();
    files.extend(more);
    files.insert("compose.yaml".to_owned(), tree.write(&mut world.random));
    Case { name: format!("valid {seed}"), files, arguments, variables: world.variables, tree }
}

fn services(world: &mut World) -> Vec<(String, Yaml)> {
    let count = world.random.between(1, 4);
    let chance = world.random.pick(&[&4, &8, &14, &25]);
    let mut services: Vec<(String, Yaml)> = Vec::new();
    for _ in 0..count {
        let name = world.word();
        if services.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let made = service(world, *chance);
        // What only some profile switches on is for nobody to depend on.
        if made.get("profiles").is_none() {
            world.services.push(name.clone());
        }
        services.push((name, made));
    }
    services
}

fn manifest(world: &mut World, services: Vec<(String, Yaml)>) -> Yaml {
    let mut entries = vec![("services".to_owned(), Yaml::Map(services))];
    if world.random.percent(30) {
        let name = world.pick(&["my-app", "proj_1", "Mixed.Case", "0zero", "${UNSET:-named}"]);
        entries.push(("name".to_owned(), name));
    }
    if world.random.percent(10) {
        entries.push(("version".to_owned(), text("3.8")));
    }
    let networks = world.networks.clone();
    section(world, &mut entries, "networks", &networks, network);
    let volumes = world.volumes.clone();
    section(world, &mut entries, "volumes", &volumes, volume);
    let secrets = world.secrets.clone();
    section(world, &mut entries, "secrets", &secrets, secret);
    let configs = world.configs.clone();
    section(world, &mut entries, "configs", &configs, config);
    let models = world.models.clone();
    section(world, &mut entries, "models", &models, model);
    if world.random.percent(20) {
        let value = world.mapping(NETWORK, 30);
        if let Some((_, Yaml::Map(networks))) = entries.iter_mut().find(|(key, _)| key == "networks") {
            networks.push(("default".to_owned(), value));
        } else {
            entries.push(("networks".to_owned(), map([("default", value)])));
        }
    }
    let mut mixed = Vec::new();
    for entry in world.extensions(entries) {
        let at = world.random.below(mixed.len() + 1);
        mixed.insert(at, entry);
    }
    Yaml::Map(mixed)
}

fn section<'n>(
    world: &mut World,
    entries: &mut Vec<(String, Yaml)>,
    section: &str,
    names: impl IntoIterator<Item = &'n String>,
    make: Make,
) {
    let mut items: Vec<(String, Yaml)> = Vec::new();
    for name in names {
        items.push((name.clone(), make(world)));
    }
    if world.random.percent(15) {
        items.push(("nobody-uses-it".to_owned(), make(world)));
    }
    if !items.is_empty() {
        entries.push((section.to_owned(), Yaml::Map(items)));
    }
}

fn external(world: &mut World) -> Option<Yaml> {
    match world.random.below(10) {
        0 => Some(map([("external", plain("true"))])),
        1 => Some(map([("external", plain("true")), ("name", text("outside"))])),
        2 => Some(map([("external", map([("name", text("old-way"))]))])),
        _ => None,
    }
}

fn network(world: &mut World) -> Yaml {
    external(world).unwrap_or_else(|| if world.random.percent(20) { plain("") } else { world.mapping(NETWORK, 30) })
}

const NETWORK: &[(&str, Make)] = &[
    ("name", |world| world.pick(&["custom-net", "n1"])),
    ("driver", |world| world.pick(&["bridge", "overlay"])),
    ("driver_opts", World::options),
    ("attachable", World::flag),
    ("internal", World::flag),
    ("enable_ipv4", World::flag),
    ("enable_ipv6", World::flag),
    ("labels", |world| world.list_or_dict(false)),
    ("ipam", |world| {
        world.mapping(
            &[
                ("driver", |_| text("default")),
                ("config", |world| {
                    // Keys of one's own are lost here, so there are none.
                    let Yaml::Map(mut entries) = world.mapping(
                        &[
                            ("ip_range", |_| text("172.28.5.0/24")),
                            ("gateway", |_| text("172.28.5.254")),
                            ("aux_addresses", |_| map([("host1", text("172.28.1.5")), ("host2", text("172.28.1.6"))])),
                        ],
                        50,
                    ) else {
                        return plain("");
                    };
                    entries.retain(|(key, _)| key != "x-own");
                    entries.push(("subnet".to_owned(), text("172.28.0.0/16")));
                    Yaml::List(vec![Yaml::Map(entries), map([("subnet", text("2001:db8::/64"))])])
                }),
            ],
            60,
        )
    }),
];

fn volume(world: &mut World) -> Yaml {
    external(world).unwrap_or_else(|| {
        if world.random.percent(40) {
            return plain("");
        }
        world.mapping(
            &[
                ("name", |world| world.pick(&["custom-vol", "v1"])),
                ("driver", |world| world.pick(&["local", "nfs"])),
                ("driver_opts", |world| match world.random.below(2) {
                    0 => map([("type", text("none")), ("o", text("bind")), ("device", text("./vol"))]),
                    _ => world.options(),
                }),
                ("labels", |world| world.list_or_dict(false)),
            ],
            45,
        )
    })
}

fn granted(world: &mut World, config: bool) -> Yaml {
    if world.random.percent(15) {
        return match world.random.below(2) {
            0 => map([("external", plain("true"))]),
            _ => map([("external", plain("true")), ("name", text("outside"))]),
        };
    }
    let mut entries = vec![match world.random.below(if config { 3 } else { 2 }) {
        0 => ("file".to_owned(), world.pick(&["./f.txt", "sub/f.txt", "../f.txt", "/abs/f", "~/f"])),
        1 => ("environment".to_owned(), world.pick(&["OUT", "UNSET"])),
        _ => ("content".to_owned(), text(world.any_text() + "!")),
    }];
    if world.random.percent(25) {
        entries.push(("name".to_owned(), text("own-name")));
    }
    if world.random.percent(25) {
        let labels = world.list_or_dict(false);
        entries.push(("labels".to_owned(), labels));
    }
    if world.random.percent(10) {
        entries.push(("template_driver".to_owned(), text("golang")));
    }
    Yaml::Map(world.extensions(entries))
}

fn secret(world: &mut World) -> Yaml {
    if world.random.percent(10) {
        return map([("file", text("./f")), ("driver", text("vault")), ("driver_opts", world.options())]);
    }
    granted(world, false)
}

fn config(world: &mut World) -> Yaml {
    granted(world, true)
}

fn model(world: &mut World) -> Yaml {
    let mut entries = vec![("model".to_owned(), text("ai/smollm2"))];
    if world.random.percent(40) {
        entries.push(("context_size".to_owned(), plain(1024)));
    }
    if world.random.percent(40) {
        entries.push(("runtime_flags".to_owned(), texts(["--a", "--b"])));
    }
    if world.random.percent(20) {
        entries.push(("name".to_owned(), text("own-model")));
    }
    Yaml::Map(entries)
}

/// The same tree with some texts said through variables.
fn interpolated(world: &mut World, mut tree: Yaml) -> Yaml {
    let mut number = 0;
    for path in tree.paths() {
        if !world.random.percent(4) {
            continue;
        }
        let Some(value) = tree.at(&path) else { continue };
        let (Yaml::Text(said) | Yaml::Plain(said)) = value else { continue };
        let simple = |character: char| character.is_ascii_alphanumeric() || " ./-_:,=@".contains(character);
        if said.is_empty()
            || said.starts_with("0x")
            || said.starts_with("0o")
            || said.parse::<i64>().is_ok() && world.random.percent(50)
            || !said.chars().all(simple)
        {
            continue;
        }
        let name = format!("V{number}");
        number += 1;
        let (set, form) = match world.random.below(7) {
            0 => (true, format!("${{{name}}}")),
            1 => (true, format!("${name}")),
            2 => (false, format!("${{{name}:-{said}}}")),
            3 => (false, format!("${{{name}-{said}}}")),
            4 => (true, format!("${{{name}:?must be there}}")),
            5 => (true, format!("${{{name}:+{said}}}")),
            _ => (false, format!("${{{name}:-${{{name}X:-{said}}}}}")),
        };
        if set {
            world.variables.insert(name, said.clone());
        }
        *value = text(form);
    }
    tree
}

/// A second manifest that says some of it otherwise.
fn with_override(world: &mut World, tree: &Yaml, files: &mut BTreeMap<String, String>, arguments: &mut Vec<String>) {
    let Some(Yaml::Map(services)) = tree.get("services") else { return };
    let mut changed = Vec::new();
    for (name, service) in services {
        if world.random.percent(70) {
            changed.push((name.clone(), changes(world, service)));
        }
    }
    let mut over = vec![("services".to_owned(), Yaml::Map(changed))];
    for section in ["networks", "volumes"] {
        if let Some(Yaml::Map(items)) = tree.get(section) {
            let names: Vec<String> = items.iter().map(|(name, _)| name.clone()).collect();
            let labels = |world: &mut World| map([("labels", world.list_or_dict(false))]);
            let is_external =
                |name: &str| tree.get(section).and_then(|items| items.get(name)?.get("external")).is_some();
            let chosen = names.into_iter().filter(|name| !is_external(name)).take(1);
            over.push((section.to_owned(), Yaml::Map(chosen.map(|name| (name, labels(world))).collect())));
        }
    }
    let over = Yaml::Map(over).write(&mut world.random);
    if world.random.percent(50) {
        files.insert("compose.override.yaml".to_owned(), over);
    } else {
        files.insert("more/over.yaml".to_owned(), over);
        arguments.extend(["-f", "compose.yaml", "-f", "more/over.yaml"].map(str::to_owned));
    }
}

/// Other values of attributes that a service has, and one that it may not have.
fn changes(world: &mut World, service: &Yaml) -> Yaml {
    let Yaml::Map(known) = service else { return plain("") };
    let mut entries: Vec<(String, Yaml)> = Vec::new();
    for (name, make) in ATTRIBUTES {
        let is_known = known.iter().any(|(attribute, _)| attribute == name);
        // These would contradict what the manifest says elsewhere.
        let fixed =
            ["provider", "profiles", "links", "depends_on", "networks", "network_mode", "volumes_from", "models"];
        let fixed = fixed.contains(name) || ["scale", "deploy", "container_name", "pid", "gpus"].contains(name);
        if !is_known || fixed || !world.random.percent(45) {
            continue;
        }
        // What is appended must still differ.
        let distinct = ["security_opt", "device_cgroup_rules", "external_links", "group_add"];
        let fixed = fixed || distinct.contains(name);
        if fixed {
            continue;
        }
        let references = ["volumes", "secrets", "configs", "build", "credential_spec"].contains(name);
        let value = match world.random.below(12) {
            0 => Yaml::Tagged("!reset", Box::new(plain("null"))),
            _ if references => continue,
            1 => match make(world) {
                // With a tag a scalar is read as text.
                Yaml::Plain(scalar) => plain(scalar),
                value => Yaml::Tagged("!override", Box::new(value)),
            },
            2 => plain(""),
            _ => make(world),
        };
        entries.push(((*name).to_owned(), value));
    }
    if entries.iter().any(|(name, value)| name == "image" && matches!(value, Yaml::Tagged("!reset", _))) {
        entries.retain(|(name, _)| name != "image");
    }
    entries.push(("hostname".to_owned(), text("changed")));
    entries.retain({
        let mut seen = std::collections::HashSet::new();
        move |(name, _)| seen.insert(name.clone())
    });
    Yaml::Map(entries)
}

/// A manifest in a folder of its own, brought in by `include`.
fn with_include(world: &mut World, tree: &mut Yaml, files: &mut BTreeMap<String, String>) {
    let mut inner = World::new(u64::try_from(world.random.below(1 << 30)).unwrap_or(0));
    let made = service(&mut inner, 6);
    let part = manifest(&mut inner, vec![("included".to_owned(), made)]);
    let clashes = |section: &str| match (tree.get(section), part.get(section)) {
        (Some(Yaml::Map(ours)), Some(Yaml::Map(theirs))) => {
            theirs.iter().any(|(name, _)| ours.iter().any(|(known, _)| known == name))
        }
        _ => false,
    };
    if ["networks", "volumes", "secrets", "configs", "models"].into_iter().any(clashes) {
        return;
    }
    let extension = |(key, _): &(String, Yaml)| !key.starts_with("x-");
    let Yaml::Map(entries) = part else { return };
    let part = Yaml::Map(entries.into_iter().filter(extension).collect());
    files.extend(inner.files.iter().map(|(path, text)| (format!("inc/{path}"), text.clone())));
    files.insert("inc/part.yaml".to_owned(), part.write(&mut world.random));
    if world.random.percent(40) {
        files.insert("inc/.env".to_owned(), "OUT=inner\nUNSET=inner\n".to_owned());
    }
    files.insert("inc.env".to_owned(), "UNSET=given\n".to_owned());
    let item = match world.random.below(4) {
        0 => text("inc/part.yaml"),
        1 => map([("path", text("./inc/part.yaml"))]),
        2 => map([("path", texts(["inc/part.yaml"])), ("env_file", text("inc.env"))]),
        _ => {
            map([("path", text("inc/part.yaml")), ("project_directory", text("inc")), ("env_file", texts(["inc.env"]))])
        }
    };
    if let Yaml::Map(entries) = tree {
        entries.push(("include".to_owned(), Yaml::List(vec![item])));
    }
}

/// A service that takes over another one.
fn with_extends(world: &mut World, tree: &mut Yaml, files: &mut BTreeMap<String, String>) {
    let Some(Yaml::Map(services)) = tree.get("services") else { return };
    let Some((base, body)) = services.first().cloned() else { return };
    let unfit = ["container_name", "links", "volumes_from", "depends_on", "ports", "network_mode", "pid"];
    if unfit.iter().any(|attribute| body.get(attribute).is_some()) {
        return;
    }
    let mut own = match changes(world, &body) {
        Yaml::Map(entries) => entries,
        _ => Vec::new(),
    };
    let extends = match world.random.below(3) {
        0 => text(base),
        1 => map([("service", text(base))]),
        _ => {
            let mut inner = World::new(u64::try_from(world.random.below(1 << 30)).unwrap_or(0));
            let made = service(&mut inner, 6);
            let known = inner.networks.is_empty() && inner.volumes.is_empty() && inner.models.is_empty();
            if !known || !inner.secrets.is_empty() || !inner.configs.is_empty() {
                return;
            }
            files.extend(inner.files.iter().map(|(path, text)| (format!("base/{path}"), text.clone())));
            let part = map([("services", map([("common", made)]))]);
            files.insert("base/common.yaml".to_owned(), part.write(&mut world.random));
            own.retain(|(name, _)| name == "hostname");
            map([("file", text("base/common.yaml")), ("service", text("common"))])
        }
    };
    own.push(("extends".to_owned(), extends));
    if let Yaml::Map(entries) = tree
        && let Some((_, Yaml::Map(services))) = entries.iter_mut().find(|(key, _)| key == "services")
    {
        services.push(("extending".to_owned(), Yaml::Map(own)));
    }
}

fn command(world: &mut World, facts: bool) -> Vec<String> {
    let mut arguments: Vec<&str> = Vec::new();
    if world.random.percent(12) {
        arguments.extend(["-p", "given-name"]);
    }
    match world.random.below(8) {
        0 => arguments.extend(["--profile", "dev"]),
        1 => arguments.extend(["--profile", "*"]),
        2 => drop(world.variables.insert("COMPOSE_PROFILES".to_owned(), "test.1,Debug_2".to_owned())),
        _ => {}
    }
    arguments.push("config");
    match world.random.below(if facts { 20 } else { 10 }) {
        0..=5 => arguments.extend(["--format", "json"]),
        7 if facts => arguments.push("--no-normalize"),
        8 => arguments.push("--no-path-resolution"),
        9 => arguments.push("--no-env-resolution"),
        10 => arguments.push("--services"),
        11 => arguments.push("--images"),
        12 => arguments.push("--volumes"),
        13 => arguments.push("--networks"),
        14 => arguments.push("--variables"),
        15 => arguments.push("--environment"),
        _ => {}
    }
    let known = world.services.clone();
    if let (true, Some(name)) = (world.random.percent(10), known.first()) {
        arguments.push(name);
    }
    arguments.into_iter().map(str::to_owned).collect()
}
