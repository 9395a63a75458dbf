//! Messages of `moby.buildkit.v1.frontend`, by which a client has parts of its build made and says what the result is. The
//! numbers are the protocol's.

use std::collections::HashMap;

use bollard_buildkit_proto::google::rpc::Status;
use bollard_buildkit_proto::moby::buildkit::v1::types::WorkerRecord;
use bollard_buildkit_proto::pb::Definition;

/// A part to be made.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SolveRequest {
    /// A graph of operations.
    #[prost(message, optional, tag = "1")]
    pub(super) definition: Option<Definition>,
    /// Or what makes one, `dockerfile.v0`.
    #[prost(string, tag = "2")]
    pub(super) frontend: String,
    /// Its attributes.
    #[prost(map = "string, string", tag = "3")]
    pub(super) attributes: HashMap<String, String>,
    /// What attributes name.
    #[prost(map = "string, message", tag = "13")]
    pub(super) inputs: HashMap<String, Definition>,
}

/// What was made.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SolveResponse {
    #[prost(message, optional, tag = "3")]
    pub(super) result: Option<Outcome>,
}

/// A result.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Outcome {
    #[prost(oneof = "Made", tags = "1, 3")]
    pub(super) made: Option<Made>,
    /// `containerimage.config` among others.
    #[prost(map = "string, bytes", tag = "10")]
    pub(super) metadata: HashMap<String, Vec<u8>>,
}

/// What a result is.
#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Made {
    /// A name of it, as older clients have it.
    #[prost(string, tag = "1")]
    Name(String),
    #[prost(message, tag = "3")]
    One(Reference),
}

/// Something that was made.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Reference {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    /// It as an operation of another build.
    #[prost(message, optional, tag = "2")]
    pub(super) definition: Option<Definition>,
}

/// What the client's build comes to.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReturnRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) result: Option<Outcome>,
    #[prost(message, optional, tag = "2")]
    pub(super) error: Option<Status>,
}

/// An answer that says nothing, and a question that asks for nothing in particular.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Nothing {}

/// Whether this speaks the protocol, and which parts of it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PongResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) capabilities: Vec<Capability>,
    #[prost(message, repeated, tag = "3")]
    pub(super) workers: Vec<WorkerRecord>,
}

/// A part of the protocol.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Capability {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(bool, tag = "2")]
    pub(super) enabled: bool,
}

/// What tells where in a file an error is; clients read it as JSON.
#[derive(Clone, PartialEq, serde::Serialize)]
pub(super) struct Source {
    pub(super) info: SourceInfo,
    pub(super) ranges: Vec<Range>,
}

/// A file.
#[derive(Clone, PartialEq, serde::Serialize)]
pub(super) struct SourceInfo {
    pub(super) filename: String,
    /// Its text in base64.
    pub(super) data: String,
}

/// Lines of it.
#[derive(Clone, PartialEq, serde::Serialize)]
pub(super) struct Range {
    pub(super) start: Position,
    pub(super) end: Position,
}

/// A place in it.
#[derive(Clone, PartialEq, serde::Serialize)]
pub(super) struct Position {
    pub(super) line: usize,
}
