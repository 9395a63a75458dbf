//! Scenarios: the built binary on a real engine. Each is a sentence of behaviour, a project, commands, and what the
//! engine says afterwards.

#![expect(clippy::print_stderr, reason = "what a scenario leaves out or did is said on standard error")]

#[path = "../support/mod.rs"]
mod support;

mod additional_contexts;
mod attached;
mod commands;
mod compose;
mod configuration;
mod down;
mod events;
mod examples;
mod faults;
mod information;
mod manifest_edits;
mod neighbours;
mod networks;
mod provider;
mod push;
#[path = "../support/registry.rs"]
mod registry;
mod replay;
mod synced_files;
mod up;
mod watch;
