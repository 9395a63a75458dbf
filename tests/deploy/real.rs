//! The same on a real cluster: where `HOIST_TEST_CONTEXT` names a context of the kubeconfig. A namespace of its own is made
//! and removed. `HOIST_TEST_IMAGE` is an image that the cluster's nodes can run and that does not end; without it nobody
//! waits for pods, since a cluster may have no nodes.

use std::process::Command;
use std::time::Duration;
use std::{env, fs, process as std_process};

use super::process::{self, Output};

/// Pods take their time.
const DEADLINE: Duration = Duration::from_mins(5);

struct Real {
    context: String,
    namespace: String,
    folder: tempfile::TempDir,
}

impl Real {
    fn find() -> Option<Self> {
        let Ok(context) = env::var("HOIST_TEST_CONTEXT") else {
            eprintln!("\n*** LEFT OUT: no cluster is named in HOIST_TEST_CONTEXT ***\n");
            return None;
        };
        let namespace = format!("hoist-test-{}", std_process::id());
        Some(Self { context, namespace, folder: tempfile::tempdir().expect("a folder") })
    }

    fn deploy(&self, manifest: &str, arguments: &[&str]) -> Output {
        fs::write(self.folder.path().join("compose.yaml"), manifest).expect("it can be written");
        let mut command = Command::new(env!("CARGO_BIN_EXE_hoist"));
        command.current_dir(self.folder.path()).args(["--progress", "plain", "deploy", "--context", &self.context]);
        command.args(["-n", &self.namespace]).args(arguments);
        process::run(command, DEADLINE)
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // Whatever the test came to; without kubectl the namespace stays, empty.
        let _ = self.deploy("name: real\nservices: {}\n", &["down", "--volumes"]);
        let namespace = ["--context", &self.context, "delete", "namespace", &self.namespace, "--wait=false"];
        let _ = Command::new("kubectl").args(namespace).status();
    }
}

#[test]
fn a_project_goes_to_a_real_cluster_changes_there_and_comes_back_out() {
    let Some(real) = Real::find() else { return };
    let image = env::var("HOIST_TEST_IMAGE").ok();
    let services = |service: &str, more: &str| {
        format!(
            "name: real\nservices:\n  {service}: {{ image: {}, ports: ['80'], environment: {{ A: x{more} }} }}\n",
            image.as_deref().unwrap_or("none.invalid/none")
        )
    };
    let first = services("web", "1");
    real.deploy(&first, &["--dry-run=server"]).success();
    let ended = |output: Output| match image {
        Some(_) => output.success(),
        None => output.exits_with(1).says(&["not ready after"]),
    };
    let timeout = if image.is_some() { "120s" } else { "3s" };
    ended(real.deploy(&first, &["--timeout", timeout])).says(&["create  Deployment `web`"]);
    ended(real.deploy(&first, &["--timeout", timeout])).says(&["as they should be"]);
    ended(real.deploy(&services("web", "2"), &["--timeout", timeout])).says(&["change  ConfigMap `web-env`"]);
    let other = services("other", "1");
    let output = ended(real.deploy(&other, &["--timeout", timeout]));
    if image.is_some() {
        output.says(&["remove  Deployment `web`", "Service `web` removed"]);
    }
    real.deploy(&other, &["down"]).success().says(&["removed from namespace"]);
    real.deploy(&other, &["down"]).success().says(&["nothing of `real` is deployed"]);
}
