//! What is said when the command line itself is wrong: one sentence, the nearest right word and where to read more.

use std::fmt::Write as _;

use clap::Args as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::global::Global;

/// The sentence for a mistake that clap found, without `error: `, and its hint.
#[must_use]
pub(super) fn explain(error: &clap::Error, arguments: &[String]) -> (String, String) {
    let message = message(error);
    let hint = misplaced(error, arguments).or_else(|| suggestion(error)).unwrap_or_else(|| see_help(arguments));
    (message, hint)
}

fn message(error: &clap::Error) -> String {
    let text = |kind| error.get(kind).map(plain).unwrap_or_default();
    let argument = text(ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument => format!("unknown option `{argument}`"),
        ErrorKind::InvalidSubcommand => format!("unknown command `{}`", text(ContextKind::InvalidSubcommand)),
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let value = text(ContextKind::InvalidValue);
            let mut message = match value.as_str() {
                "" => format!("`{argument}` needs a value"),
                value => format!("`{value}` is not a value of `{argument}`"),
            };
            if let Some(cause) = std::error::Error::source(error) {
                let _ = write!(message, ": {cause}");
            }
            message
        }
        ErrorKind::MissingRequiredArgument => format!("missing {}", quoted(error.get(ContextKind::InvalidArg))),
        ErrorKind::ArgumentConflict => {
            format!("`{argument}` cannot be used with {}", quoted(error.get(ContextKind::PriorArg)))
        }
        ErrorKind::NoEquals => format!("`{argument}` needs `=` before its value"),
        ErrorKind::TooManyValues | ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
            format!("wrong number of values for `{argument}`")
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            "a command is missing".into()
        }
        _ => error.kind().to_string(),
    }
}

/// An option for every command that was written after the command.
fn misplaced(error: &clap::Error, arguments: &[String]) -> Option<String> {
    if error.kind() != ErrorKind::UnknownArgument {
        return None;
    }
    let argument = plain(error.get(ContextKind::InvalidArg)?);
    let name = argument.split('=').next().unwrap_or_default();
    let command = arguments.iter().find(|word| !word.starts_with('-'))?;
    let globals = Global::augment_args(clap::Command::new("hoist"));
    let is_meant = |option: &&clap::Arg| {
        name.strip_prefix("--").map_or_else(
            || option.get_short().is_some_and(|short| name == format!("-{short}")),
            |long| option.get_long() == Some(long),
        )
    };
    let option = globals.get_arguments().find(is_meant)?;
    let value = if option.get_action().takes_values() { " …" } else { "" };
    Some(format!("`{name}` goes before the command: `hoist {name}{value} {command}`"))
}

fn suggestion(error: &clap::Error) -> Option<String> {
    let near = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue]
        .into_iter()
        .find_map(|kind| error.get(kind));
    if let Some(near) = near {
        // The nearest comes last.
        let near = match near {
            ContextValue::Strings(all) => all.last().cloned().map(ContextValue::String)?,
            near => near.clone(),
        };
        return Some(format!("did you mean {}?", quoted(Some(&near))));
    }
    match error.get(ContextKind::ValidValue)? {
        ContextValue::Strings(values) if !values.is_empty() => Some(format!("one of {}", values.join(", "))),
        _ => None,
    }
}

fn see_help(arguments: &[String]) -> String {
    match arguments.iter().find(|word| super::is_command(word)) {
        Some(command) => format!("see `hoist {command} --help`"),
        None => "see `hoist --help`".into(),
    }
}

fn plain(value: &ContextValue) -> String {
    match value {
        ContextValue::String(text) => text.clone(),
        ContextValue::Strings(texts) => texts.join(", "),
        other => other.to_string(),
    }
}

fn quoted(value: Option<&ContextValue>) -> String {
    match value {
        Some(ContextValue::Strings(texts)) => {
            texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ")
        }
        Some(other) => format!("`{}`", plain(other)),
        None => String::new(),
    }
}
