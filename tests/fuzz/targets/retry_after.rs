//! Whatever a receiver asks for as a wait: no panic, never a wait of nothing, and whole seconds are
//! what they say. The input is three lines: Retry-After, Date, body.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use postrider::retry::{retry_after, retry_after_in_body};

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = std::str::from_utf8(bytes) else { return };
    let mut parts = input.splitn(3, '\n');
    let header = parts.next().unwrap_or_default();
    let (date, body) = (parts.next(), parts.next().unwrap_or_default());
    let now = "2026-11-21T00:00:00Z".parse::<Timestamp>().expect("a time");
    let wait = retry_after(header, date, now);
    assert!(wait.is_none_or(|wait| !wait.is_zero()), "{wait:?}");
    // Beyond 15 digits it is rounded, and far more than any `max_retry_after`.
    if (1..=15).contains(&header.len()) && header.bytes().all(|byte| byte.is_ascii_digit()) {
        let seconds = header.parse::<u64>().ok().filter(|seconds| *seconds > 0);
        assert_eq!(wait.map(|wait| wait.as_secs()), seconds, "{header}");
    }
    for text in [body, header] {
        let wait = retry_after_in_body(text);
        assert!(wait.is_none_or(|wait| !wait.is_zero()), "{wait:?}");
    }
});
