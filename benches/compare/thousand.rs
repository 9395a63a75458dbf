//! A thousand reloads in one session: which are missed, what else is started again, and what the session takes after the
//! last beside what it took after the first hundred. hoist alone, on its own engine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::embedded::Embedded;
use crate::random::Random;
use crate::table::Row;
use crate::watched::{PATIENCE, Reloads, Service, Watched, save, write};
use crate::{Options, fixture, page, row};

/// Whatever follows a save has begun by then, and is that save's doing.
const QUIET: Duration = Duration::from_millis(300);
/// A service keeps so many files, and does not get many more, so that what a session gains is for its reloads alone.
const FEWEST: usize = 5;
const MOST: usize = 40;

pub(crate) fn reloads(options: &Options, rows: &mut [Row]) {
    let Some(tool) = options.tools.iter().find(|tool| tool.name == "hoist") else { return };
    let engine = Embedded::start();
    let project = Reloads::nine();
    let session = project.start(&engine.tool());
    let name = fixture::project(tool.name);
    let mut author = Author { project: &project, random: Random::new(1), saves: 0 };
    let (mut missed, mut touched, mut lost, mut early) = (0_u32, 0_u32, BTreeSet::new(), session.memory());
    let mut before = engine.api().starts(&name);
    for number in 0..1_000 {
        let saved = author.change_some();
        for service in &saved {
            let wrong = wrong(service, &lost);
            if !wrong.is_empty() {
                eprintln!("after {} saves: {wrong:?}", author.saves);
                missed += 1;
                lost.extend(wrong);
            }
        }
        session.wait_until_quiet_for(QUIET);
        let now = engine.api().starts(&name);
        // A sync starts nothing, not even what it is for.
        let may_start = |name: &str| saved.iter().any(|service| service.name == name && service.kind != "sync");
        let others = now.iter().filter(|(id, start)| !may_start(&start.0) && before.get(*id) != Some(*start));
        touched += u32::try_from(others.count()).expect("a few");
        before = now;
        if number == 99 {
            early = session.memory();
        }
    }
    let late = session.memory();
    eprintln!("{} saves in 1,000 reloads: {missed} missed, {touched} others touched", author.saves);
    eprintln!("resident {:.1} MB, in the end {:.1} MB", early.resident, late.resident);
    row(rows, "1,000 reloads: missed").add(tool, f64::from(missed));
    row(rows, "1,000 reloads: others touched").add(tool, f64::from(touched));
    row(rows, "1,000 reloads: memory gained").add(tool, late.resident - early.resident);
    row(rows, "1,000 reloads: private gained").add(tool, late.private - early.private);
    project.end(&engine.tool(), session);
}

/// The files that a service shows otherwise than they are, for as long as there are any and it is worth waiting; without
/// those that were lost before.
fn wrong(service: &Service, lost: &BTreeSet<String>) -> BTreeSet<String> {
    let entry = |path: &PathBuf| {
        let relative = path.strip_prefix(&service.files).expect("it lies below").display();
        format!("{relative} {}", fs::read_to_string(path).expect("read a file"))
    };
    let saved: BTreeSet<String> = files_below(&service.files).iter().map(entry).collect();
    let mut wrong = BTreeSet::new();
    fixture::comes_true(PATIENCE, || {
        let Some(body) = page::get(service.port, "/") else {
            wrong = [format!("{} does not answer", service.name)].into();
            return false;
        };
        let shown: BTreeSet<String> =
            body.split('<').skip(1).map(|entry| entry.trim_end_matches('>').to_owned()).collect();
        let paths = saved.symmetric_difference(&shown).filter_map(|entry| entry.split(' ').next());
        wrong = paths.map(|path| format!("{}/{path}", service.name)).filter(|path| !lost.contains(path)).collect();
        wrong.is_empty()
    });
    wrong
}

/// Changes files as people and programs do.
struct Author<'a> {
    project: &'a Reloads,
    random: Random,
    saves: usize,
}

impl<'a> Author<'a> {
    /// One change, or a burst of them in one service or several; the services that were changed.
    fn change_some(&mut self) -> Vec<&'a Service> {
        let all: Vec<&Service> = self.project.services.iter().collect();
        if self.random.percent(70) {
            let service = self.random.pick(&all);
            self.change(service);
            return vec![service];
        }
        let some = self.random.some(&all);
        for service in &some {
            for _ in 0..self.random.between(1, 8) {
                self.change(service);
            }
        }
        some
    }

    /// No two write the same.
    fn change(&mut self, service: &Service) {
        self.saves += 1;
        let text = self.saves.to_string();
        let top = &service.files;
        let files = files_below(top);
        let file = &files[self.random.below(files.len())];
        let folder = file.parent().expect("it lies in a folder");
        let new_folder = top.join(format!("new{text}"));
        let kind = if files.len() > MOST { 9 } else { self.random.below(10) };
        match kind {
            0 | 1 => write(file, &text),
            2 | 3 => save(self.project.folder(), file, &text),
            4 => write(&folder.join(format!("file{text}")), &text),
            5 => write(&new_folder.join("deep/file"), &text),
            6 => {
                fs::create_dir(&new_folder).expect("create a folder");
                fs::rename(file, new_folder.join("file")).expect("rename a file");
            }
            7 if folder != top => fs::rename(folder, new_folder).expect("rename a folder"),
            8 if keeps_enough(&files, folder) => fs::remove_dir_all(folder).expect("remove a folder"),
            9 if keeps_enough(&files, file) => fs::remove_file(file).expect("remove a file"),
            _ => fs::rename(file, top.join(format!("file{text}"))).expect("rename a file"),
        }
    }
}

fn keeps_enough(files: &[PathBuf], removed: &Path) -> bool {
    files.iter().filter(|file| !file.starts_with(removed)).count() >= FEWEST
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("read a folder").map(|entry| entry.expect("an entry of a folder").path());
    let mut files: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect();
    files.sort();
    files
}
