//! Subnets: an address and how many of its bits are the network's.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// `172.18.0.0/16`, or an address with its subnet (`172.18.0.1/16`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// `None` when the length is more than the address has bits.
    pub(super) fn new(address: IpAddr, length: u8) -> Option<Self> {
        (length <= width(address)).then_some(Self { address, length })
    }

    /// The address as it was given.
    pub(super) fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits are the network's.
    pub(super) fn length(self) -> u8 {
        self.length
    }

    /// Without the bits that are not the network's.
    pub(super) fn network(self) -> Self {
        Self { address: self.first(), length: self.length }
    }

    /// The lowest address.
    pub(super) fn first(self) -> IpAddr {
        from_bits(bits(self.address) & self.mask(), self.address.is_ipv4())
    }

    /// The highest address (with IPv4: to all of them).
    pub(super) fn last(self) -> IpAddr {
        let own = if self.address.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
        from_bits((bits(self.address) & self.mask()) | (!self.mask() & own), self.address.is_ipv4())
    }

    /// The address so many after the lowest.
    pub(super) fn nth(self, number: u128) -> Option<IpAddr> {
        let found = bits(self.first()).checked_add(number)?;
        (found <= bits(self.last())).then(|| from_bits(found, self.address.is_ipv4()))
    }

    /// Whether an address lies in it.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && bits(address) & self.mask() == bits(self.first())
    }

    /// Whether two have an address in common.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.contains(other.first()) || other.contains(self.first())
    }

    /// The lowest address of this subnet inside `range` that may be a machine's and is not in `used`.
    pub(super) fn free(self, range: Self, used: &BTreeSet<IpAddr>) -> Option<IpAddr> {
        let (first, last) = (bits(range.first()), bits(range.last()));
        (first..=last)
            .map(|each| from_bits(each, self.address.is_ipv4()))
            .find(|each| self.usable(*each) && !used.contains(each))
    }

    /// Whether an address may be a machine's: it lies inside, and is neither the lowest nor (IPv4) the highest.
    pub(super) fn usable(self, address: IpAddr) -> bool {
        let edge = address == self.first() || (address.is_ipv4() && address == self.last());
        let tiny = width(self.address) - self.length <= 1;
        self.contains(address) && (tiny || !edge)
    }

    fn mask(self) -> u128 {
        let rest = u32::from(width(self.address) - self.length);
        let own = if self.address.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
        own & u128::MAX.checked_shl(rest).unwrap_or(0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.length)
    }
}

impl FromStr for Prefix {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = text.split_once('/').ok_or(())?;
        Self::new(address.parse().map_err(drop)?, length.parse().map_err(drop)?).ok_or(())
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn from_bits(bits: u128, v4: bool) -> IpAddr {
    if v4 {
        IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits & u128::from(u32::MAX)).expect("32 bits are kept")))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

/// The subnets from which networks are given theirs when nobody asks for one. First those of a range that is meant for
/// tests of networks (RFC 2544) and that no other engine uses: a Docker beside this engine does not look at routes like
/// ours before it takes one of its own. Then Docker's, in its order.
pub(super) fn defaults() -> impl Iterator<Item = Prefix> {
    let own = (0..=63).map(|quarter| (Ipv4Addr::new(198, 18, quarter * 4, 0), 22));
    let large = (17..=31).map(|second| (Ipv4Addr::new(172, second, 0, 0), 16));
    let small = (0..=15).map(|third| (Ipv4Addr::new(192, 168, third * 16, 0), 20));
    own.chain(large).chain(small).map(|(address, length)| Prefix { address: address.into(), length })
}

/// The hardware address that goes with an address: the same one gets the same, so that neighbours that remember it from
/// another container are not led astray.
pub(super) fn hardware(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// `02:42:ac:12:00:02`.
pub(super) fn hardware_text(address: [u8; 6]) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// Reads one; only those of a single machine.
pub(super) fn parse_hardware(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut bytes {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    (parts.next().is_none() && bytes[0] & 1 == 0 && bytes != [0; 6]).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::IpAddr;

    use super::{Prefix, defaults, hardware, hardware_text, parse_hardware};

    fn prefix(text: &str) -> Prefix {
        text.parse().expect("a subnet")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_subnet_knows_its_ends() {
        assert_eq!(prefix("172.18.3.4/16").first(), ip("172.18.0.0"));
        assert_eq!(prefix("172.18.3.4/16").last(), ip("172.18.255.255"));
        assert_eq!(prefix("0.0.0.0/0").last(), ip("255.255.255.255"));
        assert_eq!(prefix("fd00::/64").last(), ip("fd00::ffff:ffff:ffff:ffff"));
        assert_eq!(prefix("10.0.0.0/30").nth(1), Some(ip("10.0.0.1")));
        assert_eq!(prefix("10.0.0.0/30").nth(4), None);
        assert_eq!("10.0.0.0/33".parse::<Prefix>(), Err(()));
    }

    #[test]
    fn subnets_overlap_when_one_holds_the_other() {
        assert!(prefix("10.0.0.0/8").overlaps(prefix("10.9.0.0/16")));
        assert!(prefix("10.9.0.0/16").overlaps(prefix("10.0.0.0/8")));
        assert!(!prefix("10.8.0.0/16").overlaps(prefix("10.9.0.0/16")));
        assert!(!prefix("::/0").overlaps(prefix("10.9.0.0/16")));
    }

    #[test]
    fn the_lowest_free_address_of_a_machine_is_given() {
        let subnet = prefix("10.0.0.0/29");
        let mut used = BTreeSet::from([ip("10.0.0.1")]);
        for last in 2..=6 {
            let free = subnet.free(subnet, &used).expect("one is free");
            assert_eq!(free, ip(&format!("10.0.0.{last}")));
            used.insert(free);
        }
        assert_eq!(subnet.free(subnet, &used), None);
        assert_eq!(subnet.free(prefix("10.0.0.4/30"), &BTreeSet::new()), Some(ip("10.0.0.4")));
    }

    #[test]
    fn default_subnets_are_of_a_range_of_their_own_and_then_those_of_docker() {
        let all: Vec<String> = defaults().map(|each| each.to_string()).collect();
        let found = [0, 63, 64, 79].map(|at| all[at].as_str());
        assert_eq!(found, ["198.18.0.0/22", "198.18.252.0/22", "172.17.0.0/16", "192.168.0.0/20"]);
        assert_eq!(all.len(), 64 + 31);
    }

    #[test]
    fn a_hardware_address_follows_from_the_address() {
        let address = hardware([172, 18, 0, 2].into());
        assert_eq!(hardware_text(address), "02:42:ac:12:00:02");
        assert_eq!(parse_hardware("02:42:ac:12:00:02"), Some(address));
        assert_eq!(parse_hardware("01:00:5e:00:00:01"), None);
        assert_eq!(parse_hardware("02:42"), None);
    }
}
