//! Several things that are under way at once, each with a line of its own: images that are pushed, workloads that roll
//! out. On a terminal the lines move; elsewhere a line is printed when something has changed.

use std::collections::BTreeMap;
use std::time::Duration;

use anstyle::{AnsiColor, Effects, Style as Colour};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::Style;

/// How often the spinners move.
const TICK: Duration = Duration::from_millis(100);

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is under way.
    Doing,
    /// It came to its end.
    Done,
    /// It is under way, and something is in its way.
    Stuck,
    /// It came to nothing.
    Failed,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Doing => "doing",
            Self::Done => "done",
            Self::Stuck => "stuck",
            Self::Failed => "failed",
        }
    }

    fn colour(self) -> Colour {
        let colour = match self {
            Self::Doing => return Colour::new(),
            Self::Done => AnsiColor::Green,
            Self::Stuck => AnsiColor::Yellow,
            Self::Failed => AnsiColor::Red,
        };
        colour.on_default()
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Doing => "·",
            Self::Done => "✓",
            Self::Stuck => "!",
            Self::Failed => "✗",
        }
    }
}

/// What is under way. Everything goes to standard error.
#[derive(Debug)]
pub struct Board {
    style: Style,
    /// The width of the column of subjects.
    column: usize,
    area: MultiProgress,
    bars: BTreeMap<String, ProgressBar>,
    last: BTreeMap<String, (State, String)>,
}

impl Board {
    /// An empty board for things of these names.
    #[must_use]
    pub fn new<'a>(style: Style, subjects: impl IntoIterator<Item = &'a str>) -> Self {
        let area = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let column = subjects.into_iter().map(console::measure_text_width).max().unwrap_or_default();
        Self { style, column, area, bars: BTreeMap::new(), last: BTreeMap::new() }
    }

    /// Says how a thing stands. `detail` changes all the time (bytes), and is shown on a terminal only.
    pub fn set(&mut self, subject: &str, state: State, words: &str, detail: &str) {
        let news = self.last.get(subject) != Some(&(state, words.to_owned()));
        self.last.insert(subject.to_owned(), (state, words.to_owned()));
        match self.style {
            Style::Terminal => self.draw(subject, state, words, detail),
            _ if !news => {}
            Style::Plain => anstream::eprintln!("{subject} {words}"),
            Style::Quiet if state == State::Failed => anstream::eprintln!("{subject} {words}"),
            Style::Quiet => {}
            Style::Json => {
                let object = json!({ "subject": subject, "state": state.word(), "message": words });
                anstream::eprintln!("{object}");
            }
        }
    }

    fn draw(&mut self, subject: &str, state: State, words: &str, detail: &str) {
        let colour = state.colour();
        let space = if detail.is_empty() { "" } else { "  " };
        let text = format!("{subject:<width$}  {colour}{words}{colour:#}{space}{detail}", width = self.column);
        if matches!(state, State::Done | State::Failed) {
            if let Some(bar) = self.bars.remove(subject) {
                bar.finish_and_clear();
                self.area.remove(&bar);
            }
            let mark = state.mark();
            let bold = colour.effects(Effects::BOLD);
            return self.print(&format!("{bold}{mark}{bold:#} {text}"));
        }
        let bar = self.bars.entry(subject.to_owned()).or_insert_with(|| {
            let bar = self.area.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        bar.set_message(text);
    }

    /// Says something above the lines; the text has its line ends.
    pub fn say(&self, text: &str) {
        match self.style {
            Style::Terminal => self.print(text.trim_end_matches('\n')),
            Style::Json => {
                let object = json!({ "message": text.trim_end() });
                anstream::eprintln!("{object}");
            }
            Style::Quiet => {}
            Style::Plain => anstream::eprint!("{text}"),
        }
    }

    fn print(&self, text: &str) {
        self.area.suspend(|| anstream::eprintln!("{text}"));
    }

    /// Takes the lines that move away.
    pub fn clear(&mut self) {
        for bar in std::mem::take(&mut self.bars).into_values() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Board {
    fn drop(&mut self) {
        self.clear();
    }
}
