//! Requests: versions before paths, parameters as Go writes them, bounded bodies.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, Query, Request};
use axum::http::request::Parts;
use axum::http::uri::{PathAndQuery, Uri};
use axum::http::{HeaderMap, StatusCode};
use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bollard_stubs::models::AuthConfig;
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use super::answer::Refusal;
use crate::embedded::ByteStream;
use crate::embedded::containers::Filters;

/// The version of the API that is spoken.
pub(super) const VERSION: Version = Version(1, 47);
/// The newest version that a path may begin with: what is newer than [`VERSION`] adds only what clients can do without.
const NEWEST: Version = Version(1, 53);
/// The oldest version that is spoken.
pub(super) const OLDEST: Version = Version(1, 24);
/// Bytes of a body that is read whole.
const BODY: usize = 16 << 20;

/// A version of the API; the one that the request's path begins with is among its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u16, pub(super) u16);

impl std::fmt::Display for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}.{}", self.0, self.1)
    }
}

impl<S: Sync> FromRequestParts<S> for Version {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(VERSION))
    }
}

/// Takes the version off the path.
pub(super) fn unversion(request: &mut Request) -> Result<(), Refusal> {
    let path = request.uri().path();
    let Some((version, rest)) = path.strip_prefix("/v").and_then(|path| path.split_once('/')) else { return Ok(()) };
    let Some((major, minor)) = version.split_once('.') else { return Ok(()) };
    let (Ok(major), Ok(minor)) = (major.parse(), minor.parse()) else { return Ok(()) };
    let version = Version(major, minor);
    if version > NEWEST {
        return Err(Refusal::invalid(format!(
            "client version {version} is too new. Maximum supported API version is {VERSION}"
        )));
    }
    if version < OLDEST {
        return Err(Refusal::invalid(format!(
            "client version {version} is too old. Minimum supported API version is {OLDEST}, please upgrade your client \
             to a newer version"
        )));
    }
    let path = match request.uri().query() {
        Some(query) => format!("/{rest}?{query}"),
        None => format!("/{rest}"),
    };
    let path = PathAndQuery::try_from(path).map_err(|error| Refusal::invalid(error.to_string()))?;
    *request.uri_mut() = Uri::from(path);
    request.extensions_mut().insert(version);
    Ok(())
}

/// The parameters of a query.
#[derive(Debug, Clone, Default)]
pub(super) struct Parameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(pairs)| Self(pairs))
            .map_err(|error| Refusal::invalid(error.to_string()))
    }
}

impl Parameters {
    /// The first of a name that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, text)| key == name && !text.is_empty()).map(|(_, text)| text.as_str())
    }

    /// All of a name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, text)| text.as_str())
    }

    /// Whether it was given at all.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(key, _)| key == name)
    }

    /// Whether it is on, as Docker reads it: anything but nothing, `0`, `no`, `false` and `none`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.flag_or(name, false)
    }

    /// Likewise, with what holds when it is not given.
    pub(super) fn flag_or(&self, name: &str, default: bool) -> bool {
        let Some((_, text)) = self.0.iter().find(|(key, _)| key == name) else { return default };
        !matches!(text.trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// A number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Refusal> {
        self.text(name)
            .map(|text| text.parse().map_err(|_| Refusal::invalid(format!("`{name}` is no number: `{text}`"))))
            .transpose()
    }

    /// JSON in a parameter; `null` is none.
    pub(super) fn json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Refusal> {
        let read = |text| {
            serde_json::from_str(text).map_err(|error| Refusal::invalid(format!("cannot read `{name}`: {error}")))
        };
        self.text(name).map(read).transpose().map(Option::flatten)
    }

    /// A moment in nanoseconds since 1970: seconds with or without a fraction, or RFC 3339. Zero is none.
    pub(super) fn moment(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match moment(text) {
            Some(0) => Ok(None),
            Some(moment) => Ok(Some(moment)),
            None => Err(Refusal::invalid(format!("`{name}` is no time: `{text}`"))),
        }
    }

    /// The `filters`, in either of the two forms that clients write.
    pub(super) fn filters(&self) -> Result<Filters, Refusal> {
        let Some(text) = self.text("filters") else { return Ok(Filters::new()) };
        filters(text).ok_or_else(|| Refusal::invalid(format!("invalid filter: `{text}`")))
    }
}

/// Seconds with a fraction, or RFC 3339, in nanoseconds.
fn moment(text: &str) -> Option<i64> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return time.timestamp_nanos_opt();
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = seconds.parse().ok()?;
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: i64 = format!("{fraction:0<9}").parse().ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

/// `{"label":["a"]}` or `{"label":{"a":true}}`.
fn filters(text: &str) -> Option<Filters> {
    if let Ok(lists) = serde_json::from_str::<HashMap<String, Option<Vec<String>>>>(text) {
        return Some(lists.into_iter().map(|(name, list)| (name, list.unwrap_or_default())).collect());
    }
    let maps = serde_json::from_str::<HashMap<String, BTreeMap<String, bool>>>(text).ok()?;
    let chosen = |map: BTreeMap<String, bool>| map.into_iter().filter_map(|(text, on)| on.then_some(text)).collect();
    Some(maps.into_iter().map(|(name, map)| (name, chosen(map))).collect())
}

/// A body as JSON; one that is not there is what `{}` is.
pub(super) async fn json<T: DeserializeOwned>(body: Body) -> Result<T, Refusal> {
    let bytes = to_bytes(body, BODY).await.map_err(|error| {
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Refusal::new(status, format!("cannot read the request's body, of which {BODY} bytes are taken: {error}"))
    })?;
    let text = bytes.trim_ascii();
    let text = if text.is_empty() || text == b"null" { b"{}" } else { text };
    serde_json::from_slice(text).map_err(|error| Refusal::invalid(format!("cannot read the request's JSON: {error}")))
}

/// A body as it comes, however long.
pub(super) fn stream(body: Body) -> ByteStream {
    body.into_data_stream().map(|chunk| chunk.map_err(std::io::Error::other)).boxed()
}

/// The credentials of `X-Registry-Auth`; `None` when there are none.
pub(super) fn credentials(headers: &HeaderMap) -> Result<Option<AuthConfig>, Refusal> {
    let found: Option<AuthConfig> = encoded(headers, "x-registry-auth")?;
    Ok(found.filter(|found| found.username.as_ref().is_some_and(|name| !name.is_empty())))
}

/// The credentials by registry of `X-Registry-Config`.
pub(super) fn all_credentials(headers: &HeaderMap) -> Result<HashMap<String, AuthConfig>, Refusal> {
    Ok(encoded(headers, "x-registry-config")?.unwrap_or_default())
}

/// JSON in base64 in a header, of either alphabet.
fn encoded<T: DeserializeOwned>(headers: &HeaderMap, name: &'static str) -> Result<Option<T>, Refusal> {
    const ANY: GeneralPurposeConfig =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let Some(text) = headers.get(name).map(|value| value.as_bytes().trim_ascii()).filter(|text| !text.is_empty())
    else {
        return Ok(None);
    };
    let is_standard = text.iter().any(|byte| matches!(byte, b'+' | b'/'));
    let alphabet = if is_standard { base64::alphabet::STANDARD } else { base64::alphabet::URL_SAFE };
    // What the header holds is a secret: no part of it is said.
    let wrong = || Refusal::invalid(format!("the header `{name}` is not JSON in base64"));
    let json = GeneralPurpose::new(&alphabet, ANY).decode(text).map_err(|_| wrong())?;
    serde_json::from_slice(&json).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(pairs: &[(&str, &str)]) -> Parameters {
        Parameters(pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn filters_are_read_in_both_forms() {
        let lists = filters(r#"{"label":["a=b","c"],"name":null}"#).unwrap();
        assert_eq!(lists["label"], ["a=b", "c"]);
        assert!(lists["name"].is_empty());
        let maps = filters(r#"{"label":{"a=b":true,"c":true,"d":false}}"#).unwrap();
        assert_eq!(maps["label"], ["a=b", "c"]);
        assert_eq!(filters("[1]"), None);
        assert!(parameters(&[("filters", "{}")]).filters().unwrap().is_empty());
    }

    #[test]
    fn flags_are_read_as_docker_reads_them() {
        let asked = parameters(&[("a", "1"), ("b", "True"), ("c", "0"), ("d", "false"), ("e", ""), ("f", "yes")]);
        let on = ["a", "b", "c", "d", "e", "f", "g"].map(|name| asked.flag(name));
        assert_eq!(on, [true, true, false, false, false, true, false]);
        assert!(asked.flag_or("g", true));
        assert!(!asked.flag_or("c", true));
    }

    #[test]
    fn moments_are_read_as_seconds_or_as_dates() {
        assert_eq!(moment("10"), Some(10_000_000_000));
        assert_eq!(moment("10.000000005"), Some(10_000_000_005));
        assert_eq!(moment("10.5"), Some(10_500_000_000));
        assert_eq!(moment("1970-01-01T00:00:01Z"), Some(1_000_000_000));
        assert_eq!(moment("9999999999999999999"), None);
        assert_eq!(moment("1.0000000001"), None);
        assert_eq!(moment("yesterday"), None);
    }

    #[test]
    fn a_version_is_taken_off_the_path() {
        let mut request = Request::builder().uri("/v1.41/containers/json?all=1").body(Body::empty()).unwrap();
        unversion(&mut request).unwrap();
        assert_eq!(request.uri().to_string(), "/containers/json?all=1");
        assert_eq!(request.extensions().get(), Some(&Version(1, 41)));
        for plain in ["/volumes/v1.2", "/version", "/v1/x", "/vx.y/z"] {
            let mut request = Request::builder().uri(plain).body(Body::empty()).unwrap();
            unversion(&mut request).unwrap();
            assert_eq!(request.uri().to_string(), plain);
        }
        for refused in ["/v1.12/info", "/v1.99/info", "/v2.0/info"] {
            let mut request = Request::builder().uri(refused).body(Body::empty()).unwrap();
            assert!(unversion(&mut request).is_err(), "{refused}");
        }
    }

    #[test]
    fn credentials_come_in_either_alphabet() {
        let mut headers = HeaderMap::new();
        assert_eq!(credentials(&headers).unwrap(), None);
        // {"username":"u?>","password":"p"}
        for text in ["eyJ1c2VybmFtZSI6InU_PiIsInBhc3N3b3JkIjoicCJ9", "eyJ1c2VybmFtZSI6InU/PiIsInBhc3N3b3JkIjoicCJ9"] {
            headers.insert("x-registry-auth", text.parse().unwrap());
            assert_eq!(credentials(&headers).unwrap().unwrap().username.as_deref(), Some("u?>"));
        }
        headers.insert("x-registry-auth", "e30=".parse().unwrap());
        assert_eq!(credentials(&headers).unwrap(), None);
        headers.insert("x-registry-auth", "%%%".parse().unwrap());
        assert!(credentials(&headers).is_err());
    }
}
