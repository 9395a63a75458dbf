//! The filter of system calls of a container's processes, compiled before they exist.

use libcontainer::oci_spec::runtime::LinuxCapabilities;
use seccompiler::BpfProgram;

use super::Seccomp;
use super::frame::Failure;
use crate::embedded::spec::seccomp;

/// The program, or none for who is not filtered.
pub(super) fn make(seccomp: &Seccomp, capabilities: Option<&LinuxCapabilities>) -> Result<Option<BpfProgram>, Failure> {
    seccomp::filter(seccomp, capabilities).map_err(|error| Failure { text: error.to_string(), code: 128 })
}
