//! The embedded engine: containers on a machine where no engine is installed.
//!
//! A daemon that serves the Docker Engine API on a Unix socket; whoever speaks that API can use it and nothing in hoist
//! above the API knows which engine it talks to. It runs as root and keeps its things in the two folders of [`layout`].
//! The wing imports nothing from the rest of hoist; only `cli/engine.rs` starts it.
//!
//! | module | what it does |
//! |---|---|
//! | [`api`] | routes and forms of the Docker Engine API, over what stands below |
//! | [`containers`] | the containers' records and lives: restart policies, healthchecks, logs, recovery after a crash |
//! | [`build`] | Dockerfiles to images |
//! | [`compression`] | archives and layers as plain bytes |
//! | [`images`] | the content-addressed store, registries, archives |
//! | [`kit`] | BuildKit's protocol: builds for clients that speak it |
//! | [`mountinfo`] | what is mounted, as the kernel lists it |
//! | [`network`] | bridges in a namespace of the engine's own, addresses, names, published ports |
//! | [`presence`] | which engines there are on the machine, and which of them have died |
//! | [`volumes`] | named and anonymous volumes |
//! | [`process`] | the shim of a container and its client: the only module that knows `libcontainer` |
//! | [`root`] | a container's root file system: mounting it, and work inside it behind a chroot |
//! | [`spec`] | pure: what was asked for → the OCI runtime specification |
//!
//! The daemon has threads, and much of what makes a container may only be done by a process with one: such work is done by
//! this same program, executed again under the hidden name `__engine` (see [`role`]).

pub mod api;
pub mod build;
pub mod client;
pub(crate) mod compression;
pub mod containers;
pub mod daemon;
pub mod error;
pub mod events;
pub mod id;
pub mod images;
pub mod kit;
pub mod layout;
pub mod mountinfo;
pub mod network;
pub mod presence;
pub mod process;
pub mod root;
pub mod spec;
pub mod volumes;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;

use bytes::Bytes;
use futures_util::stream::BoxStream;

/// Bytes as they come: tars, layers, build contexts.
pub type ByteStream = BoxStream<'static, std::io::Result<Bytes>>;

/// The hidden first argument under which this program is one of the engine's own processes.
pub(crate) const ROLE: &str = "__engine";

/// Where the program is that plays the engine's roles, when it is not simply the one that runs.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// The program that is to be executed for one of the engine's own processes: this one, even when its file has been replaced.
#[must_use]
pub fn program() -> &'static Path {
    PROGRAM.get().map_or(Path::new("/proc/self/exe"), PathBuf::as_path)
}

/// Names another program for them; only the first call counts.
pub fn set_program(program: PathBuf) {
    // Set twice by two tests of one process: both name the same one.
    let _ = PROGRAM.set(program);
}

/// Runs one of the engine's own single-threaded processes, where the arguments ask for one; `None` means that a person
/// has started the program. To be called before anything else in `main`.
#[must_use]
pub fn role() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ROLE {
        return None;
    }
    let role = arguments.next().unwrap_or_default();
    let rest: Vec<_> = arguments.collect();
    Some(match role.to_str() {
        Some("daemon") => daemon::main(&rest),
        Some("container") => process::shim::main(&rest),
        Some("exec") => process::exec::main(&rest),
        Some("root") => root::helper::main(&rest),
        Some("build") => build::helper::main(&rest),
        _ => ExitCode::from(125),
    })
}
