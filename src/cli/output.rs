//! Data on standard output. A reader that has heard enough, such as `head`, ends the command in peace.

use std::io::{self, Write as _};

use super::error::Error;

/// Writes text to standard output.
pub(super) fn print(text: &str) -> Result<(), Error> {
    print_bytes(text.as_bytes())
}

/// Writes bytes to standard output.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Error::Closed),
        other => other.map_err(Error::io("write to standard output")),
    }
}
