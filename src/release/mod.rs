//! What of a deployment to a cluster is decided without one: in which order objects are applied, which of them belong to
//! the project, what a Secret may take from the cluster, what has changed, how a rollout stands, and what is put back when
//! it fails.
//!
//! Objects are JSON here, as the cluster sends them. This module never talks to it: `deploy` does.

pub mod applyset;
pub mod change;
pub mod item;
pub mod order;
pub mod owned;
pub mod progress;
pub mod secret;

/// The name under which hoist applies fields.
pub const MANAGER: &str = "hoist";
