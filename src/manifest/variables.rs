//! The variables that a manifest names.

use std::collections::BTreeMap;

use super::interpolate::{closing_brace, name_length};
use super::node::{Node, Value};
use super::{Failure, Loader, Request, Steps, gather};

/// How a manifest uses a variable.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Use {
    /// It must be set.
    pub required: bool,
    /// What takes its place when it is not set.
    pub default: String,
    /// What takes its place when it is set.
    pub alternate: String,
}

/// The variables that a manifest names, whether they are set or not.
///
/// # Errors
/// Every problem found, when the manifest cannot be read.
pub fn variables(request: &Request, loader: &dyn Loader) -> Result<BTreeMap<String, Use>, Failure> {
    let steps = Steps { interpolate: false, ..request.steps };
    let request = Request { steps, ..request.clone() };
    let gathered = gather(&request, loader)?;
    let mut uses = BTreeMap::new();
    // The project's name is settled before anything else is read.
    for entry in gathered.tree.as_map().into_iter().flat_map(|map| &map.entries).filter(|entry| &*entry.key != "name") {
        of_node(&entry.value, &mut uses);
    }
    Ok(uses)
}

fn of_node(node: &Node, uses: &mut BTreeMap<String, Use>) {
    match &node.value {
        Value::Scalar(scalar) => of_text(&scalar.text, 0, uses),
        Value::List(items) => items.iter().for_each(|item| of_node(item, uses)),
        Value::Map(map) => map.entries.iter().for_each(|entry| of_node(&entry.value, uses)),
    }
}

/// How deeply references are followed into each other.
const MAX_DEPTH: usize = 32;

fn of_text(text: &str, depth: usize, uses: &mut BTreeMap<String, Use>) {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let reference = &rest[at + 1..];
        rest = match reference.as_bytes().first() {
            Some(b'$') => &reference[1..],
            Some(b'{') => {
                let Some(end) = closing_brace(&reference[1..]) else { return };
                of_braces(&reference[1..=end], depth, uses);
                &reference[end + 2..]
            }
            _ => {
                let (name, rest) = reference.split_at(name_length(reference));
                if !name.is_empty() {
                    uses.insert(name.to_owned(), Use::default());
                }
                rest
            }
        };
    }
}

fn of_braces(inside: &str, depth: usize, uses: &mut BTreeMap<String, Use>) {
    let (name, rest) = inside.split_at(name_length(inside));
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let (operator, word) = rest.split_at_checked(1).unwrap_or_default();
    let known = match operator {
        "" => Use::default(),
        "-" => Use { default: word.to_owned(), ..Use::default() },
        "+" => Use { alternate: word.to_owned(), ..Use::default() },
        "?" => Use { required: true, ..Use::default() },
        _ => return,
    };
    if !name.is_empty() {
        uses.insert(name.to_owned(), known);
    }
    if depth < MAX_DEPTH {
        of_text(word, depth + 1, uses);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Use, of_text};

    #[test]
    fn every_form_of_reference_names_its_variable() {
        let mut uses = BTreeMap::new();
        of_text("${IMG:-x}:${TAG?need} ${P+alt} $Q $$NOT ${N:-${M:-deep}} ${!}", 0, &mut uses);
        let default = |default: &str| Use { default: default.to_owned(), ..Use::default() };
        let expected = [
            ("IMG", default("x")),
            ("M", default("deep")),
            ("N", default("${M:-deep}")),
            ("P", Use { alternate: "alt".to_owned(), ..Use::default() }),
            ("Q", Use::default()),
            ("TAG", Use { required: true, ..Use::default() }),
        ];
        assert_eq!(uses, expected.map(|(name, known)| (name.to_owned(), known)).into());
    }
}
