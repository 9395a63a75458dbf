//! Kinds that a cluster knows only once somebody has installed them, as types of our own: routes of the Gateway API,
//! `ExternalSecret`s and `SealedSecret`s. Only the fields that an export writes are here.
//!
//! Sources: the Gateway API's reference (`gateway.networking.k8s.io/v1`), External Secrets' (`external-secrets.io/v1`),
//! and that of Sealed Secrets (`bitnami.com/v1alpha1`).

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// Declares a kind: its version, its name, and what it says.
macro_rules! kind {
    ($(#[$meta:meta])* $name:ident, $version:literal, $spec:ty) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub struct $name {
            /// Always the version that this type is of.
            pub api_version: String,
            /// Always the type's name.
            pub kind: String,
            /// What every object has.
            pub metadata: ObjectMeta,
            /// What it says.
            pub spec: $spec,
        }

        impl $name {
            /// One that says this.
            #[must_use]
            pub fn new(metadata: ObjectMeta, spec: $spec) -> Self {
                Self {
                    api_version: $version.to_owned(),
                    kind: stringify!($name).to_owned(),
                    metadata,
                    spec,
                }
            }
        }
    };
}

/// Declares a part of such an object.
macro_rules! part {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default, Deserialize, Serialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
    };
}

kind!(
    /// Leads requests for hosts to Services, through a Gateway.
    HTTPRoute, "gateway.networking.k8s.io/v1", HTTPRouteSpec
);

part! {
    /// What a route leads where.
    HTTPRouteSpec {
        /// The Gateways that it belongs to.
        parent_refs: Vec<ParentReference>,
        /// Its hosts.
        hostnames: Vec<String>,
        /// What is led where.
        rules: Vec<HTTPRouteRule>,
    }
}

part! {
    /// A Gateway.
    ParentReference {
        /// Its name.
        name: String,
        /// Its namespace, when that is another one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Its listener; every one that takes the host when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        section_name: Option<String>,
    }
}

part! {
    /// Requests, and who gets them.
    HTTPRouteRule {
        /// Which requests.
        matches: Vec<HTTPRouteMatch>,
        /// Who gets them.
        backend_refs: Vec<BackendReference>,
    }
}

part! {
    /// A kind of requests.
    HTTPRouteMatch {
        /// Their path.
        path: PathMatch,
    }
}

part! {
    /// How a path is compared.
    PathMatch {
        /// `PathPrefix` or `Exact`.
        #[serde(rename = "type")]
        type_: String,
        /// With what.
        value: String,
    }
}

part! {
    /// A port of a Service.
    BackendReference {
        /// The Service.
        name: String,
        /// Its port.
        port: i32,
    }
}

kind!(
    /// A Secret that the External Secrets operator fills from a store.
    ExternalSecret, "external-secrets.io/v1", ExternalSecretSpec
);

part! {
    /// What it is filled with.
    ExternalSecretSpec {
        /// How often the store is looked at: `1h`.
        refresh_interval: String,
        /// The store.
        secret_store_ref: SecretStoreReference,
        /// The Secret that is made.
        target: SecretTarget,
        /// Its keys.
        data: Vec<ExternalSecretData>,
    }
}

part! {
    /// A store of secrets.
    SecretStoreReference {
        /// Its name.
        name: String,
        /// `ClusterSecretStore` or `SecretStore`.
        kind: String,
    }
}

part! {
    /// The Secret that is made.
    SecretTarget {
        /// Its name.
        name: String,
        /// What it looks like.
        template: SecretTemplate,
    }
}

part! {
    /// What a Secret that is made looks like.
    SecretTemplate {
        /// Its labels.
        metadata: TemplateMetadata,
        /// Its type.
        #[serde(rename = "type")]
        type_: String,
    }
}

part! {
    /// What stands above the content of a Secret that is made.
    TemplateMetadata {
        /// Its labels.
        labels: BTreeMap<String, String>,
    }
}

part! {
    /// One key of a Secret, and where its value is.
    ExternalSecretData {
        /// The key.
        secret_key: String,
        /// Where its value is.
        remote_ref: RemoteReference,
    }
}

part! {
    /// A value in a store.
    RemoteReference {
        /// What it is kept under.
        key: String,
        /// Which part of that.
        property: String,
    }
}

kind!(
    /// A Secret whose values only the cluster can read.
    SealedSecret, "bitnami.com/v1alpha1", SealedSecretSpec
);

part! {
    /// What is sealed.
    SealedSecretSpec {
        /// The sealed values by key, in base64.
        encrypted_data: BTreeMap<String, String>,
        /// The Secret that is made.
        template: SealedTemplate,
    }
}

part! {
    /// The Secret that is made.
    SealedTemplate {
        /// Its name and labels.
        metadata: ObjectMeta,
        /// Its type.
        #[serde(rename = "type")]
        type_: String,
    }
}
