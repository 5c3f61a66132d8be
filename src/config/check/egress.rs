//! Checks of a webhook's way out: whether it is encrypted, what it may dial, its proxy.

use super::is_loopback;
use crate::address::{Allow, AllowEntry, Guard};
use crate::config::keys::WebhookKeys;
use crate::config::report::At;
use crate::config::{Credentials, Proxy, WebhookUrl};
use percent_encoding::percent_decode_str;
use std::net::{IpAddr, SocketAddr};
use url::Url;

/// A URL should be https, or must be.
pub(super) fn encrypted(url: &WebhookUrl, required: bool, at: &At<'_>) {
    if url.https {
        return;
    }
    let message = format!("{} is not encrypted: events and secrets can be read", url.masked());
    if required {
        at.problem(message, "use https, or leave out `require_https`");
    } else if !is_loopback(&url.host) {
        at.warning(message, "use https");
    }
}

/// What may be dialled.
pub(super) fn guard(keys: &WebhookKeys, url: Option<&WebhookUrl>, at: &At<'_>) -> Option<Guard> {
    let allow = allow(&keys.allow, &at.key("allow"));
    if !keys.block_private_networks {
        if !keys.allow.is_empty() {
            at.key("allow").warning(
                "everything may be dialled: these are exceptions from `block_private_networks`",
                "add `block_private_networks: true`",
            );
        }
        return None;
    }
    let guard = Guard { allow };
    let address = url.and_then(|url| Some((url, literal(url)?)));
    if let Some((url, address)) = address
        && let Err(blocked) = guard.check(&url.host, &[address])
    {
        at.key("url").problem(blocked.to_string(), "use a public host, or add it to `allow`");
    }
    Some(guard)
}

/// The address that a URL names itself.
fn literal(url: &WebhookUrl) -> Option<SocketAddr> {
    let address: IpAddr = match url.host {
        url::Host::Ipv4(address) => address.into(),
        url::Host::Ipv6(address) => address.into(),
        url::Host::Domain(_) => return None,
    };
    Some((address, url.port).into())
}

fn allow(entries: &[String], at: &At<'_>) -> Allow {
    let read = |(index, text): (usize, &String)| {
        let at = at.index(index);
        match text.parse::<AllowEntry>() {
            Ok(entry) => Some(entry),
            Err(error) => {
                at.problem(format!("`{}`: {error}", at.visible(text)), error.fix);
                None
            }
        }
    };
    Allow(entries.iter().enumerate().filter_map(read).collect())
}

/// Reads a proxy. What is wrong is said without its text: that may hold a password.
pub(super) fn proxy(text: Option<&str>, at: &At<'_>) -> Option<Proxy> {
    const FIX: &str = "write `http://proxy.internal:3128`";
    let text = text.filter(|_| !at.is_unknown())?;
    let url = match Url::parse(text.trim()) {
        Ok(url) => url,
        Err(error) => {
            at.problem(format!("not a URL: {error}"), FIX);
            return None;
        }
    };
    if url.scheme() != "http" {
        at.problem(
            "a proxy is reached by `http`; what goes through it is encrypted all the same",
            FIX,
        );
        return None;
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        at.problem("a proxy has no path", FIX);
        return None;
    }
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned());
    let credentials = match (decoded(url.username()), decoded(url.password().unwrap_or_default())) {
        (Ok(user), Ok(password)) if user.is_empty() && password.is_empty() => None,
        (Ok(user), Ok(_)) if user.contains(':') => {
            at.problem("a user name cannot hold `:`", "write the proxy's user name as it is");
            return None;
        }
        (Ok(user), Ok(password)) => Some(Credentials::new(user, password)),
        _ => {
            at.problem("user name and password are not UTF-8", "write `%25` for `%`");
            return None;
        }
    };
    let host = url.host().map(|host| host.to_owned()).filter(|_| url.port() != Some(0));
    let Some(host) = host else {
        at.problem("a proxy needs a host, and its port is not 0", FIX);
        return None;
    };
    Some(Proxy { host, port: url.port_or_known_default().unwrap_or(80), credentials })
}
