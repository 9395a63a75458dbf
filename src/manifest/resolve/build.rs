//! How an image is built, as it is meant.

use std::path::PathBuf;

use super::service::grant;
use super::{given, machine};
use crate::manifest::paths;
use crate::manifest::raw;
use crate::project::{Build, BuildContext};

pub(super) fn build(raw: &raw::build::Build) -> Build {
    let context = if paths::is_remote_context(&raw.context) {
        BuildContext::Remote(raw.context.clone())
    } else {
        BuildContext::Local(PathBuf::from(&raw.context))
    };
    let contexts = &raw.additional_contexts.0;
    let secrets = raw.secrets.iter().map(|secret| {
        let id = given(&secret.target).unwrap_or_else(|| secret.source.clone());
        grant(secret, id)
    });
    Build {
        context,
        dockerfile: given(&raw.dockerfile).unwrap_or_else(|| "Dockerfile".to_owned()),
        dockerfile_inline: given(&raw.dockerfile_inline),
        args: raw.args.0.clone(),
        target: given(&raw.target),
        labels: raw.labels.0.clone(),
        tags: raw.tags.clone(),
        cache_from: raw.cache_from.clone(),
        cache_to: raw.cache_to.clone(),
        additional_contexts: contexts
            .iter()
            .map(|(name, value)| (name.clone(), value.clone().unwrap_or_default()))
            .collect(),
        network: given(&raw.network),
        shm_size: Some(raw.shm_size.0).filter(|size| *size != 0),
        extra_hosts: raw.extra_hosts.0.iter().map(|line| line.replacen('=', ":", 1)).collect(),
        ssh: raw.ssh.0.clone(),
        secrets: secrets.collect(),
        ulimits: machine::ulimits(&raw.ulimits),
        platforms: raw.platforms.0.clone(),
        entitlements: raw.entitlements.clone(),
        isolation: given(&raw.isolation),
        privileged: raw.privileged.0,
        pull: raw.pull.0,
        no_cache: raw.no_cache.0,
        provenance: raw.provenance.as_ref().map(|scalar| scalar.0.clone()),
        sbom: raw.sbom.as_ref().map(|scalar| scalar.0.clone()),
    }
}
