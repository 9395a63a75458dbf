//! Reloads: from a save to the new code's answer, by kind of rule; and requests that fail meanwhile.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::embedded::Embedded;
use crate::table::Row;
use crate::tool::Tool;
use crate::watched::{KINDS, Reloads, Watched};
use crate::{Options, milliseconds, row};

/// Between two requests of the load.
const PERIOD: Duration = Duration::from_millis(5);

/// The rows that are wanted of each kind of rule.
type Wanted = Vec<(usize, Vec<String>)>;

/// Each kind of rule in turn, a save for each round, in a session for each tool and engine. What docker compose takes on
/// Docker stands beside hoist on Docker and beside hoist on its own engine.
pub(crate) fn by_kind(options: &Options, rows: &mut [Row], project: &dyn Watched, name: &str) {
    let on_embedded = format!("{name} embedded");
    for tool in &options.tools {
        if tool.name == "compose" {
            saves(options, rows, project, tool, &wanted(options, &[name, &on_embedded]));
            continue;
        }
        let on_docker = wanted(options, &[name]);
        if !on_docker.is_empty() {
            saves(options, rows, project, tool, &on_docker);
        }
        let on_embedded = wanted(options, &[&on_embedded]);
        if !on_embedded.is_empty() {
            let engine = Embedded::start();
            saves(options, rows, project, &engine.tool(), &on_embedded);
        }
    }
}

fn wanted(options: &Options, names: &[&str]) -> Wanted {
    let kinds = KINDS.iter().enumerate().map(|(service, kind)| {
        let rows = names.iter().map(|name| format!("{name}: {kind}"));
        (service, rows.filter(|row| options.wants(&[row])).collect::<Vec<_>>())
    });
    kinds.filter(|(_, rows)| !rows.is_empty()).collect()
}

fn saves(options: &Options, rows: &mut [Row], project: &dyn Watched, tool: &Tool, wanted: &Wanted) {
    let session = project.start(tool);
    for (service, names) in wanted {
        for round in 0..options.rounds {
            let served = project.reload(*service, &format!("{}-{round}", tool.name));
            eprintln!("{:8} {} {served:?}", tool.name, names.join(", "));
            for name in names {
                if let Some(served) = served {
                    row(rows, name).add(tool, milliseconds(served));
                }
            }
            session.settle();
        }
    }
    project.end(tool, session);
}

/// Twenty reloads under two hundred requests a second.
pub(crate) fn failed_requests(options: &Options, rows: &mut [Row]) {
    let engine = options.tools.iter().any(|tool| tool.name == "hoist").then(Embedded::start);
    let project = Reloads::three();
    let mut runs: Vec<(Tool, &str)> = options.tools.iter().map(|tool| (tool.clone(), "failed requests")).collect();
    runs.extend(engine.iter().map(|engine| (engine.tool(), "failed requests embedded")));
    for (tool, name) in runs {
        let session = project.start(&tool);
        for (service, kind) in KINDS.iter().enumerate().take(2) {
            let (sent, failed) = under_load(&project, service, 10);
            eprintln!("{:8} {name}: {kind} {failed} of {sent}", tool.name);
            row(rows, name).add(&tool, f64::from(failed));
        }
        project.end(&tool, session);
    }
}

/// Two hundred requests a second while a service is reloaded so many times; how many were sent, and how many failed.
fn under_load(project: &Reloads, service: usize, reloads: usize) -> (u32, u32) {
    let port = project.services[service].port;
    let (over, sent, failed) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut due = Instant::now();
            while !over.load(Ordering::Relaxed) {
                scope.spawn(|| {
                    sent.fetch_add(1, Ordering::Relaxed);
                    if !is_answered(port) {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                });
                due += PERIOD;
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
        });
        for number in 0..reloads {
            if project.reload(service, &format!("load-{number}")).is_none() {
                eprintln!("a save under load was missed");
            }
            // What follows a reload, such as the removal of the container before, is part of it.
            thread::sleep(Duration::from_secs(2));
        }
        over.store(true, Ordering::Relaxed);
    });
    (sent.into_inner(), failed.into_inner())
}

fn is_answered(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let patience = Duration::from_secs(10);
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer.starts_with("HTTP/1.1 200") && answer.contains('<'))
    };
    ask().unwrap_or(false)
}
