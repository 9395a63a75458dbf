//! A very small shell: what a container of the engine of maps does, from its command.

/// What a command came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Outcome {
    /// Lines, each with whether it went to standard error.
    pub(super) output: Vec<(bool, String)>,
    /// `None`: it runs for ever.
    pub(super) code: Option<i64>,
}

/// Runs `sh -c LINE`, or a line made of the words themselves.
pub(super) fn run(words: &[String]) -> Outcome {
    match words {
        [shell, option, line] if shell.ends_with("sh") && option == "-c" => run_line(line),
        words => run_line(&words.join(" ")),
    }
}

/// Runs commands separated by `;`, until one exits or runs for ever.
pub(super) fn run_line(line: &str) -> Outcome {
    let mut outcome = Outcome { code: Some(0), ..Default::default() };
    for command in line.split(';').map(str::trim).filter(|command| !command.is_empty()) {
        let (command, stderr) = match command.strip_suffix(">&2") {
            Some(rest) => (rest.trim_end(), true),
            None => (command, false),
        };
        let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
        match word {
            "echo" => outcome.output.push((stderr, rest.to_owned())),
            "true" => outcome.code = Some(0),
            "false" => outcome.code = Some(1),
            "exit" => {
                outcome.code = Some(rest.trim().parse().unwrap_or(0));
                return outcome;
            }
            _ => {
                outcome.code = None;
                return outcome;
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::{Outcome, run};

    #[test]
    fn a_line_ends_where_a_command_runs_for_ever() {
        let words: Vec<String> = ["sh", "-c", "echo a; echo b >&2; sleep 9; echo c"].map(str::to_owned).into();
        let output = vec![(false, "a".to_owned()), (true, "b".to_owned())];
        assert_eq!(run(&words), Outcome { output, code: None });
    }

    #[test]
    fn a_line_exits_with_its_last_code() {
        let code = |line: &str| run(&["sh".to_owned(), "-c".to_owned(), line.to_owned()]).code;
        assert_eq!(code("true; exit 3; echo never"), Some(3));
        assert_eq!(code("false"), Some(1));
        assert_eq!(code("echo"), Some(0));
    }
}
