//! Questions to a registry that bring nothing here: whether it knows somebody, and what it has under a name.

use bollard_stubs::models::{AuthConfig, DistributionInspect, OciDescriptor, OciPlatform};
use oci_client::RegistryOperation;
use oci_client::errors::{OciDistributionError, OciErrorCode};

use super::super::super::error::Error;
use super::super::archive::{Manifest, Platform};
use super::super::reference::Reference;
use super::super::{Document, Images};
use super::{Session, ask, refused};

/// What Docker's own registry is called in the configuration of clients.
const HUB: &str = "index.docker.io";
/// Somewhere to ask for, where nothing has to be.
const ANYTHING: &str = "library/hello-world";

impl Images {
    /// Whether a registry, named as clients name it, takes somebody's credentials.
    pub async fn log_in(&self, address: &str, credentials: AuthConfig) -> Result<(), Error> {
        let registry = address.split_once("://").map_or(address, |(_, rest)| rest);
        let registry = registry.split('/').next().filter(|registry| !registry.is_empty() && *registry != HUB);
        let registry = registry.unwrap_or("docker.io");
        let name = Reference::parse(&format!("{registry}/{ANYTHING}"))?.or_latest();
        // A registry that gives tokens gives none to a stranger who says that he is somebody.
        let session = Session::open(&name, Some(credentials), RegistryOperation::Pull).await?;
        let asked = || session.client.list_tags(&session.remote, &session.auth, Some(1), None);
        match ask(&name, asked).await? {
            Err(error) if is_refusal(&error) => {
                Err(Error::Forbidden(format!("{registry} refused the user name or the password")))
            }
            Err(error @ OciDistributionError::RequestError(_)) => Err(refused(&error, &name, RegistryOperation::Pull)),
            // It may have no such repository, or not show it.
            _ => Ok(()),
        }
    }

    /// What a registry has under a name.
    pub async fn offered(
        &self,
        reference: &str,
        credentials: Option<AuthConfig>,
    ) -> Result<DistributionInspect, Error> {
        let name = Reference::parse(reference)?.or_latest();
        let session = Session::open(&name, credentials, RegistryOperation::Pull).await?;
        let (bytes, digest) = session.manifest(&name).await?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| Error::Failed(format!("the manifest of {} cannot be read: {error}", name.familiar())))?;
        let mut platforms: Vec<Platform> = manifest.manifests.iter().filter_map(|one| one.platform.clone()).collect();
        if let Some(config) = &manifest.config {
            let (configuration, _kept) = session.small_blob(&self.store, config).await?;
            let document = Document::parse(&configuration).unwrap_or_default();
            let Document { os, architecture, variant, .. } = document;
            platforms = vec![Platform { architecture, os, variant }];
        }
        let descriptor = OciDescriptor {
            media_type: some(manifest.media_type),
            digest: Some(digest),
            size: i64::try_from(bytes.len()).ok(),
            ..OciDescriptor::default()
        };
        Ok(DistributionInspect { descriptor, platforms: platforms.into_iter().map(shown).collect() })
    }
}

/// As the API shows it.
fn shown(platform: Platform) -> OciPlatform {
    let Platform { os, architecture, variant } = platform;
    OciPlatform { os: some(os), architecture: some(architecture), variant: some(variant), ..OciPlatform::default() }
}

/// What is not empty.
fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn is_refusal(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::AuthenticationFailure(_)
        | OciDistributionError::UnauthorizedError { .. }
        | OciDistributionError::ServerError { code: 401, .. } => true,
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.first().is_some_and(|first| first.code == OciErrorCode::Unauthorized)
        }
        _ => false,
    }
}
