//! What is wrong with journals, and what is not in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Journal, Scribe};
use crate::change::rules::Rules;
use crate::plan::fixtures::{ServiceExt as _, container, prepared, project, service, up, with};
use crate::plan::goal::{Goal, Until};
use crate::plan::observed::{ContainerState, Health};
use crate::project::{
    BuildContext, FileObject, FileSource, HealthTest, Healthcheck, Hook, Project, WatchAction, WatchRule,
};
use crate::reconcile::event::{Action, Answer, Event, Failure, Ticket};
use crate::reconcile::{Setup, State, step};

const SECRET: &str = "hunter2-and-more";

/// A project that says the secret wherever a value can be.
fn telling_project() -> Project {
    let mut web = service("web").built();
    let secret = || Some(SECRET.to_owned());
    web.environment.insert("PASSWORD".into(), secret());
    web.build.as_mut().expect("it is built").args.insert("TOKEN".into(), secret());
    web.extensions.insert("x-env".into(), serde_json::json!({ "PASSWORD": SECRET }));
    let hook = Hook {
        command: vec!["reload".into(), SECRET.into()],
        environment: [("KEY".into(), secret())].into(),
        ..Hook::default()
    };
    web.post_start.push(hook.clone());
    web.watch.push(WatchRule {
        path: "/shop/web".into(),
        action: WatchAction::SyncExec { target: "/app".into(), exec: hook },
        ignore: Vec::new(),
        include: Vec::new(),
        initial_sync: false,
    });
    let words = || Some(vec!["run".to_owned(), SECRET.to_owned()]);
    (web.command, web.entrypoint) = (words(), words());
    web.healthcheck = Some(Healthcheck { test: HealthTest::Shell(SECRET.into()), ..Healthcheck::default() });
    for map in [&mut web.labels, &mut web.annotations, &mut web.sysctls, &mut web.storage_opt] {
        map.insert("key".into(), SECRET.into());
    }
    let build = web.build.as_mut().expect("it is built");
    (build.cache_from, build.cache_to) = (vec![SECRET.into()], vec![SECRET.into()]);
    build.labels.insert("key".into(), SECRET.into());
    build.additional_contexts.insert("more".into(), format!("https://user:{SECRET}@example.com/a.git"));
    let mut remote = service("remote").built();
    let build = remote.build.as_mut().expect("it is built");
    build.context = BuildContext::Remote(format!("https://user:{SECRET}@example.com/a.git"));
    build.dockerfile_inline = Some(SECRET.into());
    let mut project = project([web]);
    project.disabled.insert("remote".into(), remote);
    let file = |source| FileObject { name: "file".into(), source };
    let value = SECRET.to_owned();
    project.secrets.insert("a".into(), file(FileSource::Environment { variable: "A".into(), value }));
    project.configs.insert("b".into(), file(FileSource::Content(SECRET.into())));
    project
}

/// The journal of a run that finds its container as it is to be, copies a file that was saved and is interrupted.
fn journal() -> (String, Vec<Vec<Action>>) {
    let project = Arc::new(telling_project());
    let until = Until::Interrupted { abort_on_exit: false, abort_on_failure: false, exit_code_from: None };
    let setup = Setup {
        project: Arc::clone(&project),
        goal: Goal::Up(up(&project, until)),
        rules: Some(Arc::new(Rules::new(&project, &BTreeMap::new()))),
        began: 5,
        inputs: BTreeMap::new(),
        stale: BTreeSet::new(),
        initial_syncs: BTreeMap::new(),
        follow: true,
    };
    let mut scribe = Scribe::new([1; 32]);
    let (mut state, first) = State::new(setup.clone()).expect("there is no circle");
    let mut text = scribe.begin(setup, first, "0.0.0").expect("it can be written");
    let mut web = container(&project, "web", 1, ContainerState::Running);
    web.health = Health::Healthy;
    web.command = format!("run {SECRET}");
    web.labels.insert("key".into(), SECRET.into());
    let mut observed = with(prepared(&project), [web]);
    for image in observed.images.values_mut() {
        image.labels.insert("key".into(), SECRET.into());
    }
    let saved = ("/shop/web/a.js".into(), crate::change::PathState::Present);
    let mut told = Vec::new();
    let failure = Failure { reason: "refused".into(), output: vec![SECRET.into()], unreachable: false };
    let events = [
        (10, Event::Observed(observed)),
        (500, Event::Changed([saved].into())),
        (900, Event::Woken),
        (950, Event::Answered { ticket: Ticket(1), answer: Answer::Failed(failure), parts: Vec::new() }),
        (1_000, Event::Interrupted { code: 130 }),
    ];
    for (millis, event) in events {
        let at = Duration::from_millis(millis);
        let actions = step(&mut state, event.clone(), at);
        text += &scribe.step(event, at, actions.clone(), state.project()).expect("it can be written");
        told.push(actions);
    }
    (text + &scribe.end("the run is over").expect("it can be written"), told)
}

#[test]
fn values_of_variables_arguments_and_secrets_are_not_in_a_journal() {
    let (text, _) = journal();
    assert!(text.contains("PASSWORD") && text.contains("redacted-"), "the names are there: {text}");
    assert!(text.contains(r#""sync""#), "a file is copied and a command run: {text}");
    assert!(text.contains("refused"), "which fails: {text}");
    assert!(!text.contains(SECRET), "{text}");
}

#[test]
fn containers_made_from_redacted_values_are_still_those_asked_for() {
    let (text, told) = journal();
    let journal = Journal::read(&text).expect("it can be read");
    assert_eq!((journal.len(), journal.end.as_deref()), (5, Some("the run is over")));
    let mut replayed = Vec::new();
    journal.replay(|moment| replayed.push(format!("{:?}", moment.actions))).expect("it replays");
    assert_eq!(replayed.len(), 6);
    let creates = |actions: &str| actions.contains("Create {");
    assert!(!replayed.iter().any(|actions| creates(actions)) && !creates(&format!("{told:?}")));
}

#[test]
fn rules_that_are_read_back_are_made_anew_by_the_same_files() {
    let files = BTreeSet::from(["/shop/more.yaml".into(), "/shop/none.yaml".into()]);
    let rules = Rules::new(&telling_project(), &BTreeMap::new()).made_from(&files);
    let text = serde_json::to_string(&rules).expect("they can be written");
    let read: Rules = serde_json::from_str(&text).expect("they can be read");
    assert!(files.iter().all(|file| read.is_manifest(file) && read.means_reload(file)));
    assert_eq!(read.roots(), rules.roots());
}

#[test]
fn the_same_value_has_another_hash_in_another_run() {
    let scribe = |key| {
        let project = Arc::new(telling_project());
        let until = Until::Started;
        let setup = Setup {
            goal: Goal::Up(up(&project, until)),
            project,
            rules: None,
            began: 5,
            inputs: BTreeMap::new(),
            stale: BTreeSet::new(),
            initial_syncs: BTreeMap::new(),
            follow: false,
        };
        Scribe::new([key; 32]).begin(setup, Vec::new(), "0").expect("it can be written")
    };
    assert_ne!(scribe(1), scribe(2));
    assert_eq!(scribe(1), scribe(1));
}

#[test]
fn a_journal_that_is_cut_short_says_in_which_line_and_replays_what_is_before() {
    let (text, _) = journal();
    let cut = &text[..text.len() - 60];
    let journal = Journal::read(cut).expect("its beginning can be read");
    let problem = journal.problem.as_ref().expect("something is missing");
    assert_eq!(problem.to_string(), "line 7: the line is cut short");
    assert_eq!(journal.len(), 4);
    journal.replay(|_| {}).expect("what is there replays");
}

#[test]
fn a_corrupt_journal_says_what_is_wrong_with_which_line() {
    let (text, _) = journal();
    let read = |text: &str| match Journal::read(text) {
        Ok(journal) => journal.problem.map(|problem| problem.to_string()).unwrap_or_default(),
        Err(problem) => problem.to_string(),
    };
    assert_eq!(read(""), "line 1: the journal is empty");
    assert!(read("hello\n").starts_with("line 1: not a line of a journal: "), "{}", read("hello\n"));
    let newer = text.replacen(r#""journal":1"#, r#""journal":2"#, 1);
    assert_eq!(read(&newer), "line 1: a journal of format 2; this hoist reads format 1");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.swap(2, 3);
    assert_eq!(read(&(lines.join("\n") + "\n")), "line 3: step 2 where step 1 is expected");
    let broken = text.replacen(r#""event":{"observed""#, r#""event":{"obsrved""#, 1);
    assert!(
        read(&broken).starts_with("line 3: not a line of a journal: unknown variant `obsrved`"),
        "{}",
        read(&broken)
    );
    assert_eq!(read(&format!("{text}{text}")), "line 9: nothing comes after the end");
}
