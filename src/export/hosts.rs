//! Where the values of a project speak of its services as hosts: `postgres://db:5432`, `redis:6379`, `DB_HOST=db`.
//!
//! Compose lets every port of a service be reached by its name without saying so anywhere; Kubernetes wants each one in
//! a Service. So the ports that others use are read from what others are told.

use std::collections::{BTreeMap, BTreeSet};

use crate::project::{HealthTest, Project, Service};

/// Who is spoken of as a host, by the name used.
pub(super) struct Hosts {
    mentions: BTreeMap<String, Mentions>,
}

/// How others speak of one name.
#[derive(Default)]
pub(super) struct Mentions {
    /// The ports that they name with it.
    pub(super) ports: BTreeSet<u16>,
    /// The places in the manifest where they do.
    pub(super) keys: BTreeSet<String>,
    /// The services that do.
    pub(super) users: BTreeSet<String>,
}

impl Hosts {
    pub(super) fn of(project: &Project) -> Self {
        let names = names(project);
        let mut mentions: BTreeMap<String, Mentions> = BTreeMap::new();
        for service in project.services.values() {
            for (attribute, text) in texts(service) {
                for (name, port) in hosts_in(text) {
                    if !names.contains(name) || name == service.name {
                        continue;
                    }
                    let mention = mentions.entry(name.to_owned()).or_default();
                    mention.ports.extend(port);
                    mention.keys.insert(super::service_key(service, &attribute));
                    mention.users.insert(service.name.clone());
                }
            }
        }
        Self { mentions }
    }

    /// The names that a service speaks of.
    pub(super) fn named_by(&self, service: &str) -> Vec<&str> {
        let named = self.mentions.iter().filter(|(_, mentions)| mentions.users.contains(service));
        named.map(|(name, _)| name.as_str()).collect()
    }

    pub(super) fn mentions(&self, name: &str) -> Option<&Mentions> {
        self.mentions.get(name)
    }
}

/// All names that a container may be reached by.
fn names(project: &Project) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for service in project.services.values() {
        names.insert(service.name.as_str());
        names.extend(service.container_name.as_deref());
        names.extend(aliases(service));
        names.extend(service.links.iter().map(|link| link.alias.as_str()));
    }
    names
}

/// The aliases of a service in all its networks.
pub(super) fn aliases(service: &Service) -> impl Iterator<Item = &str> {
    let attachments = match &service.networking {
        crate::project::Networking::Networks(attachments) => Some(attachments),
        _ => None,
    };
    attachments.into_iter().flat_map(BTreeMap::values).flat_map(|attachment| &attachment.aliases).map(String::as_str)
}

/// What a service is told, with the attribute that tells it.
fn texts(service: &Service) -> Vec<(String, &str)> {
    let variables = service.environment.iter();
    variables
        .filter_map(|(name, value)| Some((format!("environment.{name}"), value.as_deref()?)))
        .chain(command_texts(service))
        .collect()
}

/// The words of a service's commands, with the attribute that they are from.
pub(super) fn command_texts(service: &Service) -> Vec<(String, &str)> {
    let mut texts = Vec::new();
    for (attribute, words) in [("command", &service.command), ("entrypoint", &service.entrypoint)] {
        texts.extend(words.iter().flatten().map(|word| (attribute.to_owned(), word.as_str())));
    }
    match service.healthcheck.as_ref().map(|check| &check.test) {
        Some(HealthTest::Shell(line)) => texts.push(("healthcheck".to_owned(), line)),
        Some(HealthTest::Command(words)) => {
            texts.extend(words.iter().map(|word| ("healthcheck".to_owned(), word.as_str())));
        }
        _ => {}
    }
    texts
}

/// The words of a text that stand where a host would, each with the port that follows it.
pub(super) fn hosts_in(text: &str) -> impl Iterator<Item = (&str, Option<u16>)> {
    let is_host = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let mut rest = 0;
    std::iter::from_fn(move || {
        loop {
            let start = rest + text.get(rest..)?.find(is_host)?;
            let end = text[start..].find(|character| !is_host(character)).map_or(text.len(), |length| start + length);
            let (port, after) = port_at(text, end);
            rest = after;
            let before = &text[..start];
            let addressed = before.ends_with("//") || before.ends_with('@');
            if addressed || port.is_some() || (start == 0 && end == text.len()) {
                return Some((&text[start..end], port));
            }
        }
    })
}

/// The port that follows a host, and where to go on reading. Digits before an `@` are a password.
fn port_at(text: &str, end: usize) -> (Option<u16>, usize) {
    let Some(tail) = text[end..].strip_prefix(':') else { return (None, end) };
    let length = tail.find(|character: char| !character.is_ascii_digit()).unwrap_or(tail.len());
    let follows = tail[length..].chars().next();
    match tail[..length].parse::<u16>() {
        Ok(port)
            if port > 0 && follows.is_none_or(|next| next != '@' && !next.is_ascii_alphanumeric() && next != '.') =>
        {
            (Some(port), end + 1 + length)
        }
        _ => (None, end),
    }
}

#[cfg(test)]
mod tests {
    use super::hosts_in;

    fn hosts(text: &str) -> Vec<(&str, Option<u16>)> {
        hosts_in(text).collect()
    }

    #[test]
    fn a_host_is_found_behind_a_scheme_a_user_or_before_a_port() {
        assert_eq!(hosts("postgres://shop:pw@db:5432/shop"), [("shop", None), ("db", Some(5432))]);
        assert_eq!(hosts("http://users/api"), [("users", None)]);
        assert_eq!(hosts("a:1,b:2"), [("a", Some(1)), ("b", Some(2))]);
        assert_eq!(hosts("db"), [("db", None)]);
    }

    #[test]
    fn digits_before_an_at_sign_are_no_port() {
        assert_eq!(hosts("amqp://guest:1234@mq"), [("guest", None), ("mq", None)]);
    }

    #[test]
    fn a_word_of_a_sentence_is_no_host() {
        assert_eq!(hosts("talks to db often"), []);
    }

    #[test]
    fn letters_beyond_ascii_break_nothing() {
        assert_eq!(hosts("größe://ü:80 x:99999"), []);
        assert_eq!(hosts("größe"), []);
    }
}
