//! From what users write to what the program works from: every value parsed, every rule that
//! concerns more than one key. All problems are collected; a config made beside problems is
//! thrown away by `load`.

mod authentication;
mod batch;
mod egress;
mod export;
mod filter;
mod platform;
mod platform_url;
mod queue;
mod redact;
mod schema;
mod source;
mod template;
mod tls;
mod webhook;

use super::keys::{
    AdminKeys, AdminSetting, ConfigKeys, DlqFullKey, DlqKeys, LevelKey, LogFormatKey, RoleKey,
};
use super::problem::Problem;
use super::report::{At, Report};
use super::tree::{Origin, Position};
use super::{Admin, AdminToken, Config, Dlq, Log, LogFormat, LogLevel, Role, Secret, Source};
use crate::address;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

/// Where the admin listener listens unless told otherwise.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9077);

/// How long stopping may take unless told otherwise.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// The system's bound for the path of a socket: `sun_path` without the NUL at its end.
const MAX_SOCKET_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Checks the whole configuration.
pub(super) fn config(keys: &ConfigKeys, report: &Report<'_>) -> Config {
    let top = report.top();
    let data_dir = top.key("data_dir");
    let directory = keys.data_dir.as_deref().unwrap_or_default();
    if directory.is_empty() {
        data_dir.problem("it is empty", "name a directory, such as ./postrider-data");
    }
    let path = data_dir.resolve(directory);
    let length = super::control_socket(&path).as_os_str().len();
    if length > MAX_SOCKET_PATH {
        data_dir.problem(
            format!(
                "`control.sock` in it has a path of {length} bytes, and that of a socket has at \
                 most {MAX_SOCKET_PATH}"
            ),
            "name a directory with a shorter path",
        );
    }
    let sources = source::sources(keys.sources.as_deref(), &path, &top.key("sources"));
    let exports = export::exports(keys, &sources, &top.key("exports"));
    Config {
        data_dir: path,
        log: log(keys),
        shutdown_grace: keys.shutdown_grace.map_or(SHUTDOWN_GRACE, |grace| grace.0),
        admin: match &keys.admin {
            AdminSetting::Off => None,
            AdminSetting::On(keys) => admin(keys, &top.key("admin")),
        },
        sources,
        exports,
        off: export::off(keys),
        dlq: dlq(&keys.dlq, &top.key("dlq")),
    }
}

/// Warns of what in the environment will not be heeded.
pub(super) fn environment(environment: &BTreeMap<String, String>, report: &Report<'_>) {
    for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        if environment.get(name).is_some_and(|value| !value.is_empty()) {
            let origin = Origin::outside(name, report.working_dir);
            let message = "proxies of the environment are ignored";
            let fix = Some("name one in `webhook.proxy`, or unset it to silence this".to_owned());
            let warning = Problem::new(&origin, Position::default(), "", message, fix);
            report.warnings.borrow_mut().push(warning);
        }
    }
}

fn dlq(keys: &DlqKeys, at: &At<'_>) -> Dlq {
    if keys.max_bytes.0 == 0 {
        at.key("max_bytes").problem("no dead letter is that short", "write a size such as `1GB`");
    }
    if keys.max_age.0.is_some_and(|age| age.is_zero()) {
        at.key("max_age").problem("it is no time at all", "write `30d`, or `none`");
    }
    Dlq {
        max_bytes: keys.max_bytes.0 as u64,
        max_age: keys.max_age.0,
        drop_oldest: matches!(keys.when_full, DlqFullKey::DropOldest),
        emit_events: keys.emit_events,
    }
}

fn log(keys: &ConfigKeys) -> Log {
    Log {
        level: match keys.log.level {
            LevelKey::Error => LogLevel::Error,
            LevelKey::Warn => LogLevel::Warn,
            LevelKey::Info => LogLevel::Info,
            LevelKey::Debug => LogLevel::Debug,
            LevelKey::Trace => LogLevel::Trace,
        },
        format: match keys.log.format {
            LogFormatKey::Text => LogFormat::Text,
            LogFormatKey::Json => LogFormat::Json,
        },
    }
}

fn admin(keys: &AdminKeys, at: &At<'_>) -> Option<Admin> {
    let listen = at.key("listen");
    let address = match &keys.listen {
        None => ADMIN,
        Some(text) => socket_address(text, &listen)?,
    };
    if !address.ip().is_loopback() && keys.tokens.is_empty() {
        listen.problem(
            "beyond loopback the admin listener needs a token",
            "add one under `admin.tokens`, or listen on 127.0.0.1",
        );
    }
    let tokens = at.key("tokens");
    check_names(keys.tokens.iter().map(|token| Some(token.name.as_str())), &tokens);
    let token = |(index, keys): (usize, &super::keys::TokenKeys)| {
        if keys.token.is_empty() {
            tokens.index(index).key("token").problem("it is empty", "write a long random text");
        }
        AdminToken {
            name: keys.name.clone(),
            token: Secret::new(keys.token.clone()),
            role: match keys.role {
                RoleKey::Read => Role::Read,
                RoleKey::Manage => Role::Manage,
            },
        }
    };
    Some(Admin {
        listen: address,
        configured: listen.is_present(),
        hosts: keys.hosts.clone(),
        tokens: keys.tokens.iter().enumerate().map(token).collect(),
        metrics_open: keys.metrics_open,
    })
}

/// Reads an address and a port.
fn socket_address(text: &str, at: &At<'_>) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let fix = match text.rsplit_once(':') {
        Some(("localhost", port)) => format!("write `127.0.0.1:{port}`"),
        Some(("", port)) => format!("write `127.0.0.1:{port}`, or `0.0.0.0:{port}` for all"),
        _ => "write an IP address and a port, such as `127.0.0.1:9514` or `[::1]:9514`".into(),
    };
    let fix = if at.visible(text) == text { fix } else { String::new() };
    at.problem(format!("`{}` is not an address with a port", at.visible(text)), fix);
    None
}

/// Names are labels of metrics, steps of `--set` and words on command lines.
const MAX_NAME: usize = 128;

/// Checks the names of a list: whole, and each there once.
fn check_names<'a>(names: impl Iterator<Item = Option<&'a str>>, list: &At<'_>) {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        let Some(name) = name else { continue };
        let at = list.index(index).key("name");
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() {
            at.problem("it is empty", "give it a name");
        } else if name.len() > MAX_NAME || !name.chars().all(plain) {
            at.problem(
                format!("`{}` is not a name", at.visible(name)),
                "use up to 128 letters, digits, `_`, `-` and `.`",
            );
        } else if name.bytes().all(|b| b.is_ascii_digit()) {
            at.problem(
                format!("`{}` is not a name: it looks like an index", at.visible(name)),
                "add a letter",
            );
        } else if !seen.insert(name) {
            at.problem(
                format!("the name `{}` stands here twice", at.visible(name)),
                "give each its own name",
            );
        }
    }
}

/// Whether only this machine can reach an address.
fn is_loopback(host: &url::Host<String>) -> bool {
    match host {
        url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        url::Host::Ipv4(address) => address::is_this_machine((*address).into()),
        url::Host::Ipv6(address) => address::is_this_machine((*address).into()),
    }
}

/// The worst severity that a source can give, if that is known.
fn worst_of(source: &Source) -> Option<crate::event::Severity> {
    let severity = &source.schema.mapping().severity;
    // Where a field is asked it may say anything; else only rules and the default speak. A raw line
    // has one field.
    let raw = source.format == super::SourceFormat::Raw;
    let text = severity.from.iter().any(|path| !raw || path.segments().next() == Some("message"));
    let rules = severity.rules.iter().map(|rule| rule.is);
    (!text).then(|| rules.chain([severity.default]).max()).flatten()
}
