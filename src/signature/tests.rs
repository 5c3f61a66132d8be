//! Published vectors, and what verifying refuses.

use super::*;
use hyper::HeaderMap;
use hyper::header::HeaderName;
use jiff::Timestamp;
use proptest::prelude::*;

/// Secret, id, time, body and signature of the Standard Webhooks libraries' own tests.
const STANDARD_VECTORS: [(&str, &str, i64, &str, &str); 2] = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        r#"{"test": 2432232314}"#,
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1_649_367_553,
        r#"{"email":"test@example.com","username":"test_user"}"#,
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
];

fn key(secret: &str) -> Key {
    Key::new(Algorithm::Sha256, secret.as_bytes()).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

fn lines(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[test]
fn hmac_as_published() {
    let long = [0xaa; 131];
    let first = "Test Using Larger Than Block-Size Key - Hash Key First";
    // RFC 2202 and RFC 4231, test cases 1, 2 and 6; of SHA-512 the beginning.
    for (secret, message, sha1, sha256, sha512) in [
        (
            &[0x0b; 20][..],
            "Hi There",
            "b617318655057264e28bc0b6fb378c8ef146be00",
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde",
        ),
        (
            b"Jefe",
            "what do ya want for nothing?",
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554",
        ),
        (
            &long[..],
            first,
            "90d0dace1c1bdc957339307803160335bde6df2b",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352",
        ),
    ] {
        let expected =
            [(Algorithm::Sha1, sha1), (Algorithm::Sha256, sha256), (Algorithm::Sha512, sha512)];
        for (algorithm, hex) in expected {
            let key = Key::new(algorithm, secret).unwrap();
            let (one, other) = message.as_bytes().split_at(5);
            for parts in [&[message.as_bytes()][..], &[one, b"", other]] {
                let tag = key.sign(parts.iter().copied());
                assert!(tag.hex().starts_with(hex), "{algorithm:?} of {message}");
                assert!(key.verify(parts.iter().copied(), tag.as_bytes()), "{algorithm:?}");
                assert!(!key.verify(parts.iter().copied(), &tag.as_bytes()[1..]));
            }
        }
        assert_eq!(hmac_sha256_hex(secret, message.as_bytes()), sha256);
    }
    assert!(Key::new(Algorithm::Sha256, b"").is_none());
    assert_eq!(hmac_sha256_hex(b"", b"").len(), 64, "a template may sign with anything");
}

#[test]
fn the_ready_forms() {
    // GitHub's documentation of webhook signatures; the others differ in the header alone.
    let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let keys = || vec![key("It's a Secret to Everybody")];
    for (form, name, value) in [
        (Form::github(keys()), "x-hub-signature-256", format!("sha256={hex}")),
        (Form::ruleforge(keys()), "x-ruleforge-signature", format!("sha256={hex}")),
        (Form::rampart(keys()), "x-rampart-signature", hex.to_owned()),
    ] {
        let mut headers = HeaderMap::new();
        form.sign(&mut headers, b"Hello, World!", "id", at(0)).unwrap();
        assert_eq!(lines(&headers, name), [&*value]);
        assert_eq!((headers.len(), form.headers().len()), (1, 1));
        assert!(headers[name].is_sensitive());
        let check = |value: &str, body: &str| {
            let headers = self::headers(&[(name, value)]);
            form.verify(&headers, body.as_bytes(), at(9_999_999))
        };
        assert_eq!(check(&value, "Hello, World!"), Ok(()));
        assert_eq!(
            check(&value.to_uppercase().replace("SHA", "sha"), "Hello, World!"),
            Ok(()),
            "digits of either case"
        );
        assert_eq!(check(&value, "Hello, World"), Err(Unverified::Wrong));
        assert!(matches!(check("", "Hello, World!"), Err(Unverified::Missing(_))));
        for broken in [&value[..value.len() - 1], "sha256=", "sha256=zz", "é", "sha1=00"] {
            let refused = check(broken, "Hello, World!");
            assert!(refused.is_err(), "{name}: {broken}: {refused:?}");
        }
    }
}

#[test]
fn several_secrets_sign_side_by_side_in_their_order() {
    let form = Form::github(vec![key("new"), key("old")]);
    let mut signed = HeaderMap::new();
    form.sign(&mut signed, b"body", "id", at(0)).unwrap();
    let [new, old] = &lines(&signed, "x-hub-signature-256")[..] else { panic!("{signed:?}") };
    assert_eq!(*new, format!("sha256={}", hmac_sha256_hex(b"new", b"body")));
    assert_eq!(*old, format!("sha256={}", hmac_sha256_hex(b"old", b"body")));
    for (secret, genuine) in [("new", true), ("old", true), ("other", false)] {
        let receiver = Form::github(vec![key(secret)]);
        assert_eq!(receiver.verify(&signed, b"body", at(0)).is_ok(), genuine, "{secret}");
    }
}

#[test]
fn standard_webhooks_as_published() {
    for (secret, id, time, body, signature) in STANDARD_VECTORS {
        let form = Form::Standard(vec![StandardSecret::parse(secret).unwrap()]);
        let mut signed = HeaderMap::new();
        form.sign(&mut signed, body.as_bytes(), id, at(time)).unwrap();
        assert_eq!(lines(&signed, "webhook-signature"), [signature]);
        assert_eq!(lines(&signed, "webhook-timestamp"), [time.to_string()]);
        assert_eq!(lines(&signed, "webhook-id"), [id]);
        for (now, genuine) in [(0, true), (300, true), (-300, true), (301, false), (-301, false)] {
            let result = form.verify(&signed, body.as_bytes(), at(time + now));
            assert_eq!(result.is_ok(), genuine, "{now} s later: {result:?}");
        }
        for missing in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
            let mut without = signed.clone();
            without.remove(missing);
            let refused = form.verify(&without, body.as_bytes(), at(time)).unwrap_err();
            assert!(matches!(refused, Unverified::Missing(_)), "{missing}: {refused:?}");
        }
    }
}

#[test]
fn standard_webhooks_reads_a_list() {
    let (secret, id, time, body, right) = STANDARD_VECTORS[0];
    let form = Form::Standard(vec![StandardSecret::parse(secret).unwrap()]);
    let wrong = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    let other = "v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    for (list, genuine) in [
        (format!("{wrong} {other} {wrong} {right}"), true),
        (format!("{wrong} {other} {wrong}"), false),
        ("v1,".to_owned(), false),
        (right[..right.len() - 8].to_owned(), false),
        (right.replace("v1,", "v1a,"), false),
        (right.replace("v1,", ""), false),
        (" ".to_owned(), false),
    ] {
        let headers = headers(&[
            ("webhook-id", id),
            ("webhook-timestamp", &time.to_string()),
            ("webhook-signature", &list),
        ]);
        assert_eq!(form.verify(&headers, body.as_bytes(), at(time)).is_ok(), genuine, "{list}");
    }
    let strange =
        headers(&[("webhook-id", id), ("webhook-timestamp", "1e9"), ("webhook-signature", right)]);
    let refused = form.verify(&strange, body.as_bytes(), at(time)).unwrap_err();
    assert!(matches!(refused, Unverified::Malformed(_)), "{refused:?}");
    let secrets = STANDARD_VECTORS.map(|vector| StandardSecret::parse(vector.0).unwrap());
    let mut signed = HeaderMap::new();
    Form::Standard(secrets.to_vec()).sign(&mut signed, b"x", "id", at(time)).unwrap();
    assert_eq!(lines(&signed, "webhook-signature")[0].split(' ').count(), 2);
    for secret in secrets {
        Form::Standard(vec![secret]).verify(&signed, b"x", at(time)).unwrap();
    }
}

#[test]
fn secrets_of_standard_webhooks_have_a_form() {
    let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
    assert!(StandardSecret::parse(&of(24)).is_ok() && StandardSecret::parse(&of(64)).is_ok());
    for (text, error) in [
        (of(23), SecretError::Length(23)),
        (of(65), SecretError::Length(65)),
        ("whsec_".to_owned(), SecretError::Length(0)),
        ("whsec_not base64".to_owned(), SecretError::NotBase64),
        (of(24).replace("whsec_", "whsk_"), SecretError::Asymmetric),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(), SecretError::Prefix),
        (String::new(), SecretError::Prefix),
    ] {
        assert_eq!(StandardSecret::parse(&text).unwrap_err(), error, "{text}");
    }
}

#[test]
fn slack_as_published() {
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&\
                channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&\
                command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2F\
                commands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=\
                398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let form = Form::Hmac {
        algorithm: Algorithm::Sha256,
        keys: vec![key("8f742231b10e8888abcd99yyyzzz85a5")],
        header: HeaderName::from_static("x-slack-signature"),
        format: Pattern::parse_header("v0={hex}").unwrap(),
        content: Pattern::parse("v0:{timestamp}:{body}").unwrap(),
        timestamp_header: Some(HeaderName::from_static("x-slack-request-timestamp")),
    };
    let mut signed = HeaderMap::new();
    form.sign(&mut signed, body.as_bytes(), "id", at(1_531_420_618)).unwrap();
    let hex = "a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    assert_eq!(lines(&signed, "x-slack-signature"), [format!("v0={hex}")]);
    assert_eq!(lines(&signed, "x-slack-request-timestamp"), ["1531420618"]);
    form.verify(&signed, body.as_bytes(), at(1_531_420_700)).unwrap();
    let stale = form.verify(&signed, body.as_bytes(), at(1_531_421_000)).unwrap_err();
    assert_eq!(stale, Unverified::Stale(382));
}

#[test]
fn patterns_are_read() {
    for (text, error) in [
        ("t={timestamp},v1={hex}", None),
        ("{algorithm}={hex}", None),
        ("{algorithm}{hex}", None),
        ("{ {hex} }", None),
        ("{}{hex}", None),
        ("{{hex}}", None),
        ("{hex}{base64}", Some(PatternError::Adjacent)),
        ("{digest}", Some(PatternError::UnknownToken("{digest}".to_owned()))),
        ("v={HEX}", Some(PatternError::UnknownToken("{HEX}".to_owned()))),
    ] {
        assert_eq!(Pattern::parse_header(text).err(), error, "{text}");
    }
    assert!(Pattern::parse("{id}{timestamp}{body}").is_ok(), "what is signed may stand together");
}

#[test]
fn equal_secrets_are_equal() {
    for (one, other, equal) in
        [("a", "a", true), ("", "", true), ("a", "b", false), ("a", "", false)]
    {
        assert_eq!(equal_secrets(one.as_bytes(), other.as_bytes()), equal, "{one} {other}");
    }
}

proptest! {
    #[test]
    fn what_is_signed_verifies_and_nothing_else_does(
        format in prop::sample::select(&[
            "{algorithm}={hex}", "{hex}", "v1 {base64}", "t={timestamp},v1={hex}",
            "{id}.{timestamp}.{base64}", "{{hex}}", "{base64}{algorithm}",
        ][..]),
        content in prop::sample::select(&["{body}", "{timestamp}.{body}", "{algorithm}{id}{body}!"][..]),
        algorithm in prop::sample::select(
            &[Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512][..]),
        body in prop::collection::vec(any::<u8>(), 0..200),
        id in "[0-9a-f]{32}",
        time in 0..4_000_000_000_i64,
        flipped in any::<prop::sample::Index>(),
    ) {
        let format = Pattern::parse_header(format).unwrap();
        let carried = format.has(Token::Timestamp);
        let form = Form::Hmac {
            algorithm,
            keys: vec![Key::new(algorithm, b"secret").unwrap()],
            header: HeaderName::from_static("x-signature"),
            format,
            content: Pattern::parse(content).unwrap(),
            timestamp_header: (!carried).then(|| HeaderName::from_static("x-time")),
        };
        let mut signed = HeaderMap::new();
        form.sign(&mut signed, &body, &id, at(time)).unwrap();
        signed.insert("idempotency-key", id.parse().unwrap());
        prop_assert_eq!(form.verify(&signed, &body, at(time)), Ok(()));
        if !body.is_empty() {
            let mut other = body.clone();
            let place = flipped.index(body.len());
            other[place] ^= 1;
            prop_assert_eq!(form.verify(&signed, &other, at(time)), Err(Unverified::Wrong));
        }
    }

    #[test]
    fn no_header_breaks_verifying(text in "[ -~]{0,80}", format in "[a-z{}=,.]{0,20}") {
        let Ok(format) = Pattern::parse_header(&format) else { return Ok(()) };
        let form = Form::Hmac {
            algorithm: Algorithm::Sha256,
            keys: vec![key("secret")],
            header: HeaderName::from_static("x-signature"),
            format,
            content: Pattern::parse("{body}").unwrap(),
            timestamp_header: None,
        };
        let headers = headers(&[("x-signature", &text)]);
        prop_assert!(form.verify(&headers, b"body", at(0)).is_err());
    }
}
