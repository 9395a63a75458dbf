//! What of the manifest an engine cannot be brought to, although nothing has failed: told once for as long as it lasts.

use std::collections::BTreeMap;

use super::event::Action;
use super::notice::Notice;
use super::{Goal, State};
use crate::plan::operation::{Hold, Operation};
use crate::plan::{Plan, changed_volumes};

impl State {
    pub(super) fn remark(&mut self, plan: &Plan, actions: &mut Vec<Action>) {
        if self.is_ending() {
            return;
        }
        let mut found: BTreeMap<String, Option<String>> = self.networks_that_stay(plan).map(|it| (it, None)).collect();
        if let Goal::Up(up) = &self.goal {
            found.extend(changed_volumes(self.situation(), &up.services).into_iter().map(|name| {
                let message =
                    format!("volume `{name}` is defined otherwise now and stays as it was made, with its data");
                let hint = format!("if they may go, `docker volume rm {name}` while nothing uses it has it made anew");
                (message, Some(hint))
            }));
            let shown = self.rules.iter().flat_map(|rules| rules.shown());
            found.extend(shown.filter(|(service, _)| up.services.contains(*service)).map(|(service, target)| {
                let message = format!(
                    "`{service}`: saved files are not copied to `{target}`: a bind mount shows them there already"
                );
                (message, Some("`hoist watch --explain` tells what a save leads to".into()))
            }));
        }
        let told = std::mem::replace(&mut self.remarks, found.keys().cloned().collect());
        let news = found.into_iter().filter(|(message, _)| !told.contains(message));
        actions.extend(news.map(|(message, hint)| Action::Tell(Notice::Warning { message, hint })));
    }

    /// Why networks are not made anew, without what is told already because it failed.
    fn networks_that_stay<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = String> + 'a {
        let entries = plan.entries.iter().filter(|entry| matches!(entry.operation, Operation::RemoveNetwork { .. }));
        let reasons = entries.flat_map(|entry| &entry.holds).filter_map(Hold::failure);
        reasons.filter(|reason| self.facts.failures.values().all(|failure| failure != reason))
    }
}
