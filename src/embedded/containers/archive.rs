//! Files of a container, running or not.

use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::OwnedMutexGuard;
use tokio::time::timeout;

use super::launch;
use super::shared::{Container, Shared};
use crate::embedded::ByteStream;
use crate::embedded::error::Error;
use crate::embedded::root::View;

/// How long a start waits for those who read or write the files of a container that does not run.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where its files are seen. While it does not run nobody else mounts them: the kernel does not say what becomes of a layer
/// that is written through two mounts.
pub(super) struct Sight {
    pub(super) view: View,
    hold: Option<OwnedMutexGuard<()>>,
}

impl Sight {
    /// The stream, which keeps the container's files until it is dropped.
    pub(super) fn keep(self, stream: ByteStream) -> ByteStream {
        let hold = self.hold;
        stream
            .map(move |chunk| {
                let _ = &hold;
                chunk
            })
            .boxed()
    }
}

/// As its first process sees them, or mounted for the purpose.
pub(super) async fn view(shared: &Shared, container: &Container) -> Result<Sight, Error> {
    if let Ok(running) = container.running() {
        return Ok(Sight { view: View::Process(running.pid()), hold: None });
    }
    let hold = Some(own(container).await?);
    // It may have been started while others had its files.
    if let Ok(running) = container.running() {
        return Ok(Sight { view: View::Process(running.pid()), hold: None });
    }
    let record = container.record();
    let binds = launch::binds(shared, &record, None).await?.into_iter().map(|resolved| resolved.bind);
    // What is not there now would be made at its start.
    let binds = binds.filter(|bind| bind.source.exists()).collect();
    Ok(Sight { view: View::Stopped { rootfs: launch::rootfs(&shared.layout, &record), binds }, hold })
}

/// The files of a container for oneself, to mount them.
pub(super) async fn own(container: &Container) -> Result<OwnedMutexGuard<()>, Error> {
    let lock = container.files.clone().lock_owned();
    timeout(PATIENCE, lock).await.map_err(|_| {
        Error::Conflict(format!("container {} does not run, and others read or write its files", container.id))
    })
}
