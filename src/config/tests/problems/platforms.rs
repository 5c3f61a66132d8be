//! Problems of platforms: keys of another one, what one needs, bodies by kind, answers.

use super::Row;

pub(super) const ROWS: &[Row] = &[
    (
        r#"
exports:
  - {name: a, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x", slack: {style: blocks}}}
  - {name: b, destination: webhook, webhook: {url: "https://h/", footer: x}}
  - {name: c, destination: webhook, webhook: {url: "https://h/", platform: slack, slack: {style: cards}}}
  - {name: d, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x", platform: slack}}
  - {name: e, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x", platform: webhook}}
"#,
        &[],
        r#"
postrider.yaml:2:99: exports[0].webhook.slack: this webhook is of the platform `discord`
  fix: leave it out, or write `platform: slack`
postrider.yaml:3:74: exports[1].webhook.footer: messages of the platform `webhook` have no footer
  fix: leave it out, or put it into `body_template`
postrider.yaml:4:98: exports[2].webhook.slack.style: unknown value `cards`
  fix: one of `attachments`, `blocks`
warning: postrider.yaml:5:102: exports[3].webhook.platform: the URL is a Discord webhook, and the messages are those for `slack`
  fix: leave it out, or write `discord`
"#,
    ),
    (
        r#"
exports:
  - {name: a, destination: webhook, webhook: {url: "https://events.pagerduty.com/v2/enqueue"}}
  - {name: b, destination: webhook, webhook: {url: "https://events.pagerduty.com/v2/enqueue", pagerduty: {routing_key: ""}}}
  - name: c
    destination: webhook
    webhook:
      url: https://events.pagerduty.com/v2/enqueue
      pagerduty: {routing_key: "${K}", dedup_key: "{{ audit_id | nofilter }}", resolve_kinds: []}
  - name: d
    destination: webhook
    webhook: {url: "https://events.pagerduty.com/v2/enqueue", headers: {Authorization: "Token token=${K}"}}
"#,
        &["--env K=k"],
        r#"
postrider.yaml:2:46: exports[0].webhook: `pagerduty` needs a `routing_key`
  fix: add `pagerduty: {routing_key: "${PD_ROUTING_KEY}"}`, or a header `Authorization: Token token=${PD_ROUTING_KEY}`
postrider.yaml:3:120: exports[1].webhook.pagerduty.routing_key: it is empty
  fix: write it, or leave the key out
postrider.yaml:8:66: exports[2].webhook.pagerduty.dedup_key: there is no filter `nofilter`
  fix: correct it there: docs/templates.md tells what templates and expressions can hold
postrider.yaml:8:95: exports[2].webhook.pagerduty.resolve_kinds: an empty list matches nothing: name at least one pattern, or leave the key out
  fix: name the kinds
"#,
    ),
    (
        r#"
exports:
  - name: a
    destination: webhook
    webhook:
      url: "https://h/"
      body_templates: {"[a": "x", deny: "{{ x | nofilter }}"}
      answers: [{is: gone}, {status: [7xx], is: retry}, {status: [409], is: fine}]
"#,
        &[],
        r#"
postrider.yaml:6:30: exports[0].webhook.body_templates["[a"]: `[a` is not a valid pattern: brackets that never close
  fix: write a kind, or a glob such as `auth_*`
postrider.yaml:6:49: exports[0].webhook.body_templates.deny: there is no filter `nofilter`
  fix: correct it there: docs/templates.md tells what templates and expressions can hold
postrider.yaml:7:17: exports[0].webhook.answers[0]: it is about every answer there is
  fix: add `status: [409]`, or `body: ["already there"]`
postrider.yaml:7:39: exports[0].webhook.answers[1].status[0]: `7xx` is not an HTTP status
  fix: write `429`, `5xx` or `500-504`
postrider.yaml:7:77: exports[0].webhook.answers[2].is: unknown value `fine`
  fix: one of `delivered`, `retry`, `rejected`, `gone`
"#,
    ),
    (
        r#"
defaults: {webhook: {slack: {style: blocks}, footer: Acme}}
exports:
  - {name: a, destination: webhook, webhook: {url: "https://h/"}}
  - {name: b, destination: webhook, webhook: {url: "https://hooks.slack.com/services/T/B/x"}}
"#,
        &[],
        "",
    ),
    (
        r#"
exports:
  - {name: a, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x?thread_id=7", discord: {thread_id: "8"}}}
  - {name: b, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x?thread_id=7", discord: {thread_id: "7"}}}
  - {name: c, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x?thread_id={{ t }}", discord: {thread_id: "7"}}}
  - {name: d, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x?wait=false"}}
  - {name: e, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x?wait=true&thread_id=7"}}
  - {name: f, destination: webhook, webhook: {url: "${U}", discord: {thread_id: "8"}}}
  - {name: g, destination: webhook, webhook: {url: "https://h/x?wait=false&thread_id=7", platform: discord, discord: {thread_id: "8"}}}
  - {name: h, destination: webhook, webhook: {url: "https://hooks.slack.com/services/T/B/x?wait=false"}}
  - {name: i, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x", discord: {thread_id: "{{ t }}"}}}
"#,
        &["--env U=https://discord.com/api/v10/webhooks/1/x?thread_id=7"],
        r#"
postrider.yaml:2:125: exports[0].webhook.discord.thread_id: the URL has another `thread_id`, which would stand
  fix: leave it out, or take `thread_id` out of the URL
postrider.yaml:4:131: exports[2].webhook.discord.thread_id: the URL has another `thread_id`, which would stand
  fix: leave it out, or take `thread_id` out of the URL
postrider.yaml:7:81: exports[5].webhook.discord.thread_id: the URL has another `thread_id`, which would stand
  fix: leave it out, or take `thread_id` out of the URL
postrider.yaml:10:113: exports[8].webhook.discord.thread_id: a thread is named by its number: this is no template
  fix: write the number, or put `thread_id={{ … }}` into the query of `url`
warning: postrider.yaml:5:52: exports[3].webhook.url: it has a `wait` of its own: Discord then does not say whether the message was taken
  fix: take `wait` out of the URL: `wait=true` is added
"#,
    ),
    (
        r#"
exports:
  - {name: a, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x/slack"}}
  - {name: b, destination: webhook, webhook: {url: "https://discord.com/api/v10/webhooks/1/x/github/?wait=true", platform: discord}}
  - {name: c, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x/slack", platform: slack}}
  - {name: d, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x/github", platform: webhook}}
  - {name: e, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x/slack", body_template: '{"text": {{message}}}'}}
  - {name: f, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x/slack", batch_template: '{"text": "x"}'}, batch: {}}
  - {name: g, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/slackx"}}
  - {name: h, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x/github", platform: slack}}
  - {name: i, destination: webhook, webhook: {url: "https://hooks.slack.com/services/T/B/github"}}
"#,
        &[],
        r#"
postrider.yaml:2:52: exports[0].webhook.url: what ends in `/slack` does not read the messages of `discord`
  fix: write `platform: slack`, or leave `/slack` out
postrider.yaml:3:52: exports[1].webhook.url: what ends in `/github` does not read the messages of `discord`
  fix: write `platform: webhook`, or leave `/github` out
warning: postrider.yaml:9:109: exports[7].webhook.platform: the URL is a Discord webhook, and the messages are those for `slack`
  fix: leave it out, or write `discord`
"#,
    ),
    (
        r#"
defaults: {webhook: {discord: {thread_id: "8"}}}
exports:
  - {name: a, destination: webhook, webhook: {url: "https://discord.com/api/webhooks/1/x?thread_id=7"}}
"#,
        &[],
        "",
    ),
    (
        r#"
exports:
  - {name: a, destination: webhook, webhook: {url: "https://hooks.slack.com/services/T/B/x", body_template: '{"text": {{ message }}}'}, batch: {}}
  - {name: b, destination: webhook, webhook: {url: "https://hooks.slack.com/services/T/B/x", batch_template: '{"text": "x"}'}, batch: {}}
  - {name: c, destination: webhook, webhook: {url: "https://h/x", platform: pagerduty, pagerduty: {routing_key: "${K}"}, body_templates: {x: '{}'}}, batch: {}}
  - {name: d, destination: webhook, webhook: {url: "https://h/x", body_template: '{"text": {{ message }}}'}, batch: {}}
"#,
        &["--env K=k"],
        r#"
postrider.yaml:4:157: exports[2].batch: `pagerduty` takes one event a request
  fix: leave it out
warning: postrider.yaml:2:144: exports[0].batch: `slack` takes one message a request, not your bodies joined
  fix: write a `batch_template`, leave your bodies out for the platform's digest, or leave `batch` out
"#,
    ),
];
