//! A mistake of YAML's grammar in a person's words. The parser says where it could not go on and for which reason; what
//! was probably meant, and where it went wrong, is guessed from the lines around.

mod indentation;
mod lines;
mod quotes;

use granit_parser::{ErrorKind, ScanError};

use super::nearest::nearest;
use super::problem::{Place, Problem};
use lines::{Line, open_bracket, quoted};

/// What is wrong with a text that is not YAML.
pub(super) fn explain(text: &str, file: u32, error: &ScanError) -> Problem {
    let marker = error.marker();
    let mut at = marker.byte_offset().unwrap_or(text.len()).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let scene = Scene { text, file, at };
    scene.conflict().or_else(|| scene.blank()).unwrap_or_else(|| scene.by_kind(error.kind()))
}

/// Where the parser could not go on.
#[derive(Clone, Copy)]
struct Scene<'t> {
    text: &'t str,
    file: u32,
    at: usize,
}

impl<'t> Scene<'t> {
    fn place(&self, start: usize, end: usize) -> Place {
        // Files are smaller than 4 GiB by far: the loader refuses larger ones.
        let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Place { file: self.file, start: offset(start), end: offset(end) }
    }

    /// The character at a byte.
    fn character(&self, at: usize) -> Place {
        let length = self.text[at..].chars().next().map_or(0, char::len_utf8);
        self.place(at, at + length)
    }

    fn line(&self) -> Line<'t> {
        Line::of(self.text, self.at)
    }

    fn by_kind(&self, kind: &ErrorKind) -> Problem {
        use ErrorKind as Kind;
        match kind {
            Kind::UnknownAnchor => self.unknown_anchor(),
            Kind::MissingAnchorOrAliasName | Kind::UnexpectedCharacter { .. } => self.reserved_character(),
            Kind::UnclosedQuotedScalar
            | Kind::DocumentIndicatorInQuotedScalar
            | Kind::InvalidQuotedScalarIndent
            | Kind::InvalidTrailingSingleQuotedScalar
            | Kind::InvalidTrailingDoubleQuotedScalar
            | Kind::UnknownQuotedScalarEscape
            | Kind::InvalidQuotedScalarHexEscape => self.quotes(kind),
            Kind::MismatchedFlowCollectionEnd { open, close } => self.mismatched(*open, *close),
            Kind::MisplacedFlowCollectionEnd => self.misplaced_end(),
            Kind::UnclosedFlowCollection { .. }
            | Kind::UnexpectedEofFlowSequence
            | Kind::UnexpectedEofFlowMapping
            | Kind::UnexpectedEofImplicitFlowMapping
            | Kind::ExpectedFlowSequenceSeparator
            | Kind::ExpectedFlowMappingSeparator
            | Kind::InvalidColonPlacement
            | Kind::InvalidFlowScalarIndent
            | Kind::BlockEntryInFlowCollection
            | Kind::FlowMappingValueAdjacentCollection
                if open_bracket(self.text, self.at).is_some() =>
            {
                self.bracket(kind)
            }
            Kind::InvalidBlockScalarHeader => self.block_text(),
            Kind::MappingValueNotAllowed => self.colon(),
            Kind::SimpleKeyExpected => self.line_without_colon(self.line()).unwrap_or_else(|| self.unclear(kind)),
            Kind::ExpectedBlockMappingKey
            | Kind::ExpectedBlockSequenceEntry
            | Kind::BlockSequenceEntryNotAllowed
            | Kind::InvalidIndentation
            | Kind::ExpectedDocumentStart
            | Kind::UnexpectedEof => {
                self.after_a_value().or_else(|| self.indentation()).unwrap_or_else(|| self.unclear(kind))
            }
            _ => self.unclear(kind),
        }
    }

    fn unclear(&self, kind: &ErrorKind) -> Problem {
        Problem::error(format!("this is not YAML: {kind}")).at(self.character(self.at))
    }

    /// The marks that git leaves where it could not merge.
    fn conflict(&self) -> Option<Problem> {
        let mut at = 0;
        for line in self.text.split_inclusive('\n') {
            if line.starts_with("<<<<<<< ") {
                let place = self.place(at, at + line.trim_end().len());
                let problem = Problem::error("a merge conflict is not resolved").at(place);
                return Some(problem.hint("keep one side, and take the lines `<<<<<<<`, `=======` and `>>>>>>>` away"));
            }
            at += line.len();
        }
        None
    }

    /// What looks like a space before a line and is none.
    fn blank(&self) -> Option<Problem> {
        let line = self.line();
        let (offset, character) = line.text[..line.indent()].char_indices().find(|(_, blank)| *blank != ' ')?;
        let place = self.character(line.start + offset);
        let problem = match character {
            '\t' => Problem::error("a tab stands before this line, where YAML wants spaces"),
            '\u{a0}' => Problem::error("a no-break space stands before this line, where YAML wants plain spaces"),
            _ => Problem::error("this line does not begin with plain spaces"),
        };
        Some(problem.at(place).hint("indent with spaces, two for each level"))
    }

    fn unknown_anchor(&self) -> Problem {
        let rest = &self.text[self.at..];
        let word: &str = rest.split(|c: char| c.is_whitespace() || ",]}".contains(c)).next().unwrap_or_default();
        let place = self.place(self.at, self.at + word.len());
        let name = word.trim_start_matches('*');
        let anchors = self
            .text
            .split('&')
            .skip(1)
            .map(|text| text.split(|c: char| c.is_whitespace() || ",]}".contains(c)).next().unwrap_or_default());
        let anchors: Vec<&str> = anchors.filter(|name| !name.is_empty()).collect();
        let problem = Problem::error(format!("there is no anchor `{name}`")).at(place);
        if !name.starts_with(|first: char| first.is_alphanumeric()) || name.contains('*') {
            let message = format!("`{word}` is read as an alias, because it begins with `*`");
            return Problem::error(message).at(place).hint(format!("put it in quotes: `{}`", quoted(word)));
        }
        match nearest(name, anchors) {
            Some(similar) => problem.hint(format!("did you mean `*{similar}`?")),
            None => problem.hint(format!("mark what is meant with `&{name}` further up in the same file")),
        }
    }

    /// A character that cannot begin a value.
    fn reserved_character(&self) -> Problem {
        // The parser may stand behind the mark that it could not read.
        let before = self.text[..self.at].chars().next_back().filter(|before| "*&!".contains(*before));
        let start = self.at - before.map_or(0, char::len_utf8);
        let Some(first) = self.text[start..].chars().next() else {
            return Problem::error("the file ends where a value should stand").at(self.character(start));
        };
        let line = Line::of(self.text, start);
        let rest = &self.text[start..line.end().max(start)];
        let in_flow = open_bracket(self.text, start).is_some();
        let value = if in_flow { rest.split([',', ']', '}']).next().unwrap_or(rest) } else { rest }.trim_end();
        if first.is_control() || value.is_empty() {
            let message = format!("the character `{}` cannot stand here", first.escape_unicode());
            return Problem::error(message).at(self.character(start));
        }
        Problem::error(format!("a value cannot begin with `{first}` unless it is in quotes"))
            .at(self.place(start, start + value.len()))
            .hint(format!("write `{}`", quoted(value)))
    }

    /// A list or a mapping between brackets that does not go on as it should.
    fn bracket(&self, kind: &ErrorKind) -> Problem {
        let Some((open, bracket)) = open_bracket(self.text, self.at) else { return self.unclear(kind) };
        let (closing, what) = if bracket == '[' { (']', "list") } else { ('}', "mapping") };
        let line = self.line();
        let same_line = Line::of(self.text, open) == line;
        if same_line && self.at < line.end() {
            return Problem::error(format!("a `,` or the `{closing}` is missing here"))
                .at(self.character(self.at))
                .related(self.character(open), format!("the {what} begins here"));
        }
        let problem = Problem::error(format!("the `{bracket}` is not closed")).at(self.character(open));
        let problem = problem.label("opened here").hint(format!("add `{closing}` where the {what} ends"));
        match line.pair().filter(|_| !same_line) {
            Some(pair) => {
                let here = self.place(pair.key_start, pair.colon);
                problem.related(here, format!("`{}` is read as a part of it", pair.key))
            }
            None => problem,
        }
    }

    fn mismatched(&self, open: char, close: char) -> Problem {
        let problem = Problem::error(format!("what `{open}` opens is closed by `{close}`")).at(self.character(self.at));
        match open_bracket(self.text, self.at) {
            Some((place, _)) => problem.related(self.character(place), "opened here"),
            None => problem,
        }
    }

    fn misplaced_end(&self) -> Problem {
        let bracket = self.text[self.at..].chars().next().unwrap_or(']');
        let problem = Problem::error(format!("the `{bracket}` closes nothing")).at(self.character(self.at));
        problem.hint("take it away, or put the value in quotes")
    }

    /// `|` or `>` with something behind it.
    fn block_text(&self) -> Problem {
        let line = self.line();
        let Some(pair) = line.pair().filter(|pair| pair.value.starts_with(['|', '>'])) else {
            let problem = Problem::error("a text of several lines begins on the line after its `|` or `>`");
            return problem.at(self.character(self.at));
        };
        let mark = &pair.value[..1];
        Problem::error(format!("`{mark}` begins a text of several lines, so nothing else may stand behind it"))
            .at(self.place(pair.value_start, pair.value_start + pair.value.len()))
            .hint(format!("begin the text on the next line, or put it in quotes: `{}`", quoted(pair.value)))
    }

    /// A `:` where no key can stand.
    fn colon(&self) -> Problem {
        let line = self.line();
        if let Some(first) = line.pair().filter(|pair| pair.colon < self.at) {
            return Problem::error(format!("the value of `{}` has a `: ` in it and no quotes", first.key))
                .at(self.character(self.at))
                .label("this begins another value")
                .hint(format!("put it in quotes: `{}: {}`", first.key, quoted(first.value)));
        }
        let Some(above) = line.above(self.text) else { return self.no_key_here() };
        match above.pair() {
            None => self.line_without_colon(above).unwrap_or_else(|| self.no_key_here()),
            Some(pair) if !pair.value.is_empty() && line.indent() > above.indent() => self.too_deep(line, pair),
            Some(_) => self.no_key_here(),
        }
    }

    fn no_key_here(&self) -> Problem {
        let problem = Problem::error("a key cannot stand here").at(self.character(self.at));
        problem.hint("put a value with `: ` in it in quotes, or look at the indentation")
    }

    /// A line that should be `key: value`.
    fn line_without_colon(&self, line: Line<'t>) -> Option<Problem> {
        let body = line.body();
        let body_start = line.body_start();
        if line.is_item() || line.pair().is_some() {
            return None;
        }
        let place = self.place(body_start, line.end());
        if let Some(item) = body.strip_prefix('-').filter(|item| !item.is_empty()) {
            let problem = Problem::error("a space is missing after `-`").at(place);
            return Some(problem.hint(format!("write `- {}`", item.trim_start())));
        }
        if let Some((key, value)) = body.split_once(':').filter(|(key, _)| is_word(key)) {
            return Some(
                Problem::error(format!("a space is missing after `{key}:`"))
                    .at(place)
                    .hint(format!("write `{key}: {value}`")),
            );
        }
        let hint = match body.split_once(' ').filter(|(key, _)| is_word(key)) {
            Some((key, value)) => format!("write `{key}: {}`", value.trim_start().trim_start_matches("= ")),
            None => format!("write `{body}:`, or put it in the value above"),
        };
        Some(Problem::error(format!("`{body}` has no colon, so it is no key with a value")).at(place).hint(hint))
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_alphanumeric() || "_-.".contains(character))
}
