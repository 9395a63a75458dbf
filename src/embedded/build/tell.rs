//! What a build tells: in the order of its stages, though they run at the same time.

use std::collections::VecDeque;

use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Built, News};

/// So many bytes of a stage wait for its turn; older ones are dropped.
const MOST_WAITING: usize = 1024 * 1024;

/// Tells news; each stage when it is its turn.
#[derive(Debug)]
pub(super) struct Teller {
    news: mpsc::Sender<News>,
    /// Nothing is told but the image's id.
    quiet: bool,
    cancel: CancellationToken,
    state: Mutex<State>,
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
    pub(super) fn new(news: mpsc::Sender<News>, quiet: bool, cancel: CancellationToken, stages: usize) -> Self {
        let stages = (0..stages).map(|_| Waiting::default()).collect();
        Self { news, quiet, cancel, state: Mutex::new(State { turn: 0, stages }) }
    }

    /// A text of a stage.
    pub(super) async fn say(&self, stage: usize, text: impl Into<String>) {
        self.tell(stage, News { stream: Some(text.into()), ..News::default() }).await;
    }

    /// News of a stage.
    pub(super) async fn tell(&self, stage: usize, news: News) {
        if self.quiet {
            return;
        }
        // Held while the client reads: what two stages tell must not change places.
        let mut told = self.state.lock().await;
        if told.turn == stage {
            self.send(news).await;
        } else if let Some(waiting) = told.stages.get_mut(stage) {
            waiting.push(news);
        }
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
    pub(super) async fn failed(&self, stage: usize) {
        let mut told = self.state.lock().await;
        if let Some(waiting) = told.stages.get_mut(stage) {
            for news in waiting.take() {
                self.send(news).await;
            }
        }
    }

    /// What is told at the end.
    pub(super) async fn end(&self, id: &str, names: &[String]) {
        let say = |text: String| News { stream: Some(text), ..News::default() };
        self.send(News { aux: Some(Built { id: id.to_owned() }), ..News::default() }).await;
        if self.quiet {
            self.send(say(format!("{id}\n"))).await;
            return;
        }
        let short = id.trim_start_matches("sha256:");
        self.send(say(format!("Successfully built {}\n", short.get(..12).unwrap_or(short)))).await;
        for name in names {
            self.send(say(format!("Successfully tagged {name}\n"))).await;
        }
    }

    /// A warning about the whole build.
    pub(super) async fn warn(&self, text: &str) {
        if !self.quiet {
            self.send(News { stream: Some(format!("[Warning] {text}\n")), ..News::default() }).await;
        }
    }

    async fn send(&self, news: News) {
        // A client that has gone, or that reads no more of a build that was given up, misses nothing.
        let _ = self.cancel.run_until_cancelled(self.news.send(news)).await;
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
    use tokio::sync::mpsc;
    use tokio_util::sync::CancellationToken;

    use super::{MOST_WAITING, Teller};

    #[tokio::test]
    async fn stages_are_told_one_after_the_other() {
        let (sender, mut news) = mpsc::channel(100);
        let teller = Teller::new(sender, false, CancellationToken::new(), 3);
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
        let (sender, mut news) = mpsc::channel(10_000);
        let teller = Teller::new(sender, false, CancellationToken::new(), 2);
        for number in 0..2000 {
            teller.say(1, format!("{number:1024}")).await;
        }
        teller.failed(1).await;
        drop(teller);
        let mut told = Vec::new();
        while let Some(news) = news.recv().await {
            told.extend(news.stream);
        }
        assert!(told[0].starts_with("[Warning] the beginning"));
        assert!(told.iter().map(String::len).sum::<usize>() < MOST_WAITING + 100);
        assert_eq!(told.last().map(|last| last.trim()), Some("1999"));
    }
}
