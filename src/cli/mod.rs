//! The command line: one file a command, which loads, calls, prints and returns an exit code. Nothing below decides how
//! the process ends.

mod build;
mod check;
mod codes;
mod completions;
pub mod config;
mod cp;
mod deploy;
mod down;
mod drive;
mod engine;
mod error;
mod events;
mod exec;
mod explain;
pub mod export;
mod folder;
mod format;
mod given;
mod global;
mod graph;
mod help;
mod images;
mod kill;
pub mod load;
mod logs;
mod losses;
mod objects;
mod output;
mod plan;
mod ps;
mod pull;
mod push;
mod remnant;
mod replay;
mod restart;
mod run;
pub mod schema;
mod seal;
mod session;
mod start;
mod stop;
mod terminal;
mod times;
mod up;
mod usage;
mod wait;
mod watch;
mod why;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use error::Error;
use global::{Global, When};

/// Runs a project of many services on one machine while you write it.
#[derive(Debug, Parser)]
#[command(name = "hoist", version, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Arguments),
    Watch(watch::Arguments),
    Down(down::Arguments),
    Start(start::Arguments),
    Stop(stop::Arguments),
    Restart(restart::Arguments),
    Kill(kill::Arguments),
    Ps(ps::Arguments),
    Logs(logs::Arguments),
    Exec(exec::Arguments),
    Run(run::Arguments),
    Cp(cp::Arguments),
    Wait(wait::Arguments),
    Build(build::Arguments),
    Pull(pull::Arguments),
    Push(push::Arguments),
    Deploy(deploy::Arguments),
    Engine(engine::Arguments),
    Plan(plan::Arguments),
    Why(why::Arguments),
    Events(events::Arguments),
    Replay(replay::Arguments),
    Graph(graph::Arguments),
    Config(config::Arguments),
    Explain(explain::Arguments),
    Export(export::Arguments),
    Schema(schema::Arguments),
    Completions(completions::Arguments),
}

/// Reads the process's arguments, does what they say and returns how the process is to exit.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if completions::answer(&arguments) {
        return ExitCode::SUCCESS;
    }
    if arguments.len() <= 1 {
        anstream::print!("{}", command().render_help().ansi());
        return ExitCode::SUCCESS;
    }
    let parsed = command().try_get_matches_from(&arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(wrong_usage(&error, &arguments)),
    };
    set_colours(cli.global.ansi);
    trace(cli.global.verbose);
    let code = run(cli).unwrap_or_else(|error| {
        report(&error);
        error.exit_code()
    });
    ExitCode::from(code)
}

/// The whole command line, with its help laid out.
fn command() -> clap::Command {
    help::lay_out(Cli::command())
}

/// Whether a word is a command.
fn is_command(word: &str) -> bool {
    Cli::command().find_subcommand(word).is_some()
}

fn run(cli: Cli) -> Result<u8, Error> {
    let Cli { global, command } = cli;
    // These need no engine, and a runtime costs time to start.
    let command = match command {
        Command::Config(arguments) => return config::run(&global, arguments),
        Command::Explain(arguments) => return explain::run(&arguments),
        Command::Replay(arguments) => return replay::run(&global, arguments),
        Command::Graph(arguments) => return graph::run(&global, &arguments),
        Command::Watch(arguments) if arguments.explain => return watch::explain(&global, &arguments),
        Command::Export(arguments) => return export::run(&global, arguments),
        Command::Schema(_) => return schema::run(),
        Command::Completions(arguments) => return completions::run(&arguments),
        command => command,
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::io("start the runtime"))?;
    let code = runtime.block_on(perform(global, command));
    // A thread that waits for standard input cannot be cancelled and must not keep the process.
    runtime.shutdown_background();
    code
}

async fn perform(global: Global, command: Command) -> Result<u8, Error> {
    match command {
        Command::Up(arguments) => Box::pin(up::run(&global, arguments)).await,
        Command::Watch(arguments) => Box::pin(watch::run(&global, arguments)).await,
        Command::Down(arguments) => down::run(&global, arguments).await,
        Command::Start(arguments) => start::run(&global, arguments).await,
        Command::Stop(arguments) => stop::run(&global, arguments).await,
        Command::Restart(arguments) => restart::run(&global, arguments).await,
        Command::Kill(arguments) => kill::run(&global, arguments).await,
        Command::Ps(arguments) => ps::run(&global, arguments).await,
        Command::Logs(arguments) => logs::run(&global, arguments).await,
        Command::Exec(arguments) => exec::run(&global, arguments).await,
        Command::Run(arguments) => Box::pin(run::run(&global, arguments)).await,
        Command::Cp(arguments) => cp::run(&global, arguments).await,
        Command::Wait(arguments) => wait::run(&global, arguments).await,
        Command::Build(arguments) => build::run(&global, arguments).await,
        Command::Pull(arguments) => pull::run(&global, arguments).await,
        Command::Push(arguments) => push::run(&global, arguments).await,
        Command::Deploy(arguments) => Box::pin(deploy::run(&global, arguments)).await,
        Command::Engine(arguments) => engine::run(&global, arguments).await,
        Command::Plan(arguments) => plan::run(&global, arguments).await,
        Command::Why(arguments) => why::run(&global, arguments).await,
        Command::Events(arguments) => events::run(&global, arguments).await,
        Command::Graph(_)
        | Command::Replay(_)
        | Command::Config(_)
        | Command::Explain(_)
        | Command::Export(_)
        | Command::Schema(_)
        | Command::Completions(_) => {
            unreachable!("done without a runtime")
        }
    }
}

/// Prints what clap has to say, in the house's words, and returns the exit code.
fn wrong_usage(error: &clap::Error, arguments: &[OsString]) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            anstream::print!("{}", error.render().ansi());
            0
        }
        _ => {
            let words: Vec<String> = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            let (message, hint) = usage::explain(error, &words);
            report(&Error::Usage { message, hint: Some(hint) });
            2
        }
    }
}

/// Prints the error that ends a command.
fn report(error: &Error) {
    let (red, blue) = (
        anstyle::AnsiColor::Red.on_default().effects(anstyle::Effects::BOLD),
        anstyle::AnsiColor::Cyan.on_default().effects(anstyle::Effects::BOLD),
    );
    match error {
        Error::Manifest { report } => return anstream::eprint!("{report}"),
        Error::Closed => return,
        _ => {}
    }
    anstream::eprintln!("{red}error{red:#}: {error}");
    if let Some(hint) = error.hint() {
        anstream::eprintln!("{blue}hint{blue:#}: {hint}");
    }
}

fn set_colours(when: When) {
    match when {
        When::Auto => {}
        When::Always => {
            anstream::ColorChoice::Always.write_global();
            console::set_colors_enabled(true);
            console::set_colors_enabled_stderr(true);
        }
        When::Never => {
            session::no_colour();
        }
    }
}

/// Says on standard error what happens inside, when `HOIST_LOG` or `--verbose` asks for it.
fn trace(verbose: bool) {
    let filter = match std::env::var("HOIST_LOG") {
        Ok(filter) if !filter.is_empty() => filter,
        _ if verbose => "hoist=debug".to_owned(),
        _ => return,
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(console::colors_enabled_stderr())
        .init();
}
