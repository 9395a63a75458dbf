//! Pure: a line of a Dockerfile → what it asks for, variables not yet expanded.

use super::problem::{Problem, suggestion};
use super::words;
use super::{Heredoc, Line};

/// All keywords.
pub(crate) const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Instruction {
    From(From),
    Arg(Vec<(String, Option<String>)>),
    Env(Vec<(String, String)>),
    Label(Vec<(String, String)>),
    Run(Run),
    /// `COPY` and `ADD`.
    Copy(Copy),
    Workdir(String),
    User(String),
    Stopsignal(String),
    Maintainer(String),
    Expose(Vec<String>),
    Volume(Vec<String>),
    Entrypoint(Command),
    Cmd(Command),
    Shell(Vec<String>),
    Healthcheck(Option<Healthcheck>),
    /// The instruction for those who build on the image.
    Onbuild(String),
}

/// `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct From {
    pub(crate) platform: Option<String>,
    pub(crate) image: String,
    pub(crate) name: Option<String>,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Program and arguments.
    Exec(Vec<String>),
    /// For the shell.
    Shell(String),
}

/// `RUN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) command: Command,
    /// Each `--mount`, as it is written.
    pub(crate) mounts: Vec<String>,
    /// `default`, `none`, `host`.
    pub(crate) network: Option<String>,
    pub(crate) heredocs: Vec<Heredoc>,
}

/// `COPY` and `ADD`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Copy {
    /// Whether it is `ADD`: archives are unpacked, addresses fetched.
    pub(crate) add: bool,
    /// A stage or an image.
    pub(crate) from: Option<String>,
    pub(crate) chown: Option<String>,
    pub(crate) chmod: Option<String>,
    /// With the folders above it.
    pub(crate) parents: bool,
    /// Patterns of what to leave out.
    pub(crate) exclude: Vec<String>,
    /// `ADD --checksum`.
    pub(crate) checksum: Option<String>,
    pub(crate) sources: Vec<String>,
    /// Files whose contents stand in the Dockerfile.
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) destination: String,
}

/// `HEALTHCHECK`; times as they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Healthcheck {
    pub(crate) command: Command,
    pub(crate) interval: Option<String>,
    pub(crate) timeout: Option<String>,
    pub(crate) start_period: Option<String>,
    pub(crate) start_interval: Option<String>,
    pub(crate) retries: Option<String>,
}

/// Reads a line.
pub(crate) fn read(line: &Line, escape: char) -> Result<Instruction, Problem> {
    let number = line.number;
    let (mut flags, rest) = Flags::of(line);
    if rest.is_empty() && !matches!(line.keyword.as_str(), "CMD") && KEYWORDS.contains(&line.keyword.as_str()) {
        return Err(Problem::at(number, format!("{} requires at least one argument", line.keyword)));
    }
    let instruction = match line.keyword.as_str() {
        "FROM" => Instruction::From(from(number, &mut flags, rest)?),
        "ARG" => Instruction::Arg(arguments(number, rest, escape)?),
        "ENV" => Instruction::Env(pairs(line, rest, escape)?),
        "LABEL" => Instruction::Label(pairs(line, rest, escape)?),
        "RUN" => Instruction::Run(run(line, &mut flags, rest)?),
        "COPY" | "ADD" => Instruction::Copy(copy(line, &mut flags, rest, escape)?),
        "WORKDIR" => Instruction::Workdir(rest.to_owned()),
        "USER" => Instruction::User(rest.to_owned()),
        "STOPSIGNAL" => Instruction::Stopsignal(rest.to_owned()),
        "MAINTAINER" => Instruction::Maintainer(rest.to_owned()),
        "EXPOSE" => Instruction::Expose(words::split(rest, escape)),
        "VOLUME" => Instruction::Volume(list(rest).unwrap_or_else(|| words::split(rest, escape))),
        "ENTRYPOINT" => Instruction::Entrypoint(command(rest)),
        "CMD" => Instruction::Cmd(command(rest)),
        "SHELL" => {
            let shell = list(rest).filter(|shell| !shell.is_empty());
            let hint = "SHELL requires a list in JSON: SHELL [\"/bin/bash\", \"-c\"]";
            Instruction::Shell(shell.ok_or_else(|| Problem::at(number, hint))?)
        }
        "HEALTHCHECK" => Instruction::Healthcheck(healthcheck(number, &mut flags, rest)?),
        "ONBUILD" => Instruction::Onbuild(onbuild(line, escape)?),
        unknown => {
            let message = format!("unknown instruction: {unknown}{}", suggestion(unknown, KEYWORDS));
            return Err(Problem::at(number, message));
        }
    };
    flags.finish(line)?;
    Ok(instruction)
}

/// `--name=value` before the arguments.
struct Flags {
    left: Vec<(String, Option<String>)>,
    /// Those that were asked for, for suggestions.
    known: Vec<&'static str>,
}

impl Flags {
    fn of(line: &Line) -> (Self, &str) {
        let mut left = Vec::new();
        let mut rest = line.rest.as_str();
        // A trigger's flags are its own instruction's.
        while line.keyword != "ONBUILD" && rest.starts_with("--") {
            let mut quote = None;
            let end = rest.find(|character: char| {
                match quote {
                    None if character == '"' || character == '\'' => quote = Some(character),
                    Some(open) if open == character => quote = None,
                    _ => {}
                }
                quote.is_none() && character.is_whitespace()
            });
            let (flag, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after.trim_start();
            let flag = words::unquote(flag.trim_start_matches("--"), '\\');
            if flag.is_empty() {
                break;
            }
            match flag.split_once('=') {
                Some((name, value)) => left.push((name.to_owned(), Some(value.to_owned()))),
                None => left.push((flag, None)),
            }
        }
        (Self { left, known: Vec::new() }, rest)
    }

    fn all(&mut self, name: &'static str) -> Vec<String> {
        self.known.push(name);
        let (taken, left) = std::mem::take(&mut self.left).into_iter().partition(|(flag, _)| flag == name);
        self.left = left;
        let taken: Vec<(String, Option<String>)> = taken;
        taken.into_iter().map(|(_, value)| value.unwrap_or_default()).collect()
    }

    fn one(&mut self, name: &'static str) -> Option<String> {
        self.all(name).pop()
    }

    fn is_set(&mut self, name: &'static str) -> bool {
        self.one(name).is_some_and(|value| value.is_empty() || value == "true" || value == "1")
    }

    /// What is left is unknown.
    fn finish(self, line: &Line) -> Result<(), Problem> {
        let Some((name, _)) = self.left.first() else { return Ok(()) };
        let suggestion = suggestion(name, self.known);
        Err(Problem::at(line.number, format!("{} has no flag --{name}{suggestion}", line.keyword)))
    }
}

fn list(text: &str) -> Option<Vec<String>> {
    text.starts_with('[').then(|| serde_json::from_str(text).ok()).flatten()
}

fn command(text: &str) -> Command {
    list(text).map_or_else(|| Command::Shell(text.to_owned()), Command::Exec)
}

fn from(number: usize, flags: &mut Flags, rest: &str) -> Result<From, Problem> {
    let platform = flags.one("platform");
    let words: Vec<&str> = rest.split_whitespace().collect();
    let (image, name) = match words[..] {
        [image] => (image, None),
        [image, word, name] if word.eq_ignore_ascii_case("as") => (image, Some(name.to_ascii_lowercase())),
        _ => return Err(Problem::at(number, format!("FROM takes `image` or `image AS name`, not `{rest}`"))),
    };
    let is_name = |name: &String| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    match name {
        Some(name) if !is_name(&name) => {
            let hint = "it begins with a letter and has letters, digits, `-`, `_` and `.`";
            Err(Problem::at(number, format!("`{name}` is not the name of a stage: {hint}")))
        }
        name => Ok(From { platform, image: image.to_owned(), name }),
    }
}

fn arguments(number: usize, rest: &str, escape: char) -> Result<Vec<(String, Option<String>)>, Problem> {
    let argument = |word: String| match word.split_once('=') {
        Some(("", _)) => Err(Problem::at(number, format!("ARG: `{word}` has no name"))),
        Some((name, value)) => Ok((words::unquote(name, escape), Some(value.to_owned()))),
        None => Ok((words::unquote(&word, escape), None)),
    };
    words::split(rest, escape).into_iter().map(argument).collect()
}

/// `ENV` and `LABEL`: `name=value …`, or `name` and all the rest.
fn pairs(line: &Line, rest: &str, escape: char) -> Result<Vec<(String, String)>, Problem> {
    let words = words::split(rest, escape);
    if !words[0].contains('=') {
        let Some((name, value)) = rest.split_once(char::is_whitespace) else {
            let message = format!("{} takes `name=value`: `{rest}` has no value", line.keyword);
            return Err(Problem::at(line.number, message));
        };
        return Ok(vec![(name.to_owned(), value.trim().to_owned())]);
    }
    let pair = |word: &String| match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => {
            let hint = "values with spaces are quoted";
            let message = format!("{}: `{word}` is not `name=value`; {hint}", line.keyword);
            Err(Problem::at(line.number, message))
        }
    };
    words.iter().map(pair).collect()
}

fn run(line: &Line, flags: &mut Flags, rest: &str) -> Result<Run, Problem> {
    let mounts = flags.all("mount");
    let network = flags.one("network");
    if flags.one("security").is_some_and(|security| security != "sandbox") {
        let message = "RUN --security=insecure is not given by this engine; leave it out";
        return Err(Problem::at(line.number, message));
    }
    if let Some(network) = network.as_deref().filter(|network| !matches!(*network, "default" | "none" | "host")) {
        let message = format!("RUN --network takes default, none or host, not `{network}`");
        return Err(Problem::at(line.number, message));
    }
    Ok(Run { command: command(rest), mounts, network, heredocs: line.heredocs.clone() })
}

fn copy(line: &Line, flags: &mut Flags, rest: &str, escape: char) -> Result<Copy, Problem> {
    let add = line.keyword == "ADD";
    let mut copy = Copy { add, chown: flags.one("chown"), chmod: flags.one("chmod"), ..Copy::default() };
    // A layer of its own is what every copy gets here.
    let _ = flags.is_set("link");
    copy.exclude = flags.all("exclude");
    if add {
        copy.checksum = flags.one("checksum");
        flags.one("keep-git-dir");
    } else {
        copy.from = flags.one("from");
        copy.parents = flags.is_set("parents");
    }
    copy.sources = list(rest).unwrap_or_else(|| words::split(rest, escape));
    copy.destination = copy.sources.pop().unwrap_or_default();
    copy.heredocs.clone_from(&line.heredocs);
    if !copy.heredocs.is_empty() {
        copy.sources.retain(|source| !source.contains("<<"));
    }
    if copy.sources.is_empty() && copy.heredocs.is_empty() {
        let message = format!("{} requires a source and a destination: `{rest}` has one path only", line.keyword);
        return Err(Problem::at(line.number, message));
    }
    if copy.from.is_some() && !copy.heredocs.is_empty() {
        return Err(Problem::at(line.number, "COPY --from and a here-document exclude one another"));
    }
    Ok(copy)
}

fn healthcheck(number: usize, flags: &mut Flags, rest: &str) -> Result<Option<Healthcheck>, Problem> {
    let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if kind.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    if !kind.eq_ignore_ascii_case("cmd") || rest.trim().is_empty() {
        return Err(Problem::at(number, "HEALTHCHECK takes `CMD command` or `NONE`"));
    }
    Ok(Some(Healthcheck {
        command: command(rest.trim()),
        interval: flags.one("interval"),
        timeout: flags.one("timeout"),
        start_period: flags.one("start-period"),
        start_interval: flags.one("start-interval"),
        retries: flags.one("retries"),
    }))
}

fn onbuild(line: &Line, escape: char) -> Result<String, Problem> {
    let mut trigger = super::parse_one(line.number, &line.rest);
    if matches!(trigger.keyword.as_str(), "ONBUILD" | "FROM" | "MAINTAINER") {
        return Err(Problem::at(line.number, format!("ONBUILD {} is not allowed", trigger.keyword)));
    }
    if !line.heredocs.is_empty() {
        return Err(Problem::at(line.number, "ONBUILD takes no here-document: an image keeps one line of it"));
    }
    trigger.heredocs.clone_from(&line.heredocs);
    // Checked now and not when somebody builds on it.
    read(&trigger, escape)?;
    Ok(line.rest.clone())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::{Command, Copy, Instruction, read};

    fn told(text: &str) -> Result<Instruction, String> {
        let dockerfile = parse(text).map_err(|problem| problem.to_string())?;
        read(&dockerfile.lines[0], '\\').map_err(|problem| problem.to_string())
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_a_way_out() {
        for (text, problem) in [
            ("FORM a", "line 1: unknown instruction: FORM; did you mean `FROM`?"),
            ("COPY --chmd=1 a b", "line 1: COPY has no flag --chmd; did you mean `chmod`?"),
            ("COPY a", "line 1: COPY requires a source and a destination: `a` has one path only"),
            ("RUN", "line 1: RUN requires at least one argument"),
            ("ENV a=b c", "line 1: ENV: `c` is not `name=value`; values with spaces are quoted"),
            ("SHELL bash", "line 1: SHELL requires a list in JSON: SHELL [\"/bin/bash\", \"-c\"]"),
            ("ONBUILD FROM a", "line 1: ONBUILD FROM is not allowed"),
            ("HEALTHCHECK curl x", "line 1: HEALTHCHECK takes `CMD command` or `NONE`"),
            ("FROM a b", "line 1: FROM takes `image` or `image AS name`, not `a b`"),
            ("RUN --security=insecure x", "line 1: RUN --security=insecure is not given by this engine; leave it out"),
        ] {
            assert_eq!(told(text), Err(problem.to_owned()), "{text}");
        }
    }

    #[test]
    fn commands_have_two_forms() {
        let exec = |words: &[&str]| Command::Exec(words.iter().map(|word| (*word).to_owned()).collect());
        assert_eq!(told("CMD [\"a\", \"b c\"]"), Ok(Instruction::Cmd(exec(&["a", "b c"]))));
        assert_eq!(told("ENTRYPOINT []"), Ok(Instruction::Entrypoint(exec(&[]))));
        assert_eq!(told("CMD ['a']"), Ok(Instruction::Cmd(Command::Shell("['a']".into()))));
    }

    #[test]
    fn values_may_have_spaces() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(told("ENV a some thing"), Ok(Instruction::Env(vec![pair("a", "some thing")])));
        let both = vec![pair("a", "\"b c\""), pair("d", "e\\ f")];
        assert_eq!(told("LABEL a=\"b c\" d=e\\ f"), Ok(Instruction::Label(both)));
    }

    #[test]
    fn flags_and_paths_of_a_copy() {
        let copy = Copy {
            from: Some("x".into()),
            chown: Some("a:b".into()),
            sources: vec!["a b".into()],
            destination: "/c".into(),
            ..Copy::default()
        };
        assert_eq!(told("COPY --link --from=x --chown=a:b [\"a b\", \"/c\"]"), Ok(Instruction::Copy(copy)));
    }
}
