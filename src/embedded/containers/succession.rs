//! Who comes after a container that is stopped or has ended: its replacement, or it itself. What comes to its ports meanwhile
//! waits for them.

use std::time::Duration;

use super::launch;
use super::owner::Owner;
use super::record::Status;
use crate::embedded::network::Successor;

/// How long what comes waits for a container that is to be stopped or has ended.
const PATIENCE: Duration = Duration::from_mins(1);
/// The pause of a restart policy that is still short enough to be waited for, and what its start is given beside.
const SHORT: Duration = Duration::from_secs(1);
const START: Duration = Duration::from_secs(5);

/// Before it is told to stop: its successors have its connections from now on, and its name means it no more.
pub(super) async fn retire(owner: &Owner) {
    let successors = successors(owner, owner.keep);
    owner.shared.networks.retire(&owner.container.id, &successors).await;
}

/// When it has ended; `pause` until its restart policy starts it again.
pub(super) fn hold(owner: &Owner, pause: Option<Duration>) {
    let again = pause.filter(|pause| *pause <= SHORT);
    let successors = successors(owner, owner.keep || again.is_some());
    let only_itself = successors.iter().all(|successor| successor.id == owner.container.id);
    let patience = again.filter(|_| only_itself).map_or(PATIENCE, |pause| pause + START);
    owner.shared.networks.hold(&owner.container.id, &successors, patience);
}

/// Those that are to take its place and may still do so; with `itself`, it too.
fn successors(owner: &Owner, itself: bool) -> Vec<Successor> {
    let id = &owner.container.id;
    let all = owner.shared.all().into_iter().map(|other| other.record());
    let coming = all.filter(|other| {
        let replaces = other.replaces.as_ref() == Some(id);
        let may_come = matches!(other.state.status, Status::Created) || other.state.status.is_running();
        (replaces && may_come) || (itself && other.id == *id)
    });
    coming.map(|record| Successor { id: record.id.clone(), ports: launch::join(&record).ports }).collect()
}
