//! Registry credentials out of the docker config and its helpers. Keeps none longer than a few minutes, and shows them
//! to nobody but the engine.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use bollard::auth::DockerCredentials;
use docker_credential::DockerCredential;
use serde_json::json;

/// The name under which the docker config files the Docker Hub.
const HUB: &str = "https://index.docker.io/v1/";
/// How long an answer counts: helpers can take a second, and their tokens live for hours.
const LIFETIME: Duration = Duration::from_mins(5);

type Answers = BTreeMap<String, (Instant, Option<DockerCredentials>)>;

/// The docker config, and what its helpers have answered so far.
#[derive(Clone, Default)]
pub(super) struct Credentials {
    /// The folder of the docker config.
    folder: Option<PathBuf>,
    answers: Arc<Mutex<Answers>>,
}

impl Credentials {
    /// The credentials that the docker config in this folder knows.
    pub(super) fn in_folder(folder: Option<PathBuf>) -> Self {
        Self { folder, answers: Arc::default() }
    }

    /// The credentials for a registry; `None` where nobody has logged in.
    pub(super) async fn of_registry(&self, registry: &str) -> Option<DockerCredentials> {
        if let Some((asked, answer)) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(registry)
            && asked.elapsed() < LIFETIME
        {
            return answer.clone();
        }
        let folder = self.folder.clone()?;
        let name = registry.to_owned();
        // Helpers are programs: they take their time.
        let answer = tokio::task::spawn_blocking(move || look_up(&folder, &name)).await.ok().flatten();
        let entry = (Instant::now(), answer.clone());
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(registry.to_owned(), entry);
        answer
    }

    /// A docker config with the credentials that are known without being asked for by registry: those of the file, and
    /// those that helpers keep for the registries that it names.
    pub(super) async fn as_config(&self) -> Option<String> {
        let folder = self.folder.clone()?;
        let named = tokio::task::spawn_blocking(move || registries_of_config(&folder)).await.ok().flatten()?;
        let mut auths = serde_json::Map::new();
        for registry in named {
            let Some(found) = self.of_registry(&registry).await else { continue };
            let entry = match (found.identitytoken, found.username, found.password) {
                (Some(token), ..) => json!({ "identitytoken": token }),
                (None, Some(user), Some(password)) => {
                    json!({ "auth": base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")) })
                }
                _ => continue,
            };
            auths.insert(registry, entry);
        }
        Some(json!({ "auths": auths }).to_string())
    }

    /// The credentials for every registry that a Dockerfile takes something from.
    pub(super) async fn of_dockerfile(
        &self,
        text: &str,
        arguments: &BTreeMap<String, Option<String>>,
    ) -> BTreeMap<String, DockerCredentials> {
        let mut found = BTreeMap::new();
        for registry in registries(text, arguments) {
            if let Some(credentials) = self.of_registry(&registry).await {
                found.insert(registry, credentials);
            }
        }
        found
    }
}

/// The registry of an image's reference, by its name in the docker config.
pub(super) fn registry_of(reference: &str) -> String {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => match host {
            "docker.io" | "index.docker.io" => HUB.to_owned(),
            _ => host.to_owned(),
        },
        _ => HUB.to_owned(),
    }
}

/// The registries that a docker config names.
fn registries_of_config(folder: &Path) -> Option<BTreeSet<String>> {
    let config: serde_json::Value = serde_json::from_slice(&std::fs::read(folder.join("config.json")).ok()?).ok()?;
    let sections = ["auths", "credHelpers"].into_iter().filter_map(|section| config.get(section)?.as_object());
    Some(sections.flat_map(|section| section.keys().cloned()).collect())
}

fn look_up(folder: &Path, registry: &str) -> Option<DockerCredentials> {
    let with = |username, password, identitytoken| DockerCredentials {
        username,
        password,
        identitytoken,
        serveraddress: Some(registry.to_owned()),
        ..Default::default()
    };
    let config = File::open(folder.join("config.json")).ok()?;
    match docker_credential::get_credential_from_reader(BufReader::new(config), registry).ok()? {
        DockerCredential::IdentityToken(token) => Some(with(None, None, Some(token))),
        DockerCredential::UsernamePassword(user, password) if user == "<token>" => {
            Some(with(None, None, Some(password)))
        }
        DockerCredential::UsernamePassword(user, password) => Some(with(Some(user), Some(password), None)),
    }
}

/// The registries that a Dockerfile names in `FROM`, `--from=` and its `syntax` line. A reference with a variable that
/// is known neither by argument nor by default names none.
fn registries(text: &str, arguments: &BTreeMap<String, Option<String>>) -> BTreeSet<String> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut found = BTreeSet::new();
    let mut stages = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        if let Some(frontend) = line.strip_prefix('#').map(str::trim).and_then(|rest| rest.strip_prefix("syntax=")) {
            found.insert(registry_of(frontend.trim()));
        }
        let mut words = line.split_whitespace();
        let instruction = words.next().unwrap_or_default();
        if instruction.eq_ignore_ascii_case("ARG") {
            for word in words {
                let (name, default) = word.split_once('=').unwrap_or((word, ""));
                let given = arguments.get(name).cloned().flatten();
                let value = given.unwrap_or_else(|| default.trim_matches('"').to_owned());
                variables.insert(name.to_owned(), value);
            }
        } else if instruction.eq_ignore_ascii_case("FROM") {
            let words: Vec<&str> = words.filter(|word| !word.starts_with("--")).collect();
            found.extend(words.first().and_then(|image| registry(image, &variables, &stages)));
            stages.extend(words.get(2).map(|stage| stage.to_ascii_lowercase()));
        } else {
            let from = words.filter_map(|word| word.strip_prefix("--from="));
            found.extend(from.filter_map(|image| registry(image, &variables, &stages)));
        }
    }
    found
}

fn registry(image: &str, variables: &BTreeMap<String, String>, stages: &BTreeSet<String>) -> Option<String> {
    let is_number = image.chars().all(|letter| letter.is_ascii_digit());
    if image == "scratch" || is_number || stages.contains(&image.to_ascii_lowercase()) {
        return None;
    }
    let expanded = variables.iter().fold(image.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value)
    });
    (!expanded.contains('$') && !expanded.is_empty()).then(|| registry_of(&expanded))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Credentials, HUB, registries, registry_of};

    #[tokio::test]
    async fn credentials_come_from_the_docker_config() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = format!(r#"{{"auths":{{"{HUB}":{{"auth":"bWU6c2VjcmV0"}}}}}}"#);
        std::fs::write(folder.path().join("config.json"), config).expect("a file");
        let credentials = Credentials::in_folder(Some(folder.path().to_owned()));
        let found = credentials.of_registry(&registry_of("node")).await.expect("credentials");
        assert_eq!((found.username.as_deref(), found.password.as_deref()), (Some("me"), Some("secret")));
        assert!(credentials.of_registry("ghcr.io").await.is_none());
        let of_file = credentials.of_dockerfile("FROM node\nFROM ghcr.io/a", &BTreeMap::new()).await;
        assert_eq!(of_file.keys().collect::<Vec<_>>(), [HUB]);
    }

    #[test]
    fn a_reference_without_a_host_is_the_hubs() {
        assert_eq!(registry_of("node:24"), HUB);
        assert_eq!(registry_of("library/node"), HUB);
        assert_eq!(registry_of("docker.io/library/node"), HUB);
        assert_eq!(registry_of("ghcr.io/a/b:1"), "ghcr.io");
        assert_eq!(registry_of("localhost:5000/a"), "localhost:5000");
    }

    #[test]
    fn a_dockerfile_names_its_registries() {
        let text = "# syntax=one.example/frontend\nARG BASE=two.example/a\nARG OTHER\nFROM $BASE AS build\n\
                    FROM --platform=linux/amd64 ${OTHER}/c\nCOPY --from=build /a /a\nCOPY --from=four.example/x /b /b\n\
                    FROM scratch\nFROM $UNKNOWN\nCOPY --from=0 /c /c";
        let arguments = BTreeMap::from([("OTHER".to_owned(), Some("three.example".to_owned()))]);
        let found: Vec<String> = registries(text, &arguments).into_iter().collect();
        assert_eq!(found, ["four.example", "one.example", "three.example", "two.example"]);
    }
}
