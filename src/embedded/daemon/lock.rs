//! One engine for a pair of folders.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::embedded::error::Error;
use crate::embedded::layout::Layout;

/// The lock, held as long as this lives. It says who holds it.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    /// Takes it, or says who has it.
    pub(super) async fn take(layout: &Layout) -> Result<Self, Error> {
        let path = layout.lock();
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(Error::io(format!("open the lock `{}`", path.display())))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Err(taken(layout, &path).await),
                Err(error) => return Err(Error::Failed(format!("cannot lock `{}`: {error}", path.display()))),
            }
            // An engine that ended may have removed the file between our opening and our locking it.
            if is_the_same(&file, &path) {
                let lock = Self { path, file };
                lock.sign()?;
                return Ok(lock);
            }
        }
    }

    /// Writes our process id into it.
    fn sign(&self) -> Result<(), Error> {
        let text = format!("{}\n", std::process::id());
        self.file
            .set_len(0)
            .and_then(|()| (&self.file).write_all(text.as_bytes()))
            .map_err(Error::io(format!("write the lock `{}`", self.path.display())))
    }

    /// Removes the file, while it is still held.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove the lock `{}`: {error}", self.path.display());
        }
    }
}

fn is_the_same(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

/// Who has it. The other engine may be between locking and signing.
async fn taken(layout: &Layout, path: &Path) -> Error {
    let mut look = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..50 {
        look.tick().await;
        let mut text = String::new();
        let read = File::open(path).and_then(|file| file.take(32).read_to_string(&mut text));
        if read.is_ok()
            && let Ok(pid) = text.trim().parse::<u32>()
        {
            return Error::Conflict(format!(
                "an engine with the folder `{}` runs already: process {pid}, at `{}`",
                layout.run().display(),
                layout.socket().display()
            ));
        }
    }
    Error::Conflict(format!("an engine with the folder `{}` runs already", layout.run().display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_is_told_who_is_the_first() {
        let home = tempfile::tempdir().unwrap();
        let layout = Layout::new(Some(home.path()));
        fs::create_dir_all(layout.run()).unwrap();
        let first = Lock::take(&layout).await.unwrap();
        let refusal = Lock::take(&layout).await.unwrap_err().to_string();
        assert!(refusal.contains(&format!("process {},", std::process::id())), "{refusal}");
        first.remove();
        assert!(!layout.lock().exists());
        Lock::take(&layout).await.unwrap();
    }
}
