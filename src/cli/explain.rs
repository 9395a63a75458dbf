//! `hoist explain`: the page of a rule of `hoist config --check`, or the list of them.

use clap::Args;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use super::error::Error;
use super::output::print;
use crate::lint::page;
use crate::ui;

/// Explain a rule of `config --check`
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The rule, such as `H001`; all are listed when none is named
    #[arg(value_name = "RULE", add = codes())]
    code: Option<String>,
}

/// What a shell may offer for a rule.
fn codes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let offer = |page: &page::Page| CompletionCandidate::new(page.code).help(Some(page.title().into()));
        page::PAGES.iter().map(offer).collect()
    })
}

/// Runs the command.
pub(super) fn run(arguments: &Arguments) -> Result<u8, Error> {
    let colour = console::colors_enabled();
    let Some(code) = &arguments.code else {
        print(&list(colour))?;
        return Ok(0);
    };
    if let Some(page) = page::find(code) {
        print(&ui::page::render(&page.whole(), colour))?;
        return Ok(0);
    }
    let hint = match page::nearest(code) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`hoist explain` lists the rules".to_owned(),
    };
    Err(Error::Usage { message: format!("there is no rule `{code}`"), hint: Some(hint) })
}

fn list(colour: bool) -> String {
    let lines = page::PAGES.iter().map(|page| format!("# {}: {}\n", page.code, page.title()));
    lines.map(|line| ui::page::render(&line, colour)).collect()
}
