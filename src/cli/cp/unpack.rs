//! Unpacks an archive that a container's engine sent. Whatever the archive says, nothing outside the target is written:
//! names that lead out are refused, and no symbolic link is followed on the way to a file.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use tar::{Archive, Entry, EntryType};

/// Where an archive's entries go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The folder that nothing may leave.
    pub(super) folder: PathBuf,
    /// The name that the archive's first level gets inside; `None` puts what is in it straight into the folder.
    pub(super) name: Option<String>,
}

/// What was left out, for people.
pub(super) type Skipped = Vec<String>;

/// Unpacks all entries.
pub(super) fn unpack(reader: impl Read, target: &Target, owners: bool) -> io::Result<Skipped> {
    let mut archive = Archive::new(reader);
    archive.set_preserve_ownerships(owners);
    archive.set_preserve_permissions(false);
    let mut skipped = Vec::new();
    // A folder that may not be written to gets its permissions when everything is in it.
    let mut folders: Vec<(PathBuf, u32)> = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let Some(inside) = place(&name, target)? else { continue };
        let path = walk(&target.folder, &inside)?;
        match entry.header().entry_type() {
            EntryType::Directory => {
                make_folder(&path)?;
                folders.push((path, entry.header().mode().unwrap_or(0o755) & 0o777));
            }
            EntryType::Link => hard_link(&entry, &path, target)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse | EntryType::Symlink => {
                clear(&path)?;
                entry.unpack(&path)?;
            }
            EntryType::XGlobalHeader => {}
            _ => skipped.push(format!("`{}` is neither a file, a folder nor a link", name.display())),
        }
    }
    for (path, mode) in folders.into_iter().rev() {
        set_mode(&path, mode)?;
    }
    Ok(skipped)
}

/// The path of an entry inside the target folder; `None` for the first level when that is the folder itself.
fn place(name: &Path, target: &Target) -> io::Result<Option<PathBuf>> {
    let mut inside: PathBuf = target.name.iter().collect();
    // The first level is what was asked for: a name, or `.` or `/` where it has none.
    for component in name.components().skip(1) {
        match component {
            Component::Normal(part) => inside.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(leads_out(name)),
        }
    }
    match name.components().next() {
        Some(Component::ParentDir | Component::Prefix(_)) => Err(leads_out(name)),
        _ if inside.as_os_str().is_empty() => Ok(None),
        _ => Ok(Some(inside)),
    }
}

/// Makes the folders on the way to an entry; an error when one of them is a symbolic link or a file.
fn walk(folder: &Path, inside: &Path) -> io::Result<PathBuf> {
    let mut path = folder.to_path_buf();
    let mut components = inside.components().peekable();
    while let Some(component) = components.next() {
        path.push(component);
        if components.peek().is_some() {
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Err(leads_out(inside)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&path)?,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(path)
}

fn make_folder(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("`{}` is in the way: it is not a folder", path.display()),
        )),
        Err(_) => fs::create_dir(path),
    }
}

/// Takes away a file or link that is in the way, so that nothing is written through it.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            format!("`{}` is in the way: it is a folder", path.display()),
        )),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn hard_link(entry: &Entry<'_, impl Read>, path: &Path, target: &Target) -> io::Result<()> {
    let Some(name) = entry.link_name()? else { return Ok(()) };
    let Some(inside) = place(&name, target)? else { return Err(leads_out(&name)) };
    let original = walk(&target.folder, &inside)?;
    // A link to a symbolic link could be written through later.
    if !fs::symlink_metadata(&original)?.is_file() {
        return Err(leads_out(&name));
    }
    clear(path)?;
    fs::hard_link(original, path)
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

fn leads_out(name: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("`{}` leads out of the target folder", name.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;

    use tar::{Builder, EntryType, Header};
    use tempfile::TempDir;

    use super::{Skipped, Target, unpack};

    /// An entry: its kind, its name, and its content or the link's goal.
    type Item<'a> = (EntryType, &'a str, &'a str);

    fn archive(items: &[Item<'_>]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (kind, name, content) in items {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            // The safe setters refuse what an attacker would write.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if is_link {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            if *kind == EntryType::Directory {
                header.set_mode(0o755);
            }
            let data = if is_link { "" } else { content };
            header.set_size(data.len() as u64);
            header.set_cksum();
            builder.append(&header, data.as_bytes()).expect("writing to memory succeeds");
        }
        builder.into_inner().expect("writing to memory succeeds")
    }

    fn unpacked(items: &[Item<'_>], name: Option<&str>) -> (TempDir, io::Result<Skipped>) {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).expect("a folder can be made");
        let target = Target { folder: inner, name: name.map(Into::into) };
        let result = unpack(archive(items).as_slice(), &target, false);
        (folder, result)
    }

    #[test]
    fn the_first_level_gets_the_name_asked_for() {
        let items = [(EntryType::Directory, "src/", ""), (EntryType::Regular, "src/a/b.txt", "hello")];
        let (folder, result) = unpacked(&items, Some("copy"));
        assert!(result.is_ok_and(|skipped| skipped.is_empty()));
        let text = fs::read_to_string(folder.path().join("inner/copy/a/b.txt"));
        assert_eq!(text.ok().as_deref(), Some("hello"));
    }

    #[test]
    fn a_name_that_leads_out_is_refused() {
        for name in ["../evil", "src/../../evil", "src/a/../../../evil"] {
            let (folder, result) = unpacked(&[(EntryType::Regular, name, "x")], Some("copy"));
            assert!(result.is_err(), "`{name}` was unpacked");
            assert!(!folder.path().join("evil").exists());
        }
    }

    #[test]
    fn an_absolute_name_stays_inside() {
        let items =
            [(EntryType::Directory, "/", ""), (EntryType::Directory, "/etc", ""), (EntryType::Regular, "/etc/a", "x")];
        let (folder, result) = unpacked(&items, Some("copy"));
        assert!(result.is_ok());
        assert!(folder.path().join("inner/copy/etc/a").exists());
    }

    #[test]
    fn without_a_name_the_content_goes_straight_into_the_folder() {
        let items = [(EntryType::Directory, "./", ""), (EntryType::Regular, "./a", "x")];
        let (folder, result) = unpacked(&items, None);
        assert!(result.is_ok());
        assert!(folder.path().join("inner/a").exists());
    }

    #[test]
    fn nothing_is_written_through_a_symbolic_link() {
        let items = [
            (EntryType::Directory, "src/", ""),
            (EntryType::Symlink, "src/out", "../.."),
            (EntryType::Regular, "src/out/evil", "x"),
        ];
        let (folder, result) = unpacked(&items, Some("copy"));
        assert!(result.is_err());
        assert!(!folder.path().join("evil").exists());
    }

    #[test]
    fn a_file_takes_the_place_of_a_link_instead_of_being_written_through_it() {
        let items = [
            (EntryType::Directory, "src/", ""),
            (EntryType::Symlink, "src/out", "../../victim"),
            (EntryType::Regular, "src/out", "x"),
        ];
        let (folder, result) = unpacked(&items, Some("copy"));
        assert!(result.is_ok());
        assert!(!folder.path().join("victim").exists());
        assert!(folder.path().join("inner/copy/out").is_file());
    }

    #[test]
    fn a_hard_link_cannot_reach_outside() {
        for goal in ["../../etc/passwd", "src/out"] {
            let items = [
                (EntryType::Directory, "src/", ""),
                (EntryType::Symlink, "src/out", "/etc/passwd"),
                (EntryType::Link, "src/hard", goal),
            ];
            let (_folder, result) = unpacked(&items, Some("copy"));
            assert!(result.is_err(), "a hard link to `{goal}` was made");
        }
    }

    #[test]
    fn devices_are_left_out_and_named() {
        let (_folder, result) = unpacked(&[(EntryType::Char, "src/null", "")], Some("copy"));
        assert_eq!(result.ok(), Some(vec!["`src/null` is neither a file, a folder nor a link".to_owned()]));
    }
}
