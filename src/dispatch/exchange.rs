//! How one container takes another's place, step by step, and how that is taken back.

use super::perform::Job;
use crate::engine::{Engine, EngineError};
use crate::log;
use crate::plan::observed::Container;
use crate::reconcile::event::{Outcome, Part};

/// How many of the last lines of a container that is taken back are shown.
const LAST_LINES: usize = 15;

impl<E: Engine> Job<E> {
    /// The old container stops, if it runs, and the new one starts.
    pub(super) async fn exchange(&self, service: &str, old: &str, new: &str) -> Result<Container, EngineError> {
        self.timed(Part::Stop, self.stop(service, old)).await?;
        self.timed(Part::Start, self.start(service, new)).await
    }

    /// The old container goes, and the new one gets its name.
    pub(super) async fn promote(
        &self,
        service: &str,
        number: u32,
        old: &str,
        new: &str,
    ) -> Result<Container, EngineError> {
        self.stop(service, old).await?;
        // Its anonymous volumes are the new one's now.
        self.engine.remove_container(old, false).await?;
        self.backups.forget(old);
        self.rename(service, number, new).await?;
        self.there(service, new).await
    }

    /// The new container goes, and the old one serves again.
    pub(super) async fn revert(&self, service: &str, old: &str, new: &str) -> Result<Outcome, EngineError> {
        let output = log::tail(&self.engine, new, LAST_LINES).await;
        // Its anonymous volumes are the old one's.
        self.engine.remove_container(new, false).await?;
        self.backups.forget(new);
        let before = self.there(service, old).await?;
        let container = if before.state.is_running() { before } else { self.start(service, old).await? };
        Ok(Outcome::Reverted { container: Box::new(container), output })
    }

    /// The container gets the files back that a sync took the place of, and is started again with them.
    pub(super) async fn restore(&self, service: &str, id: &str) -> Result<Outcome, EngineError> {
        let output = log::tail(&self.engine, id, LAST_LINES).await;
        self.stop(service, id).await?;
        self.put_back(id).await?;
        let container = self.start(service, id).await?;
        Ok(Outcome::Reverted { container: Box::new(container), output })
    }

    pub(super) async fn rename(&self, service: &str, number: u32, id: &str) -> Result<(), EngineError> {
        let Some(service) = self.project.services.get(service) else { return Ok(()) };
        self.engine.rename_container(id, &self.project.container_name(service, number)).await
    }

    async fn there(&self, service: &str, id: &str) -> Result<Container, EngineError> {
        let gone = || EngineError::NotFound { message: format!("a container of `{service}` is gone") };
        self.engine.container(id).await?.ok_or_else(gone)
    }
}
