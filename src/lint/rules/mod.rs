//! The rules, by what they are about.

pub(super) mod environment;
pub(super) mod health;
pub(super) mod images;
pub(super) mod mounts;
pub(super) mod ports;
pub(super) mod unused;
pub(super) mod waiting;
