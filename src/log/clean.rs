//! A line of output → text that is safe to print beside other lines: colours stay, nothing else that a terminal obeys.

use std::iter::Peekable;
use std::str::Chars;

const ESCAPE: char = '\u{1b}';
const RESET: &str = "\u{1b}[0m";

/// The text of a line without its line end.
pub(super) fn clean(mut bytes: Vec<u8>) -> String {
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    // 0xC2 begins the control characters above ASCII. Without an early end the loop is one that compilers make fast.
    let is_suspect = bytes.iter().fold(false, |found, byte| found | is_suspect_byte(*byte));
    let text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    if is_suspect { clean_suspect(&text) } else { text }
}

fn is_suspect_byte(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || byte == 0x7f || byte == 0xC2
}

fn clean_suspect(text: &str) -> String {
    // A progress bar writes its line over and over; what stands at the end is what would be seen.
    let visible = text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
    let mut cleaned = String::with_capacity(visible.len());
    let mut is_coloured = false;
    let mut rest = visible.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            ESCAPE => {
                if let Some(colours) = escape_sequence(&mut rest) {
                    is_coloured = !matches!(colours.as_str(), "" | "0" | "00");
                    cleaned.extend(["\u{1b}[", &colours, "m"]);
                }
            }
            '\t' => cleaned.push('\t'),
            control if control.is_control() => {}
            other => cleaned.push(other),
        }
    }
    if is_coloured {
        // Otherwise the next line, of another service perhaps, would have the colour too.
        cleaned.push_str(RESET);
    }
    cleaned
}

/// Reads a sequence to its end, its escape being read. `Some` holds the parameters of one that sets colours.
fn escape_sequence(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    match rest.next()? {
        '[' => control_sequence(rest),
        // Texts for the terminal itself: its title, links, its clipboard.
        ']' | 'P' | 'X' | '^' | '_' => {
            while let Some(character) = rest.next() {
                if character == '\u{7}' || character == '\u{9c}' {
                    break;
                }
                if character == ESCAPE {
                    rest.next_if_eq(&'\\');
                    break;
                }
            }
            None
        }
        // A choice of character set and the like: intermediate characters, then one more.
        ' '..='/' => {
            while rest.next_if(|character| (' '..='/').contains(character)).is_some() {}
            rest.next();
            None
        }
        _ => None,
    }
}

fn control_sequence(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut parameters = String::new();
    while let Some(character) = rest.next_if(|character| (' '..='?').contains(character)) {
        parameters.push(character);
    }
    let last = rest.next_if(|character| ('@'..='~').contains(character))?;
    let are_plain = parameters.chars().all(|character| matches!(character, '0'..='9' | ';' | ':'));
    (last == 'm' && are_plain).then_some(parameters)
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn colours_stay_and_end_with_their_line_and_all_else_that_a_terminal_obeys_goes() {
        for (written, expected) in [
            ("plain\ttext ü\r", "plain\ttext ü"),
            ("\u{1b}[31mred\u{1b}[0m", "\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[1;38:2:1:2:3mred\u{1b}[m", "\u{1b}[1;38:2:1:2:3mred\u{1b}[m"),
            ("\u{1b}[31mleft on", "\u{1b}[31mleft on\u{1b}[0m"),
            ("a\u{1b}[2J\u{1b}[1;1H\u{1b}[?25l\u{1b}[>4mb", "ab"),
            ("a\u{1b}]0;title\u{7}b\u{1b}]8;;http://x\u{1b}\\c", "abc"),
            ("a\u{1b}Pdata\u{1b}\\b", "ab"),
            ("a\u{1b}(Bb\u{1b}cc\u{1b}7d", "abcd"),
            ("10%\r50%\r100%", "100%"),
            ("100%\r\r", "100%"),
            ("ab\u{8}c\u{7}d\u{0}e\u{7f}f\u{9b}g\u{85}h", "abcdefgh"),
            ("cut \u{1b}", "cut "),
            ("cut \u{1b}[3", "cut "),
            ("cut \u{1b}]0;title", "cut "),
            ("\u{1b}[3\u{1b}[31mred", "\u{1b}[31mred\u{1b}[0m"),
        ] {
            assert_eq!(clean(written.as_bytes().to_vec()), expected, "{written:?}");
        }
    }
}
