//! Projects as Kubernetes objects: what holds for all of them, and golden objects of small manifests.

#![expect(clippy::print_stdout, reason = "a skipped test and a time are told to who runs the tests")]

#[path = "export/cases.rs"]
mod cases;
#[path = "export/defects.rs"]
mod defects;
#[path = "export/folder.rs"]
mod folder;
#[path = "export/kompose.rs"]
mod kompose;
#[path = "export/properties.rs"]
mod properties;
#[path = "export/readers.rs"]
mod readers;
#[path = "export/reference.rs"]
mod reference;
#[path = "export/round.rs"]
mod round;
#[path = "export/sealed.rs"]
mod sealed;
#[path = "export/shapes.rs"]
mod shapes;
#[path = "export/standard.rs"]
mod standard;
#[path = "export/support.rs"]
mod support;
