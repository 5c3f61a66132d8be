//! Mail addresses, also with an `@` that is written as `%40`.

use super::Look;
use std::ops::Range;

pub(super) fn find(look: &Look<'_>, at: usize) -> Option<Range<usize>> {
    let after = match look.bytes[at] {
        b'@' => at + 1,
        _ if look.starts_with(at, b"%40") => at + 3,
        _ => return None,
    };
    let end = after + domain(&look.bytes[after..])?;
    let start = at - local(&look.bytes[look.floor..at]);
    // `git@github.com:owner/name` is the address of a repository.
    let repository = &look.bytes[start..at] == b"git"
        && (look.bytes.get(end) == Some(&b':') || look.ends_with(start, b"ssh://"));
    (start < at && !repository).then_some(start..end)
}

/// The length of the local part at the end of these bytes. It holds no `@`, encoded or not, so no
/// byte is looked at for two addresses.
fn local(before: &[u8]) -> usize {
    let is = |byte: u8| {
        byte.is_ascii_alphanumeric() || b"._%+-'!#$*~^{}|`".contains(&byte) || byte >= 0x80
    };
    let mut rest = before;
    while let [shorter @ .., last] = rest {
        if !is(*last) || rest.ends_with(b"%40") {
            break;
        }
        rest = shorter;
    }
    let name = &before[rest.len()..];
    // Punctuation before an address is not part of it.
    let skipped = name.iter().take_while(|byte| b".'`{|*".contains(byte)).count();
    name.len() - skipped
}

/// The length of the domain at the beginning of these bytes.
fn domain(after: &[u8]) -> Option<usize> {
    let is =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-') || *byte >= 0x80;
    let length = after.iter().position(|byte| !is(byte)).unwrap_or(after.len());
    let mut name = &after[..length];
    while let [rest @ .., b'.' | b'-'] = name {
        name = rest;
    }
    let mut labels = name.split(|byte| *byte == b'.');
    let top = labels.next_back()?;
    let is_top = top.len() >= 2
        && (top.iter().all(|byte| byte.is_ascii_alphabetic() || *byte >= 0x80)
            || top.starts_with(b"xn--"));
    let numbers = labels.clone().take_while(|label| label.iter().all(u8::is_ascii_digit)).count();
    // `163.com` is a domain, `name@4.17.21-rc.beta` a version.
    let is_version = numbers >= 2;
    let whole = labels.clone().next().is_some() && labels.all(|label| !label.is_empty());
    (is_top && whole && !is_version).then_some(name.len())
}
