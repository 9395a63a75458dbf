//! `build`: how an image is made.

use std::collections::BTreeMap;

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
        /// SSH agents and keys that the build may use.
        ssh: KeyValues,
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
        /// The network that `RUN` steps use: `host`, `none` or a network's name.
        network: String,
        /// Write a provenance attestation: `true`, `false` or its settings.
        provenance: Option<AnyScalar>,
        /// Write a software bill of materials: `true`, `false` or its settings.
        sbom: Option<AnyScalar>,
        /// Pull newer versions of the base images.
        pull: Flag,
        /// The stage of the Dockerfile to build. The last one when not given.
        target: String,
        /// The size of `/dev/shm` for `RUN` steps.
        shm_size: Size,
        /// More host names for `RUN` steps.
        extra_hosts: ExtraHosts,
        /// How `RUN` steps are isolated; depends on the platform.
        isolation: String,
        /// Run the build with all privileges.
        privileged: Flag,
        /// Secrets that `RUN --mount=type=secret` steps may read.
        secrets: Vec<Form<Grant>>,
        /// More names for the image.
        tags: Vec<String>,
        /// Limits of processes in `RUN` steps.
        ulimits: BTreeMap<String, Form<Ulimit>>,
        /// The platforms to build for, such as `linux/amd64`.
        platforms: Texts,
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
        for context in build.additional_contexts.0.values_mut().flatten() {
            *context = paths::additional_context(context, base, home);
        }
        Ok(())
    }
}
