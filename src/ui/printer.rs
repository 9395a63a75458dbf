//! The printing task: the one owner of the terminal. It takes messages in batches and writes each batch at once, so that
//! much output costs little; nothing of what it is sent is lost, senders wait instead.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::flight::{Flights, laid_out};
#[cfg(unix)]
use super::keys::HiddenKeys;
use super::lines::Prefixes;
use super::words::{Mark, Said, present, said, subject};
use super::{Line, Message, Options, QUEUE, Scene, Style, json, text, timings};
use crate::engine::Progress;
use crate::journal::Events;
use crate::plan::operation::{Cause, Operation};
use crate::reconcile::notice::Notice;

/// How often the spinners move.
const TICK: Duration = Duration::from_millis(100);

/// How many messages are taken at once.
const BATCH: usize = 512;

/// How many bytes are collected before they are written.
const CHUNK: usize = 64 * 1024;

/// How many things in flight are shown at once.
const SHOWN: usize = 10;

/// What moves before each thing in flight.
const FRAMES: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The printing task, to be awaited when all senders are gone.
#[derive(Debug)]
pub struct Printer {
    task: JoinHandle<()>,
}

impl Printer {
    /// Waits until everything is printed. Every sender must be dropped first.
    pub async fn finish(self) {
        // It returns nothing, and a panic in it has already been reported by the panic hook.
        let _ = self.task.await;
    }
}

/// Starts the printing task, which also leaves what is told in `events`. It ends when the last sender is dropped.
#[must_use]
pub fn start(options: &Options, scene: &Scene, events: Option<Events>) -> (mpsc::Sender<Message>, Printer) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let paper = Paper::new(options.clone(), scene.clone(), events);
    let handle = Handle::current();
    // Writing to a terminal can block for as long as its reader likes, which no worker of the runtime should do.
    let task = tokio::task::spawn_blocking(move || handle.block_on(print(receiver, paper)));
    (sender, Printer { task })
}

async fn print(mut receiver: mpsc::Receiver<Message>, mut paper: Paper) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            count = receiver.recv_many(&mut batch, BATCH) => {
                if count == 0 {
                    break;
                }
                for message in batch.drain(..) {
                    paper.take(&message);
                }
                paper.flush();
                paper.draw();
            }
            _ = tick.tick(), if paper.moves() => paper.draw(),
        }
    }
    paper.close();
}

/// What has been printed and what is still to be.
struct Paper {
    options: Options,
    scene: Scene,
    events: Option<Events>,
    prefixes: Prefixes,
    flights: Flights,
    /// The width of the column of subjects.
    column: usize,
    /// Text for standard output and standard error that is not written yet.
    out: String,
    error: String,
    /// Whether standard output has been closed by its reader.
    deaf: bool,
    area: Option<ProgressBar>,
    #[cfg(unix)]
    keys: Option<HiddenKeys>,
    turn: usize,
}

impl Paper {
    fn new(options: Options, scene: Scene, events: Option<Events>) -> Self {
        Self {
            column: column(&scene),
            prefixes: Prefixes::new(&scene, options.prefix),
            #[cfg(unix)]
            keys: if options.style == Style::Terminal { HiddenKeys::hide() } else { None },
            options,
            scene,
            events,
            flights: Flights::default(),
            out: String::new(),
            error: String::new(),
            deaf: false,
            area: None,
            turn: 0,
        }
    }

    fn take(&mut self, message: &Message) {
        let cause = match message {
            Message::Notice(notice) => {
                let cause = self.flights.take(notice, Instant::now());
                self.record(notice, cause.as_ref());
                cause
            }
            _ => None,
        };
        if self.options.style == Style::Json {
            let objects = json::objects(message, &time());
            let side = if self.options.json_on_stdout { &mut self.out } else { &mut self.error };
            side.push_str(&objects);
            return self.flush_when_full();
        }
        match message {
            Message::Notice(notice) => self.notice(notice, cause.as_ref()),
            Message::Line(line) => self.lines(std::slice::from_ref(line)),
            Message::Lines(lines) => self.lines(lines),
            Message::LastLines { lines, .. } => {
                let quotation = text::quotation(lines, self.options.style == Style::Terminal);
                self.say(&quotation);
            }
            Message::Progress { service, progress } => self.progress(service, progress),
            Message::Scene(scene) => self.set(scene),
        }
        self.flush_when_full();
    }

    /// Lays out anew for another project. Columns do not become narrower under what has been printed.
    fn set(&mut self, scene: &Scene) {
        self.scene = scene.clone();
        self.column = self.column.max(column(scene));
        self.prefixes = Prefixes::new(scene, self.options.prefix);
    }

    fn lines(&mut self, lines: &[Line]) {
        self.flush_error();
        for line in lines {
            if self.options.hidden.contains(&line.service) {
                continue;
            }
            self.prefixes.append(&mut self.out, line);
            self.flush_when_full();
        }
    }

    /// Leaves what is told for `hoist events`.
    fn record(&mut self, notice: &Notice, cause: Option<&Cause>) {
        let Some(events) = &mut self.events else { return };
        let said = if is_step_of_an_edit(notice) { None } else { said(notice, cause, &self.scene.directory) };
        let text = said.map(|said| text::sentence(&said));
        if let Err(error) = events.write(&json::record(notice, text.as_deref().map(str::trim_end), &time())) {
            self.events = None;
            self.say(&format!("warning: `hoist events` shows nothing more of this run: {error}\n"));
        }
    }

    fn notice(&mut self, notice: &Notice, cause: Option<&Cause>) {
        let now = Instant::now();
        if is_step_of_an_edit(notice) {
            return;
        }
        match notice {
            Notice::Began {
                operation: operation @ (Operation::Build { .. } | Operation::Pull { .. }), cause, ..
            } if self.options.style == Style::Plain => {
                let text = format!("{} {} ({cause})\n", subject(operation), present(operation));
                return self.say(&text);
            }
            Notice::Healthy { service, number, .. }
            | Notice::Unhealthy { service, number }
            | Notice::Exited { service, number, .. } => {
                self.flights.release(&format!("{service}-{number}"));
            }
            Notice::ServiceFailed { service, .. } => self.flights.forget(service),
            // Drawn already, and more than a person wants to have indented.
            Notice::NotReloaded { report } => self.say(report),
            Notice::Up { .. } | Notice::Stopping | Notice::Killing | Notice::TimedOut { .. } => self.settle(),
            _ => {}
        }
        let Some(mut said) = said(notice, cause, &self.scene.directory) else { return };
        if *notice == Notice::Stopping && self.options.style == Style::Terminal {
            // Where there are no keys there is no advice about them.
            said.cause = Some("ctrl-c again kills".into());
        }
        match self.options.style {
            Style::Terminal if self.flights.hold(notice, &said, &self.scene, now) => {}
            Style::Quiet if said.mark != Mark::Bad => {}
            _ => self.print(&said),
        }
        if let Notice::Up { path, took, .. } = notice
            && self.options.timings
        {
            self.say(&timings::text(path, *took));
        }
        if matches!(notice, Notice::Up { running: 1.., .. }) && self.options.style == Style::Terminal {
            for (service, address) in std::mem::take(&mut self.scene.addresses) {
                self.print(&Said::address(service, address));
            }
        }
    }

    /// Prints what was held back until a container is healthy: nobody waits for that any more.
    fn settle(&mut self) {
        for said in self.flights.release_all() {
            self.print(&said);
        }
    }

    fn print(&mut self, said: &Said) {
        let text = match self.options.style {
            Style::Terminal => text::columns(said, self.column),
            Style::Plain | Style::Quiet | Style::Json => text::sentence(said),
        };
        self.say(&text);
    }

    fn progress(&mut self, service: &str, progress: &Progress) {
        match (self.options.style, progress) {
            (Style::Terminal, progress) => self.flights.progress(service, progress),
            (Style::Plain, Progress::Step(line) | Progress::Output(line)) => {
                let text = format!("{service} | {}\n", text::clean(line));
                self.say(&text);
            }
            _ => {}
        }
    }

    /// Appends to what goes to standard error; what waits for standard output goes before it.
    fn say(&mut self, text: &str) {
        self.flush_out();
        self.error.push_str(text);
    }

    fn flush_when_full(&mut self) {
        if self.out.len() >= CHUNK || self.error.len() >= CHUNK {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.flush_error();
        self.flush_out();
    }

    fn flush_out(&mut self) {
        if self.out.is_empty() {
            return;
        }
        if !self.deaf {
            let out = &self.out;
            let written = self.aside(|| {
                let mut stdout = io::stdout().lock();
                stdout.write_all(out.as_bytes()).and_then(|()| stdout.flush())
            });
            self.deaf = written.is_err();
        }
        self.out.clear();
    }

    fn flush_error(&mut self) {
        if self.error.is_empty() {
            return;
        }
        let error = &self.error;
        // There is nowhere left to say that standard error cannot be written.
        let _ = self.aside(|| io::stderr().lock().write_all(error.as_bytes()));
        self.error.clear();
    }

    /// Writes with the area of spinners out of the way.
    fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.area {
            Some(area) => area.suspend(write),
            None => write(),
        }
    }

    fn moves(&self) -> bool {
        self.options.style == Style::Terminal && !self.flights.is_empty()
    }

    fn draw(&mut self) {
        if !self.moves() {
            if let Some(area) = self.area.take() {
                area.finish_and_clear();
            }
            return;
        }
        let now = Instant::now();
        let (height, width) = console::Term::stderr().size();
        let limit = SHOWN.min(usize::from(height).saturating_sub(2)).max(1);
        let frame = console::Style::new().cyan().for_stderr().apply_to(FRAMES[self.turn % FRAMES.len()]).to_string();
        self.turn = self.turn.wrapping_add(1);
        let lines: Vec<String> = self
            .flights
            .lines(limit, now)
            .into_iter()
            .map(|(subject, words, time)| {
                let line = format!(" {frame} {}", laid_out(&subject, &text::clean(&words), time, self.column));
                console::truncate_str(&line, usize::from(width).saturating_sub(1), "…").into_owned()
            })
            .collect();
        let area = self.area.get_or_insert_with(new_area);
        area.set_message(lines.join("\n"));
    }

    fn close(&mut self) {
        self.settle();
        if let Some(area) = self.area.take() {
            area.finish_and_clear();
        }
        self.flush();
        #[cfg(unix)]
        drop(self.keys.take());
    }
}

/// Now, as JSON has it.
fn time() -> String {
    DateTime::<Utc>::from(std::time::SystemTime::now()).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Whether a notice is part of what one line will tell when the edit is done.
fn is_step_of_an_edit(notice: &Notice) -> bool {
    match notice {
        Notice::Began { edit, .. }
        | Notice::Done { edit, .. }
        | Notice::ImageUnchanged { edit, .. }
        | Notice::Healthy { edit, .. } => edit.is_some(),
        Notice::Changed { .. } => true,
        Notice::Cancelled { operation } => matches!(operation, Operation::Build { .. } | Operation::Sync { .. }),
        _ => false,
    }
}

fn column(scene: &Scene) -> usize {
    let names = scene.services.keys().map(|name| console::measure_text_width(name) + 2);
    names.max().unwrap_or(0).clamp("network default".len(), 32)
}

fn new_area() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg}").expect("the template is valid");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
}
