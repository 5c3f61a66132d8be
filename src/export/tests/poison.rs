//! An event whose sending ends the process. Deaths are simulated: what a process that dies leaves
//! behind is what stood in its files at that moment.

use super::*;
use crate::poison::FATAL;
use std::fs;

/// What is found of a run that died.
#[derive(Default)]
struct Remains {
    handling: Option<Vec<u8>>,
    suspects: Option<Vec<u8>>,
}

/// Runs until the sending of `bad` would have ended the process, or until everything is settled.
async fn run(before: Remains) -> (Bench, Option<Remains>) {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let (handling, suspects) = (file("handling"), file("suspects"));
    for (path, bytes) in [(&handling, before.handling), (&suspects, before.suspects)] {
        bytes.into_iter().for_each(|bytes| fs::write(path, bytes).unwrap());
    }
    let died: Arc<Mutex<Option<Remains>>> = Arc::default();
    let dies = Arc::clone(&died);
    let bench = Bench::within(
        folder,
        1,
        NOW,
        |_| (),
        move |id, _| {
            if id == "bad" {
                let [handling, suspects] = [&handling, &suspects].map(|path| fs::read(path).ok());
                dies.lock().unwrap().get_or_insert(Remains { handling, suspects });
                // Nothing that comes after a death counts.
                return status(503, Some(1_000));
            }
            Outcome::Delivered(None)
        },
    );
    bench.push(&["before", "bad", "after"]).await;
    while died.lock().unwrap().is_none() && !bench.export.is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let died = died.lock().unwrap().take();
    (bench, died)
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_sending_ends_the_process_is_buried_and_the_others_arrive() {
    let mut remains = Remains::default();
    // Before the first death nothing is noted.
    for death in 0..=FATAL {
        let (bench, died) = run(remains).await;
        assert!(bench.letters().is_empty());
        remains = died.unwrap_or_else(|| panic!("death {death}"));
    }
    let (bench, died) = run(remains).await;
    assert!(died.is_none());
    assert_eq!(bench.order(), ["before", "after"]);
    let letters = bench.letters();
    let told: Vec<_> = letters.iter().map(|letter| (letter.reason, letter.attempts)).collect();
    assert_eq!(told, [(Reason::Poison, 0)]);
    assert_eq!(bench.tracker.open_lines(), 0);
    // It was dealt with: when it is replayed it is tried again.
    assert!(!bench.export.poison.is_poison(letters[0].delivery_id.as_str()));
}
