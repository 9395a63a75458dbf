//! Pushes of a Docker engine, with the bytes of all layers summed up, and the digest that the registry then knows.

use std::collections::BTreeMap;

use bollard::models::PushImageInfo;
use bollard::query_parameters::{PushImageOptions, TagImageOptions};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Docker;
use super::error::from_bollard;
use super::pull::split;
use crate::engine::credentials::registry_of;
use crate::engine::{EngineError, Progress};

/// What has been heard of a push so far.
#[derive(Debug, Default)]
struct Heard {
    /// Bytes sent, by the size of the layer: engines say of which layer they speak, and bollard does not pass it on.
    sent: BTreeMap<u64, u64>,
    digest: Option<String>,
}

impl Heard {
    /// Takes in one answer; the new sum, when it changes it.
    fn read(&mut self, info: PushImageInfo) -> Option<Progress> {
        let status = info.status?;
        if let Some((_, rest)) = status.split_once("digest: ") {
            self.digest = rest.split(' ').next().map(str::to_owned);
        }
        let detail = info.progress_detail?;
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).filter(|value| *value > 0);
        let (sent, total) = (number(detail.current)?, number(detail.total)?);
        self.sent.insert(total, sent.min(total));
        Some(Progress::Bytes { received: self.sent.values().sum(), total: Some(self.sent.keys().sum()) })
    }
}

impl Docker {
    /// Gives an image one more name.
    pub async fn tag(&self, image: &str, name: &str) -> Result<(), EngineError> {
        let (repository, tag) = split(name);
        let options = TagImageOptions { repo: Some(repository.to_owned()), tag: Some(tag.to_owned()) };
        self.client.tag_image(image, Some(options)).await.map_err(from_bollard)
    }

    /// Pushes an image with the credentials of the docker config, and returns the digest (`sha256:…`) that the registry
    /// has it under.
    pub async fn push(
        &self,
        image: &str,
        progress: mpsc::Sender<Progress>,
        cancel: CancellationToken,
    ) -> Result<String, EngineError> {
        let pushed = cancel.run_until_cancelled(self.push_to_end(image, &progress)).await;
        pushed.unwrap_or(Err(EngineError::Cancelled))
    }

    async fn push_to_end(&self, image: &str, progress: &mpsc::Sender<Progress>) -> Result<String, EngineError> {
        let (repository, tag) = split(image);
        let options = PushImageOptions { tag: Some(tag.to_owned()), platform: None };
        let credentials = self.credentials.of_registry(&registry_of(image)).await;
        let mut heard = Heard::default();
        let mut answers = Box::pin(self.patient.push_image(repository, Some(options), credentials));
        while let Some(answer) = answers.next().await {
            if let Some(sum) = heard.read(answer.map_err(from_bollard)?) {
                // A sum that finds no room is overtaken by the next one.
                let _ = progress.try_send(sum);
            }
        }
        let silent =
            || EngineError::Refused { message: "the engine did not say under which digest it is there".into() };
        heard.digest.ok_or_else(silent)
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::{ProgressDetail, PushImageInfo};

    use super::Heard;
    use crate::engine::Progress;

    fn info(status: &str, detail: Option<(i64, i64)>) -> PushImageInfo {
        let detail = detail.map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) });
        PushImageInfo { status: Some(status.into()), progress_detail: detail, ..Default::default() }
    }

    #[test]
    fn bytes_are_summed_over_layers_and_the_digest_is_kept() {
        let mut heard = Heard::default();
        let sum = |received, total| Some(Progress::Bytes { received, total: Some(total) });
        assert_eq!(heard.read(info("Pushing", Some((1, 10)))), sum(1, 10));
        assert_eq!(heard.read(info("Pushing", Some((5, 20)))), sum(6, 30));
        // Engines send more than the layer at last: headers of the archive.
        assert_eq!(heard.read(info("Pushing", Some((12, 10)))), sum(15, 30));
        assert_eq!(heard.read(info("1: digest: sha256:ab size: 528", None)), None);
        assert_eq!(heard.digest.as_deref(), Some("sha256:ab"));
    }
}
