//! Tokens by their shapes, and what nearly has such a shape. Bodies are made here: a scanner of
//! this repository would find whole ones.

use super::{Category, assert_marked};

#[test]
fn secrets_by_their_shape() {
    assert_marked(
        Category::Secrets,
        &[
            "id «AKIAIOSFODNN7EXAMPLE» and «ASIAIOSFODNN7EXAMPLE»",
            "«AIzaSyA1234567890abcdefghijklmnopqrstuv»",
            "«ghp_0123456789abcdefghijABCDEFGHIJ012345»!",
            "«github_pat_11ABCDEFG0123456789_abcdefghijklmnop»",
            "«glpat-0123456789abcdefghij»",
            "«xoxb-123456789012-abcdefABCDEF»",
            "«sk_live_0123456789abcdefABCDEF01»",
            "«rk_live_0123456789abcdefABCDEF01»",
            "«sk-abcdefghijABCDEFGHIJ0123456789abcdefghijABCDEFGH»",
            "«sk-ant-api03-abc_DEF-ghi0123456789jklmnop-AA»",
            "«sk-proj-abc_DEF-ghi0123456789jklmnop»",
            "«npm_0123456789abcdefghijABCDEFGHIJ012345»",
            "«pypi-AgEIcHlwaS5vcmcCJDEyMzQ1Njc4LTEyMzQ»",
            "«whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw»",
            "jwt «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjMifQ.c2lnbmF0dXJl» ok",
            "«eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjMifQ.»",
            "a «-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----» b",
            "cut «-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl»",
        ],
    );
}

/// So many characters of a pattern, over and over.
fn of(pattern: &str, length: usize) -> String {
    pattern.chars().cycle().take(length).collect()
}

/// Letters and digits, hexadecimal digits, base64url.
fn plain(length: usize) -> String {
    of("a1Bc2De3Fg4Hi5Jk6", length)
}

fn hex(length: usize) -> String {
    of("0a9b8c7d6e5f41", length)
}

fn url(length: usize) -> String {
    of("a1B_c2D-e3F4g", length)
}

fn base64(length: usize) -> String {
    of("a1B+c2D/e3F4g", length)
}

/// Tokens of providers, whole.
fn tokens() -> Vec<String> {
    let of_prefix = |(prefix, body): &(&str, String)| format!("{prefix}{body}");
    let plain_ones =
        ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "npm_"].map(|prefix| (prefix, plain(36)));
    let hex_ones = ["dop_v1_", "doo_v1_", "dor_v1_"].map(|prefix| (prefix, hex(64)));
    let shopify = ["shpat_", "shpss_", "shpca_", "shppa_"].map(|prefix| (prefix, hex(32)));
    let stripe = ["sk_live_", "rk_live_", "sk_test_", "rk_test_"].map(|prefix| (prefix, plain(24)));
    let gitlab = ["glpat-", "gldt-", "glrt-", "glft-", "glsoat-"].map(|prefix| (prefix, url(20)));
    let slack = ["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-", "xoxe-", "xoxo-", "xoxc-", "xoxd-"]
        .map(|prefix| (prefix, "123456789012-1234567890-abcDEF".to_owned()));
    let others = [
        ("github_pat_", format!("{}_{}", plain(22), plain(59))),
        ("glpat-", format!("{}.01.{}", url(27), hex(9))),
        ("glcbt-", format!("64_{}", url(20))),
        ("glptt-", hex(40)),
        ("gloas-", hex(64)),
        ("xapp-", "1-A012BCDEF-1234567890-abc".to_owned()),
        ("whsec_", base64(32)),
        ("whsec_", base64(31) + "="),
        ("pypi-", format!("AgEIcHlwaS5vcmc{}", url(60))),
        ("hf_", of("aBcDeFgHiJ", 34)),
        ("dckr_pat_", url(27)),
        ("dckr_oat_", url(32)),
        ("lin_api_", plain(40)),
        ("lin_oauth_", hex(64)),
        ("NRAK-", of("A1B2C3", 27)),
        ("NRII-", url(32)),
        ("PMAK-", format!("{}-{}", hex(24), hex(34))),
        ("glsa_", format!("{}_{}", plain(32), hex(8))),
        ("glc_", format!("eyJ{}==", base64(60))),
        ("GOCSPX-", url(28)),
        ("HRKU-AA", url(58)),
        ("AGE-SECRET-KEY-1", of("QPZRY9X8", 58)),
        ("CFPAT-", url(43)),
        ("figd_", url(40)),
        ("gsk_", plain(52)),
        ("lsv2_pt_", format!("{}_{}", hex(32), hex(10))),
        ("nfp_", plain(36)),
        ("ntn_", plain(46)),
        ("pplx-", plain(48)),
        ("pscale_tkn_", url(43)),
        ("pscale_pw_", format!("{}.{}", url(32), url(8))),
        ("pul-", hex(40)),
        ("r8_", plain(37)),
        ("rubygems_", hex(48)),
        ("sb_secret_", url(30)),
        ("sbp_", hex(40)),
        ("sntrys_", format!("eyJ{}=_{}", base64(60), base64(43))),
        ("sntryu_", hex(64)),
        ("sq0atp-", url(22)),
        ("sq0csp-", url(43)),
        ("xai-", plain(80)),
        ("sk-", plain(48)),
        ("sk-proj-", url(100)),
        ("sk-ant-api03-", url(95)),
        ("sk-or-v1-", hex(64)),
        ("AKIA", of("A1B2C3", 16)),
        ("ASIA", of("A1B2C3", 16)),
        ("AIza", url(35)),
        ("ABSK", base64(120) + "=="),
        ("ATATT3", url(186)),
        ("ATCTT3", url(186)),
        ("ATBB", plain(32)),
        ("AKCp", plain(69)),
        ("ya29.", url(100)),
        ("hvs.", url(90)),
        ("hvb.", url(138)),
        ("SG.", format!("{}.{}", url(22), url(43))),
        ("dt0c01.", format!("{}.{}", of("A1B2C3", 24), of("A1B2C3", 64))),
        ("abcDEF01234567.atlasv1.", url(67)),
        ("MTIzNDU2Nzg5MDEyMzQ1Njc4", format!(".{}.{}", url(6), url(38))),
        ("123456789:AA", url(33)),
        ("SK", hex(32)),
        ("dapi", hex(32)),
        ("abc8Q~", url(34)),
        ("1//0", url(60)),
        ("eyJ", format!("{}.eyJ{}.{}", url(20), url(40), url(43))),
        ("", format!("{}+ASt{}==", base64(76), base64(6))),
        ("", format!("{}+ASb{}=", base64(33), base64(6))),
    ];
    let rows = plain_ones.iter().chain(&hex_ones).chain(&shopify).chain(&stripe);
    rows.chain(&gitlab).chain(&slack).chain(&others).map(of_prefix).collect()
}

#[test]
fn tokens_of_providers() {
    let mut cases = Vec::new();
    for token in tokens() {
        cases.push(format!("«{token}»"));
        cases.push(format!("sent {token}, twice").replace(&token, &format!("«{token}»")));
        cases.push(format!("(«{token}»)"));
    }
    assert_marked(Category::Secrets, &cases.iter().map(String::as_str).collect::<Vec<_>>());
}

/// Too short, or the end of a longer word: no token.
#[test]
fn tokens_that_are_cut_off_or_stand_in_a_word() {
    let mut cases = Vec::new();
    for token in tokens() {
        // Of a JWT, a key with `sk-` and the like a beginning is worth hiding too.
        cases.push(token[..token.len().min(14)].to_owned());
        cases.push(format!("x{}", &token[..token.len().min(40)]));
    }
    let whole = |case: &String| {
        let marked = super::marked(&[Category::Secrets], case);
        (marked != *case).then_some(marked)
    };
    let wrong: Vec<_> = cases.iter().filter_map(whole).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn secrets_by_the_name_and_the_shape() {
    let key = base64(86) + "==";
    assert_marked(
        Category::Secrets,
        &[
            &format!("DefaultEndpointsProtocol=https;AccountName=a;AccountKey=«{key}»;Suffix=x"),
            &format!(
                "SharedAccessKeyName=root;SharedAccessKey=«{}»;EntityPath=x",
                base64(43) + "="
            ),
            &format!("?sv=2022-11-02&sr=b&sig=«{}%3D»&se=2030", plain(43)),
            &format!("sig=«{}%3D»", plain(43)),
            &format!("AWS_SECRET_ACCESS_KEY=«{}»", base64(40)),
            &format!("aws_secret_access_key = «{}»", base64(40)),
            &format!("aws_session_token: «{}»", base64(100)),
            "AccountKey=acme-eu",
            "accountKey=0123456789",
            "accountkey=",
            "sig=12",
            "sig=SIGTERM",
            "SharedAccessKeyName=RootManageSharedAccessKey",
            "bigsig=0123456789abcdefABCDEF0123456789abcdefABCDEF",
        ],
    );
}

#[test]
fn near_misses_of_tokens() {
    let sha512 = base64(86) + "==";
    assert_marked(
        Category::Secrets,
        &[
            "550e8400-e29b-41d4-a716-446655440000",
            "d41d8cd98f00b204e9800998ecf8427e",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "commit 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
            &format!("sha512-{sha512}"),
            &format!("integrity {sha512}"),
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
            "run_npm_install_and_build_everything_right_now",
            "pypi-mirror-proxy-cache-of-the-internal-network",
            "hf_transformers_pretrained_model_directory_name",
            "glsa_is_a_word_and_so_are_all_the_others_that_follow",
            "figd_is-a_word-and_so-are_all-the_others-that_follow",
            "risk_live_0123456789abcdefABCDEF01",
            "ask-0123456789abcdefghijABCDEFGHIJ",
            "the dapi of dapiaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa and SKU 0123456789abcdef0123456789abcdef",
            "SKIP0123456789abcdef0123456789abcdef",
            "skipped SK0123456789abcdef0123456789abcdeg",
            "in 1.2s. hvs. Then SG. And ya29.",
            "hvs.example.internal.company.network",
            "SG.example.com",
            "a.b.c d.atlasv1.x 10.0.0.1 v1.2.3-rc.1",
            "com.example.abcdef.service.handler.RequestHandlerFactory",
            "MyVeryLongPackageName2024.module.HandlerForAllTheOtherThings",
            "NoSuchElementException123.abcdef.lowercaseonly0123456789012345",
            "ATATT3",
            "ATBBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "AKCp is short and ABSKxyz too",
            "https://example.com/1//0/2",
            "at 12:30:45 in 123456789:AAPL, 10.0.0.1:8080",
            "FAQ~ and Q~ and 8Q~short",
            "1+ASt2",
            "task-4242424242424242424242424242",
        ],
    );
}
