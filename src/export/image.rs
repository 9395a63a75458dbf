//! The image of a service: what it is called in the cluster, and what its Dockerfile tells of whom it runs as, where it
//! listens and how it is asked whether it works.
//!
//! Only what the last stage says in plain numbers counts; a Dockerfile that leaves it to variables tells nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::project::{Build, BuildContext, Protocol, Service};

use super::{Context, Export, File, kompose, service_key};

/// What a Dockerfile tells of the image that it makes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Facts {
    /// As whom it runs, as written.
    pub(super) user: Option<String>,
    /// Where it listens.
    pub(super) ports: BTreeSet<(u16, Protocol)>,
    /// It has a test of its own.
    pub(super) has_healthcheck: bool,
}

/// The Dockerfile of a build, when it is a file of this machine.
pub(super) fn dockerfile(build: &Build) -> Option<PathBuf> {
    match &build.context {
        BuildContext::Local(folder) if build.dockerfile_inline.is_none() => Some(folder.join(&build.dockerfile)),
        _ => None,
    }
}

/// What is known of a service's image.
pub(super) fn facts(service: &Service, files: &BTreeMap<PathBuf, File>) -> Facts {
    let Some(build) = &service.build else { return Facts::default() };
    let inline = build.dockerfile_inline.as_deref();
    let text = inline.or_else(|| match files.get(&dockerfile(build)?)? {
        File::Content { bytes, .. } => std::str::from_utf8(bytes).ok(),
        _ => None,
    });
    text.map(|text| read(text, build.target.as_deref())).unwrap_or_default()
}

/// Reads a Dockerfile up to the end of the stage that is asked for.
fn read(text: &str, target: Option<&str>) -> Facts {
    let mut stages: BTreeMap<String, Facts> = BTreeMap::new();
    let mut current = Facts::default();
    let mut name = None::<String>;
    let mut count = 0;
    for line in instructions(text) {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((&line, ""));
        let rest = rest.trim();
        match word.to_ascii_uppercase().as_str() {
            "FROM" => {
                if count > 0 && is_target(target, name.as_deref(), count - 1) {
                    return current;
                }
                if let Some(name) = name.take() {
                    stages.insert(name, current);
                }
                let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
                let base = words.first().map(|base| base.to_ascii_lowercase()).unwrap_or_default();
                current = stages.get(&base).cloned().unwrap_or_default();
                name = match words[..] {
                    [_, keyword, name] if keyword.eq_ignore_ascii_case("as") => Some(name.to_ascii_lowercase()),
                    _ => None,
                };
                count += 1;
            }
            "USER" => current.user = Some(rest.to_owned()),
            "EXPOSE" => current.ports.extend(rest.split_whitespace().filter_map(port)),
            "HEALTHCHECK" => current.has_healthcheck = !rest.eq_ignore_ascii_case("none"),
            _ => {}
        }
    }
    current
}

fn is_target(target: Option<&str>, name: Option<&str>, number: usize) -> bool {
    target.is_some_and(|target| {
        name.is_some_and(|name| name.eq_ignore_ascii_case(target)) || target.parse() == Ok(number)
    })
}

/// The instructions, each on one line.
fn instructions(text: &str) -> impl Iterator<Item = String> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let mut instruction = String::new();
        for line in lines.by_ref() {
            let line = line.trim();
            if line.starts_with('#') || (line.is_empty() && instruction.is_empty()) {
                continue;
            }
            let open = line.strip_suffix('\\');
            instruction.push_str(open.unwrap_or(line));
            if open.is_none() {
                return Some(instruction);
            }
            instruction.push(' ');
        }
        (!instruction.is_empty()).then_some(instruction)
    })
}

fn port(text: &str) -> Option<(u16, Protocol)> {
    let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        "sctp" => Protocol::Sctp,
        _ => return None,
    };
    Some((number.parse().ok().filter(|number| *number > 0)?, protocol))
}

/// The image, and when it is pulled. One that the project builds has to get into a registry first.
pub(super) fn name(context: &Context<'_>, service: &Service, export: &mut Export) -> (String, Option<String>) {
    let (image, pull) = named(context, service, export);
    if service.build.is_some() {
        export.images.insert(service.name.clone(), image.clone());
    }
    (image, pull)
}

fn named(context: &Context<'_>, service: &Service, export: &mut Export) -> (String, Option<String>) {
    let options = &context.options;
    let written = context.project.image_of(service);
    let pull = pull_policy(service, export);
    if let Some(pinned) = options.pins.get(&written) {
        return (pinned.clone(), pull);
    }
    if service.build.is_none() {
        return (written, pull);
    }
    let tagged = match options.tags.get(&service.name) {
        Some(tag) => format!("{}:{tag}", without_tag(&written)),
        None => written,
    };
    // A name with a registry in it is where the manifest wants the image to be.
    let is_elsewhere = service.image.is_some() && has_registry(&tagged);
    let key = service_key(service, "build");
    match options.registry.as_deref().filter(|_| !is_elsewhere) {
        Some(registry) => {
            let image = format!("{}/{tagged}", registry.trim_end_matches('/'));
            export.approximated(key, format!("built here and pushed as `{image}`"));
            (image, pull)
        }
        None if is_elsewhere || service.image.is_some() => {
            export.approximated(key, format!("built here and pushed as `{tagged}`"));
            (tagged, pull)
        }
        None => {
            let reason = format!("no registry is named for `{tagged}`: say with `--registry` where nodes get it from");
            export.approximated(key, reason);
            // Without a tag, nodes would ask a registry even for an image that was loaded into them by hand.
            (tagged, pull.or_else(|| Some("IfNotPresent".to_owned())))
        }
    }
}

fn pull_policy(service: &Service, export: &mut Export) -> Option<String> {
    use crate::project::PullPolicy;
    let policy = match service.pull_policy {
        PullPolicy::Missing | PullPolicy::Build => None,
        PullPolicy::Always => Some("Always"),
        PullPolicy::Never => Some("Never"),
        PullPolicy::Every(_) => {
            let reason = "a node pulls an image when a pod starts there, not after a time";
            export.approximated(service_key(service, "pull_policy"), reason);
            Some("Always")
        }
    };
    policy.or_else(|| kompose::written(service, "kompose.image-pull-policy")).map(str::to_owned)
}

/// The name before a tag or a digest.
pub(super) fn without_tag(image: &str) -> &str {
    let image = image.split('@').next().unwrap_or(image);
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// The tag of an image; `None` for one with a digest.
pub(super) fn tag(image: &str) -> Option<&str> {
    if image.contains('@') {
        return None;
    }
    image.rsplit_once(':').map(|(_, tag)| tag).filter(|tag| !tag.contains('/'))
}

fn has_registry(image: &str) -> bool {
    image.split_once('/').is_some_and(|(first, _)| first.contains(['.', ':']) || first == "localhost")
}

#[cfg(test)]
mod tests {
    use super::{Protocol, read, tag, without_tag};

    #[test]
    fn the_last_stage_says_who_runs_where() {
        let facts = read(
            "FROM a AS base\nUSER 10:20\nEXPOSE 80 53/udp\nFROM b\nRUN x\nFROM base\n# no\nEXPOSE \\\n 90\n",
            None,
        );
        assert_eq!(facts.user.as_deref(), Some("10:20"));
        assert_eq!(
            facts.ports.into_iter().collect::<Vec<_>>(),
            [(53, Protocol::Udp), (80, Protocol::Tcp), (90, Protocol::Tcp)]
        );
    }

    #[test]
    fn a_target_ends_the_reading_where_it_ends() {
        let text = "FROM a AS one\nUSER 1\nFROM b AS two\nUSER 2\nHEALTHCHECK CMD x\n";
        assert_eq!(read(text, Some("one")).user.as_deref(), Some("1"));
        assert_eq!(read(text, Some("0")).user.as_deref(), Some("1"));
        assert!(read(text, None).has_healthcheck);
    }

    #[test]
    fn a_port_of_a_registry_is_no_tag() {
        assert_eq!((without_tag("localhost:5000/a"), tag("localhost:5000/a")), ("localhost:5000/a", None));
        assert_eq!((without_tag("a/b:1"), tag("a/b:1")), ("a/b", Some("1")));
        assert_eq!((without_tag("a:1@sha256:00"), tag("a:1@sha256:00")), ("a", None));
    }
}
