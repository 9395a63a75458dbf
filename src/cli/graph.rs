//! `hoist graph`: who needs whom.

use clap::{Args, ValueEnum};

use super::error::Error;
use super::global::Global;
use super::output::print;
use super::session;
use crate::export::diagram;

/// Show which service needs which
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub(super) services: Vec<String>,
    /// How to draw it
    #[arg(long, value_name = "FORMAT", default_value = "text", hide_default_value = true)]
    pub(super) format: Format,
}

/// Runs the command.
pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<u8, Error> {
    let project = session::load(global, &arguments.services)?.project;
    let services = session::select_with_dependencies(&project, &arguments.services)?;
    let draw = match arguments.format {
        Format::Text => diagram::text,
        Format::Dot => diagram::dot,
        Format::Mermaid => diagram::mermaid,
        Format::Json => diagram::json,
    };
    print(&draw(&project, &services))?;
    Ok(0)
}

/// How the command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// A tree of words.
    Text,
    /// For Graphviz.
    Dot,
    /// For Mermaid.
    Mermaid,
    /// For programs.
    Json,
}
