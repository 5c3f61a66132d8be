//! Records of Linux auditd: a type, a time with a serial number, and fields. Several records share
//! a serial number; each is an event of its own. Values in hexadecimal stay so.

use super::put;
use serde_json::{Map, Value};

/// Values that say that there is none.
const NIL: [&str; 4] = ["?", "(none)", "(null)", "4294967295"];

/// What parts the record as the kernel wrote it from what auditd added in clear text.
const ENRICHED: char = '\u{1d}';

/// The event of a line.
pub(super) fn event(line: &str) -> Result<Map<String, Value>, String> {
    let (node, rest) = match line.strip_prefix("node=") {
        Some(rest) => rest.split_once(' ').map_or((None, line), |(node, rest)| (Some(node), rest)),
        None => (None, line),
    };
    let rest = rest.strip_prefix("type=").ok_or("it does not begin with `type=`")?;
    let (kind, rest) = rest.split_once(' ').ok_or("nothing follows the type")?;
    let stamp = rest.strip_prefix("msg=audit(").and_then(|rest| rest.split_once(')'));
    let (stamp, rest) = stamp.ok_or("the type is not followed by `msg=audit(time:serial)`")?;
    let (time, serial) = stamp.split_once(':').ok_or("the time has no serial number")?;
    let is_number = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    };
    if !is_number(time) || !is_number(serial) {
        return Err("time and serial number are no numbers".to_owned());
    }
    let mut found = Map::new();
    fields(rest.strip_prefix(':').unwrap_or(rest), false, &mut found);
    let mut audit = Map::new();
    put(&mut audit, "node", node);
    put(&mut audit, "type", Some(kind));
    put(&mut audit, "time", Some(time));
    put(&mut audit, "serial", Some(serial));
    audit.insert("fields".to_owned(), Value::Object(found));
    let mut event = Map::new();
    put(&mut event, "message", Some(line));
    event.insert("auditd".to_owned(), Value::Object(audit));
    Ok(event)
}

/// Adds the fields of a text: `key=value`, also of those that stand in the quotes of `msg='…'`. Of
/// a name that comes twice the first counts; what has no value is only in the message. `of_msg`: it
/// is the text in those quotes.
fn fields(text: &str, of_msg: bool, found: &mut Map<String, Value>) {
    let is_blank = |c: char| c.is_whitespace() || c == ENRICHED || c == ',';
    let mut rest = text.trim_start_matches(is_blank);
    while !rest.is_empty() {
        let end = rest.find(|c: char| is_blank(c) || c == '=').unwrap_or(rest.len());
        let (key, after) = rest.split_at(end);
        let Some(value) = after.strip_prefix('=') else {
            rest = after.trim_start_matches(is_blank);
            continue;
        };
        if let Some(msg) = value.strip_prefix('\'').filter(|_| key == "msg" && !of_msg)
            && let Some(end) = end_of_msg(msg.split(ENRICHED).next().unwrap_or_default())
        {
            fields(&msg[..end], true, found);
            rest = msg[end + 1..].trim_start_matches(is_blank);
            continue;
        }
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = match quote.and_then(|quote| value[1..].split_once(quote)) {
            Some(quoted) => quoted,
            None => value.split_at(value.find(is_blank).unwrap_or(value.len())),
        };
        if !key.is_empty() && !NIL.contains(&value) && !found.contains_key(key) {
            put(found, key, Some(value));
        }
        rest = after.trim_start_matches(is_blank);
    }
}

/// Where the quotes of `msg='…'` end. Names in it may hold apostrophes, which nothing escapes, and
/// fields may follow that do: it is the last one behind which a blank stands, or nothing.
fn end_of_msg(text: &str) -> Option<usize> {
    let mut ends = text.rmatch_indices('\'').map(|(at, _)| at);
    let closes = |at: &usize| !text[at + 1..].starts_with(|c: char| !c.is_whitespace());
    ends.clone().find(closes).or_else(|| ends.next())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_record_is_read() {
        let line = "node=web-1 type=USER_AUTH msg=audit(1700000000.072:42): user pid=7 uid=0 \
            auid=4294967295 msg='op=x acct=\"ann b\" hostname=? res=failed'\u{1d}UID=\"root\"";
        let event = Value::Object(event(line).unwrap());
        assert_eq!(
            event,
            json!({"message": line, "auditd": {"node": "web-1", "type": "USER_AUTH",
                "time": "1700000000.072", "serial": "42", "fields": {"pid": "7", "uid": "0",
                "op": "x", "acct": "ann b", "res": "failed", "UID": "root"}}})
        );
    }

    #[test]
    fn an_apostrophe_in_a_name_ends_no_message() {
        for (acct, name) in [("\"o'brien\"", "o'brien"), ("\"o'\"", "o'"), ("o'x'", "o'x'")] {
            let line = format!(
                "type=A msg=audit(1.2:3): pid=1 msg='acct={acct} res=failed'\u{1d}UID=\"o'b\""
            );
            let event = Value::Object(event(&line).unwrap());
            let expected = json!({"pid": "1", "acct": name, "res": "failed", "UID": "o'b"});
            assert_eq!(event["auditd"]["fields"], expected, "{line}");
        }
    }

    #[test]
    fn a_message_ends_before_the_fields_of_names() {
        let line = "type=A msg=audit(1.2:3): pid=1 msg='op=x res=failed' UID=\"o'b\"";
        let event = Value::Object(event(line).unwrap());
        let expected = json!({"pid": "1", "op": "x", "res": "failed", "UID": "o'b"});
        assert_eq!(event["auditd"]["fields"], expected);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for line in
            ["", "type=A", "type=UNKNOWN[1] msg=g", "type=A msg=audit(1:x): y", "node=a", "x=1"]
        {
            assert!(event(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(rest in "([a-z]{1,3}|[ ='\",?]|msg=|é|\u{1d}){0,40}") {
            event(&format!("type=A msg=audit(1.2:3): {rest}")).unwrap();
        }
    }
}
