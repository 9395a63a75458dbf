//! Values that are written as text of their own grammar: durations and sizes.

pub(super) mod duration;
pub(super) mod size;
pub(super) mod words;
