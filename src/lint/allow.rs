//! What a manifest allows: `# hoist: allow H001` on a line or above it, `x-hoist.allow` at the top or in a service.

use std::cell::Cell;

use super::{Subject, UNUSED_ALLOWANCE, page, warning};
use crate::manifest::problem::{Place, Problem, Sources};
use crate::manifest::written::Item;

/// One code that is allowed somewhere.
#[derive(Debug)]
struct Allowance {
    code: String,
    place: Place,
    scope: Scope,
    used: Cell<bool>,
}

/// Where it holds.
#[derive(Debug)]
enum Scope {
    /// On one line of a file, numbered from 1.
    Line(u32, usize),
    /// In one service.
    Service(String),
    /// Everywhere.
    Manifest,
}

/// Takes out the warnings that are allowed, and adds one for each allowance that silences nothing.
pub(super) fn apply(subject: &Subject<'_>, mut problems: Vec<Problem>) -> Vec<Problem> {
    let mut allowances = in_comments(subject.sources);
    allowances.extend(in_extensions(subject));
    if allowances.is_empty() {
        return problems;
    }
    problems.retain(|problem| {
        let Some(code) = problem.code.filter(|_| !problem.is_error()) else { return true };
        let mut holds = allowances.iter().filter(|allowance| allowance.code == code).peekable();
        if holds.peek().is_none() {
            return true;
        }
        let mut allowed = false;
        for allowance in holds.filter(|allowance| allowance.holds_for(problem, subject.sources)) {
            allowance.used.set(true);
            allowed = true;
        }
        !allowed
    });
    problems.extend(allowances.iter().filter(|allowance| !allowance.used.get()).map(unused));
    problems
}

impl Allowance {
    fn new(code: &str, place: Place, scope: Scope) -> Self {
        Self { code: code.to_owned(), place, scope, used: Cell::new(false) }
    }

    fn holds_for(&self, problem: &Problem, sources: &Sources) -> bool {
        match &self.scope {
            Scope::Manifest => true,
            Scope::Service(name) => {
                let rest =
                    problem.path.as_deref().and_then(|path| path.strip_prefix("services.")?.strip_prefix(&**name));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            }
            Scope::Line(file, line) => {
                let place = problem.place.filter(|place| place.file == *file);
                place.and_then(|place| sources.position(place)).is_some_and(|position| position.line == *line)
            }
        }
    }
}

fn unused(allowance: &Allowance) -> Problem {
    let code = &allowance.code;
    let problem = if page::find(code).is_some() {
        warning(format!("allowing `{code}` silences nothing here"), Some(allowance.place))
            .hint("take the allowance away, or move it to the line that it is meant for")
    } else {
        let hint = page::nearest(code).map(|near| format!("did you mean `{near}`?"));
        warning(format!("there is no rule `{code}` to allow"), Some(allowance.place))
            .hint(hint.unwrap_or_else(|| "`hoist explain` lists the rules".to_owned()))
    };
    problem.code(UNUSED_ALLOWANCE)
}

/// The allowances in comments of the manifests. A comment on a line of its own is about the next line that says something.
fn in_comments(sources: &Sources) -> Vec<Allowance> {
    let mut found = Vec::new();
    for (file, source) in (0..).map_while(|file| Some((file, sources.get(file)?))) {
        let lines: Vec<&str> = source.text.split_inclusive('\n').collect();
        let mut start = 0;
        for (at, line) in lines.iter().enumerate() {
            if let Some((comment, codes)) = comment(line) {
                let alone = line[..comment].trim().is_empty();
                let says = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
                let below = || lines[at + 1..].iter().position(says).map_or(at, |skipped| at + 1 + skipped);
                let number = if alone { below() } else { at } + 1;
                for (offset, code) in words(codes) {
                    let begin = start + (codes.as_ptr() as usize - line.as_ptr() as usize) + offset;
                    let place = place(file, begin, begin + code.len());
                    found.push(Allowance::new(code, place, Scope::Line(file, number)));
                }
            }
            start += line.len();
        }
    }
    found
}

/// Where the comment of a line begins that allows something, and what.
fn comment(line: &str) -> Option<(usize, &str)> {
    line.match_indices('#').find_map(|(at, _)| {
        let begins = line[..at].chars().next_back().is_none_or(char::is_whitespace);
        let rest = line[at + 1..].trim_start().strip_prefix("hoist:")?.trim_start();
        let codes = rest.strip_prefix("allow")?.strip_prefix(char::is_whitespace)?;
        begins.then_some((at, codes))
    })
}

/// The codes of a comment, up to the first word that is none, with where they begin.
fn words(codes: &str) -> impl Iterator<Item = (usize, &str)> {
    let words = codes.split(|character: char| character.is_whitespace() || character == ',');
    let words = words.filter(|word| !word.is_empty()).take_while(|word| looks_like_code(word));
    words.map(|word| (word.as_ptr() as usize - codes.as_ptr() as usize, word))
}

fn looks_like_code(word: &str) -> bool {
    word.len() <= 8 && word.starts_with(['H', 'h']) && word[1..].bytes().all(|byte| byte.is_ascii_digit())
}

fn place(file: u32, start: usize, end: usize) -> Place {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Place { file, start: offset(start), end: offset(end) }
}

/// The allowances under `x-hoist`.
fn in_extensions(subject: &Subject<'_>) -> Vec<Allowance> {
    let root = subject.written.root();
    let mut found = Vec::new();
    let mut add = |item: Item<'_>, scope: &dyn Fn() -> Scope| {
        let codes = item.get("x-hoist").and_then(|own| own.get("allow"));
        for code in codes.into_iter().flat_map(Item::one_or_many) {
            if let Some(text) = code.text() {
                found.push(Allowance::new(text, code.place(), scope()));
            }
        }
    };
    add(root, &|| Scope::Manifest);
    for (name, service) in root.get("services").into_iter().flat_map(Item::entries) {
        add(service, &|| Scope::Service(name.to_owned()));
    }
    found
}
