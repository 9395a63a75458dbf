//! The layout of `hoist --help`: commands in groups by what people want to do, then the options for all of them.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use super::completions;

/// The groups, in the order in which they are shown.
const GROUPS: [(&str, &[&str]); 7] = [
    ("Run", &["up", "watch", "down", "start", "stop", "restart", "kill"]),
    ("Look", &["ps", "logs", "events", "plan", "why", "graph", "replay"]),
    ("Work inside", &["exec", "run", "cp", "wait"]),
    ("Images", &["build", "pull", "push"]),
    ("Ship", &["export", "deploy"]),
    ("Engine", &["engine"]),
    ("Manifest", &["config", "explain", "schema", "completions"]),
];

/// Gives the command line its help: the grouped list above, and a short one for each command.
pub(super) fn lay_out(command: Command) -> Command {
    let template = root_template(&command);
    let version = Arg::new("version").short('V').long("version").help("Print the version").action(ArgAction::Version);
    command
        .styles(styles())
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(help_flag())
        .arg(version)
        .help_template(template)
        .mut_subcommands(lay_out_sub)
}

fn lay_out_sub(sub: Command) -> Command {
    sub.disable_help_flag(true)
        .arg(help_flag())
        .help_template(SUB_TEMPLATE)
        .mut_args(offer_services)
        .mut_subcommands(lay_out_sub)
}

/// Lets shells offer the project's services where one is to be named.
fn offer_services(argument: Arg) -> Arg {
    let names_one = argument.get_value_names().is_some_and(|names| names.iter().any(|name| name == "SERVICE"));
    if names_one { argument.add(completions::services()) } else { argument }
}

/// `-h` and `--help` say the same.
fn help_flag() -> Arg {
    Arg::new("help").short('h').long("help").help("Print this").action(ArgAction::HelpShort)
}

const SUB_TEMPLATE: &str = "{about}\n\n{usage-heading} {usage}\n\n{all-args}{after-help}\n";

fn styles() -> clap::builder::Styles {
    use clap::builder::styling::{AnsiColor, Effects, Styles};
    Styles::styled()
        .header(AnsiColor::Green.on_default().effects(Effects::BOLD))
        .usage(AnsiColor::Green.on_default().effects(Effects::BOLD))
        .literal(AnsiColor::Cyan.on_default().effects(Effects::BOLD))
        .placeholder(AnsiColor::Cyan.on_default())
}

fn root_template(command: &Command) -> String {
    let styles = styles();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let mut text = format!("{{about}}\n\n{header}Usage:{header:#} {literal}hoist{literal:#} [OPTIONS] COMMAND\n");
    for (title, names) in GROUPS {
        let _ = write!(text, "\n{header}{title}:{header:#}\n");
        for name in names {
            let Some(sub) = command.find_subcommand(name) else { continue };
            let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(text, "  {literal}{name:<11}{literal:#}  {about}");
        }
    }
    let _ = write!(
        text,
        "\n{header}Options:{header:#}\n{{options}}\n\nSee `hoist COMMAND --help` for a command's options.\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::GROUPS;

    #[test]
    fn every_command_is_in_one_group() {
        let mut grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        grouped.sort_unstable();
        let mut declared: Vec<String> = crate::cli::command()
            .get_subcommands()
            .filter(|sub| !sub.is_hide_set())
            .map(|sub| sub.get_name().to_owned())
            .collect();
        declared.sort_unstable();
        for name in &declared {
            assert!(grouped.contains(&name.as_str()), "`{name}` is in no group of the help");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        crate::cli::command().debug_assert();
    }
}
