//! A folder for kustomize: a base with a file for each object, and an overlay for each of two environments that says only
//! what is different there.
//!
//! Different are: the namespace; that development has one replica of everything, reserves no processor and no memory, and
//! has neither autoscalers nor disruption budgets; that production names the tags of the images that the project builds,
//! and lets no program log more than `info`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::super::name::label;
use super::super::yaml::{document, value};
use super::super::{Export, Kind, Object, WriteError};
use super::{Text, Tree, containers, environment, fields, image_parts, is_private};

/// A `kustomization.yaml`, with the fields that are used here.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kustomization {
    api_version: &'static str,
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    resources: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    replicas: Vec<Replicas>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Image>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    patches: Vec<Patch>,
}

#[derive(Debug, Serialize)]
struct Replicas {
    name: String,
    count: u32,
}

#[derive(Debug, Serialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
struct Image {
    name: String,
    new_tag: String,
}

#[derive(Debug, Serialize)]
struct Patch {
    path: String,
}

impl Kustomization {
    fn new() -> Self {
        Self { api_version: "kustomize.config.k8s.io/v1beta1", kind: "Kustomization", ..Self::default() }
    }

    fn text(&self, comment: &str) -> Text {
        let fields = serde_json::to_value(self).unwrap_or_default();
        Text::public(format!("{comment}{}", value(fields)))
    }
}

const BASE: &str = "\
# What all environments have in common. Edit what you like, here and in every file: the next export merges its changes
# with yours.
";

const DEVELOPMENT: &str = "\
# What is different where the project is developed: one replica of everything, nothing reserved.
";

const PRODUCTION: &str = "\
# What is different where the project is used. Release another version by its tag under `images`.
";

/// Makes the folder. Production has the namespace of the export, when that has one.
pub fn tree(project: &str, export: &Export) -> Result<Tree, WriteError> {
    let mut tree = Tree::new();
    let mut base = Kustomization::new();
    let named = export.objects.iter().find(|object| object.kind() == Kind::Namespace).map(Object::name);
    let of = |environment: &str| label(&format!("{}-{environment}", named.unwrap_or(project)));
    let mut production = overlay("production", named.map_or_else(|| of("production"), str::to_owned), &mut tree);
    let mut development = overlay("development", of("development"), &mut tree);
    for object in export.objects.iter().filter(|object| object.kind() != Kind::Namespace) {
        let mut object = object.clone();
        // Overlays say where objects are, and kustomize says so in all of them.
        object.metadata_mut().namespace = None;
        if let Object::RoleBinding(binding) = &mut object {
            binding.subjects.iter_mut().flatten().for_each(|subject| subject.namespace = None);
        }
        let object = &object;
        let name = object.file_name();
        let folder = if environment::is_for_production(object.kind()) {
            production.resources.push(name.clone());
            "overlays/production"
        } else {
            base.resources.push(name.clone());
            "base"
        };
        let text = Text { content: document(object)?, private: is_private(object) };
        tree.insert(format!("{folder}/{name}"), text);
        if let Some(patch) = environment::without_reservations(object) {
            add_patch(&mut development, "development", &name, patch, &mut tree);
        }
        if let Some(patch) = environment::quieter(object) {
            add_patch(&mut production, "production", &name, patch, &mut tree);
        }
        if environment::replicas(object).is_some_and(|count| count > 1) {
            development.replicas.push(Replicas { name: object.name().to_owned(), count: 1 });
        }
    }
    production.images = tags(&export.objects, &export.images);
    tree.insert("base/kustomization.yaml".to_owned(), base.text(BASE));
    tree.insert("overlays/development/kustomization.yaml".to_owned(), development.text(DEVELOPMENT));
    tree.insert("overlays/production/kustomization.yaml".to_owned(), production.text(PRODUCTION));
    Ok(tree)
}

fn overlay(environment: &str, namespace: String, tree: &mut Tree) -> Kustomization {
    let object = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": { "name": namespace },
    });
    tree.insert(format!("overlays/{environment}/namespace.yaml"), Text::public(value(object)));
    Kustomization {
        namespace: Some(namespace),
        resources: vec!["../../base".to_owned(), "namespace.yaml".to_owned()],
        ..Kustomization::new()
    }
}

fn add_patch(overlay: &mut Kustomization, environment: &str, name: &str, patch: Value, tree: &mut Tree) {
    overlay.patches.push(Patch { path: name.to_owned() });
    let fields = super::super::yaml::identity_first(patch);
    tree.insert(format!("overlays/{environment}/{name}"), Text::public(value(fields)));
}

/// The tags of the images that the project builds.
fn tags(objects: &[Object], built: &BTreeMap<String, String>) -> Vec<Image> {
    let mut images = Vec::new();
    for object in objects {
        for container in containers(&fields(object)) {
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            if !built.values().any(|built| built == image) {
                continue;
            }
            let (name, tag) = image_parts(image);
            if !image.contains('@') {
                images.push(Image { name: name.to_owned(), new_tag: tag.unwrap_or("latest").to_owned() });
            }
        }
    }
    images.sort();
    images.dedup();
    images
}
