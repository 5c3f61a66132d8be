//! Which IP addresses may be dialled: none that a private network, this machine, a cloud's metadata
//! service or any other special purpose has. Pure; the names' addresses are looked up elsewhere.

mod allow;
#[cfg(test)]
mod tests;

pub use allow::{Allow, AllowEntry, Network};

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What [`special`] calls the machine that postrider runs on.
const THIS_MACHINE: &str = "this machine";

/// What a refused address belongs to. Everything but this is public: the special-purpose registry
/// of IANA for IPv4, and what clouds use of the public space for themselves.
const SPECIAL_V4: &[(Ipv4Addr, u8, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, THIS_MACHINE),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private network"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a carrier's shared network"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, THIS_MACHINE),
    // Of Azure: reachable from every machine there, and public by its looks.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "a cloud's metadata service"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "a link-local network"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private network"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "a special-purpose network"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "a documentation network"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "a special-purpose network"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "a special-purpose network"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay into IPv6"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private network"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "a special-purpose network"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "a benchmarking network"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "a documentation network"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "a documentation network"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "a multicast group"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "a reserved network"),
];

/// The only public part of IPv6; translators, private, link-local and multicast networks lie
/// outside.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// What is special inside it.
const SPECIAL_V6: &[(Ipv6Addr, u8, &str)] = &[
    // Teredo, benchmarking, AMT, AS112, ORCHID and drones among them.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "a special-purpose network"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "a documentation network"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "a tunnel into IPv4"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "a special-purpose network"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "a documentation network"),
];

/// Whether an address is one of the machine that postrider runs on.
pub fn is_this_machine(address: IpAddr) -> bool {
    special(address) == Some(THIS_MACHINE)
}

/// What a special-purpose address belongs to, in words; `None` for a public one. An IPv4 address
/// inside an IPv6 one (`::ffff:127.0.0.1`) is judged as what it is.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let bits = address.to_bits().into();
            let found = SPECIAL_V4
                .iter()
                .find(|(network, length, _)| same(network.to_bits().into(), bits, 32, *length));
            found.map(|(_, _, what)| *what)
        }
        IpAddr::V6(address) if address.is_loopback() || address.is_unspecified() => {
            Some(THIS_MACHINE)
        }
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            let (public, length) = PUBLIC_V6;
            if !same(public.to_bits(), bits, 128, length) {
                return Some("no public network");
            }
            let found = SPECIAL_V6
                .iter()
                .find(|(network, length, _)| same(network.to_bits(), bits, 128, *length));
            found.map(|(_, _, what)| *what)
        }
    }
}

/// Whether two addresses of this width have the first `length` bits in common.
fn same(one: u128, other: u128, width: u8, length: u8) -> bool {
    (one ^ other).checked_shr(u32::from(width - length.min(width))).unwrap_or(0) == 0
}

/// Keeps an export from dialling anything but public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Guard {
    /// What it may dial all the same.
    pub allow: Allow,
}

/// A host that may not be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Blocked {
    /// The host, as the URL names it.
    pub host: String,
    /// What it leads to, in words. Not the address itself: whoever chose the name of a host must
    /// not learn from a message what it means inside this network.
    pub what: &'static str,
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` leads to {}, and `block_private_networks` is on", self.host, self.what)
    }
}

impl Guard {
    /// Whether this host may be dialled whatever its addresses are.
    pub fn trusts(&self, host: &url::Host<String>, port: u16) -> bool {
        self.allow.host(host, port)
    }

    /// Decides on a host with all its addresses: one that is refused refuses them all.
    ///
    /// # Errors
    /// When one of the addresses is special and not allowed.
    pub fn check(&self, host: &url::Host<String>, addresses: &[SocketAddr]) -> Result<(), Blocked> {
        let refused = addresses.iter().filter(|address| {
            !self.allow.address(address.ip())
                && !self.trusts(host, address.port())
                && !self.trusts(&as_host(address.ip()), address.port())
        });
        match refused.filter_map(|address| special(address.ip())).next() {
            Some(what) => Err(Blocked { host: host.to_string(), what }),
            None => Ok(()),
        }
    }
}

fn as_host(address: IpAddr) -> url::Host<String> {
    match address.to_canonical() {
        IpAddr::V4(address) => url::Host::Ipv4(address),
        IpAddr::V6(address) => url::Host::Ipv6(address),
    }
}
