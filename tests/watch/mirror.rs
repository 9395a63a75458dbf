//! Thousands of random changes of a real folder: whatever is reported of them must be enough to keep another folder in
//! step, and nothing may be reported that is no change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hoist::change::PathState::{self, Folder, Gone, Present};
use tempfile::TempDir;

use crate::World;
use crate::random::Random;

/// How many changes there are in all.
const CHANGES: usize = 10_000;
/// Names are few, so that one thing often takes the place of another.
const NAMES: [&str; 9] = ["a", "b", "c", "d", "e.js", "f.js", "g.css", "h", "node_modules"];
/// A file that is empty for longer while it is rewritten, or away for longer while it is saved, is really another one
/// meanwhile; only a machine that is very busy takes so long.
const QUICK: Duration = Duration::from_millis(6);

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Thing {
    Folder,
    File(Vec<u8>, u32),
    Link(PathBuf),
}

/// Everything below a folder, by relative path, without what is ignored.
fn tree(top: &Path) -> BTreeMap<PathBuf, Thing> {
    let mut things = BTreeMap::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            let path = entry.path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            if entry.file_name() == "node_modules" {
                continue;
            }
            let thing = if metadata.is_dir() {
                folders.push(path.clone());
                Thing::Folder
            } else if metadata.is_symlink() {
                Thing::Link(fs::read_link(&path).unwrap())
            } else {
                Thing::File(fs::read(&path).unwrap(), metadata.permissions().mode() & 0o777)
            };
            things.insert(path.strip_prefix(top).unwrap().to_owned(), thing);
        }
    }
    things
}

fn remove(path: &Path) {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    };
    removed.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Does to the mirror what was reported of the real folder, and nothing else, as a sync does: first what is there, then
/// what is gone, except where something has taken the place of a folder above it.
fn follow(real: &Path, mirror: &Path, reported: &BTreeMap<PathBuf, PathState>) {
    for (path, state) in reported {
        let (from, to) = (real.join(path), mirror.join(path));
        match state {
            Folder if !to.is_dir() || to.is_symlink() => {
                remove(&to);
                fs::create_dir(&to).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
            Gone | Folder => {}
            Present => {
                remove(&to);
                match fs::read_link(&from) {
                    Ok(target) => symlink(target, &to).unwrap(),
                    Err(_) => drop(fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", path.display()))),
                }
            }
        }
    }
    let is_replaced = |path: &Path| path.ancestors().skip(1).any(|above| reported.get(above) == Some(&Present));
    for (path, _) in reported.iter().filter(|(path, state)| **state == Gone && !is_replaced(path)) {
        remove(&mirror.join(path));
    }
}

/// The real folder, and the dice.
struct Scene {
    random: Random,
    top: PathBuf,
    /// A folder on the same disk that nobody watches.
    elsewhere: TempDir,
    count: usize,
}

impl Scene {
    fn new(seed: u64, top: &Path) -> Self {
        let elsewhere = tempfile::tempdir_in(top.parent().unwrap().parent().unwrap()).unwrap();
        Self { random: Random::new(seed), top: top.to_owned(), elsewhere, count: 0 }
    }

    /// A path up to four deep, there or not.
    fn any_path(&mut self) -> PathBuf {
        let depth = self.random.between(1, 4);
        (0..depth).fold(self.top.clone(), |path, _| path.join(self.random.pick(&NAMES)))
    }

    /// Something that is there, found by going down from the top until the dice say stop.
    fn existing(&mut self, is_wanted: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        let mut folder = self.top.clone();
        let mut found = None;
        loop {
            let mut entries: Vec<_> = fs::read_dir(&folder).unwrap().flatten().collect();
            // What the rules are made from is another matter.
            entries.retain(|entry| entry.file_name() != ".dockerignore");
            entries.sort_by_key(fs::DirEntry::file_name);
            let wanted: Vec<_> = entries.iter().filter(|entry| is_wanted(&entry.path())).collect();
            if let Some(wanted) = wanted.get(self.random.below(wanted.len())) {
                found = Some(wanted.path());
            }
            entries.retain(|entry| entry.file_type().unwrap().is_dir());
            match entries.get(self.random.below(entries.len())) {
                Some(next) if found.is_none() || self.random.percent(70) => folder = next.path(),
                _ => return found,
            }
        }
    }

    fn existing_file(&mut self) -> Option<PathBuf> {
        self.existing(|path| path.is_file() && !path.is_symlink())
    }

    fn existing_folder(&mut self) -> Option<PathBuf> {
        self.existing(|path| path.is_dir() && !path.is_symlink())
    }

    /// Few contents of few lengths, so that a file often gets another one of the same size.
    fn content(&mut self) -> Vec<u8> {
        let length = self.random.pick(&[&[0_u8][..], &[0, 0], &[0; 40], &[0; 5_000]]).len();
        vec![u8::try_from(self.random.between(97, 122)).unwrap(); length]
    }

    fn write(&mut self, path: &Path) {
        let content = self.content();
        if path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) && !path.is_dir() {
            // A link may lead to a folder, or nowhere.
            fs::write(path, content).ok();
        }
    }

    /// One change of any kind.
    fn change(&mut self) {
        self.count += 1;
        match self.random.below(20) {
            0..5 => {
                let path = self.any_path();
                self.write(&path);
            }
            5 => self.save_atomically(),
            6 => self.save_as_vim_does(),
            7 | 8 => self.rename(),
            9 => self.make_at_once(),
            10 | 11 => {
                if let Some(path) = self.existing(|_| true) {
                    remove(&path);
                }
            }
            12 => self.chmod(),
            13 => self.link(),
            14 => self.exchange_kind(),
            15 => self.swap_folders(),
            16 => self.move_out_or_in(),
            17 => self.write_twice(),
            18 => self.append(),
            _ => {
                self.touch(&mut BTreeSet::new());
            }
        }
    }

    fn save_atomically(&mut self) {
        let Some(path) = self.existing_file() else { return };
        let temporary = path.with_file_name("temporary");
        fs::write(&temporary, self.content()).unwrap();
        fs::rename(&temporary, &path).unwrap();
    }

    fn save_as_vim_does(&mut self) {
        let Some(path) = self.existing_file() else { return };
        let mut backup = path.clone().into_os_string();
        backup.push("~");
        fs::rename(&path, &backup).unwrap();
        fs::write(&path, self.content()).unwrap();
        fs::remove_file(backup).unwrap();
    }

    fn rename(&mut self) {
        let (Some(from), to) = (self.existing(|_| true), self.any_path()) else { return };
        if to.parent().is_some_and(|parent| parent.is_dir() && !parent.starts_with(&from)) {
            // A folder that is not empty is in the way now and then.
            fs::rename(from, to).ok();
        }
    }

    /// Folders in folders, and their files with them.
    fn make_at_once(&mut self) {
        let top = self.any_path();
        for _ in 0..self.random.between(2, 12) {
            let depth = self.random.between(1, 3);
            let path = (0..depth).fold(top.clone(), |path, _| path.join(self.random.pick(&NAMES)));
            self.write(&path);
        }
    }

    fn chmod(&mut self) {
        let Some(path) = self.existing_file() else { return };
        let mode = if self.random.percent(50) { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn link(&mut self) {
        let path = self.any_path();
        if path.parent().is_some_and(|parent| fs::create_dir_all(parent).is_ok()) {
            remove(&path);
            symlink(self.random.pick(&NAMES), path).unwrap();
        }
    }

    fn exchange_kind(&mut self) {
        let Some(path) = self.existing(|_| true) else { return };
        let was_folder = path.is_dir();
        remove(&path);
        if was_folder {
            fs::write(path, self.content()).unwrap();
        } else {
            fs::create_dir(&path).unwrap();
            if self.random.percent(70) {
                let inside = path.join(self.random.pick(&NAMES));
                self.write(&inside);
            }
        }
    }

    fn swap_folders(&mut self) {
        let (Some(one), Some(other)) = (self.existing_folder(), self.existing_folder()) else { return };
        if one.starts_with(&other) || other.starts_with(&one) {
            return;
        }
        let aside = self.top.join("aside");
        fs::rename(&one, &aside).unwrap();
        fs::rename(&other, &one).unwrap();
        fs::rename(&aside, &other).unwrap();
    }

    fn move_out_or_in(&mut self) {
        let outside = self.elsewhere.path().join("kept");
        if outside.exists() {
            let path = self.any_path();
            if path.parent().is_some_and(Path::is_dir) {
                fs::rename(outside, path).ok();
            }
        } else if let Some(folder) = self.existing_folder() {
            fs::rename(folder, outside).unwrap();
        }
    }

    /// As many bytes, in the same tick of the clock.
    fn write_twice(&mut self) {
        let Some(path) = self.existing_file() else { return };
        let length = fs::metadata(&path).unwrap().len();
        for letter in [b'1', b'2', b'0' + u8::try_from(self.random.below(10)).unwrap()] {
            let mut file = fs::File::options().write(true).open(&path).unwrap();
            file.write_all(&vec![letter; usize::try_from(length).unwrap()]).unwrap();
        }
    }

    fn append(&mut self) {
        let Some(path) = self.existing_file() else { return };
        fs::File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
    }

    /// Something that is no change, done to a file that is not among these; false when the machine was too busy for it
    /// to be none.
    fn touch(&mut self, touched: &mut BTreeSet<PathBuf>) -> bool {
        let Some(path) = self.existing_file().filter(|path| touched.insert(path.clone())) else { return true };
        let began = Instant::now();
        match self.random.below(6) {
            0 => {
                let past = fs::metadata(&path).unwrap().modified().unwrap() - Duration::from_secs(1);
                fs::File::options().write(true).open(&path).unwrap().set_modified(past).unwrap();
            }
            1 => fs::write(&path, fs::read(&path).unwrap()).unwrap(),
            2 => {
                // A rename over itself, with the same content.
                let temporary = path.with_file_name(".#temporary");
                fs::copy(&path, &temporary).unwrap();
                fs::rename(temporary, &path).unwrap();
            }
            3 => {
                let away = path.with_file_name(".#away");
                fs::rename(&path, &away).unwrap();
                fs::rename(&away, &path).unwrap();
            }
            4 => {
                let permissions = fs::metadata(&path).unwrap().permissions();
                fs::set_permissions(&path, permissions).unwrap();
            }
            _ => {
                let content = fs::read(&path).unwrap();
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                fs::remove_file(&path).unwrap();
                let file = fs::File::options().write(true).create_new(true).mode(mode).open(&path);
                file.unwrap().write_all(&content).unwrap();
            }
        }
        began.elapsed() < QUICK
    }

    /// What a change of branches does: many files at once, some folders gone and some new.
    fn switch_branches(&mut self) {
        for gone in self.random.some(&NAMES) {
            if self.random.percent(20) {
                remove(&self.top.join(gone));
                self.count += 1;
            }
        }
        for _ in 0..self.random.between(50, 150) {
            let path = self.any_path();
            if self.random.percent(70) {
                self.write(&path);
            } else if path.is_file() {
                remove(&path);
            }
            self.count += 1;
        }
    }
}

#[tokio::test]
async fn ten_thousand_random_changes_keep_a_mirror_in_step_and_touches_are_silent() {
    let seed = std::env::var("HOIST_SEED").map_or(1, |seed| seed.parse().expect("a number"));
    let world = World::new(|app| fs::write(app.join(".dockerignore"), "**/node_modules\n").unwrap()).await;
    let real = world.app.clone();
    let mirror = tempfile::tempdir().unwrap();
    fs::copy(real.join(".dockerignore"), mirror.path().join(".dockerignore")).unwrap();
    let mut scene = Scene::new(seed, &real);
    while scene.count < CHANGES {
        let began_at = scene.count;
        if scene.random.percent(10) {
            scene.switch_branches();
        } else {
            for _ in 0..scene.random.between(1, 40) {
                scene.change();
            }
        }
        let reported = world.paths_until_quiet().await;
        follow(&real, mirror.path(), &reported);
        let (truth, image) = (tree(&real), tree(mirror.path()));
        let differs = |path: &&PathBuf| truth.get(*path) != image.get(*path);
        let wrong: Vec<_> = truth.keys().chain(image.keys()).filter(differs).collect();
        assert!(wrong.is_empty(), "seed {seed}, changes {began_at} to {}: {wrong:?}; {reported:?}", scene.count);

        let (mut is_quick, mut touched) = (true, BTreeSet::new());
        for _ in 0..scene.random.between(0, 6) {
            is_quick &= scene.touch(&mut touched);
        }
        let reported = world.paths_until_quiet().await;
        follow(&real, mirror.path(), &reported);
        assert!(!is_quick || reported.is_empty(), "seed {seed}, after {} changes: {reported:?}", scene.count);
    }
}
