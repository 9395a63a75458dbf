//! A build while it is carried out: what its stages share, and the order in which they are made.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use bollard_stubs::models::AuthConfig;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::context::full;
use super::files::Files;
use super::helper;
use super::plan::{self, Plan};
use super::scope::Arguments;
use super::stage::{self, Made, Outcome};
use super::tell::{Heading, Teller};
use super::work::Work;
use super::{Named, Options};
use crate::embedded::error::Error;
use crate::embedded::images::{self, Image, Images};
use crate::embedded::layout::Layout;
use crate::embedded::network::Networks;
use crate::embedded::spec::Machine;
use crate::embedded::{ROLE, program};

/// No stage at all.
const NOBODY: usize = usize::MAX;
/// Stages that are made at the same time.
const AT_ONCE: usize = 4;
/// Docker's own registry, as clients know it.
const HUB: &str = "registry-1.docker.io";
/// What a helper says is no longer than this.
const LONGEST_ANSWER: u64 = 64 * 1024;

/// What the stages of a build share.
pub(super) struct Build {
    pub(super) layout: Layout,
    pub(super) images: Images,
    pub(super) networks: Networks,
    pub(super) machine: Arc<Machine>,
    pub(super) cache: Cache,
    pub(super) options: Options,
    /// The Dockerfile's name.
    pub(super) file: String,
    pub(super) plan: Plan,
    pub(super) files: Files,
    pub(super) arguments: Arguments,
    /// This machine's.
    pub(super) platform: String,
    /// Goes with the build.
    pub(super) staging: PathBuf,
    pub(super) cancel: CancellationToken,
    pub(super) teller: Teller,
    /// The time that everything is given (`SOURCE_DATE_EPOCH`).
    pub(super) epoch: Option<DateTime<Utc>>,
    /// Base images that have been looked up: all stages see the same.
    pub(super) bases: Mutex<HashMap<String, Image>>,
    /// By stage of the plan.
    pub(super) outcomes: Vec<watch::Sender<Made>>,
}

impl Build {
    /// Makes all stages that are needed and returns what the target has become.
    pub(super) async fn make(&self) -> Result<Arc<Outcome>, Error> {
        let unused = plan::unused(&self.plan, &self.arguments);
        if !unused.is_empty() {
            self.teller.warn(&format!("One or more build-args [{}] were not consumed", unused.join(" "))).await;
        }
        self.adopt().await;
        let slots = Semaphore::new(AT_ONCE);
        // The stages that fail because of another one's failure say nothing of their own.
        let first = Mutex::new(None);
        let stages = self.plan.needed.iter().enumerate().map(|(place, at)| self.make_one(*at, place, &slots, &first));
        join_all(stages).await;
        match first.into_inner() {
            Some(error) => Err(error),
            None if self.cancel.is_cancelled() => Err(given_up()),
            None => self.outcome(self.plan.target),
        }
    }

    async fn make_one(&self, at: usize, place: usize, slots: &Semaphore, first: &Mutex<Option<Error>>) {
        let made = async {
            for need in plan::needs(&self.plan.stages, at, &self.plan.named) {
                let mut outcome = self.outcomes[need].subscribe();
                // The senders live as long as the build.
                let ready = self.cancel.run_until_cancelled(outcome.wait_for(Option::is_some)).await;
                ready.and_then(Result::ok).ok_or_else(given_up)?;
            }
            let _slot = self.cancel.run_until_cancelled(slots.acquire()).await.ok_or_else(given_up)?;
            Box::pin(stage::make(self, at, place)).await
        };
        match made.await {
            Ok(outcome) => {
                self.outcomes[at].send_replace(Some(Arc::new(outcome)));
                self.teller.done(place).await;
            }
            Err(error) => {
                let mut first = first.lock().await;
                if first.is_none() && !self.cancel.is_cancelled() {
                    self.teller.failed(place, &error).await;
                    *first = Some(error);
                } else {
                    self.teller.given_up(place);
                }
                self.cancel.cancel();
            }
        }
    }

    /// What a stage has become. To be asked only for stages that this one needs.
    pub(super) fn outcome(&self, at: usize) -> Result<Arc<Outcome>, Error> {
        self.outcomes[at].borrow().clone().ok_or_else(given_up)
    }

    /// The number of a stage's first step.
    pub(super) fn first_step(&self, place: usize) -> usize {
        let before = self.plan.needed[..place].iter();
        before.map(|stage| self.plan.stages[*stage].steps.len() + 1).sum::<usize>() + 1
    }

    /// Tells which step begins; `name` is for clients that draw steps.
    pub(super) async fn begin(&self, place: usize, number: usize, text: &str, name: Option<String>) {
        let all = self.first_step(self.plan.needed.len()) - 1;
        self.teller.begin(place, Heading { number, all, text: text.to_owned(), name }).await;
    }

    /// What a name stands for that is given with the build.
    pub(super) fn named(&self, name: &str) -> Option<&Named> {
        self.options.contexts.get(plan::plain_name(name))
    }

    /// Refuses a platform that this machine is not of.
    pub(super) fn check_platform(&self, platform: Option<&str>) -> Result<(), Error> {
        let Some(platform) = platform.or(self.options.platform.as_deref()).filter(|platform| !platform.is_empty())
        else {
            return Ok(());
        };
        let of = |platform: &str| {
            let (os, architecture) = platform.split_once('/').unwrap_or(("linux", platform));
            let architecture = architecture.split('/').next().unwrap_or_default().to_ascii_lowercase();
            let architecture = match architecture.as_str() {
                "x86_64" | "x86-64" => "amd64".to_owned(),
                "aarch64" => "arm64".to_owned(),
                _ => architecture,
            };
            (os.to_ascii_lowercase(), architecture)
        };
        if of(platform) == of(&self.platform) {
            return Ok(());
        }
        let hint = "this engine builds for the machine that it runs on";
        Err(Error::Unsupported(format!("cannot build for {platform}: {hint}, {}", self.platform)))
    }

    /// Takes over what the images that are named as a cache tell of their steps. That one cannot be had is no failure.
    async fn adopt(&self) {
        if self.options.no_cache {
            return;
        }
        for reference in &self.options.cache_from {
            let image = self.image(reference, NOBODY, String::new).await;
            let adopted = image.and_then(|image| self.cache.adopt(&image.document));
            if let Err(error) = adopted
                && !self.cancel.is_cancelled()
            {
                self.teller.warn(&format!("nothing of `{reference}` is used as a cache: {error}")).await;
            }
        }
    }

    /// An image that is here, or is pulled. `hint` is for when it cannot be had.
    pub(super) async fn image(&self, reference: &str, place: usize, hint: impl Fn() -> String) -> Result<Image, Error> {
        // Held while it is pulled: another stage on the same image waits for it.
        let mut bases = self.bases.lock().await;
        if let Some(image) = bases.get(reference) {
            return Ok(image.clone());
        }
        let here = if self.options.pull { None } else { self.images.find(reference).await.ok() };
        let image = match here {
            Some(image) => image,
            None => self.pull(reference, place).await.map_err(|error| {
                Error::NotFound(format!("the image `{reference}` is not here and cannot be pulled: {error}{}", hint()))
            })?,
        };
        if image.machine {
            let message = format!("`{reference}` stands for the machine itself, and nothing is built on it");
            return Err(Error::Unsupported(message));
        }
        bases.insert(reference.to_owned(), image.clone());
        Ok(image)
    }

    async fn pull(&self, reference: &str, place: usize) -> Result<Image, Error> {
        let (sender, mut news) = mpsc::channel::<images::News>(16);
        let credentials = self.credentials(reference).await;
        let pull = self.images.pull(reference, Some(&self.platform), credentials, sender);
        let tell = async {
            while let Some(news) = news.recv().await {
                self.teller.pulls(place, news).await;
            }
        };
        let both = async { tokio::join!(pull, tell).0 };
        self.cancel.run_until_cancelled(both).await.unwrap_or_else(|| Err(given_up()))
    }

    /// Who one is at the registry of an image: what came with the build, or what its client says.
    async fn credentials(&self, reference: &str) -> Option<AuthConfig> {
        if let Some(found) = credentials(&self.options.credentials, reference) {
            return Some(found);
        }
        let registry = registry(reference).unwrap_or(HUB);
        let client = self.files.client()?;
        self.cancel.run_until_cancelled(client.credentials(registry)).await.flatten()
    }

    /// Has a helper process do some work; whether it wrote anything.
    pub(super) async fn help(&self, work: &Work) -> Result<bool, Error> {
        let request = serde_json::to_vec(work).map_err(|error| Error::Failed(error.to_string()))?;
        let mut child = Command::new(program())
            .args([ROLE, "build"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io("start a helper process"))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(mut input), Some(output), Some(errors)) = pipes else { return Err(given_up()) };
        let (mut answer, mut message) = (String::new(), String::new());
        let talk = async {
            let send = async {
                // A helper that ends early says why.
                let _ = input.write_all(&request).await;
                drop(input);
            };
            let mut output = output.take(LONGEST_ANSWER);
            let mut errors = errors.take(LONGEST_ANSWER);
            let _ = tokio::join!(send, output.read_to_string(&mut answer), errors.read_to_string(&mut message));
        };
        if self.cancel.run_until_cancelled(talk).await.is_none() {
            // Waited for, so that nothing writes to the folders that are removed next.
            let _ = child.kill().await;
            return Err(given_up());
        }
        let status = child.wait().await.map_err(Error::io("wait for a helper process"))?;
        match status.code() {
            Some(0) => Ok(answer == "true"),
            Some(code) if code == i32::from(helper::FULL) => Err(full(&self.layout.builds())),
            _ if message.is_empty() => Err(Error::Failed(format!("a helper process ended unexpectedly: {status}"))),
            _ => Err(Error::Failed(message)),
        }
    }
}

/// Nobody waits for the build any more.
pub(super) fn given_up() -> Error {
    Error::Failed("the build was given up".into())
}

/// Who one is at the registry of an image.
fn credentials(all: &HashMap<String, AuthConfig>, reference: &str) -> Option<AuthConfig> {
    match registry(reference) {
        Some(registry) => all.iter().find(|(name, _)| host(name) == registry).map(|(_, found)| found.clone()),
        None => ["https://index.docker.io/v1/", "index.docker.io", "docker.io"]
            .iter()
            .find_map(|name| all.get(*name))
            .cloned(),
    }
}

/// The registry that an image names; `None` when it is Docker's.
fn registry(reference: &str) -> Option<&str> {
    let first = reference.split_once('/').map(|(first, _)| first);
    first.filter(|first| first.contains(['.', ':']) || *first == "localhost")
}

/// The host of a registry's address.
fn host(name: &str) -> &str {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    name.split('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard_stubs::models::AuthConfig;

    use super::credentials;

    #[test]
    fn credentials_are_found_by_the_registry_of_an_image() {
        let of = |name: &str| AuthConfig { username: Some(name.into()), ..AuthConfig::default() };
        let all: HashMap<String, AuthConfig> =
            [("https://index.docker.io/v1/", "hub"), ("https://ghcr.io", "git"), ("localhost:5000", "own")]
                .map(|(name, user)| (name.to_owned(), of(user)))
                .into();
        for (reference, user) in [
            ("node:20", Some("hub")),
            ("a/b", Some("hub")),
            ("ghcr.io/a", Some("git")),
            ("localhost:5000/x", Some("own")),
            ("q.io/a", None),
        ] {
            let found = credentials(&all, reference).and_then(|found| found.username);
            assert_eq!(found.as_deref(), user, "{reference}");
        }
    }
}
