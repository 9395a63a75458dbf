//! The package of the mutated core: the modules, dependencies and lock file of `tests/worlds`, in the target folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How `tests/worlds/src/lib.rs` names a module of the main package.
const MODULE: &str = "#[path = \"../../../src/";

/// What the mutated code asks. The variable is read once: operators ask in the innermost loops.
const CHOICE: &str = "
/// Whether a mutant was chosen.
pub fn mutant(id: usize) -> bool {
    static CHOSEN: std::sync::LazyLock<usize> =
        std::sync::LazyLock::new(|| std::env::var(\"MUTANT\").ok().and_then(|id| id.parse().ok()).unwrap_or(0));
    *CHOSEN == id
}
";

/// The sources as they are, and where they go.
pub(crate) struct Core {
    /// The folder of the package.
    pub(crate) folder: PathBuf,
    /// Text by path, `src/plan/mod.rs`.
    pub(crate) sources: BTreeMap<String, String>,
}

impl Core {
    /// Reads the sources of a checkout.
    pub(crate) fn new(checkout: &Path, folder: &Path) -> Result<Self> {
        let worlds = checkout.join("tests/worlds");
        let library = read(&worlds.join("src/lib.rs"))?;
        let mut sources = BTreeMap::new();
        for module in library.lines().filter_map(|line| line.strip_prefix(MODULE)?.strip_suffix("\"]")) {
            match module.strip_suffix("/mod.rs") {
                Some(folder) => read_folder(checkout, &format!("src/{folder}"), &mut sources)?,
                None => _ = sources.insert(format!("src/{module}"), read(&checkout.join("src").join(module))?),
            }
        }
        let library = library.replace(MODULE, "#[path = \"");
        // What is written for mutants would be found fault with everywhere.
        sources.insert("src/lib.rs".to_owned(), format!("#![allow(warnings)]\n{library}{CHOICE}"));
        for name in ["Cargo.toml", "Cargo.lock"] {
            sources.insert(name.to_owned(), read(&worlds.join(name))?);
        }
        Ok(Self { folder: folder.join("core"), sources })
    }

    /// Writes the package with some files in place of those that are there. What is the same already is not written, so
    /// that cargo builds no more than it has to.
    pub(crate) fn write(&self, mutated: &BTreeMap<String, String>) -> Result<()> {
        let mut wanted = BTreeSet::new();
        for (path, text) in &self.sources {
            let text = mutated.get(path).unwrap_or(text);
            let path = self.folder.join(path);
            if fs::read_to_string(&path).is_ok_and(|there| there == *text) {
                wanted.insert(path);
                continue;
            }
            let parent = path.parent().context("a file has a folder")?;
            fs::create_dir_all(parent).with_context(|| format!("cannot make `{}`", parent.display()))?;
            fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
            wanted.insert(path);
        }
        remove_others(&self.folder.join("src"), &wanted)
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

fn read_folder(checkout: &Path, folder: &str, into: &mut BTreeMap<String, String>) -> Result<()> {
    for path in entries(&checkout.join(folder))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let inside = format!("{folder}/{name}");
        if path.is_dir() {
            read_folder(checkout, &inside, into)?;
        } else {
            into.insert(inside, read(&path)?);
        }
    }
    Ok(())
}

/// A module that was moved since the last time would be there twice.
fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
    for path in entries(folder)? {
        if path.is_dir() {
            remove_others(&path, wanted)?;
        } else if !wanted.contains(&path) {
            fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
        }
    }
    Ok(())
}
