//! Rollouts as they go on: workloads and their pods are watched, and every change gives a picture of how all stand.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use kube::api::{ListParams, WatchEvent, WatchParams};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::{Cluster, DeployError, PATIENCE, items};
use crate::release::item::Id;
use crate::release::progress::{self, Phase, Standing, Trouble};

/// How much news may wait to be looked at.
const NEWS: usize = 256;

/// The first pause before a watch that broke is begun again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How one workload stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The workload.
    pub id: Id,
    /// How it stands; `None` until the cluster has said so.
    pub standing: Option<Standing>,
    /// What keeps one of its pods.
    pub trouble: Option<Trouble>,
    /// The last lines of the container that the trouble is with.
    pub last_lines: Vec<String>,
}

/// How all workloads stand.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    /// The workloads, in the order in which they were asked for.
    pub subjects: Vec<Subject>,
    /// Why nothing is heard from the cluster, when nothing is.
    pub silent: Option<String>,
}

/// How a rollout ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rollout {
    /// Everything is ready.
    Ready,
    /// These workloads are given up by the cluster.
    Failed(Vec<Id>),
    /// These were not ready in time.
    Late(Vec<Id>),
}

/// What a watch has to say.
enum News {
    /// All that there is.
    All(String, Vec<Value>),
    /// One is there, or is another than before.
    One(String, Value),
    /// One is gone.
    Gone(String, Value),
    /// Nothing is heard.
    Lost(String),
}

impl Cluster {
    /// Waits until workloads are ready, until one is given up, or until the deadline. `set` are the labels of the
    /// workloads, `pods` those of their pods. `tell` is shown every new picture.
    ///
    /// # Errors
    /// When the cluster refuses to be watched.
    pub async fn rollout(
        &self,
        workloads: &[Id],
        set: &str,
        pods: &str,
        deadline: Instant,
        tell: &mut (dyn FnMut(&Picture) + Send),
    ) -> Result<Rollout, DeployError> {
        let (sender, mut news) = mpsc::channel(NEWS);
        let mut watches = JoinSet::new();
        let mut kinds: BTreeMap<&str, Id> = workloads.iter().map(|id| (id.kind.as_str(), id.clone())).collect();
        let pod = Id { group: String::new(), version: "v1".into(), kind: "Pod".into(), name: String::new() };
        kinds.insert("Pod", pod);
        for kind in kinds.into_values() {
            let labels = if kind.kind == "Pod" { pods } else { set };
            watches.spawn(watch(self.clone(), kind, labels.to_owned(), sender.clone()));
        }
        drop(sender);
        let mut seen = Seen::new(workloads);
        let mut shown = Picture::default();
        loop {
            tokio::select! {
                Some(one) = news.recv() => seen.take(one),
                Some(ended) = watches.join_next() => {
                    if let Ok(Err(error)) = ended {
                        return Err(error);
                    }
                    continue;
                }
                () = sleep_until(deadline) => return Ok(Rollout::Late(seen.late())),
            }
            // What has come meanwhile is one change.
            while let Ok(one) = news.try_recv() {
                seen.take(one);
            }
            seen.hear(self).await;
            let picture = seen.picture();
            if picture != shown {
                tell(&picture);
                shown = picture;
            }
            if let Some(end) = seen.end() {
                return Ok(end);
            }
        }
    }
}

/// What has been seen so far.
struct Seen {
    workloads: Vec<Id>,
    /// Objects by kind and name.
    objects: BTreeMap<String, BTreeMap<String, Value>>,
    /// Last lines by pod, container and number of restarts.
    lines: BTreeMap<(String, String, i64), Vec<String>>,
    silent: Option<String>,
}

impl Seen {
    fn new(workloads: &[Id]) -> Self {
        Self { workloads: workloads.to_vec(), objects: BTreeMap::new(), lines: BTreeMap::new(), silent: None }
    }

    fn take(&mut self, news: News) {
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.silent = None;
        match news {
            News::All(kind, objects) => {
                self.objects.insert(kind, objects.into_iter().map(|object| (name(&object), object)).collect());
            }
            News::One(kind, object) => {
                self.objects.entry(kind).or_default().insert(name(&object), object);
            }
            News::Gone(kind, object) => {
                self.objects.entry(kind).or_default().remove(&name(&object));
            }
            News::Lost(message) => self.silent = Some(message),
        }
    }

    fn workload(&self, id: &Id) -> Option<&Value> {
        self.objects.get(&id.kind)?.get(&id.name)
    }

    /// What keeps a workload that is not ready.
    fn trouble(&self, id: &Id) -> Option<Trouble> {
        let workload = self.workload(id)?;
        if progress::standing(workload).phase == Phase::Ready {
            return None;
        }
        let mut pods = self.objects.get("Pod")?.values().filter(|pod| progress::is_pod_of(pod, workload));
        pods.find_map(progress::trouble)
    }

    /// Asks for the last words of containers that have ended badly, once for each end.
    async fn hear(&mut self, cluster: &Cluster) {
        for id in self.workloads.clone() {
            let Some(Trouble { pod, container: Some(container), restarts: Some(restarts), .. }) = self.trouble(&id)
            else {
                continue;
            };
            let key = (pod, container, restarts);
            if self.lines.contains_key(&key) {
                continue;
            }
            let mut lines = cluster.last_lines(&key.0, &key.1, restarts > 0).await;
            if lines.is_empty() {
                lines = cluster.last_lines(&key.0, &key.1, restarts == 0).await;
            }
            self.lines.insert(key, lines);
        }
    }

    fn picture(&self) -> Picture {
        let subjects = self.workloads.iter().map(|id| {
            let trouble = self.trouble(id);
            let key = trouble
                .as_ref()
                .and_then(|trouble| Some((trouble.pod.clone(), trouble.container.clone()?, trouble.restarts?)));
            let last_lines = key.and_then(|key| self.lines.get(&key).cloned()).unwrap_or_default();
            Subject { id: id.clone(), standing: self.workload(id).map(progress::standing), trouble, last_lines }
        });
        Picture { subjects: subjects.collect(), silent: self.silent.clone() }
    }

    fn phases(&self) -> impl Iterator<Item = (&Id, Phase)> {
        self.workloads.iter().map(|id| {
            let phase = self.workload(id).map_or(Phase::Rolling, |object| progress::standing(object).phase);
            (id, phase)
        })
    }

    fn late(&self) -> Vec<Id> {
        self.phases().filter(|(_, phase)| *phase != Phase::Ready).map(|(id, _)| id.clone()).collect()
    }

    fn end(&self) -> Option<Rollout> {
        let failed: Vec<Id> =
            self.phases().filter(|(_, phase)| *phase == Phase::Failed).map(|(id, _)| id.clone()).collect();
        // Until the pods are known, nobody can tell why.
        if !failed.is_empty() {
            return self.objects.contains_key("Pod").then_some(Rollout::Failed(failed));
        }
        self.phases().all(|(_, phase)| phase == Phase::Ready).then_some(Rollout::Ready)
    }
}

/// Watches the objects of a kind, for as long as somebody listens.
async fn watch(cluster: Cluster, kind: Id, labels: String, news: mpsc::Sender<News>) -> Result<(), DeployError> {
    let mut pause = PAUSES.0;
    let mut version = None;
    while !news.is_closed() {
        match follow(&cluster, &kind, &labels, &news, &mut version).await {
            Ok(()) => pause = PAUSES.0,
            Err(DeployError::Expired) => version = None,
            Err(error) if error.may_pass() => {
                if news.send(News::Lost(error.to_string())).await.is_err() {
                    break;
                }
                sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Lists, when there is no version to go on from, and then tells what changes until the cluster ends that.
async fn follow(
    cluster: &Cluster,
    kind: &Id,
    labels: &str,
    news: &mpsc::Sender<News>,
    version: &mut Option<String>,
) -> Result<(), DeployError> {
    let refused = |error: kube::core::request::Error| DeployError::Refused { message: error.to_string() };
    let from = if let Some(version) = version.clone() {
        version
    } else {
        let request = cluster.path(kind).list(&ListParams::default().labels(labels)).map_err(refused)?;
        let listed = timeout(PATIENCE, cluster.client.request::<Value>(request)).await;
        let late = |_| DeployError::Unreachable { message: format!("no answer in {} s", PATIENCE.as_secs()) };
        let list = listed.map_err(late)??;
        let from = list["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
        // Nobody listens any more when the rollout has ended.
        let _ = news.send(News::All(kind.kind.clone(), items(kind, &list))).await;
        *version = Some(from.clone());
        from
    };
    let request = cluster.path(kind).watch(&WatchParams::default().labels(labels), &from).map_err(refused)?;
    let events = cluster.client.request_events::<Value>(request).await?;
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        let one = match event? {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => News::One(kind.kind.clone(), object),
            WatchEvent::Deleted(object) => News::Gone(kind.kind.clone(), object),
            WatchEvent::Bookmark(bookmark) => {
                *version = Some(bookmark.metadata.resource_version);
                continue;
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        };
        if let News::One(_, object) | News::Gone(_, object) = &one {
            *version = object["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        }
        if news.send(one).await.is_err() {
            break;
        }
    }
    Ok(())
}
