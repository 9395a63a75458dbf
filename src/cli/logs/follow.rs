//! What containers write from now on, those that are started later included, until none is left running.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Arguments;
use super::merge::{Seen, split};
use crate::cli::error::Error;
use crate::cli::session::{self, Outline};
use crate::cli::times::fraction;
use crate::engine::docker::Docker;
use crate::engine::{Engine as _, EngineError, LogOptions};
use crate::log::{self, Origin};
use crate::plan::observed::{Container, ContainerId};
use crate::ui::Message;

/// How many batches of one container may wait to be passed on.
const AHEAD: usize = 16;

/// Everything that following needs to know.
pub(super) struct Following<'a> {
    pub(super) docker: Docker,
    pub(super) project: Outline,
    pub(super) arguments: &'a Arguments,
    pub(super) options: LogOptions,
    pub(super) sender: &'a mpsc::Sender<Message>,
}

impl Following<'_> {
    /// Follows every container that runs, from where it was read to; ends when none runs any more.
    pub(super) async fn run(&self, mut seen: Seen) -> Result<(), Error> {
        // Subscribed before the listing, so that no start falls between the two.
        let mut events = self.docker.events(&self.project.name);
        let mut running = FuturesUnordered::new();
        let mut followed: BTreeSet<ContainerId> = BTreeSet::new();
        for container in session::containers(&self.docker, &self.project, &self.arguments.services).await? {
            if self.concerns(&container) {
                let last = read_to(&seen, &container.id);
                followed.insert(container.id.clone());
                running.push(self.follow(container, last));
            }
        }
        loop {
            tokio::select! {
                ended = running.next() => match ended {
                    None => return Ok(()),
                    Some((id, last, result)) => {
                        result.map_err(Error::engine("read the logs"))?;
                        followed.remove(&id);
                        seen.insert(id.clone(), last);
                        // It may have been started again in between.
                        if let Some(container) = self.look(&id).await? {
                            running.push(self.follow(container, read_to(&seen, &id)));
                            followed.insert(id);
                        }
                    }
                },
                Some(event) = events.next() => {
                    let id = event.map_err(Error::engine("follow the engine's events"))?.id;
                    if !followed.contains(&id)
                        && let Some(container) = self.look(&id).await?
                    {
                        running.push(self.follow(container, read_to(&seen, &id)));
                        followed.insert(id);
                    }
                }
            }
        }
    }

    fn concerns(&self, container: &Container) -> bool {
        let services = &self.arguments.services;
        container.state.is_running()
            && !container.one_off
            && (services.is_empty() || services.contains(&container.service))
            && self.arguments.index.is_none_or(|index| container.number == index)
    }

    /// The container, when it runs and is to be followed.
    async fn look(&self, id: &str) -> Result<Option<Container>, Error> {
        let container = self.docker.container(id).await.map_err(Error::engine("inspect a container"))?;
        Ok(container.filter(|container| self.concerns(container)))
    }

    /// Passes on what a container writes until it stops; returns the time of its last line.
    async fn follow(
        &self,
        container: Container,
        mut last: Duration,
    ) -> (ContainerId, Duration, Result<(), EngineError>) {
        let since =
            if last.is_zero() { self.options.since.clone() } else { Some(fraction(last + Duration::from_nanos(1))) };
        let options = LogOptions { follow: true, tail: None, since, ..self.options.clone() };
        let (sender, mut batches) = mpsc::channel(AHEAD);
        let origin = Origin { service: container.service, number: container.number };
        let reading =
            log::follow(self.docker.clone(), container.id.clone(), origin, options, sender, CancellationToken::new());
        let passing = async {
            while let Some(mut message) = batches.recv().await {
                if let Message::Lines(lines) = &mut message {
                    for line in lines {
                        let Some((time, rest)) = split(&line.text) else { continue };
                        last = time;
                        if !self.arguments.timestamps {
                            line.text = rest.to_owned();
                        }
                    }
                }
                if self.sender.send(message).await.is_err() {
                    return;
                }
            }
        };
        let (result, ()) = tokio::join!(reading, passing);
        (container.id, last, result)
    }
}

/// The time of the last line that was read of a container; zero when there was none.
fn read_to(seen: &Seen, id: &str) -> Duration {
    seen.get(id).copied().unwrap_or_default()
}
