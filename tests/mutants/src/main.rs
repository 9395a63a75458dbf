//! Mutates the pure core and names what its tests do not notice.
//!
//! `list` asks cargo-mutants which mutants there are, `rewrite` puts all of those of a file into its text, `core` makes of
//! the texts a package in the target folder, `compile` leaves out what does not compile, `run` runs the tests once a
//! mutant, and `report` holds what survived against the list of those that are explained. Nothing is written into `src`;
//! what is not viable, because it does not compile or cannot be chosen at run time, is named in the target folder.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

mod compile;
mod core;
mod list;
mod report;
mod rewrite;
mod run;

/// Mutates files of the pure core, all mutants in one binary, and names those that no test notices
#[derive(Parser)]
struct Options {
    /// Files of the checkout to mutate
    #[arg(value_name = "GLOB", default_values = ["src/change/**", "src/plan/**", "src/reconcile/**"])]
    globs: Vec<String>,
    /// Run only the mutants whose names contain this
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// How many worlds the simulation lives through for each mutant
    #[arg(long, default_value_t = 60)]
    worlds: u32,
    /// How many mutants run at the same time [default: one a core]
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// The program cargo-mutants
    #[arg(long, env = "CARGO_MUTANTS", value_name = "PATH", default_value = "cargo-mutants")]
    cargo_mutants: PathBuf,
    /// Where the mutated package is made [default: target/mutants of the checkout]
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    match mutate(&Options::parse()) {
        Ok(is_clean) => ExitCode::from(u8::from(!is_clean)),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Whether every mutant that survived is explained.
fn mutate(options: &Options) -> Result<bool> {
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let folder = options.folder.clone().unwrap_or_else(|| checkout.join("target/mutants"));
    let explained = report::Explained::read(&checkout.join("tests/mutants/equivalent.txt"))?;

    let mutants = list::list(&options.cargo_mutants, &checkout, &options.globs)?;
    eprintln!("{} mutants", mutants.len());
    let core = core::Core::new(&checkout, &folder)?;
    let compiled = compile::compile(&core, &mutants)?;
    let is_chosen = |name: &str| options.only.as_ref().is_none_or(|part| name.contains(part));
    let chosen: Vec<_> = mutants.iter().filter(|mutant| is_chosen(&mutant.name)).collect();
    let (viable, rest): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|mutant| compiled.viable.contains(&mutant.id));

    let names: Vec<&str> = rest.iter().map(|mutant| mutant.name.as_str()).collect();
    fs::write(folder.join("not-viable.txt"), names.join("\n") + "\n").context("cannot write what is not viable")?;

    let tests = run::Tests { binary: &compiled.binary, folder: &folder, worlds: options.worlds };
    let survived = tests.run_all(&viable, options.jobs)?;
    let is_whole = options.only.is_none();
    Ok(report::tell(&report::Results { viable: &viable, survived: &survived, rest: &rest, is_whole }, &explained))
}
