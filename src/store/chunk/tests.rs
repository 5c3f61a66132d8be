//! What is written reads back, in both forms, and no bytes make the reader panic.

use super::super::testing;
use super::*;
use proptest::prelude::*;

fn kept() -> impl Strategy<Value = Kept> {
    let time = || (0i64..4_000_000_000_000).prop_map(testing::time);
    let option = |text: &'static str| prop::option::of(text);
    let tries = (any::<(u32, u32)>(), prop::option::of(time()), option(".*"), any::<Option<u16>>());
    let names = (".{0,20}", option("[a-z]{1,9}"), prop::sample::select(&Severity::LEVELS[..]));
    (any::<(u64, u32)>(), names, tries).prop_map(
        |((offset, index), (name, about, severity), (sent, at, response, status))| {
            let mut event = Event::clone(&testing::event(offset, &name));
            event.origin.position.index = index;
            event.severity = severity;
            event.about = about.map(Arc::from);
            let failure = Failure {
                reply: status.map_or(Reply::None, |code| Reply::Status {
                    code,
                    retry_after: None,
                    told: None,
                }),
                trouble: status.map_or(Trouble::Closed, Trouble::of_status),
                error: name,
                response,
                took: None,
            };
            let tries = Tries {
                used: sent.0,
                sent: sent.1,
                first_at: at.map(Moment::past),
                last_at: at,
                last: at.map(|_| Box::new(failure)),
            };
            let id = DeliveryId::new("alerts", &event.origin.position);
            Kept {
                id,
                event: Arc::new(event),
                tries,
                due: None,
                replaces: None,
                fallback: index % 2 == 1,
            }
        },
    )
}

fn write(events: &[Kept]) -> Vec<u8> {
    let mut writer = ChunkWriter::new();
    events.iter().for_each(|event| writer.push(event));
    writer.finish()
}

fn row(index: usize) -> RowId {
    RowId { number: 100 + index as i64, due_ms: Some(5) }
}

fn shown(event: &Event, tries: &Tries) -> String {
    let first_at = tries.first_at.map(|at| at.wall);
    let Tries { used, sent, last_at, last, .. } = tries;
    format!("{event:?} {used} {sent} {first_at:?} {last_at:?} {last:?}")
}

fn same(read: &Restored, event: &Kept, index: usize) -> Result<(), TestCaseError> {
    let delivery = &read.delivery;
    prop_assert_eq!(&delivery.id, &event.id);
    prop_assert!(matches!(delivery.claim, Claim::Row(at) if at == row(index)));
    prop_assert_eq!(shown(&delivery.event, &delivery.tries), shown(&event.event, &event.tries));
    prop_assert_eq!(read.due, Some(testing::time(5)));
    Ok(())
}

fn read_all(bytes: &[u8]) {
    let Some(mut reader) = ChunkReader::new(bytes) else { return };
    while reader.next(NOWHERE).is_some() && reader.skip().is_some() {}
}

proptest! {
    #[test]
    fn deliveries_read_back(events in prop::collection::vec(kept(), 1..5), skipped in 0usize..5) {
        for (form, bytes) in [
            (FORM, write(&events)),
            (UNCHECKED_FORM, unchecked_form(&events)),
            (OLD_FORM, old_form(&events)),
        ] {
            let mut reader = ChunkReader::new(&bytes).unwrap();
            for (index, event) in events.iter().enumerate() {
                if index == skipped {
                    reader.skip().unwrap();
                    continue;
                }
                let read = reader.next(row(index)).unwrap().unwrap();
                same(&read, event, index)?;
                prop_assert_eq!(read.delivery.fallback, event.fallback && form != OLD_FORM);
            }
            prop_assert!(reader.next(NOWHERE).is_none());
        }
    }

    #[test]
    fn a_damaged_event_takes_no_other_with_it(first in kept(), second in kept(), byte: u8) {
        let mut bytes = write(&[first, second.clone()]);
        // Its delivery id starts behind the form, two bytes of length and a checksum.
        bytes[9] ^= byte | 1;
        let mut reader = ChunkReader::new(&bytes).unwrap();
        prop_assert!(reader.next(row(0)).unwrap().is_none());
        same(&reader.next(row(1)).unwrap().unwrap(), &second, 1)?;
    }

    #[test]
    fn a_changed_byte_is_never_part_of_an_event(event in kept(), at: prop::sample::Index, flip in 1u8..) {
        let bytes = write(std::slice::from_ref(&event));
        let mut damaged = bytes.clone();
        *at.get_mut(&mut damaged) ^= flip;
        let event = ChunkReader::new(&damaged).and_then(|mut reader| reader.next(row(0))).flatten();
        // Only the form's own byte may say that an older one, without checksums, was meant.
        prop_assert!(event.is_none() || damaged[0] != bytes[0]);
        prop_assert!(remains::of(&damaged, damaged.len()).is_empty() || damaged[0] != bytes[0]);
    }

    #[test]
    fn whole_events_are_found_around_what_is_gone(
        events in prop::collection::vec(kept(), 1..6),
        from: prop::sample::Index,
        len in 1usize..200,
    ) {
        let bytes = write(&events);
        let start = from.index(bytes.len());
        let end = (start + len).min(bytes.len());
        let mut damaged = bytes.clone();
        damaged[start..end].fill(0xa5);
        let mut whole = Vec::new();
        let mut place = 1;
        for (index, event) in events.iter().enumerate() {
            let one = write(std::slice::from_ref(event)).len() - 1;
            if start >= place + one || end <= place {
                whole.push((index, event));
            }
            place += one;
        }
        let found = remains::of(&damaged, start);
        prop_assert_eq!(found.len(), whole.len());
        for (found, (index, event)) in found.iter().zip(whole) {
            let place = match found.place {
                remains::Place::FromStart(place) => place,
                remains::Place::FromEnd(place) => events.len() - place,
                remains::Place::Unknown => index,
            };
            prop_assert_eq!(place, index);
            let mut writer = ChunkWriter::new();
            writer.push_raw(&found.event);
            prop_assert_eq!(writer.finish(), write(std::slice::from_ref(event)));
        }
        // Without its beginning, too.
        let headless = remains::of(&bytes[start.max(1)..], 0);
        let mut place = 1;
        let begins = events.iter().filter(|event| {
            let here = place;
            place += write(std::slice::from_ref(*event)).len() - 1;
            here >= start.max(1)
        });
        prop_assert_eq!(headless.len(), begins.count());
    }

    #[test]
    fn remains_of_foreign_bytes_are_none(bytes: Vec<u8>, intact: prop::sample::Index) {
        let bytes = [&[FORM], &bytes[..]].concat();
        prop_assert!(remains::of(&bytes, intact.index(bytes.len())).is_empty());
    }

    #[test]
    fn damaged_bytes_never_panic(event in kept(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let mut bytes = write(&[event]);
        *at.get_mut(&mut bytes) = byte;
        read_all(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        read_all(&bytes);
    }

    #[test]
    fn foreign_bytes_never_panic(bytes: Vec<u8>, form in OLD_FORM..=FORM) {
        read_all(&bytes);
        read_all(&[&[form], &bytes[..]].concat());
    }
}

#[test]
fn what_is_replayed_stays_with_its_dead_letter() {
    let event = testing::event(1, "a");
    let id = DeliveryId::new("alerts", &event.origin.position);
    let delivery = |claim| Delivery {
        fallback: true,
        ..Delivery::held(id, Arc::clone(&event), Tries::default(), claim)
    };
    assert!(Kept::of(&delivery(Claim::Replay(1)), None).is_none());
    let kept = Kept::of(&delivery(Claim::Row(row(7))), None).unwrap();
    assert_eq!((kept.replaces, kept.fallback), (Some(row(7)), true));
}
