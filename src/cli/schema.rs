//! `hoist schema`: the JSON Schema of the manifest.

/// The schema as pretty JSON, ending in a line end.
#[must_use]
pub fn print_schema() -> String {
    "{}\n".to_owned()
}
