//! hoist runs a project of many services on one machine while its developers write it.

pub mod change;
pub mod cli;
pub mod dispatch;
pub mod engine;
pub mod export;
pub mod graph;
pub mod log;
pub mod manifest;
pub mod plan;
pub mod probe;
pub mod project;
pub mod reconcile;
pub mod ui;
pub mod watch;
