//! Dice, and the projects that they make.

use crate::plan::fixtures::{ServiceExt as _, project, service};
use crate::project::{
    BuildContext, Condition, Hook, Network, NetworkAttachment, Networking, Project, RestartPolicy, Service,
    UpdateOrder, WatchAction, WatchRule,
};

/// Small, seeded and good enough (splitmix64).
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// A place in a list of so many.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.roll(count as u64)).expect("a small number")
    }

    pub(super) fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }
}

/// A project of two to six services, each depending on some before it.
pub(super) fn any_project(dice: &mut Dice) -> Project {
    let count = 2 + dice.roll(5);
    let name = |number: u64| format!("s{number}");
    let mut services: Vec<Service> = Vec::new();
    for number in 0..count {
        let mut made = service(&name(number));
        // The first one is a job now and then, of which others need that it completes.
        let is_job = number == 0 && dice.one_in(3);
        if !is_job && dice.one_in(2) {
            made = made.checked();
        }
        if dice.one_in(2) {
            made = made.built();
        }
        if !is_job && dice.one_in(2) {
            made = made.restart(RestartPolicy::Always);
        }
        if !is_job && dice.one_in(4) {
            made = made.times(2);
        }
        if !is_job && dice.one_in(3) {
            made.update_order = Some(UpdateOrder::StartFirst);
        }
        let is_like_others = dice.one_in(4);
        if let Some(build) = made.build.as_mut().filter(|_| is_like_others) {
            // Built from the same as the others that are; now and then it watches only a part of that.
            build.context = BuildContext::Local("/shop/common".into());
            if dice.one_in(3) {
                made.watch.push(WatchRule::new("/shop/common/part".into(), WatchAction::Rebuild));
            }
        } else if !is_job && dice.one_in(3) {
            watch_copied(&mut made, dice);
        }
        for other in 0..number {
            if !dice.one_in(3) {
                continue;
            }
            let checked = services[usize::try_from(other).expect("a small number")].healthcheck.is_some();
            let condition = if other == 0 && services[0].labels.contains_key("job") {
                Condition::Completed
            } else if checked {
                Condition::Healthy
            } else {
                Condition::Started
            };
            made = made.needs(&name(other), condition);
            if condition != Condition::Completed && dice.one_in(3) {
                made.depends_on.get_mut(&name(other)).expect("just added").restart = true;
            }
        }
        if is_job {
            made.labels.insert("job".into(), String::new());
        }
        let keys: &[&str] = [&["default"][..], &["default"], &["back"], &["default", "back"]][dice.below(4)];
        made.networking =
            Networking::Networks(keys.iter().map(|key| ((*key).to_owned(), NetworkAttachment::default())).collect());
        services.push(made);
    }
    let mut project = project(services);
    project.networks.insert("back".into(), Network { name: "shop_back".into(), ..Network::default() });
    project
}

/// A network is defined otherwise, or as it was.
pub(super) fn redefine(project: &mut Project, key: &str, dice: &mut Dice) {
    let Some(network) = project.networks.get_mut(key) else { return };
    network.internal = dice.one_in(2);
    network.driver_opts = [("mtu".to_owned(), format!("14{}0", dice.roll(3)))].into();
}

/// Files that are copied when they are saved, and others that rebuild where there is something to build.
fn watch_copied(service: &mut Service, dice: &mut Dice) {
    let target = "/app".to_owned();
    let exec = Hook { command: vec!["reload".into()], ..Hook::default() };
    let action = match dice.roll(6) {
        0 => WatchAction::Sync { target },
        1 => WatchAction::SyncExec { target, exec },
        _ => WatchAction::SyncRestart { target },
    };
    let rule = WatchRule::new(format!("/shop/{}/sync", service.name).into(), action);
    service.watch.push(rule);
    if service.build.is_some() {
        let rule = WatchRule::new(format!("/shop/{}", service.name).into(), WatchAction::Rebuild);
        service.watch.push(WatchRule { ignore: vec!["sync".to_owned()], ..rule });
    } else if dice.one_in(3) {
        service.watch.push(WatchRule::new(format!("/shop/{}/restart", service.name).into(), WatchAction::Restart));
    }
}
