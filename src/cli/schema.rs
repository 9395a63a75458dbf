//! `hoist schema`: the JSON Schema of the manifest.

use clap::Args;

use super::error::Error;
use super::output::print;

/// Print the JSON Schema of the manifest, for editors
#[derive(Debug, Args)]
pub(super) struct Arguments {}

/// Runs the command.
pub(super) fn run() -> Result<u8, Error> {
    print(&print_schema())?;
    Ok(0)
}

use crate::manifest;

/// The schema as pretty JSON, ending in a line end.
#[must_use]
pub fn print_schema() -> String {
    format!("{:#}\n", manifest::schema::schema())
}
