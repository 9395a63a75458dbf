//! What the person does: saves files and edits the manifest.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chance::redefine;
use super::{Content, World, is_synced};
use crate::change::PathState;
use crate::change::rules::Rules;
use crate::plan::spec::label;
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

    /// A save of files that are copied into running containers, some of which exit with them; or the removal of
    /// one.
    pub(super) fn save_synced(&mut self) {
        let synced: Vec<String> =
            self.project.services.values().filter(|it| is_synced(it)).map(|it| it.name.clone()).collect();
        let Some(service) = synced.get(usize::try_from(self.dice.roll(4)).expect("a small number")) else { return };
        let crashes = !self.calm && self.dice.one_in(3);
        let state = if self.dice.one_in(4) { PathState::Gone } else { PathState::Present };
        let service = service.clone();
        self.write_synced(&service, crashes);
        self.note_good();
        self.feed(Event::Changed([(format!("/shop/{service}/sync/a.js").into(), state)].into()));
    }

    /// Everything that a service's image is built from is put back as it was then, in one burst.
    pub(super) fn put_back(&mut self) {
        let built: Vec<String> =
            self.project.services.values().filter(|it| it.build.is_some()).map(|it| it.name.clone()).collect();
        let Some(service) = built.get(self.dice.below(4)).cloned() else { return };
        let image = self.truth.images.get(&self.project.image_of(&self.project.services[&service])).cloned();
        let Some((image, (sources, _))) =
            image.as_ref().and_then(|it| Some((it, it.labels.get(label::INPUTS)?.split_once('.')?)))
        else {
            return;
        };
        let folder = self.folder(&service);
        self.sources.insert(folder.clone(), sources.parse().expect("a number"));
        self.tree.insert(service.clone(), self.contents.get(&image.id).copied().unwrap_or_default());
        self.note_good();
        let paths = [format!("{folder}/main.js"), format!("/shop/{service}/sync/a.js")];
        self.feed(Event::Changed(paths.map(|path| (path.into(), PathState::Present)).into()));
    }

    pub(super) fn write_synced(&mut self, service: &str, crashes: bool) {
        let version = self.tree.get(service).map_or(1, |content| content.version + 1);
        self.tree.insert(service.to_owned(), Content { version, crashes });
    }

    /// A file after which a service is only restarted, and one that the rules are made from.
    pub(super) fn save_others(&mut self) {
        let names: Vec<String> = self.project.services.keys().cloned().collect();
        let name = &names[usize::try_from(self.dice.roll(names.len() as u64)).expect("a small number")];
        self.note_good();
        self.feed(Event::Changed([(format!("/shop/{name}/restart/a").into(), PathState::Present)].into()));
        if self.dice.one_in(2) {
            let rules = Rules::new(&self.state.declared, &BTreeMap::new());
            self.feed(Event::RulesRead(Arc::new(rules)));
        }
    }

    /// A service is set otherwise, or one that nobody needs is taken out, or the manifest is broken or put right.
    pub(super) fn edit_manifest(&mut self) {
        if self.dice.one_in(4) {
            self.written = None;
        } else {
            let mut project = Project::clone(self.written.as_ref().unwrap_or(&self.project));
            if self.dice.one_in(3) {
                let key = ["default", "back"][self.dice.below(2)];
                redefine(&mut project, key, &mut self.dice);
            }
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
            known.networks.clone_from(&project.networks);
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
