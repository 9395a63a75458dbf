//! What overlayfs wrote, as a layer.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::super::super::error::Error;
use super::failed;
use super::names::{OPAQUE, OPAQUE_ATTRIBUTE, WHITEOUT, is_whiteout};
use super::tarball::Tarball;

/// Writes all of the folder that this process is in to standard output.
pub(super) fn layer() -> Result<(), Error> {
    let mut tarball = Tarball::new(io::stdout().lock());
    folder(&mut tarball, Path::new(""))?;
    tarball.finish().map_err(Error::io("write the layer"))
}

fn folder<W: io::Write>(tarball: &mut Tarball<W>, path: &Path) -> Result<(), Error> {
    let here = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let mut names = Vec::new();
    for entry in fs::read_dir(here).map_err(|error| failed("read", path, error))? {
        names.push(entry.map_err(|error| failed("read", path, error))?.file_name());
    }
    names.sort();
    for name in names {
        let file = path.join(&name);
        let metadata = fs::symlink_metadata(&file).map_err(|error| failed("look at", &file, error))?;
        let mut packed = || -> io::Result<()> {
            if is_whiteout(&metadata) {
                let gone = path.join(std::ffi::OsStr::from_bytes(&[WHITEOUT, name.as_bytes()].concat()));
                return tarball.mark(gone.as_os_str().as_bytes(), metadata.mtime());
            }
            tarball.file(file.as_os_str().as_bytes(), &file, &metadata)?;
            if metadata.is_dir() && xattr::get(&file, OPAQUE_ATTRIBUTE)?.is_some_and(|value| value == b"y") {
                let mark = file.join(std::ffi::OsStr::from_bytes(OPAQUE));
                tarball.mark(mark.as_os_str().as_bytes(), metadata.mtime())?;
            }
            Ok(())
        };
        packed().map_err(|error| failed("pack", &file, error))?;
        if metadata.is_dir() {
            folder(tarball, &file)?;
        }
    }
    Ok(())
}
