//! Ctrl-C and its kin: a signal becomes an error like any other, so that all is undone on the way out.
//!
//! The first signal is noted and asked for wherever work goes on for long; the second one ends the
//! program at once, as a signal does that nobody handles.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::{Context, Error, Kind, Result};

const SIGNALS: [(i32, &str); 3] = [(SIGHUP, "SIGHUP"), (SIGINT, "SIGINT"), (SIGTERM, "SIGTERM")];
/// How long a waiting download may take to hear of a signal.
const TICK: Duration = Duration::from_millis(100);

static SEEN: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// From now on signals are noted; to be called once, before anything is made.
pub fn watch() -> Result<()> {
    let seen = SEEN.get_or_init(Arc::default);
    let twice = Arc::new(AtomicBool::new(false));
    for (index, (signal, name)) in SIGNALS.iter().enumerate() {
        let noted = flag::register_conditional_default(*signal, Arc::clone(&twice))
            .and_then(|_| flag::register(*signal, Arc::clone(&twice)))
            .and_then(|_| flag::register_usize(*signal, Arc::clone(seen), index + 1));
        noted.while_doing(|| format!("watch for {name}"))?;
    }
    Ok(())
}

/// An error if a signal came.
pub fn check() -> Result<()> {
    let seen = SEEN.get().map_or(0, |seen| seen.load(Ordering::Relaxed));
    match seen.checked_sub(1).and_then(|index| SIGNALS.get(index)) {
        Some((signal, name)) => Err(Error::new(Kind::Interrupted(*signal), format!("stopped by {name}"))),
        None => Ok(()),
    }
}

/// Runs a future that a signal ends.
pub async fn heed<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut work = pin!(work);
    let mut tick = tokio::time::interval(TICK);
    std::future::poll_fn(|cx| {
        while tick.poll_tick(cx).is_ready() {
            if let Err(e) = check() {
                return Poll::Ready(Err(e));
            }
        }
        work.as_mut().poll(cx)
    })
    .await
}
