//! The files that a build takes from its client: all of them at once in a tar, or some of them when a step wants them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Mutex, OnceCell};
use tokio_util::sync::CancellationToken;

use super::client::{Client, Wanted};
use super::context::Context;
use super::execute::given_up;
use super::ignore::{Ignore, rules as rules_of};
use super::progress::{Happening, Listener};
use super::tell::DEFINITION;
use crate::dockerfile;
use crate::embedded::ByteStream;
use crate::embedded::error::Error;
use crate::embedded::id;

/// What leaves files of a folder out.
const IGNORE: &str = ".dockerignore";
/// What a Dockerfile is called where nothing else is said.
const DOCKERFILE: &str = "Dockerfile";
/// What the part of a step is called that files come in.
const TRANSFER: &str = "transferring context:";

/// Where the context of a build is.
pub enum Origin {
    /// All of it in a tar, plain or compressed.
    Tar(ByteStream),
    /// In a folder that the client offers under this name.
    Folder(String),
}

/// Who brings files, and where they are kept.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) client: Option<Arc<dyn Client>>,
    /// Goes with the build.
    pub(super) staging: PathBuf,
    pub(super) listener: Option<Listener>,
    pub(super) cancel: CancellationToken,
}

/// A Dockerfile, and the context that it came with.
pub(super) struct Script {
    pub(super) text: String,
    main: Main,
}

/// The files of a build.
pub(super) struct Files {
    source: Source,
    main: Main,
    /// Paths of the context that steps name; all when empty.
    paths: Vec<String>,
    /// Further folders of the client, by the name under which it offers them.
    further: Mutex<HashMap<String, Arc<OnceCell<Context>>>>,
}

enum Main {
    Here(Context),
    There {
        folder: String,
        without: Vec<String>,
        /// What the steps name.
        some: OnceCell<Context>,
        /// All that is not left out.
        all: OnceCell<Context>,
    },
}

/// Reads the Dockerfile `file`, which lies in the client's folder `separate`, or in the context.
pub(super) async fn script(
    source: &Source,
    origin: Origin,
    separate: Option<&str>,
    file: &str,
) -> Result<Script, Error> {
    let read = source.script(origin, separate, file);
    source.as_step(DEFINITION, &format!("[internal] load build definition from {file}"), read).await
}

impl Source {
    async fn script(&self, origin: Origin, separate: Option<&str>, file: &str) -> Result<Script, Error> {
        let received = match origin {
            Origin::Tar(stream) => {
                let spool = self.staging.join("context");
                Ok(Context::receive(stream, spool, self.cancel.clone()).await?)
            }
            Origin::Folder(folder) => Err(folder),
        };
        let separate = match (&received, separate) {
            (_, Some(folder)) => Some(self.definition(folder, file).await?),
            (Err(folder), None) => Some(self.definition(folder, file).await?),
            (Ok(_), None) => None,
        };
        let definition = separate.as_ref().or(received.as_ref().ok());
        let text = definition.map(|files| text(files, file)).transpose()?.flatten();
        let text = text.ok_or_else(|| Error::Invalid(format!("the build context has no `{file}`")))?;
        let own = format!("{file}{IGNORE}");
        let rules = definition.map(|files| files.text(&own, dockerfile::LARGEST)).transpose()?.flatten();
        let (name, rules) = match (rules, &received) {
            (Some(rules), _) => (own, Some(rules)),
            (None, Ok(context)) => (IGNORE.to_owned(), context.text(IGNORE, dockerfile::LARGEST)?),
            (None, Err(folder)) => (IGNORE.to_owned(), self.rules(folder, "ignore", "[internal] load").await?),
        };
        let without = rules_of(&rules.unwrap_or_default());
        let ignore = Ignore::of(without.iter().map(String::as_str));
        let ignore = ignore.map_err(|why| Error::Invalid(format!("{name}: {why}")))?;
        let main = match received {
            Ok(mut context) => {
                context.ignore(&ignore);
                Main::Here(context)
            }
            Err(folder) => Main::There { folder, without, some: OnceCell::new(), all: OnceCell::new() },
        };
        Ok(Script { text, main })
    }

    /// The Dockerfile and its own `.dockerignore`.
    async fn definition(&self, folder: &str, file: &str) -> Result<Context, Error> {
        let mut paths = vec![file.to_owned(), format!("{file}{IGNORE}")];
        paths.extend(in_lower_case(file));
        self.files(folder, paths, Vec::new(), Some((DEFINITION, "transferring dockerfile:"))).await
    }

    /// The `.dockerignore` of a folder; what its step is called begins so.
    async fn rules(&self, folder: &str, step: &str, name: &str) -> Result<Option<String>, Error> {
        let read = async {
            let files = self.files(folder, vec![IGNORE.to_owned()], Vec::new(), Some((step, TRANSFER))).await?;
            files.text(IGNORE, dockerfile::LARGEST)
        };
        self.as_step(step, &format!("{name} {IGNORE}"), read).await
    }

    /// Does something as a step of its own.
    async fn as_step<T>(
        &self,
        step: &str,
        name: &str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let Some(listener) = &self.listener else { return Box::pin(work).await };
        listener.tell(step, Happening::Began(name.to_owned()));
        let done = Box::pin(work).await;
        listener.tell(step, Happening::Ended(done.as_ref().err().map(ToString::to_string)));
        done
    }

    async fn files(
        &self,
        folder: &str,
        paths: Vec<String>,
        without: Vec<String>,
        told: Option<(&str, &str)>,
    ) -> Result<Context, Error> {
        let missing = || Error::Invalid(format!("there is no client that could send the folder `{folder}`"));
        let client = self.client.as_ref().ok_or_else(missing)?;
        let told = self.listener.clone().zip(told);
        let wanted = Wanted {
            folder: folder.to_owned(),
            paths,
            without,
            spool: self.staging.join(format!("files-{}", &id::random()[..16])),
            told: told.map(|(listener, (step, part))| (listener, step.to_owned(), part.to_owned())),
        };
        self.cancel.run_until_cancelled(client.files(wanted)).await.unwrap_or_else(|| Err(given_up()))
    }

    /// All of a folder that is not left out.
    async fn folder(
        &self,
        folder: &str,
        paths: Vec<String>,
        without: &[String],
        step: (&str, &str),
    ) -> Result<Context, Error> {
        let receive = async {
            let mut context = self.files(folder, paths, without.to_vec(), Some((step.0, TRANSFER))).await?;
            let ignore = Ignore::of(without.iter().map(String::as_str));
            context.ignore(&ignore.map_err(|why| Error::Invalid(format!("{IGNORE}: {why}")))?);
            Ok(context)
        };
        self.as_step(step.0, step.1, receive).await
    }
}

impl Script {
    /// The files of its build, whose steps name these paths of the context; all when there are none.
    pub(super) fn files(self, source: Source, paths: Vec<String>) -> Files {
        Files { source, main: self.main, paths, further: Mutex::default() }
    }
}

impl Files {
    /// The context. With `all` also what no step of the Dockerfile names.
    pub(super) async fn context(&self, all: bool) -> Result<&Context, Error> {
        let (folder, without, some, whole) = match &self.main {
            Main::Here(context) => return Ok(context),
            Main::There { folder, without, some, all } => (folder, without, some, all),
        };
        if let Some(context) = whole.get() {
            return Ok(context);
        }
        let step = ("context", "[internal] load build context");
        if all || self.paths.is_empty() {
            return whole.get_or_try_init(|| self.source.folder(folder, Vec::new(), without, step)).await;
        }
        some.get_or_try_init(|| self.source.folder(folder, self.paths.clone(), without, step)).await
    }

    /// A further folder of the client, which is known to people by `name`.
    pub(super) async fn folder(&self, folder: &str, name: &str) -> Result<Arc<OnceCell<Context>>, Error> {
        let cell = self.further.lock().await.entry(folder.to_owned()).or_default().clone();
        let step = |what: &str| format!("context {name} {what}");
        let receive = async || {
            let rules = self.source.rules(folder, &step("rules"), &format!("[context {name}] load")).await?;
            let title = format!("[context {name}] load from client");
            let without = rules_of(&rules.unwrap_or_default());
            self.source.folder(folder, Vec::new(), &without, (&step("files"), &title)).await
        };
        cell.get_or_try_init(receive).await?;
        Ok(cell)
    }

    /// The client, if it stays connected.
    pub(super) fn client(&self) -> Option<&Arc<dyn Client>> {
        self.source.client.as_ref()
    }
}

/// The Dockerfile's text. One that is called so may be written in lower case.
fn text(files: &Context, file: &str) -> Result<Option<String>, Error> {
    if let Some(text) = files.text(file, dockerfile::LARGEST)? {
        return Ok(Some(text));
    }
    in_lower_case(file).map(|file| files.text(&file, dockerfile::LARGEST)).transpose().map(Option::flatten)
}

fn in_lower_case(file: &str) -> Option<String> {
    let path = Path::new(file);
    (path.file_name()? == DOCKERFILE).then(|| path.with_file_name("dockerfile").to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::in_lower_case;

    #[test]
    fn only_the_common_name_is_looked_for_in_lower_case() {
        assert_eq!(in_lower_case("a/Dockerfile").as_deref(), Some("a/dockerfile"));
        assert_eq!(in_lower_case("Dockerfile.dev"), None);
    }
}
