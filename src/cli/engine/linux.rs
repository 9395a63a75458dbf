//! The engine where there is one: on Linux, as root.

use std::path::Path;

use serde_json::json;

use super::{Command, Docker, EngineError, Error, Format, Global, Start};
use crate::cli::output;
use crate::embedded;
use crate::embedded::client::{self, Started};
use crate::embedded::layout::Layout;
use crate::embedded::root::machine;

/// What the exit code of `status` is when it does not run.
const NOT_RUNNING: u8 = 3;

pub(super) async fn run(_global: &Global, command: Command) -> Result<u8, Error> {
    match command {
        Command::Start => start().await,
        Command::Stop => stop().await,
        Command::Status(format) => status(&format).await,
        Command::Info(format) => info(&format),
        Command::Serve => serve(),
    }
}

/// A connection to it, once it runs.
pub(super) async fn reach(start: Start) -> Result<Docker, Error> {
    let layout = layout();
    let here = client::status(&layout).await.is_some();
    if !here && start == Start::No {
        return Err(Error::Failed {
            message: "hoist's own engine does not run, so nothing of the project does".into(),
            hint: Some("`hoist up` starts it".into()),
        });
    }
    if !here && begin(&layout).await? == Started::Now {
        anstream::eprintln!("started hoist's own engine (see `hoist engine status`)");
    }
    connected(&layout).await
}

/// Uses it because nobody else answers.
pub(super) async fn instead(error: EngineError, start: Start) -> Result<Docker, Error> {
    let layout = layout();
    if client::status(&layout).await.is_some() {
        return connected(&layout).await;
    }
    let EngineError::Unreachable { message } = &error else {
        return Err(Error::Engine { action: "reach a container engine".into(), source: error });
    };
    let tried = format!("{message}\n  unix://{} (hoist's own): does not run", layout.socket().display());
    if start == Start::No || !rustix::process::geteuid().is_root() {
        let hint = if start == Start::No {
            "`hoist up` starts hoist's own engine"
        } else {
            "start Docker or Podman, or run hoist as root, which then uses an engine of its own"
        };
        let message = format!("cannot reach a container engine: {tried}");
        return Err(Error::Failed { message, hint: Some(hint.into()) });
    }
    if begin(&layout).await? == Started::Now {
        anstream::eprintln!("no other engine answers: started hoist's own (see `hoist engine status`)");
    }
    connected(&layout).await
}

/// Whether an address is that of its socket.
pub(super) fn is_its_address(address: &str) -> bool {
    let path = Path::new(address.strip_prefix("unix://").unwrap_or(address));
    let own = layout().socket();
    // `/run` and `/var/run` are one.
    path == own || path.canonicalize().is_ok_and(|path| own.canonicalize().is_ok_and(|own| own == path))
}

fn home() -> Option<String> {
    std::env::var("HOIST_HOME").ok().filter(|home| !home.is_empty())
}

fn layout() -> Layout {
    Layout::new(home().as_deref().map(Path::new))
}

async fn connected(layout: &Layout) -> Result<Docker, Error> {
    let address = format!("unix://{}", layout.socket().display());
    Docker::connect(Some(&address)).await.map_err(Error::engine("reach hoist's own engine"))
}

async fn begin(layout: &Layout) -> Result<Started, Error> {
    client::start(layout, home().as_deref()).await.map_err(|error| match error {
        embedded::error::Error::Forbidden(message) => Error::Failed {
            message,
            hint: Some("run the command as root (`sudo hoist …`), or start Docker or Podman".into()),
        },
        error => Error::failed(format!("cannot start hoist's own engine: {error}")),
    })
}

async fn start() -> Result<u8, Error> {
    let layout = layout();
    let socket = layout.socket();
    match begin(&layout).await? {
        Started::Now => anstream::eprintln!("the engine runs; its API is at `unix://{}`", socket.display()),
        Started::Before => anstream::eprintln!("the engine ran already, at `unix://{}`", socket.display()),
    }
    Ok(0)
}

async fn stop() -> Result<u8, Error> {
    let layout = layout();
    let Some(status) = client::status(&layout).await else {
        anstream::eprintln!("the engine did not run");
        return Ok(0);
    };
    if status.running > 0 {
        anstream::eprintln!("stopping {} and the engine", containers(status.running));
    }
    let stopped = client::stop(&layout, true).await.map_err(|error| Error::failed(error.to_string()))?;
    match stopped {
        0 => anstream::eprintln!("the engine has stopped"),
        stopped => anstream::eprintln!("{} and the engine have stopped", containers(stopped)),
    }
    Ok(0)
}

fn containers(number: usize) -> String {
    if number == 1 { "1 container".into() } else { format!("{number} containers") }
}

async fn status(format: &Format) -> Result<u8, Error> {
    let layout = layout();
    let found = client::status(&layout).await;
    let code = if found.is_some() { 0 } else { NOT_RUNNING };
    if format.json {
        let object = found.map_or_else(
            || json!({ "runs": false, "socket": layout.socket() }),
            |status| {
                json!({
                    "runs": true, "pid": status.pid, "since": status.since, "version": status.version,
                    "socket": status.socket, "state": status.state, "run": status.run, "log": status.log,
                    "containers": status.running,
                })
            },
        );
        output::print(&format!("{object:#}\n"))?;
        return Ok(code);
    }
    let Some(status) = found else {
        output::print("the engine does not run; `hoist up` starts it when no other answers\n")?;
        return Ok(code);
    };
    output::print(&table(&[
        ("runs", format!("yes, as process {}, since {}", status.pid, status.since)),
        ("version", status.version),
        ("API", format!("unix://{}", status.socket.display())),
        ("containers", format!("{} running", status.running)),
        ("keeps", format!("{} and {}", status.state.display(), status.run.display())),
        ("log", status.log.display().to_string()),
    ]))?;
    Ok(code)
}

fn info(format: &Format) -> Result<u8, Error> {
    let machine = machine::detect().map_err(|error| Error::failed(error.to_string()))?;
    let overlay = std::fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("\toverlay\n"));
    let root = rustix::process::geteuid().is_root();
    let withheld = machine::withheld(&machine);
    if format.json {
        let object = json!({
            "root": root, "cgroups": if machine.cgroup2 { 2 } else { 1 }, "overlayfs": overlay,
            "seccomp": "built in", "apparmor": machine.apparmor, "capabilitiesWithheld": withheld,
        });
        output::print(&format!("{object:#}\n"))?;
        return Ok(0);
    }
    let yes = |is: bool, without: &str| if is { "yes".to_owned() } else { without.to_owned() };
    output::print(&table(&[
        ("root", yes(root, "no: the engine runs as root only")),
        ("cgroups", format!("version {}", if machine.cgroup2 { 2 } else { 1 })),
        ("overlayfs", yes(overlay, "not loaded; `modprobe overlay` loads it")),
        ("seccomp", "built in, with Docker's default profile".into()),
        ("AppArmor", yes(machine.apparmor, "no")),
        ("withheld", if withheld.is_empty() { "nothing".into() } else { withheld.join(", ") }),
    ]))?;
    Ok(0)
}

fn table(rows: &[(&str, String)]) -> String {
    rows.iter().fold(String::new(), |table, (name, value)| table + &format!("{name:<11} {value}\n"))
}

/// In this process, with threads of its own: the runtime of other commands has but one.
fn serve() -> Result<u8, Error> {
    let options = embedded::daemon::Options { layout: layout(), idle: None };
    let served = std::thread::spawn(move || embedded::daemon::run(options)).join();
    match served {
        Ok(Ok(())) => Ok(0),
        Ok(Err(error)) => Err(Error::failed(error.to_string())),
        Err(_) => Err(Error::failed("the engine has come to a bad end; its log says more")),
    }
}
