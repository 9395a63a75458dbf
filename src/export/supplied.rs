//! Values that somebody has filled into an earlier export's Secrets, which a new export must not take away.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Secret;

use super::{Export, Kind, Object, PLACEHOLDER};

/// Puts what has been supplied in the place of placeholders. `earlier` gives the text of the file of that name, when
/// there is one; what cannot be read as the same Secret counts for nothing.
pub fn keep_supplied(export: &mut Export, earlier: impl Fn(&str) -> Option<String>) {
    for object in &mut export.objects {
        let file = object.file_name();
        let Object::Secret(secret) = object else { continue };
        let Some(earlier) = earlier(&file).and_then(|text| serde_yaml::from_str::<Secret>(&text).ok()) else {
            continue;
        };
        if earlier.metadata.name == secret.metadata.name {
            merge(secret, &earlier);
        }
    }
    let open: BTreeSet<(&str, &str)> = export
        .objects
        .iter()
        .filter_map(|object| if let Object::Secret(secret) = object { Some(secret) } else { None })
        .flat_map(|secret| {
            let name = secret.metadata.name.as_deref().unwrap_or_default();
            let entries = secret.string_data.iter().flatten();
            entries.filter(|(_, value)| *value == PLACEHOLDER).map(move |(key, _)| (name, key.as_str()))
        })
        .collect();
    export.supplies.retain(|supply| {
        let is_external = export.external.iter().any(|other| other.kind == supply.kind && other.name == supply.object);
        let key = supply.key.as_deref().unwrap_or_default();
        supply.kind != Kind::Secret || is_external || open.contains(&(supply.object.as_str(), key))
    });
}

fn merge(secret: &mut Secret, earlier: &Secret) {
    let Some(texts) = &mut secret.string_data else { return };
    let open: Vec<String> =
        texts.iter().filter(|(_, value)| *value == PLACEHOLDER).map(|(key, _)| key.clone()).collect();
    for key in open {
        if let Some(text) = earlier.string_data.as_ref().and_then(|texts| texts.get(&key)) {
            texts.insert(key, text.clone());
        } else if let Some(bytes) = earlier.data.as_ref().and_then(|data| data.get(&key)) {
            texts.remove(&key);
            secret.data.get_or_insert_default().insert(key, bytes.clone());
        }
    }
    if texts.is_empty() {
        secret.string_data = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::keep_supplied;
    use crate::export::{Options, SecretValues, document, kubernetes};
    use crate::project::{Project, Service};

    #[test]
    fn what_was_filled_in_stays_and_only_what_is_new_is_asked_for() {
        let service = Service {
            name: "web".to_owned(),
            image: Some("web".to_owned()),
            environment: ["A_TOKEN", "B_TOKEN", "C_TOKEN"].map(|key| (key.to_owned(), Some("x".to_owned()))).into(),
            ..Service::default()
        };
        let project = Project {
            name: "shop".to_owned(),
            directory: "/shop".into(),
            files: Vec::new(),
            environment_files: Vec::new(),
            services: [("web".to_owned(), service)].into(),
            disabled: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            configs: BTreeMap::new(),
            models: BTreeMap::new(),
            kubernetes: crate::project::ProjectKubernetes::default(),
        };
        let mut export = kubernetes(&project, &Options::new(SecretValues::Placeholder));
        let earlier = "kind: Secret\napiVersion: v1\nmetadata: {name: web-env}\n\
                       stringData: {A_TOKEN: mine, B_TOKEN: REPLACE_ME}\ndata: {C_TOKEN: bWluZQ==}\n";
        keep_supplied(&mut export, |file| (file == "web-env-secret.yaml").then(|| earlier.to_owned()));
        let open: Vec<_> = export.supplies.iter().filter_map(|supply| supply.key.as_deref()).collect();
        assert_eq!(open, ["B_TOKEN"]);
        let secret = export.objects.iter().find(|object| object.kind() == super::Kind::Secret);
        let text = document(secret.expect("it has one")).unwrap_or_default();
        assert!(text.contains("A_TOKEN: mine") && text.contains("C_TOKEN: bWluZQ=="), "{text}");
    }

    #[test]
    fn a_file_that_is_no_such_secret_counts_for_nothing() {
        for earlier in ["", "- 1", "kind: Secret\napiVersion: v1\nmetadata: {name: other}\nstringData: {A_TOKEN: x}\n"]
        {
            let mut export = crate::export::Export::default();
            keep_supplied(&mut export, |_| Some(earlier.to_owned()));
            assert_eq!(export, crate::export::Export::default());
        }
    }
}
