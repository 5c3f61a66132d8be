//! The policy by tables and laws.

use super::*;
use proptest::prelude::*;

fn seconds_of(list: &[f64]) -> Vec<Duration> {
    list.iter().map(|s| Duration::from_secs_f64(*s)).collect()
}

fn policy() -> Policy {
    Policy {
        max_attempts: NonZeroU32::new(5).unwrap(),
        schedule: RetrySchedule::new(seconds_of(&[1.0, 2.0, 4.0]), 0.0).unwrap(),
        retry_on: StatusSet::parse(["408", "425", "429", "5xx"]).unwrap(),
        max_retry_after: Duration::from_secs(3600),
        max_elapsed: None,
        on_gone: OnGone::Pause,
    }
}

fn status(code: u16, retry_after: u64) -> Reply {
    let retry_after = (retry_after > 0).then(|| Duration::from_secs(retry_after));
    Reply::Status { code, retry_after, told: None }
}

#[test]
fn verdicts() {
    let secs = Duration::from_secs;
    let (rejected, exhausted) =
        (Verdict::Dead(Reason::Rejected), Verdict::Dead(Reason::RetriesExhausted));
    for (used, elapsed, reply, verdict) in [
        (1, 0, status(200, 0), Verdict::Delivered),
        (9, 0, status(299, 9), Verdict::Delivered),
        (1, 0, status(503, 0), Verdict::Retry(secs(1))),
        (2, 1, status(500, 0), Verdict::Retry(secs(2))),
        (4, 7, Reply::None, Verdict::Retry(secs(4))),
        (5, 15, Reply::None, exhausted),
        (5, 15, status(503, 0), exhausted),
        (1, 0, status(400, 0), rejected),
        (1, 0, status(302, 0), rejected),
        (1, 0, status(404, 60), rejected),
        (1, 0, status(429, 3), Verdict::Hold(secs(3))),
        (5, 0, status(503, 3), Verdict::Hold(secs(3))),
        (1, 0, status(429, 9_999_999), Verdict::Hold(secs(3600))),
        (1, 86_400, status(429, 3), Verdict::Retry(secs(3))),
        (5, 86_400, status(429, 3), exhausted),
        (1, 0, status(500, 30), Verdict::Retry(secs(30))),
    ] {
        let tries = Tries { used, elapsed: secs(elapsed), refusals: 9 };
        assert_eq!(policy().decide(tries, reply, 0.5), verdict, "{tries:?} {reply:?}");
    }
}

#[test]
fn what_an_answer_is_told_to_mean() {
    use Meaning::{Delivered, Gone, Rejected, Retry};
    let secs = Duration::from_secs;
    let rejected = Verdict::Dead(Reason::Rejected);
    for (code, meaning, firm, retry_after, verdict) in [
        (200, Delivered, false, 0, Verdict::Delivered),
        (409, Delivered, true, 0, Verdict::Delivered),
        (200, Retry, false, 0, Verdict::Retry(secs(2))),
        (200, Rejected, false, 0, rejected),
        (200, Gone, false, 0, Verdict::Pause),
        (404, Gone, false, 0, Verdict::Pause),
        (404, Retry, false, 0, Verdict::Retry(secs(2))),
        (404, Rejected, false, 0, rejected),
        // In `retry_on`: only a firm word stands above it.
        (500, Rejected, false, 0, Verdict::Retry(secs(2))),
        (500, Rejected, true, 0, rejected),
        (503, Gone, true, 5, Verdict::Pause),
        (429, Retry, false, 5, Verdict::Hold(secs(5))),
        (403, Retry, false, 5, Verdict::Retry(secs(5))),
    ] {
        let retry_after = (retry_after > 0).then(|| secs(retry_after));
        let told = Some(Told { meaning, firm });
        let reply = Reply::Status { code, retry_after, told };
        let tries = Tries { used: 2, elapsed: secs(2), refusals: REFUSALS };
        assert_eq!(policy().decide(tries, reply, 0.5), verdict, "{reply:?}");
    }
}

#[test]
fn a_receiver_that_is_gone() {
    let rejected = Verdict::Dead(Reason::Rejected);
    let again = Verdict::Retry(Duration::from_secs(2));
    let (pause, dead) = (Verdict::Pause, Verdict::Dead(Reason::EndpointGone));
    for (code, refusals, on_pause, on_dead, on_retry) in [
        (410, 0, pause, dead, again),
        (404, 9, rejected, rejected, rejected),
        (404, 10, pause, dead, again),
        (301, 10, pause, dead, again),
        (401, 11, pause, dead, again),
        (400, 10, rejected, rejected, rejected),
        (300, 10, rejected, rejected, rejected),
        (403, 10, again, again, again),
    ] {
        for (on_gone, verdict) in
            [(OnGone::Pause, on_pause), (OnGone::DeadLetter, on_dead), (OnGone::Retry, on_retry)]
        {
            let retry_on = StatusSet::parse(["403"]).unwrap();
            let policy = Policy { on_gone, retry_on, ..policy() };
            let tries = Tries { used: 2, elapsed: Duration::ZERO, refusals };
            let decided = policy.decide(tries, status(code, 0), 0.5);
            assert_eq!(decided, verdict, "{code} {refusals} {on_gone:?}");
        }
    }
}

#[test]
fn no_attempt_starts_after_max_elapsed() {
    let policy = Policy { max_elapsed: Some(Duration::from_secs(10)), ..policy() };
    let decide = |elapsed, reply| {
        let elapsed = Duration::from_secs(elapsed);
        policy.decide(Tries { used: 3, elapsed, refusals: 0 }, reply, 0.5)
    };
    assert_eq!(decide(6, Reply::None), Verdict::Retry(Duration::from_secs(4)));
    assert_eq!(decide(7, Reply::None), Verdict::Dead(Reason::RetriesExhausted));
    assert_eq!(decide(6, status(429, 5)), Verdict::Dead(Reason::RetriesExhausted));
}

#[test]
fn retry_after_headers() {
    let now: Timestamp = "2015-10-21T07:00:00Z".parse().unwrap();
    let ahead = Some("Wed, 21 Oct 2015 07:27:00 GMT");
    for (header, date, wait) in [
        ("120", None, Some(120.0)),
        (" 3 ", None, Some(3.0)),
        ("1.5", None, Some(1.5)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None, Some(1680.0)),
        ("Wed, 21 Oct 2015 07:28:00 GMT", ahead, Some(60.0)),
        ("Wed, 21 Oct 2015 06:28:00 GMT", None, None),
        ("Wednesday, 21-Oct-15 07:28:00 GMT", None, Some(1680.0)),
        ("Wed Oct 21 07:28:00 2015", None, Some(1680.0)),
        ("Sun Nov  1 07:00:00 2015", ahead, Some(948_780.0)),
        ("0", None, None),
        ("-5", None, None),
        ("+5", None, None),
        ("soon", None, None),
        ("", None, None),
        ("1e9", None, None),
        ("5 seconds", None, None),
        (&"9".repeat(400), None, None),
        ("99999999999999999999999", None, None),
    ] {
        assert_eq!(retry_after(header, date, now), wait.map(Duration::from_secs_f64), "{header:?}");
    }
}

#[test]
fn retry_after_in_bodies() {
    for (body, wait) in [
        (r#"{"message":"slow","retry_after":0.25}"#, Some(0.25)),
        (r#"{"retry_after":"2"}"#, Some(2.0)),
        (r#"{"retry_after":-1}"#, None),
        (r#"{"retry_after":null}"#, None),
        ("retry_after", None),
    ] {
        assert_eq!(retry_after_in_body(body), wait.map(Duration::from_secs_f64), "{body}");
    }
}

#[test]
fn status_sets() {
    let set = StatusSet::parse(["408", "5xx", "420-424"]).unwrap();
    for (status, held) in
        [(408, true), (409, false), (500, true), (599, true), (420, true), (425, false)]
    {
        assert_eq!(set.contains(status), held, "{status}");
    }
    for bad in ["6xx", "99", "600", "x", "504-500", "", "5x"] {
        assert_eq!(StatusSet::parse(["200", bad]), Err(bad.to_owned()));
    }
}

#[test]
fn reasons_read_back() {
    for reason in Reason::ALL {
        assert_eq!(Reason::parse(reason.as_str()), Some(reason));
    }
}

proptest! {
    #[test]
    fn jitter_stays_within_its_share(n in 1u32..20, random in 0.0..1.0, jitter in 0.0..1.0) {
        let plain = RetrySchedule::new(seconds_of(&[1.0, 5.0, 15.0]), 0.0).unwrap().wait_after(n, random);
        let wait = RetrySchedule::new(seconds_of(&[1.0, 5.0, 15.0]), jitter).unwrap().wait_after(n, random);
        let share = (wait.as_secs_f64() / plain.as_secs_f64() - 1.0).abs();
        prop_assert!(share <= jitter + 1e-6);
    }

    #[test]
    fn a_wait_is_never_earlier_than_asked(code in 400u16..600, asked in 1u64..5000, used in 1u32..8, random in 0.0..1.0) {
        let tries = Tries { used, elapsed: Duration::ZERO, refusals: 0 };
        match policy().decide(tries, status(code, asked), random) {
            Verdict::Retry(wait) | Verdict::Hold(wait) => {
                prop_assert!(wait >= Duration::from_secs(asked.min(3600)));
            }
            Verdict::Pause => prop_assert_eq!(code, 410),
            Verdict::Dead(_) => prop_assert!(!matches!(code, 429 | 503)),
            Verdict::Delivered => prop_assert!(false, "{code} is no success"),
        }
    }

    #[test]
    fn retry_after_never_panics(header in ".{0,40}") {
        retry_after(&header, Some(&header), Timestamp::UNIX_EPOCH);
        retry_after_in_body(&header);
    }
}
