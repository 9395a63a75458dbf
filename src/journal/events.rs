//! What the runs of a project have told, a JSON object a line, for others to follow.
//!
//! Two files: what is told goes to the end of one; when that is full it takes the place of the other.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use super::place::folder;
use crate::kept;
use crate::project::Project;

/// So long one file becomes.
const LONGEST: u64 = 8 * 1024 * 1024;
/// A line that is longer was not written by hoist.
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
        // Another run may have put a new file in its place.
        let is_current = |file: &File| {
            let (ours, theirs) = (file.metadata().ok(), fs::metadata(&place).ok());
            ours.zip(theirs).is_some_and(|(ours, theirs)| ours.ino() == theirs.ino())
        };
        let mut file = match self.file.take().filter(is_current) {
            Some(file) => file,
            None => kept::append(&place)?,
        };
        if file.metadata()?.len() + line.len() as u64 > self.longest {
            fs::rename(&place, self.folder.join(BEFORE))?;
            file = kept::append(&place)?;
        }
        // In one piece, so that the lines of two runs do not mix.
        file.write_all(line.as_bytes())?;
        self.file = Some(file);
        Ok(())
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
    rest: String,
}

impl Reader {
    /// From the first line that is kept.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn from_start(project: &Project) -> io::Result<Option<Self>> {
        let Some(folder) = folder(project) else { return Ok(None) };
        let mut reader = Self { folder, file: None, rest: String::new() };
        reader.file = open(reader.folder.join(BEFORE))?;
        Ok(Some(reader))
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
        Ok(Some(Self { folder, file, rest: String::new() }))
    }

    /// The next line, without its end; `None` when there is no more of them now.
    ///
    /// # Errors
    /// When a file cannot be read, or is none of hoist's.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some((file, _)) = &mut self.file {
                let read = file.by_ref().take(LONGEST_LINE).read_line(&mut self.rest)?;
                if self.rest.ends_with('\n') {
                    self.rest.pop();
                    return Ok(Some(std::mem::take(&mut self.rest)));
                }
                if self.rest.len() as u64 >= LONGEST_LINE {
                    return Err(io::Error::other("a line of it has no end"));
                }
                if read > 0 {
                    continue;
                }
            }
            let next = open(self.folder.join(NAME))?;
            let is_same = |number| self.file.as_ref().is_some_and(|(_, ours)| *ours == number);
            if next.as_ref().is_none_or(|(_, number)| is_same(*number)) {
                return Ok(None);
            }
            self.rest.clear();
            self.file = next;
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
    use super::{Events, Reader};

    #[test]
    fn what_is_told_is_read_once_also_when_a_file_becomes_full() {
        let folder = tempfile::tempdir().expect("a folder");
        let events = || Events { folder: folder.path().to_owned(), longest: 200, file: None };
        let reader = || Reader { folder: folder.path().to_owned(), file: None, rest: String::new() };
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
}
