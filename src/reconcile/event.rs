//! What can happen to a run and what it can want done: the two closed lists at the edge of the pure core.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::change::rules::Rules;
use crate::change::{PathState, SyncFiles};
use crate::plan::observed::{Container, ContainerId, Image, Observed};
use crate::plan::operation::Operation;
use crate::project::Project;
use crate::project::provided::Variables;

use super::notice::Notice;

/// The number of an operation that was begun. It is answered exactly once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// Something that happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The engine was asked for everything; answers [`Action::Observe`].
    Observed(Observed),
    /// Something happened to one container, which was then looked at; `None` when it is gone.
    Container {
        /// Its id.
        id: ContainerId,
        /// How it is.
        container: Option<Box<Container>>,
    },
    /// A container's process has ended; what the engine makes of that is still to come.
    Exited {
        /// The container.
        id: ContainerId,
        /// The exit code.
        code: i64,
    },
    /// An operation has ended.
    Answered {
        /// Which.
        ticket: Ticket,
        /// How.
        answer: Answer,
        /// How long its parts took, where it has some.
        parts: Parts,
    },
    /// The files that an image is built from were read; answers [`Action::ReadInputs`].
    InputsRead {
        /// The service.
        service: String,
        /// The source generation that they had when the reading began.
        generation: u64,
        /// Their digest; `None` when they cannot be read, as the build will say.
        digest: Option<String>,
    },
    /// A container's healthcheck command succeeded when hoist ran it.
    ProbePassed {
        /// The container.
        container: ContainerId,
    },
    /// Files were saved, removed or renamed.
    Changed(BTreeMap<PathBuf, PathState>),
    /// Files that were told of as changed, and not acted on yet, are as they were before.
    Undone(BTreeSet<PathBuf>),
    /// An ignore file was saved, and this is what the rules say now.
    RulesRead(#[serde(with = "super::shared")] Arc<Rules>),
    /// The manifest was read anew; answers [`Action::Reload`]. `None` when it does not load, which the person has been
    /// told: everything goes on as it was.
    Reloaded(Option<Box<Reloaded>>),
    /// The person, or the system, wants the run to end.
    Interrupted {
        /// The exit code that says so: 130 for Ctrl-C, 143 for SIGTERM.
        code: u8,
    },
    /// The engine does not answer any more.
    EngineLost {
        /// Its last words.
        reason: String,
    },
    /// The engine's events come again; what happened meanwhile shows only in a full listing.
    Reconnected,
    /// The time that [`super::State::wake_at`] asked for has come.
    Woken,
}

/// The parts of an operation in their order, and how long each took.
pub type Parts = Vec<(Part, Duration)>;

/// What happens between a save and its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The burst of changes comes to its end.
    Settle,
    /// The files of a build are read, to tell whether they are others.
    Read,
    /// An image is built.
    Build,
    /// Files are copied.
    Sync,
    /// A container is made.
    Create,
    /// A container stops.
    Stop,
    /// A container starts.
    Start,
    /// A container becomes healthy.
    Healthy,
}

/// What a manifest that was read anew asks for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reloaded {
    /// The project; its name is what it was.
    #[serde(with = "super::shared")]
    pub project: Arc<Project>,
    /// The services that the run is to bring up.
    pub services: BTreeSet<String>,
    /// What saved files lead to.
    #[serde(with = "super::shared")]
    pub rules: Arc<Rules>,
    /// The digests of the builds' inputs of services that were not there before, or are built otherwise, as they lie on
    /// disk.
    pub inputs: BTreeMap<String, String>,
    /// The files that rules with `initial_sync` bring into the containers of services that were not there before.
    #[serde(default)]
    pub initial_syncs: BTreeMap<String, SyncFiles>,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done.
    Done(Outcome),
    /// It is not.
    Failed(Failure),
    /// It was called off.
    Cancelled,
}

/// What an operation left behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// An image was built or pulled.
    Image(Image),
    /// What a provider told.
    Provided(Variables),
    /// Where a model answers.
    Model(String),
    /// The container as it is now.
    Container(Box<Container>),
    /// A container was taken back: the one that runs in its place, and the last lines of what it said.
    Reverted {
        /// The container that serves again, as it is now.
        container: Box<Container>,
        /// The last lines of the one that did not prove itself.
        output: Vec<String>,
    },
    /// Nothing that needs to be known beyond that it is done.
    Nothing,
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// In words for people.
    pub reason: String,
    /// The last lines of output, of a build.
    pub output: Vec<String>,
    /// The engine did not answer at all, so that nothing is known about the thing itself.
    pub unreachable: bool,
}

/// Something to be done at the edge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Carry out an operation and answer its ticket.
    Perform {
        /// The ticket.
        ticket: Ticket,
        /// The operation.
        operation: Operation,
    },
    /// Call an operation off; it still answers.
    Cancel {
        /// The ticket.
        ticket: Ticket,
    },
    /// Ask the engine for everything, again and again until it answers.
    Observe,
    /// Read the manifest again.
    Reload,
    /// Read the files that a service's image is built from.
    ReadInputs {
        /// The service.
        service: String,
        /// Their source generation.
        generation: u64,
    },
    /// Run a container's healthcheck command now and then until it succeeds.
    Probe {
        /// The service whose healthcheck it is.
        service: String,
        /// The container.
        container: ContainerId,
        /// Something waits for it. Otherwise the service may use the first moments to start up undisturbed.
        urgent: bool,
    },
    /// Stop doing that.
    StopProbe {
        /// The container.
        container: ContainerId,
    },
    /// Pass on a container's output until it exits.
    Follow {
        /// The service.
        service: String,
        /// The container's number.
        number: u32,
        /// The container.
        container: ContainerId,
        /// From this moment on: nanoseconds since 1970 on the engine's clock; `None` is from now.
        since: Option<u64>,
    },
    /// Kill a container at once.
    Kill {
        /// The container.
        container: ContainerId,
    },
    /// Tell the person.
    Tell(Notice),
    /// The run is over.
    End {
        /// The exit code.
        code: u8,
    },
}
