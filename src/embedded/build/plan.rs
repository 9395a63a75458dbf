//! Pure: a Dockerfile and build arguments → stages, what they need of one another, and which of them are needed at all.

use std::collections::{BTreeMap, BTreeSet};

use super::copy::is_address;
use super::document::absolute;
use super::mount::{self, Mount};
use super::scope::{self, Arguments};
use crate::dockerfile::instruction::{self, Instruction};
use crate::dockerfile::problem::{Problem, suggestion};
use crate::dockerfile::words;
use crate::dockerfile::{self, Line};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// `\` or a backtick.
    pub(super) escape: char,
    /// All stages of the file.
    pub(super) stages: Vec<Stage>,
    /// The stage that becomes the image.
    pub(super) target: usize,
    /// The stages that are needed, the target among them; each after those that it needs.
    pub(super) needed: Vec<usize>,
    /// The arguments declared before the first stage, with their values.
    pub(super) globals: BTreeMap<String, String>,
    /// Names of all arguments that the needed stages or the beginning declare.
    pub(super) declared: BTreeSet<String>,
    /// Names that stand for something else than a stage or an image, as [`plain_name`] has them.
    pub(super) named: BTreeSet<String>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stage {
    pub(super) name: Option<String>,
    pub(super) base: Base,
    /// `os/arch`, if the stage asks for one.
    pub(super) platform: Option<String>,
    /// Its `FROM`, for people.
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) steps: Vec<Step>,
}

/// What a stage begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Base {
    Scratch,
    Image(String),
    Stage(usize),
}

/// An instruction of a stage, variables not yet expanded: they depend on the base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) line: Line,
    pub(super) instruction: Instruction,
}

impl Step {
    /// For people: the instruction on one line.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.line.keyword, self.line.rest).trim_end().to_owned()
    }

    /// Whether anything is done in it, other than noting something in the image's configuration.
    pub(super) fn is_work(&self) -> bool {
        matches!(self.instruction, Instruction::Run(_) | Instruction::Copy(_) | Instruction::Workdir(_))
    }
}

impl Stage {
    /// Its `FROM`, without the name that it gives.
    pub(super) fn base_text(&self) -> String {
        match &self.base {
            Base::Scratch => "FROM scratch".to_owned(),
            Base::Image(image) => format!("FROM {image}"),
            Base::Stage(_) => self.text.split(" AS ").next().unwrap_or_default().to_owned(),
        }
    }

    /// What it is called where several are shown.
    pub(super) fn shown(&self, at: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("stage-{at}"))
    }
}

/// Plans a build. `target` is a stage by name or number, empty for the last; `named` is what [`Plan::named`] says.
pub(super) fn plan(text: &str, target: &str, arguments: &Arguments, named: BTreeSet<String>) -> Result<Plan, Problem> {
    let file = dockerfile::parse(text)?;
    let mut globals = arguments.platform.clone();
    let mut declared = BTreeSet::new();
    let mut stages: Vec<Stage> = Vec::new();
    for line in file.lines {
        let instruction = instruction::read(&line, file.escape)?;
        match (instruction, stages.last_mut()) {
            (Instruction::From(from), _) => {
                stages.push(stage(&line, from, (&stages, &named), &globals, file.escape)?);
            }
            (Instruction::Arg(list), None) => {
                for (name, default) in list {
                    let lookup = |name: &str| globals.get(name).cloned();
                    let default = default.map(|default| words::expand(&default, file.escape, &lookup)).transpose();
                    let default = default.map_err(|why| Problem::at(line.number, format!("ARG {name}: {why}")))?;
                    if let Some(value) = arguments.given.get(&name).cloned().or(default) {
                        globals.insert(name.clone(), value);
                    }
                    declared.insert(name);
                }
            }
            (_, None) => {
                let message = format!("{} stands before the first FROM", line.keyword);
                return Err(Problem::at(line.number, message));
            }
            (instruction, Some(stage)) => stage.steps.push(Step { line, instruction }),
        }
    }
    if stages.is_empty() {
        return Err(Problem::at(0, "it has no FROM, with which every image begins"));
    }
    let target = find_target(&stages, target)?;
    let needed = needed(&stages, target, &named);
    for step in needed.iter().flat_map(|stage| &stages[*stage].steps) {
        if let Instruction::Arg(list) = &step.instruction {
            declared.extend(list.iter().map(|(name, _)| name.clone()));
        }
    }
    Ok(Plan { escape: file.escape, stages, target, needed, globals, declared, named })
}

fn stage(
    line: &Line,
    from: instruction::From,
    (before, named): (&[Stage], &BTreeSet<String>),
    globals: &BTreeMap<String, String>,
    escape: char,
) -> Result<Stage, Problem> {
    let lookup = |name: &str| globals.get(name).cloned();
    let expand = |text: &str| {
        words::expand(text, escape, &lookup).map_err(|why| Problem::at(line.number, format!("FROM {text}: {why}")))
    };
    let image = expand(&from.image)?;
    if image.is_empty() {
        let hint = "declare the argument before the first FROM, or give it with --build-arg";
        return Err(Problem::at(line.number, format!("`{}` is empty: {hint}", from.image)));
    }
    if let Some(name) =
        from.name.as_deref().filter(|name| before.iter().any(|stage| stage.name.as_deref() == Some(name)))
    {
        return Err(Problem::at(line.number, format!("the stage `{name}` is there already")));
    }
    let base = match find(before, &image) {
        _ if image == "scratch" => Base::Scratch,
        _ if named.contains(plain_name(&image)) => Base::Image(image),
        Some(stage) => Base::Stage(stage),
        None => Base::Image(image),
    };
    let platform = from.platform.as_deref().map(expand).transpose()?.filter(|platform| !platform.is_empty());
    let text = format!("FROM {}", line.rest);
    Ok(Stage { name: from.name, base, platform, text, line: line.number, steps: Vec::new() })
}

/// An earlier stage by name. The newest of a name counts.
fn find(stages: &[Stage], name: &str) -> Option<usize> {
    stages.iter().rposition(|stage| stage.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name)))
}

fn find_target(stages: &[Stage], target: &str) -> Result<usize, Problem> {
    if target.is_empty() {
        return Ok(stages.len() - 1);
    }
    let number = || target.parse().ok().filter(|number| *number < stages.len());
    find(stages, target).or_else(number).ok_or_else(|| {
        let suggestion = suggestion(target, names(stages));
        Problem::at(0, format!("it has no stage `{target}`{suggestion}"))
    })
}

/// The names of stages.
pub(super) fn names(stages: &[Stage]) -> impl Iterator<Item = &str> {
    stages.iter().filter_map(|stage| stage.name.as_deref())
}

/// A name as it is compared: without what every image's name may be written with.
pub(super) fn plain_name(name: &str) -> &str {
    let name = name.strip_prefix("docker.io/").unwrap_or(name);
    let name = name.strip_prefix("library/").unwrap_or(name);
    name.strip_suffix(":latest").unwrap_or(name)
}

/// The stage that `--from=name` means to the stage with the number `at`; `None` for what is no stage.
pub(super) fn source(stages: &[Stage], at: usize, name: &str, named: &BTreeSet<String>) -> Option<usize> {
    if named.contains(plain_name(name)) {
        return None;
    }
    find(&stages[..at], name).or_else(|| name.parse().ok().filter(|number| *number < at))
}

/// What a stage needs of others.
pub(super) fn needs(stages: &[Stage], at: usize, named: &BTreeSet<String>) -> BTreeSet<usize> {
    let mut needs = BTreeSet::new();
    if let Base::Stage(base) = stages[at].base {
        needs.insert(base);
    }
    for step in &stages[at].steps {
        match &step.instruction {
            Instruction::Copy(copy) => {
                needs.extend(copy.from.as_deref().and_then(|from| source(stages, at, from, named)));
            }
            Instruction::Run(run) => {
                for text in &run.mounts {
                    // What is wrong with it is told when it is its turn.
                    if let Ok(Mount::Bind(mount::Bind { from: Some(from), .. })) = mount::read(0, text) {
                        needs.extend(source(stages, at, &from, named));
                    }
                }
            }
            _ => {}
        }
    }
    needs
}

fn needed(stages: &[Stage], target: usize, named: &BTreeSet<String>) -> Vec<usize> {
    let mut found = BTreeSet::from([target]);
    // Stages need earlier ones only: one pass from behind finds them all.
    for at in (0..=target).rev() {
        if found.contains(&at) {
            found.extend(needs(stages, at, named));
        }
    }
    found.into_iter().collect()
}

/// The paths of the context that the needed stages name, sorted; empty when they may want all of it, because one of them
/// does or has a variable in a path.
pub(super) fn paths(plan: &Plan) -> Vec<String> {
    let mut paths = BTreeSet::new();
    for step in plan.needed.iter().flat_map(|stage| &plan.stages[*stage].steps) {
        match &step.instruction {
            Instruction::Copy(copy) if copy.from.is_none() => {
                let here = copy.sources.iter().filter(|source| !(copy.add && is_address(source)));
                paths.extend(here.cloned());
            }
            Instruction::Run(run) => {
                for text in &run.mounts {
                    match mount::read(0, text) {
                        Ok(Mount::Bind(mount::Bind { from: None, source, .. })) => drop(paths.insert(source)),
                        Ok(_) => {}
                        // It becomes one when its variables have been filled in, or is told when it is its turn.
                        Err(_) => return Vec::new(),
                    }
                }
            }
            _ => {}
        }
    }
    let relative: BTreeSet<String> =
        paths.iter().map(|path| absolute("/", path).trim_start_matches('/').to_owned()).collect();
    if relative.iter().any(|path| path.is_empty() || path.contains('$')) {
        return Vec::new();
    }
    relative.into_iter().collect()
}

/// Build arguments that nothing declares and nobody predefines.
pub(super) fn unused<'a>(plan: &Plan, arguments: &'a Arguments) -> Vec<&'a str> {
    let known = |name: &str| {
        plan.declared.contains(name) || scope::PROXIES.contains(&name) || arguments.platform.contains_key(name)
    };
    arguments.given.keys().map(String::as_str).filter(|name| !known(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::scope::Arguments;
    use super::{Base, Plan, Problem, needs, paths, unused};

    fn arguments(given: &[(&str, &str)]) -> Arguments {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Arguments::new(given, "linux/amd64")
    }

    fn plan(text: &str, target: &str, arguments: &Arguments) -> Result<Plan, Problem> {
        super::plan(text, target, arguments, BTreeSet::new())
    }

    #[test]
    fn stages_are_found_by_name_and_number_and_what_is_not_needed_is_left_out() {
        let text = "ARG v=1\nFROM node:$v AS deps\nRUN x\nFROM scratch AS idle\nFROM deps\nRUN y\nFROM alpine\n\
                    COPY --from=2 /a /\nRUN --mount=type=bind,from=deps,target=/d z\n";
        let plan = plan(text, "", &arguments(&[("v", "20"), ("w", "1"), ("HTTP_PROXY", "x")])).expect("a plan");
        assert_eq!(plan.needed, [0, 2, 3]);
        assert_eq!(plan.stages[0].base, Base::Image("node:20".into()));
        assert_eq!(plan.stages[1].base, Base::Scratch);
        assert_eq!(plan.stages[2].base, Base::Stage(0));
        assert_eq!(needs(&plan.stages, 3, &plan.named).into_iter().collect::<Vec<_>>(), [0, 2]);
        assert_eq!(unused(&plan, &arguments(&[("v", "20"), ("w", "1"), ("HTTP_PROXY", "x")])), ["w"]);
    }

    #[test]
    fn a_target_ends_the_plan() {
        let text = "FROM a AS one\nFROM b AS two\n";
        assert_eq!(plan(text, "ONE", &arguments(&[])).expect("a plan").needed, [0]);
        let problem = plan(text, "tow", &arguments(&[])).expect_err("there is none").of("Dockerfile");
        assert_eq!(problem, "Dockerfile: it has no stage `tow`; did you mean `two`?");
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (text, problem) in [
            ("RUN a", "Dockerfile:1: RUN stands before the first FROM"),
            ("# a", "Dockerfile: it has no FROM, with which every image begins"),
            (
                "FROM $x",
                "Dockerfile:1: `$x` is empty: declare the argument before the first FROM, or give it with --build-arg",
            ),
            ("FROM a AS x\nFROM b AS X", "Dockerfile:2: the stage `x` is there already"),
        ] {
            let told = plan(text, "", &arguments(&[])).expect_err(text).of("Dockerfile");
            assert_eq!(told, problem);
        }
    }

    #[test]
    fn the_machines_platform_is_known_before_the_first_stage() {
        let plan = plan("FROM --platform=$BUILDPLATFORM a:$TARGETARCH", "", &arguments(&[])).expect("a plan");
        assert_eq!(plan.stages[0].platform.as_deref(), Some("linux/amd64"));
        assert_eq!(plan.stages[0].base, Base::Image("a:amd64".into()));
    }

    #[test]
    fn a_name_that_stands_for_something_else_is_no_stage() {
        let text = "FROM a AS base\nFROM docker.io/library/alpine:latest\nCOPY --from=base /a /\nFROM base\n";
        let named = ["base", "alpine"].map(str::to_owned).into();
        let plan = super::plan(text, "1", &arguments(&[]), named).expect("a plan");
        assert_eq!(plan.needed, [1]);
        assert_eq!(plan.stages[2].base, Base::Image("base".into()));
    }

    #[test]
    fn only_what_steps_name_is_wanted_of_the_context() {
        let of = |text: &str| paths(&plan(&format!("FROM a\n{text}"), "", &arguments(&[])).expect("a plan"));
        assert_eq!(of("COPY ./b/ /c* /x/\nRUN --mount=source=d,target=/d y\nADD http://e f /"), ["b", "c*", "d", "f"]);
        assert_eq!(of("COPY b /\nCOPY . /x"), [""; 0]);
        assert_eq!(of("COPY $b /"), [""; 0]);
        assert_eq!(of("COPY --from=x / /"), [""; 0]);
    }
}
