//! What a run has to say, as data; `ui` words it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::edits::Deed;
use super::event::Parts;
use super::timings::Leg;
use crate::plan::operation::{Cause, Operation};

/// Something that a person, or a program reading JSON lines, is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "notice", rename_all = "kebab-case")]
pub enum Notice {
    /// An operation was begun.
    Began {
        /// What.
        operation: Operation,
        /// Why.
        cause: Cause,
        /// The edit that it follows from.
        #[serde(skip_serializing_if = "Option::is_none")]
        edit: Option<u64>,
    },
    /// An operation is done.
    Done {
        /// What.
        operation: Operation,
        /// How long it took.
        took: Duration,
        /// The edit that it follows from.
        #[serde(skip_serializing_if = "Option::is_none")]
        edit: Option<u64>,
    },
    /// A build gave the image that was there before: nothing is replaced.
    ImageUnchanged {
        /// The service.
        service: String,
        /// How long the build took.
        took: Duration,
        /// The edit that it follows from.
        #[serde(skip_serializing_if = "Option::is_none")]
        edit: Option<u64>,
    },
    /// An operation failed.
    Failed {
        /// What.
        operation: Operation,
        /// Why, in words for people.
        reason: String,
        /// The last lines of output, of a build.
        output: Vec<String>,
        /// Something of the service still runs as before.
        still_running: bool,
        /// The edit that it follows from.
        #[serde(skip_serializing_if = "Option::is_none")]
        edit: Option<u64>,
    },
    /// A new version did not prove itself, and what ran before serves again.
    Reverted {
        /// The service.
        service: String,
        /// The container's number.
        number: u32,
        /// What the new version did instead, in words for people: `exited with code 1`.
        reason: String,
        /// The last lines that it said.
        output: Vec<String>,
        /// Whether what ran before runs.
        still_running: bool,
        /// The edit that it follows from.
        #[serde(skip_serializing_if = "Option::is_none")]
        edit: Option<u64>,
    },
    /// An operation was called off because something newer came.
    Cancelled {
        /// What.
        operation: Operation,
    },
    /// A container's healthcheck passes.
    Healthy {
        /// The service.
        service: String,
        /// The container's number.
        number: u32,
        /// Since its start.
        took: Duration,
        /// The edit that it follows from.
        #[serde(skip_serializing_if = "Option::is_none")]
        edit: Option<u64>,
    },
    /// A container's healthcheck has failed too often.
    Unhealthy {
        /// The service.
        service: String,
        /// The container's number.
        number: u32,
    },
    /// A container exited without being told to.
    Exited {
        /// The service.
        service: String,
        /// The container's number.
        number: u32,
        /// The exit code.
        code: i64,
        /// It is started again after this long.
        restart_in: Option<Duration>,
    },
    /// Saved files concern a service.
    Changed {
        /// The number of the edit, counted through the run; several services can have it in common.
        edit: u64,
        /// The service.
        service: String,
        /// The paths, absolute.
        paths: BTreeSet<PathBuf>,
    },
    /// What saved files have led to is done: the service is at rest again.
    Edited {
        /// The numbers of the edits that are in it.
        edits: Vec<u64>,
        /// The service.
        service: String,
        /// The paths, absolute.
        paths: BTreeSet<PathBuf>,
        /// What was done.
        deeds: Vec<Deed>,
        /// What did not work, in words for people.
        failure: Option<String>,
        /// Whether something of the service runs.
        still_running: bool,
        /// How long what took.
        parts: Parts,
        /// From the first save until now.
        took: Duration,
    },
    /// The manifest was read anew.
    Reloaded {
        /// The numbers of the edits that are in it.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        edits: Vec<u64>,
        /// The services whose configuration is another.
        changed: Vec<String>,
        /// The services that were not there before.
        added: Vec<String>,
        /// The services that are not there any more.
        removed: Vec<String>,
    },
    /// The manifest was saved and does not load: everything goes on as it was.
    NotReloaded {
        /// Its problems, drawn under the lines that they are about.
        report: String,
    },
    /// Containers of the project whose service is not in the manifest.
    Orphans {
        /// Their names.
        names: Vec<String>,
    },
    /// Something is not as it should be, and the run goes on without it.
    Warning {
        /// What, in words for people.
        message: String,
        /// The next step.
        hint: Option<String>,
    },
    /// A needed service cannot come up.
    ServiceFailed {
        /// The service.
        service: String,
        /// Who needs it.
        needed_by: Vec<String>,
        /// Why, in words for people: `exited with code 1`, `is unhealthy`.
        reason: String,
        /// The container, for its last lines of output.
        container: Option<String>,
    },
    /// Everything that was asked for is up.
    Up {
        /// How many containers run.
        running: usize,
        /// Since the run began.
        took: Duration,
        /// What it took that long for.
        path: Vec<Leg>,
        /// The services that could not be brought up, of a run that goes on without them.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        without: Vec<String>,
    },
    /// The run is stopping its containers.
    Stopping,
    /// The run is killing its containers.
    Killing,
    /// The engine does not answer; the run goes on when it does.
    EngineLost {
        /// The engine's words.
        reason: String,
    },
    /// The engine answers again.
    EngineBack,
    /// The run is to end and cannot stop its containers before the engine answers.
    StopWaits {
        /// How long it is waited for.
        patience: Duration,
    },
    /// The run ends without an engine that could have stopped its containers.
    LeftRunning {
        /// Those that ran when it was last heard of, `service-number`.
        containers: Vec<String>,
    },
    /// Not everything was healthy in the time given with `--wait-timeout`.
    TimedOut {
        /// The services that were not.
        services: Vec<String>,
    },
}
