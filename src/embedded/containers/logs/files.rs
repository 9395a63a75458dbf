//! A log's files, oldest to newest, read in blocks; also backwards for the last lines, and across a rotation without loss.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use super::line::{Batches, Wanted};
use crate::embedded::process::Output;

/// Bytes read at a time.
const BLOCK: usize = 256 << 10;
/// A line of more bytes is none of ours.
const LONGEST: usize = 4 << 20;
/// Rotated files that are looked for at most.
const MOST_FILES: u32 = 1000;

/// Where a reader has come to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Output, maybe none of it wanted, and maybe more at once.
    More(Vec<Output>),
    /// Nothing new.
    End,
}

/// A position in a log.
#[derive(Debug)]
pub(super) struct Reader {
    path: PathBuf,
    max_files: u32,
    wanted: Wanted,
    current: Option<File>,
    /// Newer ones that are open already, so that no rotation takes them away.
    next: VecDeque<File>,
    /// The begun line, and what of it has been read.
    buffer: Vec<u8>,
    filled: usize,
    batches: Batches,
    /// The current file was seen to be rotated: what is left of it is read, then it is closed.
    rotated: bool,
}

impl Reader {
    /// At the beginning, or `tail` lines before the end.
    pub(super) fn open(path: &Path, max_files: u32, wanted: Wanted, tail: Option<usize>) -> io::Result<Self> {
        let mut reader = Self {
            path: path.to_path_buf(),
            max_files,
            wanted,
            current: None,
            next: VecDeque::new(),
            buffer: Vec::new(),
            filled: 0,
            batches: Batches::default(),
            rotated: false,
        };
        let mut files = reader.open_from(None)?;
        if let Some(lines) = tail {
            let mut left = lines;
            let mut kept = VecDeque::new();
            // Newest first.
            while let Some(mut file) = files.pop_back() {
                let start = seek_back(&file, &mut left)?;
                file.seek(SeekFrom::Start(start))?;
                kept.push_front(file);
                if left == 0 {
                    break;
                }
            }
            files = kept;
        }
        reader.current = files.pop_front();
        reader.next = files;
        Ok(reader)
    }

    /// Whether all that is wanted has been read.
    pub(super) fn is_past(&self) -> bool {
        self.batches.past
    }

    /// Reads on.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        loop {
            if self.batches.past {
                return Ok(Step::End);
            }
            let Some(file) = &mut self.current else {
                // Not made yet when it was looked for.
                let mut files = self.open_from(None)?;
                self.current = files.pop_front();
                self.next = files;
                if self.current.is_none() {
                    return Ok(Step::End);
                }
                continue;
            };
            self.buffer.resize((self.filled + BLOCK).max(self.buffer.len()), 0);
            let read = file.read(&mut self.buffer[self.filled..])?;
            if read > 0 {
                let from = self.filled;
                self.filled += read;
                self.take_lines(from);
                return Ok(Step::More(self.batches.take()));
            }
            if !self.advance()? {
                return Ok(Step::End);
            }
        }
    }

    /// At the end of a file: goes on with the next, if there is one.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(file) = &mut self.current else { return Ok(false) };
        if !self.next.is_empty() || self.rotated {
            // What was begun here and not ended never will be.
            self.filled = 0;
            self.rotated = false;
            if self.next.is_empty() {
                let own = file.metadata()?.ino();
                self.next = self.open_from(Some(own))?;
            }
            let Some(next) = self.next.pop_front() else {
                self.rotated = true;
                return Ok(false);
            };
            self.current = Some(next);
            return Ok(true);
        }
        let metadata = file.metadata()?;
        if metadata.len() < file.stream_position()? {
            // Emptied in place.
            file.seek(SeekFrom::Start(0))?;
            self.filled = 0;
            return Ok(metadata.len() > 0);
        }
        match std::fs::metadata(&self.path) {
            Ok(newest) if newest.ino() != metadata.ino() => {
                // It may have been written to between the last read and its rotation.
                self.rotated = true;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// All files, oldest first, that are newer than the one with this inode; all there are when it is gone.
    fn open_from(&self, after: Option<u64>) -> io::Result<VecDeque<File>> {
        let mut files: VecDeque<File> = VecDeque::new();
        let mut known = Vec::new();
        // Newest first, so that a rotation meanwhile shows one twice rather than never.
        for number in 0..self.max_files.min(MOST_FILES) {
            let file = match File::open(numbered(&self.path, number)) {
                Ok(file) => file,
                // Between the renaming and the making of a rotation the newest is missing.
                Err(error) if error.kind() == io::ErrorKind::NotFound && number == 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(error),
            };
            let inode = file.metadata()?.ino();
            if Some(inode) == after {
                break;
            }
            if !known.contains(&inode) {
                known.push(inode);
                files.push_front(file);
            }
        }
        Ok(files)
    }

    /// Hands on all whole lines; `from` is where the new bytes begin.
    fn take_lines(&mut self, from: usize) {
        let mut start = 0;
        let mut search = from;
        while let Some(length) = self.buffer[search..self.filled].iter().position(|byte| *byte == b'\n') {
            let end = search + length;
            self.batches.add(&self.buffer[start..end], &self.wanted);
            start = end + 1;
            search = start;
            if self.batches.past {
                break;
            }
        }
        if start > 0 {
            self.buffer.copy_within(start..self.filled, 0);
            self.filled -= start;
        } else if self.filled > LONGEST {
            self.filled = 0;
        }
    }
}

/// `path`, `path.1`, `path.2`, ….
fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_path_buf();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    PathBuf::from(name)
}

/// Where the last `left` lines of a file begin; what it has fewer is left in `left`.
fn seek_back(file: &File, left: &mut usize) -> io::Result<u64> {
    let mut end = file.metadata()?.len();
    if *left == 0 {
        return Ok(end);
    }
    let mut block = vec![0; BLOCK];
    let mut last = true;
    while end > 0 {
        let length = usize::try_from(end).unwrap_or(BLOCK).min(BLOCK);
        let start = end - length as u64;
        file.read_exact_at(&mut block[..length], start)?;
        let mut upto = length;
        if std::mem::take(&mut last) && block[length - 1] == b'\n' {
            // The end of the last line begins no other.
            upto -= 1;
        }
        while let Some(at) = block[..upto].iter().rposition(|byte| *byte == b'\n') {
            *left -= 1;
            if *left == 0 {
                return Ok(start + at as u64 + 1);
            }
            upto = at;
        }
        end = start;
    }
    if !last {
        // The first line has nothing before it.
        *left -= 1;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::path::Path;

    use super::{Reader, Step, Wanted};

    fn write(path: &Path, numbers: std::ops::Range<u32>) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).expect("opened");
        for number in numbers {
            writeln!(file, "{{\"log\":\"{number}\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:06Z\"}}")
                .expect("written");
        }
    }

    fn rest(reader: &mut Reader) -> String {
        let mut text = String::new();
        while let Step::More(outputs) = reader.step().expect("read") {
            for output in &outputs {
                text.push_str(&String::from_utf8_lossy(&output.bytes));
            }
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn reader(path: &Path, tail: Option<usize>) -> Reader {
        Reader::open(path, 3, Wanted { stdout: true, stderr: true, ..Default::default() }, tail).expect("opened")
    }

    #[test]
    fn rotated_files_come_first_and_the_tail_reaches_into_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        write(&folder.path().join("log.2"), 0..2);
        write(&folder.path().join("log.1"), 2..4);
        write(&path, 4..6);
        assert_eq!(rest(&mut reader(&path, None)), "0 1 2 3 4 5");
        for (tail, expected) in [(0, ""), (1, "5"), (2, "4 5"), (3, "3 4 5"), (5, "1 2 3 4 5"), (9, "0 1 2 3 4 5")] {
            assert_eq!(rest(&mut reader(&path, Some(tail))), expected, "tail {tail}");
        }
    }

    #[test]
    fn a_rotation_loses_and_doubles_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        write(&path, 0..2);
        let mut reader = reader(&path, None);
        assert_eq!(rest(&mut reader), "0 1");
        write(&path, 2..3);
        fs::rename(&path, folder.path().join("log.1")).expect("renamed");
        assert_eq!(rest(&mut reader), "2", "while the newest is missing");
        write(&path, 3..4);
        fs::rename(folder.path().join("log.1"), folder.path().join("log.2")).expect("renamed");
        fs::rename(&path, folder.path().join("log.1")).expect("renamed");
        write(&path, 4..5);
        assert_eq!(rest(&mut reader), "3 4");
        assert_eq!(rest(&mut reader), "");
    }

    #[test]
    fn a_log_that_is_emptied_in_place_or_made_late_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let mut reader = reader(&path, None);
        assert_eq!(rest(&mut reader), "");
        write(&path, 0..3);
        assert_eq!(rest(&mut reader), "0 1 2");
        OpenOptions::new().write(true).truncate(true).open(&path).expect("emptied");
        write(&path, 3..4);
        assert_eq!(rest(&mut reader), "3");
    }

    #[test]
    fn a_line_that_is_half_written_waits_for_its_other_half() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs::write(&path, "{\"log\":\"a\\n\",\"stream\":\"std").expect("written");
        let mut reader = reader(&path, None);
        assert_eq!(rest(&mut reader), "");
        let mut file = OpenOptions::new().append(true).open(&path).expect("opened");
        writeln!(file, "out\",\"time\":\"2026-01-02T03:04:06Z\"}}").expect("written");
        assert_eq!(rest(&mut reader), "a");
    }
}
