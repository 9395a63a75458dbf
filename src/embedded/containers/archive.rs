//! Files of a container, running or not.

use super::launch;
use super::shared::{Container, Shared};
use crate::embedded::error::Error;
use crate::embedded::root::View;

/// Where its files are seen: as its first process sees them, or mounted for the purpose.
pub(super) async fn view(shared: &Shared, container: &Container) -> Result<View, Error> {
    if let Ok(running) = container.running() {
        return Ok(View::Process(running.pid()));
    }
    let record = container.record();
    let binds = launch::binds(shared, &record, None).await?.into_iter().map(|resolved| resolved.bind);
    // What is not there now would be made at its start.
    let binds = binds.filter(|bind| bind.source.exists()).collect();
    Ok(View::Stopped { rootfs: launch::rootfs(&shared.layout, &record), binds })
}
