//! `hoist deploy` against an API server: a small one of the tests' own over HTTP and HTTPS, which is strict about what it
//! is asked, and a real one where `HOIST_TEST_CONTEXT` names a context of the kubeconfig.

#![cfg(target_os = "linux")]
#![expect(clippy::print_stderr, reason = "what is left out is told to who runs the tests")]

mod failures;
mod fields;
mod real;
mod scenarios;
mod server;
mod store;
mod world;

#[path = "../support/process.rs"]
#[expect(dead_code, reason = "the scenarios on engines use all of it")]
mod process;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use process::Output;
use server::Server;

/// How long anything may take.
const DEADLINE: Duration = Duration::from_mins(1);

/// The namespace of most scenarios.
const NAMESPACE: &str = "team";

/// A project in a folder, and a cluster to deploy it to.
struct Case {
    server: Server,
    folder: TempDir,
}

impl Case {
    /// A project with this manifest, and a server over HTTP.
    fn new(manifest: &str) -> Self {
        Self::with(manifest, false)
    }

    fn with(manifest: &str, tls: bool) -> Self {
        let case = Self { server: Server::start(tls), folder: tempfile::tempdir().expect("a folder") };
        case.write(manifest);
        case.server.write_kubeconfig(&case.path("kubeconfig"));
        case
    }

    fn write(&self, manifest: &str) {
        fs::write(self.path("compose.yaml"), format!("name: shop\n{manifest}")).expect("it can be written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        command.env_clear().env("PATH", "/usr/bin:/bin").env("KUBECONFIG", self.path("kubeconfig"));
        command
            .current_dir(self.folder.path())
            .args(["--progress", "plain", "deploy", "-n", NAMESPACE])
            .args(arguments);
        command
    }

    /// Runs `hoist deploy` to its end.
    fn deploy(&self, arguments: &[&str]) -> Output {
        process::run(self.command(arguments), DEADLINE)
    }

    /// Starts `hoist deploy` and leaves it running.
    fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("the binary starts")
    }

    /// What was done since the last time that this was asked.
    fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.server.inside().done)
    }

    /// Waits until something holds of what the server knows.
    fn eventually(&self, what: &str, mut holds: impl FnMut(&server::Inside) -> bool) {
        let held = process::poll(DEADLINE, || holds(&self.server.inside()));
        let inside = self.server.inside();
        assert!(held, "not so: {what}\n{:?}\n{:?}", inside.done, inside.store.names());
    }

    fn object(&self, plural: &str, name: &str) -> Option<serde_json::Value> {
        self.server.inside().store.get(&place(plural, name)).map(store::written)
    }
}

/// Where an object of the scenarios' namespace is.
fn place(plural: &str, name: &str) -> store::Place {
    store::Place { plural: plural.to_owned(), namespace: NAMESPACE.to_owned(), name: name.to_owned() }
}

/// Ends a child and returns what it said on standard error.
fn said(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().expect("it is ours");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}
