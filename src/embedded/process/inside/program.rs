//! Finding the program as a shell does, with the words that Docker's clients know.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::super::frame::Failure;

/// Where a program is looked for when the environment does not say.
pub(in super::super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file that is meant by the first argument.
pub(super) fn find(arguments: &[String], environment: &[String]) -> Result<PathBuf, Failure> {
    let name = arguments.first().filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| Failure { text: "no command specified".into(), code: 127 })?;
    if name.contains('/') {
        return check(Path::new(name)).map(|()| name.into()).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                failure(127, name, &format!("stat {name}: {}", words(&error)))
            }
            _ => failure(126, name, &words(&error)),
        });
    }
    let path = environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(PATH);
    let mut refusal = None;
    for folder in path.split(':') {
        let candidate = Path::new(if folder.is_empty() { "." } else { folder }).join(name);
        match check(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => refusal = Some(words(&error)),
            Err(_) => {}
        }
    }
    Err(refusal
        .map_or_else(|| failure(127, name, "executable file not found in $PATH"), |words| failure(126, name, &words)))
}

/// Whether this process may execute a file; checked with the rights that the program will have.
fn check(file: &Path) -> io::Result<()> {
    let metadata = std::fs::metadata(file)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    accessat(CWD, file, Access::EXEC_OK, AtFlags::EACCESS)?;
    if metadata.is_file() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// The kernel did not execute it.
pub(super) fn refused(program: &Path, error: &io::Error) -> Failure {
    let missing = error.kind() == io::ErrorKind::NotFound;
    // The file is there: it is the interpreter that it names which is not.
    let text = format!("exec {}: {}", program.display(), words(error));
    Failure { text, code: if missing { 127 } else { 126 } }
}

/// A text that no program can be given.
pub(super) fn invalid(text: &str) -> Failure {
    Failure { text: format!("{text:?} has a zero byte in it"), code: 128 }
}

fn failure(code: i64, name: &str, why: &str) -> Failure {
    Failure { text: format!("exec: {name:?}: {why}"), code }
}

/// The system's words for an error, in the case that Docker writes them.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".into(),
        io::ErrorKind::NotADirectory => "not a directory".into(),
        io::ErrorKind::IsADirectory => "is a directory".into(),
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ if error.raw_os_error() == Some(nix::errno::Errno::ENOEXEC as i32) => "exec format error".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(path: &Path, name: &str) -> Result<PathBuf, Failure> {
        find(&[name.to_owned()], &[format!("PATH={}:/nowhere", path.display())])
    }

    #[test]
    fn a_program_is_found_by_path_and_by_name_and_failures_have_dockers_words() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, mode| {
            let file = folder.path().join(name);
            std::fs::write(&file, "").expect("a file");
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("its mode");
            file
        };
        // Executable for its owner alone is executable.
        let good = write("good", 0o700);
        write("data", 0o600);
        assert_eq!(find_in(folder.path(), "good").ok(), Some(good));
        let missing = find_in(folder.path(), "nod").expect_err("it is not there");
        assert_eq!((missing.text.as_str(), missing.code), (r#"exec: "nod": executable file not found in $PATH"#, 127));
        let refused = find_in(folder.path(), "data").expect_err("it is no program");
        assert_eq!((refused.text.as_str(), refused.code), (r#"exec: "data": permission denied"#, 126));
        let absent = find(&["/nod".into()], &[]).expect_err("it is not there");
        assert_eq!((absent.text.as_str(), absent.code), (r#"exec: "/nod": stat /nod: no such file or directory"#, 127));
        let folder = find(&["/etc".into()], &[]).expect_err("it is a folder");
        assert_eq!((folder.text.as_str(), folder.code), (r#"exec: "/etc": is a directory"#, 126));
    }
}
