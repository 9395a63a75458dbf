//! Rules of nftables: in the hub, which network may speak with whom; on the machine, one table of the engine's own for the
//! way out, and where a Docker guards the machine's forwarding, two rules in the chain that it leaves to others.

use std::io;
use std::path::Path;

use nlink::netlink::nftables::{
    BaseChain, Chain, CtState, Family, FilterHook, NatHook, Policy, Priority, RawMessage, Rule, Transaction,
};
use nlink::netlink::{Connection, Error, Nftables};

use super::hub::{OPEN_BRIDGE, UPLINK};

/// The table in the hub.
const HUB_TABLE: &str = "hoist";
/// The table and the chain in which Docker lets others have a say.
const FILTER: &str = "filter";
const DOCKER_USER: &str = "DOCKER-USER";

/// Sets up the hub's rules. Without them the hub must not forward at all.
pub(super) async fn guard_hub(hub: &Path) -> Result<(), Error> {
    let netfilter = Connection::<Nftables>::new_in(hub)?;
    let rule = || Rule::new(HUB_TABLE, "forward").family(Family::Inet);
    let forward = BaseChain::filter(FilterHook::Forward, Priority::Filter).policy(Policy::Drop);
    let table = renewed(&netfilter, HUB_TABLE, Family::Inet)
        .await?
        .add_chain(Chain::new(HUB_TABLE, "forward")?.family(Family::Inet).base(forward))
        .add_rule(rule().match_ct_state(CtState::ESTABLISHED | CtState::RELATED).accept())
        // The machine reaches every container.
        .add_rule(rule().match_iif(UPLINK).accept())
        // Containers get out where their network may.
        .add_rule(rule().match_iif_prefix(OPEN_BRIDGE).match_oif(UPLINK).accept());
    table.commit(&netfilter).await
}

/// Sets up the machine's table: what comes from the hub and leaves elsewhere does so under the machine's address, and
/// nothing but answers and what the machine itself sends gets in.
pub(super) async fn guard_machine(uplink: &str) -> Result<(), Error> {
    let netfilter = Connection::<Nftables>::new()?;
    let table = table_name(uplink);
    let rule = |chain: &str| Rule::new(&table, chain).family(Family::Ip);
    let out = BaseChain::nat(NatHook::Postrouting, Priority::SrcNat);
    let forward = BaseChain::filter(FilterHook::Forward, Priority::Filter).policy(Policy::Accept);
    let made = renewed(&netfilter, &table, Family::Ip)
        .await?
        .add_chain(Chain::new(table.as_str(), "out")?.family(Family::Ip).base(out))
        .add_rule(rule("out").match_iif(uplink).match_oif_not(uplink).masquerade())
        .add_chain(Chain::new(table.as_str(), "forward")?.family(Family::Ip).base(forward))
        .add_rule(rule("forward").match_oif(uplink).match_ct_state(CtState::ESTABLISHED | CtState::RELATED).accept())
        .add_rule(rule("forward").match_oif(uplink).drop());
    made.commit(&netfilter).await?;
    admit(&netfilter, uplink).await
}

/// Takes everything of the engine's away from the machine again.
pub(super) async fn leave_machine(uplink: &str) -> Result<(), Error> {
    let netfilter = Connection::<Nftables>::new()?;
    dismiss(&netfilter, uplink).await?;
    match netfilter.del_table(table_name(uplink).as_str(), Family::Ip).await {
        Err(error) if error.is_not_found() => Ok(()),
        outcome => outcome,
    }
}

/// What stands in the way of traffic from containers that this engine may not change; in words for a person.
pub(super) async fn obstacles() -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(netfilter) = Connection::<Nftables>::new()
        && let Ok(chains) = netfilter.list_chains().await
    {
        const FORWARD: u32 = 2;
        const DROP: u32 = 0;
        let closed = chains.iter().filter(|chain| {
            let family = matches!(chain.family, Family::Ip | Family::Inet);
            family && chain.hook == Some(FORWARD) && chain.policy == Some(DROP)
        });
        let admitted = chains.iter().any(|chain| chain.table == FILTER && chain.name == DOCKER_USER);
        found.extend(closed.filter(|chain| !(admitted && chain.table == FILTER)).map(|chain| {
            format!(
                "the firewall of this machine drops what it is to forward (nftables table {}, chain {}): containers may not \
                 reach other machines until it lets them",
                chain.table, chain.name
            )
        }));
    }
    let legacy = std::fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    if legacy.lines().any(|table| table == FILTER) {
        found.push(
            "this machine has rules of legacy iptables, which the engine leaves alone: if they drop what is to be \
             forwarded, containers do not reach other machines"
                .into(),
        );
    }
    found
}

fn table_name(uplink: &str) -> String {
    uplink.replacen("hoist", "hoist_", 1)
}

/// A transaction that begins with an empty table, whatever was there before.
async fn renewed(netfilter: &Connection<Nftables>, table: &str, family: Family) -> Result<Transaction, Error> {
    let tables = netfilter.list_tables().await?;
    let there = tables.iter().any(|each| each.name == table && each.family == family);
    let begun = netfilter.transaction();
    let begun = if there { begun.del_table(table, family) } else { begun };
    Ok(begun.add_table(table, family))
}

/// Lets traffic of the uplink pass where a Docker on the machine would drop it.
async fn admit(netfilter: &Connection<Nftables>, uplink: &str) -> Result<(), Error> {
    dismiss(netfilter, uplink).await?;
    let chains = netfilter.list_chains().await?;
    let guarded = |family: Family| {
        chains.iter().any(|chain| chain.family == family && chain.table == FILTER && chain.name == DOCKER_USER)
    };
    if !guarded(Family::Ip) {
        return Ok(());
    }
    // At the head: the last rule there sends everything back.
    let rules = [Direction::In, Direction::Out]
        .map(|way| RawMessage::new(NEW_RULE, Family::Ip).flags(REQUEST | CREATE).attrs(accepting(uplink, way)));
    let transaction = rules.into_iter().fold(netfilter.transaction(), Transaction::raw);
    transaction.commit(netfilter).await
}

/// Removes the rules that let it pass.
async fn dismiss(netfilter: &Connection<Nftables>, uplink: &str) -> Result<(), Error> {
    let rules = match netfilter.list_rules(FILTER, Family::Ip).await {
        Ok(rules) => rules,
        Err(error) if error.is_not_found() => return Ok(()),
        Err(error) => return Err(error),
    };
    let ours = rules.iter().filter(|rule| rule.chain == DOCKER_USER && rule.comment_text.as_deref() == Some(uplink));
    for rule in ours {
        netfilter.del_rule(FILTER, DOCKER_USER, Family::Ip, rule.handle).await?;
    }
    Ok(())
}

const NEW_RULE: u8 = 6;
const REQUEST: u16 = 0x1;
const CREATE: u16 = 0x400;

/// Whether a packet comes from the uplink or goes there.
#[derive(Debug, Clone, Copy)]
enum Direction {
    In,
    Out,
}

/// The attributes of a rule for the head of `DOCKER-USER` that accepts what passes an interface. The library appends rules
/// only, so this one is put together by hand.
fn accepting(interface: &str, way: Direction) -> Vec<u8> {
    const REGISTER: u32 = 1;
    let key: u32 = match way {
        Direction::In => 6,
        Direction::Out => 7,
    };
    let mut name = interface.as_bytes().to_vec();
    name.resize(16, 0);
    let number = |kind: u16, value: u32| attribute(kind, &value.to_be_bytes());
    let expression = |name: &str, data: &[Vec<u8>]| {
        let parts = [attribute(1, &terminated(name)), nested(2, data)];
        nested(1, &parts)
    };
    let load = expression("meta", &[number(2, key), number(1, REGISTER)]);
    let compare = expression("cmp", &[number(1, REGISTER), number(2, 0), nested(3, &[attribute(1, &name)])]);
    let accept = expression("immediate", &[number(1, 0), nested(2, &[nested(2, &[number(1, 1)])])]);
    // The comment by which it is found again.
    let text = terminated(interface);
    let mut comment = vec![0, u8::try_from(text.len()).unwrap_or(u8::MAX)];
    comment.extend(text);
    [
        attribute(1, &terminated(FILTER)),
        attribute(2, &terminated(DOCKER_USER)),
        nested(4, &[load, compare, accept]),
        attribute(7, &comment),
    ]
    .concat()
}

fn terminated(text: &str) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).expect("an attribute is small");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().div_ceil(4) * 4, 0);
    bytes
}

fn nested(kind: u16, parts: &[Vec<u8>]) -> Vec<u8> {
    const NESTED: u16 = 0x8000;
    attribute(kind | NESTED, &parts.concat())
}

/// Has the machine forward, when it does not yet. Whether it had to be switched on.
pub(super) fn forward_on_machine() -> io::Result<bool> {
    const SWITCH: &str = "/proc/sys/net/ipv4/ip_forward";
    if std::fs::read_to_string(SWITCH)?.trim() == "1" {
        return Ok(false);
    }
    std::fs::write(SWITCH, "1")?;
    Ok(true)
}

/// Has the hub forward; to be called on a thread that is in it.
pub(super) fn forward_in_hub() -> io::Result<()> {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")
}
