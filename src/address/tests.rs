//! Each special range with the addresses just inside and just outside, and every way to write an
//! exception.

use super::*;
use proptest::prelude::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

/// First and last address of each special range of IPv4, as the registries list them.
const V4: &[(&str, &str)] = &[
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("168.63.129.16", "168.63.129.16"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.0.0", "192.0.0.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.31.196.0", "192.31.196.255"),
    ("192.52.193.0", "192.52.193.255"),
    ("192.88.99.0", "192.88.99.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("192.175.48.0", "192.175.48.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("224.0.0.0", "255.255.255.255"),
];

/// The same of IPv6; what lies between two of them is public.
const V6: &[(&str, &str)] = &[
    ("::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"),
    ("3fff::", "3fff:0fff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
];

#[test]
fn ranges_begin_and_end_where_the_registries_say() {
    for (first, last) in V4.iter().chain(V6) {
        let (first, last) = (ip(first), ip(last));
        for inside in [first, last] {
            assert!(special(inside).is_some(), "{inside}");
        }
        let (before, after) = match (first, last) {
            (IpAddr::V4(first), IpAddr::V4(last)) => (
                first.to_bits().checked_sub(1).map(|bits| IpAddr::V4(bits.into())),
                last.to_bits().checked_add(1).map(|bits| IpAddr::V4(bits.into())),
            ),
            (IpAddr::V6(first), IpAddr::V6(last)) => (
                first.to_bits().checked_sub(1).map(|bits| IpAddr::V6(bits.into())),
                last.to_bits().checked_add(1).map(|bits| IpAddr::V6(bits.into())),
            ),
            _ => panic!("{first} and {last}"),
        };
        for outside in [before, after].into_iter().flatten() {
            assert_eq!(special(outside), None, "{outside}");
        }
    }
}

#[test]
fn addresses_that_others_let_pass_are_refused() {
    for (text, what) in [
        ("127.0.0.1", "this machine"),
        ("0.0.0.0", "this machine"),
        ("::1", "this machine"),
        ("::", "this machine"),
        ("169.254.169.254", "a link-local network"),
        ("100.100.100.200", "a carrier's shared network"),
        ("168.63.129.16", "a cloud's metadata service"),
        ("192.0.0.192", "a special-purpose network"),
        ("255.255.255.255", "a reserved network"),
        ("fd00:ec2::254", "no public network"),
        ("fd20:ce::254", "no public network"),
        ("fe80::1", "no public network"),
        ("fec0::1", "no public network"),
        ("ff02::1", "no public network"),
        ("100::1", "no public network"),
        ("5f00::1", "no public network"),
        ("1::1", "no public network"),
        ("4000::1", "no public network"),
        // Spellings of IPv4 inside IPv6.
        ("::ffff:127.0.0.1", "this machine"),
        ("::ffff:169.254.169.254", "a link-local network"),
        ("::ffff:168.63.129.16", "a cloud's metadata service"),
        ("::127.0.0.1", "no public network"),
        ("::ffff:0:127.0.0.1", "no public network"),
        ("64:ff9b::127.0.0.1", "no public network"),
        ("64:ff9b::8.8.8.8", "no public network"),
        ("64:ff9b:1::a9fe:a9fe", "no public network"),
        ("2002:7f00:1::", "a tunnel into IPv4"),
        ("2001:0:7f00:1::", "a special-purpose network"),
        ("2001:2::1", "a special-purpose network"),
        ("2001:10::1", "a special-purpose network"),
        ("2001:20::1", "a special-purpose network"),
        ("2001:4:112::1", "a special-purpose network"),
    ] {
        assert_eq!(special(ip(text)), Some(what), "{text}");
    }
}

#[test]
fn public_addresses_are_public() {
    for text in [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.216.34",
        "172.15.0.1",
        "172.32.0.1",
        "168.63.129.15",
        "223.255.255.255",
        "::ffff:8.8.8.8",
        "2000::1",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2606:4700::1111",
        "2a00:1450::1",
        "3fff:1000::1",
    ] {
        assert_eq!(special(ip(text)), None, "{text}");
    }
}

fn allow(entries: &[&str]) -> Guard {
    Guard { allow: Allow(entries.iter().map(|entry| entry.parse().unwrap()).collect()) }
}

fn host(text: &str) -> url::Host<String> {
    url::Host::parse(text).unwrap()
}

#[test]
fn exceptions_are_heeded() {
    for (entries, name, address, passes) in [
        (&[][..], "h.example", "8.8.8.8:443", true),
        (&[], "h.example", "10.0.0.1:443", false),
        (&["10.0.0.0/8"], "h.example", "10.0.0.1:443", true),
        (&["10.0.0.0/8"], "h.example", "11.0.0.1:443", true),
        (&["10.0.0.0/8"], "h.example", "192.168.0.1:443", false),
        (&["10.0.0.0/8"], "h.example", "[::ffff:10.0.0.1]:443", true),
        (&["::ffff:10.0.0.0/104"], "h.example", "10.0.0.1:443", true),
        (&["10.0.0.1"], "h.example", "10.0.0.1:443", true),
        (&["10.0.0.1"], "h.example", "10.0.0.2:443", false),
        (&["0.0.0.0/0"], "h.example", "127.0.0.1:1", true),
        (&["0.0.0.0/0"], "h.example", "[::1]:1", false),
        (&["::/0"], "h.example", "[::1]:1", true),
        (&["::/0"], "h.example", "127.0.0.1:1", false),
        (&["fd00::/8"], "h.example", "[fd12::1]:1", true),
        (&["fd00::/8"], "h.example", "[fe80::1]:1", false),
        (&["h.example:443"], "h.example", "10.0.0.1:443", true),
        (&["H.Example:443"], "h.example", "10.0.0.1:443", true),
        (&["h.example:443"], "h.example.", "10.0.0.1:443", true),
        (&["h.example:443"], "h.example", "10.0.0.1:444", false),
        (&["h.example:443"], "i.example", "10.0.0.1:443", false),
        (&["h.example:443"], "x.h.example", "10.0.0.1:443", false),
        (&["10.0.0.1:443"], "h.example", "10.0.0.1:443", true),
        (&["10.0.0.1:443"], "h.example", "10.0.0.1:80", false),
        (&["[::1]:443"], "[::1]", "[::1]:443", true),
        (&["127.0.0.1:443"], "[::ffff:127.0.0.1]", "[::ffff:127.0.0.1]:443", true),
        (&["2130706433:443"], "127.1", "127.0.0.1:443", true),
    ] {
        let address: SocketAddr = address.parse().unwrap();
        let checked = allow(entries).check(&host(name), &[address]);
        assert_eq!(checked.is_ok(), passes, "{entries:?} {name} {address}");
    }
}

#[test]
fn one_refused_address_refuses_its_host() {
    let addresses = ["8.8.8.8:443", "10.0.0.1:443", "[2606:4700::1]:443"];
    let addresses = addresses.map(|address| address.parse().unwrap());
    let blocked = allow(&[]).check(&host("h.example"), &addresses).unwrap_err();
    assert_eq!(
        blocked.to_string(),
        "`h.example` leads to a private network, and `block_private_networks` is on"
    );
    assert_eq!(allow(&["10.0.0.0/24"]).check(&host("h.example"), &addresses), Ok(()));
}

#[test]
fn entries_that_are_none_say_how_to_write_them() {
    for (text, message) in [
        ("", "it names no port"),
        ("h.example", "it names no port"),
        ("h.example:0", "the port is no number from 1 to 65535"),
        ("h.example:https", "the port is no number from 1 to 65535"),
        ("h.example:99999", "the port is no number from 1 to 65535"),
        ("*.example:443", "a host's name has no wildcards here"),
        ("a b:443", "it is neither a network nor a host"),
        (":443", "it is neither a network nor a host"),
        ("10.0.0.0/33", "no network has a prefix of this length"),
        ("10.0.0.0/x", "no network has a prefix of this length"),
        ("::/129", "no network has a prefix of this length"),
        ("10.0.0/8", "the address before `/` is none"),
        ("https://h.example:443", "the address before `/` is none"),
        ("10.0.0.1/8", "the address has bits beyond the prefix"),
        ("2001:db8::1/32", "the address has bits beyond the prefix"),
    ] {
        let error = text.parse::<AllowEntry>().expect_err(text);
        assert_eq!(error.message, message, "{text}");
        assert!(!error.fix.is_empty(), "{text}");
    }
}

proptest! {
    /// Every address is either in a listed range or public, and a v4 one is judged alike inside v6.
    #[test]
    fn nothing_else_is_special(bits: u32) {
        let address = Ipv4Addr::from(bits);
        let listed = V4.iter().any(|(first, last)| {
            ip(first) <= IpAddr::V4(address) && IpAddr::V4(address) <= ip(last)
        });
        prop_assert_eq!(special(address.into()).is_some(), listed, "{}", address);
        prop_assert_eq!(special(address.into()), special(address.to_ipv6_mapped().into()));
    }

    /// A network of any length holds exactly the addresses that begin like it.
    #[test]
    fn networks_hold_what_begins_alike(bits: u32, other: u32, length in 0u8..=32) {
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        let network: AllowEntry = format!("{}/{length}", Ipv4Addr::from(bits & mask)).parse().unwrap();
        let allow = Allow(vec![network]);
        prop_assert!(allow.address(Ipv4Addr::from(bits).into()));
        let alike = bits & mask == other & mask;
        prop_assert_eq!(allow.address(Ipv4Addr::from(other).into()), alike);
    }
}
