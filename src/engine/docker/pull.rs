//! Pulls on a Docker engine, with the bytes of all layers summed up.

use std::collections::BTreeMap;

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Docker;
use super::error::from_bollard;
use crate::engine::credentials::registry_of;
use crate::engine::{EngineError, Progress};
use crate::plan::observed::Image;

/// The bytes of every layer: received, and in all where that is known.
#[derive(Debug, Default)]
struct Layers {
    layers: BTreeMap<String, (u64, Option<u64>)>,
}

impl Layers {
    /// Takes in one answer; the new sum, when it changes it.
    fn read(&mut self, info: CreateImageInfo) -> Option<Progress> {
        let layer = self.layers.entry(info.id?).or_insert((0, None));
        let detail = info.progress_detail.unwrap_or_default();
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        match info.status?.as_str() {
            "Downloading" => *layer = (number(detail.current).unwrap_or(layer.0), number(detail.total).or(layer.1)),
            "Download complete" | "Verifying Checksum" | "Pull complete" => layer.0 = layer.1.unwrap_or(layer.0),
            _ => return None,
        }
        let received = self.layers.values().map(|(received, _)| received).sum();
        let total: u64 = self.layers.values().filter_map(|(_, total)| *total).sum();
        Some(Progress::Bytes { received, total: (total > 0).then_some(total) })
    }
}

impl Docker {
    pub(super) async fn pull_image(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<Image, EngineError> {
        let pulled = cancel.run_until_cancelled(self.pull_to_end(image, platform, &progress)).await;
        // Engines and registries do not say which image they mean.
        let named = |message| format!("`{image}`: {message}");
        pulled.unwrap_or(Err(EngineError::Cancelled)).map_err(|error| match error {
            EngineError::NotFound { message } => EngineError::NotFound { message: named(message) },
            EngineError::Refused { message } => EngineError::Refused { message: named(message) },
            other => other,
        })
    }

    /// The digest of an image as its registry has it now; as this engine pulled it when the registry does not answer.
    ///
    /// # Errors
    /// When neither knows it.
    pub async fn digest(&self, image: &str) -> Result<String, EngineError> {
        let credentials = self.credentials.of_registry(&registry_of(image)).await;
        let asked = self.client.inspect_registry_image(image, credentials).await.map_err(from_bollard);
        match asked.map(|answer| answer.descriptor.digest) {
            Ok(Some(digest)) => return Ok(digest),
            Ok(None) => {}
            Err(error) => {
                let known = self.client.inspect_image(image).await.ok().and_then(|image| image.repo_digests);
                let pulled = known.into_iter().flatten().find_map(|name| Some(name.split_once('@')?.1.to_owned()));
                return pulled.ok_or(error);
            }
        }
        Err(EngineError::NotFound { message: format!("the registry of `{image}` tells no digest") })
    }

    async fn pull_to_end(
        &self,
        image: &str,
        platform: Option<&str>,
        progress: &mpsc::Sender<Progress>,
    ) -> Result<Image, EngineError> {
        let (repository, tag) = split(image);
        let options = CreateImageOptions {
            from_image: Some(repository.to_owned()),
            tag: Some(tag.to_owned()),
            platform: platform.unwrap_or_default().to_owned(),
            ..Default::default()
        };
        let credentials = self.credentials.of_registry(&registry_of(image)).await;
        let mut layers = Layers::default();
        let mut answers = self.patient.create_image(Some(options), None, credentials);
        while let Some(answer) = answers.next().await {
            if let Some(sum) = layers.read(answer.map_err(from_bollard)?) {
                // A sum that finds no room is overtaken by the next one.
                let _ = progress.try_send(sum);
            }
        }
        let lost = || EngineError::NotFound { message: "the engine pulled it and does not have it".to_owned() };
        self.inspected_image(image).await?.ok_or_else(lost)
    }
}

/// A reference in two, as the API wants it. Without a tag the API would pull every one there is.
pub(super) fn split(reference: &str) -> (&str, &str) {
    if let Some((repository, digest)) = reference.split_once('@') {
        return (repository, digest);
    }
    match reference.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{CreateImageInfo, ProgressDetail};

    use super::{Layers, split};
    use crate::engine::Progress;

    #[test]
    fn a_reference_is_split_at_its_tag_or_digest() {
        assert_eq!(split("node"), ("node", "latest"));
        assert_eq!(split("localhost:5000/node"), ("localhost:5000/node", "latest"));
        assert_eq!(split("localhost:5000/node:24"), ("localhost:5000/node", "24"));
        assert_eq!(split("node@sha256:ab"), ("node", "sha256:ab"));
    }

    #[test]
    fn bytes_are_summed_over_layers() {
        let mut layers = Layers::default();
        let mut read = |id: &str, status: &str, current, total| {
            layers.read(CreateImageInfo {
                id: Some(id.into()),
                status: Some(status.into()),
                progress_detail: Some(ProgressDetail { current, total }),
                ..Default::default()
            })
        };
        let sum = |received, total| Some(Progress::Bytes { received, total });
        assert_eq!(read("a", "Downloading", Some(1), Some(10)), sum(1, Some(10)));
        assert_eq!(read("b", "Downloading", Some(2), Some(20)), sum(3, Some(30)));
        assert_eq!(read("a", "Download complete", None, None), sum(12, Some(30)));
        assert_eq!(read("a", "Extracting", Some(5), Some(10)), None);
    }
}
