//! A registry of images: Debian's, started on loopback.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A registry on loopback; killed with the value.
pub(crate) struct Registry {
    /// Its address, which is the host of its images: `127.0.0.1:5000`.
    pub(crate) address: String,
    child: Child,
    folder: tempfile::TempDir,
}

impl Registry {
    /// Starts one that lets everybody in.
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// One that wants a user and a password: `anna`, `secret`.
    pub(crate) fn guarded() -> Self {
        Self::start_with("auth: {htpasswd: {realm: test, path: USERS}}\n")
    }

    fn start_with(more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
        let address = format!("127.0.0.1:{port}");
        let config = folder.path().join("config.yml");
        let users = folder.path().join("users");
        let text = "anna:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
        std::fs::write(&users, text).expect("a file can be written");
        let more = more.replace("USERS", &users.display().to_string());
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: true}}\nhttp: {{addr: '{address}'}}\n{more}",
            folder.path().join("data").display()
        );
        std::fs::write(&config, text).expect("a file can be written");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&config)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's `docker-registry` is installed");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "the registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { address, child, folder }
    }

    /// The file of a blob that it stores.
    pub(crate) fn blob(&self, digest: &str) -> PathBuf {
        let digits = digest.trim_start_matches("sha256:");
        let data = self.folder.path().join("data/docker/registry/v2/blobs/sha256");
        data.join(&digits[..2]).join(digits).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
