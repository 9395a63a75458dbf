//! A page of Markdown for a terminal: headings stand out, code is indented, and words in backticks are coloured.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Effects, Style};

const HEADING: Style = AnsiColor::Green.on_default().effects(Effects::BOLD);
const CODE: Style = AnsiColor::Cyan.on_default();

/// Lays a page out. Ends in a line end.
#[must_use]
pub fn render(page: &str, colour: bool) -> String {
    let (heading, code) = if colour { (HEADING, CODE) } else { (Style::new(), Style::new()) };
    let mut text = String::new();
    let mut in_code = false;
    for line in page.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            in_code = !in_code;
            if let Some(name) = file_name(kind).filter(|_| in_code) {
                let _ = writeln!(text, "  {heading}{name}{heading:#}");
            }
        } else if in_code {
            let line = format!("    {code}{line}{code:#}");
            text.push_str(if colour { &line } else { line.trim_end() });
            text.push('\n');
        } else if let Some(title) = line.trim_start_matches('#').strip_prefix(' ').filter(|_| line.starts_with('#')) {
            let _ = writeln!(text, "{heading}{title}{heading:#}");
        } else {
            text.push_str(&words(line, code));
            text.push('\n');
        }
    }
    text
}

/// Which file a piece of code is, where it is not the manifest.
fn file_name(kind: &str) -> Option<&'static str> {
    match kind {
        "dockerfile" => Some("Dockerfile"),
        "dockerignore" => Some(".dockerignore"),
        "env" => Some(".env"),
        _ => None,
    }
}

/// A line of text, what is in backticks in the colour of code.
fn words(line: &str, code: Style) -> String {
    let mut parts = line.split('`');
    let mut text = parts.next().unwrap_or_default().to_owned();
    let mut inside = true;
    for part in parts {
        let _ = if inside { write!(text, "{code}`{part}") } else { write!(text, "`{code:#}{part}") };
        inside = !inside;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn a_page_reads_well_without_colour() {
        let page =
            "# H001: a title\n\nSome `code` in text.\n\n## Wrong\n\n```yaml\na:\n  b: 1\n```\n\n```env\nA=1\n```\n";
        let expected = "H001: a title\n\nSome `code` in text.\n\nWrong\n\n    a:\n      b: 1\n\n  .env\n    A=1\n";
        assert_eq!(render(page, false), expected);
        assert!(render(page, true).contains("\u{1b}[36m`code`"));
    }
}
