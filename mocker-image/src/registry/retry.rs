//! Whether a request that failed is sent again, and when.
//!
//! What passes by itself is tried again: a connection that broke, and the answers of a registry that
//! is busy (429) or unwell (500, 502, 503, 504). The waits double from 200 ms on; a registry that
//! says in `Retry-After` when it will answer is believed, as long as that is within a minute.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Response, StatusCode};

use crate::error::{Error, Kind};

/// How often one request is repeated. For the whole program, like its umask.
static RETRIES: AtomicU32 = AtomicU32::new(4);
/// The doubling of waits has an end.
const DOUBLINGS: u32 = 6;
const FIRST: Duration = Duration::from_millis(200);
/// Nobody waits longer than this because a registry says so.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lets requests be repeated so often, and no more.
pub(crate) fn allow(times: u32) {
    RETRIES.store(times, Ordering::Relaxed);
}

/// The waits between the tries of one request.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// How long to wait before the next try; `None` if there were enough of them.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let wait = FIRST * 2_u32.pow(self.tries.min(DOUBLINGS));
        self.tries += 1;
        // A crowd that was sent away together must not come back together.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let spread = wait / 4 * (now.subsec_micros() % 256) / 256;
        (self.tries <= RETRIES.load(Ordering::Relaxed)).then_some(wait + spread)
    }

    /// The wait after an answer; `None` if it is final.
    pub(super) fn after(&mut self, response: &Response) -> Option<Duration> {
        if !passes_by(response.status()) {
            return None;
        }
        let wait = self.next()?;
        match when(response.headers(), SystemTime::now()) {
            Some(said) => (said <= PATIENCE).then_some(said),
            None => Some(wait),
        }
    }
}

/// Whether an answer may be another one soon.
fn passes_by(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// Whether a connection broke rather than never was.
pub(crate) fn is_broken(e: &Error) -> bool {
    use rustix::io::Errno;
    let broken = [Errno::CONNRESET, Errno::PIPE, Errno::CONNABORTED, Errno::TIMEDOUT];
    matches!(e.kind(), Kind::Os(errno) if broken.iter().any(|e| e.raw_os_error() == errno))
}

/// What `Retry-After` says: seconds, or a date.
pub(super) fn when(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let said = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match said.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(said).ok()?.duration_since(now).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_waits_double_and_end() {
        let mut backoff = Backoff::default();
        for milliseconds in [200, 400, 800, 1600] {
            let wait = backoff.next().unwrap().as_millis();
            assert!((milliseconds..=milliseconds * 5 / 4).contains(&wait), "{wait}");
        }
        assert_eq!(backoff.next(), None);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (said, want) in [
            ("7", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, said.parse().unwrap())]);
            assert_eq!(when(&headers, now), want.map(Duration::from_secs), "{said}");
        }
        assert_eq!(when(&HeaderMap::new(), now), None);
    }
}
