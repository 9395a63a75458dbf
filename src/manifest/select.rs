//! A project cut down to some services and all that they need.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Loaded;
use crate::graph::Graph;

impl Loaded {
    /// Leaves these services, what they depend on, and the resources that any of them uses; everything when none is named.
    pub fn keep_only(&mut self, services: &[String]) {
        let Ok(graph) = Graph::new(&self.project) else { return };
        if services.is_empty() {
            return;
        }
        let kept = graph.with_dependencies(services.iter().map(String::as_str));
        self.project.services.retain(|name, _| kept.contains(name));
        let Some(model) = self.model.as_object_mut() else { return };
        let Some(Value::Object(written)) = model.get_mut("services") else { return };
        written.retain(|name, _| kept.contains(name));
        let services: Vec<&Value> = written.values().collect();
        let keys = |attribute: &str| -> BTreeSet<String> {
            let maps = services.iter().filter_map(|service| service.get(attribute)?.as_object());
            maps.flat_map(|map| map.keys().cloned()).collect()
        };
        let sources = |attribute: &str| -> BTreeSet<String> {
            let own = services.iter().filter_map(|service| service.get(attribute)?.as_array());
            let built = services.iter().filter_map(|service| service.get("build")?.get(attribute)?.as_array());
            own.chain(built).flatten().filter_map(|item| Some(item.get("source")?.as_str()?.to_owned())).collect()
        };
        let used = [
            ("networks", keys("networks")),
            ("models", keys("models")),
            ("volumes", sources("volumes")),
            ("secrets", sources("secrets")),
            ("configs", sources("configs")),
        ];
        for (section, used) in &used {
            let Some(Value::Object(map)) = model.get_mut(*section) else { continue };
            map.retain(|key, _| used.contains(key));
            if map.is_empty() {
                model.shift_remove(*section);
            }
        }
        let project = &mut self.project;
        project.networks.retain(|key, _| used[0].1.contains(key));
        project.volumes.retain(|key, _| used[2].1.contains(key));
        project.secrets.retain(|key, _| used[3].1.contains(key));
        project.configs.retain(|key, _| used[4].1.contains(key));
    }
}
