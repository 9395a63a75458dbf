//! Transcripts: what happens on each line, and after `?` to whom what comes then goes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::super::super::ports::{Port, Protocol};
use super::{Behind, Choice, Door, Front, HOLD, Health, Kin, Standing};

/// Doors are named by their ports; all of them lead to port 80.
fn door(text: &str) -> Door {
    let port = text.parse().expect("a port");
    Door { protocol: Protocol::Tcp, address: (Ipv4Addr::UNSPECIFIED, port).into() }
}

struct World {
    front: Front,
    now: Instant,
}

impl World {
    /// One line of a transcript; what it has to say.
    fn play(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let now = self.now;
        match words.as_slice() {
            [name, "comes", rest @ ..] => return self.comes(name, rest),
            [name, "listens"] => {
                let port = Port { number: 80, protocol: Protocol::Tcp };
                self.front.hear(name, BTreeSet::from([port]), true);
            }
            [name, "falls", "silent"] => self.front.hear(name, BTreeSet::new(), false),
            [name, "is", "well"] => self.front.tell(name, Health::Passed),
            [name, "is", "unwell"] => self.front.tell(name, Health::Waiting),
            [name, "retires"] => self.front.leaving(name, true),
            [name, "stays"] => self.front.leaving(name, false),
            [name, "is", "held", "for", others @ ..] => {
                let others: BTreeSet<String> = others.iter().map(|other| (*other).to_owned()).collect();
                for door in self.front.doors_of(name) {
                    self.front.hold(door, name, others.clone(), now + HOLD);
                }
            }
            [name, "goes"] => self.front.leave(name),
            [name, "fails"] => self.front.give_up(name, false, now),
            [name, "is", "removed"] => self.front.give_up(name, true, now),
            [seconds, "seconds", "pass"] => {
                self.now += Duration::from_secs(seconds.parse().expect("seconds"));
            }
            ["close"] => {
                let closed = self.front.close(now);
                return closed.iter().map(|door| door.address.port().to_string()).collect::<Vec<_>>().join(" ");
            }
            ["names", names @ ..] => {
                let meant = self.front.named(names.iter().copied());
                return meant.into_iter().collect::<Vec<_>>().join(" ");
            }
            ["let", "go"] => return self.let_go(),
            [port, "?"] => return self.ask(port),
            _ => panic!("{line:?} is no event"),
        }
        String::new()
    }

    /// `web comes to 80 replacing old of shop checked`.
    fn comes(&mut self, name: &str, mut rest: &[&str]) -> String {
        let mut kin = Kin { id: name.to_owned(), ..Kin::default() };
        let (mut health, mut doors, mut single) = (Health::Unchecked, Vec::new(), true);
        while let [word, others @ ..] = rest {
            rest = match (*word, others) {
                ("to", [port, others @ ..]) => {
                    doors.push((door(port), 80));
                    others
                }
                ("replacing", [other, others @ ..]) => {
                    kin.replaces = Some((*other).to_owned());
                    others
                }
                ("of", [group, others @ ..]) => {
                    kin.group = Some((*group).to_owned());
                    others
                }
                ("checked", others) => {
                    health = Health::Waiting;
                    others
                }
                ("or-another", others) => {
                    single = false;
                    others
                }
                _ => panic!("{word:?} is nothing that is said of one that comes"),
            };
        }
        for (door, _) in &doors {
            match self.front.standing(*door, &kin, single) {
                Standing::Free | Standing::Shared => {}
                standing => return format!("{standing:?}"),
            }
        }
        let address = self.front.containers.len() + 1;
        let address = IpAddr::from([10, 0, 0, u8::try_from(address).expect("few")]);
        let behind =
            Behind { kin, name: name.to_uppercase(), address: Some(address), health, has_ports: !doors.is_empty() };
        self.front.enter(behind, &doors, self.now);
        String::new()
    }

    fn ask(&mut self, port: &str) -> String {
        match self.front.choose(door(port), self.now) {
            Choice::To(id, address) => {
                assert_eq!(address.port(), 80);
                id
            }
            Choice::Wait(until) => format!("waits {} s", (until - self.now).as_secs()),
            Choice::Nobody => "nobody".to_owned(),
        }
    }

    fn let_go(&self) -> String {
        let mut text = String::new();
        for door in self.front.doors.keys() {
            let goes = self.front.containers.keys().filter(|id| self.front.lets_go(*door, id, self.now));
            goes.for_each(|id| text.extend([id, " "]));
        }
        text.trim_end().to_owned()
    }
}

/// Plays a transcript; what is said stands after `→`.
#[track_caller]
fn plays(transcript: &str) {
    let mut world = World { front: Front::default(), now: Instant::now() };
    let mut played = String::new();
    for line in transcript.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let event = line.split('→').next().unwrap_or_default().trim();
        let said = world.play(event);
        let _ = if said.is_empty() { writeln!(played, "{event}") } else { writeln!(played, "{event} → {said}") };
    }
    let expected: Vec<&str> = transcript.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(played.trim_end(), expected.join("\n"));
}

#[test]
fn the_new_one_has_the_port_as_soon_as_it_listens() {
    plays(
        "old comes to 8080
        8080 ? → old
        old listens
        new comes to 8080 replacing old
        8080 ? → old
        let go
        new listens
        8080 ? → new
        8080 ? → new
        let go → old
        old retires
        old goes
        8080 ? → new",
    );
}

#[test]
fn with_a_healthcheck_to_listen_is_not_enough() {
    plays(
        "old comes to 8080 checked
        old is well
        new comes to 8080 replacing old checked
        new listens
        8080 ? → old
        new is well
        8080 ? → new
        new is unwell
        8080 ? → old
        let go",
    );
}

#[test]
fn who_comes_while_one_is_gone_and_the_next_not_ready_waits() {
    plays(
        "old comes to 8080
        old listens
        old retires
        old is held for new
        8080 ? → waits 60 s
        let go → old
        old goes
        20 seconds pass
        8080 ? → waits 40 s
        new comes to 8080 replacing old
        8080 ? → waits 60 s
        close
        new listens
        8080 ? → new",
    );
}

#[test]
fn nobody_waits_for_longer_than_a_minute() {
    plays(
        "old comes to 8080
        old listens
        old retires
        old is held for new
        old goes
        60 seconds pass
        8080 ? → nobody
        close → 8080",
    );
    plays(
        "old comes to 8080
        old is held for old
        old goes
        old comes to 8080
        60 seconds pass
        8080 ? → old",
    );
}

#[test]
fn a_new_one_that_crashes_leaves_the_old_one_in_its_place() {
    plays(
        "old comes to 8080
        old listens
        new comes to 8080 replacing old
        new goes
        8080 ? → old
        second comes to 8080 replacing old
        second listens
        8080 ? → second
        second goes
        8080 ? → old
        let go",
    );
}

#[test]
fn when_the_next_one_will_not_come_the_old_one_has_a_moment_to_come_back() {
    plays(
        "old comes to 8080
        old listens
        old retires
        old is held for new
        old goes
        new comes to 8080 replacing old
        new goes
        8080 ? → waits 60 s
        new is removed
        8080 ? → waits 5 s
        old comes to 8080
        8080 ? → waits 60 s
        old listens
        8080 ? → old",
    );
    plays(
        "old comes to 8080
        old is held for new
        old goes
        new is removed
        old is removed
        8080 ? → nobody
        close → 8080",
    );
}

#[test]
fn a_restart_that_fails_ends_the_wait() {
    plays(
        "web comes to 8080
        web listens
        web retires
        web is held for web
        8080 ? → waits 60 s
        web goes
        web fails
        8080 ? → nobody",
    );
}

#[test]
fn replicas_take_turns_and_those_that_are_not_ready_are_left_out() {
    plays(
        "a comes to 8080 of shop
        b comes to 8080 of shop
        c comes to 8080 of shop
        a listens
        b listens
        c listens
        8080 ? → b
        8080 ? → c
        8080 ? → a
        8080 ? → b
        c retires
        8080 ? → b
        8080 ? → a
        8080 ? → b
        let go → c
        d comes to 8080 replacing c of shop
        8080 ? → a
        d listens
        8080 ? → a
        8080 ? → b
        8080 ? → d",
    );
}

#[test]
fn a_container_of_another_kind_does_not_get_the_port() {
    plays(
        "a comes to 8080 of shop
        b comes to 8080 of bakery → Taken(\"A\")
        b comes to 8080 → Taken(\"A\")
        b comes to 8080 of shop or-another → Taken(\"A\")
        b comes to 8080 replacing a or-another
        a is held for b
        a goes
        b goes
        c comes to 8080 → Held",
    );
}

#[test]
fn without_anybody_ready_or_awaited_what_comes_goes_where_it_went() {
    plays(
        "old comes to 8080
        8080 ? → old
        new comes to 8080 replacing old
        8080 ? → old
        old retires
        8080 ? → new
        new retires
        8080 ? → old
        let go",
    );
}

#[test]
fn a_name_means_those_that_are_ready_and_never_one_that_is_being_stopped() {
    plays(
        "a comes of shop checked
        names a → a
        b comes of shop checked
        names a b → a b
        b is well
        names a b → b
        a is well
        c comes replacing a of shop checked
        names a b c → a b
        c is well
        names a b c → b c
        b retires
        names a b c → c
        c retires
        names a b c → a
        a retires
        names a b c",
    );
    plays(
        "old comes
        new comes replacing old checked
        old retires
        names old new → new",
    );
}
