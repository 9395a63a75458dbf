//! Quotes that are not closed, or closed too early.

use granit_parser::ErrorKind;

use super::Scene;
use super::lines::{Line, quoted};
use crate::manifest::problem::Problem;

impl<'t> Scene<'t> {
    pub(super) fn quotes(&self, kind: &ErrorKind) -> Problem {
        match kind {
            ErrorKind::UnknownQuotedScalarEscape | ErrorKind::InvalidQuotedScalarHexEscape => self.escape(),
            ErrorKind::InvalidTrailingSingleQuotedScalar => self.closed_early('\''),
            ErrorKind::InvalidTrailingDoubleQuotedScalar => self.closed_early('"'),
            _ => self.not_closed(self.opening(), None),
        }
    }

    /// The quote that a text begins with in which the parser stopped.
    fn opening(&self) -> usize {
        if self.text[self.at..].starts_with(['"', '\'']) {
            return self.at;
        }
        let odd = |line: &Line<'t>| {
            let quotes = |quote: char| line.text.matches(quote).count() % 2 == 1;
            quotes('"') || quotes('\'')
        };
        let line = std::iter::once(self.line()).chain(self.line().all_above(self.text)).find(odd);
        line.and_then(|line| Some(line.start + line.text.rfind(['"', '\''])?)).unwrap_or(self.at)
    }

    /// `closed` is the quote that ends the text by accident.
    fn not_closed(&self, opening: usize, closed: Option<usize>) -> Problem {
        let quote = self.text[opening..].chars().next().unwrap_or('"');
        let line = Line::of(self.text, opening);
        let end = (line.start + line.text.trim_end().len()).max(opening);
        let value = self.text[opening..end].get(1..).unwrap_or_default();
        let problem = Problem::error(format!("the quote `{quote}` is not closed")).at(self.place(opening, end));
        let problem = match closed {
            Some(closed) => problem.related(self.character(closed), "the text goes on until this quote"),
            None => problem,
        };
        problem.hint(format!("write `{quote}{value}{quote}`"))
    }

    /// Something follows a closing quote.
    fn closed_early(&self, quote: char) -> Problem {
        let Some(closing) = self.text[..self.at].rfind(quote) else { return self.not_closed(self.at, None) };
        let line = Line::of(self.text, closing);
        let quotes_before = self.text[line.start..closing].matches(quote).count();
        if quotes_before.is_multiple_of(2) {
            let odd = |line: &Line<'t>| line.text.matches(quote).count() % 2 == 1;
            let found = line.all_above(self.text).find(odd);
            if let Some(opening) = found.and_then(|line| Some(line.start + line.text.rfind(quote)?)) {
                return self.not_closed(opening, Some(closing));
            }
        }
        let problem = Problem::error("the text ends at this quote, but more follows").at(self.character(closing));
        let is_letter = |character: Option<char>| character.is_some_and(char::is_alphanumeric);
        let inside_a_word =
            is_letter(self.text[..closing].chars().next_back()) && is_letter(self.text[closing + 1..].chars().next());
        problem.hint(match quote {
            '\'' if inside_a_word => "write an apostrophe twice inside single quotes, or put the text in double quotes",
            '\'' => "write the quote twice inside single quotes, or put the whole value in double quotes",
            _ => "write `\\\"` for a quote inside double quotes, or put the whole value in single quotes",
        })
    }

    /// A value and something behind it, such as `"nginx":latest`.
    pub(super) fn after_a_value(&self) -> Option<Problem> {
        let line = self.line();
        if self.at <= line.body_start() || self.at >= line.end() {
            return None;
        }
        let before = self.text[..self.at].trim_end();
        let closing = before.chars().next_back().filter(|closing| "\"']}".contains(*closing))?;
        let place = self.place(self.at, line.end());
        let problem = Problem::error(format!("nothing may follow the closing `{closing}` of a value")).at(place);
        let pair = line.pair().filter(|pair| "\"'".contains(closing) && pair.value_start < self.at)?;
        let whole: String = pair.value.chars().filter(|character| *character != closing).collect();
        Some(problem.hint(format!("put the quotes around all of it: `{}`", quoted(&whole))))
    }

    fn escape(&self) -> Problem {
        let opening = if self.text[self.at..].starts_with('"') {
            self.at
        } else {
            self.text[..self.at].rfind('"').unwrap_or(self.at)
        };
        let mut characters = self.text[opening..].char_indices().skip(1);
        while let Some((offset, character)) = characters.next() {
            let Some((_, escaped)) = (character == '\\').then(|| characters.next()).flatten() else { continue };
            if !"0abtnvfre\"/\\N_LP xuU\t\n\r".contains(escaped) || "xuU".contains(escaped) {
                let start = opening + offset;
                return Problem::error(format!("`\\{escaped}` means nothing inside double quotes"))
                    .at(self.place(start, start + 1 + escaped.len_utf8()))
                    .hint("write `\\\\` for a backslash, or put the text in single quotes");
            }
        }
        let problem = Problem::error("a backslash in double quotes begins nothing that is known");
        problem.at(self.character(opening)).hint("write `\\\\` for a backslash, or put the text in single quotes")
    }
}
