//! The Docker Engine API: routes, parameters, streams, statuses. Decides nothing.

use axum::Router;

use super::build::Builder;
use super::containers::Containers;
use super::events::Events;
use super::images::Images;
use super::layout::Layout;
use super::network::Networks;
use super::spec::Machine;
use super::volumes::Volumes;

/// What the routes work on.
#[derive(Debug, Clone)]
pub struct Engine {
    /// Folders.
    pub layout: Layout,
    /// What this machine has.
    pub machine: Machine,
    /// Events.
    pub events: Events,
    /// Images.
    pub images: Images,
    /// Volumes.
    pub volumes: Volumes,
    /// Networks.
    pub networks: Networks,
    /// Containers.
    pub containers: Containers,
    /// Builds.
    pub builder: Builder,
}

/// All routes, with and without a version before them.
pub fn router(engine: Engine) -> Router {
    Router::new().with_state(engine)
}
