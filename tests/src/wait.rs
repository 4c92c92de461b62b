//! Waiting for facts. The bound is there for a test that fails, and is far beyond what any fact takes.

use std::time::Duration;

/// How long anything is waited for.
pub const BOUND: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What `future` comes to; a failure that names `what` if it does not come.
///
/// # Panics
/// If it takes longer than [`BOUND`].
pub async fn within<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(BOUND, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: not within {BOUND:?}"),
    }
}

/// Waits until `holds`, however long that takes where the machine is busy: for processes that only get what others leave.
///
/// # Panics
/// If it takes longer than ten times [`BOUND`].
pub async fn at_last(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let holding = async {
        while !holds().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    assert!(tokio::time::timeout(10 * BOUND, holding).await.is_ok(), "{what}: not within {:?}", 10 * BOUND);
}

/// Waits until `holds`.
///
/// # Panics
/// If it takes longer than [`BOUND`].
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !holds().await {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    })
    .await;
}
