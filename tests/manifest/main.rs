//! Manifests and what becomes of them: a folder a case, and the schema that editors use.

mod cases;
mod mistakes;
mod robust;
mod schema;
