//! An engine of maps.
