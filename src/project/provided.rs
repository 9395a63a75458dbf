//! What a run learns from providers and of models, and what the services that need it get of it: variables
//! (chapter 5, `provider` and `models`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Project;

/// What has been provided so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provided {
    /// What each provider told, by its service.
    pub services: BTreeMap<String, Variables>,
    /// Where each model answers, by its key in the manifest.
    pub models: BTreeMap<String, String>,
}

/// The variables that a provider tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Variables {
    /// Those that get the service's name in front: `URL` of `database` is `DATABASE_URL`.
    pub named: BTreeMap<String, String>,
    /// Those that are taken as they are.
    pub plain: BTreeMap<String, String>,
}

impl Provided {
    /// Whether nothing has been.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.models.is_empty()
    }
}

impl Project {
    /// The project with the variables that its services get of what has been provided: those that depend on a provider's
    /// service, and those that use a model. They win over what the manifest says.
    #[must_use]
    pub fn with_provided(&self, provided: &Provided) -> Self {
        let mut project = self.clone();
        for service in project.services.values_mut() {
            let mut learned = BTreeMap::new();
            for (name, variables) in service.depends_on.keys().filter_map(|name| provided.services.get_key_value(name))
            {
                let prefix = name.to_uppercase();
                learned.extend(variables.named.iter().map(|(key, value)| (format!("{prefix}_{key}"), value.clone())));
                learned.extend(variables.plain.iter().map(|(key, value)| (key.clone(), value.clone())));
            }
            for (key, use_of_it) in &service.models {
                let (Some(address), Some(model)) = (provided.models.get(key), self.models.get(key)) else { continue };
                learned.insert(use_of_it.model_variable.clone(), model.source.clone());
                learned.insert(use_of_it.endpoint_variable.clone(), address.clone());
            }
            service.environment.extend(learned.into_iter().map(|(key, value)| (key, Some(value))));
        }
        project
    }
}
