//! The tests, once for each mutant.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::list::Mutant;

/// How often it says how far it is.
const PAUSE: Duration = Duration::from_secs(15);

/// Ends what fills the memory in a loop, where the system can.
const LIMITED: &str = "ulimit -v 4000000 2>/dev/null; exec \"$0\" \"$@\"";

/// The tests of the core with all mutants.
pub(crate) struct Tests<'a> {
    pub(crate) binary: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) worlds: u32,
}

/// How far all threads together are.
struct Progress {
    begun: Instant,
    told: Instant,
    done: usize,
    survived: BTreeSet<usize>,
}

impl Tests<'_> {
    /// The ids of the mutants that no test fails at.
    pub(crate) fn run_all(&self, mutants: &[&Mutant], jobs: Option<NonZeroUsize>) -> Result<BTreeSet<usize>> {
        let begun = Instant::now();
        if !self.pass(0, Duration::from_hours(1))? {
            bail!("the tests fail without any mutant: run `{}`", self.binary.display());
        }
        // What takes much longer than the tests do is caught in a loop.
        let deadline = begun.elapsed() * 3 + Duration::from_secs(20);
        let jobs = jobs.map_or_else(thread::available_parallelism, Ok)?;
        let now = Instant::now();
        let progress = Mutex::new(Progress { begun: now, told: now, done: 0, survived: BTreeSet::new() });
        let next = AtomicUsize::new(0);
        let work = || -> Result<()> {
            while let Some(mutant) = mutants.get(next.fetch_add(1, Ordering::Relaxed)) {
                let survives = self.pass(mutant.id, deadline)?;
                progress.lock().unwrap_or_else(PoisonError::into_inner).note(mutant.id, survives, mutants.len());
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.get()).map(|_| scope.spawn(work)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| bail!("a thread panicked")))
        })?;
        Ok(progress.into_inner().unwrap_or_else(PoisonError::into_inner).survived)
    }

    /// Whether all tests pass with a mutant; the first that fails ends them, and so does the deadline. The simulation takes
    /// longer than all others, which leave it little to find.
    fn pass(&self, id: usize, deadline: Duration) -> Result<bool> {
        Ok(self.pass_some(id, deadline, &["--skip", "simulation"])? && self.pass_some(id, deadline, &["simulation"])?)
    }

    fn pass_some(&self, id: usize, deadline: Duration, chosen: &[&str]) -> Result<bool> {
        let mut command = Command::new("sh");
        command.args(["-c", LIMITED]).arg(self.binary).arg("--test-threads=1").args(chosen);
        command.current_dir(self.folder).env("MUTANT", id.to_string());
        command.env("HOIST_WORLDS", self.worlds.to_string()).env("RUST_BACKTRACE", "0");
        // Inputs of one mutant that are kept would be tried with the next too.
        command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("cannot start `{}`", self.binary.display()))?;
        let output = child.stdout.take().context("the tests have an output")?;
        let (failed, failure) = mpsc::channel();
        thread::spawn(move || {
            if has_failure(output) {
                _ = failed.send(());
            }
        });
        if failure.recv_timeout(deadline) == Err(RecvTimeoutError::Disconnected) {
            return Ok(child.wait()?.success());
        }
        child.kill()?;
        child.wait()?;
        Ok(false)
    }
}

/// Reads until a test fails or all are done.
fn has_failure(output: impl Read) -> bool {
    BufReader::new(output).lines().map_while(Result::ok).any(|line| line.ends_with("FAILED"))
}

impl Progress {
    fn note(&mut self, id: usize, survives: bool, all: usize) {
        self.done += 1;
        if survives {
            self.survived.insert(id);
        }
        if self.told.elapsed() >= PAUSE && self.done < all {
            self.told = Instant::now();
            let left = self.begun.elapsed().as_secs() * (all - self.done) as u64 / self.done as u64;
            let minutes = left.div_ceil(60);
            eprintln!("{} of {all} run, {} survived, about {minutes} min left", self.done, self.survived.len());
        }
    }
}
