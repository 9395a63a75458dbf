//! The log of a container: a line of JSON for each line of its output, as Docker's `json-file` driver writes it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chrono::{SecondsFormat, Utc};

use super::super::{LogFile, Source};

/// Bytes at which a line is cut into several, of which only the last ends with a newline.
const LONGEST: usize = 16 * 1024;

/// An open log.
#[derive(Debug)]
pub(in super::super) struct Log {
    file: LogFile,
    open: File,
    size: u64,
    unfinished: [Vec<u8>; 2],
    /// What is to be written in one go.
    batch: Vec<u8>,
}

impl Log {
    /// Goes on with the file that is there.
    pub(in super::super) fn open(file: &LogFile) -> io::Result<Self> {
        let open = append(&file.path)?;
        let size = open.metadata()?.len();
        Ok(Self { file: file.clone(), open, size, unfinished: [Vec::new(), Vec::new()], batch: Vec::new() })
    }

    /// Output as it came.
    pub(super) fn write(&mut self, source: Source, bytes: &[u8]) {
        let time = now();
        let mut unfinished = std::mem::take(&mut self.unfinished[source as usize]);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (mut body, ended) = part.strip_suffix(b"\n").map_or((part, false), |body| (body, true));
            if ended && unfinished.is_empty() && body.len() <= LONGEST {
                self.record(source, part, &time);
                continue;
            }
            while unfinished.len() + body.len() > LONGEST {
                let (head, tail) = body.split_at(LONGEST - unfinished.len());
                unfinished.extend_from_slice(head);
                let cut = whole_characters(&unfinished);
                self.record(source, &unfinished[..cut], &time);
                unfinished.drain(..cut);
                body = tail;
            }
            unfinished.extend_from_slice(body);
            if ended {
                unfinished.push(b'\n');
                self.record(source, &unfinished, &time);
                unfinished.clear();
            }
        }
        self.unfinished[source as usize] = unfinished;
        self.flush();
    }

    /// No more comes from there: what has no newline is written as it is.
    pub(super) fn end(&mut self, source: Source) {
        let unfinished = std::mem::take(&mut self.unfinished[source as usize]);
        if !unfinished.is_empty() {
            self.record(source, &unfinished, &now());
            self.flush();
        }
    }

    /// No more comes at all.
    pub(super) fn close(&mut self) {
        self.end(Source::Stdout);
        self.end(Source::Stderr);
    }

    fn record(&mut self, source: Source, bytes: &[u8], time: &str) {
        let start = self.batch.len();
        self.batch.extend_from_slice(b"{\"log\":");
        let text = String::from_utf8_lossy(bytes);
        serde_json::to_writer(&mut self.batch, &text).expect("a string into memory");
        let source = match source {
            Source::Stdout => "stdout",
            Source::Stderr => "stderr",
        };
        self.batch.extend_from_slice(b",\"stream\":\"");
        self.batch.extend_from_slice(source.as_bytes());
        self.batch.extend_from_slice(b"\",\"time\":\"");
        self.batch.extend_from_slice(time.as_bytes());
        self.batch.extend_from_slice(b"\"}\n");
        let length = (self.batch.len() - start) as u64;
        if self.file.max_size.is_some_and(|most| self.size > 0 && self.size + length > most) {
            let record = self.batch.split_off(start);
            self.flush();
            self.rotate();
            self.batch = record;
        }
        self.size += length;
    }

    /// A full disk must stop neither the container nor its other readers: what cannot be written is lost.
    fn flush(&mut self) {
        let _ = self.open.write_all(&self.batch);
        self.batch.clear();
    }

    /// `log` → `log.1` → `log.2` …, the last one goes. When the machine refuses, the old file goes on.
    fn rotate(&mut self) {
        let numbered = |number: u32| -> PathBuf {
            let mut name = self.file.path.clone().into_os_string();
            name.push(format!(".{number}"));
            name.into()
        };
        for number in (2..self.file.max_files).rev() {
            // There may be none yet.
            let _ = std::fs::rename(numbered(number - 1), numbered(number));
        }
        let moved = if self.file.max_files > 1 {
            std::fs::rename(&self.file.path, numbered(1))
        } else {
            std::fs::remove_file(&self.file.path)
        };
        if moved.is_ok()
            && let Ok(open) = append(&self.file.path)
        {
            self.open = open;
        }
        self.size = 0;
    }
}

fn append(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Nanos, true)
}

/// How many of the bytes are whole characters, or all where they are no text.
fn whole_characters(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(4);
    match bytes[tail..].iter().rposition(|byte| byte & 0b1100_0000 == 0b1100_0000) {
        Some(start) if std::str::from_utf8(&bytes[tail + start..]).is_err() && tail + start > 0 => tail + start,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(folder: &Path, max_size: Option<u64>, max_files: u32) -> Log {
        Log::open(&LogFile { path: folder.join("log"), max_size, max_files }).expect("a log")
    }

    fn lines(file: &Path) -> Vec<String> {
        let text = std::fs::read_to_string(file).expect("the log is there");
        let line = |line: &str| -> serde_json::Value { serde_json::from_str(line).expect("a line of JSON") };
        text.lines().map(|text| line(text)["log"].as_str().expect("a text").to_owned()).collect()
    }

    #[test]
    fn lines_come_out_whole_and_the_last_one_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = log(folder.path(), None, 1);
        log.write(Source::Stdout, b"one\ntw");
        log.write(Source::Stderr, b"other\n");
        log.write(Source::Stdout, b"o\n\nthree");
        log.close();
        assert_eq!(lines(&folder.path().join("log")), ["one\n", "other\n", "two\n", "\n", "three"]);
    }

    #[test]
    fn a_long_line_is_cut_between_characters_and_only_its_last_part_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = log(folder.path(), None, 1);
        let text = format!("{}\n", "aé€😀".repeat(6000));
        for chunk in text.as_bytes().chunks(4093) {
            log.write(Source::Stdout, chunk);
        }
        log.write(Source::Stdout, format!("{}\n", "x".repeat(LONGEST)).as_bytes());
        let lines = lines(&folder.path().join("log"));
        assert_eq!(lines.concat(), format!("{text}{}\n", "x".repeat(LONGEST)));
        assert!(lines.iter().all(|line| line.len() <= LONGEST + 1), "no part is longer than it may be");
        assert_eq!(lines.iter().filter(|line| line.ends_with('\n')).count(), 2);
    }

    #[test]
    fn files_are_rotated_by_size_and_number_and_no_line_is_torn() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = log(folder.path(), Some(1000), 3);
        for number in 0..100 {
            log.write(Source::Stdout, format!("line {number}\n").as_bytes());
        }
        let of = |name: &str| lines(&folder.path().join(name));
        let all = [of("log.2"), of("log.1"), of("log")].concat();
        assert_eq!(all.last().map(String::as_str), Some("line 99\n"));
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "in order: {all:?}");
        assert!(!folder.path().join("log.3").exists());
        for name in ["log", "log.1", "log.2"] {
            assert!(std::fs::metadata(folder.path().join(name)).expect("a file").len() <= 1000);
        }
    }
}
