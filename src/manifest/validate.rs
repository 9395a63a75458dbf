//! Checks that need more than one attribute: what is named must be there, and what is said must not contradict itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Steps;
use super::locate::{leads, locate, locate_value};
use super::nearest::nearest;
use super::node::Node;
use super::problem::{Place, Problem};
use super::raw::mount::MountType;
use super::raw::service::Service;
use super::resolve::restart_policy;
use super::sections::Sections;
use crate::graph::Graph;

/// What the checks look at.
pub(super) struct Check<'a> {
    pub(super) tree: &'a Node,
    pub(super) sections: &'a Sections,
    /// The services that no profile switches on.
    pub(super) disabled: &'a BTreeMap<String, Service>,
    /// The services named on the command line.
    pub(super) named: &'a [String],
    /// What is worked out.
    pub(super) steps: Steps,
    pub(super) problems: Vec<Problem>,
}

impl Check<'_> {
    fn report(&mut self, path: &[&str], problem: Problem) {
        let mut problem = problem;
        problem.place = locate(self.tree, path);
        self.problems.push(problem);
    }

    fn report_value(&mut self, path: &[&str], problem: Problem) {
        let mut problem = problem;
        problem.place = locate_value(self.tree, path);
        self.problems.push(problem);
    }

    /// What stands at a path.
    fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self.tree, |node, key| node.get(key))
    }

    /// Whether a section has an item of this name, which then could not be read.
    fn is_written(&self, section: &str, key: &str) -> bool {
        !key.starts_with("x-") && self.at(&[section, key]).is_some()
    }

    /// All checks. Resources are checked before those that nobody uses are dropped.
    pub(super) fn resources(&mut self) {
        let sections = self.sections;
        for (key, volume) in &sections.volumes {
            if volume.external.as_ref().is_some_and(|external| !external.off) {
                let given = [
                    ("driver", !volume.driver.is_empty()),
                    ("driver_opts", !volume.driver_opts.0.is_empty()),
                    ("labels", !volume.labels.0.is_empty()),
                ];
                self.external("volumes", "volume", key, &given);
            }
        }
        for (key, network) in &sections.networks {
            if network.external.as_ref().is_some_and(|external| !external.off) {
                let given = [
                    ("driver", !network.driver.is_empty()),
                    ("driver_opts", !network.driver_opts.0.is_empty()),
                    ("labels", !network.labels.0.is_empty()),
                    ("ipam", network.ipam.as_ref().is_some_and(|ipam| !ipam.config.is_empty())),
                ];
                self.external("networks", "network", key, &given);
            }
        }
        for (key, secret) in &sections.secrets {
            let external = secret.external.as_ref().is_some_and(|external| !external.off);
            let sources = usize::from(!secret.file.0.is_empty()) + usize::from(!secret.environment.is_empty());
            self.one_source("secrets", key, external, sources, "`file` or `environment`");
        }
        for (key, config) in &sections.configs {
            let external = config.external.as_ref().is_some_and(|external| !external.off);
            let sources = usize::from(!config.file.0.is_empty())
                + usize::from(!config.environment.is_empty())
                + usize::from(!config.content.is_empty());
            self.one_source("configs", key, external, sources, "`file`, `environment` or `content`");
        }
    }

    fn external(&mut self, section: &str, kind: &str, key: &str, given: &[(&str, bool)]) {
        for (attribute, _) in given.iter().filter(|(_, given)| *given) {
            let problem = Problem::error(format!("the external {kind} `{key}` cannot have `{attribute}`"));
            let hint = "it is made elsewhere: take the attribute away, or `external`";
            self.report(&[section, key, attribute], problem.hint(hint));
        }
    }

    fn one_source(&mut self, section: &str, key: &str, external: bool, sources: usize, allowed: &str) {
        let problem = match (external, sources) {
            (true, _) | (false, 1) => return,
            (false, 0) => {
                let problem = Problem::error(format!("`{key}` does not say where its content comes from"));
                problem.hint(format!("add {allowed}, or `external: true` when it is made elsewhere"))
            }
            (false, _) => {
                let problem = Problem::error(format!("`{key}` says in more than one way where its content comes from"));
                problem.hint(format!("keep one of {allowed}"))
            }
        };
        self.report(&[section, key], problem);
    }

    /// The checks of each service.
    pub(super) fn services(&mut self) {
        let sections = self.sections;
        for (name, service) in &sections.services {
            self.image(name, service);
            self.dependencies(name, service);
            self.references(name, service);
            self.container(name, service);
            self.mounts(name, service);
        }
        self.ports();
        self.cycles();
    }

    fn image(&mut self, name: &str, service: &Service) {
        let none = service.image.is_empty()
            && service.build.is_none()
            && service.provider.is_none()
            // It runs on this machine's own root file system.
            && [&service.command.0, &service.entrypoint.0].iter().all(|words| words.as_ref().is_none_or(Vec::is_empty));
        // One that is written and could not be read, or followed, was told.
        let written = |key| self.at(&["services", name, key]);
        let image = written("image");
        let is_blank = image.is_some_and(|image| image.as_text() == Some(""));
        let is_told = (image.is_some() && !is_blank) || written("build").or(written("extends")).is_some();
        if none && !is_told {
            let problem = Problem::error(format!("the service `{name}` has no image"));
            let problem = problem
                .hint("add `image: NAME` or `build: FOLDER`, or a `command` to run on this machine without an image");
            if is_blank {
                self.report_value(&["services", name, "image"], problem);
            } else {
                self.report(&["services", name], problem);
            }
        }
    }

    fn dependencies(&mut self, name: &str, service: &Service) {
        for (other, dependency) in &service.depends_on.0 {
            // A service that is there and could not be read was told.
            let is_known = self.sections.services.contains_key(other);
            if is_known || (!self.disabled.contains_key(other) && self.is_written("services", other)) {
                continue;
            }
            let disabled = self.disabled.get(other);
            let place = self.dependency_path(name, other);
            match disabled {
                Some(_) if !dependency.required.0 => {}
                Some(disabled) => {
                    let profile = disabled.profiles.0.first().map_or("", String::as_str);
                    let problem =
                        Problem::error(format!("`{name}` depends on `{other}`, which no active profile switches on"));
                    let hint = format!("switch on its profile with `--profile {profile}`, or write `required: false`");
                    self.report(&place, problem.hint(hint));
                }
                None => {
                    let problem = Problem::error(format!("`{name}` depends on `{other}`, which is no service"))
                        .label("no service has this name");
                    let known = self.sections.services.keys().chain(self.disabled.keys()).map(String::as_str);
                    let problem = match nearest(other, known) {
                        Some(similar) => problem.hint(format!("did you mean `{similar}`?")),
                        None => problem.hint(self.no_service(other)),
                    };
                    self.report(&place, problem);
                }
            }
        }
    }

    /// What to do about a dependency on what is no service.
    fn no_service(&self, name: &str) -> String {
        let sections = self.sections;
        let kinds = [
            ("volume", sections.volumes.contains_key(name)),
            ("network", sections.networks.contains_key(name)),
            ("secret", sections.secrets.contains_key(name)),
            ("config", sections.configs.contains_key(name)),
        ];
        if let Some((kind, _)) = kinds.into_iter().find(|(_, is_one)| *is_one) {
            return format!("`{name}` is a {kind}: only services can be waited for");
        }
        format!("add a service `{name}`, or take the dependency away")
    }

    /// Where a service says that it needs another one.
    fn dependency_path<'n>(&self, name: &'n str, other: &'n str) -> [&'n str; 4] {
        ["depends_on", "links", "network_mode", "pid", "ipc", "uts", "cgroup", "volumes_from"]
            .into_iter()
            .map(|attribute| ["services", name, attribute, other])
            .find(|path| leads(self.tree, path))
            .unwrap_or(["services", name, "depends_on", other])
    }

    fn undefined(&mut self, path: &[&str], kind: &str, section: &str, key: &str, known: &BTreeSet<&str>) {
        // A section or an item that is there and could not be read was told.
        let unread = self.tree.get(section).is_some_and(|section| section.as_map().is_none() && !section.is_null());
        if known.contains(key) || unread || self.is_written(section, key) {
            return;
        }
        let problem = Problem::error(format!("the {kind} `{key}` is not declared"));
        let problem = match nearest(key, known.iter().copied()) {
            Some(similar) => problem.hint(format!("did you mean `{similar}`?")),
            None if kind == "volume" && key.contains('/') => {
                problem.hint(format!("write `./{key}` for a folder, or declare a volume below the top's `{section}`"))
            }
            None => problem.hint(format!("declare it at the top of the file, below `{section}:`, with `{key}:`")),
        };
        self.report(path, problem);
    }

    fn references(&mut self, name: &str, service: &Service) {
        let sections = self.sections;
        let implied = self.steps.normalize;
        for key in
            service.networks.iter().flat_map(|networks| networks.0.keys()).filter(|key| !(implied && *key == "default"))
        {
            if !sections.networks.contains_key(key) {
                let known = sections.networks.keys().map(String::as_str).collect();
                self.undefined(&["services", name, "networks", key], "network", "networks", key, &known);
            }
        }
        for mount in &service.volumes.0 {
            let is_volume = mount.r#type == MountType::Volume && !mount.source.is_empty();
            if is_volume && !sections.volumes.contains_key(&mount.source) {
                let known = sections.volumes.keys().map(String::as_str).collect();
                self.undefined(
                    &["services", name, "volumes", &mount.source],
                    "volume",
                    "volumes",
                    &mount.source,
                    &known,
                );
            }
        }
        let built = service.build.iter().flat_map(|build| &build.0.0.secrets).map(|grant| ("build", grant));
        for (attribute, grant) in service.secrets.iter().map(|grant| ("secrets", grant)).chain(built) {
            if !sections.secrets.contains_key(&grant.source) {
                let known = sections.secrets.keys().map(String::as_str).collect();
                let path = ["services", name, attribute, &*grant.source];
                self.undefined(&path, "secret", "secrets", &grant.source, &known);
            }
        }
        for grant in &service.configs {
            if !sections.configs.contains_key(&grant.source) {
                let known = sections.configs.keys().map(String::as_str).collect();
                let path = ["services", name, "configs", &*grant.source];
                self.undefined(&path, "config", "configs", &grant.source, &known);
            }
        }
        for key in service.models.0.keys().filter(|key| !sections.models.contains_key(*key)) {
            let known = sections.models.keys().map(String::as_str).collect();
            self.undefined(&["services", name, "models", key], "model", "models", key, &known);
        }
    }

    fn container(&mut self, name: &str, service: &Service) {
        let attribute = |attribute| ["services", name, attribute];
        if !service.network_mode.is_empty() && service.networks.is_some() {
            let problem = Problem::error(format!("`{name}` has both `network_mode` and `networks`"));
            let place = locate(self.tree, &attribute("networks"));
            let problem = place.into_iter().fold(problem, |problem, place| problem.related(place, "the other one"));
            self.report(&attribute("network_mode"), problem.hint("keep one of them"));
        }
        let legal = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
        let own = &service.container_name;
        let starts_right = own.chars().next().is_some_and(|first| first.is_ascii_alphanumeric());
        if !own.is_empty() && (own.len() < 2 || !starts_right || !own.chars().all(legal)) {
            let problem = Problem::error(format!("`{own}` cannot be a container's name"));
            let fit: String = own.chars().map(|character| if legal(character) { character } else { '-' }).collect();
            let fit = fit.trim_start_matches(['_', '.', '-']);
            let rule = "at least two letters, digits, `_`, `.` or `-`, and a letter or digit first";
            let hint = if fit.len() < 2 { format!("use {rule}") } else { format!("write `{fit}`: {rule}") };
            self.report_value(&attribute("container_name"), problem.hint(hint));
        }
        if restart_policy(&service.restart).is_none() {
            let problem = Problem::warning(format!("`{}` is no restart policy, `no` takes its place", service.restart));
            let known = ["no", "always", "unless-stopped", "on-failure"];
            let hint = match nearest(&service.restart, known) {
                Some(similar) => format!("did you mean `{similar}`?"),
                None => "write `no`, `always`, `unless-stopped`, `on-failure` or `on-failure:3`".to_owned(),
            };
            self.report_value(&attribute("restart"), problem.hint(hint));
        }
        if !matches!(&*service.cgroup, "" | "host" | "private") {
            let problem = Problem::error(format!("`{}` is no cgroup namespace", service.cgroup));
            self.report_value(&attribute("cgroup"), problem.hint("write `host` or `private`"));
        }
        let platforms = service.build.as_ref().map(|build| &build.0.0.platforms.0);
        let wanted = &service.platform;
        if platforms.is_some_and(|all| !all.is_empty() && !wanted.is_empty() && !all.contains(wanted)) {
            let problem = Problem::error(format!("`{name}` runs on `{wanted}`, which it is not built for"));
            let hint = format!("add `{wanted}` to `build.platforms`");
            self.report_value(&attribute("platform"), problem.hint(hint));
        }
        self.replicas(name, service);
        self.limits(name, service);
    }

    fn replicas(&mut self, name: &str, service: &Service) {
        let deploy = service.deploy.as_ref().and_then(|deploy| deploy.0.as_ref());
        let replicas = deploy.and_then(|deploy| deploy.replicas).map(|replicas| replicas.0);
        let scale = service.scale.map(|scale| i64::from(scale.0));
        if replicas.is_some_and(|replicas| !(0..=i64::from(u32::MAX)).contains(&replicas)) {
            let problem = Problem::error("a number of containers cannot be negative");
            self.report_value(&["services", name, "deploy", "replicas"], problem);
        }
        if let (Some(scale), Some(replicas)) = (scale, replicas)
            && scale != replicas
        {
            let problem = Problem::error(format!("`scale` is {scale}, but `deploy.replicas` is {replicas}"));
            self.report_value(&["services", name, "scale"], problem.hint("keep one of them"));
        }
        let count = scale.or(replicas).unwrap_or(1);
        if !service.container_name.is_empty() && count > 1 {
            let problem = Problem::error(format!("`{name}` has one `container_name`, but {count} containers"));
            let counted = if scale.is_some() { vec!["scale"] } else { vec!["deploy", "replicas"] };
            let path: Vec<&str> = ["services", name].into_iter().chain(counted).collect();
            let place = locate_value(self.tree, &path);
            let problem = place.into_iter().fold(problem, |problem, place| problem.related(place, "that many"));
            let hint = "take `container_name` away: each container gets a name of its own";
            self.report_value(&["services", name, "container_name"], problem.hint(hint));
        }
    }

    /// An attribute and its twin below `deploy` must agree.
    fn limits(&mut self, name: &str, service: &Service) {
        let resources = service.deploy.as_ref().and_then(|deploy| deploy.0.as_ref()).map(|deploy| &deploy.resources);
        let limits = resources.and_then(|resources| resources.limits.as_ref());
        let reserved = resources.and_then(|resources| resources.reservations.as_ref());
        #[expect(clippy::float_cmp, reason = "both were written by hand and must be the same")]
        let cpus = service.cpus.zip(limits.and_then(|limits| limits.cpus)).is_some_and(|(a, b)| a.0 != b.0);
        let memory = |own: i64, twin: Option<i64>| own != 0 && twin.is_some_and(|twin| twin != own);
        let most = memory(service.mem_limit.0, limits.and_then(|limits| limits.memory).map(|memory| memory.0));
        let kept = memory(service.mem_reservation.0, reserved.and_then(|kept| kept.memory).map(|memory| memory.0));
        let pids = service.pids_limit.zip(limits.and_then(|limits| limits.pids)).is_some_and(|(a, b)| a != b);
        for (attribute, twin, differ) in [
            ("cpus", "deploy.resources.limits.cpus", cpus),
            ("mem_limit", "deploy.resources.limits.memory", most),
            ("mem_reservation", "deploy.resources.reservations.memory", kept),
            ("pids_limit", "deploy.resources.limits.pids", pids),
        ] {
            if differ {
                let problem = Problem::error(format!("`{attribute}` and `{twin}` say different things"));
                self.report_value(&["services", name, attribute], problem.hint("keep one of them"));
            }
        }
    }

    fn mounts(&mut self, name: &str, service: &Service) {
        let tmpfs: Vec<&str> = service.tmpfs.0.iter().map(|tmpfs| tmpfs.split(':').next().unwrap_or(tmpfs)).collect();
        for mount in service.volumes.0.iter().filter(|mount| tmpfs.contains(&&*mount.target)) {
            let problem = Problem::error(format!("`{}` is mounted by `volumes` and by `tmpfs`", mount.target));
            self.report(&["services", name, "tmpfs", &mount.target], problem.hint("keep one of them"));
        }
    }

    /// No port of the host can be published twice by what would run together.
    fn ports(&mut self) {
        let sections = self.sections;
        let running = self.running();
        let mut taken: HashMap<(&str, &str, &str), (&str, Place)> = HashMap::new();
        for (name, service) in &sections.services {
            let runs = running.as_ref().is_none_or(|running| running.contains(name));
            if !runs || service.scale.is_some_and(|scale| scale.0 == 0) {
                continue;
            }
            for port in &service.ports.0 {
                if port.published.0.parse::<u16>().is_ok_and(|port| port > 0) {
                    let ip = if port.host_ip.0.is_empty() { "0.0.0.0" } else { &port.host_ip.0 };
                    let key = (ip, &*port.published.0, &*port.protocol.0);
                    if let Some(first) = taken.insert(key, (name, port.place)) {
                        self.port_twice(&port.published.0, first, (name, port.place));
                    }
                }
            }
        }
    }

    /// The services named on the command line and all that they need; `None` is every service.
    fn running(&self) -> Option<BTreeSet<String>> {
        let graph = Graph::from_edges(edges(&self.sections.services)).ok()?;
        (!self.named.is_empty()).then(|| graph.with_dependencies(self.named.iter().map(String::as_str)))
    }

    fn port_twice(&mut self, published: &str, first: (&str, Place), again: (&str, Place)) {
        let whose =
            if first.0 == again.0 { "twice".to_owned() } else { format!("by `{}` and by `{}`", first.0, again.0) };
        let is_appended = first.0 == again.0 && first.1.file != again.1.file;
        let message = format!("the port {published} of the host is published {whose}");
        let mut problem =
            if self.steps.ports { Problem::error(message) } else { Problem::warning(message) }.hint(if is_appended {
                "ports of several files add up: write `ports: !override` above those that are to replace the others"
            } else {
                "publish one of them on another port"
            });
        let mut places = [first.1, again.1];
        places.sort_unstable();
        problem.place = Some(places[1]);
        if places[0] != places[1] {
            problem = problem.label("again here").related(places[0], "first here");
        }
        self.problems.push(problem);
    }

    fn cycles(&mut self) {
        let Err(cycles) = Graph::from_edges(edges(&self.sections.services)) else { return };
        for cycle in cycles {
            let [first, second, ..] = cycle.as_slice() else { continue };
            let mut problem = Problem::error(format!("services depend on each other: `{}`", cycle.join(" → ")))
                .label(format!("`{first}` waits for `{second}`"))
                .hint("take one of these dependencies away");
            for pair in cycle.windows(2).skip(1) {
                if let Some(place) = locate(self.tree, &self.dependency_path(&pair[0], &pair[1])) {
                    problem = problem.related(place, format!("`{}` waits for `{}`", pair[0], pair[1]));
                }
            }
            let path = self.dependency_path(first, second);
            self.report(&path, problem);
        }
    }
}

/// The services and what each depends on.
fn edges(services: &BTreeMap<String, Service>) -> impl Iterator<Item = (&str, Vec<&str>)> {
    services.iter().map(|(name, service)| (name.as_str(), service.depends_on.0.keys().map(String::as_str).collect()))
}
