//! Bytes as they come → whole lines.

use std::io::BufRead;

use super::clean::clean;

/// A line that grows longer than this is cut, so that a container that never ends one cannot fill the memory.
const LONGEST: usize = 64 << 10;

/// Cuts one stream of one container into lines: UTF-8, without their ends and without what would move the cursor.
#[derive(Debug, Default)]
pub struct LineSplitter {
    /// The beginning of the line that has not ended yet.
    partial: Vec<u8>,
    /// The line was longer than the longest, and its beginning has been given out.
    is_cut: bool,
}

impl LineSplitter {
    /// Takes the next bytes and gives out every line that is whole now.
    pub fn push(&mut self, mut bytes: &[u8], mut give_out: impl FnMut(String)) {
        while !bytes.is_empty() {
            let room = LONGEST - self.partial.len();
            let mut limited = &bytes[..room.min(bytes.len())];
            // Reading from memory cannot fail, and finds the end of the line faster than a loop over the bytes.
            let read = limited.read_until(b'\n', &mut self.partial).unwrap_or(0).max(1);
            bytes = bytes.get(read..).unwrap_or_default();
            if self.partial.last() == Some(&b'\n') {
                self.partial.pop();
                if !(std::mem::take(&mut self.is_cut) && self.partial.is_empty()) {
                    give_out(clean(std::mem::take(&mut self.partial)));
                }
            } else if self.partial.len() >= LONGEST {
                let rest = self.partial.split_off(end_of_last_character(&self.partial));
                self.is_cut = true;
                give_out(clean(std::mem::replace(&mut self.partial, rest)));
            }
        }
    }

    /// The line that was begun and not ended, when the stream is over.
    pub fn finish(&mut self) -> Option<String> {
        let partial = std::mem::take(&mut self.partial);
        if partial.is_empty() { None } else { Some(clean(partial)) }
    }
}

/// Where a cut does not go through a character; at most three bytes before the end.
fn end_of_last_character(bytes: &[u8]) -> usize {
    let first_of_last = bytes.iter().rposition(|byte| !(0x80..0xC0).contains(byte)).unwrap_or(0);
    let length = match bytes.get(first_of_last) {
        Some(0xC0..=0xDF) => 2,
        Some(0xE0..=0xEF) => 3,
        Some(0xF0..=0xF7) => 4,
        _ => 1,
    };
    let is_cut = bytes.len() - first_of_last < length;
    if is_cut && first_of_last > 0 { first_of_last } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, LineSplitter};

    fn split(chunks: &[&[u8]]) -> Vec<String> {
        let mut splitter = LineSplitter::default();
        let mut lines = Vec::new();
        for chunk in chunks {
            splitter.push(chunk, |line| lines.push(line));
        }
        lines.extend(splitter.finish());
        lines
    }

    #[test]
    fn lines_come_whole_however_the_chunks_are_cut() {
        let text = "first\n\nzweite Zeile: ü€😀\r\nlast";
        for size in 1..text.len() {
            let chunks: Vec<_> = text.as_bytes().chunks(size).collect();
            assert_eq!(split(&chunks), ["first", "", "zweite Zeile: ü€😀", "last"], "chunks of {size}");
        }
    }

    #[test]
    fn an_ended_stream_without_an_open_line_gives_no_more() {
        assert_eq!(split(&[b"a\n"]), ["a"]);
        assert!(split(&[b""]).is_empty());
    }

    #[test]
    fn what_is_not_utf_8_is_replaced() {
        assert_eq!(split(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }

    #[test]
    fn an_endless_line_is_cut_between_characters() {
        let text = format!("a{}", "ü".repeat(LONGEST));
        let lines = split(&[text.as_bytes()]);
        assert_eq!(lines.concat(), text);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0].len(), LONGEST - 1);
        let bytes = vec![0x80; LONGEST * 2];
        assert_eq!(split(&[&bytes]).len(), 2, "bytes that begin no character are cut all the same");
    }

    #[test]
    fn a_line_of_exactly_the_longest_length_is_followed_by_no_phantom() {
        let text = "x".repeat(LONGEST);
        let lines = split(&[text.as_bytes(), b"\nnext\n"]);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [LONGEST, 4]);
    }
}
