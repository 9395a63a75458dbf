//! `moby.buildkit.v1.Control`: builds asked for, and what they tell.

use std::collections::HashMap;
use std::sync::Arc;

use bollard_buildkit_proto::moby::buildkit::v1::control_server::Control;
use bollard_buildkit_proto::moby::buildkit::v1::{
    BuildHistoryEvent, BuildHistoryRequest, BytesMessage, DiskUsageRequest, DiskUsageResponse, Exporter, InfoRequest,
    InfoResponse, ListWorkersRequest, ListWorkersResponse, PruneRequest, SolveRequest, SolveResponse, StatusRequest,
    StatusResponse, UpdateBuildHistoryRequest, UpdateBuildHistoryResponse, UsageRecord,
};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::bridge::only_dockerfiles;
use super::jobs::Job;
use super::{Here, Kit, Output, failure, frontend, output, send};
use crate::embedded::build::progress::{Happening, Listener};
use crate::embedded::build::{Failure, Product, whole_name};
use crate::embedded::error::Error;

/// The step in which a result is put out.
const EXPORT: &str = "export";

/// The service.
#[derive(Debug)]
pub(super) struct Service {
    kit: Kit,
}

impl Service {
    pub(super) fn new(kit: Kit) -> Self {
        Self { kit }
    }

    /// What is to be put out has been made: by the client's own lead, or by a frontend.
    async fn product(&self, job: &Job, asked: &SolveRequest) -> Result<Option<Arc<Product>>, Status> {
        if !asked.frontend.is_empty() {
            if asked.frontend != frontend::NAME {
                return Err(only_dockerfiles(&asked.frontend));
            }
            let (attributes, inputs) = (&asked.frontend_attrs, &asked.frontend_inputs);
            let made = self.kit.make(job, attributes, inputs, Here::default()).await;
            return made.map(|product| Some(Arc::new(product))).map_err(|failure| failure::status(&failure));
        }
        if asked.definition.as_ref().is_some_and(|definition| !definition.def.is_empty()) {
            return Err(only_dockerfiles(""));
        }
        let mut returned = job.returned.subscribe();
        let returned = match returned.wait_for(Option::is_some).await {
            Ok(returned) => returned.clone(),
            // The job lives as long as this.
            Err(_) => None,
        };
        match returned {
            None | Some(Ok(None)) => Ok(None),
            Some(Err(status)) => Err(status),
            Some(Ok(Some(id))) => {
                let lost = || Status::not_found(format!("the result `{id}` is not there"));
                self.kit.jobs.product(&id).ok_or_else(lost).map(Some)
            }
        }
    }
}

/// What becomes of a result.
fn outputs(asked: &SolveRequest) -> Result<Output, Error> {
    let deprecated =
        Exporter { r#type: asked.exporter_deprecated.clone(), attrs: asked.exporter_attrs_deprecated.clone() };
    let exporter = match &asked.exporters[..] {
        [] => &deprecated,
        [one] => one,
        _ => return Err(Error::Unsupported("a build has one output on this engine".into())),
    };
    output(&exporter.r#type, &exporter.attrs)
}

impl Kit {
    /// Puts out what was built; the id of the image, if one is made.
    pub(super) fn put_out<'a>(
        &'a self,
        job: &'a Job,
        product: &'a Product,
        output: &'a Output,
    ) -> BoxFuture<'a, Result<Option<String>, Error>> {
        async move {
            let listener = job.listener();
            let title = match output {
                Output::Nothing => return Ok(None),
                Output::Image(_) => "exporting to image",
                Output::Tar | Output::Files => "exporting to client",
            };
            listener.tell(EXPORT, Happening::Began(title.to_owned()));
            let put = match output {
                Output::Image(names) => self.image(&listener, product, names).await.map(Some),
                output => self.send(job, product, output).await.map(|()| None),
            };
            listener.tell(EXPORT, Happening::Ended(put.as_ref().err().map(ToString::to_string)));
            put
        }
        .boxed()
    }

    async fn image(&self, listener: &Listener, product: &Product, names: &[String]) -> Result<String, Error> {
        let id = self.builder.image(product, names).await?;
        let written = std::iter::once(format!("writing image {id}"));
        let tagged = names.iter().map(|name| format!("naming to {}", whole_name(name)));
        for name in written.chain(tagged) {
            listener.tell(EXPORT, Happening::Part { name, current: 0, total: None, done: true });
        }
        Ok(id)
    }

    async fn send(&self, job: &Job, product: &Product, output: &Output) -> Result<(), Error> {
        let missing = || Error::Invalid("there is no session that could take the result".into());
        let session = self.sessions.find(&job.session().ok_or_else(missing)?).await?;
        send::result(&self.builder, &session, product, output).await
    }
}

#[tonic::async_trait]
impl Control for Service {
    type PruneStream = BoxStream<'static, Result<UsageRecord, Status>>;
    type StatusStream = BoxStream<'static, Result<StatusResponse, Status>>;
    type SessionStream = BoxStream<'static, Result<BytesMessage, Status>>;
    type ListenBuildHistoryStream = BoxStream<'static, Result<BuildHistoryEvent, Status>>;

    async fn disk_usage(&self, _: Request<DiskUsageRequest>) -> Result<Response<DiskUsageResponse>, Status> {
        let size = self.kit.builder.size().await;
        let record = UsageRecord {
            id: "builds".into(),
            description: "all builds".into(),
            record_type: "regular".into(),
            size: i64::try_from(size).unwrap_or(i64::MAX),
            ..UsageRecord::default()
        };
        let record = (size > 0).then_some(record);
        Ok(Response::new(DiskUsageResponse { record: record.into_iter().collect() }))
    }

    async fn prune(&self, _: Request<PruneRequest>) -> Result<Response<Self::PruneStream>, Status> {
        let bytes = self.kit.builder.prune().await.map_err(|error| failure::status(&Failure::from(error)))?;
        let record = UsageRecord {
            id: "builds".into(),
            description: "all builds".into(),
            record_type: "regular".into(),
            size: i64::try_from(bytes).unwrap_or(i64::MAX),
            ..UsageRecord::default()
        };
        let records = (bytes > 0).then_some(Ok(record));
        Ok(Response::new(stream::iter(records).boxed()))
    }

    async fn solve(&self, request: Request<SolveRequest>) -> Result<Response<SolveResponse>, Status> {
        let asked = request.into_inner();
        let running = self.kit.jobs.run(&asked.r#ref, &asked.session);
        let job = &running.job;
        let failed = |error| failure::status(&Failure::from(error));
        let output = outputs(&asked).map_err(failed)?;
        let mut response = HashMap::new();
        if let Some(product) = self.product(job, &asked).await? {
            let put = self.kit.put_out(job, &product, &output).await;
            if let Some(id) = put.map_err(failed)? {
                response.insert("containerimage.config.digest".to_owned(), id.clone());
                response.insert("containerimage.digest".to_owned(), id);
            }
            if let Output::Image(names) = &output {
                let names: Vec<String> = names.iter().map(|name| whole_name(name)).collect();
                response.insert("image.name".to_owned(), names.join(","));
            }
        }
        Ok(Response::new(SolveResponse { exporter_response: response }))
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<Self::StatusStream>, Status> {
        let name = request.into_inner().r#ref;
        let job = self.kit.jobs.wait(&name).await;
        let job = job.ok_or_else(|| Status::not_found(format!("no such job {name}")))?;
        Ok(Response::new(job.log.clone().news().map(Ok).boxed()))
    }

    async fn session(&self, _: Request<Streaming<BytesMessage>>) -> Result<Response<Self::SessionStream>, Status> {
        Err(Status::unimplemented("a session is opened at `/session`"))
    }

    async fn list_workers(&self, _: Request<ListWorkersRequest>) -> Result<Response<ListWorkersResponse>, Status> {
        Ok(Response::new(ListWorkersResponse { record: vec![self.kit.worker()] }))
    }

    async fn info(&self, _: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        Ok(Response::new(InfoResponse { buildkit_version: Some(super::version()) }))
    }

    async fn listen_build_history(
        &self,
        _: Request<BuildHistoryRequest>,
    ) -> Result<Response<Self::ListenBuildHistoryStream>, Status> {
        Err(Status::unimplemented("this engine keeps no history of builds"))
    }

    async fn update_build_history(
        &self,
        _: Request<UpdateBuildHistoryRequest>,
    ) -> Result<Response<UpdateBuildHistoryResponse>, Status> {
        Err(Status::unimplemented("this engine keeps no history of builds"))
    }
}
