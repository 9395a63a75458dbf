//! Projects as Kubernetes objects: what holds for all of them, and golden objects of small manifests.

#![expect(clippy::print_stdout, reason = "a skipped test and a time are told to who runs the tests")]

#[path = "export/cases.rs"]
mod cases;
#[path = "export/folder.rs"]
mod folder;
#[path = "export/properties.rs"]
mod properties;
#[path = "export/readers.rs"]
mod readers;
#[path = "export/shapes.rs"]
mod shapes;
#[path = "export/support.rs"]
mod support;
