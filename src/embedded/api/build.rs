//! `/build`.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use bollard_stubs::models::{BuildPruneResponse, HostConfig};
use serde_json::json;
use tokio::sync::mpsc;

use super::Engine;
use super::answer::{self, Answer, Refusal};
use super::kit;
use super::request::{self, Parameters};
use crate::embedded::build::files::Origin;
use crate::embedded::build::tell::Audience;
use crate::embedded::build::{News, Options, Order};

/// News that wait for the client to read them.
const NEWS: usize = 256;

pub(super) fn routes() -> Router<Engine> {
    Router::new().route("/build", post(build)).route("/build/prune", post(prune)).route("/build/cancel", post(cancel))
}

async fn build(State(engine): State<Engine>, asked: Parameters, headers: HeaderMap, body: Body) -> Answer {
    if asked.text("version") == Some("2") {
        return kit::build(engine, &asked, &headers, body).await;
    }
    refuse(&asked)?;
    let options = options(&asked, &headers)?;
    let (sender, news) = mpsc::channel::<News>(NEWS);
    let order = Order {
        options,
        origin: Origin::Tar(request::stream(body)),
        definition: None,
        client: None,
        audience: Audience::Lines { news: sender, quiet: asked.flag("q") },
    };
    let work = async move { engine.builder.build(order).await.map_err(|failure| failure.error) };
    answer::work(news, work, |_| Vec::new()).await
}

/// What other builders do and this one does not.
fn refuse(asked: &Parameters) -> Result<(), Refusal> {
    if asked.has("outputs") {
        let hint = "leave DOCKER_BUILDKIT=0 out";
        return Err(Refusal::unsupported(format!("other outputs than an image need a client of BuildKit: {hint}")));
    }
    if let Some(address) = asked.text("remote") {
        return Err(Refusal::unsupported(format!(
            "building from an address is not supported: fetch `{address}` and build from the folder"
        )));
    }
    if asked.flag("squash") {
        return Err(Refusal::unsupported("squashing the layers of a build is not supported"));
    }
    Ok(())
}

fn options(asked: &Parameters, headers: &HeaderMap) -> Result<Options, Refusal> {
    Ok(Options {
        dockerfile: asked.text("dockerfile").unwrap_or("Dockerfile").to_owned(),
        tags: asked.all("t").filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
        arguments: asked.json("buildargs")?.unwrap_or_default(),
        labels: asked.json("labels")?.unwrap_or_default(),
        target: asked.text("target").unwrap_or_default().to_owned(),
        platform: asked.text("platform").map(str::to_owned),
        no_cache: asked.flag("nocache"),
        pull: asked.flag("pull"),
        network: asked.text("networkmode").unwrap_or_default().to_owned(),
        extra_hosts: asked.all("extrahosts").flat_map(|hosts| hosts.split(',')).map(str::to_owned).collect(),
        cache_from: asked.json("cachefrom")?.unwrap_or_default(),
        shm_size: asked.number::<u64>("shmsize")?.filter(|size| *size > 0),
        limits: limits(asked)?,
        credentials: request::all_credentials(headers)?,
        ..Options::default()
    })
}

/// What the commands of a build may use.
fn limits(asked: &Parameters) -> Result<HostConfig, Refusal> {
    let some = |number: Option<i64>| number.filter(|number| *number != 0);
    let text = |name: &str| asked.text(name).map(str::to_owned);
    Ok(HostConfig {
        memory: some(asked.number("memory")?),
        memory_swap: some(asked.number("memswap")?),
        cpu_shares: some(asked.number("cpushares")?),
        cpu_period: some(asked.number("cpuperiod")?),
        cpu_quota: some(asked.number("cpuquota")?),
        cpuset_cpus: text("cpusetcpus"),
        cpuset_mems: text("cpusetmems"),
        cgroup_parent: text("cgroupparent"),
        ulimits: asked.json("ulimits")?,
        ..HostConfig::default()
    })
}

async fn prune(State(engine): State<Engine>) -> Answer {
    let bytes = engine.builder.prune().await?;
    let space_reclaimed = Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    Ok(answer::value(&BuildPruneResponse { caches_deleted: Some(Vec::new()), space_reclaimed }))
}

/// A build also ends when the client that asked for it goes.
async fn cancel(State(engine): State<Engine>, asked: Parameters) -> Answer {
    engine.kit.cancel(asked.text("id").unwrap_or_default());
    Ok(answer::value(&json!({})))
}
