//! Problems of a manifest, drawn under the lines that they are about.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::manifest::problem::{Problem, Severity, Sources};
use crate::manifest::secret;

/// Draws problems, the most severe first, then by file and place, each once. Ends in a line end unless empty.
///
/// Secrets in the lines shown are hidden.
#[must_use]
pub fn render(problems: &[Problem], sources: &Sources, colour: bool) -> String {
    let mut texts: BTreeMap<u32, Cow<'_, str>> = BTreeMap::new();
    for file in problems.iter().flat_map(files) {
        if let Some(source) = sources.get(file) {
            texts.entry(file).or_insert_with(|| secret::masked(&source.text));
        }
    }
    let shown = Shown { sources, texts: &texts };
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for problem in in_order(problems) {
        if !text.is_empty() {
            text.push('\n');
        }
        for part in parts(problem, &shown) {
            text.push_str(&renderer.render(&part));
            text.push('\n');
        }
    }
    text
}

/// The most severe first, then by file and place, each once.
#[must_use]
pub fn in_order(problems: &[Problem]) -> Vec<&Problem> {
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by_key(|problem| (problem.severity, problem.place));
    let mut seen = HashSet::new();
    sorted.retain(|problem| seen.insert((problem.place, problem.message.as_str())));
    sorted
}

/// What is drawn, part by part: a title without a source and its hint would be joined by an empty margin.
fn parts<'a>(problem: &'a Problem, shown: &Shown<'a>) -> Vec<Vec<Group<'a>>> {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(problem.message.as_str());
    let mut group = Group::with_title(match problem.code {
        Some(code) => title.id(code),
        None => title,
    });
    for snippet in snippets(problem, shown) {
        group = group.element(snippet);
    }
    let mut groups = vec![group];
    for note in &problem.notes {
        groups.push(Group::with_title(Level::NOTE.secondary_title(note.as_str())));
    }
    if let Some(hint) = &problem.hint {
        groups.push(Group::with_title(Level::HELP.with_name("hint").secondary_title(hint.as_str())));
    }
    match problem.place {
        Some(_) => vec![groups],
        None => groups.into_iter().map(|group| vec![group]).collect(),
    }
}

/// The files that problems stand in, as they are shown.
struct Shown<'a> {
    sources: &'a Sources,
    texts: &'a BTreeMap<u32, Cow<'a, str>>,
}

/// The files that have a place of the problem, its own first.
fn files(problem: &Problem) -> Vec<u32> {
    let mut files = Vec::new();
    for place in problem.place.into_iter().chain(problem.related.iter().map(|related| related.place)) {
        if !files.contains(&place.file) {
            files.push(place.file);
        }
    }
    files
}

/// One piece of source for each file that has a place of the problem, the problem's own first.
fn snippets<'a>(problem: &'a Problem, shown: &Shown<'a>) -> Vec<Snippet<'a, annotate_snippets::Annotation<'a>>> {
    let Some(primary) = problem.place else { return Vec::new() };
    let draw = |file: u32| {
        let (source, text) = (shown.sources.get(file)?, &**shown.texts.get(&file)?);
        let mut snippet = Snippet::source(text).path(source.shown.as_str());
        if primary.file == file {
            let annotation = AnnotationKind::Primary.span(within(primary.range(), text));
            snippet = snippet.annotation(annotation.label(problem.label.as_deref()));
        }
        for related in problem.related.iter().filter(|related| related.place.file == file) {
            let annotation = AnnotationKind::Context.span(within(related.place.range(), text));
            snippet = snippet.annotation(annotation.label(related.label.as_str()));
        }
        Some(snippet)
    };
    files(problem).into_iter().filter_map(draw).collect()
}

/// The range cut to the text and to whole characters, because a wrong one must not end the program.
fn within(range: std::ops::Range<usize>, text: &str) -> std::ops::Range<usize> {
    let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let start = floor(range.start);
    start..floor(range.end).max(start)
}

#[cfg(test)]
mod tests {
    use super::render;
    use crate::manifest::problem::{Place, Problem, Source, Sources};

    #[test]
    fn a_problem_is_drawn_with_its_rule_its_places_what_explains_it_and_the_next_step() {
        let mut sources = Sources::default();
        let (path, shown) = ("/w/compose.yaml".into(), "compose.yaml".into());
        sources.add(Source { path, shown, text: "a: 1\nb: 2\n".into(), base: "/w".into() });
        let place = |start| Place { file: 0, start, end: start + 1 };
        let problem = Problem::warning("`b` is larger than `a`").code("H001").at(place(8)).label("larger");
        let problem = problem.related(place(3), "smaller").note("`a` counts").hint("take `b` away");
        let expected = "\
warning[H001]: `b` is larger than `a`
 --> compose.yaml:2:4
  |
1 | a: 1
  |    - smaller
2 | b: 2
  |    ^ larger
  |
note: `a` counts
hint: take `b` away
";
        assert_eq!(render(&[problem], &sources, false), expected);
    }
}
