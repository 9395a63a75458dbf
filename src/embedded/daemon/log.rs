//! The daemon's own log: a file that stays small.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;

use tracing_subscriber::EnvFilter;

use crate::embedded::error::Error;
use crate::embedded::layout::Layout;

/// Bytes after which a new file is begun; one old one is kept.
const LONGEST: u64 = 1 << 20;

/// Writes what is traced into the log from now on.
pub(super) fn begin(layout: &Layout) -> Result<(), Error> {
    let path = layout.log();
    let log = Log::open(path.clone()).map_err(Error::io(format!("open the log `{}`", path.display())))?;
    let filter = EnvFilter::new("warn,hoist=info");
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(Mutex::new(log)).finish();
    // A program that traces into something of its own already goes on with that.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

struct Log {
    path: PathBuf,
    file: File,
    length: u64,
}

impl Log {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, file, length })
    }

    fn turn(&mut self) -> io::Result<()> {
        fs::rename(&self.path, self.path.with_extension("log.1"))?;
        *self = Self::open(std::mem::take(&mut self.path))?;
        Ok(())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.length >= LONGEST {
            self.turn()?;
        }
        let written = self.file.write(bytes)?;
        self.length += u64::try_from(written).unwrap_or_default();
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::open(folder.path().join("engine.log")).unwrap();
        let line = vec![b'x'; 64 << 10];
        for _ in 0..64 {
            log.write_all(&line).unwrap();
        }
        let sizes: Vec<u64> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).collect();
        assert_eq!(sizes.len(), 2);
        assert!(sizes.iter().all(|size| *size <= LONGEST + (64 << 10)), "{sizes:?}");
    }
}
