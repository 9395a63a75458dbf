//! Secrets that only a cluster can read: each value is encrypted with a key of its own, and that key for the certificate
//! of the cluster's sealed-secrets controller, bound to the Secret's namespace and name.
//!
//! Source: the Sealed Secrets project, "Crypto": AES-256-GCM with an empty nonce under a fresh key for each value, the key
//! under RSA-OAEP with SHA-256 and the scope as its label, its length before it in two bytes. No two encryptions of a
//! value are the same, so that nobody can tell whether it changed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use getrandom::SysRng;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use rsa::PublicKey;
use rsa::oaep::EncryptingKey;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::pkcs8::der::Encode as _;
use rsa::traits::RandomizedEncryptor as _;
use sha2::Sha256;
use thiserror::Error;
use x509_cert::Certificate;

use crate::export::custom::{SealedSecret, SealedSecretSpec, SealedTemplate};
use crate::export::{Export, Kind, Object, Reference};

/// Why nothing could be sealed.
#[derive(Debug, Error)]
pub(super) enum SealError {
    /// It is no certificate.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// It has another kind of key.
    #[error("the certificate has no RSA key")]
    NoKey,
    /// A Secret has no namespace.
    #[error("a sealed secret belongs to one namespace, and none is named")]
    NoNamespace,
    /// The cryptography refused.
    #[error("a value cannot be encrypted")]
    Refused,
}

impl SealError {
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoCertificate | Self::NoKey => Some("`kubeseal --fetch-cert` prints the one that is meant"),
            Self::NoNamespace => Some("give `--namespace`, or `namespace` below `x-hoist.kubernetes`"),
            Self::Refused => None,
        }
    }
}

/// The public key of a certificate in PEM, the first one when there are more.
pub(super) fn key(pem: &str) -> Result<PublicKey, SealError> {
    let chain = Certificate::load_pem_chain(pem.as_bytes()).map_err(|_| SealError::NoCertificate)?;
    let first = chain.first().ok_or(SealError::NoCertificate)?;
    let info = first.tbs_certificate().subject_public_key_info().to_der().map_err(|_| SealError::NoKey)?;
    PublicKey::from_public_key_der(&info).map_err(|_| SealError::NoKey)
}

/// Puts a sealed secret in the place of each Secret.
pub(super) fn seal(export: &mut Export, key: &PublicKey) -> Result<(), SealError> {
    let mut external = Vec::new();
    for object in &mut export.objects {
        let Object::Secret(secret) = object else { continue };
        let name = secret.metadata.name.clone().unwrap_or_default();
        let sealed = sealed(secret, key)?;
        // The controller makes the Secret itself.
        external.push(Reference { kind: Kind::Secret, name });
        *object = sealed.into();
    }
    export.external.extend(external);
    export.objects.sort_by(|a, b| (a.kind(), a.name()).cmp(&(b.kind(), b.name())));
    Ok(())
}

fn sealed(secret: &Secret, key: &PublicKey) -> Result<SealedSecret, SealError> {
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    let namespace = secret.metadata.namespace.as_deref().ok_or(SealError::NoNamespace)?;
    let label = format!("{namespace}/{name}");
    let text = secret.string_data.iter().flatten().map(|(name, value)| (name, value.as_bytes()));
    let binary = secret.data.iter().flatten().map(|(name, value)| (name, value.0.as_slice()));
    let encrypted = text.chain(binary).map(|(name, value)| Ok((name.clone(), encrypt(key, &label, value)?)));
    let template = SealedTemplate {
        metadata: ObjectMeta {
            labels: secret.metadata.labels.clone(),
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        type_: secret.type_.clone().unwrap_or_else(|| "Opaque".to_owned()),
    };
    let encrypted_data = encrypted.collect::<Result<BTreeMap<_, _>, SealError>>()?;
    Ok(SealedSecret::new(secret.metadata.clone(), SealedSecretSpec { encrypted_data, template }))
}

fn encrypt(key: &PublicKey, label: &str, value: &[u8]) -> Result<String, SealError> {
    let mut session = [0; 32];
    SystemRandom::new().fill(&mut session).map_err(|_| SealError::Refused)?;
    let wrapping = EncryptingKey::<Sha256>::new_with_label(key.clone(), label.as_bytes().to_vec());
    let wrapped = wrapping.encrypt_with_rng(&mut SysRng, &session).map_err(|_| SealError::Refused)?;
    let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &session).map_err(|_| SealError::Refused)?);
    let mut sealed = value.to_vec();
    // The key is used once, so that its nonce may be any.
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    cipher.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed).map_err(|_| SealError::Refused)?;
    let length = u16::try_from(wrapped.len()).map_err(|_| SealError::Refused)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(wrapped);
    bytes.extend(sealed);
    Ok(BASE64_STANDARD.encode(bytes))
}
