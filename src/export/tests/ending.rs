//! The end of an export that is no longer configured.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_comes_too_late_waits_for_an_heir_or_goes_to_it() {
    let gone = Bench::new(1, NOW, |_| (), |_, _| Outcome::Delivered(Some(200)));
    gone.export.retire().await;
    gone.push(&["a", "b"]).await;
    assert_eq!(gone.seen().len(), 0);
    assert_eq!(gone.store.queue_total("a").events, 2, "a chunk was on its way");
    assert_eq!(gone.tracker.open_lines(), 0);
    let config = config(|_| ());
    let sink = Arc::clone(&gone.script);
    let open = move || ScriptedSink(Arc::clone(&sink));
    let settings = Settings::new(&config, Width { slots: 1, batch: 1 }, open);
    let metrics = Metrics::new("");
    let poison = Arc::clone(&gone.export.poison);
    let (store, spent) = (gone.store.clone(), Arc::default());
    let heir = Export::new(&config, String::new(), settings, store, poison, spent, &metrics);
    let mut estate = gone.export.inherit().await;
    heir.restore(true).await.unwrap();
    *estate = Some(Arc::clone(&heir));
    drop(estate);
    gone.push(&["c"]).await;
    while !heir.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(gone.order(), ["a", "b", "c"]);
    assert_eq!(gone.tracker.open_lines(), 0);
}
