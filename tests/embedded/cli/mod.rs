//! Docker's own command line against the engine: what people type, and what they read.

mod containers;
mod images;
mod propagation;
mod streams;
mod things;
