//! Pure: `RUN --mount=…`.

use crate::dockerfile::problem::{Problem, suggestion};

/// What is put into the file system of a `RUN` while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mount {
    /// A folder that stays between builds.
    Cache(Cache),
    /// A part of the context, of a stage or of an image.
    Bind(Bind),
    /// An empty folder in memory.
    Tmpfs { target: String, size: Option<u64> },
    /// A secret of the client's.
    Secret(Secret),
    /// An SSH agent of the client's.
    Agent(Agent),
}

/// Whose a file is that is put into the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Secret {
    pub(super) id: String,
    /// The file that it is in.
    pub(super) target: Option<String>,
    /// The variable that it is in.
    pub(super) variable: Option<String>,
    /// Without it the step fails.
    pub(super) required: bool,
    pub(super) owner: Owner,
}

/// An SSH agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Agent {
    pub(super) id: String,
    /// Where its socket is; somewhere when `None`.
    pub(super) target: Option<String>,
    /// Without it the step fails.
    pub(super) required: bool,
    pub(super) owner: Owner,
}

/// The id of an agent that is not named.
const DEFAULT_AGENT: &str = "default";

/// A folder that stays between builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cache {
    /// The same id is the same folder.
    pub(super) id: String,
    pub(super) target: String,
    pub(super) sharing: Sharing,
    pub(super) read_only: bool,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// How builds that want the same cache at the same time get along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// All have it.
    Shared,
    /// One after the other.
    Locked,
    /// Whoever comes while it is in use gets an empty one.
    Private,
}

/// A part of the context, of a stage or of an image; what is written to it is thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bind {
    /// `None` is the context.
    pub(super) from: Option<String>,
    pub(super) source: String,
    pub(super) target: String,
    pub(super) writable: bool,
}

const KEYS: [&str; 17] = [
    "type",
    "id",
    "target",
    "destination",
    "dst",
    "source",
    "src",
    "from",
    "sharing",
    "readonly",
    "ro",
    "rw",
    "readwrite",
    "mode",
    "uid",
    "gid",
    "size",
];

/// Reads what stands after `--mount=`, variables expanded already.
pub(super) fn read(number: usize, text: &str) -> Result<Mount, Problem> {
    let problem = |message: String| Problem::at(number, format!("RUN --mount={text}: {message}"));
    let mut fields = Fields::default();
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let key = key.trim().to_ascii_lowercase();
        if !KEYS.contains(&key.as_str()) && !matches!(key.as_str(), "required" | "env") {
            return Err(problem(format!("`{key}` is unknown{}", suggestion(&key, KEYS))));
        }
        fields.0.push((key, value.to_owned()));
    }
    let target = fields.any(&["target", "destination", "dst"]);
    let needed = || target.clone().ok_or_else(|| problem("it needs a target: target=/path".into()));
    let octal = |key: &str, default| {
        let value = fields.any(&[key]).map(|value| u32::from_str_radix(&value, 8));
        value.unwrap_or(Ok(default)).map_err(|_| problem(format!("`{key}` is an octal number")))
    };
    let number_of = |key: &str| {
        let value = fields.any(&[key]).map(|value| value.parse::<u32>());
        value.unwrap_or(Ok(0)).map_err(|_| problem(format!("`{key}` is a number")))
    };
    match fields.any(&["type"]).as_deref().unwrap_or("bind") {
        "cache" => {
            let target = needed()?;
            let sharing = match fields.any(&["sharing"]).as_deref() {
                None | Some("shared") => Sharing::Shared,
                Some("locked") => Sharing::Locked,
                Some("private") => Sharing::Private,
                Some(other) => return Err(problem(format!("sharing is shared, locked or private, not `{other}`"))),
            };
            if fields.any(&["from"]).is_some() {
                return Err(problem("a cache that begins with files of an image is not given by this engine".into()));
            }
            Ok(Mount::Cache(Cache {
                id: fields.any(&["id"]).unwrap_or_else(|| target.clone()),
                target,
                sharing,
                read_only: fields.is_set(&["ro", "readonly"]),
                mode: octal("mode", 0o755)?,
                uid: number_of("uid")?,
                gid: number_of("gid")?,
            }))
        }
        "bind" => Ok(Mount::Bind(Bind {
            from: fields.any(&["from"]).filter(|from| !from.is_empty()),
            source: fields.any(&["source", "src"]).unwrap_or_default(),
            target: needed()?,
            writable: fields.is_set(&["rw", "readwrite"]),
        })),
        "tmpfs" => {
            let size = fields
                .any(&["size"])
                .map(|size| bytes(&size))
                .map(|size| size.ok_or_else(|| problem("`size` is a number of bytes, or one with k, m or g".into())));
            Ok(Mount::Tmpfs { target: needed()?, size: size.transpose()? })
        }
        "secret" => {
            let variable = fields.any(&["env"]).filter(|name| !name.is_empty());
            let named = || target.as_ref()?.rsplit('/').next().map(str::to_owned);
            let id = fields.any(&["source", "src", "id"]).filter(|id| !id.is_empty()).or_else(named);
            let id = id.ok_or_else(|| problem("it needs an id: id=name".into()))?;
            let place = target.clone().or_else(|| variable.is_none().then(|| format!("/run/secrets/{id}")));
            let owner = Owner { mode: octal("mode", 0o400)?, uid: number_of("uid")?, gid: number_of("gid")? };
            let required = fields.is_set(&["required"]);
            Ok(Mount::Secret(Secret { id, target: place, variable, required, owner }))
        }
        "ssh" => Ok(Mount::Agent(Agent {
            id: fields.any(&["id"]).filter(|id| !id.is_empty()).unwrap_or_else(|| DEFAULT_AGENT.to_owned()),
            target,
            required: fields.is_set(&["required"]),
            owner: Owner { mode: octal("mode", 0o600)?, uid: number_of("uid")?, gid: number_of("gid")? },
        })),
        other => Err(problem(format!("`{other}` is not a type: bind, cache, secret, ssh or tmpfs is"))),
    }
}

#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn any(&self, keys: &[&str]) -> Option<String> {
        self.0.iter().find(|(key, _)| keys.contains(&key.as_str())).map(|(_, value)| value.clone())
    }

    fn is_set(&self, keys: &[&str]) -> bool {
        self.any(keys).is_some_and(|value| matches!(value.as_str(), "" | "true" | "1"))
    }
}

fn bytes(text: &str) -> Option<u64> {
    let text = text.trim_end_matches(['b', 'B']);
    let digits = text.trim_end_matches(|last: char| last.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::{Agent, Bind, Cache, Mount, Owner, Secret, Sharing, read};

    #[test]
    fn each_type_has_its_fields() {
        let cache = Cache {
            id: "npm".into(),
            target: "/root/.npm".into(),
            sharing: Sharing::Locked,
            read_only: false,
            mode: 0o700,
            uid: 5,
            gid: 0,
        };
        let text = "type=cache,id=npm,target=/root/.npm,sharing=locked,mode=0700,uid=5";
        assert_eq!(read(1, text), Ok(Mount::Cache(cache)));
        let bind = Bind { from: Some("base".into()), source: "/a".into(), target: "/b".into(), writable: false };
        assert_eq!(read(1, "from=base,src=/a,dst=/b,ro"), Ok(Mount::Bind(bind)));
        assert_eq!(
            read(1, "type=tmpfs,target=/t,size=2m"),
            Ok(Mount::Tmpfs { target: "/t".into(), size: Some(2 << 20) })
        );
        let owner = Owner { mode: 0o400, uid: 0, gid: 0 };
        let secret = Secret { id: "x".into(), target: Some("/run/x".into()), variable: None, required: true, owner };
        assert_eq!(read(1, "type=secret,target=/run/x,required"), Ok(Mount::Secret(secret.clone())));
        let named = Secret { id: "y".into(), target: Some("/run/secrets/y".into()), required: false, ..secret.clone() };
        assert_eq!(read(1, "type=secret,id=y"), Ok(Mount::Secret(named.clone())));
        let variable = Secret { target: None, variable: Some("Y".into()), ..named };
        assert_eq!(read(1, "type=secret,id=y,env=Y"), Ok(Mount::Secret(variable)));
        let owner = Owner { mode: 0o600, uid: 7, gid: 0 };
        let agent = Agent { id: "default".into(), target: None, required: false, owner };
        assert_eq!(read(1, "type=ssh,uid=7"), Ok(Mount::Agent(agent)));
    }

    #[test]
    fn what_cannot_be_given_is_told() {
        for (text, part) in [
            ("type=secret", "it needs an id"),
            ("type=cash,target=/a", "`cash` is not a type"),
            ("type=cache", "it needs a target"),
            ("type=cache,targt=/a", "did you mean `target`?"),
        ] {
            let problem = read(3, text).expect_err("it is wrong").to_string();
            assert!(
                problem.starts_with(&format!("line 3: RUN --mount={text}: ")) && problem.contains(part),
                "{problem}"
            );
        }
    }
}
