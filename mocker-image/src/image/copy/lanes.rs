//! The same work for several things, a few at once.

use std::sync::Mutex;
use std::sync::PoisonError;

use crate::error::{Error, Kind, Result};

/// Does it for each, at most `lanes` at once; the results in order, or the first error.
pub(super) fn each<T: Sync, R: Send>(
    items: &[T],
    lanes: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    if lanes <= 1 || items.len() <= 1 {
        return items.iter().map(work).collect();
    }
    let next = Mutex::new(0);
    let done: Vec<Mutex<Option<Result<R>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let run = || {
        loop {
            let mut at = next.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(item) = items.get(*at) else { return };
            let (mine, slot) = (item, &done[*at]);
            *at += 1;
            drop(at);
            let result = work(mine);
            if result.is_err() {
                // Nobody begins anything more.
                *next.lock().unwrap_or_else(PoisonError::into_inner) = items.len();
            }
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..lanes.min(items.len()) {
            scope.spawn(run);
        }
    });
    let mut results = Vec::new();
    let mut missing = false;
    for slot in done {
        match slot.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(result) => results.push(result?),
            None => missing = true,
        }
    }
    match missing {
        true => Err(Error::new(Kind::Internal, "a part of the work was not done")),
        false => Ok(results),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_the_first_error_ends_it() {
        let items: Vec<u32> = (0..50).collect();
        assert_eq!(each(&items, 3, |n| Ok(n * 2)).unwrap(), items.iter().map(|n| n * 2).collect::<Vec<_>>());
        let e = each(&items, 3, |n| match n {
            7 => Err(Error::invalid("seven")),
            n => Ok(*n),
        });
        assert_eq!(e.unwrap_err().to_string(), "seven");
    }
}
