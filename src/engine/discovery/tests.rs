use std::collections::BTreeMap;
use std::fs;

use super::{candidates, with_port};

fn urls(asked: Option<&str>, variables: &[(&str, &str)]) -> Vec<String> {
    let map: BTreeMap<String, String> =
        variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let found = candidates(asked, &|name: &str| map.get(name).cloned()).expect("candidates");
    found.into_iter().map(|candidate| candidate.url).collect()
}

fn config_with_context(current: &str, name: &str, host: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let hashed = crate::project::hexadecimal(&<sha2::Sha256 as sha2::Digest>::digest(name.as_bytes()));
    let meta = folder.path().join("contexts/meta").join(hashed);
    fs::create_dir_all(&meta).expect("a folder");
    fs::write(folder.path().join("config.json"), format!("{{\"currentContext\":\"{current}\"}}")).expect("a file");
    let text = format!("{{\"Name\":\"{name}\",\"Endpoints\":{{\"docker\":{{\"Host\":\"{host}\"}}}}}}");
    fs::write(meta.join("meta.json"), text).expect("a file");
    folder
}

#[test]
fn an_engine_on_the_command_line_wins() {
    let variables = [("DOCKER_HOST", "tcp://b:1"), ("HOME", "/h")];
    assert_eq!(urls(Some("tcp://a:1"), &variables), ["tcp://a:1"]);
    assert_eq!(urls(Some("/run/a.sock"), &variables), ["unix:///run/a.sock"]);
}

#[test]
fn docker_host_wins_over_the_context() {
    let folder = config_with_context("far", "far", "tcp://c:1");
    let config = folder.path().to_str().expect("a path");
    assert_eq!(urls(None, &[("DOCKER_HOST", "tcp://b:1"), ("DOCKER_CONFIG", config)]), ["tcp://b:1"]);
    assert_eq!(urls(None, &[("DOCKER_CONFIG", config)]), ["tcp://c:1"]);
}

#[test]
fn the_context_comes_from_the_environment_or_the_config() {
    let folder = config_with_context("default", "far", "tcp://c:1");
    let config = folder.path().to_str().expect("a path");
    assert_eq!(urls(None, &[("DOCKER_CONTEXT", "far"), ("DOCKER_CONFIG", config)]), ["tcp://c:1"]);
    assert!(urls(None, &[("DOCKER_CONFIG", config)]).len() > 1);
    assert_eq!(urls(Some("far"), &[("DOCKER_CONFIG", config)]), ["tcp://c:1"]);
}

#[test]
fn a_context_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().to_str().expect("a path").to_owned();
    let environment = |name: &str| (name == "DOCKER_CONFIG").then(|| config.clone());
    let error = candidates(Some("gone"), &environment).expect_err("no such context");
    assert!(error.to_string().starts_with("docker context `gone` does not exist"), "{error}");
}

#[test]
fn the_usual_sockets_come_last() {
    let found = urls(None, &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/r")]);
    assert_eq!(found[0], "unix:///var/run/docker.sock");
    for path in ["/r/docker.sock", "/r/podman/podman.sock", "/run/podman/podman.sock", "/h/.rd/docker.sock"] {
        assert!(found.contains(&format!("unix://{path}")), "{path}");
    }
    assert!(urls(Some("podman"), &[("HOME", "/h")]).iter().all(|url| url.contains("podman")));
}

#[test]
fn a_port_is_added_where_none_is_written() {
    assert_eq!(with_port("host", 2375), "host:2375");
    assert_eq!(with_port("host:1", 2375), "host:1");
    assert_eq!(with_port("[::1]", 2375), "[::1]:2375");
    assert_eq!(with_port("[::1]:1", 2375), "[::1]:1");
}
