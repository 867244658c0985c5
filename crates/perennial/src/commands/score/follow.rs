//! Long work at the server: a bar that says how far it is, and Ctrl-C that stops it.

use std::time::Duration;

use crate::output;

/// How often it is asked how far the work is.
const LOOK: Duration = Duration::from_millis(100);

/// Where work stands.
pub(super) struct Stands {
    /// Whether it has ended.
    pub(super) is_done: bool,
    /// Steps done, and in all (0 while not known).
    pub(super) steps: (i32, i32),
    /// What it is doing.
    pub(super) phase: String,
}

/// Waits for the end. Ctrl-C asks the work to stop, and then its end is waited for all the same.
pub(super) async fn to_the_end<T>(
    begun: T,
    stands: impl Fn(&T) -> Stands,
    get: impl AsyncFn() -> anyhow::Result<T>,
    cancel: impl AsyncFn() -> anyhow::Result<()>,
) -> anyhow::Result<T> {
    let bar = output::steps();
    let mut it = begun;
    let mut interrupted = false;
    loop {
        let now = stands(&it);
        if now.is_done {
            bar.clear();
            return Ok(it);
        }
        bar.expect(u64::try_from(now.steps.1).unwrap_or_default());
        bar.set(u64::try_from(now.steps.0).unwrap_or_default());
        bar.say(now.phase);
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            pressed = tokio::signal::ctrl_c(), if !interrupted => {
                pressed?;
                interrupted = true;
                cancel().await?;
            }
        }
        it = get().await?;
    }
}
