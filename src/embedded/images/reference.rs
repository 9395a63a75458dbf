//! Names of images as people write them, and as they are kept: `busybox` is `docker.io/library/busybox:latest`.

use std::fmt;

use super::super::error::Error;

/// The registry of names that say none.
const HUB: &str = "docker.io";
/// Another name of it.
const HUB_OLD: &str = "index.docker.io";
/// Where its official images are.
const OFFICIAL: &str = "library/";
/// The tag of names that say none.
const LATEST: &str = "latest";
/// Letters of a repository, its registry included.
const LONGEST_NAME: usize = 255;
/// Letters of a tag.
const LONGEST_TAG: usize = 128;

/// A name in full: registry and repository, then a tag, a digest, both or neither.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    /// `docker.io`, `localhost:5000`.
    pub(crate) registry: String,
    /// `library/busybox`.
    pub(crate) repository: String,
    /// `latest`.
    pub(crate) tag: Option<String>,
    /// `sha256:…` of a manifest.
    pub(crate) digest: Option<String>,
}

impl Reference {
    /// Reads a name, and refuses in Docker's words what is none.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bad = || Error::Invalid("invalid reference format".into());
        if is_hexadecimal(text, 64) {
            let message = format!("invalid repository name ({text}), cannot specify 64-byte hexadecimal strings");
            return Err(Error::Invalid(message));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest)),
            None => (text, None),
        };
        // A colon behind the last slash begins a tag; one before it belongs to the registry's port.
        let name_start = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[name_start..].find(':') {
            Some(at) => (&rest[..name_start + at], Some(&rest[name_start + at + 1..])),
            None => (rest, None),
        };
        if tag.is_some_and(|tag| !is_tag(tag)) || digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(bad());
        }
        let (registry, repository) = split_registry(name);
        if !is_registry(registry) || repository.is_empty() {
            return Err(bad());
        }
        if repository.contains(|letter: char| letter.is_ascii_uppercase()) {
            let message = format!("invalid reference format: repository name ({repository}) must be lowercase");
            return Err(Error::Invalid(message));
        }
        if !repository.split('/').all(is_component) {
            return Err(bad());
        }
        if registry.len() + 1 + repository.len() > LONGEST_NAME {
            let message = format!("repository name must not be more than {LONGEST_NAME} characters");
            return Err(Error::Invalid(message));
        }
        let registry = if registry == HUB_OLD { HUB } else { registry };
        let official = registry == HUB && !repository.contains('/');
        Ok(Self {
            registry: registry.to_owned(),
            repository: if official { format!("{OFFICIAL}{repository}") } else { repository.to_owned() },
            tag: tag.map(str::to_owned),
            digest: digest.map(str::to_owned),
        })
    }

    /// With the tag `latest` where it has neither tag nor digest.
    pub(crate) fn or_latest(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(LATEST.to_owned());
        }
        self
    }

    /// `docker.io/library/busybox`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// `busybox`: the name as people write it.
    pub(crate) fn familiar_name(&self) -> &str {
        // A registry other than the hub is part of what people write; then nothing is left out.
        self.repository.strip_prefix(OFFICIAL).filter(|short| !short.contains('/')).unwrap_or(&self.repository)
    }

    /// `busybox:latest`: as people write it.
    pub(crate) fn familiar(&self) -> String {
        let mut text = self.familiar_repository();
        if let Some(tag) = &self.tag {
            text = format!("{text}:{tag}");
        }
        if let Some(digest) = &self.digest {
            text = format!("{text}@{digest}");
        }
        text
    }

    /// `busybox`, `localhost:5000/web`.
    pub(crate) fn familiar_repository(&self) -> String {
        if self.registry == HUB { self.familiar_name().to_owned() } else { self.name() }
    }

    /// The same repository with another tag or digest.
    pub(crate) fn at(&self, tag: Option<&str>, digest: Option<&str>) -> Self {
        Self { tag: tag.map(str::to_owned), digest: digest.map(str::to_owned), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(formatter, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(formatter, "@{digest}")?;
        }
        Ok(())
    }
}

/// The part before the first slash is a registry when it looks like a host: it has a dot, a port or a capital, or is
/// `localhost`.
fn split_registry(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.contains(|letter: char| letter.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (HUB, name),
    }
}

/// `host`, `host:port`, `[::1]:port`.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let good = !address.is_empty() && address.chars().all(|letter| letter.is_ascii_hexdigit() || letter == ':');
            if !good || !(rest.is_empty() || rest.starts_with(':')) {
                return false;
            }
            (None, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
    };
    host.is_none_or(|host| host.split('.').all(label)) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Small letters and digits, with one `.`, one or two `_`, or any number of `-` in between.
fn is_component(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    text.starts_with(plain)
        && text.ends_with(plain)
        && text
            .split(plain)
            .all(|between| matches!(between, "" | "." | "_" | "__") || between.chars().all(|letter| letter == '-'))
}

fn is_tag(text: &str) -> bool {
    let first = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    text.len() <= LONGEST_TAG
        && text.starts_with(first)
        && text.chars().all(|letter| first(letter) || letter == '.' || letter == '-')
}

/// `sha256:` and 64 digits: the only digest that this engine makes and checks.
pub(crate) fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| is_hexadecimal(digits, 64))
}

/// Exactly so many small hexadecimal digits.
pub(crate) fn is_hexadecimal(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        Reference::parse(text).map(Reference::or_latest).map_or_else(|error| error.to_string(), |name| name.to_string())
    }

    #[test]
    fn a_short_name_is_an_official_image_of_the_hub() {
        assert_eq!(full("busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full("busybox:1.36"), "docker.io/library/busybox:1.36");
        assert_eq!(full("index.docker.io/busybox"), "docker.io/library/busybox:latest");
        assert_eq!(full("bitnami/redis"), "docker.io/bitnami/redis:latest");
        assert_eq!(full("test.com:5000"), "docker.io/library/test.com:5000");
    }

    #[test]
    fn a_first_part_that_looks_like_a_host_is_the_registry() {
        assert_eq!(full("localhost/web"), "localhost/web:latest");
        assert_eq!(full("localhost:5000/web:v1"), "localhost:5000/web:v1");
        assert_eq!(full("ghcr.io/a/b/c"), "ghcr.io/a/b/c:latest");
        assert_eq!(full("[::1]:5000/web"), "[::1]:5000/web:latest");
    }

    #[test]
    fn a_digest_needs_no_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(full(&format!("web@{digest}")), format!("docker.io/library/web@{digest}"));
        assert_eq!(full(&format!("web:1@{digest}")), format!("docker.io/library/web:1@{digest}"));
        assert_eq!(full("web@sha256:abc"), "invalid reference format");
    }

    #[test]
    fn what_is_no_name_is_refused_in_dockers_words() {
        assert_eq!(full("Busybox"), "invalid reference format: repository name (Busybox) must be lowercase");
        for bad in ["", ":tag", "a//b", "a/../b", "-a", "a:", "a b", "a:ta g", "a.example:port/b", "a/"] {
            assert_eq!(full(bad), "invalid reference format", "{bad}");
        }
        assert_eq!(full(&format!("a/{}", "b".repeat(300))), "repository name must not be more than 255 characters");
        let digits = "b".repeat(64);
        let expected = format!("invalid repository name ({digits}), cannot specify 64-byte hexadecimal strings");
        assert_eq!(full(&digits), expected);
    }

    #[test]
    fn names_are_shown_as_people_write_them() {
        let shown = |text: &str| Reference::parse(text).expect("a good name").or_latest().familiar();
        assert_eq!(shown("docker.io/library/busybox"), "busybox:latest");
        assert_eq!(shown("docker.io/bitnami/redis:7"), "bitnami/redis:7");
        assert_eq!(shown("localhost:5000/library/web"), "localhost:5000/library/web:latest");
    }
}
