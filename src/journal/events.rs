//! What the runs of a project have told, a JSON object a line, for others to follow.
//!
//! Two files: what is told goes to the end of one; when that is full it takes the place of the other.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use rustix::fs::FlockOperation;

use super::place::folder;
use crate::kept;
use crate::project::Project;

/// So long one file becomes.
const LONGEST: u64 = 8 * 1024 * 1024;
/// A longer line is passed over.
const LONGEST_LINE: u64 = 1024 * 1024;

/// The end that is written.
#[derive(Debug)]
pub struct Events {
    folder: PathBuf,
    longest: u64,
    file: Option<File>,
}

impl Events {
    /// For what a run of the project tells; `None` where there is no place for it.
    #[must_use]
    pub fn of(project: &Project) -> Option<Self> {
        Some(Self { folder: folder(project)?, longest: LONGEST, file: None })
    }

    /// Adds a line, which brings its line end with it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        let place = self.folder.join(NAME);
        loop {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => kept::append(&place)?,
            };
            // Lines are short, and so is the wait. The lock goes with the file.
            rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
            let (ours, theirs) = (file.metadata()?, fs::metadata(&place).ok());
            // Another run may have put a new file in its place.
            if theirs.is_none_or(|theirs| theirs.ino() != ours.ino()) {
                continue;
            }
            if ours.len() > 0 && ours.len() + line.len() as u64 > self.longest {
                fs::rename(&place, self.folder.join(BEFORE))?;
                continue;
            }
            file.write_all(line.as_bytes())?;
            rustix::fs::flock(&file, FlockOperation::Unlock)?;
            self.file = Some(file);
            return Ok(());
        }
    }
}

const NAME: &str = "events.jsonl";
const BEFORE: &str = "events.before.jsonl";

/// The end that is read: first what is there, and then, each time it is asked, what has come.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    /// What is read at present, and its number on the disk.
    file: Option<(BufReader<File>, u64)>,
    /// Of a line whose end has not come yet.
    rest: Vec<u8>,
    /// The line is too long, and the rest of it is passed over.
    passes: bool,
    /// Another file has taken the place of this one, in which something may still have been written before.
    is_old: bool,
}

impl Reader {
    fn new(folder: PathBuf, file: Option<(BufReader<File>, u64)>) -> Self {
        Self { folder, file, rest: Vec::new(), passes: false, is_old: false }
    }

    /// From the first line that is kept.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn from_start(project: &Project) -> io::Result<Option<Self>> {
        let Some(folder) = folder(project) else { return Ok(None) };
        let file = open(folder.join(BEFORE))?;
        Ok(Some(Self::new(folder, file)))
    }

    /// From what is told next.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn from_end(project: &Project) -> io::Result<Option<Self>> {
        let Some(folder) = folder(project) else { return Ok(None) };
        let mut file = open(folder.join(NAME))?;
        if let Some((file, _)) = &mut file {
            file.seek(SeekFrom::End(0))?;
        }
        Ok(Some(Self::new(folder, file)))
    }

    /// The next line, without its end; `None` when there is no more of them now.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(line) = self.read()? {
                return Ok(Some(line));
            }
            if self.is_old || self.file.is_none() {
                (self.file, self.is_old) = (open(self.folder.join(NAME))?, false);
                self.rest.clear();
                if self.file.is_none() {
                    return Ok(None);
                }
                continue;
            }
            let next = open(self.folder.join(NAME))?;
            let is_same = |number| self.file.as_ref().is_some_and(|(_, ours)| *ours == number);
            if next.is_none_or(|(_, number)| is_same(number)) {
                return Ok(None);
            }
            // What was written between the last look and the exchange is read first.
            self.is_old = true;
        }
    }

    /// The next whole line of the file that is read at present.
    fn read(&mut self) -> io::Result<Option<String>> {
        let Some((file, _)) = &mut self.file else { return Ok(None) };
        loop {
            let read = file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut self.rest)?;
            if read == 0 {
                return Ok(None);
            }
            let is_whole = self.rest.ends_with(b"\n");
            self.passes |= self.rest.len() as u64 > LONGEST_LINE;
            if self.passes {
                (self.passes, self.rest) = (!is_whole, Vec::new());
            } else if is_whole {
                self.rest.pop();
                let line = std::mem::take(&mut self.rest);
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
        }
    }
}

fn open(place: PathBuf) -> io::Result<Option<(BufReader<File>, u64)>> {
    match File::open(place) {
        Ok(file) => {
            let number = file.metadata()?.ino();
            Ok(Some((BufReader::new(file), number)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{BEFORE, Events, NAME, Reader};

    #[test]
    fn what_is_told_is_read_once_also_when_a_file_becomes_full() {
        let folder = tempfile::tempdir().expect("a folder");
        let events = || Events { folder: folder.path().to_owned(), longest: 200, file: None };
        let reader = || Reader::new(folder.path().to_owned(), None);
        let (mut one, mut other, mut following) = (events(), events(), reader());
        let mut seen = Vec::new();
        for number in 0..100 {
            let writer = if number % 3 == 0 { &mut one } else { &mut other };
            writer.write(&format!("{{\"number\":{number}}}\n")).expect("it can be written");
            while let Some(line) = following.next_line().expect("it can be read") {
                seen.push(line);
            }
        }
        let expected: Vec<String> = (0..100).map(|number| format!("{{\"number\":{number}}}")).collect();
        assert_eq!(seen, expected);
        let kept: u64 = std::fs::read_dir(folder.path())
            .expect("it is there")
            .map(|entry| entry.expect("it is there").metadata().expect("it is there").len())
            .sum();
        assert!((200..=400).contains(&kept), "{kept} bytes");
    }

    #[test]
    fn runs_side_by_side_lose_no_line_of_each_other() {
        let folder = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for run in 0..4 {
                let folder = folder.path().to_owned();
                scope.spawn(move || {
                    let mut events = Events { folder, longest: 4_000, file: None };
                    (0..50).for_each(|number| events.write(&format!("{run} {number}\n")).expect("it can be written"));
                });
            }
        });
        let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        let mut lines: Vec<String> = (read(BEFORE) + &read(NAME)).lines().map(str::to_owned).collect();
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 200);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let long = "x".repeat(3 * 1024 * 1024);
        std::fs::write(folder.path().join(NAME), format!("before\n{long}\nafter\n")).expect("it can be written");
        let mut reader = Reader::new(folder.path().to_owned(), None);
        let mut next = || reader.next_line().expect("it can be read");
        assert_eq!([next(), next(), next()], [Some("before".to_owned()), Some("after".to_owned()), None]);
    }
}
