//! One timer for all waits of a slot, one after the other.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::time::{Instant, Sleep, sleep_until};

/// A timer that stays set from one wait to the next. Left set for an earlier deadline it sometimes
/// rings too early, which costs less than taking the runtime's lock twice for each request.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// What comes of a future before the deadline; `None`: nothing.
    pub(super) async fn before<T>(
        &mut self,
        deadline: Instant,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Some(output));
            }
            let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if sleep.is_elapsed() || sleep.deadline() > deadline {
                sleep.as_mut().reset(deadline);
            }
            while sleep.as_mut().poll(context).is_ready() {
                if sleep.deadline() >= deadline {
                    return Poll::Ready(None);
                }
                sleep.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::time::Duration;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn each_wait_ends_at_its_own_deadline() {
        let mut timer = Timer::default();
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        // Deadlines ever later, as those of requests are, one that is earlier, and one that has
        // passed; with answers before and after them.
        for (deadline, answer, expected) in [
            (1000, Some(10), 10),
            (1010, None, 1010),
            (5000, Some(1500), 1500),
            (9000, Some(6000), 6000),
            (6250, None, 6250),
            (9500, Some(6300), 6300),
            (20_000, None, 20_000),
            (19_000, None, 20_000),
            (21_000, Some(20_500), 20_500),
        ] {
            let future = async {
                match answer {
                    Some(at) => sleep_until(ms(at)).await,
                    None => pending().await,
                }
            };
            let output = timer.before(ms(deadline), future).await;
            assert_eq!(output.is_some(), answer.is_some(), "until {deadline}");
            assert_eq!(Instant::now(), ms(expected), "until {deadline}");
        }
        // Between two waits it may ring, and nobody hears it.
        sleep(Duration::from_secs(60)).await;
        let deadline = Instant::now() + Duration::from_secs(1);
        assert_eq!(timer.before(deadline, pending::<()>()).await, None);
        assert_eq!(Instant::now(), deadline);
    }
}
