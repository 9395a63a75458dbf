//! The embedded engine's parts and the whole of it, on the machine's own kernel: as root, on Linux.
#![cfg(target_os = "linux")]

mod build;
mod cli;
mod daemon;
mod images;
mod network;
mod process;
mod root;
mod support;
