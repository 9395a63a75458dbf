//! Docker's default seccomp profile, and others in its format, as filters.

use super::super::error::Error;

/// Whether a profile can be read.
pub fn check(_profile: &str) -> Result<(), Error> {
    Ok(())
}
