//! What a container runs: looked for behind shells, launchers and scripts of `package.json`, and whether it loads saved
//! files by itself.

use std::collections::BTreeMap;

/// Scripts that call each other are followed this far.
const DEEPEST: usize = 12;

/// Programs that only start another one, which follows their flags.
const LAUNCHERS: [&str; 18] = [
    "exec",
    "command",
    "env",
    "nohup",
    "tini",
    "dumb-init",
    "catatonit",
    "docker-init",
    "docker-entrypoint.sh",
    "docker-php-entrypoint",
    "npx",
    "bunx",
    "pnpx",
    "cross-env",
    "cross-env-shell",
    "dotenv",
    "doppler",
    "--",
];

/// The program that stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Running {
    /// The names of all programs on the way to it, itself the last.
    pub(super) programs: Vec<String>,
    /// What it is told.
    arguments: Vec<String>,
    /// Variables that were set on the way.
    variables: BTreeMap<String, String>,
}

/// Follows a command to the program that stays.
pub(super) fn follow(
    words: &[String],
    variables: BTreeMap<String, String>,
    scripts: &BTreeMap<String, String>,
) -> Running {
    let mut running = Running { variables, ..Running::default() };
    let mut words = words.to_vec();
    for _ in 0..DEEPEST {
        while let Some((name, value)) = words.first().and_then(|word| assignment(word)) {
            running.variables.insert(name, value);
            words.remove(0);
        }
        let Some(program) = words.first().map(|word| name_of(word).to_owned()) else { break };
        running.programs.push(program.clone());
        running.arguments = words.split_off(1);
        match next(&program, &running.arguments, scripts) {
            Some(inner) => words = inner,
            None => break,
        }
    }
    running
}

/// What a program starts in its place.
fn next(program: &str, arguments: &[String], scripts: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let first = arguments.first().map(String::as_str);
    let plain = || arguments.iter().skip_while(|word| word.starts_with('-')).cloned().collect::<Vec<_>>();
    match program {
        "sh" | "bash" | "ash" | "dash" | "zsh" => {
            let at = arguments.iter().position(|word| word.starts_with('-') && word.ends_with('c'))?;
            last_command(arguments.get(at + 1)?)
        }
        "gosu" | "su-exec" => arguments.get(1..).map(<[String]>::to_vec),
        "npm" | "pnpm" | "yarn" | "bun" => script(program, arguments, scripts),
        "poetry" | "pipenv" | "uv" | "pdm" | "rye" | "hatch" if first == Some("run") => Some(arguments[1..].to_vec()),
        "bundle" if first == Some("exec") => Some(arguments[1..].to_vec()),
        _ if LAUNCHERS.contains(&program) => Some(plain()),
        _ if program.starts_with("python") => {
            let rest = plain_python(arguments);
            (!rest.is_empty()).then_some(rest)
        }
        // `bin/rails`, given to the interpreter.
        "ruby" => plain().first().is_some_and(|file| name_of(file) == "rails").then(plain),
        _ => None,
    }
}

/// The module or file that Python runs, without Python's own flags.
fn plain_python(arguments: &[String]) -> Vec<String> {
    let mut rest = arguments;
    while let [flag, after @ ..] = rest {
        match flag.as_str() {
            "-c" => return Vec::new(),
            "-W" | "-X" => rest = after.get(1..).unwrap_or_default(),
            // What follows `-m` is a module, called as its program is.
            flag if flag.starts_with('-') => rest = after,
            _ => break,
        }
    }
    rest.to_vec()
}

/// A script of `package.json`, or the program that a package manager starts.
fn script(manager: &str, arguments: &[String], scripts: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let mut rest: Vec<String> = arguments
        .iter()
        .skip_while(|word| matches!(word.as_str(), "-s" | "--silent" | "-q" | "--quiet"))
        .cloned()
        .collect();
    let word = rest.first()?.clone();
    let runs_script = matches!(word.as_str(), "run" | "run-script");
    if matches!(word.as_str(), "exec" | "dlx" | "x") {
        return Some(rest.into_iter().skip(1).skip_while(|word| word.starts_with('-')).collect());
    }
    if runs_script {
        rest.remove(0);
        rest = rest.into_iter().skip_while(|word| word.starts_with('-')).collect();
    }
    let name = rest.first()?;
    let Some(text) = scripts.get(name) else {
        // `yarn next dev`: a program of an installed package.
        let is_program = !runs_script && manager != "npm" && manager != "bun" && !name.starts_with('-');
        return is_program.then_some(rest);
    };
    // npm starts a script only after `run`, but for these.
    if manager == "npm" && !runs_script && !matches!(name.as_str(), "start" | "test" | "stop" | "restart") {
        return None;
    }
    let mut words = last_command(text)?;
    words.extend(rest.into_iter().skip(1).filter(|word| word != "--"));
    Some(words)
}

/// The last command of a line for a shell, which is the one that stays; `None` for a line that only a shell understands.
fn last_command(text: &str) -> Option<Vec<String>> {
    let words = shell_words::split(&text.replace("&&", " && ").replace("||", " || ").replace(';', " ; ")).ok()?;
    // What runs in the background or into a pipe is one of several that stay.
    if words.iter().any(|word| word == "&" || word == "|" || word.contains('`') || word.contains("$(")) {
        return None;
    }
    let last = words.split(|word| matches!(word.as_str(), "&&" | "||" | ";")).rfind(|part| !part.is_empty())?;
    Some(last.to_vec())
}

fn assignment(word: &str) -> Option<(String, String)> {
    let (name, value) = word.split_once('=')?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| (name.to_owned(), value.to_owned()))
}

/// A program's name without its folder.
fn name_of(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

impl Running {
    /// Whether saved files reach it without a restart; the words for people that say by what.
    pub(super) fn reloader(&self) -> Option<String> {
        let program = self.programs.last()?.as_str();
        let has = |flag: &str| self.arguments.iter().any(|word| word == flag);
        let sub = self.arguments.iter().map(String::as_str).find(|word| !word.starts_with('-'));
        let told = |words: &str| Some(words.to_owned());
        match program {
            "nodemon" | "ts-node-dev" | "tsnd" | "watchfiles" | "rerun" | "webpack-dev-server"
            | "apache2-foreground" | "php-fpm" => told(program),
            "watchmedo" if sub == Some("auto-restart") => told("watchmedo auto-restart"),
            "node" | "bun" | "deno" if self.is_watched() => told(&format!("{program} --watch")),
            "tsx" if sub == Some("watch") => told("tsx watch"),
            "vite" if !matches!(sub, Some("build" | "preview" | "optimize")) => told("vite"),
            "next" | "nuxt" | "nuxi" | "astro" | "fastapi" if sub == Some("dev") => told(&format!("{program} dev")),
            "webpack" | "ng" | "vue-cli-service" if sub == Some("serve") => told(&format!("{program} serve")),
            "react-scripts" if sub == Some("start") => told("react-scripts start"),
            "nest" if sub == Some("start") && (has("--watch") || has("-w")) => told("nest start --watch"),
            // Not gunicorn's: it ends when the new code does not load.
            "uvicorn" | "hypercorn" if has("--reload") => told(&format!("{program} --reload")),
            "flask" if has("run") && !has("--no-reload") && !has("--no-debug") && self.is_debugged(&has) => {
                told("flask in debug mode")
            }
            "manage.py" | "django-admin" if sub == Some("runserver") && !has("--noreload") => {
                told(&format!("{program} runserver"))
            }
            "rails" if matches!(sub, Some("server" | "s")) && self.is_development() => told("rails in development"),
            "php" if has("-S") => told("php -S"),
            "php" if sub == Some("artisan") && has("serve") => told("artisan serve"),
            _ => None,
        }
    }

    /// Whether an interpreter's own flags, which stand before the script, have it watch.
    fn is_watched(&self) -> bool {
        let mut words = self.arguments.iter().map(String::as_str);
        while let Some(word) = words.next() {
            match word {
                "--watch" | "--hot" => return true,
                _ if word.starts_with("--watch-path") || word.starts_with("--watch=") => return true,
                "-r" | "--require" | "--import" | "--loader" | "--env-file" | "-C" | "--conditions" => {
                    words.next();
                }
                // `bun run` and `deno run` have flags of their own.
                "run" => {}
                _ if word.starts_with('-') => {}
                _ => return false,
            }
        }
        false
    }

    fn is_debugged(&self, has: &impl Fn(&str) -> bool) -> bool {
        let variable = self.variables.get("FLASK_DEBUG").map(|value| value.to_ascii_lowercase());
        has("--debug") || variable.is_some_and(|value| matches!(value.as_str(), "1" | "true" | "yes"))
    }

    fn is_development(&self) -> bool {
        let named = ["RAILS_ENV", "RACK_ENV"].into_iter().find_map(|name| self.variables.get(name));
        let told = self.arguments.iter().any(|word| word.starts_with("-e") || word.starts_with("--environment"));
        !told && named.is_none_or(|environment| environment == "development")
    }
}
