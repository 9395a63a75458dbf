//! Reads the ignore files of builds, and of git for services without an image.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use crate::change::ignore::{Patterns, git};
use crate::change::rules::{IgnoreFile, ignore_file_candidates};
use crate::project::Project;

/// More than this is no ignore file.
const LARGEST: u64 = 4 << 20;
/// So deep below a service's folder is an ignore file looked for.
const DEEPEST: usize = 64;

/// The ignore file of each service that builds and has one: the one named after its Dockerfile, else the context's. What
/// cannot be read counts as absent.
#[must_use]
pub fn read_ignore_files(project: &Project) -> BTreeMap<String, IgnoreFile> {
    let all = project.with_bases(project.services.keys());
    let found = all.iter().filter_map(|name| project.any_service(name)).filter_map(|service| {
        if service.is_on_machine() {
            return Some((service.name.clone(), of_git(Path::new(service.working_dir.as_deref()?))));
        }
        let candidates = ignore_file_candidates(service.build.as_ref()?);
        let file = candidates.into_iter().find_map(|path| {
            let text = read(&path)?;
            Some(IgnoreFile { path, text })
        })?;
        Some((service.name.clone(), file))
    });
    found.collect()
}

/// What the ignore files of git say about a folder: its own, those above it up to the top of the repository, and those
/// below it in folders that are not ignored themselves.
fn of_git(folder: &Path) -> IgnoreFile {
    let top = folder.ancestors().find(|above| above.join(".git").exists()).unwrap_or(folder);
    let mut above: Vec<&Path> = folder.ancestors().take_while(|above| above.starts_with(top)).collect();
    // The nearest has the last word.
    above.reverse();
    let patterns = above.into_iter().flat_map(|above| {
        let text = read(&above.join(git::FILE)).unwrap_or_default();
        git::patterns(&text, folder.strip_prefix(above).unwrap_or(Path::new("")))
    });
    let mut patterns: Vec<String> = patterns.collect();
    let always = git::ALWAYS.map(str::to_owned);
    let known = Patterns::new_leniently(always.iter().chain(&patterns).map(String::as_str)).0;
    below(folder, Path::new(""), &mut vec![known], &mut patterns);
    IgnoreFile { path: folder.join(git::FILE), text: patterns.join("\n") }
}

/// Adds the patterns of the files in the folders below one, parents before what lies below them. `known` are the patterns
/// of the folders above, each file's on their own.
fn below(top: &Path, relative: &Path, known: &mut Vec<Patterns>, patterns: &mut Vec<String>) {
    if relative.components().count() >= DEEPEST {
        return;
    }
    let mut folders: Vec<_> = std::fs::read_dir(top.join(relative)).into_iter().flatten().flatten().collect();
    // A link is not followed, by git neither.
    folders.retain(|entry| entry.file_name() != ".git" && entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.sort_by_key(std::fs::DirEntry::file_name);
    for folder in folders {
        let inside = relative.join(folder.file_name());
        let Some(path) = inside.to_str() else { continue };
        if known.iter().any(|patterns| patterns.prunes(path)) {
            continue;
        }
        let own = read(&folder.path().join(git::FILE)).map(|text| git::nested_patterns(&text, &inside));
        let own = own.filter(|own| !own.is_empty());
        let has_own = own.is_some();
        if let Some(own) = own {
            known.push(Patterns::new_leniently(own.iter().map(String::as_str)).0);
            patterns.extend(own);
        }
        below(top, &inside, known, patterns);
        if has_own {
            known.pop();
        }
    }
}

/// The text of a small file.
pub(super) fn read(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path).ok()?.take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::of_git;
    use crate::change::ignore::{Patterns, lines};

    #[test]
    fn every_folders_file_has_its_say_and_the_nearest_the_last_word() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path();
        fs::create_dir(top.join(".git")).expect("a folder");
        for (file, text) in [
            (".gitignore", "/app/vendor\n*.tmp\n"),
            ("app/.gitignore", "dist\n"),
            ("app/web/.gitignore", "/generated\n!keep.tmp\n"),
            ("app/web/deep/.gitignore", "out\n"),
            // What nobody looks into says nothing.
            ("app/vendor/.gitignore", "/src\n"),
            ("app/node_modules/tool/.gitignore", "/lib\n"),
            ("app/dist/.gitignore", "/x\n"),
        ] {
            let file = top.join(file);
            fs::create_dir_all(file.parent().expect("it has a folder")).expect("a folder");
            fs::write(file, text).expect("a file");
        }
        let file = of_git(&top.join("app"));
        assert_eq!(
            file.text.lines().collect::<Vec<_>>(),
            ["vendor", "**/*.tmp", "**/dist", "/web/generated", "!/web/**/keep.tmp", "/web/deep/**/out"]
        );
    }

    #[test]
    fn a_path_in_a_folder_below_is_ignored_by_the_files_that_concern_it() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir_all(folder.path().join("web/src")).expect("folders");
        fs::write(folder.path().join(".gitignore"), "*.tmp\n").expect("a file");
        fs::write(folder.path().join("web/.gitignore"), "/generated\n!keep.tmp\n").expect("a file");
        let file = of_git(Path::new(folder.path()));
        let (patterns, problems) = Patterns::new_leniently(lines(&file.text));
        assert!(problems.is_empty());
        for ignored in ["a.tmp", "web/generated/a.js", "web/src/a.tmp"] {
            assert!(patterns.excludes(ignored), "{ignored}");
        }
        for meant in ["generated/a.js", "web/src/generated/a.js", "web/src/keep.tmp"] {
            assert!(!patterns.excludes(meant), "{meant}");
        }
    }
}
