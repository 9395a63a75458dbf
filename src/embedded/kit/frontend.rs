//! Pure: the attributes of a build, as BuildKit's Dockerfile frontend has them → the builder's options.

use std::collections::HashMap;
use std::sync::Arc;

use bollard_stubs::models::{HostConfig, ResourcesUlimits};

use crate::embedded::build::{Named, Options, Product, context_name};
use crate::embedded::error::Error;

/// The one frontend that there is.
pub(super) const NAME: &str = "dockerfile.v0";
/// What stands for the machine's address.
pub(super) const HOST_GATEWAY: &str = "host-gateway";
/// What an uploaded context's address begins with.
const UPLOADS: &str = "http://buildkit-session";
/// The client's folder with the context.
const CONTEXT: &str = "context";
/// The client's folder with the Dockerfile.
const DEFINITION: &str = "dockerfile";
/// Arguments that tell the builder something and the Dockerfile nothing.
const OWN_ARGUMENTS: &str = "BUILDKIT_";

/// What was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) options: Options,
    pub(super) context: Place,
    /// The client's folder with the Dockerfile; `None` when it lies in the context.
    pub(super) definition: Option<String>,
    /// Folders that other sessions have, and which.
    pub(super) sessions: HashMap<String, String>,
}

/// Where the context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A folder of the client's.
    Folder(String),
    /// Something that the client has and sends; the path of its address.
    Upload(String),
    /// Elsewhere.
    Address(String),
}

/// Reads attributes. `product` knows what other builds have made.
pub(super) fn read(
    attributes: &HashMap<String, String>,
    product: impl Fn(&str) -> Option<Arc<Product>>,
) -> Result<Asked, Error> {
    let text = |name: &str| attributes.get(name).filter(|text| !text.is_empty());
    if let Some(request) = text("requestid") {
        let message =
            format!("unsupported request {request}: this engine builds, and answers no questions about a Dockerfile");
        return Err(Error::Unsupported(message));
    }
    if let Some(several) = text("platform").filter(|platform| platform.contains(',')) {
        let message =
            format!("building for several platforms ({several}) is not supported: this engine builds for its own");
        return Err(Error::Unsupported(message));
    }
    let context = match text(CONTEXT) {
        None => Place::Folder(text("contextkey").cloned().unwrap_or_else(|| CONTEXT.to_owned())),
        Some(address) => match address.strip_prefix(UPLOADS) {
            Some(path) => Place::Upload(path.to_owned()),
            None => Place::Address(address.clone()),
        },
    };
    let own = matches!(context, Place::Folder(_)).then(|| DEFINITION.to_owned());
    let definition = text("dockerfilekey").cloned().or(own);
    let no_cache = attributes.get("no-cache");
    let stages = no_cache.map(|stages| list(stages)).unwrap_or_default();
    let options = Options {
        dockerfile: text("filename").cloned().unwrap_or_default(),
        arguments: prefixed(attributes, "build-arg:")
            .filter(|(name, _)| !name.starts_with(OWN_ARGUMENTS))
            .map(|(name, value)| (name.to_owned(), Some(value.clone())))
            .collect(),
        labels: prefixed(attributes, "label:").map(|(name, value)| (name.to_owned(), value.clone())).collect(),
        target: text("target").cloned().unwrap_or_default(),
        platform: text("platform").cloned(),
        no_cache: no_cache.is_some() && stages.is_empty(),
        no_cache_for: stages,
        pull: text("image-resolve-mode").is_some_and(|mode| mode == "pull"),
        network: network(text("force-network-mode")),
        extra_hosts: list(text("add-hosts").map_or("", String::as_str)),
        cache_from: caches(attributes)?,
        shm_size: text("shm-size").map(|size| number(size, "shm-size")).transpose()?,
        limits: HostConfig { ulimits: ulimits(text("ulimit"))?, ..HostConfig::default() },
        hostname: text("build-arg:BUILDKIT_SANDBOX_HOSTNAME").or_else(|| text("hostname")).cloned().unwrap_or_default(),
        contexts: prefixed(attributes, "context:")
            .map(|(name, value)| Ok((context_name(plain(name)), named(name, value, &product)?)))
            .collect::<Result<_, Error>>()?,
        ..Options::default()
    };
    let sessions = prefixed(attributes, "local-sessionid:");
    let sessions = sessions.map(|(folder, session)| (folder.to_owned(), session.clone())).collect();
    Ok(Asked { options, context, definition, sessions })
}

/// The attributes whose name begins so, without that.
fn prefixed<'a>(
    attributes: &'a HashMap<String, String>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a str, &'a String)> {
    attributes.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
}

/// The name of a context without the platform that it is meant for.
fn plain(name: &str) -> &str {
    name.split("::").next().unwrap_or(name)
}

fn named(name: &str, value: &str, product: impl Fn(&str) -> Option<Arc<Product>>) -> Result<Named, Error> {
    let (kind, what) = value.split_once(':').unwrap_or((value, ""));
    match kind {
        "docker-image" => Ok(Named::Image(what.trim_start_matches("//").to_owned())),
        "local" => Ok(Named::Folder(what.to_owned())),
        "input" => {
            let lost = || Error::Invalid(format!("the context `{name}` is `{value}`, which no build has made"));
            Ok(Named::Product(product(what).ok_or_else(lost)?))
        }
        _ => {
            let known = "a folder, docker-image://… or the target of another build";
            Err(Error::Unsupported(format!("the context `{name}` is `{value}`: this engine takes {known}")))
        }
    }
}

/// BuildKit knows no networks by name; this engine does.
fn network(mode: Option<&String>) -> String {
    mode.filter(|mode| !matches!(mode.as_str(), "sandbox" | "default")).cloned().unwrap_or_default()
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

fn number<T: std::str::FromStr>(text: &str, name: &str) -> Result<T, Error> {
    text.trim().parse().map_err(|_| Error::Invalid(format!("`{name}` is no number: `{text}`")))
}

/// `nofile=1024:2048,nproc=64`.
fn ulimits(text: Option<&String>) -> Result<Option<Vec<ResourcesUlimits>>, Error> {
    let Some(text) = text else { return Ok(None) };
    let limit = |text: String| {
        let wrong = || Error::Invalid(format!("`{text}` is no ulimit: name=soft:hard is"));
        let (name, numbers) = text.split_once('=').ok_or_else(wrong)?;
        let (soft, hard) = numbers.split_once(':').unwrap_or((numbers, numbers));
        let (soft, hard) = (number(soft, name)?, number(hard, name)?);
        Ok(ResourcesUlimits { name: Some(name.to_owned()), soft: Some(soft), hard: Some(hard) })
    };
    list(text).into_iter().map(limit).collect::<Result<_, Error>>().map(Some)
}

/// Images whose steps may be used: in the newer form a list of kinds with attributes, of which images are one.
fn caches(attributes: &HashMap<String, String>) -> Result<Vec<String>, Error> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Cache {
        #[serde(default)]
        r#type: String,
        #[serde(default)]
        attrs: HashMap<String, String>,
    }
    let mut images = list(attributes.get("cache-from").map_or("", String::as_str));
    if let Some(text) = attributes.get("cache-imports").filter(|text| !text.is_empty()) {
        let wrong = |error| Error::Invalid(format!("`cache-imports` cannot be read: {error}"));
        let caches: Vec<Cache> = serde_json::from_str(text).map_err(wrong)?;
        let registries = caches.into_iter().filter(|cache| cache.r#type == "registry");
        images.extend(registries.filter_map(|mut cache| cache.attrs.remove("ref")));
    }
    images.dedup();
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Asked, String> {
        let attributes = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        super::read(&attributes, |_| None).map_err(|error| error.to_string())
    }

    #[test]
    fn attributes_are_options() {
        let asked = read(&[
            ("filename", "Dockerfile.dev"),
            ("target", "run"),
            ("build-arg:A", "1"),
            ("build-arg:BUILDKIT_INLINE_CACHE", "1"),
            ("label:b", "2"),
            ("no-cache", "one,two"),
            ("add-hosts", "a=1.2.3.4,b=::1"),
            ("shm-size", "1024"),
            ("ulimit", "nofile=1:2,nproc=3"),
            ("force-network-mode", "none"),
            ("image-resolve-mode", "pull"),
            ("context:docker.io/library/Base:latest::linux/amd64", "docker-image://other:1"),
            ("context:src", "local:src"),
            ("local-sessionid:context", "s1"),
            ("cache-imports", r#"[{"Type":"registry","Attrs":{"ref":"a:1"}},{"Type":"gha","Attrs":{}}]"#),
            ("unheard-of", "x"),
        ])
        .expect("it can be read");
        let options = &asked.options;
        assert_eq!((options.dockerfile.as_str(), options.target.as_str()), ("Dockerfile.dev", "run"));
        assert_eq!(options.arguments, HashMap::from([("A".to_owned(), Some("1".to_owned()))]));
        assert_eq!(options.labels, HashMap::from([("b".to_owned(), "2".to_owned())]));
        assert_eq!((options.no_cache, &options.no_cache_for[..]), (false, &["one".to_owned(), "two".to_owned()][..]));
        assert_eq!(options.extra_hosts, ["a=1.2.3.4", "b=::1"]);
        assert_eq!((options.shm_size, options.pull, options.network.as_str()), (Some(1024), true, "none"));
        let ulimits = options.limits.ulimits.as_deref().expect("there are some");
        assert_eq!((ulimits[0].soft, ulimits[0].hard, ulimits[1].hard), (Some(1), Some(2), Some(3)));
        let contexts: Vec<String> = options.contexts.iter().map(|(name, named)| format!("{name} {named:?}")).collect();
        assert_eq!(contexts, ["base Image(\"other:1\")", "src Folder(\"src\")"]);
        assert_eq!(options.cache_from, ["a:1"]);
        assert_eq!(asked.context, Place::Folder("context".into()));
        assert_eq!(asked.definition.as_deref(), Some("dockerfile"));
        assert_eq!(asked.sessions, HashMap::from([("context".to_owned(), "s1".to_owned())]));
    }

    #[test]
    fn a_context_comes_from_a_folder_an_upload_or_elsewhere() {
        let of = |pairs: &[(&str, &str)]| {
            let asked = read(pairs).expect("it can be read");
            (asked.context, asked.definition)
        };
        let upload = "http://buildkit-session/abc";
        assert_eq!(of(&[("context", upload)]), (Place::Upload("/abc".into()), None));
        let own = [("context", upload), ("dockerfilekey", "dockerfile")];
        assert_eq!(of(&own), (Place::Upload("/abc".into()), Some("dockerfile".into())));
        let address = "https://example.com/a.git";
        assert_eq!(of(&[("context", address)]).0, Place::Address(address.into()));
    }

    #[test]
    fn what_is_not_done_is_said() {
        for (pair, part) in [
            (("requestid", "frontend.lint"), "unsupported request frontend.lint"),
            (("platform", "linux/amd64,linux/arm64"), "several platforms"),
            (("context:a", "oci-layout://x"), "the context `a` is `oci-layout://x`"),
            (("context:a", "input:b"), "which no build has made"),
            (("ulimit", "nofile"), "`nofile` is no ulimit"),
        ] {
            let problem = read(&[pair]).map(|_| ()).expect_err(part);
            assert!(problem.contains(part), "{problem}");
        }
        assert!(read(&[("no-cache", "")]).expect("it can be read").options.no_cache);
    }
}
