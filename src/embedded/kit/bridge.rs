//! `moby.buildkit.v1.frontend.LLBBridge`: a client that leads its build itself has parts made, and then says what the whole
//! has come to. `docker buildx` builds so.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bollard_buildkit_proto::pb::{Definition, Input, Op, OpMetadata, SourceOp, op};
use chrono::Utc;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hyper::http;
use prost::Message;
use sha2::{Digest as _, Sha256};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::jobs::Job;
use super::wire::{
    Capability, Made, Nothing, Outcome, PongResponse, Reference, ReturnRequest, SolveRequest, SolveResponse,
};
use super::{Here, Kit, LARGEST_MESSAGE, failure, frontend};
use crate::embedded::id;

/// The header that says of which build a question is.
const BUILD: &str = "buildkit-controlapi-buildid";
/// What the operation is called that stands for what a build has made.
const PRODUCT: &str = "hoist-build://";
/// Where the configuration of an image is among what is told of it.
const CONFIG: &str = "containerimage.config";
/// The parts of the protocol that are spoken.
const CAPABILITIES: [&str; 9] = [
    "solve.base",
    "return",
    "proto.refarray",
    "reference.output",
    "gateway.solve.metadata",
    "gateway.evaluate",
    "gateway.solve.evaluate",
    "gateway.warnings",
    "frontend.caps",
];

/// The service.
#[derive(Debug, Clone)]
pub(super) struct Bridge {
    kit: Kit,
}

impl Bridge {
    pub(super) fn new(kit: Kit) -> Self {
        Self { kit }
    }

    /// The build that a question is about.
    fn job<T>(&self, request: &Request<T>) -> Result<Arc<Job>, Status> {
        let name = request.metadata().get(BUILD).and_then(|name| name.to_str().ok());
        let job = name.and_then(|name| self.kit.jobs.find(name));
        job.ok_or_else(|| Status::not_found("there is no such build"))
    }

    async fn ping(self, request: Request<Nothing>) -> Result<Response<PongResponse>, Status> {
        // It comes at the same time as the build that it is of.
        let name = request.metadata().get(BUILD).and_then(|name| name.to_str().ok()).unwrap_or_default();
        self.kit.jobs.wait(name).await.ok_or_else(|| Status::not_found("there is no such build"))?;
        let capability = |id: &str| Capability { id: id.to_owned(), enabled: true };
        let capabilities = CAPABILITIES.map(capability).into();
        Ok(Response::new(PongResponse { capabilities, workers: vec![self.kit.worker()] }))
    }

    async fn solve(self, request: Request<SolveRequest>) -> Result<Response<SolveResponse>, Status> {
        let job = self.job(&request)?;
        let asked = request.into_inner();
        if asked.frontend != frontend::NAME {
            return Err(only_dockerfiles(&asked.frontend));
        }
        let made = self.kit.make(&job, &asked.attributes, &asked.inputs, Here::default()).await;
        let product = made.map_err(|failure| failure::status(&failure))?;
        let document = product.document(Utc::now());
        let config = serde_json::to_vec(&document).map_err(|error| Status::internal(error.to_string()))?;
        let id = self.kit.jobs.keep(&job, product);
        let definition = Some(definition(&id));
        let outcome = Outcome {
            made: Some(Made::One(Reference { id, definition })),
            metadata: HashMap::from([(CONFIG.to_owned(), config)]),
        };
        Ok(Response::new(SolveResponse { result: Some(outcome) }))
    }

    fn give_back(&self, request: Request<ReturnRequest>) -> Result<Response<Nothing>, Status> {
        let job = self.job(&request)?;
        let ReturnRequest { result, error } = request.into_inner();
        let returned = if let Some(error) = error {
            let details = error.encode_to_vec().into();
            Err(Status::with_details(error.code.into(), error.message, details))
        } else {
            let name = result.and_then(|result| result.made).map(|made| match made {
                Made::Name(name) => name,
                Made::One(reference) => reference.id,
            });
            // One that only asked what can be done has made nothing.
            Ok(name.filter(|name| !name.is_empty()))
        };
        job.returned.send_replace(Some(returned));
        Ok(Response::new(Nothing {}))
    }

    /// What was made is whole already; a warning is not passed on.
    fn nothing(&self, request: &Request<Nothing>) -> Result<Response<Nothing>, Status> {
        self.job(request).map(|_| Response::new(Nothing {}))
    }

    async fn answer<Q, A, F>(
        self,
        request: http::Request<Body>,
        method: impl Fn(Self, Request<Q>) -> F + Send + Sync,
    ) -> http::Response<Body>
    where
        Q: Message + Default + 'static,
        A: Message + Default + 'static,
        F: Future<Output = Result<Response<A>, Status>> + Send + 'static,
    {
        let codec = ProstCodec::<A, Q>::default();
        let mut grpc = Grpc::new(codec).max_decoding_message_size(LARGEST_MESSAGE);
        grpc.unary(Method(|request| method(self.clone(), request)), request).await
    }
}

/// What can be built.
pub(super) fn only_dockerfiles(frontend: &str) -> Status {
    let what =
        if frontend.is_empty() { "a graph of operations".to_owned() } else { format!("the frontend `{frontend}`") };
    Status::unimplemented(format!(
        "this engine builds Dockerfiles and nothing else of BuildKit's: {what} is not supported"
    ))
}

/// What a build has made as an operation of another one.
fn definition(id: &str) -> Definition {
    let source = SourceOp { identifier: format!("{PRODUCT}{id}"), ..SourceOp::default() };
    let source = Op { op: Some(op::Op::Source(source)), ..Op::default() }.encode_to_vec();
    let digest_of = |operation: &[u8]| format!("sha256:{}", id::hexadecimal(&Sha256::digest(operation)));
    let digest = digest_of(&source);
    let end = Op { inputs: vec![Input { digest, index: 0 }], ..Op::default() }.encode_to_vec();
    let metadata = [&source, &end].map(|operation| (digest_of(operation), OpMetadata::default())).into();
    Definition { def: vec![source, end], metadata, ..Definition::default() }
}

/// What a definition stands for that was made so.
pub(super) fn product_of(definition: &Definition) -> Option<String> {
    definition.def.iter().find_map(|operation| match Op::decode(&operation[..]).ok()?.op? {
        op::Op::Source(source) => source.identifier.strip_prefix(PRODUCT).map(str::to_owned),
        _ => None,
    })
}

/// A method of the service, as gRPC calls it.
struct Method<F>(F);

impl<Q, A, F, T> UnaryService<Q> for Method<F>
where
    F: FnMut(Request<Q>) -> T,
    T: Future<Output = Result<Response<A>, Status>>,
{
    type Response = A;
    type Future = T;

    fn call(&mut self, request: Request<Q>) -> T {
        (self.0)(request)
    }
}

impl NamedService for Bridge {
    const NAME: &'static str = "moby.buildkit.v1.frontend.LLBBridge";
}

impl Service<http::Request<Body>> for Bridge {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let bridge = self.clone();
        async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match method.as_str() {
                "Ping" => bridge.answer(request, Self::ping).await,
                "Solve" => bridge.answer(request, Self::solve).await,
                "Return" => bridge.answer(request, |bridge, request| ready(bridge.give_back(request))).await,
                "Evaluate" | "Warn" => bridge.answer(request, |bridge, request| ready(bridge.nothing(&request))).await,
                _ => Status::unimplemented(format!("`{method}` is not supported by this engine")).into_http(),
            })
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::{definition, product_of};

    #[test]
    fn what_was_made_is_found_again_by_its_definition() {
        assert_eq!(product_of(&definition("abc")).as_deref(), Some("abc"));
        assert_eq!(product_of(&bollard_buildkit_proto::pb::Definition::default()), None);
    }
}
