//! The language of Dockerfiles: the text of one → its instructions as they are written, each with its line. Joins continued
//! lines, leaves comments out, and takes here-documents off.
//!
//! Written here and not with a crate: what there is knows a here-document only as the first word of a `RUN`, leaves
//! continuations and comments in shell commands, and refuses `ENTRYPOINT []`.

pub(crate) mod instruction;
pub(crate) mod pattern;
pub(crate) mod problem;
pub(crate) mod words;

use problem::Problem;

/// A Dockerfile may have this many bytes; a client sends what it likes.
pub(crate) const LARGEST: usize = 4 * 1024 * 1024;

/// A Dockerfile as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    /// `\`, or what the directive `escape` says.
    pub(crate) escape: char,
    /// Its instructions.
    pub(crate) lines: Vec<Line>,
}

/// An instruction as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it begins, from 1.
    pub(crate) number: usize,
    /// In capitals.
    pub(crate) keyword: String,
    /// What follows the keyword, continued lines joined.
    pub(crate) rest: String,
    /// Its here-documents.
    pub(crate) heredocs: Vec<Heredoc>,
}

/// A here-document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Heredoc {
    /// What ends it.
    pub(crate) name: String,
    /// Whether variables in it are expanded: its name is not quoted.
    pub(crate) expand: bool,
    /// Its lines.
    pub(crate) text: String,
}

/// Takes a Dockerfile apart.
pub(crate) fn parse(text: &str) -> Result<Dockerfile, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = escape(text)?;
    let mut physical = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let mut lines = Vec::new();
    while let Some((number, first)) = physical.next() {
        if is_comment(first) || first.trim().is_empty() {
            continue;
        }
        let mut joined = String::new();
        let mut current = first.trim_start();
        while let Some(beginning) = continued(current, escape) {
            joined.push_str(beginning);
            current = "";
            for (_, next) in physical.by_ref() {
                if !is_comment(next) && !next.trim().is_empty() {
                    current = next;
                    break;
                }
            }
        }
        joined.push_str(current);
        let mut line = line(number, joined.trim());
        for (name, expand, chomp) in openers(&line, escape) {
            let text = body(&mut physical, &name, chomp).ok_or_else(|| {
                Problem::at(number, format!("the here-document `{name}` does not end: a line `{name}` is missing"))
            })?;
            line.heredocs.push(Heredoc { name, expand, text });
        }
        lines.push(line);
    }
    Ok(Dockerfile { escape, lines })
}

/// One instruction on a line of its own, as base images carry them (`ONBUILD`).
pub(crate) fn parse_one(number: usize, text: &str) -> Line {
    line(number, text.trim())
}

fn line(number: usize, text: &str) -> Line {
    let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    Line { number, keyword: keyword.to_ascii_uppercase(), rest: rest.trim().to_owned(), heredocs: Vec::new() }
}

/// What the directives in front say of the escape character.
fn escape(text: &str) -> Result<char, Problem> {
    for (index, line) in text.lines().enumerate() {
        let Some((name, value)) = line.trim().strip_prefix('#').and_then(|line| line.split_once('=')) else { break };
        let name = name.trim();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            break;
        }
        if name.eq_ignore_ascii_case("escape") {
            return match value.trim() {
                "\\" => Ok('\\'),
                "`" => Ok('`'),
                other => Err(Problem::at(index + 1, format!("the escape character is \\ or `, not `{other}`"))),
            };
        }
    }
    Ok('\\')
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with('#')
}

/// The line without its end, when it goes on in the next one.
fn continued(line: &str, escape: char) -> Option<&str> {
    line.trim_end_matches([' ', '\t', '\r']).strip_suffix(escape)
}

/// The here-documents that a line opens: name, whether it is expanded, whether tabs are taken off.
fn openers(line: &Line, escape: char) -> Vec<(String, bool, bool)> {
    let mut keyword = line.keyword.as_str();
    let mut rest = line.rest.as_str();
    if keyword == "ONBUILD" {
        (keyword, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    }
    let may_have = ["RUN", "COPY", "ADD"].iter().any(|name| keyword.eq_ignore_ascii_case(name));
    if !may_have || !rest.contains("<<") || serde_json::from_str::<Vec<String>>(rest.trim()).is_ok() {
        return Vec::new();
    }
    words::split(rest, escape).iter().filter_map(|word| opener(word, escape)).collect()
}

fn opener(word: &str, escape: char) -> Option<(String, bool, bool)> {
    let rest = word.trim_start_matches(|character: char| character.is_ascii_digit()).strip_prefix("<<")?;
    let (rest, chomp) = rest.strip_prefix('-').map_or((rest, false), |rest| (rest, true));
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    // What follows the name without a space (`<<EOF>file`, `<<EOF;`) is the shell's.
    let quoted = rest.starts_with(['"', '\'']);
    let end = if quoted { rest.len() } else { rest.find([';', '|', '>', '&', ')']).unwrap_or(rest.len()) };
    let name = words::unquote(&rest[..end], escape);
    (!name.is_empty()).then(|| (name.clone(), name == rest[..end], chomp))
}

fn body<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>, name: &str, chomp: bool) -> Option<String> {
    let mut text = String::new();
    for (_, line) in lines {
        let line = if chomp { line.trim_start_matches('\t') } else { line };
        if line == name {
            return Some(text);
        }
        text.push_str(line);
        text.push('\n');
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Heredoc, parse};

    fn told(text: &str) -> Vec<String> {
        let told = |line: super::Line| format!("{} {} {}", line.number, line.keyword, line.rest).trim_end().to_owned();
        parse(text).expect("it is a Dockerfile").lines.into_iter().map(told).collect()
    }

    #[test]
    fn continued_lines_are_joined_and_comments_left_out() {
        let text = "# hello\nFROM a\n\nrun one && \\\n  # not this\n\n  two \\  \n three\nCMD x\n";
        assert_eq!(told(text), ["2 FROM a", "4 RUN one &&   two  three", "9 CMD x"]);
    }

    #[test]
    fn the_escape_character_can_be_chosen() {
        assert_eq!(told("# syntax=x\n# escape=`\nFROM a\nRUN a `\n b\\\n"), ["3 FROM a", "4 RUN a  b\\"]);
        assert!(parse("# escape=x\nFROM a").is_err());
    }

    #[test]
    fn here_documents_are_taken_off_wherever_they_open() {
        let text = "FROM a\nRUN cat <<-A > /x && cat <<'B'\n\tone\n\tA\n\ttwo $x\nB\nCOPY <<\"C d\" /y\nC d\nCMD z";
        let lines = parse(text).expect("it is a Dockerfile").lines;
        let heredoc = |name: &str, expand, text: &str| Heredoc { name: name.into(), expand, text: text.into() };
        assert_eq!(lines[1].heredocs, [heredoc("A", true, "one\n"), heredoc("B", false, "\ttwo $x\n")]);
        assert_eq!(lines[2].heredocs, [heredoc("C d", false, "")]);
        assert_eq!((lines[3].keyword.as_str(), lines[3].number), ("CMD", 9));
    }

    #[test]
    fn a_shift_in_arithmetic_and_a_here_string_open_nothing() {
        let lines = parse("FROM a\nRUN echo $((1 << 2)) && cat <<<x\nCMD y").expect("it is a Dockerfile").lines;
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_here_document_without_an_end_is_told() {
        let problem = parse("FROM a\nRUN <<EOF\nx\n").expect_err("it does not end");
        assert_eq!(problem.to_string(), "line 2: the here-document `EOF` does not end: a line `EOF` is missing");
    }
}
