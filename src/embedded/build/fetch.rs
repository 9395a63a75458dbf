//! `ADD` of an address: a file from the web.

use std::path::PathBuf;
use std::time::Duration;

use chrono::DateTime;
use reqwest::header::LAST_MODIFIED;
use reqwest::{Client, Response};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::context::full;
use super::copy::name_of;
use super::execute::{Build, given_up};
use super::work::{Item, ItemKind, Piece};
use crate::embedded::error::Error;
use crate::embedded::id;

/// A server that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_mins(1);

impl Build {
    /// Fetches a file; `checksum` (`sha256:…`) is what it has to have.
    pub(super) async fn fetch(&self, address: &str, checksum: Option<&str>) -> Result<Piece, Error> {
        let fetch = self.fetch_whole(address, checksum);
        Box::pin(self.cancel.run_until_cancelled(fetch)).await.unwrap_or_else(|| Err(given_up()))
    }

    async fn fetch_whole(&self, address: &str, checksum: Option<&str>) -> Result<Piece, Error> {
        let refused =
            |error: reqwest::Error| Error::Failed(format!("ADD: cannot fetch `{address}`: {}", chain(&error)));
        // Whoever was first has chosen; any provider does.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().connect_timeout(SILENCE).read_timeout(SILENCE).user_agent("hoist").build();
        let response = client.map_err(refused)?.get(address).send().await.map_err(refused)?;
        let mut response = response.error_for_status().map_err(refused)?;
        let mtime = modified(&response);
        let path = self.staging.join(format!("fetched-{}", id::random()));
        let tried = || format!("write `{}`", path.display());
        let mut file = tokio::fs::File::create_new(&path).await.map_err(Error::io(tried()))?;
        let mut hash = Sha256::new();
        let written = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::StorageFull => full(&path),
            _ => Error::io(tried())(error),
        };
        while let Some(bytes) = response.chunk().await.map_err(refused)? {
            hash.update(&bytes);
            file.write_all(&bytes).await.map_err(written)?;
        }
        file.flush().await.map_err(written)?;
        let digest = id::hexadecimal(&hash.finalize());
        if let Some(wanted) = checksum.filter(|wanted| *wanted != format!("sha256:{digest}")) {
            let message =
                format!("ADD: `{address}` is sha256:{digest} and was to be {wanted}: it is not what was expected");
            return Err(Error::Failed(message));
        }
        Ok(piece(address, path, digest, mtime))
    }
}

/// When it was changed last; the beginning of time when the server does not say, so that the same file makes the same layer.
fn modified(response: &Response) -> i64 {
    let header = response.headers().get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
    header.and_then(|text| DateTime::parse_from_rfc2822(text).ok()).map_or(0, |time| time.timestamp())
}

fn piece(address: &str, path: PathBuf, digest: String, mtime: i64) -> Piece {
    let kind = ItemKind::Fetched { path, digest };
    let items = vec![Item { path: String::new(), kind, mode: 0o600, mtime }];
    Piece::Listed { name: name_of(address).to_owned(), items }
}

/// An error with what lies behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
