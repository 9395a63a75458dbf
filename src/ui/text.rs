//! What is said, laid out as text: in columns with marks and colours for a terminal, as sentences elsewhere.

use std::fmt::Write as _;

use console::Style;

use super::words::{Mark, Said, seconds};

/// A line for a terminal: ` ✔ users-1  healthy  0.42 s`, and indented what belongs to it.
pub(super) fn columns(said: &Said, column: usize) -> String {
    let (mark, colour) = match said.mark {
        Mark::Good => ("✔", Style::new().green()),
        Mark::News => ("•", Style::new().cyan()),
        Mark::Warning => ("!", Style::new().yellow()),
        Mark::Bad => ("✘", Style::new().red()),
    };
    let (colour, dim) = (colour.for_stderr(), Style::new().dim().for_stderr());
    let words = match said.mark {
        Mark::Bad | Mark::Warning => colour.apply_to(&said.words).to_string(),
        Mark::Good | Mark::News => said.words.clone(),
    };
    let mut text = format!(" {} ", colour.apply_to(mark));
    if !said.subject.is_empty() {
        let _ = write!(text, "{:<column$}  ", said.subject);
    }
    text.push_str(&words);
    if let Some(took) = said.took {
        let _ = write!(text, "  {}", dim.apply_to(seconds(took)));
    }
    if let Some(cause) = &said.cause {
        let _ = write!(text, "  {}", dim.apply_to(format!("({cause})")));
    }
    text.push('\n');
    for line in &said.output {
        let _ = writeln!(text, "   {} {}", colour.apply_to("│"), clean(line));
    }
    if let Some(note) = &said.note {
        let _ = writeln!(text, "   {note}");
    }
    if let Some(hint) = &said.hint {
        let _ = writeln!(text, "   {} {hint}", Style::new().cyan().for_stderr().apply_to("hint:"));
    }
    text
}

/// A sentence for a log: `users-1 healthy in 0.42 s`, with `error:` or `warning:` before what is one.
pub(super) fn sentence(said: &Said) -> String {
    let mut text = match said.mark {
        Mark::Good | Mark::News => String::new(),
        Mark::Warning => "warning: ".into(),
        Mark::Bad => "error: ".into(),
    };
    if !said.subject.is_empty() {
        let _ = write!(text, "{} ", said.subject);
    }
    text.push_str(&said.words);
    if let Some(took) = said.took {
        let _ = write!(text, " in {}", seconds(took));
    }
    if let Some(cause) = &said.cause {
        let _ = write!(text, " ({cause})");
    }
    text.push('\n');
    for line in &said.output {
        let _ = writeln!(text, "  | {}", clean(line));
    }
    if let Some(note) = &said.note {
        let _ = writeln!(text, "  {note}");
    }
    if let Some(hint) = &said.hint {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

/// The last lines of output of a container, indented under what was said before them.
pub(super) fn quotation(lines: &[String], terminal: bool) -> String {
    let bar = if terminal { Style::new().red().for_stderr().apply_to("   │").to_string() } else { "  |".to_owned() };
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "{bar} {}", clean(line));
        text
    })
}

/// Text without what would move the cursor, change colours for good or ring: builds and containers write what they like.
#[must_use]
pub fn clean(text: &str) -> String {
    console::strip_ansi_codes(text)
        .chars()
        .filter_map(|character| match character {
            '\t' => Some(' '),
            character if character.is_control() => None,
            character => Some(character),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{clean, columns, sentence};
    use crate::ui::words::{Mark, Said};

    fn said(mark: Mark) -> Said {
        Said {
            mark,
            subject: "users".into(),
            words: "build failed: exit code 2".into(),
            took: Some(Duration::from_millis(420)),
            cause: Some("sources changed".into()),
            output: vec!["\u{1b}[31mmain.c:1\u{1b}[0m:\terror\r".into()],
            note: Some("the old container still runs".into()),
            hint: None,
        }
    }

    #[test]
    fn a_terminal_gets_columns_with_the_output_indented() {
        let text = columns(&said(Mark::Bad), 9);
        let expected = " ✘ users      build failed: exit code 2  0.42 s  (sources changed)\n   \
                        │ main.c:1: error\n   the old container still runs\n";
        assert_eq!(console::strip_ansi_codes(&text), expected);
    }

    #[test]
    fn a_log_gets_sentences() {
        let expected = "error: users build failed: exit code 2 in 0.42 s (sources changed)\n  \
                        | main.c:1: error\n  the old container still runs\n";
        assert_eq!(sentence(&said(Mark::Bad)), expected);
    }

    #[test]
    fn output_cannot_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\u{7}c\rd"), "abcd");
    }
}
