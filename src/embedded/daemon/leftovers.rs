//! What engines with other folders have left on this machine that were killed and never started again: links, routes,
//! rules of the firewall and mounts, which disturb other networks of the machine. Who is dead is [`presence`]'s to say.

use super::folders;
use crate::embedded::error::Error;
use crate::embedded::layout::Layout;
use crate::embedded::presence::{self, Dead, Presence};
use crate::embedded::{network, process};

/// Says that this engine lives. Where that cannot be said it works all the same; nobody cleans up after it then.
pub(super) async fn enter(layout: &Layout) -> Option<Presence> {
    let layout = layout.clone();
    let entered = tokio::task::spawn_blocking(move || Presence::enter(&layout)).await;
    match entered.map_err(std::io::Error::other).flatten() {
        Ok(presence) => Some(presence),
        Err(error) => {
            tracing::warn!("if this engine is killed, no other will clean up after it: it cannot be noted: {error}");
            None
        }
    }
}

/// Removes what dead engines have left. What resists is tried again by the next engine that starts.
pub(super) async fn clear() {
    let dead = tokio::task::spawn_blocking(presence::dead).await;
    // Where there is no folder nobody has noted anything.
    for engine in dead.into_iter().flatten().flatten() {
        let name = engine.name.clone();
        match clear_one(engine).await {
            Ok(()) => tracing::info!("removed what the dead engine {name} has left on this machine"),
            Err(error) => tracing::warn!("something of the dead engine {name} is left on this machine: {error}"),
        }
    }
}

async fn clear_one(engine: Dead) -> Result<(), Error> {
    network::remove_leftovers(&engine.name).await?;
    let cleared = tokio::task::spawn_blocking(move || {
        if let Some(layout) = &engine.layout {
            process::clear_lost(layout);
            if !folders::release(layout)? {
                return Ok(());
            }
        }
        engine.remove().map_err(Error::io("forget a dead engine"))
    });
    cleared.await.map_err(|error| Error::Failed(error.to_string()))?
}
