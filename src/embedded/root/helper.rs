//! The helper process: one piece of work inside a root file system, its data through standard input and output.

use std::ffi::OsString;
use std::process::ExitCode;

/// `__engine root …`.
pub(crate) fn main(_arguments: &[OsString]) -> ExitCode {
    ExitCode::from(125)
}
