//! Secrets whose values somebody else brings: an operator that fetches them from a store of secrets.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;

use super::custom::{
    ExternalSecret, ExternalSecretData, ExternalSecretSpec, RemoteReference, SecretStoreReference, SecretTarget,
    SecretTemplate, TemplateMetadata,
};
use super::{Context, Export, Kind, Object, Reference, SecretValues};

/// What a store is called when nobody says so.
const STORE: &str = "default";

/// How often the operator looks whether a value is another one.
const REFRESH: &str = "1h";

/// Puts an `ExternalSecret` in the place of each Secret, when they are to be fetched.
pub(super) fn externalise(context: &Context<'_>, export: &mut Export) {
    let SecretValues::External(store) = &context.options.secrets else { return };
    let store = SecretStoreReference {
        name: store.as_ref().map_or(STORE, |store| &store.name).to_owned(),
        kind: match store {
            Some(store) if store.is_namespaced => "SecretStore".to_owned(),
            _ => "ClusterSecretStore".to_owned(),
        },
    };
    for object in &mut export.objects {
        if let Object::Secret(secret) = object {
            let secret = std::mem::take(&mut **secret);
            let name = secret.metadata.name.clone().unwrap_or_default();
            // The operator makes the Secret itself.
            export.external.insert(Reference { kind: Kind::Secret, name });
            *object = external(context, secret, &store).into();
        }
    }
    for supply in &mut export.supplies {
        let is_made = supply.kind == Kind::Secret && supply.key.is_some();
        let of_project = |name: &str| {
            export.objects.iter().any(|object| object.kind() == Kind::ExternalSecret && object.name() == name)
        };
        if is_made && of_project(&supply.object) {
            supply.kind = Kind::ExternalSecret;
        }
    }
}

fn external(context: &Context<'_>, secret: Secret, store: &SecretStoreReference) -> ExternalSecret {
    let name = secret.metadata.name.clone().unwrap_or_default();
    let keys: std::collections::BTreeSet<String> = secret
        .string_data
        .into_iter()
        .flat_map(BTreeMap::into_keys)
        .chain(secret.data.into_iter().flat_map(BTreeMap::into_keys))
        .collect();
    let data = keys.into_iter().map(|key| ExternalSecretData {
        remote_ref: RemoteReference { key: format!("{}/{name}", context.project.name), property: key.clone() },
        secret_key: key,
    });
    let spec = ExternalSecretSpec {
        refresh_interval: REFRESH.to_owned(),
        secret_store_ref: store.clone(),
        target: SecretTarget {
            name: name.clone(),
            template: SecretTemplate {
                metadata: TemplateMetadata { labels: secret.metadata.labels.clone().unwrap_or_default() },
                type_: secret.type_.unwrap_or_else(|| "Opaque".to_owned()),
            },
        },
        data: data.collect(),
    };
    ExternalSecret::new(secret.metadata, spec)
}
