//! Volumes: a folder each below [`Layout::volumes`], with a record beside it.

use std::path::PathBuf;

use bollard_stubs::models::{Volume, VolumeCreateRequest};

use super::error::Error;
use super::events::Events;
use super::layout::Layout;

/// The engine's volumes; clones share them.
#[derive(Debug, Clone)]
pub struct Volumes {
    _layout: Layout,
    _events: Events,
}

impl Volumes {
    /// Those of the folders.
    pub async fn open(layout: &Layout, events: Events) -> Result<Self, Error> {
        Ok(Self { _layout: layout.clone(), _events: events })
    }

    /// Makes one, or returns the one that has the name. Without a name it gets a random one and is anonymous.
    pub async fn create(&self, _request: VolumeCreateRequest) -> Result<Volume, Error> {
        Err(Error::Unsupported("volumes".into()))
    }

    /// One by name.
    pub async fn inspect(&self, _name: &str) -> Result<Volume, Error> {
        Err(Error::Unsupported("volumes".into()))
    }

    /// All.
    pub async fn list(&self) -> Result<Vec<Volume>, Error> {
        Err(Error::Unsupported("volumes".into()))
    }

    /// Removes one that no container has; who has one is the caller's to know.
    pub async fn remove(&self, _name: &str) -> Result<(), Error> {
        Err(Error::Unsupported("volumes".into()))
    }

    /// The folder with its files.
    pub async fn folder(&self, _name: &str) -> Result<PathBuf, Error> {
        Err(Error::Unsupported("volumes".into()))
    }
}
