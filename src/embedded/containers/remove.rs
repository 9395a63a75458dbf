//! Removing a container, and what goes with it.

use super::owner::Owner;
use super::record::{MountKind, Record, Status};
use super::{attach, launch, signal};
use crate::embedded::error::Error;
use crate::embedded::root;

/// Removes it; one that runs only with `force`.
pub(super) async fn remove(owner: &mut Owner, force: bool, volumes: bool) -> Result<(), Error> {
    let record = owner.record();
    let refused = match record.state.status {
        Status::Running => Some("container is running: stop the container before removing or force remove"),
        Status::Paused => Some("container is paused and must be unpaused first"),
        Status::Restarting => Some("container is restarting: stop the container before removing or force remove"),
        Status::Created | Status::Exited | Status::Removing => None,
    };
    match refused {
        Some(why) if !force => {
            return Err(Error::Conflict(format!("cannot remove container \"/{}\": {why}", record.name)));
        }
        Some(_) => owner.halt(Some(0), Some(signal::KILL)).await?,
        None => {}
    }
    // With `--rm` its end was its removal.
    if owner.removed { Ok(()) } else { purge(owner, volumes).await }
}

/// Removes one that does not run. On a failure it stays on the table, and removing it can be tried again.
pub(super) async fn purge(owner: &mut Owner, volumes: bool) -> Result<(), Error> {
    let mut record = Record::clone(&owner.record());
    record.state.status = Status::Removing;
    let record = owner.container.publish(record);
    owner.container.phase.send_modify(|phase| phase.stuck = None);
    let removed = purge_files(owner, &record).await;
    if let Err(error) = removed {
        let mut record = Record::clone(&record);
        record.state.status = Status::Exited;
        record.state.error = error.to_string();
        owner.container.publish(record);
        owner.container.phase.send_modify(|phase| phase.stuck = Some(error.clone()));
        return Err(error);
    }
    owner.removed = true;
    owner.shared.table().remove(&record.id);
    owner.shared.networks.give_up(&record.id, true).await;
    // Whoever waited for its start waits for nothing.
    drop(attach::waiting(&owner.container));
    if volumes {
        remove_volumes(owner, &record).await;
    }
    owner.shared.tell(&record, "destroy", &[]);
    owner.container.phase.send_modify(|phase| phase.removed = true);
    Ok(())
}

async fn purge_files(owner: &Owner, record: &Record) -> Result<(), Error> {
    let layout = &owner.shared.layout;
    let folder = layout.container(&record.id);
    // The record first: what is left of a removal that is cut short is no container any more.
    match tokio::fs::remove_file(folder.join("container.json")).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::io(format!("remove the record of container {}", record.id))(error));
        }
        _ => {}
    }
    root::remove(&folder).await?;
    if record.lower.is_none() {
        for part in launch::machine_layer(layout, &record.id) {
            root::remove(&part).await?;
        }
    }
    Ok(())
}

/// Those that nobody has named and nobody else has.
async fn remove_volumes(owner: &Owner, record: &Record) {
    for mount in &record.mounts {
        let MountKind::Volume { name, anonymous: true, .. } = &mount.kind else { continue };
        if !users_of_volume(owner, name).is_empty() {
            continue;
        }
        match owner.shared.volumes.remove(name).await {
            Ok(()) | Err(Error::NotFound(_)) => {}
            Err(error) => tracing::warn!("cannot remove volume {name}: {error}"),
        }
    }
}

fn users_of_volume(owner: &Owner, volume: &str) -> Vec<String> {
    super::list::users_of_volume(&owner.shared, volume)
}
