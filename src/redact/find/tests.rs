//! What belongs to each category, and what nearly does. Found parts stand in «».

mod tokens;

use super::*;
use proptest::prelude::*;

/// The text with what was found in «».
fn marked(categories: &[Category], text: &str) -> String {
    let mut found = Vec::new();
    Finder::new(categories.iter().copied()).find(text, &mut found);
    let mut out = String::new();
    let mut done = 0;
    for part in found {
        out += &format!("{}«{}»", &text[done..part.start], &text[part.clone()]);
        done = part.end;
    }
    out + &text[done..]
}

#[track_caller]
fn assert_marked(category: Category, cases: &[&str]) {
    let wrong: Vec<_> = cases
        .iter()
        .map(|case| (*case, marked(&[category], &case.replace(['«', '»'], ""))))
        .filter(|(case, found)| case != found)
        .collect();
    assert!(wrong.is_empty(), "expected, found: {wrong:#?}");
}

#[test]
fn secrets_by_what_stands_before_them() {
    assert_marked(
        Category::Secrets,
        &[
            "Authorization: Bearer «abc123DEF456»",
            "authorization=«Bearer abc123DEF456», next",
            "Basic «dXNlcjpwYXNz»",
            "sent Token «0123456789abcdef» twice",
            "password=«hunter2»&user=x",
            "PASSWORD=«Tr0ub4dor&3» ok",
            "PASSWORD=«a&b)c]d}e<f>g#h», next",
            "password=«a&b»; c password=«a&1=2» \"password=«a&b»\"",
            "login --password «Tr0ub4dor&3» --user x",
            "password: «Tr0ub4dor&3» ok",
            "{password:«Tr0ub4dor&3»} ok",
            "?password=«Tr0ub4dor»&3",
            "a=b&password=«Tr0ub4dor»&3#x",
            "grant_type=x&client_secret=«Tr0ub4dor»&scope=y",
            "client_secret=«Tr0ub&4dor»&scope[]=y",
            "#access_token=«abc»&expires_in=3600",
            "password=«a&=b»",
            "passwd = «s3cret» word",
            "pwd='«a b c»' done",
            r#"{"password": "«hunter2»", "user": "u"}"#,
            r#"{\"password\":\"«hunter2»\",\"user\":\"u\"}"#,
            r#"{"pin_passcode":«123456»}"#,
            "password: «hunter2»",
            "X-Vault-Token: «s.AbCdEfGhIjKlMnOpQrStUvWx»",
            "password: «correct-horse-battery», next",
            "password: «Pa$$word!»",
            "Authorization: «AbCdEfGhIjKl»",
            "api_key: «AbCdEfGhIjKlMnOpQrStUvWxYz»",
            "api_key: «abcdefghijklmnopqrstuvwxyz»",
            "password='«it''s me»' next",
            "password='' user='x'",
            "PGPASSWORD=«x» psql",
            "db.secret=«x»; y",
            "?token=«abc»&next=1",
            "?a=b&key=«abc»#x",
            "https://api.example/v1?sig=«abc%2F»",
            "postgres://app:«p4ss»@db.example:5432/app",
            "redis://:«p@ss»@cache",
            "https://«0123456789abcdefABCDEF»@sentry.example/1",
            "https://hooks.slack.com/services/«T000/B000/abcDEF123» (old)",
            "https://discord.com/api/webhooks/«123456789/abc-DEF_123»",
            "Cookie: «a=b; session=c»\nnext",
            "user[password]=«x»",
            "Authorization: GenieKey «eb243592-faa2-4ba2-a551q-1afdf565c889»",
            "curl -H 'Authorization: Splunk «hunter»' x",
            r#"curl -H \"Authorization: SSWS «00QCjAl4MlV-WPXM»\" x"#,
            "Authorization: SharedKey «myaccount:ctzMq410TV3wS7upTBcunJTDLEJwMAZuFPfr0mrrA08=»\nx",
            "Proxy-Authorization: Negotiate «YIIJvwYGKwYBBQUCoIIJ»",
            "authorization: Digest «username=\"ann\", realm=\"a, b\", response=\"6629fae4\"», next",
            r#"Authorization: Digest «username=\"ann\", response=\"6629fae4\"» next"#,
            "Authorization: AWS4-HMAC-SHA256 «Credential=AKIAIOSFODNN7EXAMPLE/20260101/s3, \
             SignedHeaders=host;range, Signature=fe5f80f77d5fa3beca038a248ff027d0» next",
            "Authorization: Foo «abcd1»",
            "Authorization:\tBearer\t«hunter»",
            "Bearer   «abc123DEF456»",
            "Bearer\t«abc123DEF456»",
            "?X-Amz-Signature=«fe5f80f77d5fa3beca038a248ff027d0»&x=1",
            "login --password «hunter2» --user x",
            "login --api-key   '«a b c»' --token \"«x»",
            r#"{"password":["«hunter2","b»"],"user":["u"]}"#,
            r#"{\"password\": [ \"«hunter2\", \"b»\" ],\"user\":\"u\"}"#,
        ],
    );
}

#[test]
fn near_misses_of_secrets() {
    assert_marked(
        Category::Secrets,
        &[
            "the bearer of bad news",
            "Bearer authentication required",
            "basic knowledge of HTTP",
            "token expired",
            "token: expired",
            "Token: Expired.",
            "token: MISSING",
            "password: ungültig",
            "the password: must be changed",
            "password=",
            "password=&user=x",
            r#"{"password":"","user":"u"}"#,
            "password=***",
            "token=sha256:0123456789abcdef",
            "tokens=1523 max_tokens=4096",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCd12",
            "key=value",
            "code=200",
            "AKIAEXAMPLE",
            "XAKIAIOSFODNN7EXAMPLE",
            "AKIAIOSFODNN7EXAMPLEX",
            "task-management-0123456789abcdefghijkl",
            "sk-learn-pipeline-v2-production-run",
            "risk_live_0123456789abcdefABCDEF01",
            "ghp_short",
            "eyJ.eyJ.x",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "https://example.com/a@b?c=d",
            "https://user@example.com/",
            "https://hooks.slack.com/services/",
            "https://api.example.com/v1/customers/42",
            "2026-04-17T10:15:03.042Z",
            "myapp/main",
            "Authorization: required",
            "Authorization: access denied",
            "Authorization: granted user=ann role=admin",
            "Authorization: Bearer token missing",
            "Authorization: Foo a1",
            "Authorization: Bearer ***",
            "the authorization of bob42",
            "signature=required signature=unknown-signature-format",
            "--password --user x",
            "--token",
            "--token-file /run/secrets/x",
            "--tokens many",
            "read--password here",
            "--password ***",
            r#"{"password":[],"tokens":["x"],"password":["***"]}"#,
        ],
    );
}

#[test]
fn mail_addresses_and_near_misses() {
    assert_marked(
        Category::Email,
        &[
            "to «ada@example.com».",
            "<«ada.lovelace+x@mail.example.co.uk»>, «b@c.de»",
            "mailto:«ada@example.com»?subject=x",
            "«jörg@bücher.example»",
            "?user=«ada%40example.com»&x=1",
            "«qq@163.com»",
            "https://«user@example.com»/",
            "@mention and a@b",
            "root@localhost",
            "lodash@4.17.21",
            "lodash@4.17.21-rc.beta",
            "foo@1.2.3.4",
            "git@github.com:owner/name.git",
            "a @ b.com",
            "@example.com",
            "100%40",
            "a@b..com",
            "50%4 x@",
        ],
    );
}

#[test]
fn phone_numbers_and_near_misses() {
    assert_marked(
        Category::Phone,
        &[
            "call «+49 151 12345678» now",
            "«+1 415 555 2671», «+14155552671», «+1 (415) 555-2671»",
            "tel:«+33612345678»",
            "«+44 (0)20 7946 0958»",
            "«0049 151 12345678»",
            "«+49 151 12345678» 2026-04-17",
            "«415-555-2671» or «(415) 555-2671» or «415.555.2671»",
            "«1-415-555-2671»",
            "call «415 555 2671» or «(415) 555 2671» or «(415)555-2671» or «1 415 555 2671»",
            "«212 555 1234», «415 555 2671». «800 555 0199»",
            "phone: «415 555 2671» (home)",
            "phone=«415 555 2671»",
            "«030 1234567», «030/1234567», «(030) 1234567», «0711-1234567»",
            "«0151 12345678»",
            "«020 7946 0958»",
            "«06 12 34 56 78» «06.12.34.56.78»",
            "Tel:«030 1234567»",
            "2026-04-17 10:15:03",
            "2026-04-17T10:15:03+02:00",
            "10:15:03 +0200",
            "01.02.2026 10:15",
            "01/02/2026",
            "17-04-2026",
            "192.168.100.200",
            "10.0.0.1:8080",
            "v1.20.300.4000",
            "version 0.12.3",
            "123e4567-e89b-12d3-a456-426614174000",
            "550e8400-1234-5678-9012-345678901234",
            "ae_0000000042",
            "order 0012345678901",
            "4155552671",
            "1713348903042",
            "+10000000",
            "+5 %",
            "1+4155552671",
            "sizes 200 300 4000",
            "sizes 800 600 4000",
            "row 12 415 555 2671",
            "row 415 555 2671 12",
            "row 415 555 2671 415 555 2671",
            "$ 415 555 2671 and 415 555 2671 %",
            "$415 555 2671",
            "415 555 267",
            "415 555 26710",
            "415 55 2671",
            "115 555 2671",
            "415 155 2671",
            "411 555 2671",
            "415 911 2671",
            "495 555 2671",
            "415 555 2671a",
            "a415 555 2671",
            "415 555 2671.5",
            "415  555  2671",
            "1 415 555",
            "2 415 555 267",
            "2026 04 17 1015",
            "10.415.555.2671",
            "415 555 2671-4155",
            "078-05-1120",
            "978-3-16-148410-0",
            "01-02-03-04-05-06",
            "0.415-555-2671",
        ],
    );
}

#[test]
fn cards_accounts_and_near_misses() {
    assert_marked(
        Category::Financial,
        &[
            "card «4111111111111111»",
            "«4111 1111 1111 1111», «5555-5555-5555-4444»",
            "«378282246310005» «3782 822463 10005»",
            "«6011111111111117»/«3530111333300000»/«30569309025904»/«2223003122003222»",
            "IBAN «DE89370400440532013000».",
            "«DE89 3704 0044 0532 0130 00» and «GB29NWBK60161331926819»",
            "«de89370400440532013000»",
            "«NO9386011117947» «FR1420041010050500013M02606»",
            "4111111111111112",
            "411111111111111",
            "14111111111111111",
            "x4111111111111111",
            "4111111111111111a",
            "0.4111111111111111",
            "4111111111111111.5",
            "1713348903042",
            "1544712660300000000",
            "9111111111111111",
            "DE88370400440532013000",
            "XX89370400440532013000",
            "DE893704004405320130001",
            "ADE89370400440532013000",
            "2026-04-17T10:15:03.042Z",
        ],
    );
}

#[test]
fn categories_do_not_disturb_each_other() {
    let all = [Category::Secrets, Category::Email, Category::Phone, Category::Financial];
    for text in [
        "postgres://app:«p4ss»@db.example.com by «ada@example.com» from «+49 151 12345678»",
        "password=«ada@example.com» «4111111111111111»,«030 1234567»",
        "«ada@example.com»«+4915112345678»",
    ] {
        assert_eq!(marked(&all, &text.replace(['«', '»'], "")), text);
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "password=",
        "token:",
        "\"",
        "\\\"",
        "'",
        "://",
        "@",
        "%40",
        ".",
        "-",
        "_",
        " ",
        "+",
        "(",
        ")",
        "/",
        "eyJ",
        "AKIA",
        "sk-",
        "ghp_",
        "Bearer ",
        "authorization: ",
        "Digest a=\"",
        "--token ",
        "[",
        "0",
        "49",
        "415",
        "555",
        "2671",
        "4111",
        "1111",
        "DE89",
        "3704",
        "a",
        "example.com",
        "é",
        "\u{1F600}",
        "-----BEGIN ",
        "PRIVATE KEY",
        "-----",
        "=",
        ":",
        "?key=",
        "abcdefghij",
        "ABCDEFGHIJ0123456789",
        "***",
        "\n",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn parts_are_whole_characters_in_order(text in prop_oneof![pieces(), any::<String>()]) {
        let all = [Category::Secrets, Category::Email, Category::Phone, Category::Financial];
        let mut found = Vec::new();
        Finder::new(all).find(&text, &mut found);
        let mut last = 0;
        for part in found {
            prop_assert!(last <= part.start && part.start < part.end);
            prop_assert!(text.get(part.clone()).is_some(), "{:?} of {:?}", part, text);
            last = part.end;
        }
    }
}

/// Each of these costs a careless finder the square of its length: this test would not end.
#[test]
fn hostile_texts_come_to_an_end() {
    let all = [Category::Secrets, Category::Email, Category::Phone, Category::Financial];
    let finder = Finder::new(all);
    for piece in [
        "@",
        "%40",
        "a%40",
        "eyJ",
        "eyJaaaaaaaa-",
        "eyJaaaaaaaa.",
        "sk-",
        "xsk-a",
        "token:",
        "/token:",
        "://",
        "://a@",
        "://a:",
        "Bearer ",
        "authorization: ",
        "Digest a=\"",
        "--token ",
        "[",
        "Bearer a-",
        "Bearer\t",
        "authorization: a ",
        "authorization: digest a=\"",
        "authorization: digest a=b,",
        "--token ",
        "--token 'x",
        "token:[",
        "token:['*',",
        "signature=a",
        "-----BEGIN ",
        "-",
        "+1",
        "+1 ",
        "1 ",
        "0",
        "(0",
        "4",
        "4111 ",
        "DE8",
        "password='",
        "password=*",
        "password=&a=",
        "password=*&a=",
        "password=&&",
        "token:1&",
        "--token &a=",
        "AccountKey=",
        "sig=a",
        "a.",
        "SG.",
        "hvs.aaaaaaaaaaaaaaaaaaaaa.",
        "ya29.a",
        "aaaaaaaaaaaaaaaaaaaaaaaa.aaaaaa.",
        "1:AA",
        "1//0",
        "+ASt",
        "8Q~",
        "ATATT3a",
        "npm_a",
        "glpat-a.",
        "415 555 ",
        "password=\\",
        "a.",
        "@a.",
        "hooks.slack.com/services/",
        "A",
        "AKIA",
    ] {
        let text = piece.repeat(400_000 / piece.len());
        let mut found = Vec::new();
        finder.find(&text, &mut found);
        assert!(found.len() <= text.len(), "{piece:?}");
    }
}
