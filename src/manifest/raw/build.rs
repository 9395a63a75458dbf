//! `build`: how an image is made.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use super::Blank;
use super::based::Rebase;
use super::forms::{Form, KeyValues, Labels, Short, ShortForm};
use super::hosts::ExtraHosts;
use super::limits::{AnyScalar, Ulimit};
use super::scalars::{Flag, Size, Texts};
use super::storage::Grant;
use crate::manifest::paths;

raw! {
    /// How the image of a service is built.
    Build {
        /// The folder with the Dockerfile and the files it copies, or a git address.
        context: String,
        /// The Dockerfile, relative to the context. `Dockerfile` when not given.
        dockerfile: String,
        /// The text of the Dockerfile itself, instead of a file.
        dockerfile_inline: String,
        /// Extra privileges that the build may ask for, such as `network.host`.
        entitlements: Vec<String>,
        /// Values for the Dockerfile's `ARG`s. A name without a value takes it from the environment.
        args: KeyValues,
        /// Write a provenance attestation: `true`, `false` or its settings.
        provenance: Option<AnyScalar>,
        /// Write a software bill of materials: `true`, `false` or its settings.
        sbom: Option<AnyScalar>,
        /// SSH agents and keys that the build may use.
        ssh: Ssh,
        /// Labels for the image.
        labels: Labels,
        /// Images or caches to take layers from.
        cache_from: Vec<String>,
        /// Where to write the build's cache to.
        cache_to: Vec<String>,
        /// Build every step anew.
        no_cache: Flag,
        /// More named contexts for the Dockerfile's `FROM` and `COPY --from`.
        additional_contexts: KeyValues,
        /// Pull newer versions of the base images.
        pull: Flag,
        /// More host names for `RUN` steps.
        extra_hosts: ExtraHosts,
        /// How `RUN` steps are isolated; depends on the platform.
        isolation: String,
        /// The network that `RUN` steps use: `host`, `none` or a network's name.
        network: String,
        /// The stage of the Dockerfile to build. The last one when not given.
        target: String,
        /// Secrets that `RUN --mount=type=secret` steps may read.
        secrets: Vec<Form<Grant>>,
        /// The size of `/dev/shm` for `RUN` steps.
        shm_size: Size,
        /// More names for the image.
        tags: Vec<String>,
        /// Limits of processes in `RUN` steps.
        ulimits: BTreeMap<String, Form<Ulimit>>,
        /// The platforms to build for, such as `linux/amd64`.
        platforms: Texts,
        /// Run the build with all privileges.
        privileged: Flag,
    }
}

/// Agents and keys by their names; `default` has no path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ssh(pub(crate) BTreeMap<String, Option<String>>);

impl Blank for Ssh {
    fn is_blank(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Ssh {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let keys = KeyValues::deserialize(deserializer)?.0.into_iter();
        // As the canonical form has them.
        let split = |(name, path): (String, Option<String>)| match (name.split_once(": "), path) {
            (Some((name, path)), None) => (name.to_owned(), Some(path.to_owned())),
            (_, path) => (name, path),
        };
        Ok(Self(keys.map(split).collect()))
    }
}

impl Serialize for Ssh {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(name, path)| match path {
            Some(path) => format!("{name}: {path}"),
            None => name.clone(),
        }))
    }
}

impl JsonSchema for Ssh {
    fn schema_name() -> Cow<'static, str> {
        "KeyValues".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        KeyValues::json_schema(generator)
    }
}

impl ShortForm for Build {
    const EXPECTING: &'static str = "a folder or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let Short::Text(text) = short else { return Ok(None) };
        Ok(Some(Self { context: text.to_owned(), ..Self::default() }))
    }
}

impl Rebase for Form<Build> {
    fn rebase(&mut self, base: &str, home: Option<&str>) -> Result<(), String> {
        let build = &mut self.0;
        build.context = paths::context(&build.context, base, home);
        for (name, context) in &mut build.additional_contexts.0 {
            let Some(context) = context else {
                return Err(format!("the additional context `{name}` names nothing\nwrite `{name}=FOLDER`"));
            };
            *context = paths::additional_context(context, base, home);
        }
        for key in build.ssh.0.values_mut().flatten() {
            *key = paths::absolute(key, base, home);
        }
        Ok(())
    }
}
