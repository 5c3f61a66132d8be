//! A thread for what keeps a processor busy: a source of files, standard input or datagrams goes
//! through its lines without a pause, for which the tasks that it wakes should not have to wait.
//! Connections are tasks of the runtime, as many as there are.

use std::panic::resume_unwind;
use std::thread;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// Drives a future on a thread of that name; dropped, it ends the future at its next pause. A
/// runtime that has one thread for all drives it itself, and so does one where there is no further
/// thread to be had.
pub(super) async fn apart<T: Send + 'static>(
    name: &str,
    future: impl Future<Output = T> + Send + 'static,
) -> T {
    let runtime = Handle::current();
    if runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
        return future.await;
    }
    let stop = CancellationToken::new();
    let _dropped = stop.clone().drop_guard();
    // Given to the thread once there is one.
    let (give, given) = oneshot::channel();
    let (tell, told) = oneshot::channel();
    let drive = move || {
        let Ok(future) = given.blocking_recv() else { return };
        if let Some(result) = runtime.block_on(stop.run_until_cancelled(future)) {
            let _ = tell.send(result);
        }
    };
    let thread = match thread::Builder::new().name(name.to_owned()).spawn(drive) {
        Ok(thread) => thread,
        Err(error) => {
            debug!(source = name, %error, "no thread of its own");
            return future.await;
        }
    };
    let _ = give.send(future);
    match told.await {
        Ok(result) => result,
        // It has ended by a panic, so there is nothing to wait for.
        Err(_) => match thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => unreachable!("it tells its result, or panics"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::panic::AssertUnwindSafe;

    fn here() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn it_has_a_thread_of_its_own_where_there_are_several() {
        let ran = apart("audit", async {
            tokio::task::yield_now().await;
            here()
        });
        assert_eq!(ran.await, "audit");
    }

    #[tokio::test]
    async fn where_there_is_one_it_shares_it() {
        assert_eq!(apart("audit", async { here() }).await, here());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_panic_is_one_here_too() {
        let broken = apart("audit", async { assert!(here().is_empty(), "a defect") });
        let panic = AssertUnwindSafe(broken).catch_unwind().await.unwrap_err();
        assert!(panic.downcast_ref::<&str>().is_some_and(|text| text.contains("a defect")));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn dropped_it_ends() {
        let (held, ended) = oneshot::channel::<()>();
        let (tell, begun) = oneshot::channel();
        let endless = apart("audit", async move {
            let _held = held;
            let _ = tell.send(());
            std::future::pending::<()>().await;
        });
        tokio::select! {
            () = endless => unreachable!("it has no end"),
            begun = begun => begun.unwrap(),
        }
        assert!(ended.await.is_err(), "what it held is dropped");
    }
}
