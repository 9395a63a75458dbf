//! The options that stand on the command line, kept as words so that they can be given again later.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command, FromArgMatches};

/// The options of a command that were given, not those that have their defaults. It stands first among the fields of a
/// command: reading a field takes its option away.
#[derive(Debug, Clone, Default)]
pub(super) struct Given {
    /// Names of options, with their values.
    options: Vec<(String, Vec<String>)>,
}

impl FromArgMatches for Given {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut options = Vec::new();
        for id in matches.ids().map(clap::Id::as_str) {
            if matches.value_source(id) == Some(ValueSource::CommandLine) {
                let values = matches.try_get_raw(id).ok().flatten().into_iter().flatten();
                options.push((id.to_owned(), values.map(|value| value.to_string_lossy().into_owned()).collect()));
            }
        }
        Ok(Self { options })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Given {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl Given {
    /// The words of the command's options, sorted, without those of these names.
    pub(super) fn words(&self, command: &Command, without: &[&str]) -> Vec<String> {
        let mut words = Vec::new();
        for (id, values) in self.options.iter().filter(|(id, _)| !without.contains(&id.as_str())) {
            // What is no option is a group of them.
            let Some(argument) = command.get_arguments().find(|argument| argument.get_id() == id.as_str()) else {
                continue;
            };
            let Some(long) = argument.get_long() else { continue };
            if argument.get_action().takes_values() {
                words.extend(values.iter().map(|value| format!("--{long}={value}")));
            } else {
                words.push(format!("--{long}"));
            }
        }
        words.sort();
        words
    }
}

/// These words, with the later ones in the place of earlier ones of the same option.
pub(super) fn overridden(earlier: Vec<String>, later: Vec<String>) -> Vec<String> {
    let name = |word: &str| word.split('=').next().unwrap_or_default().to_owned();
    let given: Vec<String> = later.iter().map(|word| name(word)).collect();
    earlier.into_iter().filter(|word| !given.contains(&name(word))).chain(later).collect()
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

    use super::{Given, overridden};

    #[derive(Debug, clap::Args)]
    struct Flags {
        #[command(flatten)]
        given: Given,
        #[arg(short, long, default_value = "k8s")]
        output: String,
        #[arg(long)]
        pin: bool,
        #[arg(long)]
        tag: Vec<String>,
    }

    #[test]
    fn what_is_given_can_be_given_again() {
        let command = Flags::augment_args(clap::Command::new("x"));
        let words = |arguments: &[&str]| {
            let matches = command.clone().get_matches_from(arguments);
            let flags = Flags::from_arg_matches(&matches).expect("they are flags");
            assert!(flags.tag.len() < 3 && (flags.pin || flags.output == "k8s"));
            flags.given.words(&command, &["output"])
        };
        assert_eq!(words(&["x"]), [""; 0]);
        assert_eq!(words(&["x", "--pin", "-o", "a", "--tag", "b c", "--tag=d"]), ["--pin", "--tag=b c", "--tag=d"]);
    }

    #[test]
    fn a_later_word_takes_the_place_of_an_earlier_one() {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(overridden(words(&["--a=1", "--b"]), words(&["--a=2"])), words(&["--b", "--a=2"]));
    }
}
