//! What the person does: saves files and edits the manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Content, World, is_synced};
use crate::change::PathState;
use crate::change::rules::Rules;
use crate::project::Project;
use crate::reconcile::event::{Event, Reloaded};

impl World {
    /// A save in a built service's folder; now and then it does not compile.
    pub(super) fn save(&mut self) {
        let built: Vec<String> =
            self.project.services.values().filter(|it| it.build.is_some()).map(|it| it.name.clone()).collect();
        let Some(service) = built.get(usize::try_from(self.dice.roll(6)).expect("a small number")) else { return };
        if !self.calm && self.dice.one_in(3) {
            self.broken.insert(service.clone());
        } else {
            self.broken.remove(service);
        }
        let folder = self.folder(service);
        // Now and then a file is written as it was.
        if !self.dice.one_in(5) {
            *self.sources.entry(folder.clone()).or_default() += 1;
        }
        self.note_good();
        self.feed(Event::Changed([(format!("{folder}/main.js").into(), PathState::Present)].into()));
    }

    /// A save of files that are copied into running containers, some of which do not come up with them.
    pub(super) fn save_synced(&mut self) {
        let synced: Vec<String> =
            self.project.services.values().filter(|it| is_synced(it)).map(|it| it.name.clone()).collect();
        let Some(service) = synced.get(usize::try_from(self.dice.roll(4)).expect("a small number")) else { return };
        let crashes = !self.calm && self.dice.one_in(3);
        let version = self.tree.get(service).map_or(1, |content| content.version + 1);
        self.tree.insert(service.clone(), Content { version, crashes });
        self.note_good();
        self.feed(Event::Changed([(format!("/shop/{service}/sync/a.js").into(), PathState::Present)].into()));
    }

    /// A service is set otherwise, or one that nobody needs is taken out, or the manifest is broken or put right.
    pub(super) fn edit_manifest(&mut self) {
        if self.dice.one_in(4) {
            self.written = None;
        } else {
            let mut project = Project::clone(self.written.as_ref().unwrap_or(&self.project));
            let names: Vec<String> = project.services.keys().cloned().collect();
            let name = &names[usize::try_from(self.dice.roll(names.len() as u64)).expect("a small number")];
            let is_needed = project.services.values().any(|other| other.depends_on.contains_key(name));
            if !is_needed && names.len() > 1 && self.dice.one_in(2) {
                project.services.remove(name);
            } else if let Some(service) = project.services.get_mut(name) {
                let value = self.dice.roll(3).to_string();
                service.environment.insert("SETTING".into(), Some(value));
            }
            self.written = Some(Arc::new(project));
        }
        self.save_manifest();
    }

    pub(super) fn save_manifest(&mut self) {
        self.feed(Event::Changed([("/shop/compose.yaml".into(), PathState::Present)].into()));
    }

    pub(super) fn read_manifest(&mut self) {
        let read = self.written.clone().map(|project| {
            let mut known = Project::clone(&self.project);
            known.services.extend(project.services.clone());
            self.project = Arc::new(known);
            let services = project.services.keys().cloned().collect();
            let rules = Arc::new(Rules::new(&project, &BTreeMap::new()));
            Box::new(Reloaded { project, services, rules, inputs: BTreeMap::new(), initial_syncs: BTreeMap::new() })
        });
        if let Some(read) = &read {
            self.asked_for = read.services.clone();
        }
        self.feed(Event::Reloaded(read));
    }
}
