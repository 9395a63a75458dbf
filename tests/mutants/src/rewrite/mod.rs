//! A file with all its mutants in it: where one changes an expression, both are written, and `crate::mutant` says at run
//! time which counts. `a < b` with two mutants becomes
//!
//! ```text
//! (match (&(a), &(b)) { (left, right) => if crate::mutant(1) { left == right } else if … else { left < right } })
//! ```
//!
//! What cannot be written that way is left out, as is what then does not compile.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use crate::list::{Genre, Mutant};
use places::{Binary, Places};

mod places;

#[cfg(test)]
mod tests;

/// A part of the file that is written otherwise.
#[derive(Debug)]
struct Edit {
    range: Range<usize>,
    pieces: Vec<Piece>,
    mutants: Vec<usize>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    /// A part of the file, with its own edits.
    Source(Range<usize>),
}

impl Edit {
    /// Whether it is put around the whole of what it replaces, which may have edits of the same range.
    fn is_around(&self) -> bool {
        self.pieces.iter().any(|piece| matches!(piece, Piece::Source(range) if *range == self.range))
    }
}

/// The text with its mutants.
#[derive(Debug, Default)]
pub(crate) struct Rewritten {
    pub(crate) text: String,
    /// Where each edit is in the text.
    pub(crate) marks: Vec<Mark>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) range: Range<usize>,
    pub(crate) mutants: Vec<usize>,
}

/// Puts mutants of a file into its text.
pub(crate) fn rewrite(text: &str, mutants: &[&Mutant]) -> syn::Result<Rewritten> {
    let places = Places::of(text)?;
    let mut edits: Vec<Edit> = mutants.iter().filter_map(|mutant| single(mutant, &places)).collect();
    edits.extend(binaries(mutants, &places));
    edits.extend(guards(mutants, &places));
    // What is put before something comes before it, what is around something too.
    edits.sort_by_key(|edit| (edit.range.start, !edit.range.is_empty(), Reverse(edit.range.end), !edit.is_around()));
    let mut rewritten = Rewritten::default();
    rewritten.render(text, 0..text.len(), &edits);
    Ok(rewritten)
}

impl Rewritten {
    /// Appends a part of a file with the edits in it; `edits` may contain others.
    fn render(&mut self, text: &str, range: Range<usize>, edits: &[Edit]) {
        let mut at = range.start;
        for (index, edit) in edits.iter().enumerate() {
            if edit.range.start < at || edit.range.end > range.end {
                continue;
            }
            self.text.push_str(&text[at..edit.range.start]);
            let start = self.text.len();
            for piece in &edit.pieces {
                match piece {
                    Piece::Text(piece) => self.text.push_str(piece),
                    Piece::Source(part) => self.render(text, part.clone(), &edits[index + 1..]),
                }
            }
            self.marks.push(Mark { range: start..self.text.len(), mutants: edit.mutants.clone() });
            at = edit.range.end;
        }
        self.text.push_str(&text[at..range.end]);
    }
}

fn text(text: impl Into<String>) -> Piece {
    Piece::Text(text.into())
}

/// Asks whether one of some mutants was chosen.
fn chosen(ids: &[usize]) -> String {
    match ids.iter().map(|id| format!("crate::mutant({id})")).collect::<Vec<_>>().join(" || ") {
        none if none.is_empty() => "false".to_owned(),
        asked => format!("({asked})"),
    }
}

/// The edit of a mutant that shares its place with no other.
fn single(mutant: &Mutant, places: &Places) -> Option<Edit> {
    let id = mutant.id;
    let start = places.start(mutant);
    let (range, pieces) = match mutant.found.genre {
        Genre::FnValue => {
            let value = &mutant.found.replacement;
            (start..start, vec![text(format!("if crate::mutant({id}) {{ return {value}; }} "))])
        }
        Genre::UnaryOperator => {
            let operand = places.negations.get(&start)?;
            let pieces = vec![text(format!("(crate::mutant({id}) ^ !")), Piece::Source(operand.clone()), text(")")];
            (start..operand.end, pieces)
        }
        Genre::MatchArm => {
            let arm = places.arms.get(&start)?;
            if arm.guard.is_some() {
                return None;
            }
            (arm.pattern_end..arm.pattern_end, vec![text(format!(" if !crate::mutant({id})"))])
        }
        Genre::StructField => {
            let field = places.fields.get(&start)?;
            let rest = format!("if crate::mutant({id}) {{ {}.{} }} else {{ ", field.rest, field.name);
            let name = if field.is_short { format!("{}: ", field.name) } else { String::new() };
            (field.value.clone(), vec![text(name + &rest), Piece::Source(field.value.clone()), text(" }")])
        }
        _ => return None,
    };
    Some(Edit { range, pieces, mutants: vec![id] })
}

/// The edits of operators between two operands, one an operator.
fn binaries(mutants: &[&Mutant], places: &Places) -> Vec<Edit> {
    let mut by_place: BTreeMap<usize, Vec<(usize, &str)>> = BTreeMap::new();
    for mutant in mutants.iter().filter(|mutant| mutant.found.genre == Genre::BinaryOperator) {
        by_place.entry(places.start(mutant)).or_default().push((mutant.id, &mutant.found.replacement));
    }
    let edit = |(place, others): (usize, Vec<(usize, &str)>)| {
        let binary = places.binaries.get(&place)?;
        let range = binary.left.start..binary.right.end;
        Some(Edit { range, pieces: pieces(binary, &others), mutants: others.iter().map(|(id, _)| *id).collect() })
    };
    by_place.into_iter().filter_map(edit).collect()
}

/// An operation, with the other operators that mutants put in its place.
fn pieces(binary: &Binary, others: &[(usize, &str)]) -> Vec<Piece> {
    let (left, right) = (|| Piece::Source(binary.left.clone()), || Piece::Source(binary.right.clone()));
    let operator = binary.operator.as_str();
    let chosen = chosen(&others.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    match operator {
        "==" | "!=" => {
            vec![text("(("), left(), text(format!(" {operator} ")), right(), text(format!(") ^ {chosen})"))]
        }
        // The right operand is written once: each is what the other is with its left operand turned round.
        "&&" | "||" => {
            let (then, other) = if operator == "&&" { (right(), text("left")) } else { (text("left"), right()) };
            let condition = format!("; if left ^ {chosen} {{ ");
            vec![text("({ let left = "), left(), text(condition), then, text(" } else { "), other, text(" } })")]
        }
        _ if binary.assigns => {
            let mut pieces = vec![text("{ ")];
            for (id, other) in others {
                pieces.push(text(format!("if crate::mutant({id}) {{ ")));
                pieces.extend([left(), text(format!(" {other} ")), right(), text(" } else ")]);
            }
            pieces.extend([text("{ "), left(), text(format!(" {operator} ")), right(), text(" } }")]);
            pieces
        }
        // A comparison must not take its operands, arithmetic has to.
        _ => {
            let by = if ["<", "<=", ">", ">="].contains(&operator) { "&" } else { "" };
            let choice = |(id, other): &(usize, &str)| format!("if crate::mutant({id}) {{ left {other} right }} else ");
            let choices: String = others.iter().map(choice).collect();
            let arm = format!(")) {{ (left, right) => {choices}{{ left {operator} right }} }})");
            vec![text(format!("(match ({by}(")), left(), text(format!("), {by}(")), right(), text(arm)]
        }
    }
}

/// Ids of mutants of one guard: those that make it true, and those that make it false or remove its arm.
#[derive(Default)]
struct GuardMutants {
    always: Vec<usize>,
    never: Vec<usize>,
}

/// The edits of guards of arms, one a guard.
fn guards(mutants: &[&Mutant], places: &Places) -> Vec<Edit> {
    let mut by_place: BTreeMap<(usize, usize), GuardMutants> = BTreeMap::new();
    for mutant in mutants {
        let start = places.start(mutant);
        match mutant.found.genre {
            Genre::MatchArmGuard => {
                let guard = by_place.entry((start, places.end(mutant))).or_default();
                let ids = if mutant.found.replacement == "true" { &mut guard.always } else { &mut guard.never };
                ids.push(mutant.id);
            }
            Genre::MatchArm => {
                if let Some(guard) = places.arms.get(&start).and_then(|arm| arm.guard.clone()) {
                    by_place.entry((guard.start, guard.end)).or_default().never.push(mutant.id);
                }
            }
            _ => {}
        }
    }
    let edit = |((start, end), guard): ((usize, usize), GuardMutants)| {
        let head = format!("!{} && ({} || (", chosen(&guard.never), chosen(&guard.always));
        let pieces = vec![text(head), Piece::Source(start..end), text("))")];
        Edit { range: start..end, pieces, mutants: [guard.always, guard.never].concat() }
    };
    by_place.into_iter().map(edit).collect()
}
