//! Networks, volumes, events.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::Stdio;

use crate::support::{Daemon, eventually};

fn engine() -> Daemon {
    let daemon = Daemon::start();
    daemon.busybox();
    daemon
}

#[test]
fn containers_of_a_network_find_each_other_by_name() {
    let daemon = engine();
    daemon.docker(&["network", "create", "--label", "a=b", "shop"]).ok();
    assert_eq!(
        daemon.docker(&["network", "ls", "-f", "label=a", "--format", "{{.Name}} {{.Driver}}"]).ok(),
        "shop bridge\n"
    );
    let serve = "while :; do echo served | nc -l -p 80; done";
    daemon
        .docker(&[
            "run",
            "-d",
            "--name",
            "web",
            "--network",
            "shop",
            "--network-alias",
            "www",
            "busybox",
            "sh",
            "-c",
            serve,
        ])
        .ok();
    for name in ["web", "www"] {
        let script = format!("until nc {name} 80 < /dev/null; do sleep 0.1; done");
        assert_eq!(
            daemon.docker(&["run", "--rm", "--network", "shop", "busybox", "sh", "-c", &script]).ok(),
            "served\n"
        );
    }
    let users = daemon.docker(&["network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", "shop"]).ok();
    assert_eq!(users, "web\n");
    assert!(daemon.docker(&["network", "rm", "shop"]).fails().contains("has active endpoints"));
    daemon.docker(&["rm", "-f", "web"]).ok();
    daemon.docker(&["network", "rm", "shop"]).ok();
    let refusal = daemon.docker(&["network", "inspect", "shop"]).fails();
    assert!(refusal.contains("not found") || refusal.contains("No such network"), "{refusal}");
}

#[test]
fn a_container_is_connected_and_disconnected_while_it_runs() {
    let daemon = engine();
    daemon.docker(&["network", "create", "more"]).ok();
    daemon.docker(&["run", "-d", "--name", "web", "busybox", "sleep", "1000"]).ok();
    let interfaces = || daemon.docker(&["exec", "web", "sh", "-c", "ls /sys/class/net | grep -c eth"]).ok();
    assert_eq!(interfaces(), "1\n");
    daemon.docker(&["network", "connect", "--alias", "again", "more", "web"]).ok();
    assert_eq!(interfaces(), "2\n");
    let networks = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
    assert_eq!(daemon.docker(&["inspect", "-f", networks, "web"]).ok(), "bridge more \n");
    daemon.docker(&["network", "disconnect", "more", "web"]).ok();
    assert_eq!(interfaces(), "1\n");
    let pruned = daemon.docker(&["network", "prune", "-f"]).ok();
    assert!(pruned.contains("more"), "{pruned}");
    assert!(daemon.docker(&["network", "rm", "bridge"]).fails().contains("pre-defined"));
}

#[test]
fn a_published_port_is_reached_from_the_machine() {
    let daemon = engine();
    let serve = "while :; do echo served | nc -l -p 80; done";
    daemon.docker(&["run", "-d", "--name", "web", "-p", "127.0.0.1::80", "busybox", "sh", "-c", serve]).ok();
    let place = daemon.docker(&["port", "web", "80"]).ok();
    let served = eventually("the port answers", || {
        let mut stream = TcpStream::connect(place.trim()).ok()?;
        stream.set_read_timeout(Some(std::time::Duration::from_secs(5))).ok()?;
        stream.write_all(b"\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        (!text.is_empty()).then_some(text)
    });
    assert_eq!(served, "served\n");
    let refusal = daemon.docker(&["run", "--rm", "-p", &format!("{}:80", place.trim()), "busybox", "true"]).fails();
    let port = place.trim().rsplit_once(':').expect("an address and a port").1.to_owned();
    assert!(refusal.contains(&port), "the refusal names the port: {refusal}");
}

#[test]
fn a_volume_keeps_what_containers_write() {
    let daemon = engine();
    assert_eq!(daemon.docker(&["volume", "create", "--label", "a=b", "data"]).ok(), "data\n");
    daemon.docker(&["run", "--rm", "-v", "data:/data", "busybox", "sh", "-c", "echo kept > /data/file"]).ok();
    assert_eq!(daemon.docker(&["run", "--rm", "-v", "data:/d:ro", "busybox", "cat", "/d/file"]).ok(), "kept\n");
    assert_ne!(daemon.docker(&["run", "--rm", "-v", "data:/d:ro", "busybox", "touch", "/d/x"]).code, 0);
    assert_eq!(daemon.docker(&["volume", "ls", "-q", "-f", "label=a=b"]).ok(), "data\n");
    daemon.docker(&["create", "--name", "user", "-v", "data:/data", "busybox"]).ok();
    assert!(daemon.docker(&["volume", "rm", "data"]).fails().contains("volume is in use"));
    daemon.docker(&["rm", "user"]).ok();
    let inspected = daemon.docker(&["volume", "inspect", "-f", "{{.Driver}} {{.Scope}} {{.Labels.a}}", "data"]).ok();
    assert_eq!(inspected, "local local b\n");
    assert_eq!(daemon.docker(&["volume", "rm", "data"]).ok(), "data\n");
    let refusal = daemon.docker(&["volume", "inspect", "data"]).fails();
    assert!(refusal.to_lowercase().contains("no such volume"), "{refusal}");
}

#[test]
fn anonymous_volumes_are_pruned_and_named_ones_stay() {
    let daemon = engine();
    daemon.docker(&["volume", "create", "named"]).ok();
    daemon.docker(&["run", "--name", "user", "-v", "/data", "busybox", "true"]).ok();
    assert_eq!(daemon.docker(&["volume", "ls", "-q"]).ok().lines().count(), 2);
    daemon.docker(&["rm", "user"]).ok();
    daemon.docker(&["volume", "prune", "-f"]).ok();
    let client = daemon.docker(&["version", "-f", "{{.Client.APIVersion}}"]).ok();
    if matches!(client.trim(), "1.40" | "1.41") {
        // Clients of old mean all volumes, and say so.
        assert_eq!(daemon.docker(&["volume", "ls", "-q"]).ok(), "");
        return;
    }
    assert_eq!(daemon.docker(&["volume", "ls", "-q"]).ok(), "named\n");
    daemon.docker(&["run", "--rm", "-v", "/data", "busybox", "true"]).ok();
    assert_eq!(daemon.docker(&["volume", "ls", "-q"]).ok(), "named\n");
}

#[test]
fn a_folder_of_the_machine_is_mounted() {
    let daemon = engine();
    let folder = tempfile::tempdir().unwrap();
    let bind = format!("{}:/here", folder.path().display());
    daemon.docker(&["run", "--rm", "-v", &bind, "busybox", "sh", "-c", "echo hi > /here/file"]).ok();
    assert_eq!(std::fs::read_to_string(folder.path().join("file")).unwrap(), "hi\n");
    let mount = format!("type=bind,source={},target=/there,readonly", folder.path().display());
    assert_eq!(daemon.docker(&["run", "--rm", "--mount", &mount, "busybox", "cat", "/there/file"]).ok(), "hi\n");
    let missing = format!("type=bind,source={}/missing,target=/there", folder.path().display());
    assert!(
        daemon
            .docker(&["run", "--rm", "--mount", &missing, "busybox"])
            .fails()
            .contains("bind source path does not exist")
    );
    let tmpfs =
        ["run", "--rm", "--tmpfs", "/t:size=1m", "--read-only", "busybox", "sh", "-c", "touch /t/x && ! touch /x"];
    daemon.docker(&tmpfs).ok();
}

#[test]
fn events_tell_a_containers_life() {
    let daemon = engine();
    let since = (chrono::Utc::now().timestamp() - 1).to_string();
    let mut events = daemon.docker_command();
    // With `since` it does not matter whether the stream has begun before the container.
    let mut events = events
        .args([
            "events",
            "--since",
            &since,
            "-f",
            "type=container",
            "--format",
            "{{.Action}} {{.Actor.Attributes.name}}",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("docker can be started");
    let mut lines = BufReader::new(events.stdout.take().expect("it is piped")).lines();
    daemon.docker(&["run", "--rm", "--name", "web", "busybox", "true"]).ok();
    let mut seen = Vec::new();
    while seen.last().is_none_or(|line| line != "destroy web") {
        seen.push(lines.next().unwrap().unwrap());
    }
    assert_eq!(seen, ["create web", "attach web", "start web", "die web", "destroy web"]);
    events.kill().unwrap();
    events.wait().unwrap();
    let until = (chrono::Utc::now().timestamp() + 1).to_string();
    let format = "{{.Action}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.image}}";
    let past = ["events", "--since", &since, "--until", &until, "-f", "event=die", "--format", format];
    assert_eq!(daemon.docker(&past).ok(), "die 0 busybox\n");
}

#[test]
fn files_are_copied_into_a_container_that_is_being_started() {
    let daemon = engine();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "copied").unwrap();
    let source = file.path().to_str().expect("text");
    for round in 0..10 {
        let name = format!("box-{round}");
        daemon.docker(&["create", "--name", &name, "busybox", "sleep", "1000"]).ok();
        std::thread::scope(|scope| {
            scope.spawn(|| daemon.docker(&["start", &name]).ok());
            daemon.docker(&["cp", source, &format!("{name}:/file")]).ok();
        });
        assert_eq!(daemon.docker(&["exec", &name, "cat", "/file"]).ok(), "copied");
        daemon.docker(&["rm", "-f", &name]).ok();
    }
}

#[test]
fn a_container_that_joins_anothers_ipc_shares_its_memory() {
    let daemon = engine();
    let script = "echo theirs > /dev/shm/file; sleep 1000";
    daemon.docker(&["run", "-d", "--name", "first", "--ipc", "shareable", "busybox", "sh", "-c", script]).ok();
    eventually("the file is there", || {
        daemon.docker(&["exec", "first", "cat", "/dev/shm/file"]).ok().contains("theirs").then_some(())
    });
    let script = "cat /dev/shm/file; echo mine > /dev/shm/back; readlink /proc/self/ns/ipc";
    let second = daemon.docker(&["run", "--rm", "--ipc", "container:first", "busybox", "sh", "-c", script]).ok();
    let namespace = daemon.docker(&["exec", "first", "readlink", "/proc/self/ns/ipc"]).ok();
    assert_eq!(second, format!("theirs\n{namespace}"));
    assert_eq!(daemon.docker(&["exec", "first", "cat", "/dev/shm/back"]).ok(), "mine\n");
    let alone = daemon.docker(&["run", "--rm", "busybox", "ls", "/dev/shm"]).ok();
    assert_eq!(alone, "", "others have memory of their own");
    daemon.docker(&["rm", "-f", "first"]).ok();
}
