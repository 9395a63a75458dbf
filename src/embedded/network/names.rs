//! What the name server says: pure, from a query and what is known to an answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::{A, AAAA, OPT, PTR, RData};
use simple_dns::{CLASS, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE};

use super::state::{Member, State};

/// How long an answer may be remembered, in seconds: not at all, for containers take each other's places at any moment.
const TIME_TO_LIVE: u32 = 0;
/// The largest packet over UDP when the asker names no size, and the largest that is sent whatever it names.
const SMALLEST: u16 = 512;
const LARGEST: u16 = 1232;

/// What is to be done with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This is the answer.
    Answer(Vec<u8>),
    /// Other name servers are to be asked: these, or the machine's when there are none.
    Forward(Vec<IpAddr>),
    /// It is no query; nothing is said.
    Ignore,
}

/// Reads a query of the container that has the address `asker`. `whole` says that an answer may have any size (TCP);
/// `turn` is a number that differs from query to query.
pub(super) fn consider(state: &State, query: &[u8], asker: IpAddr, whole: bool, turn: usize) -> Verdict {
    let Ok(packet) = Packet::parse(query) else { return Verdict::Ignore };
    if packet.has_flags(PacketFlag::RESPONSE) {
        return Verdict::Ignore;
    }
    if packet.opcode() != OPCODE::StandardQuery {
        return reply(&packet, RCODE::NotImplemented, &[], whole);
    }
    let [question] = packet.questions.as_slice() else { return reply(&packet, RCODE::FormatError, &[], whole) };
    let Some(member) = state.member_at(asker) else { return reply(&packet, RCODE::Refused, &[], whole) };
    let internet = matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
    let name = question.qname.to_string();
    let name = name.trim_end_matches('.');
    if internet && let Some(address) = reversed(name) {
        if let Some(names) = named(state, member, address) {
            let wanted = matches!(question.qtype, QTYPE::TYPE(TYPE::PTR) | QTYPE::ANY);
            let records: Vec<_> = names.iter().filter(|_| wanted).filter_map(|name| pointer(name)).collect();
            return reply(&packet, RCODE::NoError, &records, whole);
        }
    } else if internet {
        let (places, known) = state.called(member, name);
        if known && places.is_empty() {
            // All who have it are on their way out; nobody outside has it either.
            return reply(&packet, RCODE::NameError, &[], whole);
        }
        if !places.is_empty() {
            let (v4, v6) = match question.qtype {
                QTYPE::TYPE(TYPE::A) => (true, false),
                QTYPE::TYPE(TYPE::AAAA) => (false, true),
                QTYPE::ANY => (true, true),
                _ => (false, false),
            };
            let mut records: Vec<RData<'_>> = Vec::new();
            records.extend(places.iter().filter(|_| v4).filter_map(|place| place.v4).map(|v4| RData::A(A::from(v4))));
            records.extend(
                places.iter().filter(|_| v6).filter_map(|place| place.v6).map(|v6| RData::AAAA(AAAA::from(v6))),
            );
            if !records.is_empty() {
                let first = turn % records.len();
                records.rotate_left(first);
            }
            return reply(&packet, RCODE::NoError, &records, whole);
        }
    }
    match state.way_out(&member.endpoints) {
        Some(_) => Verdict::Forward(member.dns.clone()),
        // Nobody outside can be reached, so nobody outside is asked.
        None => reply(&packet, RCODE::NameError, &[], whole),
    }
}

/// The answer to a query that nobody could answer.
pub(super) fn failure(query: &[u8]) -> Option<Vec<u8>> {
    let packet = Packet::parse(query).ok()?;
    match reply(&packet, RCODE::ServerFailure, &[], true) {
        Verdict::Answer(bytes) => Some(bytes),
        _ => None,
    }
}

fn reply(query: &Packet<'_>, code: RCODE, records: &[RData<'_>], whole: bool) -> Verdict {
    let mut answer = Packet::new_reply(query.id());
    answer.set_flags(PacketFlag::RECURSION_AVAILABLE | PacketFlag::AUTHORITATIVE_ANSWER);
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        answer.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    *answer.rcode_mut() = code;
    *answer.opcode_mut() = query.opcode();
    answer.questions.clone_from(&query.questions);
    let mut limit = usize::from(u16::MAX);
    if let Some(extended) = query.opt() {
        limit = usize::from(extended.udp_packet_size.clamp(SMALLEST, LARGEST));
        *answer.opt_mut() = Some(OPT { opt_codes: Vec::new(), udp_packet_size: LARGEST, version: 0 });
    } else if !whole {
        limit = usize::from(SMALLEST);
    }
    if let Some(question) = query.questions.first() {
        let record = |data: &RData<'_>| {
            ResourceRecord::new(question.qname.clone(), CLASS::IN, TIME_TO_LIVE, data.clone().into_owned())
        };
        answer.answers = records.iter().map(record).collect();
    }
    let Ok(bytes) = answer.build_bytes_vec_compressed() else { return Verdict::Ignore };
    if whole || bytes.len() <= limit {
        return Verdict::Answer(bytes);
    }
    answer.answers.clear();
    answer.set_flags(PacketFlag::TRUNCATION);
    answer.build_bytes_vec_compressed().map_or(Verdict::Ignore, Verdict::Answer)
}

fn pointer(name: &str) -> Option<RData<'static>> {
    Some(RData::PTR(PTR(Name::new(name).ok()?.into_owned())))
}

/// The names of an address on the networks of the asker, with the network behind each as Docker has it.
fn named(state: &State, asker: &Member, address: IpAddr) -> Option<Vec<String>> {
    let member = state.member_at(address)?;
    let place = member.endpoints.iter().find(|place| place.addresses().any(|own| own == address))?;
    let network = state.networks.get(&place.network).filter(|network| network.record.has_names())?;
    asker
        .endpoints
        .iter()
        .any(|own| own.network == place.network)
        .then(|| vec![format!("{}.{}", member.name.trim_start_matches('/'), network.record.name)])
}

/// The address of `2.0.18.172.in-addr.arpa` and its IPv6 relative.
fn reversed(name: &str) -> Option<IpAddr> {
    let name = name.to_ascii_lowercase();
    if let Some(parts) = name.strip_suffix(".in-addr.arpa") {
        let parts: Vec<u8> = parts.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let [d, c, b, a] = parts.try_into().ok()?;
        return Some(Ipv4Addr::new(a, b, c, d).into());
    }
    let digits: Vec<u8> = name
        .strip_suffix(".ip6.arpa")?
        .split('.')
        .map(|part| u8::from_str_radix(part, 16).ok().filter(|digit| *digit < 16))
        .collect::<Option<_>>()?;
    let whole =
        (digits.len() == 32).then(|| digits.iter().rev().fold(0_u128, |whole, digit| whole << 4 | u128::from(*digit)));
    whole.map(|bits| Ipv6Addr::from_bits(bits).into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::{IpAddr, Ipv4Addr};

    use bollard_stubs::models::EndpointSettings;
    use simple_dns::rdata::RData;
    use simple_dns::{CLASS, Name, Packet, QCLASS, QTYPE, Question, RCODE, TYPE};

    use super::super::Join;
    use super::super::proxy::behind::{Behind, Health, Kin};
    use super::super::record::Record;
    use super::super::state::{Member, Network, State};
    use super::{Verdict, consider, reversed};

    /// Networks `one` and `two` (internal), with `web`, `db-1` and `db-2` (alias `db`) on `one` and `deep` on `two`.
    fn world() -> State {
        let mut state = State::default();
        let mut subnets = Vec::new();
        for (name, internal) in [("one", false), ("two", true)] {
            let request = bollard_stubs::models::NetworkCreateRequest {
                name: name.into(),
                internal: Some(internal),
                ..Default::default()
            };
            let record = Record::new(request, &subnets, &[]).expect("a network");
            subnets.extend(record.subnet());
            state.networks.insert(record.id.clone(), Network::new(record, 1, None));
        }
        for (name, network, aliases) in
            [("web", "one", vec![]), ("db-1", "one", vec!["db"]), ("db-2", "one", vec!["DB"]), ("deep", "two", vec![])]
        {
            let settings = EndpointSettings {
                aliases: Some(aliases.into_iter().map(str::to_owned).collect()),
                ..EndpointSettings::default()
            };
            let join = Join {
                id: id(name),
                name: name.into(),
                endpoints: HashMap::from([(network.to_owned(), settings)]),
                ..Join::default()
            };
            let endpoints = state.reserve(&join).expect("a place");
            let (id, name) = (join.id.clone(), join.name.clone());
            let member = Member {
                id: id.clone(),
                name: name.clone(),
                hostname: String::new(),
                endpoints,
                ports: HashMap::new(),
                dns: vec![],
                group: None,
                replaces: None,
            };
            state.members.insert(id.clone(), member);
            let kin = Kin { id, ..Kin::default() };
            let behind = Behind { kin, name, address: None, health: Health::Unchecked, has_ports: false };
            state.front.enter(behind, &[], std::time::Instant::now());
        }
        state
    }

    fn id(name: &str) -> String {
        format!("{name}0123456789abcdef")
    }

    fn address(state: &State, name: &str) -> IpAddr {
        let member = state.members.values().find(|member| member.name == name).expect("a container");
        member.endpoints[0].v4.expect("an address").into()
    }

    fn ask(state: &State, asker: &str, name: &str, kind: TYPE, turn: usize) -> Option<(RCODE, Vec<String>)> {
        let mut query = Packet::new_query(7);
        let name = Name::new(name).expect("a name");
        query.questions.push(Question::new(name, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false));
        let bytes = query.build_bytes_vec().expect("a query");
        match consider(state, &bytes, address(state, asker), false, turn) {
            Verdict::Answer(bytes) => {
                let packet = Packet::parse(&bytes).expect("an answer");
                assert_eq!(packet.id(), 7);
                let text = packet.answers.iter().map(|record| match &record.rdata {
                    RData::A(a) => Ipv4Addr::from(a.address).to_string(),
                    RData::PTR(name) => name.0.to_string(),
                    other => format!("{other:?}"),
                });
                Some((packet.rcode(), text.collect()))
            }
            _ => None,
        }
    }

    #[test]
    fn an_alias_of_several_containers_takes_turns() {
        let state = world();
        let both = [address(&state, "db-1").to_string(), address(&state, "db-2").to_string()];
        assert_eq!(ask(&state, "web", "db", TYPE::A, 0), Some((RCODE::NoError, both.to_vec())));
        let turned = vec![both[1].clone(), both[0].clone()];
        assert_eq!(ask(&state, "web", "Db", TYPE::A, 1), Some((RCODE::NoError, turned)));
    }

    #[test]
    fn a_name_means_those_that_are_ready_and_nobody_who_is_being_stopped() {
        let mut state = world();
        let [one, two] = ["db-1", "db-2"].map(|name| address(&state, name).to_string());
        state.front.tell(&id("db-1"), Health::Waiting);
        assert_eq!(ask(&state, "web", "db", TYPE::A, 0), Some((RCODE::NoError, vec![two])));
        state.front.leaving(&id("db-2"), true);
        assert_eq!(ask(&state, "web", "db", TYPE::A, 0), Some((RCODE::NoError, vec![one])));
        state.front.leaving(&id("db-1"), true);
        assert_eq!(ask(&state, "web", "db", TYPE::A, 0), Some((RCODE::NameError, Vec::new())));
    }

    #[test]
    fn a_known_name_without_an_address_of_that_family_has_an_empty_answer() {
        assert_eq!(ask(&world(), "web", "db", TYPE::AAAA, 0), Some((RCODE::NoError, Vec::new())));
    }

    #[test]
    fn names_count_on_shared_networks_only() {
        let state = world();
        assert_eq!(ask(&state, "web", "deep", TYPE::A, 0), None, "asked outside");
        assert_eq!(ask(&state, "deep", "web", TYPE::A, 0), Some((RCODE::NameError, Vec::new())));
        let own = address(&state, "deep").to_string();
        assert_eq!(ask(&state, "deep", "deep012345678", TYPE::A, 0), Some((RCODE::NameError, Vec::new())));
        assert_eq!(ask(&state, "deep", "deep01234567", TYPE::A, 0), Some((RCODE::NoError, vec![own])));
    }

    #[test]
    fn an_address_has_the_name_of_its_container() {
        let state = world();
        let IpAddr::V4(v4) = address(&state, "web") else { unreachable!("containers have IPv4") };
        let [a, b, c, d] = v4.octets();
        let name = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
        assert_eq!(ask(&state, "db-1", &name, TYPE::PTR, 0), Some((RCODE::NoError, vec!["web.one".into()])));
        assert_eq!(ask(&state, "deep", &name, TYPE::PTR, 0), Some((RCODE::NameError, Vec::new())));
        assert_eq!(reversed("1.0.0.0.in-addr.arpa"), Some(IpAddr::from([0, 0, 0, 1])));
        assert_eq!(reversed("1.0.0.in-addr.arpa"), None);
    }

    #[test]
    fn what_is_no_query_is_not_answered() {
        let state = world();
        assert_eq!(consider(&state, b"nonsense", address(&state, "web"), false, 0), Verdict::Ignore);
        let reply = Packet::new_reply(3).build_bytes_vec().expect("a packet");
        assert_eq!(consider(&state, &reply, address(&state, "web"), false, 0), Verdict::Ignore);
    }
}
