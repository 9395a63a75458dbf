//! What survived, held against the list of mutants that are known to change nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::list::Mutant;

/// What a run came to.
pub(crate) struct Results<'a> {
    pub(crate) viable: &'a [&'a Mutant],
    /// Ids.
    pub(crate) survived: &'a BTreeSet<usize>,
    /// What does not compile, or is not to be chosen at run time.
    pub(crate) rest: &'a [&'a Mutant],
    /// Whether all mutants of the files were run.
    pub(crate) is_whole: bool,
}

/// The names of the mutants that change nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Explained(BTreeSet<String>);

impl Explained {
    /// Reads the list.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        Self::parse(&text).with_context(|| format!("`{}`", path.display()))
    }

    /// One name a line, under a comment that says why; an empty line ends what a comment is about. What follows two spaces
    /// and a `#` is left out, so that a line can be taken over as it was printed.
    fn parse(text: &str) -> Result<Self> {
        let (mut names, mut has_reason) = (BTreeSet::new(), false);
        for line in text.lines().map(str::trim) {
            let name = line.split("  #").next().unwrap_or_default();
            if line.is_empty() {
                has_reason = false;
            } else if line.starts_with('#') {
                has_reason = true;
            } else if !has_reason {
                bail!("no comment says why this changes nothing: {name}");
            } else {
                names.insert(name.to_owned());
            }
        }
        Ok(Self(names))
    }
}

/// Prints what survived, and answers whether all of it is explained.
pub(crate) fn tell(results: &Results, explained: &Explained) -> bool {
    let survived: Vec<&Mutant> =
        results.viable.iter().copied().filter(|mutant| results.survived.contains(&mutant.id)).collect();
    let unexplained: Vec<&&Mutant> = survived.iter().filter(|mutant| !explained.0.contains(&mutant.name)).collect();
    for mutant in &unexplained {
        println!("{}  # line {}", mutant.name, mutant.line);
    }
    for name in explained.0.iter().filter(|_| results.is_whole) {
        if let Some(problem) = outdated(name, results) {
            eprintln!("tests/mutants/equivalent.txt names one that {problem}: {name}");
        }
    }
    let (viable, rest, survivors) = (results.viable.len(), results.rest.len(), survived.len());
    let (all, killed) = (viable + rest, viable - survivors);
    println!("{all} mutants, {killed} killed, {survivors} survived, {rest} not viable");
    if unexplained.len() < survivors {
        println!("{} of those that survived are explained", survivors - unexplained.len());
    }
    unexplained.is_empty()
}

/// What is wrong with a name of the list, as far as its file was mutated.
fn outdated(name: &str, results: &Results) -> Option<&'static str> {
    let mut mutants = results.viable.iter().chain(results.rest);
    let file = name.split(": ").next().unwrap_or_default();
    if !mutants.clone().any(|mutant| mutant.found.file == file) {
        return None;
    }
    match mutants.find(|mutant| mutant.name == name) {
        None => Some("is not there"),
        Some(mutant) if !results.survived.contains(&mutant.id) => Some("is killed or does not compile"),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Explained;

    #[test]
    fn a_mutant_is_explained_by_the_comment_above_it() {
        let text = "# Both are the same.\nsrc/a.rs: b  # line 3\nsrc/a.rs: c (2)\n\n# Another.\nsrc/a.rs: d\n";
        let names = ["src/a.rs: b", "src/a.rs: c (2)", "src/a.rs: d"].map(str::to_owned);
        assert_eq!(Explained::parse(text).expect("a list"), Explained(names.into()));
    }

    #[test]
    fn a_mutant_without_a_comment_above_it_is_refused() {
        let error = Explained::parse("# Why.\nsrc/a.rs: b\n\nsrc/a.rs: c\n").expect_err("no reason");
        assert_eq!(error.to_string(), "no comment says why this changes nothing: src/a.rs: c");
    }
}
