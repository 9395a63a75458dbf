//! YAML text → nodes with their places. Anchors, aliases and merge keys are resolved here, within a budget; a duplicate
//! key is an error with both places.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use granit_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag as YamlTag};

use super::grammar;
use super::node::{Entry, Map, Node, Scalar, Tag, Value};
use super::problem::{Place, Problem};
use super::scalar::{self, Resolved};

/// How deeply collections may nest, aliases unfolded.
const MAX_DEPTH: usize = 128;
/// How many nodes may be kept for aliases, and how many aliases may add, which ends an alias bomb early.
const MAX_ALIASED: usize = 100_000;

/// The documents of a file, and what is wrong with them as YAML.
///
/// Of a key that is there twice the first counts, so that what else is wrong can be found too. A mistake of grammar
/// leaves no document.
pub(super) fn parse(text: &str, file: u32) -> (Vec<Node>, Vec<Problem>) {
    let options = granit_parser::options! { emit_comments: false, block_scalar_eof_without_line_feed: true };
    let mut builder = Builder {
        events: Parser::new_from_str_with_options(text, options),
        file,
        text,
        anchors: HashMap::new(),
        anchored: 0,
        aliased: 0,
        problems: Vec::new(),
    };
    let documents = builder.documents().unwrap_or_else(|problem| {
        builder.problems.push(*problem);
        Vec::new()
    });
    (documents, builder.problems)
}

struct Builder<'a> {
    events: Parser<'a, StrInput<'a>>,
    file: u32,
    text: &'a str,
    anchors: HashMap<usize, Node>,
    anchored: usize,
    aliased: usize,
    problems: Vec<Problem>,
}

type Step<T> = Result<T, Box<Problem>>;

impl<'a> Builder<'a> {
    fn documents(&mut self) -> Step<Vec<Node>> {
        let mut documents = Vec::new();
        loop {
            match self.next()? {
                Some((Event::StreamEnd, _)) | None => return Ok(documents),
                Some((Event::StreamStart | Event::DocumentEnd, _)) => {}
                Some((Event::DocumentStart(..), _)) => self.anchors.clear(),
                Some((event, span)) => documents.push(self.node(event, span, 0)?),
            }
        }
    }

    fn next(&mut self) -> Step<Option<(Event<'a>, Span)>> {
        let (text, file) = (self.text, self.file);
        self.events.next_event().transpose().map_err(|error| Box::new(grammar::explain(text, file, &error)))
    }

    /// The next event of a collection, which the parser always closes.
    fn inside(&mut self, opened: Place) -> Step<(Event<'a>, Span)> {
        self.next()?.ok_or_else(|| Box::new(Problem::error("the file ends inside a collection").at(opened)))
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Step<Node> {
        let place = self.place(span);
        if depth > MAX_DEPTH {
            return Err(Box::new(Problem::error(format!("collections nest deeper than {MAX_DEPTH}")).at(place)));
        }
        let (node, anchor) = match event {
            Event::Alias(anchor) => return self.alias(anchor, place, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = is_text_tag(tag.as_deref()) || is_binary_tag(tag.as_deref());
                let plain = style == ScalarStyle::Plain && !is_text;
                let text = if is_binary_tag(tag.as_deref()) { Self::binary(&text, place)? } else { boxed(text) };
                let value = Value::Scalar(Scalar { text, plain });
                (Node { place, tag: merge_tag(tag.as_deref()), value }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let items = self.items(place, depth)?;
                (Node { place, tag: merge_tag(tag.as_deref()), value: Value::List(items) }, anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                let map = self.entries(place, depth)?;
                (Node { place, tag: merge_tag(tag.as_deref()), value: Value::Map(map) }, anchor)
            }
            _ => return Err(Box::new(Problem::error("this is not understood as YAML").at(place))),
        };
        if anchor != 0 {
            self.anchored += node.count();
            if self.anchored > MAX_ALIASED {
                return Err(Box::new(Problem::error("the anchors of this file hold too much").at(place)));
            }
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    /// Base 64 that must hold text.
    fn binary(text: &str, place: Place) -> Step<Box<str>> {
        let joined: String = text.split_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD.decode(joined).ok();
        let decoded = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let problem = || Box::new(Problem::error("`!!binary` is no text in base 64").at(place));
        decoded.map(String::into_boxed_str).ok_or_else(problem)
    }

    fn alias(&mut self, anchor: usize, place: Place, depth: usize) -> Step<Node> {
        let Some(target) = self.anchors.get(&anchor) else {
            return Err(Box::new(Problem::error("an alias stands inside the node that it names").at(place)));
        };
        self.aliased += target.count();
        if self.aliased > MAX_ALIASED || depth + target.height() > MAX_DEPTH {
            return Err(Box::new(Problem::error("the aliases of this file unfold to too much").at(place)));
        }
        Ok(target.clone())
    }

    fn items(&mut self, opened: Place, depth: usize) -> Step<Vec<Node>> {
        let mut items = Vec::new();
        loop {
            match self.inside(opened)? {
                (Event::SequenceEnd, _) => return Ok(items),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn entries(&mut self, opened: Place, depth: usize) -> Step<Map> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merges: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.inside(opened)?;
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.inside(opened)?;
            let value = self.node(event, span, depth + 1)?;
            let place = key.place;
            match key.value {
                Value::Scalar(Scalar { text, plain: true }) if &*text == "<<" => {
                    merges.push(Entry::new(text, place, value));
                }
                Value::Scalar(Scalar { text, plain }) => {
                    if plain && !matches!(scalar::resolve(&text), Resolved::Text(_)) {
                        self.problems.push(wrong_key(&text, place));
                    }
                    entries.push(Entry::new(text, place, value));
                }
                Value::List(_) | Value::Map(_) => {
                    self.problems.push(Problem::error("a key must be text").at(place));
                }
            }
        }
        self.drop_duplicates(&mut entries);
        self.find_duplicates(&merges);
        if let Some(merge) = merges.into_iter().next() {
            self.merge(&mut entries, merge);
        }
        Ok(Map { entries })
    }

    /// Keeps the first of each key.
    fn drop_duplicates(&mut self, entries: &mut Vec<Entry>) {
        let known = self.problems.len();
        self.find_duplicates(entries);
        if self.problems.len() > known {
            let mut seen = HashSet::new();
            entries.retain(|entry| seen.insert(entry.key.clone()));
        }
    }

    fn find_duplicates(&mut self, entries: &[Entry]) {
        if entries.len() <= 16 {
            for (at, entry) in entries.iter().enumerate() {
                if let Some(first) = entries[..at].iter().find(|first| first.key == entry.key) {
                    self.problems.push(duplicate(first, entry));
                }
            }
            return;
        }
        let mut first_of: HashMap<&str, &Entry> = HashMap::with_capacity(entries.len());
        for entry in entries {
            if let Some(first) = first_of.get(&*entry.key) {
                self.problems.push(duplicate(first, entry));
            } else {
                first_of.insert(&entry.key, entry);
            }
        }
    }

    /// Adds what `<<` names and nobody wrote; of several maps the first wins.
    fn merge(&mut self, entries: &mut Vec<Entry>, merge: Entry) {
        let place = merge.place();
        let sources = match merge.value.value {
            Value::Map(map) => vec![map],
            Value::List(items) if items.iter().all(|item| item.as_map().is_some()) => items
                .into_iter()
                .filter_map(|item| match item.value {
                    Value::Map(map) => Some(map),
                    _ => None,
                })
                .collect(),
            _ => {
                let problem = Problem::error("`<<` takes a mapping or a list of mappings").at(place);
                self.problems.push(problem.hint("give it an alias, as in `<<: *common`"));
                return;
            }
        };
        let mut present: HashSet<Box<str>> = entries.iter().map(|entry| entry.key.clone()).collect();
        for entry in sources.into_iter().flat_map(|map| map.entries) {
            if present.insert(entry.key.clone()) {
                entries.push(entry);
            }
        }
    }

    fn place(&self, span: Span) -> Place {
        let range = span.byte_range().unwrap_or(0..0);
        place(self.file, range.start, range.end)
    }
}

fn place(file: u32, start: usize, end: usize) -> Place {
    // Files are smaller than 4 GiB by far: the loader refuses larger ones.
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Place { file, start: offset(start), end: offset(end) }
}

fn boxed(text: Cow<'_, str>) -> Box<str> {
    match text {
        Cow::Borrowed(text) => text.into(),
        Cow::Owned(text) => text.into_boxed_str(),
    }
}

fn merge_tag(tag: Option<&YamlTag>) -> Tag {
    match tag.map(YamlTag::parts) {
        Some(("!", "reset")) => Tag::Reset,
        Some(("!", "override")) => Tag::Override,
        _ => Tag::None,
    }
}

fn is_text_tag(tag: Option<&YamlTag>) -> bool {
    tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"))
}

fn is_binary_tag(tag: Option<&YamlTag>) -> bool {
    tag.is_some_and(|tag| tag.parts() == ("tag:yaml.org,2002:", "binary"))
}

fn duplicate(first: &Entry, again: &Entry) -> Problem {
    Problem::error(format!("the key `{}` is here twice", again.key))
        .at(again.key_place)
        .label("again here")
        .related(first.key_place, "first here")
        .hint("keep one of them")
}

fn wrong_key(text: &str, place: Place) -> Problem {
    let problem = Problem::error(format!("the key `{text}` is not text")).at(place).only_alone();
    problem.hint(format!("write it in quotes: `\"{text}\"`"))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::parse;
    use crate::manifest::node::{Node, Value};

    fn show(node: &Node) -> String {
        match &node.value {
            Value::Scalar(scalar) => scalar.text.to_string(),
            Value::List(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(" ")),
            Value::Map(map) => {
                let entries = map.entries.iter().map(|entry| format!("{}:{}", entry.key, show(&entry.value)));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
            }
        }
    }

    fn one(text: &str) -> String {
        let (nodes, problems) = parse(text, 0);
        problems.first().map_or_else(|| show(&nodes[0]), |problem| problem.message.clone())
    }

    #[test]
    fn explicit_keys_win_over_merged_ones_and_the_first_merged_map_wins() {
        assert_eq!(
            one("a: &a {x: 1, y: 1}\nb: &b {x: 2, z: 2}\nc:\n  y: 3\n  <<: [*a, *b]\n"),
            "{a:{x:1 y:1} b:{x:2 z:2} c:{y:3 x:1 z:2}}"
        );
    }

    #[test]
    fn a_duplicate_key_names_both_places() {
        let (_, problems) = parse("a: 1\nb: 2\na: 3\n", 0);
        assert_eq!(problems[0].place.expect("a place").start, 10);
        assert_eq!(problems[0].related[0].place.start, 0);
    }

    #[test]
    fn an_alias_bomb_ends_in_a_problem() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            let _ = writeln!(text, "a{level}: &a{level} [{aliases}]");
        }
        assert_eq!(one(&text), "the aliases of this file unfold to too much");
    }

    #[test]
    fn deep_nesting_ends_in_a_problem() {
        assert!(!parse(&"[".repeat(100_000), 0).1.is_empty());
        let block = (0..5000).map(|depth| " ".repeat(depth) + "a:\n").collect::<String>();
        assert!(!parse(&block, 0).1.is_empty());
    }

    #[test]
    fn an_anchor_that_contains_itself_is_a_problem() {
        assert_eq!(one("a: &a [*a]\n"), "an alias stands inside the node that it names");
    }
}
