//! The state of a run and the one function that moves it.

pub mod notice;
