//! What all containers share, who is called what, and what anyone may see of a container without asking its owner.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bollard_stubs::models::{EventMessageTypeEnum, Health};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attach::Waiting;
use super::exec::Execs;
use super::logs::Wakers;
use super::owner::Command;
use super::record::{Record, Status};
use crate::embedded::error::Error;
use crate::embedded::events::Events;
use crate::embedded::images::Images;
use crate::embedded::layout::Layout;
use crate::embedded::network::Networks;
use crate::embedded::process::Running;
use crate::embedded::spec::Machine;
use crate::embedded::volumes::Volumes;

/// What every container's owner works with.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) layout: Layout,
    pub(super) machine: Machine,
    pub(super) images: Images,
    pub(super) networks: Networks,
    pub(super) volumes: Volumes,
    pub(super) events: Events,
    pub(super) execs: Execs,
    pub(super) wakers: Wakers,
    /// Cancelled when the last handle goes: owners end, containers do not.
    pub(super) closing: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) table: Mutex<Table>,
}

/// Who is there, and under which name.
#[derive(Debug, Default)]
pub(super) struct Table {
    containers: BTreeMap<String, Arc<Container>>,
    /// Name → id; a name is taken before its container is made.
    names: HashMap<String, String>,
}

/// A container, as anyone may see it. Only its owner changes it.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    live: Mutex<Live>,
    /// For those who wait.
    pub(super) phase: watch::Sender<Phase>,
    commands: mpsc::Sender<Command>,
    /// Clients that joined its output before its start.
    pub(super) waiting: Mutex<Vec<Waiting>>,
    /// Whoever mounts its files holds this until they are mounted no more, or it runs.
    pub(super) files: Arc<tokio::sync::Mutex<()>>,
}

/// How a container is now.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) record: Arc<Record>,
    pub(super) running: Option<Running>,
    pub(super) health: Option<Health>,
}

/// What one can wait for.
#[derive(Debug, Clone, Default)]
pub(super) struct Phase {
    /// It runs, or will be started again.
    pub(super) running: bool,
    pub(super) removed: bool,
    /// How often it has ended.
    pub(super) ends: u64,
    /// Of the last end.
    pub(super) code: i64,
    /// Why its last removal failed.
    pub(super) stuck: Option<Error>,
}

impl Shared {
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, reference: &str) -> Result<Arc<Container>, Error> {
        self.table().find(reference)
    }

    pub(super) fn all(&self) -> Vec<Arc<Container>> {
        self.table().containers.values().cloned().collect()
    }

    /// Tells what happened to a container, with what filters and people look at.
    pub(super) fn tell(&self, record: &Record, action: &str, extra: &[(&str, &str)]) {
        let mut attributes: HashMap<String, String> = record.body.labels.clone().unwrap_or_default();
        attributes.insert("image".to_owned(), record.body.image.clone().unwrap_or_default());
        attributes.insert("name".to_owned(), record.name.clone());
        attributes.extend(extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.events.tell(EventMessageTypeEnum::CONTAINER, action, &record.id, attributes);
    }
}

impl Table {
    /// By id, name, or the beginning of an id that only one has.
    pub(super) fn find(&self, reference: &str) -> Result<Arc<Container>, Error> {
        let missing = || Error::NotFound(format!("No such container: {reference}"));
        if let Some(container) = self.containers.get(reference) {
            return Ok(container.clone());
        }
        let name = reference.strip_prefix('/').unwrap_or(reference);
        if let Some(container) = self.names.get(name).and_then(|id| self.containers.get(id)) {
            return Ok(container.clone());
        }
        if reference.is_empty() {
            return Err(missing());
        }
        let mut matching =
            self.containers.range(reference.to_owned()..).take_while(|(id, _)| id.starts_with(reference));
        match (matching.next(), matching.next()) {
            (Some((_, container)), None) => Ok(container.clone()),
            (Some(_), Some(_)) => Err(Error::Invalid(format!("Multiple IDs found with provided prefix: {reference}"))),
            (None, _) => Err(missing()),
        }
    }

    /// Takes a name for a container; `release` gives it back.
    pub(super) fn reserve(&mut self, name: &str, id: &str) -> Result<(), Error> {
        match self.names.get(name) {
            Some(owner) if owner != id => Err(Error::Conflict(format!(
                "Conflict. The container name \"/{name}\" is already in use by container \"{owner}\". You have to remove \
                 (or rename) that container to be able to reuse that name."
            ))),
            _ => {
                self.names.insert(name.to_owned(), id.to_owned());
                Ok(())
            }
        }
    }

    pub(super) fn release(&mut self, name: &str, id: &str) {
        if self.names.get(name).is_some_and(|owner| owner == id) {
            self.names.remove(name);
        }
    }

    pub(super) fn insert(&mut self, container: Arc<Container>) {
        self.containers.insert(container.id.clone(), container);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.containers.remove(id);
        self.names.retain(|_, owner| owner != id);
    }
}

impl Container {
    pub(super) fn new(record: Record, commands: mpsc::Sender<Command>) -> Self {
        let phase = Phase { code: record.state.exit_code, ..Phase::default() };
        Self {
            id: record.id.clone(),
            live: Mutex::new(Live { record: Arc::new(record), running: None, health: None }),
            phase: watch::Sender::new(phase),
            commands,
            waiting: Mutex::default(),
            files: Arc::default(),
        }
    }

    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn record(&self) -> Arc<Record> {
        self.live().record.clone()
    }

    /// The process, for what does not change the container.
    pub(super) fn running(&self) -> Result<Running, Error> {
        let live = self.live();
        live.running.clone().ok_or_else(|| Error::Conflict(format!("container {} is not running", live.record.id)))
    }

    /// Has its owner do something.
    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let gone = || Error::NotFound(format!("No such container: {}", self.id));
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    pub(super) fn publish(&self, record: Record) -> Arc<Record> {
        let record = Arc::new(record);
        self.live().record = record.clone();
        let (running, code) = (record.state.status.is_running(), record.state.exit_code);
        self.phase.send_if_modified(|phase| {
            phase.code = code;
            std::mem::replace(&mut phase.running, running) != running
        });
        record
    }

    pub(super) fn is_being_removed(&self) -> bool {
        self.live().record.state.status == Status::Removing
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::record::tests::record;
    use super::{Container, Table};
    use crate::embedded::error::Error;

    fn table(containers: &[(&str, &str)]) -> Table {
        let mut table = Table::default();
        for (id, name) in containers {
            table.reserve(name, id).expect("free");
            table.insert(Arc::new(Container::new(record(id, name), tokio::sync::mpsc::channel(1).0)));
        }
        table
    }

    #[test]
    fn a_container_is_found_by_id_name_and_beginning() {
        let table = table(&[("aa11", "web"), ("aa22", "db"), ("bb33", "aa")]);
        let found = |reference: &str| table.find(reference).map(|container| container.id.clone());
        assert_eq!(found("aa11"), Ok("aa11".to_owned()));
        assert_eq!(found("/web"), Ok("aa11".to_owned()));
        assert_eq!(found("aa"), Ok("bb33".to_owned()), "a name comes before the beginning of an id");
        assert_eq!(found("b"), Ok("bb33".to_owned()));
        assert!(matches!(found("a"), Err(Error::Invalid(_))));
        assert_eq!(found("zz"), Err(Error::NotFound("No such container: zz".into())));
        assert!(found("").is_err());
    }

    #[test]
    fn a_name_belongs_to_one() {
        let mut table = table(&[("aa11", "web")]);
        let refusal = table.reserve("web", "bb22").map_err(|error| error.to_string());
        let words = "Conflict. The container name \"/web\" is already in use by container \"aa11\"";
        assert!(refusal.is_err_and(|text| text.starts_with(words)));
        table.remove("aa11");
        assert_eq!(table.reserve("web", "bb22"), Ok(()));
    }
}
