//! The embedded engine's parts and the whole of it, on the machine's own kernel: as root, on Linux.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stderr, reason = "what is left out is told to who runs the tests")]

mod boundaries;
mod build;
mod cli;
mod containers;
mod daemon;
mod files;
mod handover;
mod health;
mod images;
mod kit;
mod leaks;
mod network;
mod process;
#[path = "../support/registry.rs"]
mod registry;
mod root;
mod support;
