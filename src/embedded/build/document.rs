//! Pure: what an instruction changes in an image's configuration, and how its history tells of it.

use std::collections::HashMap;

use bollard_stubs::models::{HealthConfig, ImageConfig};

use super::scope::words_of;
use crate::dockerfile::instruction::{Command, Copy, Healthcheck, Instruction};
use crate::embedded::images::Document;

/// A range of ports that is wider than this is a slip of the keyboard.
const MOST_PORTS: u16 = 4096;

/// The shell of an image that says nothing of one.
fn default_shell() -> Vec<String> {
    vec!["/bin/sh".into(), "-c".into()]
}

/// The shell that commands in shell form are given to.
pub(super) fn shell(config: &ImageConfig) -> Vec<String> {
    config.shell.clone().filter(|shell| !shell.is_empty()).unwrap_or_else(default_shell)
}

/// What a stage begins with: the base's, without its triggers, which are returned.
pub(super) fn inherit(base: &Document, platform: &str) -> (Document, Vec<String>) {
    let mut document = base.clone();
    let triggers = document.config.on_build.take().unwrap_or_default();
    let mut parts = platform.splitn(3, '/');
    for (field, default) in [(&mut document.os, "linux"), (&mut document.architecture, "amd64")] {
        let part = parts.next().unwrap_or(default);
        if field.is_empty() {
            part.clone_into(field);
        }
    }
    document.rootfs.kind = "layers".into();
    (document, triggers)
}

/// Carries out what an instruction changes in the configuration; files and commands are others' work. `command_was_set`
/// tells whether this stage has a `CMD` of its own, which an `ENTRYPOINT` keeps.
pub(super) fn apply(config: &mut ImageConfig, instruction: &Instruction, cmd_is_own: &mut bool) -> Result<(), String> {
    match instruction {
        Instruction::Label(pairs) => {
            config.labels.get_or_insert_default().extend(pairs.iter().cloned());
        }
        Instruction::Workdir(path) => {
            config.working_dir = Some(absolute(config.working_dir.as_deref().unwrap_or("/"), path));
        }
        Instruction::User(user) => config.user = Some(user.clone()),
        Instruction::Stopsignal(signal) => config.stop_signal = Some(signal.clone()),
        Instruction::Expose(list) => {
            let ports = config.exposed_ports.get_or_insert_default();
            for port in list {
                ports.extend(self::ports(port)?);
            }
            ports.sort();
            ports.dedup();
        }
        Instruction::Volume(list) => {
            let volumes = config.volumes.get_or_insert_default();
            if list.iter().any(|volume| volume.trim().is_empty()) {
                return Err("VOLUME: a path is empty".into());
            }
            volumes.extend(list.iter().cloned());
            volumes.sort();
            volumes.dedup();
        }
        Instruction::Entrypoint(command) => {
            config.entrypoint = Some(words_of(command, &shell(config)));
            // The base's command was meant for the base's entrypoint.
            if !*cmd_is_own {
                config.cmd = None;
            }
        }
        Instruction::Cmd(command) => {
            *cmd_is_own = true;
            config.cmd = match command {
                Command::Shell(text) if text.is_empty() => Some(Vec::new()),
                command => Some(words_of(command, &shell(config))),
            };
        }
        Instruction::Shell(words) => config.shell = Some(words.clone()),
        Instruction::Healthcheck(check) => config.healthcheck = Some(healthcheck(check.as_ref(), config)?),
        Instruction::Onbuild(text) => config.on_build.get_or_insert_default().push(text.clone()),
        Instruction::From(_)
        | Instruction::Arg(_)
        | Instruction::Env(_)
        | Instruction::Maintainer(_)
        | Instruction::Run(_)
        | Instruction::Copy(_) => {}
    }
    Ok(())
}

/// A path against a folder, without `.`, `..` and double slashes.
pub(super) fn absolute(folder: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") };
    let mut parts = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// `80`, `80/udp`, `8000-8010/tcp`.
fn ports(text: &str) -> Result<Vec<String>, String> {
    let wrong = || format!("EXPOSE: `{text}` is not a port: `80`, `80/udp` and `8000-8010` are");
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(wrong());
    }
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let (low, high): (u16, u16) = low.parse().ok().zip(high.parse().ok()).ok_or_else(wrong)?;
    if low > high || high - low >= MOST_PORTS {
        return Err(wrong());
    }
    Ok((low..=high).map(|port| format!("{port}/{protocol}")).collect())
}

fn healthcheck(check: Option<&Healthcheck>, config: &ImageConfig) -> Result<HealthConfig, String> {
    let Some(check) = check else {
        return Ok(HealthConfig { test: Some(vec!["NONE".into()]), ..HealthConfig::default() });
    };
    let test = match &check.command {
        Command::Exec(words) => ["CMD".to_owned()].into_iter().chain(words.iter().cloned()).collect(),
        // A shell of the image's own is named, any other is the default.
        Command::Shell(text) if config.shell.is_some() => {
            let words = shell(config).into_iter().chain([text.clone()]);
            ["CMD".to_owned()].into_iter().chain(words).collect()
        }
        Command::Shell(text) => vec!["CMD-SHELL".into(), text.clone()],
    };
    let time = |name: &str, text: Option<&String>| {
        let read = |text: &String| {
            nanoseconds(text)
                .ok_or_else(|| format!("HEALTHCHECK --{name}={text}: `30s`, `1m30s` and `500ms` are times"))
        };
        text.map(read).transpose()
    };
    let retries = check.retries.as_ref().map(|text| {
        let number = text.parse::<i64>().ok().filter(|number| *number >= 0);
        number.ok_or_else(|| format!("HEALTHCHECK --retries={text}: it takes a number"))
    });
    Ok(HealthConfig {
        test: Some(test),
        interval: time("interval", check.interval.as_ref())?,
        timeout: time("timeout", check.timeout.as_ref())?,
        start_period: time("start-period", check.start_period.as_ref())?,
        start_interval: time("start-interval", check.start_interval.as_ref())?,
        retries: retries.transpose()?,
    })
}

/// `1h2m3.5s`, `500ms` (Go's durations).
fn nanoseconds(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut sum = 0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, unit) = rest.split_at(digits);
        let end = unit.find(|character: char| character.is_ascii_digit()).unwrap_or(unit.len());
        let (unit, after) = unit.split_at(end);
        let factor = match unit {
            "ns" => 1.0,
            "us" | "µs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    // Times beyond a century are no times.
    #[expect(clippy::cast_possible_truncation, reason = "it is checked to be small")]
    (!text.is_empty() && sum < 3.2e18).then_some(sum as i64)
}

/// How the history tells of an instruction; `arguments` are those of a command.
pub(super) fn created_by(instruction: &Instruction, shell: &[String], arguments: &[String]) -> String {
    let exec = |words: &[String]| serde_json::to_string(words).unwrap_or_default();
    let quoted = |pairs: &[(String, String)]| {
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join(" ")
    };
    match instruction {
        Instruction::From(from) => format!("FROM {}", from.image),
        Instruction::Arg(list) => {
            let list: Vec<String> = list
                .iter()
                .map(|(name, value)| value.as_ref().map_or_else(|| name.clone(), |value| format!("{name}={value}")))
                .collect();
            format!("ARG {}", list.join(" "))
        }
        Instruction::Env(pairs) => format!("ENV {}", quoted(pairs)),
        Instruction::Label(pairs) => format!("LABEL {}", quoted(pairs)),
        Instruction::Run(run) => {
            let mut words = words_of(&run.command, shell).join(" ");
            for heredoc in &run.heredocs {
                words.push('\n');
                words.push_str(&heredoc.text);
                words.push_str(&heredoc.name);
            }
            match arguments {
                [] => format!("RUN {words}"),
                arguments => format!("RUN |{} {} {words}", arguments.len(), arguments.join(" ")),
            }
        }
        Instruction::Copy(copy) => copied(copy),
        Instruction::Workdir(path) => format!("WORKDIR {path}"),
        Instruction::User(user) => format!("USER {user}"),
        Instruction::Stopsignal(signal) => format!("STOPSIGNAL {signal}"),
        Instruction::Maintainer(name) => format!("MAINTAINER {name}"),
        Instruction::Expose(list) => format!("EXPOSE {}", list.join(" ")),
        Instruction::Volume(list) => format!("VOLUME {}", exec(list)),
        Instruction::Entrypoint(command) => format!("ENTRYPOINT {}", exec(&words_of(command, shell))),
        Instruction::Cmd(command) => format!("CMD {}", exec(&words_of(command, shell))),
        Instruction::Shell(words) => format!("SHELL {}", exec(words)),
        Instruction::Healthcheck(None) => "HEALTHCHECK NONE".into(),
        Instruction::Healthcheck(Some(check)) => match &check.command {
            Command::Exec(words) => format!("HEALTHCHECK CMD {}", exec(words)),
            Command::Shell(text) => format!("HEALTHCHECK CMD {text}"),
        },
        Instruction::Onbuild(text) => format!("ONBUILD {text}"),
    }
}

fn copied(copy: &Copy) -> String {
    let mut text = String::from(if copy.add { "ADD" } else { "COPY" });
    for (flag, value) in [("from", &copy.from), ("chown", &copy.chown), ("chmod", &copy.chmod)] {
        if let Some(value) = value {
            text.extend([" --", flag, "=", value]);
        }
    }
    let heredocs = copy.heredocs.iter().map(|heredoc| format!("<<{}", heredoc.name));
    for word in copy.sources.iter().cloned().chain(heredocs).chain([copy.destination.clone()]) {
        text.push(' ');
        text.push_str(&word);
    }
    text
}

/// The image's labels with those that were asked for beside the Dockerfile.
pub(super) fn label(config: &mut ImageConfig, labels: &HashMap<String, String>) {
    if !labels.is_empty() {
        config.labels.get_or_insert_default().extend(labels.clone());
    }
}

#[cfg(test)]
mod tests {
    use bollard_stubs::models::ImageConfig;

    use super::{absolute, apply, created_by, nanoseconds, shell};
    use crate::dockerfile::{self, instruction};

    fn applied(text: &str) -> Result<(ImageConfig, Vec<String>), String> {
        let cmd = Some(vec!["base".to_owned()]);
        let mut config = ImageConfig { cmd, ..ImageConfig::default() };
        let mut own = false;
        let mut history = Vec::new();
        for line in dockerfile::parse(text).expect("it is a Dockerfile").lines {
            let instruction = instruction::read(&line, '\\').expect("it is one");
            apply(&mut config, &instruction, &mut own)?;
            history.push(created_by(&instruction, &shell(&config), &[]));
        }
        Ok((config, history))
    }

    #[test]
    fn instructions_become_the_configuration_and_its_history() {
        let text = "WORKDIR /a\nWORKDIR b/../c\nUSER x:y\nEXPOSE 80 90/udp 7-8\nVOLUME [\"/v\"]\nSHELL [\"/bin/bash\", \"-c\"]\n\
                    ENTRYPOINT run it\nHEALTHCHECK --interval=1m30s --retries=3 CMD [\"ok\"]\nSTOPSIGNAL SIGINT";
        let (config, history) = applied(text).expect("all is well");
        assert_eq!(config.working_dir.as_deref(), Some("/a/c"));
        assert_eq!(config.exposed_ports.unwrap_or_default(), ["7/tcp", "8/tcp", "80/tcp", "90/udp"]);
        assert_eq!(config.entrypoint.unwrap_or_default(), ["/bin/bash", "-c", "run it"]);
        assert_eq!(config.cmd, None);
        let check = config.healthcheck.expect("there is one");
        assert_eq!((check.interval, check.retries), (Some(90_000_000_000), Some(3)));
        assert_eq!(check.test.unwrap_or_default(), ["CMD", "ok"]);
        assert_eq!(history[6], "ENTRYPOINT [\"/bin/bash\",\"-c\",\"run it\"]");
    }

    #[test]
    fn a_command_of_its_own_outlives_an_entrypoint() {
        let (config, _) = applied("CMD [\"a\"]\nENTRYPOINT [\"b\"]").expect("all is well");
        assert_eq!(config.cmd.unwrap_or_default(), ["a"]);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let problem = applied("EXPOSE http").expect_err("it is not a port");
        assert_eq!(problem, "EXPOSE: `http` is not a port: `80`, `80/udp` and `8000-8010` are");
        assert!(applied("HEALTHCHECK --timeout=3 CMD x").is_err());
    }

    #[test]
    fn paths_and_times_are_read() {
        assert_eq!(absolute("/a", "../../b//./c/"), "/b/c");
        assert_eq!(absolute("/", ""), "/");
        assert_eq!(nanoseconds("1h1.5s"), Some(3_601_500_000_000));
        assert_eq!(nanoseconds("1"), None);
    }
}
