//! What `docker import --change` and `docker commit --change` say of an image's defaults: instructions of a Dockerfile, one
//! each.

use std::collections::HashMap;

use bollard_stubs::models::ImageConfig;

use super::answer::Refusal;

/// The defaults with the changes made.
pub(super) fn apply<'a>(
    mut config: ImageConfig,
    changes: impl Iterator<Item = &'a str>,
) -> Result<ImageConfig, Refusal> {
    for change in changes.flat_map(str::lines).map(str::trim).filter(|change| !change.is_empty()) {
        let (name, rest) = change.split_once(char::is_whitespace).unwrap_or((change, ""));
        let rest = rest.trim();
        if rest.is_empty() {
            return Err(Refusal::invalid(format!("`{change}` says nothing to change")));
        }
        match name.to_ascii_uppercase().as_str() {
            "CMD" => config.cmd = Some(command(rest)),
            "ENTRYPOINT" => config.entrypoint = Some(command(rest)),
            "ENV" => {
                for (name, value) in pairs(rest)? {
                    let variables = config.env.get_or_insert_default();
                    variables.retain(|variable| variable.split('=').next() != Some(name.as_str()));
                    variables.push(format!("{name}={value}"));
                }
            }
            "LABEL" => config.labels.get_or_insert_with(HashMap::new).extend(pairs(rest)?),
            "EXPOSE" => config.exposed_ports.get_or_insert_default().extend(rest.split_whitespace().map(port)),
            "VOLUME" => config.volumes.get_or_insert_default().extend(list(rest)),
            "USER" => config.user = Some(rest.to_owned()),
            "WORKDIR" => config.working_dir = Some(rest.to_owned()),
            "STOPSIGNAL" => config.stop_signal = Some(rest.to_owned()),
            "ONBUILD" => config.on_build.get_or_insert_default().push(rest.to_owned()),
            _ => return Err(Refusal::invalid(format!("{name} is not a valid change command"))),
        }
    }
    Ok(config)
}

/// `["a", "b"]`, or a line for the shell.
fn command(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| vec!["/bin/sh".into(), "-c".into(), text.into()])
}

/// `["a", "b"]`, or words.
fn list(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| text.split_whitespace().map(str::to_owned).collect())
}

/// `80` is `80/tcp`.
fn port(text: &str) -> String {
    if text.contains('/') { text.to_owned() } else { format!("{text}/tcp") }
}

/// `a=b "c=d e"`, or a name and, after a space, its value.
fn pairs(text: &str) -> Result<Vec<(String, String)>, Refusal> {
    let words = shell_words::split(text).map_err(|error| Refusal::invalid(format!("cannot read `{text}`: {error}")))?;
    if let Some(pairs) = words.iter().map(|word| word.split_once('=')).collect::<Option<Vec<_>>>() {
        return Ok(pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    }
    let (name, value) = text
        .split_once(char::is_whitespace)
        .ok_or_else(|| Refusal::invalid(format!("`{text}` has no value: write `name=value`")))?;
    Ok(vec![(name.to_owned(), value.trim().to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_as_in_a_dockerfile() {
        let before = ImageConfig { env: Some(vec!["A=0".into()]), ..ImageConfig::default() };
        let changes = [
            "CMD [\"a\", \"b\"]",
            "entrypoint run it",
            "ENV A=1 B=\"2 3\"",
            "ENV C 4 5",
            "LABEL x=y",
            "EXPOSE 80 53/udp",
            "VOLUME /data",
            "USER nobody",
            "WORKDIR /w",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN x",
        ];
        let after = apply(before, changes.into_iter()).unwrap();
        assert_eq!(after.cmd.unwrap(), ["a", "b"]);
        assert_eq!(after.entrypoint.unwrap(), ["/bin/sh", "-c", "run it"]);
        assert_eq!(after.env.unwrap(), ["A=1", "B=2 3", "C=4 5"]);
        assert_eq!(after.labels.unwrap()["x"], "y");
        assert_eq!(after.exposed_ports.unwrap(), ["80/tcp", "53/udp"]);
        assert_eq!(after.volumes.unwrap(), ["/data"]);
        assert_eq!(after.user.as_deref(), Some("nobody"));
        assert_eq!(after.working_dir.as_deref(), Some("/w"));
        assert_eq!(after.stop_signal.as_deref(), Some("SIGINT"));
        assert_eq!(after.on_build.unwrap(), ["RUN x"]);
    }

    #[test]
    fn what_is_no_change_is_refused() {
        for wrong in ["RUN x", "CMD", "ENV A", "LABEL \"x"] {
            assert!(apply(ImageConfig::default(), [wrong].into_iter()).is_err(), "{wrong}");
        }
    }
}
