//! Pure: the variables at a place in a stage, and an instruction with them filled in.

use std::collections::BTreeMap;

use crate::dockerfile::instruction::{Command, Copy, Healthcheck, Instruction, Run};
use crate::dockerfile::problem::Problem;
use crate::dockerfile::words;

/// Arguments that need no declaration and change no cache.
pub(super) const PROXIES: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// What `RUN` finds programs with when the image does not say.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The arguments of a build.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Arguments {
    /// `--build-arg`.
    pub(super) given: BTreeMap<String, String>,
    /// `TARGETPLATFORM` and its kind.
    pub(super) platform: BTreeMap<String, String>,
}

impl Arguments {
    /// With those that tell of the platform (`linux/arm64/v8`): builder and target are the same.
    pub(super) fn new(given: BTreeMap<String, String>, platform: &str) -> Self {
        let mut parts = platform.splitn(3, '/');
        let [os, architecture, variant] = [(); 3].map(|()| parts.next().unwrap_or_default().to_owned());
        let of = |side: &str| {
            [
                ("PLATFORM", platform.to_owned()),
                ("OS", os.clone()),
                ("ARCH", architecture.clone()),
                ("VARIANT", variant.clone()),
            ]
            .map(|(name, value)| (format!("{side}{name}"), value))
        };
        Self { given, platform: of("TARGET").into_iter().chain(of("BUILD")).collect() }
    }
}

/// The variables at a place in a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    escape: char,
    arguments: Arguments,
    globals: BTreeMap<String, String>,
    /// Declared in the stage.
    declared: BTreeMap<String, Option<String>>,
    /// `ENV`, in order.
    environment: Vec<(String, String)>,
}

impl Scope {
    /// At the beginning of a stage on an image with these variables.
    pub(super) fn new(escape: char, arguments: Arguments, globals: BTreeMap<String, String>, image: &[String]) -> Self {
        let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let environment = image.iter().filter_map(pair).collect();
        Self { escape, arguments, globals, declared: BTreeMap::new(), environment }
    }

    /// What a variable is worth here; `ENV` wins over `ARG`.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let environment = self.environment.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        environment.or_else(|| self.declared.get(name).cloned().flatten())
    }

    /// `ENV`, as an image keeps it.
    pub(super) fn environment(&self) -> Vec<String> {
        self.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// The arguments that a command sees and its cache depends on, sorted.
    pub(super) fn arguments(&self) -> Vec<String> {
        let is_set = |name: &String| self.environment.iter().any(|(own, _)| own == name);
        let seen = self.declared.iter().filter(|(name, _)| !is_set(name) && !PROXIES.contains(&name.as_str()));
        seen.filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?))).collect()
    }

    /// All variables of a command.
    pub(super) fn command(&self) -> Vec<String> {
        let mut all: BTreeMap<String, String> = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
        let proxies = self.arguments.given.iter().filter(|(name, _)| PROXIES.contains(&name.as_str()));
        all.extend(proxies.map(|(name, value)| (name.clone(), value.clone())));
        all.extend(self.declared.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))));
        all.extend(self.environment.iter().cloned());
        all.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Fills in an instruction's variables, and takes in those that it sets.
    pub(super) fn resolve(&mut self, line: usize, instruction: &Instruction) -> Result<Instruction, Problem> {
        let resolved = self.filled_in(instruction).map_err(|why| Problem::at(line, why))?;
        match &resolved {
            Instruction::Env(pairs) => {
                for (name, value) in pairs {
                    match self.environment.iter_mut().find(|(own, _)| own == name) {
                        Some((_, own)) => own.clone_from(value),
                        None => self.environment.push((name.clone(), value.clone())),
                    }
                }
            }
            Instruction::Arg(list) => self.declared.extend(list.iter().cloned()),
            _ => {}
        }
        Ok(resolved)
    }

    fn expand(&self, text: &str) -> Result<String, String> {
        words::expand(text, self.escape, &|name| self.get(name)).map_err(|why| format!("`{text}`: {why}"))
    }

    fn all(&self, texts: &[String]) -> Result<Vec<String>, String> {
        texts.iter().map(|text| self.expand(text)).collect()
    }

    fn maybe(&self, text: Option<&String>) -> Result<Option<String>, String> {
        text.map(|text| self.expand(text)).transpose()
    }

    /// Each word may become several.
    fn several(&self, texts: &[String]) -> Result<Vec<String>, String> {
        let expanded = self.all(texts)?;
        Ok(expanded.iter().flat_map(|text| text.split_whitespace()).map(str::to_owned).collect())
    }

    fn pairs(&self, pairs: &[(String, String)]) -> Result<Vec<(String, String)>, String> {
        pairs.iter().map(|(name, value)| Ok((self.expand(name)?, self.expand(value)?))).collect()
    }

    fn filled_in(&self, instruction: &Instruction) -> Result<Instruction, String> {
        Ok(match instruction {
            Instruction::Arg(list) => Instruction::Arg(self.declared(list)?),
            // The values of one line do not see one another.
            Instruction::Env(pairs) => Instruction::Env(self.pairs(pairs)?),
            Instruction::Label(pairs) => Instruction::Label(self.pairs(pairs)?),
            Instruction::Run(run) => Instruction::Run(Run { mounts: self.all(&run.mounts)?, ..run.clone() }),
            Instruction::Copy(copy) => Instruction::Copy(self.copy(copy)?),
            Instruction::Workdir(text) => Instruction::Workdir(self.expand(text)?),
            Instruction::User(text) => Instruction::User(self.expand(text)?),
            Instruction::Stopsignal(text) => Instruction::Stopsignal(self.expand(text)?),
            Instruction::Expose(list) => Instruction::Expose(self.several(list)?),
            Instruction::Volume(list) => Instruction::Volume(self.all(list)?),
            Instruction::Healthcheck(Some(check)) => Instruction::Healthcheck(Some(Healthcheck {
                command: check.command.clone(),
                interval: self.maybe(check.interval.as_ref())?,
                timeout: self.maybe(check.timeout.as_ref())?,
                start_period: self.maybe(check.start_period.as_ref())?,
                start_interval: self.maybe(check.start_interval.as_ref())?,
                retries: self.maybe(check.retries.as_ref())?,
            })),
            Instruction::From(_)
            | Instruction::Maintainer(_)
            | Instruction::Entrypoint(_)
            | Instruction::Cmd(_)
            | Instruction::Shell(_)
            | Instruction::Healthcheck(None)
            | Instruction::Onbuild(_) => instruction.clone(),
        })
    }

    fn declared(&self, list: &[(String, Option<String>)]) -> Result<Vec<(String, Option<String>)>, String> {
        let mut scope = self.clone();
        for (name, default) in list {
            let value = match self.arguments.given.get(name) {
                Some(given) => Some(given.clone()),
                None => match default {
                    Some(default) => Some(scope.expand(default)?),
                    None => self.globals.get(name).cloned(),
                },
            };
            scope.declared.insert(name.clone(), value);
        }
        Ok(list.iter().map(|(name, _)| (name.clone(), scope.declared.get(name).cloned().flatten())).collect())
    }

    fn copy(&self, copy: &Copy) -> Result<Copy, String> {
        let mut heredocs = copy.heredocs.clone();
        for heredoc in heredocs.iter_mut().filter(|heredoc| heredoc.expand) {
            heredoc.text = words::expand_text(&heredoc.text, self.escape, &|name| self.get(name))
                .map_err(|why| format!("here-document `{}`: {why}", heredoc.name))?;
        }
        Ok(Copy {
            add: copy.add,
            from: copy.from.clone(),
            chown: self.maybe(copy.chown.as_ref())?,
            chmod: self.maybe(copy.chmod.as_ref())?,
            parents: copy.parents,
            exclude: self.all(&copy.exclude)?,
            checksum: self.maybe(copy.checksum.as_ref())?,
            sources: self.all(&copy.sources)?,
            heredocs,
            destination: self.expand(&copy.destination)?,
        })
    }
}

/// The program and arguments of a command in a stage with this shell.
pub(super) fn words_of(command: &Command, shell: &[String]) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(text) => shell.iter().cloned().chain([text.clone()]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Arguments, Scope};
    use crate::dockerfile;
    use crate::dockerfile::instruction::{self, Instruction};

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn scope(given: &[(&str, &str)], globals: &[(&str, &str)], text: &str) -> (Scope, Vec<Instruction>) {
        let arguments = Arguments::new(map(given), "linux/arm64/v8");
        let mut globals = map(globals);
        globals.extend(arguments.platform.clone());
        let mut scope = Scope::new('\\', arguments, globals, &["HOME=/h".to_owned()]);
        let lines = dockerfile::parse(text).expect("it is a Dockerfile").lines;
        let resolve = |line: &dockerfile::Line| {
            let instruction = instruction::read(line, '\\').expect("it is one");
            scope.resolve(line.number, &instruction).expect("it can be")
        };
        let resolved = lines.iter().map(resolve).collect();
        (scope, resolved)
    }

    #[test]
    fn an_argument_counts_from_where_it_is_declared() {
        let given = [("a", "given"), ("undeclared", "x"), ("http_proxy", "p")];
        let text = "WORKDIR /$a$g\nARG a=default g u TARGETARCH b=$a\nWORKDIR /$a-$g-$undeclared-$TARGETARCH-$b";
        let (scope, resolved) = scope(&given, &[("g", "global")], text);
        assert_eq!(resolved[0], Instruction::Workdir("/".into()));
        assert_eq!(resolved[2], Instruction::Workdir("/given-global--arm64-given".into()));
        assert_eq!(scope.arguments(), ["TARGETARCH=arm64", "a=given", "b=given", "g=global"]);
        assert!(scope.command().contains(&"http_proxy=p".to_owned()));
    }

    #[test]
    fn environment_wins_over_arguments_and_does_not_see_its_own_line() {
        let text = "ENV a=1\nARG a=2\nENV a=3 b=$a c=\"x y\" d='$a'\nENV e ${b} f";
        let (scope, _) = scope(&[("a", "given")], &[], text);
        assert_eq!(scope.environment(), ["HOME=/h", "a=3", "b=1", "c=x y", "d=$a", "e=1 f"]);
        assert!(scope.arguments().is_empty());
    }

    #[test]
    fn a_here_document_is_expanded_unless_its_name_is_quoted() {
        let text = "ENV a=1\nCOPY <<A <<'B' /x/\n\"$a\"\nA\n$a\nB";
        let (_, resolved) = scope(&[], &[], text);
        let Instruction::Copy(copy) = &resolved[1] else { panic!("it is a copy") };
        let texts: Vec<_> = copy.heredocs.iter().map(|heredoc| heredoc.text.as_str()).collect();
        assert_eq!(texts, ["\"1\"\n", "$a\n"]);
        assert_eq!((copy.sources.len(), copy.destination.as_str()), (0, "/x/"));
    }
}
