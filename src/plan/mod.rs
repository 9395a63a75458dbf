//! Desired × observed → operations, each with its cause and with the holds that keep it back.

pub mod goal;
pub mod observed;
pub mod operation;
pub mod spec;
