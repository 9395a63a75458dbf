//! Which engines there are on the machine, and which of them have died.
//!
//! Engines with different folders share the machine's links, routes and firewall. Each has a file in [`FOLDER`] under the
//! name that its link and its rules bear, which says where its folders are. The engine and each of its shims hold a shared
//! lock on that file as long as they live; the kernel takes the lock from them however they end. Whoever gets the lock for
//! itself alone knows therefore that of this engine nothing lives, and may remove what it has left: nobody can begin to
//! live as that engine meanwhile. An engine that has no file there, one that cannot write it for example, is never touched.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::layout::{self, Layout};

/// The engines of this run of the machine.
const FOLDER: &str = "/run/hoist-engines";

/// How long another engine may take to remove what this one's predecessor has left.
const REMOVAL: Duration = Duration::from_secs(10);

/// That an engine lives, for as long as this is held.
#[derive(Debug)]
pub struct Presence {
    path: PathBuf,
    _file: File,
}

/// An engine of which nothing lives; it cannot begin to while this is held.
#[derive(Debug)]
pub struct Dead {
    /// Its name on the machine.
    pub name: String,
    /// Its folders; `None` when it died before it had written them down.
    pub layout: Option<Layout>,
    path: PathBuf,
    _file: File,
}

impl Presence {
    /// Says that an engine lives. Blocks.
    pub fn enter(layout: &Layout) -> io::Result<Self> {
        Self::enter_at(Path::new(FOLDER), layout)
    }

    fn enter_at(folder: &Path, layout: &Layout) -> io::Result<Self> {
        let path = folder.join(layout.name());
        let by = Instant::now() + REMOVAL;
        loop {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            let mut options = File::options();
            let mut file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
            match file.try_lock_shared() {
                // Another engine that removed what was left may have removed the file too.
                Ok(()) if is_the_same(&file, &path) => {
                    note(&mut file, layout)?;
                    return Ok(Self { path, _file: file });
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) if Instant::now() < by => thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says that a part of the engine lives whose folder of a run this is; `None` when the engine itself has said nothing.
    pub fn join(run: &Path) -> io::Result<Option<Self>> {
        Self::join_at(Path::new(FOLDER), run)
    }

    fn join_at(folder: &Path, run: &Path) -> io::Result<Option<Self>> {
        let path = folder.join(layout::name(run));
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        file.try_lock_shared()?;
        if !is_the_same(&file, &path) {
            return Err(io::Error::other("the engine has ended"));
        }
        Ok(Some(Self { path, _file: file }))
    }

    /// Says that the engine has ended in order and left nothing.
    pub fn remove(self) {
        // Whoever finds it removes it.
        let _ = fs::remove_file(&self.path);
    }
}

impl Dead {
    /// Says that nothing is left of it.
    pub fn remove(self) -> io::Result<()> {
        fs::remove_file(&self.path)
    }
}

/// All engines that have died and left something.
pub fn dead() -> io::Result<Vec<Dead>> {
    dead_at(Path::new(FOLDER))
}

fn dead_at(folder: &Path) -> io::Result<Vec<Dead>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        // Gone meanwhile, or alive.
        let Ok(mut file) = File::open(&path) else { continue };
        if file.try_lock().is_err() || !is_the_same(&file, &path) {
            continue;
        }
        let mut text = String::new();
        let layout = file.read_to_string(&mut text).ok().and_then(|_| serde_json::from_str(&text).ok());
        let layout = layout.filter(|layout: &Layout| layout.name() == name);
        found.push(Dead { name, layout, path, _file: file });
    }
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Writes down where the folders are, unless that is there already.
fn note(file: &mut File, layout: &Layout) -> io::Result<()> {
    let text = serde_json::to_string(layout)?;
    let mut there = String::new();
    if file.read_to_string(&mut there).is_ok() && there == text {
        return Ok(());
    }
    file.rewind()?;
    file.set_len(0)?;
    file.write_all(text.as_bytes())
}

fn is_the_same(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_dead_when_neither_it_nor_a_part_of_it_lives() {
        let folder = tempfile::tempdir().unwrap();
        let (registry, home) = (folder.path().join("engines"), folder.path().join("home"));
        let layout = Layout::new(Some(&home));
        let engine = Presence::enter_at(&registry, &layout).unwrap();
        let shim = Presence::join_at(&registry, layout.run()).unwrap().expect("the engine is there");
        assert!(dead_at(&registry).unwrap().is_empty());
        drop(engine);
        assert!(dead_at(&registry).unwrap().is_empty(), "a shim of it lives");
        drop(shim);
        let found = dead_at(&registry).unwrap();
        let [dead] = <[Dead; 1]>::try_from(found).unwrap();
        assert_eq!((dead.name.clone(), dead.layout.clone()), (layout.name(), Some(layout.clone())));
        assert!(dead_at(&registry).unwrap().is_empty(), "another has it in hand");
        assert!(Presence::join_at(&registry, layout.run()).is_err(), "nobody joins what is being removed");
        dead.remove().unwrap();
        assert!(Presence::join_at(&registry, layout.run()).unwrap().is_none());
    }

    #[test]
    fn an_engine_that_comes_back_waits_until_its_leftovers_are_gone() {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout::new(Some(folder.path()));
        drop(Presence::enter_at(folder.path(), &layout).unwrap());
        let mut found = dead_at(folder.path()).unwrap();
        let dead = found.pop().expect("it has left its file");
        let (registry, own) = (folder.path().to_owned(), layout.clone());
        let comes_back = thread::spawn(move || Presence::enter_at(&registry, &own));
        dead.remove().unwrap();
        let _presence = comes_back.join().unwrap().unwrap();
        assert!(dead_at(folder.path()).unwrap().is_empty(), "it lives");
    }
}
