//! hoist runs a project of many services on one machine while its developers write it.
//!
//! The manifest is a Compose file. It becomes a [`project`], whose services and dependencies form a [`graph`]. After
//! every event hoist computes afresh the difference between what is asked for and what an [`engine`] says is there: a
//! [`plan`] of operations, each with its cause and with the holds that keep it back. Starting, a saved file, a crash and
//! stopping are all the same thing: an event, then a plan.
//!
//! # Layers
//!
//! | | module | what it does |
//! |---|---|---|
//! | edge | [`cli`] | one file a subcommand: loads, calls, prints, returns an exit code |
//! | edge | [`dispatch`] | the loop: takes an event, has it stepped, begins what is to be done |
//! | edge | [`engine`], [`watch`], [`probe`] | turn the world into events and carry out operations |
//! | edge | [`deploy`] | a cluster: reads, applies, watches and removes objects |
//! | edge | [`log`], [`ui`] | containers' output in whole lines; notices, plans and problems as text |
//! | edge | [`journal`] | the journals of runs on the disk |
//! | edge | [`content`] | the hashes of files' contents, remembered |
//! | edge | `kept` | small files of the user's, kept between runs |
//! | edge | [`standing`] | what a run knows of the code in its containers, kept for `hoist ps` |
//! | pure | [`replay`] | the journal of a run as lines, and the run that is made of them again |
//! | pure | [`reconcile`] | the run's state and `step(state, event, now) → actions` |
//! | pure | [`plan`](mod@plan) | desired × observed → operations |
//! | pure | [`manifest`], [`change`], [`export`] | text → project; path → rule; project → Kubernetes objects |
//! | pure | [`release`] | what of a deployment is decided without a cluster |
//! | pure | [`lint`] | what will bite in a manifest that loads |
//! | pure | `dockerfile` | the language of Dockerfiles: lines, words, patterns, instructions |
//! | pure | [`graph`] | order, dependents, cycles |
//! | pure | [`project`] | the resolved model |
//! | wing | `embedded` | an engine of hoist's own for Linux, which serves the Docker Engine API; of the above it knows Dockerfiles only |
//!
//! A module uses what stands below it, never what stands beside or above. What is pure does no I/O, reads no clock and
//! waits for nothing; a test holds both.

pub mod change;
pub mod cli;
pub mod content;
pub mod deploy;
pub mod dispatch;
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "only the embedded engine carries a Dockerfile out, and it is there on Linux only")
)]
mod dockerfile;
#[cfg(target_os = "linux")]
pub mod embedded;
pub mod engine;
pub mod export;
pub mod graph;
pub mod journal;
mod kept;
pub mod lint;
pub mod log;
pub mod manifest;
pub mod plan;
pub mod probe;
pub mod project;
pub mod provider;
pub mod reconcile;
pub mod release;
pub mod replay;
pub mod standing;
pub mod ui;
pub mod watch;
