//! Where values come from: the variables in them, what they replace, the files that brought theirs in. Whoever changes the
//! tree notes it here, and a problem is told with it in the end.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::locate;
use super::node::Node;
use super::problem::{Place, Problem, Sources};
use super::secret;

/// The files that variables were read from, by the variables' names; what is not in there is the process's.
pub(super) type Origins = BTreeMap<String, u32>;

/// How many values that replaced each other are told.
const MAX_REPLACED: usize = 3;

/// A variable that a value names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) name: String,
    /// What it is set to.
    pub(super) value: Option<String>,
    /// The file that sets it.
    pub(super) file: Option<u32>,
}

#[derive(Debug, Default)]
pub(super) struct Trail {
    filled: HashMap<Place, Vec<Used>>,
    replaced: HashMap<Place, Place>,
    named: HashMap<u32, (Place, &'static str)>,
    /// A file could not be read as YAML, so that what it says is not known.
    pub(super) has_gap: bool,
}

impl Trail {
    /// The value at a place had variables in it.
    pub(super) fn fill(&mut self, place: Place, used: Vec<Used>) {
        self.filled.entry(place).or_insert(used);
    }

    /// A value took the place of another one.
    pub(super) fn replace(&mut self, below: &Node, over: &Node) {
        if below.place != over.place && !below.is_null() {
            self.replaced.entry(over.place).or_insert(below.shown_place());
        }
    }

    /// A file was named in another one.
    pub(super) fn name(&mut self, file: u32, at: Place, how: &'static str) {
        if at.file != file {
            self.named.entry(file).or_insert((at, how));
        }
    }

    /// Makes a report of what was found: each problem once, with where its value comes from, the worst first.
    pub(super) fn report(&self, found: Vec<Problem>, tree: Option<&Node>, sources: &Sources) -> Vec<Problem> {
        let mut seen = HashSet::new();
        let mut problems: Vec<Problem> =
            found.into_iter().filter(|problem| seen.insert((problem.place, problem.message.clone()))).collect();
        let told: HashSet<Place> =
            problems.iter().filter(|problem| !problem.only_alone).filter_map(|problem| problem.place).collect();
        problems.retain(|problem| !problem.only_alone || problem.place.is_none_or(|place| !told.contains(&place)));
        for problem in &mut problems {
            self.explain(problem, sources);
        }
        if let Some(tree) = tree {
            locate::name_paths(tree, &mut problems);
        }
        problems.sort_by_key(|problem| (problem.severity, problem.place));
        problems
    }

    fn explain(&self, problem: &mut Problem, sources: &Sources) {
        let Some(place) = problem.place else { return };
        for used in self.filled.get(&place).into_iter().flatten() {
            explain_variable(problem, used, sources);
        }
        let mut at = place;
        for _ in 0..MAX_REPLACED {
            let Some(below) = self.replaced.get(&at) else { break };
            problem.add_related(*below, "this was set before");
            at = *below;
        }
        let mut file = place.file;
        let mut chain = HashSet::new();
        while let Some((at, how)) = self.named.get(&file).filter(|_| chain.insert(file)) {
            problem.add_related(*at, *how);
            file = at.file;
        }
    }
}

fn explain_variable(problem: &mut Problem, used: &Used, sources: &Sources) {
    let Used { name, value, file } = used;
    let is_secret = secret::is_secret(name);
    match (value, file) {
        (None, _) => problem.notes.push(format!("the variable `{name}` is not set")),
        (Some(value), Some(file)) => {
            if let Some(place) = sources.definition(*file, name) {
                problem.add_related(place, format!("`{name}` is set here"));
            } else {
                let shown = sources.get(*file).map_or("a file", |source| &source.shown);
                problem.notes.push(format!("`{name}` is `{}` in `{shown}`", shown_value(value, is_secret)));
            }
        }
        (Some(value), None) if name == "COMPOSE_PROJECT_NAME" => {
            problem.notes.push(format!("`{name}` is `{value}`, the project's name"));
        }
        (Some(value), None) => {
            let value = shown_value(value, is_secret);
            problem.notes.push(format!("the variable `{name}` is `{value}` in the environment"));
        }
    }
    if let Some(value) = value.as_deref().filter(|value| is_secret && !value.is_empty()) {
        problem.hide(value);
    }
}

fn shown_value(value: &str, is_secret: bool) -> String {
    if is_secret { secret::MASK.to_owned() } else { secret::without_passwords(value).into_owned() }
}
