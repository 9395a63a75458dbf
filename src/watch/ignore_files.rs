//! Reads the ignore files of builds.

use std::collections::BTreeMap;
use std::io::Read;

use crate::change::rules::{IgnoreFile, ignore_file_candidates};
use crate::project::Project;

/// More than this is no ignore file.
const LARGEST: u64 = 4 << 20;

/// The ignore file of each service that builds and has one: the one named after its Dockerfile, else the context's. What
/// cannot be read counts as absent.
#[must_use]
pub fn read_ignore_files(project: &Project) -> BTreeMap<String, IgnoreFile> {
    let found = project.services.values().filter_map(|service| {
        let candidates = ignore_file_candidates(service.build.as_ref()?);
        let file = candidates.into_iter().find_map(|path| {
            let mut bytes = Vec::new();
            std::fs::File::open(&path).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
            Some(IgnoreFile { path, text: String::from_utf8_lossy(&bytes).into_owned() })
        })?;
        Some((service.name.clone(), file))
    });
    found.collect()
}
