//! Unpacking a layer in this process.

use std::io::{self, Read};
use std::path::Path;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::super::ByteStream;
use super::super::error::Error;

/// Unpacks a plain tar with whiteouts into an empty folder, as overlayfs wants it.
pub(crate) async fn unpack(folder: &Path, tar: ByteStream) -> Result<u64, Error> {
    let reader = Pieces { runtime: tokio::runtime::Handle::current(), stream: tar, rest: Bytes::new() };
    let folder = folder.to_owned();
    let done = tokio::task::spawn_blocking(move || {
        let mut archive = tar::Archive::new(reader);
        archive.set_preserve_permissions(true);
        archive.set_preserve_ownerships(true);
        archive.set_overwrite(true);
        let mut size = 0;
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            let parent = folder.join(path.parent().unwrap_or(Path::new("")));
            if name == ".wh..wh..opq" {
                xattr::set(&parent, "trusted.overlay.opaque", b"y")?;
            } else if let Some(gone) = name.strip_prefix(".wh.") {
                mknodat(CWD, parent.join(gone), FileType::CharacterDevice, Mode::empty(), 0)?;
            } else {
                size += entry.size();
                entry.unpack_in(&folder)?;
            }
        }
        Ok::<_, io::Error>(size)
    });
    let done = done.await.map_err(|error| Error::Failed(error.to_string()))?;
    done.map_err(|error| {
        let cause = std::error::Error::source(&error).and_then(std::error::Error::source);
        let cause = cause.map(ToString::to_string).unwrap_or_default();
        Error::Failed(format!("cannot unpack it: {error}: {cause}"))
    })
}

/// Removes a tree; that it is gone already is fine.
pub(crate) async fn remove(folder: &Path) -> Result<(), Error> {
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io(format!("remove `{}`", folder.display()))(error))
        }
        _ => Ok(()),
    }
}

struct Pieces {
    runtime: tokio::runtime::Handle,
    stream: ByteStream,
    rest: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            match self.runtime.block_on(self.stream.next()) {
                Some(piece) => self.rest = piece?,
                None => return Ok(0),
            }
        }
        let read = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..read]);
        Ok(read)
    }
}
