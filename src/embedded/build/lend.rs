//! What the client lends a `RUN` while it runs: secrets, and connections to its SSH agents. None of it is ever part of a
//! layer or of a key, and secrets are kept in memory only.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::task::JoinSet;

use super::client::Client;
use super::mount::{Agent, Mount, Owner, Secret};
use super::run::Extra;
use super::stage::{Room, Stage};
use crate::embedded::error::Error;

/// What the folders of what is lent end in, in [`Layout::mounts`](crate::embedded::layout::Layout::mounts).
pub(super) const FOLDER: &str = ".lent";

/// What was lent. Dropped, it is taken back: files and connections go.
#[derive(Debug)]
pub(super) struct Lent {
    folder: PathBuf,
    agents: JoinSet<()>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        // The next start of the engine removes what resists.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Stage<'_> {
    /// Asks the client for what a step is to have of it.
    pub(super) async fn borrow(&self, mounts: &[Mount], room: &Room, extra: &mut Extra) -> Result<(), Error> {
        if !mounts.iter().any(|mount| matches!(mount, Mount::Secret(_) | Mount::Agent(_))) {
            return Ok(());
        }
        // A short name: the path of a socket has to be.
        let folder = self.build.layout.mounts().join(format!("{}{FOLDER}", &room.id[..16]));
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(Error::io(format!("make `{}`", folder.display())))?;
        let mut lent = Lent { folder, agents: JoinSet::new() };
        for (number, mount) in mounts.iter().enumerate() {
            match mount {
                Mount::Secret(secret) => self.secret(secret, number, &lent.folder, extra).await?,
                Mount::Agent(agent) => self.agent(agent, number, &mut lent, extra).await?,
                Mount::Cache(_) | Mount::Bind(_) | Mount::Tmpfs { .. } => {}
            }
        }
        extra.keep(lent);
        Ok(())
    }

    async fn secret(&self, secret: &Secret, number: usize, folder: &Path, extra: &mut Extra) -> Result<(), Error> {
        let id = &secret.id;
        let found = match self.build.files.client() {
            Some(client) => client.secret(id).await?,
            None => None,
        };
        let Some(bytes) = found else {
            return self.missing(secret.required, &format!("the secret `{id}`"), &format!("--secret id={id},src=FILE"));
        };
        if let Some(variable) = &secret.variable {
            let text = str::from_utf8(&bytes).ok().filter(|text| !text.contains('\0'));
            let hint = "give it a target to have it in a file";
            let text = text.ok_or_else(|| {
                Error::Invalid(format!("the secret `{id}` is not text, as a variable has to be: {hint}"))
            })?;
            extra.lend_variable(format!("{variable}={text}"));
        }
        if let Some(target) = &secret.target {
            let path = folder.join(number.to_string());
            let written = fs::write(&path, bytes).and_then(|()| give(&path, secret.owner));
            written.map_err(Error::io(format!("lend the secret `{id}`")))?;
            extra.lend_file(path, target);
        }
        Ok(())
    }

    async fn agent(&self, agent: &Agent, number: usize, lent: &mut Lent, extra: &mut Extra) -> Result<(), Error> {
        let id = &agent.id;
        let client = match self.build.files.client() {
            Some(client) if client.has_agent(id).await? => client.clone(),
            _ => return self.missing(agent.required, &format!("the SSH agent `{id}`"), &format!("--ssh {id}")),
        };
        let path = lent.folder.join(number.to_string());
        let listener = UnixListener::bind(&path).and_then(|listener| give(&path, agent.owner).map(|()| listener));
        let listener = listener.map_err(Error::io(format!("lend the SSH agent `{id}`")))?;
        let target = agent.target.clone().unwrap_or_else(|| format!("/run/buildkit/ssh_agent.{number}"));
        lent.agents.spawn(serve(listener, client, id.clone()));
        extra.lend_variable(format!("SSH_AUTH_SOCK={target}"));
        extra.lend_file(path, &target);
        Ok(())
    }

    /// The client has it not.
    fn missing(&self, required: bool, what: &str, flag: &str) -> Result<(), Error> {
        if !required {
            return Ok(());
        }
        if self.build.files.client().is_some() {
            return Err(Error::Invalid(format!("{what} is required and was not given: build with `{flag}`")));
        }
        let hint =
            "only a client that speaks BuildKit's protocol can give it; without `required` the step runs without it";
        Err(Error::Unsupported(format!("{what} is required: {hint}")))
    }
}

/// Carries connections to a client's agent until it is dropped.
async fn serve(listener: UnixListener, client: Arc<dyn Client>, id: String) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => drop(connections.spawn(client.agent(&id, connection))),
                Err(error) => return tracing::warn!("an SSH agent is lent no more: {error}"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

fn give(path: &Path, owner: Owner) -> io::Result<()> {
    chown(path, Some(owner.uid), Some(owner.gid))?;
    fs::set_permissions(path, fs::Permissions::from_mode(owner.mode))
}
