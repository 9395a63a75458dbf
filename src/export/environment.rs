//! A service's variables: those that look like secrets in a Secret, the rest in a `ConfigMap`.
//!
//! Both are read whole (`envFrom`), which leaves `$(NAME)` in a value alone, as Compose does.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMapEnvSource, EnvFromSource, SecretEnvSource};

use crate::project::Service;

use super::files::{config_map, secret};
use super::name::{environment_object, is_variable};
use super::secrecy::is_kept_secret;
use super::{Context, Export, Kind, PLACEHOLDER, SecretValues, Supply, service_key};

/// Writes the objects of a service's environment and gives the references of its container to them.
pub(super) fn write(context: &Context<'_>, service: &Service, export: &mut Export) -> Option<Vec<EnvFromSource>> {
    let name = environment_object(&context.names.service(&service.name));
    let (plain, confidential) = divided(context, service, &name, export);
    let mut sources = Vec::new();
    if !plain.is_empty() {
        export.objects.push(config_map(context, &name, Some(service), plain));
        let reference = ConfigMapEnvSource { name: name.clone(), optional: None };
        sources.push(EnvFromSource { config_map_ref: Some(reference), ..EnvFromSource::default() });
    }
    if !confidential.is_empty() {
        export.objects.push(secret(context, &name, Some(service), confidential));
        let reference = SecretEnvSource { name, optional: None };
        sources.push(EnvFromSource { secret_ref: Some(reference), ..EnvFromSource::default() });
    }
    (!sources.is_empty()).then_some(sources)
}

type Entries = BTreeMap<String, Vec<u8>>;

fn divided(context: &Context<'_>, service: &Service, object: &str, export: &mut Export) -> (Entries, Entries) {
    let mut plain = Entries::new();
    let mut confidential = Entries::new();
    for (name, value) in &service.environment {
        let key = || service_key(service, &format!("environment.{name}"));
        let Some(value) = value else {
            export.dropped(key(), "it is not set here; add it where the cluster has a value for it");
            continue;
        };
        if !is_variable(name) {
            export.dropped(key(), "Kubernetes does not accept this name for a variable");
            continue;
        }
        if !is_kept_secret(context.settings(service), name, value) {
            plain.insert(name.clone(), value.clone().into_bytes());
            continue;
        }
        let shown = if context.options.secrets == SecretValues::Values {
            value.as_str()
        } else {
            export.supplies.push(Supply { kind: Kind::Secret, object: object.to_owned(), key: Some(name.clone()) });
            PLACEHOLDER
        };
        confidential.insert(name.clone(), shown.as_bytes().to_vec());
    }
    (plain, confidential)
}
