//! The events of documents against `serde_json`, however the stream is cut, and from wherever it is
//! taken up again.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// What came out: from, offset, end, and the text or what is wrong.
type Found = (u64, u64, u64, Result<String, String>);

fn shape(lines: bool, unwrap: &str) -> config::Documents {
    let path = (!unwrap.is_empty()).then(|| unwrap.parse().unwrap());
    config::Documents::new(lines, path.as_ref(), 1 << 20)
}

/// Reads a stream from `start` in pieces; returns what came out and where it may be taken up.
fn read(
    shape: &config::Documents,
    stream: &[u8],
    start: u64,
    max: usize,
    cuts: &[usize],
) -> (Vec<Found>, Vec<u64>) {
    let mut documents = Documents::new(shape.clone(), start, max);
    let (mut found, mut places) = (Vec::new(), vec![start]);
    let mut collect = |records: Records| {
        assert_eq!(records.start, *places.last().unwrap(), "stretches follow one another");
        let mut last = records.start;
        for Piece { from, offset, end, what } in records.pieces {
            assert!(last <= from && from <= offset && offset <= end && end <= records.end);
            last = end;
            let what = match what {
                What::Whole(range) => {
                    assert_eq!(range.len() as u64, end - offset);
                    assert_eq!(records.bytes[range.clone()], stream[offset as usize..end as usize]);
                    Ok(String::from_utf8_lossy(&records.bytes[range]).into_owned())
                }
                What::TooLong(head) | What::CutOff(head, _) | What::Broken(head, _)
                    if !stream[offset as usize..end as usize].starts_with(&head) =>
                {
                    panic!("{head:?} is not what stands at {offset}")
                }
                What::TooLong(_) | What::CutOff(..) => Err("too long".to_owned()),
                What::Broken(_, error) => Err(error),
            };
            found.push((from, offset, end, what));
        }
        places.push(records.end);
    };
    let (mut rest, mut cuts) = (&stream[start as usize..], cuts.iter().cycle());
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
        documents.room(piece.len())[..piece.len()].copy_from_slice(piece);
        documents.added(piece.len());
        rest = after;
        while let Some(records) = documents.whole() {
            collect(records);
        }
        let held = documents.buffer.filled;
        assert!(held <= max + 1 && documents.head.bytes.len() <= OVERLONG_HEAD, "{held}");
        assert_eq!(documents.end() as usize, stream.len() - rest.len());
    }
    if let Some(records) = documents.finish() {
        collect(records);
    }
    assert_eq!(documents.taken(), stream.len() as u64, "nothing is left");
    (found, places)
}

fn texts(found: &[Found]) -> Vec<&str> {
    found.iter().map(|(.., what)| what.as_deref().unwrap_or("!")).collect()
}

fn of(lines: bool, unwrap: &str, stream: &str) -> Vec<String> {
    let (found, _) = read(&shape(lines, unwrap), stream.as_bytes(), 0, 1000, &[1000]);
    texts(&found).into_iter().map(str::to_owned).collect()
}

#[test]
fn events_are_found_in_their_lists() {
    for (unwrap, stream, expected) in [
        (
            "Records",
            r#"{"a":{"Records":[1]},"Records":[{"n":1},{"n":2}],"z":[{}]}"#,
            &[r#"{"n":1}"#, r#"{"n":2}"#][..],
        ),
        (
            "Records",
            "{\"Records\":[]} \n {\"Records\" : [ {} ,\n7, \"x\" ] }",
            &["{}", "7", "\"x\""],
        ),
        (
            "Records",
            r#"[{"Records":[{"n":1}]},{"Records":[{"n":2}]}]{"Records":[{"n":3}]}"#,
            &[r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#],
        ),
        ("Records", r#"{"\u0052ecords":[{}]}"#, &["{}"]),
        ("Records", "\u{feff}{\"Records\":[{}]}", &["{}"]),
        (
            "a.b",
            r#"{"a":[{"b":[{"n":1}]},{"c":1},{"b":[{"n":2}],"b":[{"n":3}]}]}{"a":{"b":[{"n":4}]}}"#,
            &[r#"{"n":1}"#, r#"{"n":2}"#, r#"{"n":3}"#, r#"{"n":4}"#],
        ),
        (
            "",
            "{\"a\":1}{\"a\":\n2}\n[{\"a\":3}, 4]",
            &["{\"a\":1}", "{\"a\":\n2}", "{\"a\":3}", "4"],
        ),
        ("", "[]", &[]),
    ] {
        assert_eq!(of(false, unwrap, stream), expected, "{unwrap} in {stream}");
    }
}

#[test]
fn what_is_broken_is_told_and_reading_goes_on() {
    let good = r#"{"Records":[{"n":9}]}"#;
    for (broken, expected) in [
        (r#"{"Records":[{"n":1},{"n":2}"#, &[r#"{"n":1}"#, r#"{"n":2}"#, "!", r#"{"n":9}"#][..]),
        (r#"{"Records":[{"n":1},{"n":"#, &[r#"{"n":1}"#, "!", r#"{"n":9}"#]),
        (r#"{"Records":[{"n":1},]}"#, &[r#"{"n":1}"#, "!", r#"{"n":9}"#]),
        (r#"{"Records":[{"n":"cut"#, &["!", r#"{"n":9}"#]),
        (r#"{"Records":{"n":1}}"#, &["!", r#"{"n":9}"#]),
        (r#"{"records":[{"n":1}]}"#, &["!", r#"{"n":9}"#]),
        ("nonsense", &["!", r#"{"n":9}"#]),
        (r#"{"Records":[{"n":1}]} trailing"#, &[r#"{"n":1}"#, "!", r#"{"n":9}"#]),
        (r#"{"Records":[{"n":1} {"n":2}]}"#, &[r#"{"n":1}"#, "!", r#"{"n":9}"#]),
        (r#"{"Records" [{"n":1}]}"#, &["!", r#"{"n":9}"#]),
        (r#"{,}"#, &["!", r#"{"n":9}"#]),
    ] {
        let stream = format!("{broken}\n{good}\n");
        assert_eq!(of(true, "Records", &stream), expected, "{stream}");
        if !broken.ends_with(':') {
            assert_eq!(of(false, "Records", &stream), expected, "{stream}");
        }
    }
    for (unwrap, stream) in [
        ("a.b", r#"{"a":[{"b":5}]}"#),
        ("a.b", r#"{"a":[5]}"#),
        ("a", r#"[{"x":1}]"#),
        ("a", "{\"a\":[1"),
        ("", "{\"a\":[1"),
    ] {
        assert_eq!(of(false, unwrap, stream), ["!"], "{unwrap} in {stream}");
    }
    assert_eq!(of(false, "a", r#"[{"x":1},{"a":[2]}]"#), ["!", "2"]);
    // Cut off right behind an event, it has no bytes left to be told by.
    for (lines, unwrap, stream) in [
        (true, "a", r#"{"a":[{"x":1}"#),
        (false, "a", r#"{"a":[{"x":1}"#),
        (false, "", r#"[{"x":1}"#),
    ] {
        assert_eq!(of(lines, unwrap, stream), [r#"{"x":1}"#, "!"], "{unwrap} in {stream}");
    }
}

#[test]
fn depth_and_length_are_no_matter() {
    let deep = format!("{{\"x\":{}1{},\"Records\":[", "[".repeat(100_000), "]".repeat(100_000));
    let stream = format!("{deep}{{\"n\":\"{}\"}},{{\"n\":1}}]}}", "x".repeat(300_000));
    let (found, _) = read(&shape(true, "Records"), stream.as_bytes(), 0, 1000, &[4096]);
    assert_eq!(texts(&found), ["!", r#"{"n":1}"#]);
    assert_eq!(found[0].3, Err("too long".to_owned()));
    let long = config::Documents { max_bytes: 50, ..shape(false, "Records") };
    let stream = format!("{{\"Records\":[1,{}2]}}\n{{\"Records\":[3]}}", " ".repeat(50));
    for cut in [1, 7, 1000] {
        let (found, _) = read(&long, stream.as_bytes(), 0, 1000, &[cut]);
        assert_eq!(texts(&found), ["1", "!", "3"]);
        assert!(found[1].3.as_ref().unwrap_err().contains("max_document_bytes 50"));
    }
}

/// Any small JSON value; objects sometimes have the keys of the path.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        "[a-z{}\\[\\],:\"\\\\\n é]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::btree_map("[abx]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// What the list at the path holds, lists on the way walked; `None` where there is none.
fn unwrapped(document: &Value, path: &[&str]) -> Option<Vec<Value>> {
    let [name, rest @ ..] = path else { return Some(vec![document.clone()]) };
    let inner = document.as_object()?.get(*name)?;
    match (rest, inner) {
        ([], inner) => inner.as_array().cloned(),
        (_, Value::Array(items)) => {
            let mut all = Vec::new();
            for item in items {
                match item.as_object()?.get(rest[0]) {
                    None | Some(Value::Null) => {}
                    Some(_) => all.extend(unwrapped(item, rest)?),
                }
            }
            Some(all)
        }
        (_, Value::Object(map)) => match map.get(rest[0]) {
            None | Some(Value::Null) => Some(Vec::new()),
            Some(_) => unwrapped(inner, rest),
        },
        _ => None,
    }
}

fn layout(document: &Value, pretty: bool) -> String {
    let text = if pretty {
        serde_json::to_string_pretty(document)
    } else {
        serde_json::to_string(document)
    };
    text.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Of valid documents exactly the events come out that a tree of them has, whatever the
    /// layout and the cuts; and taken up at any place, exactly the rest of them.
    #[test]
    fn valid_documents_give_their_events(
        documents in prop::collection::vec(
            (
                prop::collection::btree_map("[abx]", value(), 0..4),
                prop::collection::vec(value(), 0..4),
                any::<bool>(),
            ),
            0..5,
        ),
        unwrap in prop::sample::select(vec!["", "a", "a.b"]),
        lines: bool,
        array: bool,
        cuts in prop::collection::vec(1usize..40, 1..20),
    ) {
        let path: Vec<_> = unwrap.split('.').filter(|name| !name.is_empty()).collect();
        let array = array && !lines && !documents.is_empty();
        let (mut stream, mut expected) = (String::new(), Vec::new());
        for (index, (members, events, pretty)) in documents.iter().enumerate() {
            let mut document = json!(members);
            match unwrap {
                "a" => document["a"] = json!(events),
                "a.b" if *pretty => document["a"] = json!({"b": events, "x": [{"b": [0]}]}),
                "a.b" => document["a"] = json!([{"b": events}, {}, {"b": events}, {"b": null}]),
                _ => {}
            }
            if array {
                stream.push(if index == 0 { '[' } else { ',' });
            }
            stream.push_str(&layout(&document, *pretty && !lines));
            if !array {
                stream.push_str(if lines || *pretty { "\n" } else { "" });
            }
            expected.push(unwrapped(&document, &path));
        }
        if array {
            stream.push(']');
        }
        let expected: Vec<Value> = expected.into_iter().flat_map(|events| events.expect("a list")).collect();
        let shape = shape(lines, unwrap);
        let (found, places) = read(&shape, stream.as_bytes(), 0, 10_000, &cuts);
        let values: Vec<Value> =
            found.iter().map(|(.., what)| serde_json::from_str(what.as_ref().unwrap()).unwrap()).collect();
        prop_assert_eq!(&values, &expected, "{}", stream);
        // A checkpoint stands behind any piece too.
        let ends = found.iter().map(|found| found.2);
        for place in places.into_iter().chain(ends).filter(|place| *place > 0) {
            let (rest, _) = read(&shape, stream.as_bytes(), place, 10_000, &cuts);
            let due: Vec<_> = found.iter().filter(|found| found.1 >= place).map(|found| (found.1, found.2, found.3.clone())).collect();
            let rest: Vec<_> = rest.into_iter().map(|found| (found.1, found.2, found.3)).collect();
            prop_assert_eq!(rest, due, "from {} in {}", place, stream);
        }
    }

    /// Whatever comes, nothing panics, every byte is accounted for, and the cuts are no matter.
    #[test]
    fn no_bytes_break_it(
        stream in "([\\[\\]{}:,\"\n 1]|\"a\":|\"b\":|\\\\|\\{\"a\":\\[|é){0,40}",
        unwrap in prop::sample::select(vec!["", "a", "a.b"]),
        lines: bool,
        max in 1usize..50,
        cuts in prop::collection::vec(1usize..20, 1..10),
    ) {
        let shape = shape(lines, unwrap);
        let (whole, _) = read(&shape, stream.as_bytes(), 0, max, &[1000]);
        let (cut, places) = read(&shape, stream.as_bytes(), 0, max, &cuts);
        let plain = |found: Vec<Found>| found.into_iter().map(|found| (found.1, found.2, found.3)).collect::<Vec<_>>();
        prop_assert_eq!(plain(whole), plain(cut), "{:?}", stream);
        for place in places {
            read(&shape, stream.as_bytes(), place, max, &cuts);
        }
    }
}

#[test]
fn what_is_no_document_is_the_same_however_it_is_cut() {
    for (lines, unwrap) in [(true, ""), (false, ""), (true, "a.b"), (false, "a.b")] {
        for stream in [
            &b"\n*\x84\xff\0\n\n\xef\x02"[..],
            b"\xef\xbc\x81 is no mark",
            b"\x1e\x1ex\n\x1e{}\n",
            b"[{}]x\n{}",
            b"[{}]\xef x",
            b"[] ]\n[]x",
            b"{}\n\xef\xbb\xbf{}",
        ] {
            let shape = shape(lines, unwrap);
            let (whole, _) = read(&shape, stream, 0, 100, &[100]);
            let (cut, _) = read(&shape, stream, 0, 100, &[1]);
            // Where a stretch begins depends on the cuts; where its pieces are does not.
            let places = |found: Vec<Found>| -> Vec<_> {
                found.into_iter().map(|(_, offset, end, what)| (offset, end, what)).collect()
            };
            let text = String::from_utf8_lossy(stream);
            assert_eq!(places(whole), places(cut), "{lines} {unwrap} {text:?}");
        }
    }
}
