//! The language of a service, told by the files in its build context and by what its Dockerfile begins with and runs.

use std::collections::BTreeSet;
use std::fmt;

/// A language whose sources are what runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Language {
    Node,
    Python,
    Ruby,
    Php,
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Node => "Node",
            Self::Python => "Python",
            Self::Ruby => "Ruby",
            Self::Php => "PHP",
        })
    }
}

/// Files that say what is installed, each with whose it is. `*` stands for any letters.
const INSTALLED: [(&str, Language); 19] = [
    ("package.json", Language::Node),
    ("package-lock.json", Language::Node),
    ("npm-shrinkwrap.json", Language::Node),
    ("yarn.lock", Language::Node),
    ("pnpm-lock.yaml", Language::Node),
    ("bun.lock", Language::Node),
    ("bun.lockb", Language::Node),
    ("requirements*.txt", Language::Python),
    ("pyproject.toml", Language::Python),
    ("setup.py", Language::Python),
    ("setup.cfg", Language::Python),
    ("poetry.lock", Language::Python),
    ("uv.lock", Language::Python),
    ("Pipfile", Language::Python),
    ("Pipfile.lock", Language::Python),
    ("Gemfile", Language::Ruby),
    ("Gemfile.lock", Language::Ruby),
    ("composer.json", Language::Php),
    ("composer.lock", Language::Php),
];

/// Files of languages that are compiled.
const COMPILED: [(&str, &str); 9] = [
    ("go.mod", "Go"),
    ("Cargo.toml", "Rust"),
    ("pom.xml", "Java"),
    ("build.gradle", "Java"),
    ("build.gradle.kts", "Kotlin"),
    ("build.sbt", "Scala"),
    ("mix.exs", "Elixir"),
    ("CMakeLists.txt", "C++"),
    ("Package.swift", "Swift"),
];

/// Endings of files of languages that are compiled.
const COMPILED_ENDINGS: [(&str, &str); 4] =
    [(".csproj", ".NET"), (".fsproj", ".NET"), (".sln", ".NET"), (".cabal", "Haskell")];

/// Why the language of a service says nothing of how it is to be brought up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unsure {
    Compiled(&'static str),
    /// Neither what the image begins with nor what runs in it is known.
    Unknown,
    /// The files say one thing, the Dockerfile another.
    Contradicted {
        file: String,
        language: Language,
    },
}

impl fmt::Display for Unsure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compiled(language) => write!(formatter, "{language} is compiled"),
            Self::Unknown => formatter.write_str("the language of what runs is not known"),
            Self::Contradicted { file, language } => {
                write!(formatter, "the Dockerfile runs {language}, beside `{file}`")
            }
        }
    }
}

/// The names of the files that say what is installed for a language, as patterns.
pub(super) fn installed(language: Language) -> impl Iterator<Item = &'static str> {
    INSTALLED.iter().filter(move |(_, of)| *of == language).map(|(name, _)| *name)
}

/// The names that tell a language or a compiler, apart from those with stars.
pub(super) fn telling() -> impl Iterator<Item = &'static str> {
    let installed = INSTALLED.iter().map(|(name, _)| *name).filter(|name| !name.contains('*'));
    installed.chain(["requirements.txt"]).chain(COMPILED.iter().map(|(name, _)| *name))
}

/// Folders of what is installed, which is never copied into a container that has its own.
pub(super) fn folders(language: Language) -> &'static [&'static str] {
    match language {
        Language::Node => &["**/node_modules"],
        Language::Python => &["**/__pycache__", "**/*.pyc", "**/.venv", "**/venv"],
        Language::Ruby => &["**/vendor/bundle", "**/.bundle"],
        Language::Php => &["vendor"],
    }
}

/// The language, and the file in the context that tells it, where there is one.
pub(super) fn tell(
    names: &BTreeSet<String>,
    programs: &[String],
    base: &str,
) -> Result<(Language, Option<String>), Unsure> {
    if let Some(language) = names.iter().find_map(|name| compiled(name)) {
        return Err(Unsure::Compiled(language));
    }
    let told: Vec<(&String, Language)> = names.iter().filter_map(|name| Some((name, of_file(name)?))).collect();
    let run = programs.iter().rev().find_map(|program| of_program(program)).or_else(|| of_base(base));
    let Some(language) = run else { return Err(Unsure::Unknown) };
    match told.iter().find(|(_, of)| *of == language).or(told.first()) {
        Some((file, of)) if *of == language => Ok((language, Some((*file).clone()))),
        Some((file, _)) => Err(Unsure::Contradicted { file: (*file).clone(), language }),
        None => Ok((language, None)),
    }
}

fn compiled(name: &str) -> Option<&'static str> {
    let whole = COMPILED.iter().find(|(own, _)| *own == name);
    whole.or_else(|| COMPILED_ENDINGS.iter().find(|(ending, _)| name.ends_with(ending))).map(|(_, language)| *language)
}

fn of_file(name: &str) -> Option<Language> {
    let matches = |pattern: &str| match pattern.split_once('*') {
        Some((front, back)) => name.strip_prefix(front).is_some_and(|rest| rest.ends_with(back)),
        None => name == pattern,
    };
    INSTALLED.iter().find(|(pattern, _)| matches(pattern)).map(|(_, language)| *language)
}

fn of_program(program: &str) -> Option<Language> {
    Some(match program {
        "node" | "nodejs" | "npm" | "npx" | "yarn" | "pnpm" | "bun" | "tsx" | "nodemon" | "ts-node" | "ts-node-dev"
        | "tsnd" | "next" | "nuxt" | "nuxi" | "vite" | "astro" | "webpack" | "nest" | "ng" | "react-scripts"
        | "pm2" => Language::Node,
        "uvicorn" | "gunicorn" | "hypercorn" | "flask" | "fastapi" | "celery" | "poetry" | "pipenv" | "uv"
        | "manage.py" | "django-admin" | "daphne" | "watchmedo" | "watchfiles" | "streamlit" => Language::Python,
        "ruby" | "bundle" | "rails" | "rake" | "puma" | "rackup" | "sidekiq" | "rerun" | "unicorn" => Language::Ruby,
        "php" | "php-fpm" | "composer" => Language::Php,
        _ if program.strip_prefix("python").is_some_and(is_version) => Language::Python,
        _ => return None,
    })
}

fn is_version(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// By the last part of an image's name: `node` of `docker.io/library/node:24-slim`.
fn of_base(base: &str) -> Option<Language> {
    let name = base.split('@').next().unwrap_or(base).rsplit('/').next().unwrap_or(base);
    match name.split(':').next().unwrap_or(name) {
        "node" | "bun" => Some(Language::Node),
        "python" | "pypy" => Some(Language::Python),
        "ruby" | "rails" => Some(Language::Ruby),
        "php" => Some(Language::Php),
        _ => None,
    }
}

/// Whether an image runs PHP under a server that reads a script for every request.
pub(super) fn serves_php(base: &str) -> Option<&'static str> {
    let name = base.rsplit('/').next().unwrap_or(base);
    ["apache", "fpm"].into_iter().find(|server| name.starts_with("php:") && name.contains(server))
}
