//! What may be dialled all the same: networks, and single hosts with their port.

use super::{as_host, same};
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A list of exceptions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow(pub Vec<AllowEntry>);

/// One exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowEntry {
    /// Every address of a network.
    Network(Network),
    /// A host as a URL names it, at one port, whatever its addresses are.
    Host(url::Host<String>, u16),
}

/// The addresses that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its first address.
    address: IpAddr,
    /// How many bits of it count.
    length: u8,
}

impl Allow {
    /// Whether an address lies in one of the networks.
    pub fn address(&self, address: IpAddr) -> bool {
        self.0.iter().any(|entry| match entry {
            AllowEntry::Network(network) => network.contains(address),
            AllowEntry::Host(..) => false,
        })
    }

    /// Whether a host with its port is named.
    pub fn host(&self, host: &url::Host<String>, port: u16) -> bool {
        let host = canonical(host.clone());
        self.0.iter().any(|entry| match entry {
            AllowEntry::Host(allowed, at) => *allowed == host && *at == port,
            AllowEntry::Network(_) => false,
        })
    }
}

impl Network {
    /// Whether an address lies in it; an IPv4 address inside an IPv6 one counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                same(network.to_bits().into(), address.to_bits().into(), 32, self.length)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                same(network.to_bits(), address.to_bits(), 128, self.length)
            }
            _ => false,
        }
    }
}

/// Why an entry is none, and how to write it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadEntry {
    /// What is wrong.
    pub message: &'static str,
    /// What to write.
    pub fix: String,
}

const FORMS: &str = "write a network such as `10.1.0.0/16`, or a host with its port such as \
                     `hooks.internal:8443`";

impl FromStr for AllowEntry {
    type Err = BadEntry;

    fn from_str(text: &str) -> Result<Self, BadEntry> {
        let bad = |message, fix: &str| BadEntry { message, fix: fix.to_owned() };
        let text = text.trim();
        if let Some((address, length)) = text.split_once('/') {
            return network(address, length).map(AllowEntry::Network);
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            let length = if address.is_ipv4() { "32" } else { "128" };
            return network(text, length).map(AllowEntry::Network);
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return Err(bad("it names no port", FORMS));
        };
        let Some(port) = port.parse().ok().filter(|port| *port != 0) else {
            return Err(bad("the port is no number from 1 to 65535", FORMS));
        };
        match url::Host::parse(host) {
            // As names are resolved, the dot at the end says nothing here.
            Ok(url::Host::Domain(name)) if name.contains(['*', '%']) => {
                Err(bad("a host's name has no wildcards here", "name each host"))
            }
            Ok(host) => Ok(AllowEntry::Host(canonical(host), port)),
            Err(_) => Err(bad("it is neither a network nor a host", FORMS)),
        }
    }
}

fn network(address: &str, length: &str) -> Result<Network, BadEntry> {
    let bad = |message, fix: String| BadEntry { message, fix };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err(bad("the address before `/` is none", FORMS.to_owned()));
    };
    let width = if address.is_ipv4() { 32 } else { 128 };
    let Some(length) = length.parse::<u8>().ok().filter(|length| *length <= width) else {
        let fix = format!("write `{address}/{width}` for this address alone");
        return Err(bad("no network has a prefix of this length", fix));
    };
    let (address, length) = match (address, address.to_canonical()) {
        (IpAddr::V6(_), IpAddr::V4(inner)) if length >= 96 => (IpAddr::V4(inner), length - 96),
        (address, _) => (address, length),
    };
    let first = first(address, length);
    if first != address {
        return Err(bad(
            "the address has bits beyond the prefix",
            format!("write `{first}/{length}`, or `{address}/{width}` for this address alone"),
        ));
    }
    Ok(Network { address, length })
}

/// The first address of the network that an address lies in.
fn first(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
    }
}

/// A host as it is compared: an IPv4 address inside an IPv6 one as what it is, a name without the
/// dot at its end.
fn canonical(host: url::Host<String>) -> url::Host<String> {
    match host {
        url::Host::Ipv6(address) => as_host(address.into()),
        url::Host::Domain(mut name) => {
            if name.ends_with('.') {
                name.pop();
            }
            url::Host::Domain(name)
        }
        host => host,
    }
}
