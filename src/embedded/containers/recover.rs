//! What a daemon that begins finds of its containers.

use std::sync::Arc;

use chrono::Utc;
use futures_util::future::join_all;

use super::launch;
use super::owner::{self, Resumed};
use super::record::{self, Record, Status};
use super::shared::Shared;
use crate::embedded::error::Error;
use crate::embedded::layout::Layout;
use crate::embedded::network::Join;
use crate::embedded::process::{self, Exit, Found};
use crate::embedded::root;

/// The exit code of a container of which nobody knows how it ended.
const LOST: i64 = 137;

/// See [`super::running_joins`].
pub(super) async fn running_joins(layout: &Layout) -> Result<Vec<Join>, Error> {
    let (records, _) = load(layout).await?;
    let running = records.iter().filter(|record| record.state.status.is_running());
    Ok(running.filter_map(launch::join_of_running).collect())
}

/// Puts all that are on record on the table, each with its owner.
pub(super) async fn recover(shared: &Arc<Shared>) -> Result<(), Error> {
    let (records, rest) = load(&shared.layout).await?;
    for folder in rest {
        tracing::info!("{} is what is left of a container whose making or removal was cut short", folder.display());
        if let Err(error) = root::remove(&folder).await {
            tracing::warn!("cannot remove {}: {error}", folder.display());
        }
    }
    let found = join_all(records.into_iter().map(|record| async {
        let resumed = resume(shared, &record).await;
        (record, resumed)
    }));
    for (mut record, resumed) in found.await {
        if let Err(error) = shared.table().reserve(&record.name, &record.id) {
            tracing::warn!("{error}");
            // Two records of one name are nobody's doing; both are kept.
            record.name = crate::embedded::id::name(&record.id);
            shared.table().reserve(&record.name, &record.id)?;
        }
        if let Resumed::Running(running) = &resumed {
            record.state.started_at = Some(running.started_at());
        }
        owner::adopt(shared, record, resumed);
    }
    Ok(())
}

async fn load(layout: &Layout) -> Result<(Vec<Record>, Vec<std::path::PathBuf>), Error> {
    let folder = layout.containers();
    let loaded = tokio::task::spawn_blocking(move || record::load(&folder)).await;
    loaded.map_err(|error| Error::Failed(format!("cannot read the containers: {error}")))?
}

async fn resume(shared: &Shared, record: &Record) -> Resumed {
    match record.state.status {
        Status::Created | Status::Exited | Status::Removing => return Resumed::Idle,
        Status::Restarting => return Resumed::Restarting,
        Status::Running | Status::Paused => {}
    }
    let lost = |why: String| Exit { code: LOST, oom_killed: false, finished_at: Utc::now(), error: Some(why) };
    match process::find(&shared.layout, &record.id).await {
        Ok(Found::Running(running)) => Resumed::Running(running),
        Ok(Found::Ended(exit)) => Resumed::Ended(exit),
        Ok(Found::Lost) => Resumed::Ended(lost(
            "the machine was restarted, or the process that watched over the container was killed".to_owned(),
        )),
        Err(error) => Resumed::Ended(lost(format!("the container cannot be found again: {error}"))),
    }
}
