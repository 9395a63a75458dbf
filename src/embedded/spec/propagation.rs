//! Binds through which later mounts are seen from the other side (`mount_namespaces(7)`, `bind.propagation`).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ResolvedBind;

/// Which side of a bind sees what the other mounts later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Neither.
    Private,
    /// The container sees what the machine mounts.
    Slave,
    /// Both.
    Shared,
}

impl Propagation {
    /// By Docker's word for it, recursive or not: what lies below a bind is of its root's kind either way.
    fn of(word: &str) -> Self {
        match word {
            "slave" | "rslave" => Self::Slave,
            "shared" | "rshared" => Self::Shared,
            _ => Self::Private,
        }
    }
}

/// A bind of a container in which propagation matters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propagated {
    /// What is bound.
    pub source: PathBuf,
    /// Where.
    pub destination: PathBuf,
    /// Whether nothing can be written through it.
    pub read_only: bool,
    /// Who sees what.
    pub propagation: Propagation,
}

/// All binds of a container that has one which is not private; none otherwise, as everything is private then.
#[must_use]
pub fn propagated(binds: &[ResolvedBind]) -> Vec<Propagated> {
    let all: Vec<Propagated> = binds.iter().map(of).collect();
    if all.iter().all(|bind| bind.propagation == Propagation::Private) { Vec::new() } else { all }
}

fn of(bind: &ResolvedBind) -> Propagated {
    Propagated {
        source: bind.bind.source.clone(),
        destination: bind.bind.destination.clone(),
        read_only: bind.bind.read_only,
        propagation: Propagation::of(&bind.propagation),
    }
}

#[cfg(test)]
mod tests {
    use super::{Propagation, propagated};
    use crate::embedded::spec::ResolvedBind;
    use crate::embedded::spec::tests::bind;

    #[test]
    fn one_bind_that_is_not_private_makes_the_others_matter() {
        let with = |word: &str| ResolvedBind { propagation: word.into(), ..bind("/a", "/b", false) };
        assert!(propagated(&[with(""), with("rprivate")]).is_empty());
        let kinds = |binds: &[ResolvedBind]| propagated(binds).iter().map(|bind| bind.propagation).collect::<Vec<_>>();
        assert_eq!(kinds(&[with(""), with("rslave")]), [Propagation::Private, Propagation::Slave]);
        assert_eq!(kinds(&[with("shared")]), [Propagation::Shared]);
    }
}
