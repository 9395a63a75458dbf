//! Three texts into one, line by line: what one side changed is taken from that side, and only where both changed the same
//! lines, each in its own way, there is a conflict.
//!
//! Changes of neighbouring lines are no conflict, other than in git: a value that somebody filled in, and a new one below
//! it, go together. Whoever merges YAML looks afterwards whether it still is YAML.

use std::fmt::Write as _;
use std::ops::Range;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// The first line of a conflict.
pub(super) const OPENING: &str = "<<<<<<< yours";

/// The last one.
pub(super) const CLOSING: &str = ">>>>>>> new export";

/// What came of three texts.
pub(super) struct Merged {
    /// The text, with both sides of every conflict between marks.
    pub(super) text: String,
    /// Whether there is no conflict.
    pub(super) is_clean: bool,
}

/// A change of one side.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Edit<'a> {
    /// The lines of the last export that it is in the place of; none for lines that are added.
    place: Range<usize>,
    lines: &'a [&'a str],
    is_yours: bool,
}

impl Edit<'_> {
    /// Whether two changes cannot both be made.
    fn collides(&self, place: &Range<usize>) -> bool {
        let both_add = self.place == *place && place.is_empty();
        both_add || (self.place.start < place.end && place.start < self.place.end)
    }
}

/// Merges.
pub(super) fn merge(last: &str, yours: &str, new: &str) -> Merged {
    let [last, yours, new] = [last, yours, new].map(|text| text.split_inclusive('\n').collect::<Vec<_>>());
    let mut edits = edits(&last, &yours, true);
    edits.extend(self::edits(&last, &new, false));
    // Of two changes in one place lines that are added come first.
    edits.sort_by_key(|edit| (edit.place.start, edit.place.end, !edit.is_yours));
    let (mut text, mut is_clean, mut at) = (String::new(), true, 0);
    let mut edits = edits.into_iter().peekable();
    while let Some(first) = edits.next() {
        let mut place = first.place.clone();
        let mut group = vec![first];
        while let Some(next) = edits.next_if(|next| next.collides(&place)) {
            place.end = place.end.max(next.place.end);
            group.push(next);
        }
        text.extend(last[at..place.start].iter().copied());
        at = place.end;
        let side = |is_yours| side(&last, &place, &group, is_yours);
        let (mine, theirs) = (side(true), side(false));
        if group.iter().all(|edit| edit.is_yours) || mine == theirs {
            text.push_str(&mine);
        } else if group.iter().all(|edit| !edit.is_yours) {
            text.push_str(&theirs);
        } else {
            is_clean = false;
            text.push_str(&conflict(&mine, &last[place].concat(), &theirs));
        }
    }
    text.extend(last[at..].iter().copied());
    Merged { text, is_clean }
}

/// The changes of one side, in their order.
fn edits<'a>(last: &[&str], side: &'a [&'a str], is_yours: bool) -> Vec<Edit<'a>> {
    let operations = capture_diff_slices(Algorithm::Myers, last, side);
    let changed = operations.iter().filter(|operation| !matches!(operation, DiffOp::Equal { .. }));
    changed
        .map(|operation| Edit { place: operation.old_range(), lines: &side[operation.new_range()], is_yours })
        .collect()
}

/// What one side has in the place of these lines.
fn side(last: &[&str], place: &Range<usize>, group: &[Edit<'_>], is_yours: bool) -> String {
    let (mut text, mut at) = (String::new(), place.start);
    for edit in group.iter().filter(|edit| edit.is_yours == is_yours) {
        text.extend(last[at..edit.place.start].iter().copied());
        text.extend(edit.lines.iter().copied());
        at = edit.place.end;
    }
    text.extend(last[at..place.end].iter().copied());
    text
}

/// All sides of a conflict, between its marks.
pub(super) fn conflict(yours: &str, last: &str, new: &str) -> String {
    let mut text = String::new();
    for (mark, content) in [(OPENING, yours), ("||||||| last export", last), ("=======", new)] {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{mark}");
        text.push_str(content);
        if !content.is_empty() && !content.ends_with('\n') {
            text.push('\n');
        }
    }
    let _ = writeln!(text, "{CLOSING}");
    text
}

#[cfg(test)]
mod tests {
    use super::merge;

    #[test]
    fn what_only_one_side_changed_is_taken_and_both_sides_the_same_is_no_conflict() {
        for (last, yours, new, merged) in [
            ("a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"),
            ("a\nb\n", "A\nb\n", "a\nB\n", "A\nB\n"),
            ("a\n", "A\n", "a\nb\n", "A\nb\n"),
            ("a\nb\n", "x\na\nb\n", "A\nb\n", "x\nA\nb\n"),
            ("a\n", "b\n", "b\n", "b\n"),
            ("a\nb\n", "b\n", "a\nb\nc\n", "b\nc\n"),
            ("", "a\n", "", "a\n"),
        ] {
            let found = merge(last, yours, new);
            assert_eq!((found.text.as_str(), found.is_clean), (merged, true), "{last:?} {yours:?} {new:?}");
        }
    }

    #[test]
    fn what_both_changed_is_a_conflict_of_just_those_lines() {
        let found = merge("a\nb\nc\n", "a\nx\nc\n", "a\ny\nc\n");
        let text = "a\n<<<<<<< yours\nx\n||||||| last export\nb\n=======\ny\n>>>>>>> new export\nc\n";
        assert_eq!((found.text.as_str(), found.is_clean), (text, false));
        assert!(!merge("a\n", "a\nx\n", "a\ny\n").is_clean, "both add in one place");
        assert!(!merge("a\nb\n", "x\n", "a\ny\n").is_clean);
    }
}
