//! Builds that run, by the names that their clients give them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::log::Log;
use crate::embedded::build::Product;
use crate::embedded::build::progress::Listener;
use crate::embedded::id;

/// A client asks for a build, and for what it tells, at the same time: how long the one waits for the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// All of them; clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Jobs {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Those that run, and those that have ended and were not asked about yet.
    jobs: Mutex<HashMap<String, Arc<Job>>>,
    came: Notify,
    /// What builds that run have made.
    products: Mutex<HashMap<String, Weak<Product>>>,
}

/// A build.
#[derive(Debug)]
pub(super) struct Job {
    /// What it tells.
    pub(super) log: Arc<Log>,
    /// Gives it up.
    pub(super) cancel: CancellationToken,
    /// What the client says that it has come to, where the client leads it.
    pub(super) returned: watch::Sender<Option<Result<Option<String>, Status>>>,
    session: Mutex<Option<String>>,
    /// Keeps what it has made.
    products: Mutex<Vec<Arc<Product>>>,
}

/// A build while it runs; dropped, it has ended.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) job: Arc<Job>,
    jobs: Jobs,
    name: String,
}

impl Job {
    fn new(name: &str) -> Self {
        Self {
            log: Arc::new(Log::new(name)),
            cancel: CancellationToken::new(),
            returned: watch::Sender::new(None),
            session: Mutex::default(),
            products: Mutex::default(),
        }
    }

    /// The session that can be asked.
    pub(super) fn session(&self) -> Option<String> {
        lock(&self.session).clone()
    }

    /// Who listens to its steps.
    pub(super) fn listener(&self) -> Listener {
        let log = self.log.clone();
        Listener::new(move |progress| log.take(progress))
    }
}

impl Jobs {
    /// Begins one that ends when the value is dropped, with the session that can be asked; an empty name is none. What it
    /// told can be asked for a little longer.
    pub(super) fn run(&self, name: &str, session: &str) -> Running {
        let job = {
            let mut jobs = lock(&self.shared.jobs);
            let job = jobs.entry(name.to_owned()).or_insert_with(|| Arc::new(Job::new(name))).clone();
            // Before anybody can find it.
            *lock(&job.session) = Some(session.to_owned()).filter(|session| !session.is_empty());
            job
        };
        self.shared.came.notify_waiters();
        Running { job, jobs: self.clone(), name: name.to_owned() }
    }

    /// One that has been begun.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Job>> {
        lock(&self.shared.jobs).get(name).cloned()
    }

    /// The same, as soon as it is begun.
    pub(super) async fn wait(&self, name: &str) -> Option<Arc<Job>> {
        let found = async {
            loop {
                let mut came = std::pin::pin!(self.shared.came.notified());
                // Before looking, so that nothing is missed in between.
                came.as_mut().enable();
                if let Some(job) = self.find(name) {
                    return job;
                }
                came.await;
            }
        };
        tokio::time::timeout(PATIENCE, found).await.ok()
    }

    /// Forgets one that has ended.
    pub(super) fn forget(&self, name: &str) {
        lock(&self.shared.jobs).remove(name);
    }

    /// Keeps what a build has made as long as the build runs; the name by which others find it.
    pub(super) fn keep(&self, job: &Job, product: Product) -> String {
        let (name, product) = (id::random(), Arc::new(product));
        let mut products = lock(&self.shared.products);
        products.retain(|_, product| product.strong_count() > 0);
        products.insert(name.clone(), Arc::downgrade(&product));
        lock(&job.products).push(product);
        name
    }

    /// What a build has made that still runs.
    pub(super) fn product(&self, name: &str) -> Option<Arc<Product>> {
        lock(&self.shared.products).get(name).and_then(Weak::upgrade)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.job.cancel.cancel();
        self.job.log.end();
        lock(&self.job.products).clear();
        let (jobs, name) = (self.jobs.clone(), std::mem::take(&mut self.name));
        // Its client may ask only now what it told.
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            jobs.forget(&name);
        });
    }
}

/// What it holds, whatever has happened to another who held it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::Jobs;
    use crate::embedded::build::progress::{Happening, Progress};

    #[tokio::test]
    async fn who_asks_before_a_build_begins_hears_of_it_from_the_beginning() {
        let jobs = Jobs::default();
        let asking = tokio::spawn({
            let jobs = jobs.clone();
            async move {
                let job = jobs.wait("b").await.expect("it begins");
                assert_eq!(job.session().as_deref(), Some("its session"), "nobody finds it without");
                job.log.clone().news().collect::<Vec<_>>().await
            }
        });
        let running = jobs.run("b", "its session");
        running.job.log.take(Progress { step: "1".into(), what: Happening::Began("one".into()) });
        drop(running);
        let told = asking.await.expect("it does not panic");
        assert_eq!(told.iter().map(|news| news.vertexes.len()).sum::<usize>(), 1);
        assert!(jobs.find("b").is_some(), "it can still be asked about");
    }
}
