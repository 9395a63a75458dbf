//! The process `__engine container`.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs it.
pub(crate) fn main(_arguments: &[OsString]) -> ExitCode {
    ExitCode::from(125)
}
