//! Files that version control and editors write beside what people write: they never count as a change.

use std::ffi::OsStr;
use std::path::Path;

/// Folders whose whole content is somebody's book-keeping. `.git` is a file in a worktree or a submodule.
const FOLDERS: [&str; 7] = [".git", ".hg", ".svn", ".jj", ".bzr", ".idea", ".vscode"];

/// Endings: backups and swap files of emacs and gedit (`~`), kate, the `JetBrains` editors and Chromium.
const ENDINGS: [&str; 5] = ["~", ".kate-swp", "___jb_tmp___", "___jb_old___", ".crswap"];

/// Beginnings: locks of emacs and `LibreOffice`, glib's atomic saves, files removed while open on NFS.
const BEGINNINGS: [&str; 4] = [".#", ".~lock.", ".goutputstream-", ".nfs"];

/// Whole names: vim's test of whether it can write, what file managers leave behind.
const NAMES: [&str; 3] = ["4913", ".DS_Store", "Thumbs.db"];

/// Whether a path, relative to the folder that is watched, is such a file or lies in such a folder.
pub(super) fn is_noise(relative: &Path) -> bool {
    let inside = relative.components().any(|component| FOLDERS.iter().any(|folder| component.as_os_str() == *folder));
    inside || relative.file_name().and_then(OsStr::to_str).is_some_and(is_temporary)
}

fn is_temporary(name: &str) -> bool {
    NAMES.contains(&name)
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
        || (name.len() > 1 && name.starts_with('#') && name.ends_with('#'))
        || is_vim_swap(name)
}

/// `.name.swp`, and `.swo`, `.swn` … when several are open.
fn is_vim_swap(name: &str) -> bool {
    let Some((stem, ending)) = name.strip_prefix('.').and_then(|rest| rest.rsplit_once('.')) else { return false };
    let letters = ending.as_bytes();
    !stem.is_empty() && (ending == "swpx" || (letters.len() == 3 && letters.starts_with(b"sw") && letters[2] >= b'a'))
}

#[cfg(test)]
mod tests {
    use super::is_noise;
    use std::path::Path;

    #[test]
    fn what_editors_and_version_control_write_is_noise() {
        for path in [
            ".git/index",
            "sub/.git",
            ".hg/store/a",
            "main.c~",
            ".main.c.swp",
            ".main.c.swo",
            "src/.main.c.swpx",
            "src/4913",
            ".#main.el",
            "#main.el#",
            ".idea/workspace.xml",
            "a.js___jb_tmp___",
            ".goutputstream-ABC123",
        ] {
            assert!(is_noise(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn what_people_write_is_not_noise() {
        for path in [
            "main.c",
            ".gitignore",
            ".github/workflows/a.yml",
            "swap.swp",
            ".swp",
            "#",
            "a#",
            "49130",
            "git/a",
            ".eslintrc.json",
            ".theme.css",
            ".api.swagger",
            ".main.sw1",
            ".env.s",
        ] {
            assert!(!is_noise(Path::new(path)), "{path}");
        }
    }
}
