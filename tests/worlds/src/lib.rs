//! The modules that decide, taken over from the main crate, so that nothing else has to be built.

#[path = "../../../src/change/mod.rs"]
pub mod change;
#[expect(dead_code, reason = "some of it is for the main crate alone")]
#[path = "../../../src/dockerfile/mod.rs"]
pub mod dockerfile;
#[path = "../../../src/graph.rs"]
pub mod graph;
#[path = "../../../src/plan/mod.rs"]
pub mod plan;
#[path = "../../../src/project/mod.rs"]
pub mod project;
#[path = "../../../src/reconcile/mod.rs"]
pub mod reconcile;
#[path = "../../../src/replay/mod.rs"]
pub mod replay;
