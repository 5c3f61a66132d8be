//! Checks of sources.

use super::{check_names, schema, socket_address};
use crate::config::INTERNAL_SOURCE;
use crate::config::keys::{MalformedKey, ReadFromKey, SocketMode, SourceKeys, SourceType};
use crate::config::report::At;
use crate::config::{FileInput, Input, Malformed, ReadFrom, SocketAddress, SocketInput, Source};
use crate::event::{FieldPath, Globs};
use crate::glob::{self, Glob, PathGlob};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Keys that only one type of source has.
const KEYS_OF: [(&str, SourceType); 8] = [
    ("paths", SourceType::File),
    ("exclude", SourceType::File),
    ("read_from", SourceType::File),
    ("follow", SourceType::File),
    ("mode", SourceType::Socket),
    ("address", SourceType::Socket),
    ("max_connections", SourceType::Socket),
    ("authentication", SourceType::Socket),
];

/// Checks all sources; without any there is standard input.
pub(super) fn sources(keys: Option<&[SourceKeys]>, data_dir: &Path, at: &At<'_>) -> Vec<Source> {
    let Some(keys) = keys else { return vec![Source::plain("stdin", Input::Stdin)] };
    if keys.is_empty() {
        at.problem("an empty list", "name a source, or leave the key out to read standard input");
    }
    check_names(keys.iter().map(|source| Some(source.name.as_str())), at);
    let mut stdin = keys.iter().enumerate().filter(|(_, keys)| keys.kind == SourceType::Stdin);
    if let Some((index, _)) = stdin.nth(1) {
        at.index(index).key("type").problem(
            "a second source of type `stdin`: there is only one standard input",
            "keep one of them",
        );
    }
    let source = |(index, keys)| source(keys, data_dir, &at.index(index));
    let sources: Vec<Source> = keys.iter().enumerate().map(source).collect();
    check_former_names(keys, at);
    check_addresses(&sources, at);
    sources
}

/// What is stored under a name can go to one source only.
fn check_former_names(keys: &[SourceKeys], at: &At<'_>) {
    let mut seen = BTreeSet::new();
    for (index, source) in keys.iter().enumerate() {
        for (place, name) in source.former_names.iter().enumerate() {
            let at = at.index(index).key("former_names").index(place);
            if name.is_empty() {
                at.problem("it is empty", "write a name that the source had, or leave it out");
            } else if keys.iter().any(|other| other.name == *name) {
                let message = format!("a source is named `{}` now", at.visible(name));
                at.problem(message, "leave it out: what is stored under it belongs to that source");
            } else if !seen.insert(name) {
                at.problem(
                    format!("the former name `{}` stands here twice", at.visible(name)),
                    "keep it with the source that goes on with what is stored under it",
                );
            }
        }
    }
}

/// An address has room for one listener.
fn check_addresses(sources: &[Source], at: &At<'_>) {
    let address = |source: &Source| match &source.input {
        Input::Socket(socket) => Some(socket.address.clone()),
        _ => None,
    };
    // Port 0 is another port each time; an empty path stands for an address with a problem.
    let shared = |address: &SocketAddress| match address {
        SocketAddress::Tcp(ip) | SocketAddress::Udp(ip) => ip.port() != 0,
        SocketAddress::Unix(path) | SocketAddress::UnixDatagram(path) => path != Path::new(""),
    };
    for (index, source) in sources.iter().enumerate() {
        let Some(own) = address(source).filter(shared) else { continue };
        let earlier = &sources[..index];
        if let Some(other) = earlier.iter().find(|other| address(other).as_ref() == Some(&own)) {
            at.index(index).key("address").problem(
                format!("the source `{}` listens there already", other.name),
                "give each its own address",
            );
        }
    }
}

fn source(keys: &SourceKeys, data_dir: &Path, at: &At<'_>) -> Source {
    if keys.name == INTERNAL_SOURCE {
        at.key("name").problem("`internal` is the name of postrider's own source", "rename it");
    }
    let known = !at.key("type").is_unknown();
    for (key, owner) in KEYS_OF {
        if known && owner != keys.kind && at.key(key).is_present() {
            at.key(key).problem(
                format!("a source of type `{}` has no `{key}`", word(keys.kind)),
                format!("leave it out; `{key}` belongs to type `{}`", word(owner)),
            );
        }
    }
    if keys.max_line_bytes.0 == 0 {
        at.key("max_line_bytes").problem("no line is that short", "write a size such as `1MiB`");
    }
    let lines = schema::lines(keys, at);
    Source {
        name: keys.name.as_str().into(),
        former_names: keys.former_names.iter().map(|name| name.as_str().into()).collect(),
        input: match keys.kind {
            SourceType::Stdin => Input::Stdin,
            SourceType::File => Input::File(file(keys, data_dir, at)),
            SourceType::Socket => Input::Socket(socket(keys, at)),
        },
        format: lines.format,
        framing: lines.framing,
        schema: lines.schema,
        add_fields: keys.add_fields.clone().into_iter().collect(),
        malformed: match keys.malformed {
            MalformedKey::DeadLetter => Malformed::DeadLetter,
            MalformedKey::Wrap => Malformed::Wrap,
            MalformedKey::Drop => Malformed::Drop,
        },
        max_line_bytes: keys.max_line_bytes.0,
    }
}

fn word(kind: SourceType) -> &'static str {
    match kind {
        SourceType::Stdin => "stdin",
        SourceType::File => "file",
        SourceType::Socket => "socket",
    }
}

fn file(keys: &SourceKeys, data_dir: &Path, at: &At<'_>) -> FileInput {
    let paths = at.key("paths");
    if keys.paths.is_empty() {
        let message = if paths.is_present() { "an empty list" } else { "missing key" };
        paths.problem(message, "name the files, such as [\"/var/log/app/*.jsonl\"]");
    }
    let globs = |list: &[String], at: &At<'_>| -> Vec<String> {
        let glob = |(index, path): (usize, &String)| {
            let at = at.index(index);
            if path.is_empty() {
                at.problem("it is empty", "name a file or a glob");
            }
            if path.starts_with('!') {
                at.problem(
                    "`!` leaves nothing out here",
                    "write the glob in `exclude`, or `\\!` for the character itself",
                );
            }
            if let Err(error) = PathGlob::parse(path) {
                let message = format!("`{}` is not a glob: {error}", at.visible(path));
                at.problem(message, error.fix());
            }
            let base = if Path::new(path).is_absolute() { Path::new("") } else { at.base() };
            if base.to_str().is_none() {
                at.problem(
                    "it counts from this file's folder, whose name is not UTF-8, as globs are",
                    "write an absolute path",
                );
            }
            // The folder's own name is no glob.
            let base = glob::escape(&base.to_string_lossy());
            let whole: PathBuf = Path::new(&base).join(path).components().collect();
            whole.to_string_lossy().into_owned()
        };
        list.iter().enumerate().map(glob).collect()
    };
    FileInput {
        paths: globs(&keys.paths, &paths),
        exclude: globs(&keys.exclude, &at.key("exclude")),
        data_dir: data_dir.to_owned(),
        read_from: match keys.read_from {
            ReadFromKey::Beginning => ReadFrom::Beginning,
            ReadFromKey::End => ReadFrom::End,
        },
        follow: keys.follow,
    }
}

fn socket(keys: &SourceKeys, at: &At<'_>) -> SocketInput {
    // Stands in where a problem keeps the configuration from being used.
    let mut address = SocketAddress::Unix(Default::default());
    let mode = keys.mode.unwrap_or(SocketMode::Unix);
    if keys.mode.is_none() {
        at.key("mode").problem("missing key", "one of `tcp`, `udp`, `unix`, `unix_datagram`");
    }
    let place = at.key("address");
    match keys.address.as_deref().filter(|text| !text.is_empty()) {
        None => place.problem("missing key", "add where it listens, such as `127.0.0.1:9514`"),
        Some(text) => match mode {
            SocketMode::Tcp | SocketMode::Udp => {
                if let Some(ip) = socket_address(text, &place) {
                    check_reach(ip, keys, &place);
                    let tcp = mode == SocketMode::Tcp;
                    address = if tcp { SocketAddress::Tcp(ip) } else { SocketAddress::Udp(ip) };
                }
            }
            SocketMode::Unix => address = SocketAddress::Unix(place.resolve(text)),
            SocketMode::UnixDatagram => {
                address = SocketAddress::UnixDatagram(place.resolve(text));
            }
        },
    }
    SocketInput { address, max_connections: keys.max_connections.0 as usize }
}

fn check_reach(address: SocketAddr, keys: &SourceKeys, at: &At<'_>) {
    if !address.ip().is_loopback() && keys.authentication.is_none() {
        at.problem(
            "beyond loopback anyone who reaches this socket could send events",
            "listen on 127.0.0.1, or say that it is meant with `authentication: {type: none}`",
        );
    }
}

/// Reads a path to a field. What no event could ever have at it is no path: a field that is to be
/// redacted would go out as it is.
pub(super) fn field_path(text: &str, at: &At<'_>) -> Option<FieldPath> {
    let path: Option<FieldPath> = text.parse().ok();
    let fix = match text.strip_prefix('/') {
        _ if path.is_none() => "write `a.b` or, beginning with `/`, a JSON pointer".to_owned(),
        Some(pointer) if !is_escaped(pointer) => {
            "in a JSON pointer write `~0` for `~` and `~1` for a `/` in a key".to_owned()
        }
        None if text.contains(['[', ']']) => {
            let plain = at.visible(text) == text;
            let steps = text.replace("[\"", ".").replace("['", ".").replace('[', ".");
            let steps = steps.replace(['"', '\'', ']'], "");
            let steps = if plain { steps.trim_start_matches('.') } else { "a.0.b" };
            format!("write `{steps}`: a number selects the element of a list")
        }
        None if text.split('.').any(|step| step == "*") => {
            "there is no wildcard: name each field, or an element of a list by its number"
                .to_owned()
        }
        _ => return path,
    };
    at.problem(format!("`{}` is not a field path", at.visible(text)), fix);
    None
}

/// Whether every `~` of a JSON pointer is one of its two escapes.
fn is_escaped(pointer: &str) -> bool {
    pointer.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

/// Reads fields and the globs they must match.
pub(super) fn conditions(
    keys: &BTreeMap<String, Vec<String>>,
    at: &At<'_>,
) -> Vec<(FieldPath, Globs)> {
    if keys.is_empty() {
        at.problem("an empty map holds for every event", "name a field, or leave the key out");
    }
    let condition = |(field, list): (&String, &Vec<String>)| {
        let at = at.key(field);
        Some((field_path(field, &at)?, globs(list, &at)?))
    };
    keys.iter().filter_map(condition).collect()
}

/// Compiles a list of globs.
pub(super) fn globs(list: &[String], at: &At<'_>) -> Option<Globs> {
    if list.is_empty() {
        at.problem("an empty list matches nothing", "name a pattern, or leave the key out");
        return None;
    }
    let mut whole = true;
    for (index, glob) in list.iter().enumerate() {
        if let Err(error) = Glob::parse(glob.strip_prefix('!').unwrap_or(glob)) {
            let at = at.index(index);
            let message = format!("`{}` is not a valid pattern: {error}", at.visible(glob));
            at.problem(message, error.fix());
            whole = false;
        }
    }
    whole.then(|| Globs::new(list.to_vec()).ok()).flatten()
}
