//! Lines that stand too far left or right, and items among keys.

use super::Scene;
use super::lines::{Line, Pair};
use crate::manifest::problem::Problem;

impl<'t> Scene<'t> {
    /// A key below one that has a value already.
    pub(super) fn too_deep(&self, line: Line<'t>, above: Pair<'t>) -> Problem {
        let Some(pair) = line.pair() else { return self.no_key_here() };
        let value = self.place(above.value_start, above.value_start + above.value.len());
        Problem::error(format!("`{}` stands below `{}`, which has a value already", pair.key, above.key))
            .at(self.place(pair.key_start, pair.colon))
            .related(value, format!("the value of `{}`", above.key))
            .hint(format!("indent it as far as `{}`, or take the value of `{}` away", above.key, above.key))
    }

    /// A line that does not go with those above it.
    pub(super) fn indentation(&self) -> Option<Problem> {
        let line = self.line();
        let body_end = line.pair().map_or(line.end(), |pair| pair.colon).max(line.body_start());
        let here = self.place(line.body_start(), body_end);
        let levels = self.levels(line);
        let Some(sibling) = levels.iter().find(|above| above.indent() == line.indent()) else {
            return self.between_levels(line, &levels).map(|problem| problem.at(here));
        };
        let there = self.place(sibling.body_start(), sibling.end());
        match (line.is_item(), sibling.is_item()) {
            (true, false) => Some(
                Problem::error("an item of a list stands among keys")
                    .at(self.place(line.body_start(), line.end()))
                    .related(there, "a key, as deep as the item")
                    .hint("write all of them as `key: value`, or all with `- `"),
            ),
            (false, true) => {
                let name = line.pair().map_or(line.body(), |pair| pair.key);
                let problem = Problem::error(format!("`{name}` stands among the items of a list"))
                    .at(here)
                    .related(there, "an item, as deep as the key");
                let key_value = line.pair().filter(|_| sibling.body().contains('=') && sibling.pair().is_none());
                Some(problem.hint(match key_value {
                    Some(pair) => format!("write `- {}={}`, or indent it less", pair.key, pair.value),
                    None => "begin the line with `- ` too, or indent it less".to_owned(),
                }))
            }
            _ => None,
        }
    }

    /// The lines above of which each is less deep than the one after it, the deepest first.
    fn levels(&self, line: Line<'t>) -> Vec<Line<'t>> {
        let mut levels: Vec<Line<'t>> = Vec::new();
        for above in line.all_above(self.text) {
            if levels.last().is_none_or(|last| above.indent() < last.indent()) {
                levels.push(above);
            }
            if above.indent() == 0 {
                break;
            }
        }
        levels
    }

    fn between_levels(&self, line: Line<'t>, levels: &[Line<'t>]) -> Option<Problem> {
        let indent = line.indent();
        let name = |line: &Line<'t>| line.pair().map_or(line.body(), |pair| pair.key).to_owned();
        let deeper = levels.iter().rfind(|above| above.indent() > indent)?;
        let message = format!("`{}` is indented by {}, like no line above", name(&line), spaces(indent));
        let place = self.place(deeper.body_start(), deeper.pair().map_or(deeper.end(), |pair| pair.colon));
        let problem =
            Problem::error(message).related(place, format!("this is indented by {}", spaces(deeper.indent())));
        let as_far = |above: &Line<'t>| format!("by {} like `{}`", spaces(above.indent()), name(above));
        Some(match levels.iter().find(|above| above.indent() < indent) {
            Some(shallower) => problem.hint(format!("indent it {} or {}", as_far(deeper), as_far(shallower))),
            None => problem.hint(format!("indent it {}, or that one less", as_far(deeper))),
        })
    }
}

fn spaces(count: usize) -> String {
    match count {
        0 => "nothing".to_owned(),
        1 => "1 space".to_owned(),
        count => format!("{count} spaces"),
    }
}
