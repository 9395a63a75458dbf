//! Holds the layers of the crate: who may use whom, and that what is pure does no I/O. The table is the architecture;
//! a row that has to change is a decision, not a repair.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A top-level module.
struct Module {
    name: &'static str,
    kind: Kind,
    /// The other modules that it may name.
    uses: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Values in, values out.
    Pure,
    /// Turns the world into values or carries them out.
    Edge,
}

use Kind::{Edge, Pure};

/// From the floor up.
const MODULES: &[Module] = &[
    Module { name: "dockerfile", kind: Pure, uses: &[] },
    Module { name: "project", kind: Pure, uses: &[] },
    Module { name: "graph", kind: Pure, uses: &["project"] },
    Module { name: "manifest", kind: Pure, uses: &["graph", "project"] },
    Module { name: "lint", kind: Pure, uses: &["graph", "manifest", "project"] },
    Module { name: "change", kind: Pure, uses: &["dockerfile", "graph", "project"] },
    Module { name: "export", kind: Pure, uses: &["graph", "project"] },
    Module { name: "release", kind: Pure, uses: &["export"] },
    Module { name: "plan", kind: Pure, uses: &["change", "graph", "project"] },
    Module { name: "reconcile", kind: Pure, uses: &["change", "graph", "plan", "project"] },
    Module { name: "kept", kind: Edge, uses: &[] },
    Module { name: "content", kind: Edge, uses: &["kept"] },
    Module { name: "replay", kind: Pure, uses: &["change", "plan", "project", "reconcile"] },
    Module { name: "journal", kind: Edge, uses: &["kept", "project", "reconcile", "replay"] },
    Module { name: "engine", kind: Edge, uses: &["change", "content", "plan", "project"] },
    Module {
        name: "ui",
        kind: Edge,
        uses: &[
            "change",
            "engine",
            "export",
            "graph",
            "journal",
            "lint",
            "manifest",
            "plan",
            "project",
            "reconcile",
            "replay",
        ],
    },
    Module { name: "deploy", kind: Edge, uses: &["release"] },
    Module { name: "watch", kind: Edge, uses: &["change", "content", "project"] },
    Module { name: "standing", kind: Edge, uses: &["kept", "plan"] },
    Module { name: "probe", kind: Edge, uses: &["engine", "plan", "project"] },
    Module { name: "log", kind: Edge, uses: &["engine", "plan", "ui"] },
    Module { name: "provider", kind: Edge, uses: &["engine", "project"] },
    Module {
        name: "dispatch",
        kind: Edge,
        uses: &[
            "change",
            "content",
            "engine",
            "graph",
            "journal",
            "log",
            "manifest",
            "plan",
            "probe",
            "project",
            "provider",
            "reconcile",
            "standing",
            "ui",
            "watch",
        ],
    },
    // The wing: the Docker Engine API and the language of Dockerfiles are all that the floors share with it.
    Module { name: "embedded", kind: Edge, uses: &["dockerfile"] },
    Module {
        name: "cli",
        kind: Edge,
        uses: &[
            "change",
            "content",
            "deploy",
            "dispatch",
            "embedded",
            "engine",
            "export",
            "graph",
            "journal",
            "lint",
            "log",
            "manifest",
            "plan",
            "probe",
            "project",
            "provider",
            "reconcile",
            "release",
            "replay",
            "standing",
            "ui",
            "watch",
        ],
    },
];

/// What a pure module never says, and what it would mean.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "reads or writes files"),
    ("std::env", "reads the environment"),
    ("std::net::Tcp", "talks to the network"),
    ("std::net::Udp", "talks to the network"),
    ("std::process", "runs programs"),
    ("tokio::", "waits"),
    ("async fn", "waits"),
    (".await", "waits"),
    ("Instant::now", "reads the clock"),
    ("SystemTime", "reads the clock"),
    ("println!", "prints"),
    ("print!", "prints"),
    (".canonicalize()", "looks at files"),
    (".read_dir()", "looks at files"),
];

/// A file that is longer wants to be two.
const LONGEST: usize = 700;

/// One source file.
struct Source {
    /// Relative to `src`.
    path: PathBuf,
    text: String,
    /// Compiled for tests only.
    is_test: bool,
}

impl Source {
    /// The top-level module that it belongs to; `None` for the two roots of the crate.
    fn module(&self) -> Option<String> {
        let first = self.path.iter().next()?.to_str()?.trim_end_matches(".rs").to_owned();
        (!matches!(first.as_str(), "lib" | "main")).then_some(first)
    }

    /// Its lines of code outside comments and tests, numbered from 1.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take_while(|line| !line.starts_with("mod tests {"));
        let lines = lines.enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !self.is_test && !line.trim_start().starts_with("//"))
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a source folder can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is text");
                let path = path.strip_prefix(&root).expect("it lies below").to_owned();
                sources.push(Source { path, text, is_test: false });
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    let tests: Vec<PathBuf> = sources.iter().flat_map(test_modules).collect();
    for source in &mut sources {
        let module = source.path.with_extension("");
        source.is_test = tests.iter().any(|test| module.starts_with(test));
    }
    sources
}

/// The modules that a file declares for tests only, as paths without an ending.
fn test_modules(source: &Source) -> Vec<PathBuf> {
    let folder = match source.path.file_name().and_then(|name| name.to_str()) {
        Some("mod.rs" | "lib.rs" | "main.rs") => source.path.parent().map(Path::to_owned).unwrap_or_default(),
        _ => source.path.with_extension(""),
    };
    let lines: Vec<&str> = source.text.lines().collect();
    let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]");
    declared.filter_map(|pair| Some(folder.join(pair[1].strip_prefix("mod ")?.strip_suffix(';')?))).collect()
}

/// The modules that a line names as `crate::name` or `crate::{name, …}`.
fn named_modules(line: &str) -> BTreeSet<&str> {
    let named = line.match_indices("crate::").flat_map(|(at, found)| {
        let rest = &line[at + found.len()..];
        let group = rest.strip_prefix('{').and_then(|group| group.split('}').next());
        group.map_or_else(|| vec![rest], |group| group.split(',').collect())
    });
    let is_part_of_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
    named.map(|name| name.trim().split(|character| !is_part_of_name(character)).next().unwrap_or_default()).collect()
}

#[test]
fn every_module_uses_only_what_stands_below_it() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(name) = source.module() else { continue };
        let Some(module) = MODULES.iter().find(|module| module.name == name) else {
            wrong.push(format!("src/{}: module `{name}` has no row in the table", source.path.display()));
            continue;
        };
        for (number, line) in source.code() {
            for used in named_modules(line) {
                let is_module = MODULES.iter().any(|module| module.name == used);
                if is_module && used != module.name && !module.uses.contains(&used) {
                    let path = source.path.display();
                    wrong.push(format!("src/{path}:{number}: `{name}` may not use `{used}`"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_table_itself_has_no_way_up() {
    for (floor, module) in MODULES.iter().enumerate() {
        for used in module.uses {
            let below = MODULES[..floor].iter().find(|other| other.name == *used);
            let below = below.unwrap_or_else(|| panic!("`{}` uses `{used}`, which is not below it", module.name));
            assert!(module.kind == Edge || below.kind == Pure, "pure `{}` uses `{used}`", module.name);
        }
    }
}

#[test]
fn what_is_pure_does_no_io() {
    let mut wrong = Vec::new();
    for source in sources() {
        let name = source.module();
        let is_pure = MODULES.iter().any(|module| name.as_deref() == Some(module.name) && module.kind == Pure);
        for (number, line) in source.code().filter(|_| is_pure) {
            for (word, meaning) in IMPURE.iter().filter(|(word, _)| line.contains(word)) {
                let path = source.path.display();
                wrong.push(format!("src/{path}:{number}: `{word}` {meaning}, in a pure module"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn no_source_file_is_too_long() {
    let long = sources().into_iter().map(|source| (source.text.lines().count(), source.path));
    let long: Vec<_> = long.filter(|(lines, _)| *lines > LONGEST).collect();
    assert!(long.is_empty(), "more than {LONGEST} lines: {long:?}");
}

#[test]
fn names_are_found_however_they_are_written() {
    assert_eq!(named_modules("use crate::ui::Line;"), BTreeSet::from(["ui"]));
    assert_eq!(named_modules("use crate::{plan::spec, ui};"), BTreeSet::from(["plan", "ui"]));
    assert_eq!(named_modules("fn a(b: crate::log::B) -> crate::cli {"), BTreeSet::from(["cli", "log"]));
}
