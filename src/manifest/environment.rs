//! The variables that a manifest is read with: the process's, over those of `--env-file` or `.env`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};

use super::dotenv;
use super::interpolate::Lookup;
use super::problem::{Place, Problem, Source, Sources};
use super::trail::Origins;
use super::{Loader, ReadError, Request};

/// Reads a file of variables and keeps it as a source for problems with it; gives its number too.
pub(super) fn read_env_file(
    path: &Path,
    raw: bool,
    loader: &dyn Loader,
    current: &Path,
    sources: &mut Sources,
    lookup: Lookup<'_>,
) -> Result<(dotenv::Variables, u32), EnvFileError> {
    let text = loader.read(path).map_err(EnvFileError::Read)?;
    // As it is read, so that places count from it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n");
    let result = if raw { dotenv::parse_raw(&text, lookup) } else { dotenv::parse(&text, lookup) };
    let shown = shown(path, current);
    let file = sources.add(Source { path: path.into(), shown, base: "/".into(), text: text.as_str().into() });
    let variables = result.map_err(|mistake| {
        let rest = text.get(mistake.at..).unwrap_or_default().lines().next().unwrap_or_default();
        let offset = |at: usize| u32::try_from(at).unwrap_or(0);
        let place = Place { file, start: offset(mistake.at), end: offset(mistake.at + rest.trim_end().len().max(1)) };
        EnvFileError::Mistake(Box::new(Problem::error(mistake.message).at(place).hint(mistake.hint)))
    })?;
    Ok((variables, file))
}

/// A path as it is shown: relative when it lies in the current folder.
pub(super) fn shown(path: &Path, current: &Path) -> String {
    if path == Path::new("-") {
        return "<stdin>".to_owned();
    }
    path.strip_prefix(current).unwrap_or(path).display().to_string()
}

pub(super) enum EnvFileError {
    Read(ReadError),
    Mistake(Box<Problem>),
}

/// The variables so far, and where they come from.
pub(super) struct Environment {
    pub(super) variables: BTreeMap<String, String>,
    /// The files that variables come from.
    pub(super) origins: Origins,
    /// The files of `--env-file`, absolute.
    pub(super) files: Vec<PathBuf>,
}

impl Environment {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The process's variables and those of the files that were asked for.
    pub(super) fn new(
        request: &Request,
        loader: &dyn Loader,
        sources: &mut Sources,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut environment =
            Self { variables: request.environment.clone(), origins: Origins::new(), files: Vec::new() };
        let listed = request.environment.get("COMPOSE_ENV_FILES").filter(|_| request.env_files.is_empty());
        let listed = listed.into_iter().flat_map(|list| list.split(',')).filter(|path| !path.is_empty());
        let named: Vec<PathBuf> = request.env_files.iter().cloned().chain(listed.map(PathBuf::from)).collect();
        environment.files = named.iter().map(|path| request.current_directory.join(path)).collect();
        let mut fresh: BTreeMap<String, String> = BTreeMap::new();
        let mut origins = Origins::new();
        for path in &environment.files {
            let lookup = |name: &str| environment.get(name).or_else(|| fresh.get(name).map(String::as_str));
            match read_env_file(path, false, loader, &request.current_directory, sources, &lookup) {
                Ok((variables, file)) => {
                    origins.extend(variables.keys().map(|name| (name.clone(), file)));
                    fresh.extend(variables);
                }
                Err(EnvFileError::Mistake(problem)) => problems.push(*problem),
                Err(EnvFileError::Read(error)) => {
                    problems.push(Problem::error(format!("cannot read the env file `{}`: {error}", path.display())));
                }
            }
        }
        environment.add(fresh, &origins);
        environment
    }

    /// Adds the default file of a folder, unless others were asked for.
    pub(super) fn add_default(
        &mut self,
        folder: &Path,
        loader: &dyn Loader,
        current: &Path,
        sources: &mut Sources,
        problems: &mut Vec<Problem>,
    ) {
        let disabled = self.get("COMPOSE_DISABLE_ENV_FILE").is_some_and(|value| matches!(value, "1" | "true"));
        let path = folder.join(".env");
        if disabled || !self.files.is_empty() || !loader.is_file(&path) {
            return;
        }
        let lookup = |name: &str| self.get(name);
        match read_env_file(&path, false, loader, current, sources, &lookup) {
            Ok((variables, file)) => {
                let origins = variables.keys().map(|name| (name.clone(), file)).collect();
                self.add(variables, &origins);
            }
            Err(EnvFileError::Mistake(problem)) => problems.push(*problem),
            Err(EnvFileError::Read(error)) => {
                problems.push(Problem::error(format!("cannot read `{}`: {error}", path.display())));
            }
        }
    }

    /// Adds variables; those that are known already win.
    fn add(&mut self, variables: impl IntoIterator<Item = (String, String)>, origins: &Origins) {
        for (name, value) in variables {
            if let Entry::Vacant(vacant) = self.variables.entry(name) {
                if let Some(file) = origins.get(vacant.key()) {
                    self.origins.insert(vacant.key().clone(), *file);
                }
                vacant.insert(value);
            }
        }
    }
}
