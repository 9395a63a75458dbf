//! Docker's default seccomp profile, and others in its format, as filters.
