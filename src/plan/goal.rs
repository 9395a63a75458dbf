//! What a run is to bring about: the command line's wish, in the plan's terms.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The state that a run brings the project to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Services run as the manifest says (`up`).
    Up(Up),
    /// Containers that exist run; none is made (`start`).
    Start {
        /// The services.
        services: BTreeSet<String>,
    },
    /// Containers are stopped and started again, once (`restart`).
    Restart {
        /// The services.
        services: BTreeSet<String>,
        /// In place of their own grace periods.
        grace: Option<Duration>,
        /// Leave dependents with `restart: true` alone.
        no_deps: bool,
    },
    /// Containers are stopped (`stop`, and the end of an attached `up`).
    Stop {
        /// The services.
        services: BTreeSet<String>,
        /// In place of their own grace periods.
        grace: Option<Duration>,
    },
    /// Containers and networks are gone (`down`).
    Down(Down),
}

/// What `up` is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Up {
    /// The services, their dependencies included unless `--no-deps` was given.
    pub services: BTreeSet<String>,
    /// Models that are made ready beside those that the services use, by key.
    pub models: BTreeSet<String>,
    /// When images are built.
    pub build: BuildPolicy,
    /// Make new containers even where nothing changed.
    pub force_recreate: bool,
    /// Leave containers as they are even where something changed.
    pub no_recreate: bool,
    /// Remove containers whose service is gone.
    pub remove_orphans: bool,
    /// In place of the containers' own grace periods.
    pub grace: Option<Duration>,
    /// When the run ends.
    pub until: Until,
}

/// When images are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum BuildPolicy {
    /// When they are missing or their inputs changed.
    Needed,
    /// Once, in any case (`--build`).
    Always,
    /// Never (`--no-build`): a missing image is an error.
    Never,
}

/// When an `up` ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Until {
    /// When everything is started (`-d`).
    Started,
    /// When everything runs and is healthy, or has completed where that is all that others need (`--wait`).
    Ready {
        /// Give up after this long (`--wait-timeout`).
        timeout: Option<Duration>,
    },
    /// When the person interrupts, or everything has exited (attached).
    Interrupted {
        /// Stop everything when the first container exits.
        abort_on_exit: bool,
        /// Stop everything when a container exits with a code other than 0.
        abort_on_failure: bool,
        /// Exit with the code of this service's container.
        exit_code_from: Option<String>,
    },
}

/// What `down` is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Down {
    /// Only these services; empty is all, and the networks too.
    pub services: BTreeSet<String>,
    /// Remove the project's volumes.
    pub volumes: bool,
    /// Remove images.
    pub images: RemoveImages,
    /// Remove containers whose service is gone.
    pub remove_orphans: bool,
    /// In place of the containers' own grace periods.
    pub grace: Option<Duration>,
}

/// Which images `down` removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemoveImages {
    /// None.
    None,
    /// Those that hoist named: of services without `image`.
    Local,
    /// All that services use.
    All,
}
