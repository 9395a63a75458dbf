//! What a build tells its client: line by line, in the order of its stages, though they run at the same time; or each
//! step as it goes, to one that draws them itself.

use std::collections::VecDeque;
use std::sync::{Mutex as Lock, PoisonError};

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::progress::{Happening, Listener};
use super::{Built, News};
use crate::embedded::error::Error;
use crate::embedded::images;
use crate::embedded::process::Source;

/// So many bytes of a stage wait for its turn; older ones are dropped.
const MOST_WAITING: usize = 1024 * 1024;
/// What a step that was given up has ended for, in the words by which clients know it.
const GIVEN_UP: &str = "context canceled";
/// The step that what concerns the whole build belongs to.
pub(super) const DEFINITION: &str = "definition";

/// Who is told of a build.
#[derive(Debug)]
pub enum Audience {
    /// A client of the classic builder.
    Lines {
        /// Its lines.
        news: mpsc::Sender<News>,
        /// Tell it nothing but the image's id.
        quiet: bool,
    },
    /// A client that draws the steps itself.
    Steps(Listener),
}

/// A step as it is announced.
#[derive(Debug, Clone)]
pub(super) struct Heading {
    /// Its number among all steps of the build.
    pub(super) number: usize,
    /// How many they are.
    pub(super) all: usize,
    /// Its instruction.
    pub(super) text: String,
    /// What it is called by a client that draws steps; `None` for one that such a client is not told of, because nothing
    /// is done in it.
    pub(super) name: Option<String>,
}

/// Tells a client.
#[derive(Debug)]
pub(super) struct Teller {
    audience: Audience,
    cancel: CancellationToken,
    state: Mutex<State>,
    /// The step that each stage is at, for a client that draws them.
    steps: Lock<Vec<Option<String>>>,
}

#[derive(Debug)]
struct State {
    /// The stage that is told as it goes.
    turn: usize,
    stages: Vec<Waiting>,
}

/// What a stage has to tell when its turn comes.
#[derive(Debug, Default)]
struct Waiting {
    news: VecDeque<News>,
    bytes: usize,
    dropped: bool,
    done: bool,
}

impl Teller {
    /// For so many stages.
    pub(super) fn new(audience: Audience, cancel: CancellationToken, stages: usize) -> Self {
        let waiting = (0..stages).map(|_| Waiting::default()).collect();
        let state = Mutex::new(State { turn: 0, stages: waiting });
        Self { audience, cancel, state, steps: Lock::new(vec![None; stages]) }
    }

    /// A step of a stage begins.
    pub(super) async fn begin(&self, stage: usize, heading: Heading) {
        let Heading { number, all, text, name } = heading;
        match &self.audience {
            Audience::Lines { .. } => self.say(stage, format!("Step {number}/{all} : {text}\n")).await,
            Audience::Steps(_) => self.enter(stage, number.to_string(), name),
        }
    }

    /// So many triggers of the base image are carried out first.
    pub(super) async fn triggers(&self, stage: usize, count: usize) {
        self.say(stage, format!("# Executing {count} build triggers\n")).await;
    }

    /// One of them begins, the one with this number in a step with this number.
    pub(super) async fn trigger(&self, stage: usize, number: (usize, usize), text: &str) {
        match &self.audience {
            Audience::Lines { .. } => self.say(stage, format!(" ---> {text}\n")).await,
            Audience::Steps(_) => {
                self.enter(stage, format!("{}.{}", number.0, number.1), Some(format!("[onbuild] {text}")));
            }
        }
    }

    /// A step's result was there.
    pub(super) async fn cached(&self, stage: usize) {
        self.say(stage, " ---> Using cache\n").await;
        self.step(stage, Happening::Cached);
    }

    /// A step's command runs in a container.
    pub(super) async fn runs(&self, stage: usize, container: &str) {
        self.say(stage, format!(" ---> Running in {container}\n")).await;
    }

    /// A step has written something.
    pub(super) async fn output(&self, stage: usize, source: Source, text: String) {
        match &self.audience {
            Audience::Lines { .. } => self.say(stage, text).await,
            Audience::Steps(_) => self.step(stage, Happening::Output(source, text)),
        }
    }

    /// News of the pull of a base image.
    pub(super) async fn pulls(&self, stage: usize, news: images::News) {
        match &self.audience {
            Audience::Lines { .. } => {
                let (id, status, stream) = (news.id, Some(news.status), news.stream);
                self.tell(stage, News { stream, status, id, ..News::default() }).await;
            }
            Audience::Steps(_) => {
                let Some(id) = news.id.filter(|_| !news.status.is_empty()) else { return };
                let progress = news.progress.unwrap_or_default();
                let done = matches!(news.status.as_str(), "Pull complete" | "Already exists");
                let (current, total) = (progress.current, progress.total);
                self.step(stage, Happening::Part { name: id, current, total, done });
            }
        }
    }

    /// A step is done; `key` names what has come of it.
    pub(super) async fn made(&self, stage: usize, key: &str) {
        self.say(stage, format!(" ---> {key}\n")).await;
        self.step(stage, Happening::Ended(None));
        self.leave(stage);
    }

    /// A stage has told all; the next one's turn comes.
    pub(super) async fn done(&self, stage: usize) {
        let mut told = self.state.lock().await;
        if let Some(waiting) = told.stages.get_mut(stage) {
            waiting.done = true;
        }
        loop {
            let turn = told.turn;
            let Some(current) = told.stages.get_mut(turn) else { return };
            for news in current.take() {
                self.send(news).await;
            }
            if !told.stages[turn].done {
                return;
            }
            told.turn += 1;
        }
    }

    /// What a stage that has failed had to tell, out of turn.
    pub(super) async fn failed(&self, stage: usize, error: &Error) {
        self.step(stage, Happening::Ended(Some(error.to_string())));
        let mut told = self.state.lock().await;
        if let Some(waiting) = told.stages.get_mut(stage) {
            for news in waiting.take() {
                self.send(news).await;
            }
        }
    }

    /// A stage was given up because of another one.
    pub(super) fn given_up(&self, stage: usize) {
        self.step(stage, Happening::Ended(Some(GIVEN_UP.to_owned())));
    }

    /// A warning about the whole build.
    pub(super) async fn warn(&self, text: &str) {
        match &self.audience {
            Audience::Lines { quiet: true, .. } => {}
            Audience::Lines { .. } => {
                self.send(News { stream: Some(format!("[Warning] {text}\n")), ..News::default() }).await;
            }
            Audience::Steps(listener) => listener.tell(DEFINITION, Happening::Warned(text.to_owned())),
        }
    }

    /// Who listens to steps, if somebody does.
    pub(super) fn listener(&self) -> Option<&Listener> {
        match &self.audience {
            Audience::Steps(listener) => Some(listener),
            Audience::Lines { .. } => None,
        }
    }

    /// A text of a stage, for a client that reads lines.
    async fn say(&self, stage: usize, text: impl Into<String>) {
        self.tell(stage, News { stream: Some(text.into()), ..News::default() }).await;
    }

    async fn tell(&self, stage: usize, news: News) {
        let Audience::Lines { quiet: false, .. } = self.audience else { return };
        // Held while the client reads: what two stages tell must not change places.
        let mut told = self.state.lock().await;
        if told.turn == stage {
            self.send(news).await;
        } else if let Some(waiting) = told.stages.get_mut(stage) {
            waiting.push(news);
        }
    }

    async fn send(&self, news: News) {
        let Audience::Lines { news: sender, .. } = &self.audience else { return };
        // A client that has gone, or that reads no more of a build that was given up, misses nothing.
        let _ = self.cancel.run_until_cancelled(sender.send(news)).await;
    }

    /// The stage is at a step from now on; for a client that draws them.
    fn enter(&self, stage: usize, step: String, name: Option<String>) {
        let Some(listener) = self.listener() else { return };
        self.leave(stage);
        if let Some(name) = name {
            listener.tell(&step, Happening::Began(name));
            self.set(stage, Some(step));
        }
    }

    /// What has been begun and not ended has ended well.
    fn leave(&self, stage: usize) {
        self.set(stage, None);
    }

    fn set(&self, stage: usize, step: Option<String>) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = steps.get_mut(stage) {
            *place = step;
        }
    }

    /// Something has happened in the step that the stage is at.
    fn step(&self, stage: usize, what: Happening) {
        let Some(listener) = self.listener() else { return };
        let step = self.steps.lock().unwrap_or_else(PoisonError::into_inner).get(stage).cloned().flatten();
        if let Some(step) = step {
            listener.tell(&step, what);
        }
    }
}

/// What a client of the classic builder is told at the end.
pub(super) async fn end(news: &mpsc::Sender<News>, quiet: bool, id: &str, names: &[String]) {
    let short = id.trim_start_matches("sha256:");
    let mut lines = vec![format!("Successfully built {}\n", short.get(..12).unwrap_or(short))];
    lines.extend(names.iter().map(|name| format!("Successfully tagged {name}\n")));
    if quiet {
        lines = vec![format!("{id}\n")];
    }
    // A client that has gone misses nothing.
    let _ = news.send(News { aux: Some(Built { id: id.to_owned() }), ..News::default() }).await;
    for line in lines {
        let _ = news.send(News { stream: Some(line), ..News::default() }).await;
    }
}

impl Waiting {
    fn push(&mut self, news: News) {
        self.bytes += weight(&news);
        self.news.push_back(news);
        while self.bytes > MOST_WAITING {
            let Some(oldest) = self.news.pop_front() else { return };
            self.bytes -= weight(&oldest);
            self.dropped = true;
        }
    }

    fn take(&mut self) -> VecDeque<News> {
        self.bytes = 0;
        let mut news = std::mem::take(&mut self.news);
        if std::mem::take(&mut self.dropped) {
            let text = "[Warning] the beginning of this stage's output was too long to keep\n".to_owned();
            news.push_front(News { stream: Some(text), ..News::default() });
        }
        news
    }
}

fn weight(news: &News) -> usize {
    size_of::<News>() + [&news.stream, &news.status].into_iter().flatten().map(String::len).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::super::progress::{Happening, Listener};
    use super::{Audience, Heading, MOST_WAITING, Teller};
    use crate::embedded::error::Error;
    use crate::embedded::process::Source;

    fn lines(size: usize, stages: usize) -> (Teller, mpsc::Receiver<super::News>) {
        let (news, receiver) = mpsc::channel(size);
        (Teller::new(Audience::Lines { news, quiet: false }, CancellationToken::new(), stages), receiver)
    }

    #[tokio::test]
    async fn stages_are_told_one_after_the_other() {
        let (teller, mut news) = lines(100, 3);
        teller.say(1, "b").await;
        teller.say(0, "a").await;
        teller.say(2, "c").await;
        teller.done(1).await;
        teller.say(0, "aa").await;
        teller.done(0).await;
        teller.say(2, "cc").await;
        teller.done(2).await;
        drop(teller);
        let mut told = Vec::new();
        while let Some(news) = news.recv().await {
            told.extend(news.stream);
        }
        assert_eq!(told, ["a", "aa", "b", "c", "cc"]);
    }

    #[tokio::test]
    async fn what_waits_is_bounded() {
        let (teller, mut news) = lines(10_000, 2);
        for number in 0..2000 {
            teller.say(1, format!("{number:1024}")).await;
        }
        teller.failed(1, &Error::Failed("no".into())).await;
        drop(teller);
        let mut told = Vec::new();
        while let Some(news) = news.recv().await {
            told.extend(news.stream);
        }
        assert!(told[0].starts_with("[Warning] the beginning"));
        assert!(told.iter().map(String::len).sum::<usize>() < MOST_WAITING + 100);
        assert_eq!(told.last().map(|last| last.trim()), Some("1999"));
    }

    #[tokio::test]
    async fn a_client_that_draws_steps_is_told_of_each_by_its_own_name() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let keep = told.clone();
        let listener = Listener::new(move |progress| keep.lock().expect("not poisoned").push(progress));
        let teller = Teller::new(Audience::Steps(listener), CancellationToken::new(), 1);
        let heading =
            |number, name: Option<&str>| Heading { number, all: 3, text: "x".into(), name: name.map(str::to_owned) };
        teller.begin(0, heading(1, Some("[1/2] FROM a"))).await;
        teller.made(0, "key").await;
        teller.begin(0, heading(2, None)).await;
        teller.made(0, "key").await;
        teller.begin(0, heading(3, Some("[2/2] RUN b"))).await;
        teller.output(0, Source::Stdout, "said".into()).await;
        teller.failed(0, &Error::Failed("no".into())).await;
        let told: Vec<_> = told.lock().expect("not poisoned").iter().map(|told| format!("{told:?}")).collect();
        let expected = [
            ("1", Happening::Began("[1/2] FROM a".into())),
            ("1", Happening::Ended(None)),
            ("3", Happening::Began("[2/2] RUN b".into())),
            ("3", Happening::Output(Source::Stdout, "said".into())),
            ("3", Happening::Ended(Some("no".into()))),
        ];
        let expected =
            expected.map(|(step, what)| format!("{:?}", super::super::progress::Progress { step: step.into(), what }));
        assert_eq!(told, expected);
    }
}
