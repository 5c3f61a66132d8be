//! What answers mean, row by row.

use super::super::*;
use crate::retry::Meaning::{self, Delivered, Gone, Rejected, Retry};

fn meaning(platform: &str, host: &str, status: u16, body: Option<&str>) -> Option<Meaning> {
    let answers = Answers::new(named(platform).unwrap().answers(host));
    answers.read(status, body).map(|verdict| verdict.told.meaning)
}

#[test]
fn answers_are_understood() {
    const FAILED: &str =
        "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error ";
    let failed = |code: &str| format!("{FAILED}{code} with ContextId tcid=0");
    for (platform, status, body, expected) in [
        ("slack", 200, "ok", Some(Delivered)),
        ("slack", 200, " ok\n", Some(Delivered)),
        ("slack", 200, "okay", Some(Retry)),
        ("slack", 200, "", Some(Retry)),
        ("slack", 200, "no_service", Some(Gone)),
        ("slack", 404, "no_service", Some(Gone)),
        ("slack", 404, "no_active_hooks", Some(Gone)),
        ("slack", 403, "invalid_token", Some(Gone)),
        ("slack", 410, "channel_is_archived", Some(Gone)),
        ("slack", 404, "channel_not_found", Some(Gone)),
        ("slack", 403, "action_prohibited", Some(Gone)),
        ("slack", 403, "posting_to_general_channel_denied", Some(Gone)),
        ("slack", 400, "invalid_payload", Some(Rejected)),
        ("slack", 400, "invalid_blocks", Some(Rejected)),
        ("slack", 400, "no_text", Some(Rejected)),
        ("slack", 404, "user_not_found", Some(Rejected)),
        ("slack", 500, "rollup_error", Some(Retry)),
        ("slack", 429, "{\"retry_after\":1,\"ok\":false,\"error\":\"rate_limited\"}", None),
        ("slack", 500, "", None),
        ("discord", 200, "{\"id\":\"1\",\"type\":0}", None),
        ("discord", 404, "{\"message\": \"Unknown Webhook\", \"code\": 10015}", Some(Gone)),
        ("discord", 404, "{\"code\": 10003}", Some(Gone)),
        ("discord", 401, "{\"code\": 50027}", Some(Gone)),
        ("discord", 400, "{\"code\": 50035, \"errors\": {}}", Some(Rejected)),
        ("discord", 400, "{\"code\": 50006}", Some(Rejected)),
        ("discord", 400, "{\"code\": 50109}", Some(Rejected)),
        ("discord", 413, "{\"code\": 40005}", Some(Rejected)),
        ("discord", 400, "{\"code\": 200000}", Some(Rejected)),
        ("discord", 400, "{\"code\": 220001}", Some(Rejected)),
        ("discord", 429, "{\"code\": 20028}", Some(Retry)),
        ("discord", 403, "{\"code\": 40333}", Some(Retry)),
        ("discord", 403, "<html>10015</html>", None),
        ("teams", 202, "", Some(Delivered)),
        ("teams", 200, "1", Some(Delivered)),
        ("teams", 200, &failed("429"), Some(Retry)),
        ("teams", 200, &failed("413"), Some(Rejected)),
        ("teams", 200, &failed("400"), Some(Rejected)),
        ("teams", 200, &failed("404"), Some(Gone)),
        ("teams", 200, &failed("503"), Some(Retry)),
        ("teams", 200, "{\"a flow's\": \"own answer\"}", None),
        ("teams", 429, "", None),
        ("pagerduty", 202, "{\"status\":\"success\"}", Some(Delivered)),
        ("pagerduty", 400, "{\"status\":\"invalid event\"}", Some(Rejected)),
        ("pagerduty", 429, "", None),
        ("pagerduty", 500, "", None),
        ("webhook", 200, "no_service", None),
        ("openclaw", 200, "", None),
    ] {
        let got = meaning(platform, "127.0.0.1", status, Some(body));
        assert_eq!(got, expected, "{platform} {status} {body}");
    }
    assert_eq!(meaning("teams", "acme.webhook.office.com", 200, Some("2")), Some(Retry));
    assert_eq!(meaning("teams", "acme.webhook.office.com", 200, Some("1")), Some(Delivered));
}

#[test]
fn only_where_it_counts_the_body_of_a_success_is_read() {
    for (platform, status, needed) in [
        ("slack", 200, true),
        ("discord", 200, true),
        ("teams", 202, false),
        ("teams", 200, true),
        ("pagerduty", 202, false),
        ("pagerduty", 200, false),
        ("webhook", 200, false),
        ("openclaw", 201, false),
    ] {
        let answers = Answers::new(named(platform).unwrap().answers("h"));
        assert_eq!(answers.need_body(status), needed, "{platform} {status}");
        let late = answers.read(status, None).is_some_and(|none| none.told.meaning == Retry);
        assert_eq!(late, needed, "a body that did not come");
    }
}
