//! Several cases at once, each worker in a mount namespace of its own, and their ends in the order of the list.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use anyhow::Result;

/// As many as there are processors for this process.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does `work` for every item, `jobs` at a time; `done` hears of them in the order of the list, as soon as all before
/// have ended. Each worker calls `prepare` first.
///
/// # Errors
/// Those of `prepare`, when no worker is left by them.
pub fn each<T: Sync, R: Send>(
    jobs: usize,
    items: &[T],
    prepare: impl Fn() -> Result<()> + Sync,
    work: impl Fn(&T) -> R + Sync,
    mut done: impl FnMut(&T, R),
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.clamp(1, items.len().max(1)))
            .map(|_| {
                let (sender, next, prepare, work) = (sender.clone(), &next, &prepare, &work);
                scope.spawn(move || -> Result<()> {
                    prepare()?;
                    loop {
                        let place = next.fetch_add(1, Ordering::Relaxed);
                        let Some(item) = items.get(place) else { return Ok(()) };
                        if sender.send((place, work(item))).is_err() {
                            return Ok(());
                        }
                    }
                })
            })
            .collect();
        drop(sender);
        in_order(&receiver, items, &mut done);
        for worker in workers {
            match worker.join() {
                Ok(ended) => ended?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok(())
    })
}

fn in_order<T, R>(receiver: &mpsc::Receiver<(usize, R)>, items: &[T], done: &mut impl FnMut(&T, R)) {
    let (mut waiting, mut told) = (BTreeMap::new(), 0);
    for (place, result) in receiver {
        waiting.insert(place, result);
        while let (Some(item), Some(result)) = (items.get(told), waiting.remove(&told)) {
            done(item, result);
            told += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn ends_are_told_in_order_and_work_is_done_at_once() {
        let (barrier, items) = (Barrier::new(3), [0, 1, 2]);
        let mut told = Vec::new();
        // whoever came last is the first to end: all three have to be at work together
        let work = |item: &usize| {
            barrier.wait();
            item * 10
        };
        each(3, &items, || Ok(()), work, |item, result| told.push((*item, result))).unwrap();
        assert_eq!(told, [(0, 0), (1, 10), (2, 20)]);
    }

    #[test]
    fn a_worker_that_cannot_begin_is_an_error() {
        let prepare = || anyhow::bail!("no room");
        let error = each(2, &[1, 2], prepare, |item| *item, |_, _| {}).unwrap_err();
        assert_eq!(error.to_string(), "no room");
    }
}
