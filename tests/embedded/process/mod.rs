//! Containers' processes and their shims, without networks, images or records.

mod exec;
mod faults;
mod home;
mod limits;
mod start;
mod streams;
