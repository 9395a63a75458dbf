//! The pure modules that read what others have written, taken over from the main crate, so that nothing else has to be
//! built; and how one input becomes a folder of files, or a connection.

#[path = "../../../src/graph.rs"]
pub mod graph;
#[path = "../../../src/embedded/network/proxy/http/mod.rs"]
pub mod http;
#[path = "../../../src/manifest/mod.rs"]
pub mod manifest;
#[path = "../../../src/ui/problems.rs"]
pub mod problems;
#[path = "../../../src/project/mod.rs"]
pub mod project;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manifest::{Loader, ReadError, Request};

/// The folder that the files lie in.
const FOLDER: &str = "/w";

/// What stands before the name of a file.
const MARK: &str = "=== ";

/// Files in memory.
#[derive(Debug)]
pub struct Files(BTreeMap<PathBuf, String>);

impl Files {
    /// The text up to the first line that begins with `=== ` is `compose.yaml`; such a line names the file that follows.
    pub fn from_text(text: &str) -> Self {
        let mut files = BTreeMap::new();
        let mut name = "compose.yaml".to_owned();
        let mut content = String::new();
        for line in text.split_inclusive('\n') {
            match line.strip_prefix(MARK) {
                Some(next) => {
                    files.insert(Path::new(FOLDER).join(&name), std::mem::take(&mut content));
                    next.trim().clone_into(&mut name);
                }
                None => content.push_str(line),
            }
        }
        files.insert(Path::new(FOLDER).join(name), content);
        Self(files)
    }
}

impl Loader for Files {
    fn read(&self, path: &Path) -> Result<String, ReadError> {
        self.0.get(path).cloned().ok_or(ReadError::Missing)
    }

    fn is_file(&self, path: &Path) -> bool {
        self.0.contains_key(path)
    }

    fn is_directory(&self, path: &Path) -> bool {
        self.0.keys().any(|file| file != path && file.starts_with(path))
    }

    fn real_path(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }
}

/// Loads a project of these files and shows what is wrong with it.
pub fn load(text: &str) {
    let files = Files::from_text(text);
    let environment = [("A", "a value"), ("HOME", "/home/me"), ("EMPTY", "")];
    let request = Request {
        files: Vec::new(),
        project_directory: None,
        project_name: None,
        profiles: Vec::new(),
        env_files: Vec::new(),
        current_directory: FOLDER.into(),
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        services: Vec::new(),
        steps: manifest::Steps::default(),
    };
    match manifest::load(&request, &files) {
        Ok(loaded) => {
            let _ = problems::render(&loaded.warnings, &loaded.sources, false);
            let _ = loaded.model.to_string();
            for service in loaded.project.services.values() {
                let _ = project::config_hash(&loaded.project, service);
            }
        }
        Err(failure) => {
            assert!(failure.problems.iter().any(manifest::problem::Problem::is_error), "it failed without an error");
            let _ = problems::render(&failure.problems, &failure.sources, true);
        }
    }
}

/// Follows a connection. The input is its pieces, each after a byte that says whose it is (the lowest bit) and how long it is
/// (the others). Where it is must not depend on how the bytes are cut.
pub fn exchange(input: &[u8]) {
    let feed = |tracker: &mut http::Tracker, is_client: bool, bytes: &[u8]| {
        if is_client { tracker.sent(bytes) } else { tracker.answered(bytes) }
    };
    let (mut whole, mut cut) = (http::Tracker::default(), http::Tracker::default());
    let mut rest = input;
    while let [head, tail @ ..] = rest {
        let (piece, others) = tail.split_at(usize::from(head >> 1).min(tail.len()));
        feed(&mut whole, head & 1 == 0, piece);
        piece.iter().for_each(|byte| feed(&mut cut, head & 1 == 0, &[*byte]));
        assert_eq!(whole.place(), cut.place());
        rest = others;
    }
}
