//! Batches: their defaults, their other names, and what they ask of the queue.

use super::super::{Batch, Encoding, Export};
use super::Case;

/// An export with this batch and further keys.
fn export(url: &str, batch: &str, more: &str) -> Export {
    let text = format!(
        "exports: [{{name: a, destination: webhook, webhook: {{url: '{url}'}}, batch: {batch}{more}}}]"
    );
    Case::yaml(&text).config().exports.remove(0)
}

fn batch(batch: &str) -> Batch {
    export("https://h/p", batch, "").batch.unwrap()
}

#[test]
fn a_batch_has_the_defaults_of_the_contract() {
    let Batch { bounds, encoding, template } = batch("{}");
    assert_eq!((bounds.max_events, bounds.max_bytes), (500, 1_000_000));
    assert_eq!((bounds.max_wait.as_secs(), encoding), (5, Encoding::Ndjson));
    assert!(template.is_none() && !bounds.sorted);
    let other = batch("{max_size: 7, max_wait_seconds: 0.5, encoding: json_array}");
    assert_eq!((other.bounds.max_events, other.bounds.max_wait.as_millis()), (7, 500));
    assert_eq!(other.encoding, Encoding::JsonArray);
}

#[test]
fn a_queue_that_nobody_bounded_holds_three_batches() {
    let queue = |batch, more| export("https://h/", batch, more).queue;
    assert_eq!(queue("{max_events: 50}", "").memory_events, 1000);
    let wide = queue("{max_events: 9000, max_bytes: 9MB}", "");
    // Sources have nine tenths of it.
    assert!(wide.memory_events / 10 * 9 >= 27_000 && wide.memory_events < 31_000, "{wide:?}");
    assert!(wide.memory_bytes / 10 * 9 >= 27_000_000, "{wide:?}");
    let own = queue("{max_events: 9000}", ", queue: {memory_events: 100}");
    assert_eq!(own.memory_events, 100);
}

#[test]
fn events_are_told_apart_where_url_or_headers_vary() {
    let sorted = |url: &str| export(url, "{}", "").batch.unwrap().bounds.sorted;
    assert!(!sorted("https://h/${PD_ROUTING_KEY}"));
    assert!(sorted("https://h/{{agent_id}}"));
}

#[test]
fn what_makes_no_batch_is_said_at_its_place() {
    for (export, said) in [
        (
            "{name: a, destination: console, batch: {}}",
            &["exports[0].batch: only a webhook sends batches"][..],
        ),
        (
            "{name: a, destination: webhook, webhook: {url: 'https://h/', batch_template: '{{ events }}'}}",
            &["exports[0].webhook.batch_template: there is no `batch`"],
        ),
        (
            "{name: a, destination: webhook, webhook: {url: 'https://h/', max_body_bytes: 1, \
             body_template: x, batch_template: '{% for e in events %}{{e.a}}{{severity}}{% endfor %}'}, \
             queue: {memory_events: 3}, \
             batch: {max_events: 5, max_size: 6, max_wait: 1, max_wait_seconds: 1, max_bytes: 200MB}}",
            &[
                "exports[0].webhook.batch_template: `severity` is of one event",
                "exports[0].webhook.body_template: there is a `batch_template` beside it",
                "exports[0].webhook.max_body_bytes: it does not hold",
                "exports[0].batch.max_size: it is another name of `max_events`",
                "exports[0].batch.max_wait_seconds: it is another name of `max_wait`",
                "exports[0].batch.max_bytes: a batch has at least a byte and at most 100MB",
                "exports[0].queue.memory_events: less than one batch",
            ],
        ),
        (
            "{name: a, destination: webhook, webhook: {url: 'https://h/'}, format: cef, \
             batch: {encoding: json_array}}",
            &["exports[0].batch.encoding: a line of CEF is not an item of a JSON array"],
        ),
        (
            "{name: a, destination: webhook, format: cef, batch: {encoding: json_array}, \
             webhook: {url: 'https://h/', body_templates: {a: '{}'}, \
             headers: {Content-Type: '{{ct}}'}}}",
            &["exports[0].webhook.headers.Content-Type: one request has events of several content"],
        ),
        (
            "{name: a, destination: webhook, format: cloudevents, batch: {}, \
             webhook: {url: 'https://h/', cloudevents: {mode: binary}}}",
            &["exports[0].batch: in the binary mode of CloudEvents the headers are those of one"],
        ),
    ] {
        let found = Case::yaml(&format!("exports: [{export}]")).said();
        for said in said {
            assert!(found.contains(said), "{said} in {found}");
        }
        assert!(!found.contains("`e` is"), "{found}");
    }
}
