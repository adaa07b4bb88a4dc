//! `pause` and `resume`.

#![allow(clippy::unwrap_used, reason = "a test ends where its set-up fails")]

mod common;

use std::fs;

use common::{Caller, LIMIT};
use conformance::host::wait_until;

#[test]
fn a_paused_container_stands_still_until_it_is_resumed() {
    for caller in Caller::all("a_paused_container_stands_still_until_it_is_resumed") {
        let bundle =
            caller.with_cgroup(&["sh", "-c", "i=0; while true; do i=$((i+1)); echo $i >/count; done"]);
        bundle.start();
        let count = || fs::read_to_string(bundle.rootfs("count")).unwrap_or_default();
        wait_until(LIMIT, "the first count", || !count().is_empty()).unwrap();
        bundle.call(&["pause", &bundle.id]).ok();
        assert_eq!(bundle.status(), "paused");
        let call = bundle.call(&["pause", &bundle.id]);
        call.fails(&format!("pause container {}: container already paused", bundle.id));
        assert_eq!(bundle.call(&["exec", &bundle.id, "true"]).code, 255);
        let before = count();
        // other calls take their time: a program that ran would count on
        for _ in 0..10 {
            bundle.status();
        }
        assert_eq!(count(), before);
        bundle.call(&["resume", &bundle.id]).ok();
        wait_until(LIMIT, "the next count", || count() != before && !count().is_empty()).unwrap();
        bundle
            .call(&["resume", &bundle.id])
            .fails(&format!("resume container {}: container not paused", bundle.id));
        // killed while it is paused
        bundle.call(&["pause", &bundle.id]).ok();
        bundle.call(&["delete", "--force", &bundle.id]).ok();
        bundle.assert_nothing_left();
    }
}
