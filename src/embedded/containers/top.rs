//! A container's processes as `ps` shows them. Nothing is run in the container: what `/proc` tells is enough for the usual
//! columns, and for others the machine's `ps` is asked and what is not the container's is left out.

use std::collections::{BTreeSet, HashMap};
use std::process::Stdio;
use std::time::Duration;

use bollard_stubs::models::ContainerTopResponse;
use chrono::{DateTime, Local, TimeDelta, Utc};

use super::shared::Container;
use crate::embedded::error::Error;

/// What `ps` may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// Columns of `ps -ef`.
const TITLES: [&str; 8] = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"];
/// Clock ticks in a second, as the kernel counts them for programs.
const TICKS: u64 = 100;

/// Its processes; `arguments` are for `ps`, `-ef` when there are none.
pub(super) async fn top(container: &Container, arguments: Option<&str>) -> Result<ContainerTopResponse, Error> {
    let pids: BTreeSet<u32> = container.running()?.processes().await?.into_iter().collect();
    let arguments = arguments.map(str::trim).filter(|arguments| !arguments.is_empty() && *arguments != "-ef");
    let (titles, processes) = match arguments {
        None => {
            let listed = tokio::task::spawn_blocking(move || {
                let users = users();
                pids.iter().filter_map(|pid| process(*pid, &users)).collect()
            });
            let listed = listed.await.map_err(|error| Error::Failed(format!("cannot read `/proc`: {error}")))?;
            (TITLES.map(str::to_owned).to_vec(), listed)
        }
        Some(arguments) => of_container(&ps(arguments).await?, &pids)?,
    };
    Ok(ContainerTopResponse { titles: Some(titles), processes: Some(processes) })
}

async fn ps(arguments: &str) -> Result<String, Error> {
    let words = shell_words::split(arguments)
        .map_err(|error| Error::Invalid(format!("the arguments of `ps` cannot be read: {error}")))?;
    let mut command = tokio::process::Command::new("ps");
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(DEADLINE, command.output()).await;
    let output = output.map_err(|_| Error::Failed("`ps` does not end".into()))?.map_err(Error::io("run `ps`"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(Error::Invalid(format!("Error running ps: {}", text.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The table that `ps` printed, without the lines of others.
fn of_container(table: &str, pids: &BTreeSet<u32>) -> Result<(Vec<String>, Vec<Vec<String>>), Error> {
    let mut lines = table.lines();
    let titles: Vec<String> = lines.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let column = titles.iter().position(|title| title == "PID");
    let column = column.ok_or_else(|| Error::Invalid("Couldn't find PID field in ps output".into()))?;
    let mut processes = Vec::new();
    for line in lines {
        let words: Vec<&str> = line.split_whitespace().collect();
        let own = words.get(column).and_then(|pid| pid.parse().ok()).is_some_and(|pid| pids.contains(&pid));
        if own && words.len() >= titles.len() {
            // The last column has all that is left.
            let (first, last) = words.split_at(titles.len() - 1);
            let mut row: Vec<String> = first.iter().map(|word| (*word).to_owned()).collect();
            row.push(last.join(" "));
            processes.push(row);
        }
    }
    Ok((titles, processes))
}

/// A line of `ps -ef`; `None` when the process has ended meanwhile.
fn process(pid: u32, users: &HashMap<String, String>) -> Option<Vec<String>> {
    let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).ok();
    let stat = String::from_utf8_lossy(&read("stat")?).into_owned();
    // The name is in parentheses and may hold some itself.
    let (name, rest) = stat.rsplit_once(')')?;
    let name = name.split_once('(').map_or("", |(_, name)| name);
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let number = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let status = String::from_utf8_lossy(&read("status")?).into_owned();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:")).and_then(|ids| ids.split_whitespace().nth(1));
    let user = user.unwrap_or("0");
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole seconds since the start of the machine"
    )]
    let age = (uptime as u64).saturating_sub(number(19) / TICKS);
    let busy = (number(11) + number(12)) / TICKS;
    let line = read("cmdline")?;
    let line = String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " ");
    Some(vec![
        users.get(user).cloned().unwrap_or_else(|| user.to_owned()),
        pid.to_string(),
        number(1).to_string(),
        (busy * 100).checked_div(age).unwrap_or(0).min(99).to_string(),
        started(age, Utc::now()),
        terminal(number(4)),
        format!("{:02}:{:02}:{:02}", busy / 3600, busy / 60 % 60, busy % 60),
        if line.is_empty() { format!("[{name}]") } else { line },
    ])
}

/// `14:05`, or the day when it was another.
fn started(age: u64, now: DateTime<Utc>) -> String {
    let age = TimeDelta::try_seconds(i64::try_from(age).unwrap_or(0)).unwrap_or_default();
    let (start, now) = ((now - age).with_timezone(&Local), now.with_timezone(&Local));
    let format = if start.date_naive() == now.date_naive() { "%H:%M" } else { "%b%d" };
    start.format(format).to_string()
}

/// The name of a terminal by its device number.
fn terminal(device: u64) -> String {
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    match major {
        136..=143 => format!("pts/{}", (major - 136) * 256 + minor),
        4 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

/// Names by number, as this machine has them.
fn users() -> HashMap<String, String> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entries = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.to_owned()))
    });
    entries.map(|(name, id)| (id, name)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use super::{of_container, process, terminal};

    #[test]
    fn only_the_containers_lines_are_kept() {
        let table = "  PID CMD\n    1 init a b\n   20 sh -c x y\n";
        let (titles, processes) = of_container(table, &BTreeSet::from([20])).expect("a table");
        assert_eq!(titles, ["PID", "CMD"]);
        assert_eq!(processes, [["20", "sh -c x y"]]);
        assert!(of_container("CMD\nsh\n", &BTreeSet::from([20])).is_err());
    }

    #[test]
    fn a_process_is_described_by_what_the_kernel_tells() {
        let own = process(std::process::id(), &HashMap::new()).expect("it runs");
        assert_eq!(own.len(), 8);
        assert_eq!(own[1], std::process::id().to_string());
        assert_eq!((terminal(0), terminal(136 << 8 | 3)), ("?".to_owned(), "pts/3".to_owned()));
    }
}
