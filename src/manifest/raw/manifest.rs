//! A whole manifest, for the schema; the loader reads its sections one by one.

use std::collections::BTreeMap;

use super::forms::{Form, OneOrMany, Short, ShortForm};
use super::network::Network;
use super::own::ProjectOwn;
use super::service::{Nullable, Service};
use super::storage::{Config, Model, Secret, Volume};

raw! {
    /// A project of services that run together (a Compose file).
    Manifest {
        /// Obsolete: it has no effect.
        version: String,
        /// The project's name; the folder's when not given.
        name: String,
        /// Other manifests that belong to the project.
        include: Vec<Form<Include>>,
        /// The services of the project.
        services: BTreeMap<String, Service>,
        /// Models that services use.
        models: BTreeMap<String, Model>,
        /// Networks that connect services. All join `default` unless they say otherwise.
        networks: BTreeMap<String, Nullable<Network>>,
        /// Volumes that keep data beyond a container's life.
        volumes: BTreeMap<String, Nullable<Volume>>,
        /// Secrets that services are given as files.
        secrets: BTreeMap<String, Secret>,
        /// Configs that services are given as files.
        configs: BTreeMap<String, Config>,
        /// What is meant for hoist alone.
        #[serde(rename = "x-hoist", skip_serializing)]
        own: Nullable<ProjectOwn>,
    }
}

raw! {
    /// Another manifest that belongs to the project.
    Include {
        /// The file, or files that are merged.
        path: OneOrMany<String>,
        /// The folder that its relative paths start from; its own when not given.
        project_directory: String,
        /// Files with variables for its interpolation; `.env` in its folder when not given.
        env_file: OneOrMany<String>,
    }
}

impl ShortForm for Include {
    const EXPECTING: &'static str = "a file or a mapping";

    fn from_short(short: Short<'_>) -> Result<Option<Self>, String> {
        let Short::Text(text) = short else { return Ok(None) };
        Ok(Some(Self { path: OneOrMany(vec![text.to_owned()]), ..Self::default() }))
    }
}
