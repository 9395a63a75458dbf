//! What a plan is made of: operations, what each is for, and what keeps it back. All of it prints itself as text, which
//! is what `hoist plan` and `hoist why` show and what tests compare.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::observed::ContainerId;
pub use crate::change::SyncFiles;
use crate::project::{Condition, Hook};

/// One thing that an engine can be told to do. The fields name what it is done to, never how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "kebab-case")]
pub enum Operation {
    /// Make a network of the project, by key.
    CreateNetwork {
        /// The key in the manifest.
        key: String,
    },
    /// Make a volume of the project, by key.
    CreateVolume {
        /// The key in the manifest.
        key: String,
    },
    /// Have a service's provider provide it.
    Provide {
        /// The service.
        service: String,
    },
    /// Have a service's provider stop what it provides, where it can, and keep it.
    Suspend {
        /// The service.
        service: String,
    },
    /// Have a service's provider give up what it provides.
    Withdraw {
        /// The service.
        service: String,
    },
    /// Have a model of the project pulled and ready to answer, by key.
    PrepareModel {
        /// The key in the manifest.
        key: String,
    },
    /// Pull a service's image.
    Pull {
        /// The service.
        service: String,
    },
    /// Build a service's image.
    Build {
        /// The service.
        service: String,
        /// The source generation that the image will carry.
        generation: u64,
    },
    /// Make a container.
    Create {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container whose place it will take.
        replaces: Option<ContainerId>,
    },
    /// Start a container.
    Start {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container.
        container: ContainerId,
    },
    /// Have a service's image be another service's, which was built from the same.
    Tag {
        /// The service.
        service: String,
        /// The service whose image it is.
        from: String,
        /// The source generation that the image stands for.
        generation: u64,
    },
    /// Stop a container if it runs and start its replacement; the old one stays until the new one has proved itself.
    Exchange {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container that stops.
        old: ContainerId,
        /// The container that starts.
        new: ContainerId,
    },
    /// Remove a container whose replacement has proved itself, stopping it first if it runs, and give that its name.
    Promote {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container that goes.
        old: ContainerId,
        /// The container that has taken its place.
        new: ContainerId,
    },
    /// Remove a replacement that has not proved itself and start the container again that it was to replace, if that
    /// does not run.
    Revert {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container that is taken back.
        old: ContainerId,
        /// The container that goes.
        new: ContainerId,
    },
    /// Put back the files that the last sync took the place of, and start the container again.
    Restore {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container.
        container: ContainerId,
    },
    /// Give a replacement its final name after an exchange that was cut short.
    Rename {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container.
        container: ContainerId,
    },
    /// Stop a container, or only what runs in it, and start it again.
    Restart {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container.
        container: ContainerId,
        /// What of it.
        what: Restarted,
    },
    /// Stop a container.
    Stop {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container.
        container: ContainerId,
    },
    /// Remove a container, stopping it first if it runs.
    Remove {
        /// The service.
        service: String,
        /// Its number.
        number: u32,
        /// The container.
        container: ContainerId,
        /// Its anonymous volumes go too.
        volumes: bool,
    },
    /// Copy changed files into a service's running containers.
    Sync {
        /// The service.
        service: String,
        /// The containers.
        containers: Vec<ContainerId>,
        /// What is copied and what is deleted.
        files: SyncFiles,
        /// What is run afterwards.
        exec: Vec<Hook>,
        /// What becomes of the files whose place is taken.
        keep: Keep,
        /// Leave out what the containers have already.
        compare: bool,
    },
    /// Remove a network by name.
    RemoveNetwork {
        /// The engine's name.
        name: String,
    },
    /// Remove a volume by name.
    RemoveVolume {
        /// The engine's name.
        name: String,
    },
    /// Remove an image.
    RemoveImage {
        /// The reference.
        image: String,
    },
}

/// What is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restarted {
    /// The container, as the engine does it.
    Container,
    /// Its program, which is to see other files: with the container, where that cannot be done without.
    Program,
}

/// What becomes of the files whose place a sync takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keep {
    /// Nobody wants them back.
    #[default]
    Nothing,
    /// They are kept for [`Operation::Restore`], in place of what was kept before.
    Anew,
    /// They are kept beside what was kept before, of which nobody knows yet whether it is wanted back.
    More,
}

/// What an operation is done to. No two operations on the same subject are ever under way together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A network, by key or name.
    Network(String),
    /// A volume, by key or name.
    Volume(String),
    /// What a service's provider provides.
    Provider(String),
    /// A model, by key.
    Model(String),
    /// A service's image.
    Image(String),
    /// The files in a service's containers.
    Files(String),
    /// One container of a service and what is to replace it.
    Replica(String, u32),
}

impl Operation {
    /// What it is done to.
    #[must_use]
    pub fn target(&self) -> Subject {
        match self {
            Self::CreateNetwork { key: name } | Self::RemoveNetwork { name } => Subject::Network(name.clone()),
            Self::CreateVolume { key: name } | Self::RemoveVolume { name } => Subject::Volume(name.clone()),
            Self::Provide { service } | Self::Suspend { service } | Self::Withdraw { service } => {
                Subject::Provider(service.clone())
            }
            Self::PrepareModel { key } => Subject::Model(key.clone()),
            Self::Pull { service } | Self::Build { service, .. } | Self::Tag { service, .. } => {
                Subject::Image(service.clone())
            }
            Self::RemoveImage { image } => Subject::Image(image.clone()),
            Self::Sync { service, .. } => Subject::Files(service.clone()),
            Self::Create { service, number, .. }
            | Self::Start { service, number, .. }
            | Self::Exchange { service, number, .. }
            | Self::Promote { service, number, .. }
            | Self::Revert { service, number, .. }
            | Self::Restore { service, number, .. }
            | Self::Rename { service, number, .. }
            | Self::Restart { service, number, .. }
            | Self::Stop { service, number, .. }
            | Self::Remove { service, number, .. } => Subject::Replica(service.clone(), *number),
        }
    }

    /// Whether a container runs when it is done that need not have run before.
    #[must_use]
    pub fn starts(&self) -> bool {
        matches!(
            self,
            Self::Start { .. }
                | Self::Exchange { .. }
                | Self::Restart { .. }
                | Self::Revert { .. }
                | Self::Restore { .. }
        )
    }

    /// Whether something that runs or is there is not when it is done: what the end of a run consists of.
    #[must_use]
    pub fn ends(&self) -> bool {
        matches!(
            self,
            Self::Stop { .. }
                | Self::Suspend { .. }
                | Self::Withdraw { .. }
                | Self::Remove { .. }
                | Self::RemoveNetwork { .. }
                | Self::RemoveVolume { .. }
                | Self::RemoveImage { .. }
        )
    }

    /// The service that it is for, when it is for one.
    #[must_use]
    pub fn service(&self) -> Option<&str> {
        match self {
            Self::Provide { service }
            | Self::Suspend { service }
            | Self::Withdraw { service }
            | Self::Pull { service }
            | Self::Build { service, .. }
            | Self::Tag { service, .. }
            | Self::Create { service, .. }
            | Self::Start { service, .. }
            | Self::Exchange { service, .. }
            | Self::Promote { service, .. }
            | Self::Revert { service, .. }
            | Self::Restore { service, .. }
            | Self::Rename { service, .. }
            | Self::Restart { service, .. }
            | Self::Stop { service, .. }
            | Self::Remove { service, .. }
            | Self::Sync { service, .. } => Some(service),
            Self::CreateNetwork { .. }
            | Self::CreateVolume { .. }
            | Self::PrepareModel { .. }
            | Self::RemoveNetwork { .. }
            | Self::RemoveVolume { .. }
            | Self::RemoveImage { .. } => None,
        }
    }

    /// The verb for people: `build`, `start`, `replace`.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::CreateNetwork { .. } | Self::CreateVolume { .. } | Self::Create { .. } => "create",
            Self::Provide { .. } => "provide",
            Self::Suspend { .. } | Self::Stop { .. } => "stop",
            Self::Withdraw { .. } => "withdraw",
            Self::PrepareModel { .. } => "prepare",
            Self::Pull { .. } => "pull",
            Self::Build { .. } => "build",
            Self::Tag { .. } => "tag",
            Self::Start { .. } => "start",
            Self::Exchange { .. } => "replace",
            Self::Promote { .. } => "keep",
            Self::Revert { .. } => "take back",
            Self::Restore { .. } => "restore",
            Self::Rename { .. } => "rename",
            Self::Restart { .. } => "restart",
            Self::Remove { .. } | Self::RemoveNetwork { .. } | Self::RemoveVolume { .. } | Self::RemoveImage { .. } => {
                "remove"
            }
            Self::Sync { .. } => "sync",
        }
    }

    /// What it is done to, for people: `users-1`, `network default`, `image shop-users`.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::CreateNetwork { key } => format!("network {key}"),
            Self::CreateVolume { key } => format!("volume {key}"),
            Self::Provide { service } | Self::Suspend { service } | Self::Withdraw { service } => service.clone(),
            Self::PrepareModel { key } => format!("model {key}"),
            Self::Pull { service } | Self::Build { service, .. } | Self::Tag { service, .. } => {
                format!("image of {service}")
            }
            Self::Create { service, number, .. }
            | Self::Start { service, number, .. }
            | Self::Exchange { service, number, .. }
            | Self::Promote { service, number, .. }
            | Self::Revert { service, number, .. }
            | Self::Restore { service, number, .. }
            | Self::Rename { service, number, .. }
            | Self::Restart { service, number, .. }
            | Self::Stop { service, number, .. }
            | Self::Remove { service, number, .. } => format!("{service}-{number}"),
            Self::Sync { service, files, .. } => {
                let count = files.copied.len() + files.deleted.len();
                format!("{count} {} to {service}", if count == 1 { "file" } else { "files" })
            }
            Self::RemoveNetwork { name } => format!("network {name}"),
            Self::RemoveVolume { name } => format!("volume {name}"),
            Self::RemoveImage { image } => format!("image {image}"),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.verb(), self.subject())
    }
}

/// Why an operation is in the plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Cause {
    /// It is in the manifest and not in the engine.
    Missing,
    /// The container does not run.
    NotRunning,
    /// The resolved configuration differs from what the container was made from.
    ConfigChanged,
    /// A network that the container is on is made anew.
    NetworkChanged {
        /// The key in the manifest.
        key: String,
    },
    /// The image differs from what the container was made from.
    ImageChanged,
    /// Files were saved.
    SourcesChanged,
    /// The build's inputs differ from those that the image was built from.
    InputsChanged,
    /// Asked for on the command line.
    Asked,
    /// The service's pull policy asks for it.
    PullPolicy,
    /// A dependency with `restart: true` has a newer container.
    DependencyReplaced {
        /// The dependency.
        service: String,
    },
    /// It exited and its restart policy wants it back.
    Exited {
        /// The exit code.
        code: i64,
    },
    /// The manifest no longer has it.
    Orphan,
    /// More replicas run than are wanted.
    Surplus,
    /// It was built from the same as another service's image.
    BuiltTogether,
    /// The container that replaces it has proved itself.
    Proven,
    /// What took its place has not proved itself.
    Rejected {
        /// What it did instead, in words for people: `exited with code 1`.
        reason: String,
    },
    /// The run is coming to its end.
    Stopping,
    /// An exchange was cut short.
    Unfinished,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => formatter.write_str("does not exist"),
            Self::NotRunning => formatter.write_str("is not running"),
            Self::ConfigChanged => formatter.write_str("configuration changed"),
            Self::NetworkChanged { key } => write!(formatter, "network `{key}` changed"),
            Self::ImageChanged => formatter.write_str("image changed"),
            Self::SourcesChanged => formatter.write_str("sources changed"),
            Self::InputsChanged => formatter.write_str("sources changed since the image was built"),
            Self::Asked => formatter.write_str("asked for"),
            Self::PullPolicy => formatter.write_str("its `pull_policy` asks for it"),
            Self::DependencyReplaced { service } => write!(formatter, "dependency `{service}` was replaced"),
            Self::Exited { code } => write!(formatter, "exited with code {code}"),
            Self::Orphan => formatter.write_str("not in the manifest"),
            Self::Surplus => formatter.write_str("more replicas than wanted"),
            Self::BuiltTogether => formatter.write_str("built from the same as another"),
            Self::Proven => formatter.write_str("it has proved itself"),
            Self::Rejected { reason } => write!(formatter, "the new version {reason}"),
            Self::Stopping => formatter.write_str("stopping"),
            Self::Unfinished => formatter.write_str("an earlier exchange was cut short"),
        }
    }
}

/// What keeps an operation back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "hold", rename_all = "kebab-case")]
pub enum Hold {
    /// A dependency has not reached the state that is asked of it.
    Dependency {
        /// The dependency.
        service: String,
        /// The state.
        condition: Condition,
    },
    /// A dependency cannot reach that state any more.
    DependencyFailed {
        /// The dependency.
        service: String,
        /// Why.
        reason: String,
    },
    /// The image is not there yet.
    Image {
        /// The reference.
        image: String,
    },
    /// A network is not there yet.
    Network {
        /// The key in the manifest.
        key: String,
    },
    /// A volume is not there yet.
    Volume {
        /// The key in the manifest.
        key: String,
    },
    /// A model is not ready yet.
    Model {
        /// The key in the manifest.
        key: String,
    },
    /// A dependent must stop first.
    Dependent {
        /// The dependent.
        service: String,
    },
    /// Containers still use it.
    InUse,
    /// The container is not made yet.
    Container,
    /// Another operation on the same thing is under way.
    Busy,
    /// It failed and nothing has changed since.
    Failed {
        /// Why.
        reason: String,
    },
    /// It is tried again after a while.
    BackOff,
    /// The files that it is built from are being read.
    Inputs,
    /// A container has not proved itself yet.
    Proof,
    /// Another container must make room first.
    Order {
        /// The container, by service and number.
        subject: String,
    },
}

impl Hold {
    /// Whether what it waits for cannot come unless something changes.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed { .. } | Self::DependencyFailed { .. })
    }

    /// The reason, when it is a failure.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match self {
            Self::Failed { reason } => Some(reason.clone()),
            Self::DependencyFailed { service, reason } => Some(format!("dependency `{service}` {reason}")),
            _ => None,
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dependency { service, condition } => match condition {
                Condition::Started => write!(formatter, "waits for `{service}` to start"),
                Condition::Healthy => write!(formatter, "waits for `{service}` to be healthy"),
                Condition::Completed => write!(formatter, "waits for `{service}` to complete"),
            },
            Self::DependencyFailed { service, reason } => write!(formatter, "dependency `{service}` {reason}"),
            Self::Image { image } => write!(formatter, "waits for image `{image}`"),
            Self::Network { key } => write!(formatter, "waits for network `{key}`"),
            Self::Volume { key } => write!(formatter, "waits for volume `{key}`"),
            Self::Model { key } => write!(formatter, "waits for model `{key}`"),
            Self::Dependent { service } => write!(formatter, "waits for `{service}` to stop"),
            Self::InUse => formatter.write_str("waits for the containers that use it"),
            Self::Container => formatter.write_str("waits for its container"),
            Self::Busy => formatter.write_str("waits for an operation under way"),
            Self::Failed { reason } => write!(formatter, "failed: {reason}"),
            Self::Inputs => formatter.write_str("waits for its files to be read"),
            Self::Proof => formatter.write_str("waits for the new container to prove itself"),
            Self::BackOff => formatter.write_str("is tried again shortly"),
            Self::Order { subject } => write!(formatter, "waits for {subject}"),
        }
    }
}
