//! The image that stands for this machine's own root file system. It has no layers and is always there.

use std::fs;

use bollard_stubs::models::ImageConfig;

use super::super::id;
use super::{Document, DocumentRootfs, Image, MACHINE};

/// Where programs are when the machine does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What it is for as long as the engine runs.
pub(crate) fn image() -> Image {
    let environment = fs::read_to_string("/etc/environment").unwrap_or_default();
    let defaults = fs::read_to_string("/etc/login.defs").unwrap_or_default();
    let path = login_path(&environment, &defaults);
    let document = Document {
        architecture: architecture().to_owned(),
        variant: variant().to_owned(),
        os: "linux".to_owned(),
        config: ImageConfig { env: Some(vec![format!("PATH={path}")]), ..ImageConfig::default() },
        rootfs: DocumentRootfs { kind: "layers".to_owned(), diff_ids: Vec::new() },
        ..Document::default()
    };
    Image {
        id: id::digest(format!("{MACHINE} {path}").as_bytes()),
        document,
        layers: Vec::new(),
        machine: true,
        tags: vec![MACHINE.to_owned()],
        digests: Vec::new(),
    }
}

/// This machine's architecture as registries call it.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// The variant that goes with it.
pub(crate) fn variant() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "v8",
        "arm" => "v7",
        _ => "",
    }
}

/// The search path that root has after a login: from `/etc/environment`, else from `/etc/login.defs`.
fn login_path(environment: &str, defaults: &str) -> String {
    let from_environment = environment.lines().find_map(|line| line.trim().strip_prefix("PATH="));
    let from_defaults = || {
        let line = defaults.lines().find_map(|line| line.trim().strip_prefix("ENV_SUPATH"))?;
        line.trim().strip_prefix("PATH=")
    };
    let path = from_environment.or_else(from_defaults).unwrap_or_default().trim().trim_matches(['"', '\'']);
    if path.starts_with('/') { path.to_owned() } else { PATH.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_that_of_a_login() {
        assert_eq!(login_path("PATH=\"/a:/b\"\n", "ENV_SUPATH PATH=/c"), "/a:/b");
        assert_eq!(login_path("LANG=C\n", "# no\nENV_SUPATH\tPATH=/c:/d\n"), "/c:/d");
        assert_eq!(login_path("", ""), PATH);
        assert_eq!(login_path("PATH=\n", ""), PATH);
    }
}
